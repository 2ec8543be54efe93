"""The exception of Airflow with which a task ends, for each verdict of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, AirflowSkipException

from airflow_provider_connectif.reporting.folding import folded

if TYPE_CHECKING:
    from airflow_provider_connectif.api.errors import RunFailed
    from airflow_provider_connectif.reporting.verdict import Verdict
    from airflow_provider_connectif.runs.run import Run


def raise_end(run: Run[Any] | None, failure: RunFailed | None) -> None:
    """End the task as its run has ended; return if that was a success.

    :param run: ``None``: it was not made.
    :param failure: that ended the run early.
    :raises AirflowFailException: another attempt would end the same way.
    :raises AirflowException: another attempt may succeed.
    :raises AirflowSkipException: ``on_response`` asks for it.
    """
    from airflow_provider_connectif.reporting.verdict import Verdict

    if failure is not None and failure.final:
        raise AirflowFailException(folded(str(failure)))
    verdict, reason = run.verdict() if run else (Verdict.SUCCESS, "")
    words = folded("; ".join(text for text in (str(failure or ""), reason) if text))
    if verdict is Verdict.SKIPPED:
        raise AirflowSkipException(words)
    if verdict is Verdict.FAILED:
        raise AirflowFailException(words)
    if failure is not None or verdict is Verdict.TRY_AGAIN:
        raise AirflowException(words)


def verdicts_of_authors() -> Mapping[type[BaseException], Verdict]:
    """Return the verdicts on runs that an exception from the author's own function ends, by its class."""
    from airflow_provider_connectif.reporting.verdict import Verdict

    return {AirflowSkipException: Verdict.SKIPPED, AirflowFailException: Verdict.FAILED}
