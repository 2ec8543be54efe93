"""Reads a source to its end before anything is sent, so that the plan is complete and the database connection is
closed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from airflow_provider_connectif.records.outcomes import SourceError
from airflow_provider_connectif.records.protocols import Source
from airflow_provider_connectif.reporting.report import Report
from airflow_provider_connectif.runs.columns import SourceColumns
from airflow_provider_connectif.runs.prepare import Preparer

if TYPE_CHECKING:
    from airflow_provider_connectif.journal.store import Journal


def read_to_its_end(
    source: Source,
    columns: SourceColumns,
    preparer: Preparer,
    journal: Journal | None,
    report: Report,
    is_to_stop: Callable[[], bool],
    *,
    timeout_s: float,
    clock: Callable[[], float],
) -> bool:
    """Prepare every row.

    :param columns: of the source.
    :param preparer: receives the rows.
    :param journal: changes for rows that are not sent are written to it meanwhile.
    :param is_to_stop: returns whether the run must stop.
    :param timeout_s: time limit in seconds for reading the source.
    :return: whether it was read to its end.
    :raises SourceError: it was not read to its end in time.
    """
    began = clock()
    for batch in source:
        preparer.prepare(columns.look_at(source.columns, batch))
        report.progress.tick()
        if journal is not None:
            journal.lines.commit_if_due()
        if is_to_stop():
            return False
        if clock() - began > timeout_s:
            raise SourceError(timeout_s, report.tally.read)
    if is_to_stop():
        return False
    columns.end()
    preparer.finish()
    if journal is not None:
        journal.lines.commit()
    return True
