"""Rows from upstream tasks and functions, in batches and in constant memory."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from airflow_provider_connectif.api.errors import RunFailed
from airflow_provider_connectif.databases.alarm import alarm
from airflow_provider_connectif.databases.read_errors import ReadError, function_error
from airflow_provider_connectif.records.outcomes import SourceError
from airflow_provider_connectif.records.rows import BATCH_BYTES, weight_of_row, without_marks

BATCH_ROWS = 1000


class RowsError(RunFailed, ValueError):
    """The value of ``rows`` is not an iterable of rows; another attempt would fail, too."""

    final = True


class RowsSource:
    """Rows from memory or XCom: mappings, or lists of mappings from a mapped upstream task.

    If the iterable raises an error, the rows before it are passed on first, as a short batch.

    :param rows: an iterable of mappings; of lists of mappings (flattened); or one mapping (one row).
    :param read_timeout_s: time limit in seconds for reading the rows.
    :param clock: seconds on a clock that only goes forward.
    :raises RowsError: ``rows`` has another type.
    :raises ReadError: from iteration: making a row failed with an error that quotes a value, such as ``ValueError``, or
        with a database's error. Other errors are passed on unchanged.
    :raises SourceError: from iteration: the last row did not arrive within ``read_timeout_s``. In the main thread,
        where Airflow runs its tasks, a row that takes too long is interrupted. In another thread, the time is checked
        only when the row has arrived.
    """

    columns: Sequence[str] | None = None  # each row may have its own
    size: int | None

    def __init__(
        self, rows: Any, *, read_timeout_s: float = math.inf, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if rows is None:
            raise RowsError(
                "rows is None: the upstream task pushed no XCom. For no rows at all it must push an empty list"
            )
        if isinstance(rows, Mapping):
            rows = [rows]
        if isinstance(rows, (str, bytes)) or not isinstance(rows, Iterable):
            raise RowsError(f"rows must be an iterable of mappings, not of type {type(rows).__name__}")
        self._rows = rows
        self._rows_made = 0
        self._read_timeout_s = read_timeout_s
        self._clock = clock
        self.size = len(rows) if isinstance(rows, (list, tuple)) and rows and isinstance(rows[0], Mapping) else None

    def __iter__(self) -> Iterator[Sequence[Mapping[str, Any]]]:
        deadline = self._clock() + self._read_timeout_s
        batches = _batches(self._in_time(deadline))
        is_first = True
        while True:
            # The alarm is off while the rows are processed: that must not be interrupted.
            with alarm(deadline - self._clock(), self._too_late):
                batch = next(batches, None)
            if batch is None:
                return
            if isinstance(batch, ReadError):
                raise batch
            if is_first and not isinstance(batch[0], Mapping):
                raise RowsError(_not_a_mapping(batch[0]))
            is_first = False
            yield without_marks(batch)

    def _in_time(self, deadline: float) -> Iterator[Any]:
        for row in _flat(self._rows):
            if self._clock() >= deadline:
                raise self._too_late()
            self._rows_made += 1
            yield row

    def _too_late(self) -> SourceError:
        return SourceError(self._read_timeout_s, self._rows_made)

    def cancel(self) -> None:
        """Do nothing: no query runs."""


def _batches(rows: Iterable[Any]) -> Iterator[Any]:
    """Yield lists of at most :data:`BATCH_ROWS` rows and about ``BATCH_BYTES``. An error of the rows follows the last
    list.

    An error that may quote values is not raised but yielded, as a :class:`ReadError`, so that it has no context.
    """
    batch: list[Any] = []
    weight = count = 0
    fault: ReadError | None = None
    try:
        for row in rows:
            batch.append(row)
            count += 1
            weight += weight_of_row(row)
            if len(batch) == BATCH_ROWS or weight >= BATCH_BYTES:
                handed_on, batch, weight = batch, [], 0
                yield handed_on
                del handed_on
    except Exception as error:  # any error is raised again
        fault = function_error(error, count)
        if fault is None:
            if batch:
                yield batch
            raise
    if batch:
        yield batch
    if fault is not None:
        yield fault


def _flat(rows: Iterable[Any], depth: int = 2) -> Iterator[Any]:
    """Yield rows; an item that is a sequence of rows is flattened."""
    for item in rows:
        if depth and _is_list(item) and (not len(item) or isinstance(item[0], Mapping) or _is_list(item[0])):
            yield from _flat(item, depth - 1)
        else:
            yield item


def _is_list(item: object) -> bool:
    """Whether an item is a list or one of Airflow's lazy sequences; a tuple is a row of a driver."""
    return isinstance(item, Sequence) and not isinstance(item, (str, bytes, bytearray, tuple))


def _not_a_mapping(row: object) -> str:
    kind = type(row).__name__
    advice = (
        "a row of values without column names, as SQLExecuteQueryOperator pushes them. Give ContactPatchOperator "
        "sql= and sql_conn_id= instead, or push mappings of column to value"
        if isinstance(row, (tuple, list))
        else "not a mapping of column to value. Push a list of dictionaries (of a DataFrame: to_dict('records'))"
    )
    return f"row 1 is a {kind}: {advice}"
