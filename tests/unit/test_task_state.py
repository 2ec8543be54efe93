"""Whether a try is a retry, by what Airflow tells of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_connectif.operators.task_state import has_earlier_tries, has_run_before


def context(try_number: Any, max_tries: Any, retries: int = 2) -> dict[str, Any]:
    ti = SimpleNamespace(try_number=try_number, max_tries=max_tries)
    return {"ti": ti, "task": SimpleNamespace(retries=retries)}


@pytest.mark.parametrize(
    ("try_number", "max_tries", "is_retry"),
    [
        (1, 2, False),
        (2, 2, True),
        (3, 2, True),
        # A user has cleared the task after its first, or its third try: two retries more are allowed.
        (2, 3, False),
        (3, 3, True),
        (4, 5, False),
        (5, 5, True),
        (None, 2, False),
    ],
)
def test_what_a_user_clears_begins_anew(try_number: Any, max_tries: Any, is_retry: bool) -> None:
    assert has_earlier_tries(context(try_number, max_tries)) is is_retry


def test_without_a_task_it_is_a_first_try() -> None:
    assert has_earlier_tries({}) is False


@pytest.mark.parametrize(("try_number", "expected"), [(1, False), (2, True), (None, False)])
def test_an_attempt_before_a_clear_is_one_too(try_number: Any, expected: bool) -> None:
    assert has_run_before(context(try_number, 2)) is expected
