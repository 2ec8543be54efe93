"""The state of a task that Airflow keeps: its attempts, and from Airflow 3.3 on what the task stores there itself."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_connectif.journal.attempts import AttemptNumbers

_LOG = logging.getLogger(__name__)


def attempt_numbers(context: Mapping[str, Any], *, comes_back: bool = False) -> AttemptNumbers:
    """What Airflow says of the attempt, for the journal's record.

    :param comes_back: the process goes on after a deferral.
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
    """Keeps the progress of a run in Airflow's task state store, where the UI and the REST API show it while it runs.

    Airflow has such a store from 3.3 on; before, nothing is kept.

    :param context: of the task.
    """

    def __init__(self, context: Mapping[str, Any]) -> None:
        self._store = context.get("task_state_store")

    @property
    def exists(self) -> bool:
        """Whether this Airflow has a store, and the store has not failed."""
        return self._store is not None

    def write(self, progress: Mapping[str, Any]) -> None:
        """Replace what is kept; a store that fails is left alone from then on, since the run matters more.

        :param progress: JSON-ready, without personal data.
        """
        if self._store is not None:
            self._or_give_up(lambda store: store.set(PROGRESS_KEY, dict(progress)))

    def clear(self) -> None:
        """Delete what is kept: after the end the summary is what counts."""
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
    """The number of the attempt, from 1, as Airflow counts them; ``None`` where it is not known."""
    return _whole(getattr(context.get("ti"), "try_number", None))


def has_run_before(context: Mapping[str, Any]) -> bool:
    """Whether the task was attempted before in its DAG run, before it was cleared included."""
    try_number = try_number_of(context)
    return try_number is not None and try_number > 1
