"""The state of a task in Airflow: the numbers of its attempts and, from Airflow 3.3 on, its task state store."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_connectif.journal.attempts import AttemptNumbers

_LOG = logging.getLogger(__name__)


def attempt_numbers(context: Mapping[str, Any], *, comes_back: bool = False) -> AttemptNumbers:
    """Return the numbers of the attempt and of the possible attempts, for the journal's record.

    :param context: the task's context.
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
    """Stores the progress of a run in Airflow's task state store. The UI and the REST API show it while the run lasts.

    Airflow has such a store from 3.3 on. In earlier versions nothing is stored.

    :param context: the task's context.
    """

    def __init__(self, context: Mapping[str, Any]) -> None:
        self._store = context.get("task_state_store")

    @property
    def exists(self) -> bool:
        """Whether this version of Airflow has a store, and the store has not failed."""
        return self._store is not None

    def write(self, progress: Mapping[str, Any]) -> None:
        """Replace the stored progress. If the store fails, it is not used again, and the run continues.

        :param progress: JSON-ready, without personal data.
        """
        if self._store is not None:
            self._or_give_up(lambda store: store.set(PROGRESS_KEY, dict(progress)))

    def clear(self) -> None:
        """Delete the stored progress: after the end of the run only the summary counts."""
        if self._store is not None:
            self._or_give_up(lambda store: store.delete(PROGRESS_KEY))

    def _or_give_up(self, use: Callable[[Any], object]) -> None:
        from airflow.sdk.exceptions import AirflowRuntimeError  # exists only in Airflow 3, like the store

        try:
            use(self._store)
        except AirflowRuntimeError as error:
            self._store = None
            _LOG.debug("The task state store cannot be used: %s", error)


def _whole(number: Any) -> int | None:
    return number if isinstance(number, int) else None


def try_number_of(context: Mapping[str, Any]) -> int | None:
    """Return Airflow's number of the attempt, from 1; ``None``: it is not known."""
    return _whole(getattr(context.get("ti"), "try_number", None))


def has_run_before(context: Mapping[str, Any]) -> bool:
    """Whether this is not the first attempt of the task in its DAG run. Attempts before the task was cleared count."""
    try_number = try_number_of(context)
    return try_number is not None and try_number > 1
