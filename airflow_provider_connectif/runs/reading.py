"""Reads a source to its end before anything is sent, so that the plan is complete and the database connection is
closed.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow_provider_connectif.records.outcomes import SourceError
from airflow_provider_connectif.records.protocols import Source
from airflow_provider_connectif.reporting.report import Report
from airflow_provider_connectif.runs.columns import SourceColumns
from airflow_provider_connectif.runs.prepare import Preparer

if TYPE_CHECKING:
    from airflow_provider_connectif.journal.store import Journal

_OBJECTS_BETWEEN_COLLECTIONS = 20_000
"""The threshold of the garbage collector: more objects than a batch has at any moment. Python's default is 700 or
2,000."""


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

    :param columns: checks the columns of the source.
    :param preparer: receives the rows.
    :param journal: lines of rows that are not sent are written to it during the read.
    :param is_to_stop: returns whether the run must stop.
    :param timeout_s: time limit in seconds for reading the source.
    :param clock: returns seconds on a clock that only goes forward.
    :return: whether the source was read to its end; ``False``: the run must stop.
    :raises SourceError: the source was not read to its end in time.
    """
    began = clock()
    with _fewer_collections():
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


@contextmanager
def _fewer_collections() -> Iterator[None]:
    """Let the garbage collector run less often.

    The collector takes the objects of a batch for objects that stay. For every twenty thousand changed rows it would
    search half a million objects, most of them Airflow's: a tenth of the time of such a row. Rows leave no garbage that
    only the collector can free.
    """
    threshold, *others = gc.get_threshold()
    if threshold:  # otherwise the collector is off
        gc.set_threshold(max(threshold, _OBJECTS_BETWEEN_COLLECTIONS), *others)
    try:
        yield
    finally:
        gc.set_threshold(threshold, *others)
