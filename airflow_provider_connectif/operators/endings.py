"""Ends a task with the exception of Airflow that fits the verdict of its run."""

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
    """Raise the exception that ends the task; return without one if the run succeeded.

    :param run: the run; ``None``: it could not be made.
    :param failure: the error that ended the run early; ``None``: there was none.
    :raises AirflowFailException: another attempt would end the same way.
    :raises AirflowException: another attempt may succeed.
    :raises AirflowSkipException: ``on_response`` asks for it.
    """
    from airflow_provider_connectif.reporting.verdict import Verdict

    if run is not None:
        if failure is not None:  # usually the one that the run has raised, sometimes one of closing a file after it
            run.break_off(failure)
        verdict, words = run.verdict()
    elif failure is not None:
        verdict, words = Verdict.FAILED if failure.final else Verdict.TRY_AGAIN, str(failure)
    else:
        return
    if verdict is Verdict.SKIPPED:
        raise AirflowSkipException(folded(words))
    if verdict is Verdict.FAILED:
        raise AirflowFailException(folded(words))
    if verdict is Verdict.TRY_AGAIN:
        raise AirflowException(folded(words))


def verdicts_of_authors() -> Mapping[type[BaseException], Verdict]:
    """Return the verdict on a run that the author's own function ended, by the class of the function's exception."""
    from airflow_provider_connectif.reporting.verdict import Verdict

    return {AirflowSkipException: Verdict.SKIPPED, AirflowFailException: Verdict.FAILED}
