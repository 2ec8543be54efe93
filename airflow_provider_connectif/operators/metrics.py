"""The metrics that a run sends to StatsD or OpenTelemetry, as Airflow is configured. They hold no personal data."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException, Stats

if TYPE_CHECKING:
    from airflow_provider_connectif.api.errors import RunFailed
    from airflow_provider_connectif.runs.run import Run

ROW_COUNTS = (
    *("read", "created", "updated", "imported", "not_taken", "unchanged", "skipped", "invalid", "rejected", "held"),
    *("suppressed", "merged", "undelivered", "deleted", "absent", "new_refusals"),
)
"""The counts of the summary that are sent as ``connectif.rows.<name>``."""


def send_effort(effort: Mapping[str, float], tags: Mapping[str, str]) -> None:
    """Send the requests and waits of one process of a run. It is called at the end of each process.

    :param effort: ``requests``, ``rate_limited`` and ``waited_s`` of this process.
    :param tags: ``dag_id``, ``task_id`` and ``sync_id``.
    """
    for name in ("requests", "rate_limited"):
        _increase(f"connectif.{name}", int(effort[name]), tags)
    if effort["waited_s"] > 0:
        Stats.timing("connectif.waited", timedelta(seconds=effort["waited_s"]), tags=dict(tags))


def send_end(
    run: Run[Any] | None,
    failure: RunFailed | None,
    summary: Mapping[str, Any],
    context: Mapping[str, Any],
    tags: Mapping[str, str],
) -> None:
    """Send the end of a run. Nothing is sent before a deferral or a retry, so each run is sent once.

    :param run: the run; ``None``: it could not begin.
    :param failure: the error that ended the run early; ``None``: there was none.
    :param summary: the run's summary, which includes all attempts.
    :param context: the task's context.
    :param tags: ``dag_id``, ``task_id`` and ``sync_id``.
    """
    if run is not None and failure is None and run.deferral is not None:
        return
    word, may_retry = "failed", failure is not None and not failure.final
    if failure is None and run is not None:
        verdict = run.verdict()[0].value
        may_retry = verdict == "try_again"
        word = "failed" if may_retry else verdict
    _send_end(word, summary, context, tags, may_retry=may_retry)


def send_other_end(
    error: BaseException, summary: Mapping[str, Any], context: Mapping[str, Any], tags: Mapping[str, str]
) -> None:
    """Send the end of a run that an exception from outside has ended, such as one of the author's function, or
    ``execution_timeout``. Nothing is sent before a retry.

    :param error: the exception, which Airflow gets.
    :param summary: the run's summary, which includes all attempts.
    :param context: the task's context.
    :param tags: ``dag_id``, ``task_id`` and ``sync_id``.
    """
    word = "skipped" if isinstance(error, AirflowSkipException) else "failed"
    is_final = isinstance(error, (AirflowSkipException, AirflowFailException))
    _send_end(word, summary, context, tags, may_retry=not is_final)


def _send_end(
    word: str, summary: Mapping[str, Any], context: Mapping[str, Any], tags: Mapping[str, str], *, may_retry: bool
) -> None:
    ti = context.get("ti")
    if may_retry and getattr(ti, "try_number", 1) <= (getattr(ti, "max_tries", 0) or 0):
        return
    Stats.incr(f"connectif.runs.{word}", tags=dict(tags))
    for name in ROW_COUNTS:
        _increase(f"connectif.rows.{name}", int(summary.get(name) or 0), tags)
    Stats.timing("connectif.run_duration", timedelta(seconds=float(summary.get("duration_s") or 0)), tags=dict(tags))


def _increase(name: str, count: int, tags: Mapping[str, str]) -> None:
    if count:
        Stats.incr(name, count, tags=dict(tags))
