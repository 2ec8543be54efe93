"""The state of a task that Airflow keeps: its attempts, and its progress in the task state store."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_connectif.operators.task_state import PROGRESS_KEY, ProgressStore, has_run_before


@pytest.mark.parametrize(("try_number", "expected"), [(1, False), (2, True), (None, False)])
def test_an_attempt_before_a_clear_is_one_too(try_number: Any, expected: bool) -> None:
    assert has_run_before({"ti": SimpleNamespace(try_number=try_number)}) is expected


class StateStore(dict[str, Any]):
    """As Airflow's task state store, which fails on demand."""

    error: Exception | None = None
    calls = 0

    def set(self, key: str, value: Any) -> None:
        self.calls += 1
        if self.error is not None:
            raise self.error
        self[key] = value

    def delete(self, key: str) -> None:
        self.calls += 1
        self.pop(key, None)


def test_before_airflow_3_3_no_progress_is_kept() -> None:
    store = ProgressStore({})
    assert not store.exists
    store.write({"read": 1})
    store.clear()


def test_the_progress_of_a_run_is_kept_until_it_ends() -> None:
    pytest.importorskip("airflow.sdk.exceptions")
    kept = StateStore(other="a task's own")
    store = ProgressStore({"task_state_store": kept})
    assert store.exists
    store.write({"read": 1})
    store.write({"read": 2})
    assert kept == {"other": "a task's own", PROGRESS_KEY: {"read": 2}}
    store.clear()
    assert kept == {"other": "a task's own"}


def test_a_store_that_fails_is_left_alone_and_the_run_continues() -> None:
    exceptions = pytest.importorskip("airflow.sdk.exceptions")
    from airflow.sdk.execution_time.comms import ErrorResponse

    kept = StateStore()
    kept.error = exceptions.AirflowRuntimeError(ErrorResponse())
    store = ProgressStore({"task_state_store": kept})
    for _ in range(3):
        store.write({"read": 1})
    store.clear()
    assert (kept, kept.calls, store.exists) == ({}, 1, False)


def test_another_error_of_a_store_is_not_hidden() -> None:
    pytest.importorskip("airflow.sdk.exceptions")
    kept = StateStore()
    kept.error = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        ProgressStore({"task_state_store": kept}).write({"read": 1})
