"""What Airflow knows of a task beside its arguments: whether it was attempted before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_connectif.journal.attempts import AttemptNumbers


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


def _whole(number: Any) -> int | None:
    return number if isinstance(number, int) else None


def try_number_of(context: Mapping[str, Any]) -> int | None:
    """The number of the attempt, from 1, as Airflow counts them; ``None`` where it is not known."""
    return _whole(getattr(context.get("ti"), "try_number", None))


def has_run_before(context: Mapping[str, Any]) -> bool:
    """Whether the task was attempted before in its DAG run, before it was cleared included."""
    try_number = try_number_of(context)
    return try_number is not None and try_number > 1
