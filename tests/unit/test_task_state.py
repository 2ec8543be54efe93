"""Whether a task was attempted before, by what Airflow says of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_connectif.operators.task_state import has_run_before


@pytest.mark.parametrize(("try_number", "expected"), [(1, False), (2, True), (None, False)])
def test_an_attempt_before_a_clear_is_one_too(try_number: Any, expected: bool) -> None:
    assert has_run_before({"ti": SimpleNamespace(try_number=try_number)}) is expected
