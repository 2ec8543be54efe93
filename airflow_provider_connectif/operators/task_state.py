"""What Airflow knows of a task beside its arguments: what it may remember, and whether it was tried before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_connectif.journal.attempts import AttemptNumbers

KEY = "connectif_imports"


class TaskStateMemory:
    """The task state store of Airflow 3.3: it outlives tries, deferrals and processes that are killed.

    It outlives a user's Clear as well, also after success, so whoever has nothing to come back to must drop it.

    :param store: ``context["task_state_store"]``.
    :param carried: what came with the process itself, which is newer.
    """

    remembers = True

    def __init__(self, store: Any, carried: Mapping[str, Any] | None = None) -> None:
        self._store = store
        self._carried = carried

    def load(self) -> Mapping[str, Any] | None:
        """What was saved last."""
        if self._carried is not None:
            return self._carried
        state = self._store.get(KEY)
        return state if isinstance(state, Mapping) else None

    def save(self, state: Mapping[str, Any]) -> None:
        """Keep a state."""
        self._store.set(KEY, dict(state))

    def drop(self) -> None:
        """Keep nothing."""
        self._store.delete(KEY)


def has_earlier_tries(context: Mapping[str, Any]) -> bool:
    """Whether the task was tried before for the same end.

    What a user clears begins anew: Airflow then allows as many retries more as the task has.
    """
    ti, task = context.get("ti"), context.get("task")
    try_number, max_tries = getattr(ti, "try_number", None), getattr(ti, "max_tries", None)
    retries = getattr(task or getattr(ti, "task", None), "retries", None)
    if not (isinstance(try_number, int) and isinstance(max_tries, int) and isinstance(retries, int)):
        return False
    return try_number > max_tries - retries + 1


def attempt_numbers(context: Mapping[str, Any], *, comes_back: bool = False) -> AttemptNumbers:
    """What Airflow says of the attempt, for the journal's record.

    :param comes_back: the process goes on after a deferral.
    """
    from airflow_provider_connectif.journal.attempts import AttemptNumbers  # loads SQLAlchemy

    ti, task = context.get("ti"), context.get("task")
    return AttemptNumbers(
        _whole(getattr(ti, "try_number", None)),
        _whole(getattr(ti, "max_tries", None)),
        _whole(getattr(task or getattr(ti, "task", None), "retries", None)),
        comes_back=comes_back,
    )


def _whole(number: Any) -> int | None:
    return number if isinstance(number, int) else None


def has_run_before(context: Mapping[str, Any]) -> bool:
    """Whether the task was attempted before in its DAG run, before it was cleared included."""
    try_number = getattr(context.get("ti"), "try_number", None)
    return isinstance(try_number, int) and try_number > 1
