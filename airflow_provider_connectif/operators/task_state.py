"""The state of a task in Airflow: its attempts, and from Airflow 3.3 on, the task state store."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_connectif.journal.attempts import AttemptNumbers

_LOG = logging.getLogger(__name__)


def attempt_numbers(context: Mapping[str, Any], *, comes_back: bool = False) -> AttemptNumbers:
    """Return Airflow's numbers of the attempt, for the journal's record.

    :param comes_back: whether the process continues after a deferral.
    """
    from airflow_provider_connectif.journal.attempts import AttemptNumbers  # loads SQLAlchemy

    ti, task = context.get("ti"), context.get("task")
    return AttemptNumbers(
        try_number_of(context),
        _whole(getattr(ti, "max_tries", None)),
        _whole(getattr(task or getattr(ti, "task", None), "retries", None)),
        comes_back=comes_back,
    )


PROGRESS_KEY = "connectif_progress"


class ProgressStore:
    """Stores the progress of a run in Airflow's task state store, where the UI and the REST API show it while it runs.

    Airflow has such a store from 3.3 on; in earlier versions nothing is stored.

    :param context: of the task.
    """

    def __init__(self, context: Mapping[str, Any]) -> None:
        self._store = context.get("task_state_store")

    @property
    def exists(self) -> bool:
        """Whether this Airflow has a store, and the store has not failed."""
        return self._store is not None

    def write(self, progress: Mapping[str, Any]) -> None:
        """Replace the stored progress; a store that fails is not used again, since the run matters more.

        :param progress: JSON-ready, without personal data.
        """
        if self._store is not None:
            self._or_give_up(lambda store: store.set(PROGRESS_KEY, dict(progress)))

    def clear(self) -> None:
        """Delete the stored progress: after the end of the run only the summary counts."""
        if self._store is not None:
            self._or_give_up(lambda store: store.delete(PROGRESS_KEY))

    def _or_give_up(self, use: Callable[[Any], object]) -> None:
        from airflow.sdk.exceptions import AirflowRuntimeError  # Airflow 3 only, as the store

        try:
            use(self._store)
        except AirflowRuntimeError as error:
            self._store = None
            _LOG.debug("The task state store cannot be used: %s", error)


def _whole(number: Any) -> int | None:
    return number if isinstance(number, int) else None


def try_number_of(context: Mapping[str, Any]) -> int | None:
    """Return the number of the attempt, from 1, as Airflow counts them; ``None`` if it is not known."""
    return _whole(getattr(context.get("ti"), "try_number", None))


def has_run_before(context: Mapping[str, Any]) -> bool:
    """Whether the task has run before in its DAG run, also before it was cleared."""
    try_number = try_number_of(context)
    return try_number is not None and try_number > 1
