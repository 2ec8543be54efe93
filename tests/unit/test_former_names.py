"""Names of earlier versions stay usable, and the exceptions among them say their new one."""

from __future__ import annotations

import pytest

from airflow_provider_connectif.api import errors, transport
from airflow_provider_connectif.api.response import Response


@pytest.mark.parametrize(
    ("former", "present"),
    [("NoAnswerError", errors.NoResponseError), ("MalformedAnswerError", errors.MalformedResponseError)],
)
def test_an_exception_by_its_former_name(former: str, present: type[Exception]) -> None:
    with pytest.warns(DeprecationWarning, match=f"{former} is now named {present.__name__}"):
        assert getattr(errors, former) is present


def test_a_name_that_never_was() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        errors.Nothing  # noqa: B018 - the access is what is tried


def test_the_former_name_of_a_response() -> None:
    assert transport.Answer is Response
