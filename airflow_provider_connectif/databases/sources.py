"""Rows from upstream tasks and from SQL, in batches and in constant memory."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from typing import Any

from airflow_provider_connectif.databases.drivers import driver_of
from airflow_provider_connectif.databases.error_rules import is_of_a_database
from airflow_provider_connectif.databases.read_errors import (
    ReadError,
    connection_error,
    fetch_error,
    function_error,
    read_error,
    statement_error,
)
from airflow_provider_connectif.databases.statements import without_semicolon
from airflow_provider_connectif.records.rows import (
    BATCH_BYTES,
    RowBatch,
    weight_of_row,
    weight_of_rows,
    without_mark,
    without_marks,
)

BATCH_ROWS = 1000
_ROWS_AT_ONCE = 250  # of one fetch: how large its rows are is known afterwards
_FIRST_ROWS = 50
_POLL_S = 0.25  # how soon a stop is noticed
_END = object()


class RowsError(ValueError):
    """What was given as rows is none; another try would find the same."""


class RowsSource:
    """Rows out of memory or XCom: mappings, or lists of mappings as a mapped upstream task hands over.

    Where the iterable raises, the rows before that are handed on first, as a short batch.

    :param rows: an iterable of mappings; of lists of mappings (flattened); or one mapping (one row).
    :raises RowsError: nothing of that kind.
    :raises ReadError: from iteration: making a row failed with an error that quotes what it could not convert, such as
        ``ValueError``, or with a database's. Other errors pass as they are.
    """

    columns: Sequence[str] | None = None  # each row may have its own
    size: int | None

    def __init__(self, rows: Any) -> None:
        if rows is None:
            raise RowsError(
                "rows is None: the upstream task pushed no XCom. For no rows at all it must push an empty list"
            )
        if isinstance(rows, Mapping):
            rows = [rows]
        if isinstance(rows, (str, bytes)) or not isinstance(rows, Iterable):
            raise RowsError(f"rows must be an iterable of mappings, not of type {type(rows).__name__}")
        self._rows = rows
        self.size = len(rows) if isinstance(rows, (list, tuple)) and rows and isinstance(rows[0], Mapping) else None

    def __iter__(self) -> Iterator[Sequence[Mapping[str, Any]]]:
        is_first = True
        for batch in _batches(_flat(self._rows)):
            if isinstance(batch, ReadError):
                raise batch
            if is_first and not isinstance(batch[0], Mapping):
                raise RowsError(_not_a_mapping(batch[0]))
            is_first = False
            yield without_marks(batch)

    def cancel(self) -> None:
        """Nothing to cancel."""


class SqlSource:
    """The result of a query, streamed: a server-side cursor where the driver has one.

    :param hook: any DbApiHook.
    :param conn_id: its connection's id, for messages.
    :param sql: one statement that returns rows.
    :param parameters: as the driver's ``execute`` takes them.
    :raises RowsError: the connection has no database hook; from iteration: the statement returns no rows.
    :raises ReadError: from iteration: the database failed; or the statement, its parameters or the settings of the
        connection are wrong (``final``). The database's words are shown where they speak of objects and not of rows.
    """

    def __init__(
        self, hook: Any, conn_id: str, sql: str, parameters: Mapping[str, Any] | Iterable[Any] | None = None
    ) -> None:
        if not hasattr(hook, "get_conn") or not hasattr(hook, "get_records"):
            raise RowsError(f"connection {conn_id!r} is no SQL connection: its hook is {type(hook).__name__}")
        self.columns: Sequence[str] | None = None
        self.size: int | None = None  # nobody knows it before a streamed result has ended
        self._hook = hook
        self.conn_id = conn_id
        self._sql = sql
        self._parameters = parameters
        self.rows_read = 0
        self._connection: Any = None
        self._is_cancelled = False

    def __iter__(self) -> Iterator[Sequence[Mapping[str, Any]]]:
        # Read in a thread of its own: some drivers hold signals back in the thread that waits for a query, and a task
        # that is killed must notice.
        batches: queue.Queue[Any] = queue.Queue(maxsize=1)
        is_over = threading.Event()
        reader = threading.Thread(target=self._read_into, args=(batches, is_over), name="connectif-sql", daemon=True)
        reader.start()
        try:
            while True:
                is_alive = reader.is_alive()  # before the look: what it has put last is still found
                try:
                    batch = batches.get(timeout=_POLL_S)
                except queue.Empty:
                    if self._is_cancelled:
                        return
                    if not is_alive:
                        raise ReadError(f"Reading from {self.conn_id!r} ended without a word") from None
                    continue
                if batch is _END:
                    return
                if isinstance(batch, Exception):
                    raise batch
                if isinstance(batch, BaseException):  # such as SystemExit: it must end the run, not this process
                    raise ReadError(f"Reading from {self.conn_id!r} was ended by {type(batch).__name__}")
                yield batch
        finally:
            is_over.set()

    def _read_into(self, batches: queue.Queue[Any], is_over: threading.Event) -> None:
        last: Any = _END
        try:
            with closing(self._connected()) as self._connection:
                try:
                    for batch in self._batches():
                        if not _put(batches, batch, is_over):
                            return
                        del batch  # the queue has it, and the next one is about to be read
                finally:
                    self._connection = None
        except BaseException as error:  # noqa: BLE001 - whatever it is, it ends the run in the task's thread
            # A driver's error is not handed on: it quotes values, and so may its context and traceback.
            last = read_error(error, self.conn_id, self.rows_read) if is_of_a_database(error) else error
        _put(batches, last, is_over)

    def _connected(self) -> Any:
        try:
            connection = self._hook.get_conn()
            driver_of(connection).keep_unreadable_values(connection)
            return connection
        except Exception as error:  # what is no fault of a setting is raised again
            fault = connection_error(error, self.conn_id)
            if fault is None:
                raise
        raise fault

    def _execute(self, cursor: Any) -> None:
        sql = without_semicolon(self._sql) if getattr(self._hook, "strip_semicolon", False) else self._sql
        try:
            cursor.execute(*((sql,) if self._parameters is None else (sql, self._parameters)))
            return
        except Exception as error:  # what is no fault of the parameters is raised again
            fault = statement_error(error, self.conn_id, self._connection)
            if fault is None and driver_of(self._connection).is_accepted(self._connection, sql, self._parameters):
                fault = read_error(error, self.conn_id, 0, is_fetching=True)
            if fault is None:
                raise
        raise fault

    def _fetch(self, cursor: Any, rows: int, before: int = 0) -> Sequence[Any]:
        """Fetch rows.

        :param before: how many rows the batch has already.
        """
        try:
            fetched: Sequence[Any] = cursor.fetchmany(rows)
            return fetched
        except MemoryError:
            raise  # it is the worker's, and says nothing of a row
        except Exception as error:  # noqa: BLE001 - a driver's converters may be anybody's, and raise anything
            fault = fetch_error(error, self.conn_id, self.rows_read, self.rows_read + before, rows)
        raise fault

    def _batches(self) -> Iterator[Sequence[Mapping[str, Any]]]:
        with closing(driver_of(self._connection).streaming_cursor(self._connection)) as cursor:
            if self._is_cancelled:  # before there was a query to interrupt
                return
            self._execute(cursor)
            rows = self._fetch(cursor, _FIRST_ROWS)
            # psycopg2's server-side cursor knows its columns only after the first fetch.
            if cursor.description is None:
                raise RowsError("the SQL statement returns no rows: sql must be one SELECT")
            names = [str(column[0]) for column in cursor.description]
            names[:1] = [without_mark(name) for name in names[:1]]
            self.columns = names
            yield []  # an empty result has columns too, and they are checked with the first batch
            while rows:
                batch = [*rows]
                weight, weighed = _weight_of_rows(rows), len(rows)
                while rows and len(batch) < BATCH_ROWS and weight < BATCH_BYTES:
                    at_once = min(BATCH_ROWS - len(batch), _rows_in(BATCH_BYTES - weight, weight, weighed))
                    rows = self._fetch(cursor, at_once, len(batch))
                    batch += rows
                    weight, weighed = weight + _weight_of_rows(rows), weighed + len(rows)
                self.rows_read += len(batch)
                # Some connections ask their driver for rows that are mappings already.
                yield without_marks(batch) if isinstance(batch[0], Mapping) else RowBatch(names, batch)
                batch = []
                if rows:
                    rows = self._fetch(cursor, _rows_in(BATCH_BYTES, weight, weighed))

    def cancel(self) -> None:
        """Interrupt a query that runs, where the driver can; may be called from a signal handler."""
        self._is_cancelled = True
        connection = self._connection
        if connection is not None:
            driver_of(connection).interrupt(connection)


def _put(batches: queue.Queue[Any], batch: Any, is_over: threading.Event) -> bool:
    """Hand over a batch; ``False`` when nobody waits for it any more."""
    while not is_over.is_set():
        with suppress(queue.Full):
            batches.put(batch, timeout=_POLL_S)
            return True
    return False


def _weight_of_rows(rows: Sequence[Any]) -> int:
    """About how many bytes fetched rows take."""
    if rows and isinstance(rows[0], Mapping):
        return sum(map(weight_of_row, rows))
    return weight_of_rows(rows)


def _rows_in(room: int, weight: int, rows: int) -> int:
    """How many rows to fetch, if they are like those that were weighed."""
    return max(1, min(_ROWS_AT_ONCE, room * rows // max(1, weight)))


def _batches(rows: Iterable[Any]) -> Iterator[Any]:
    """Lists of at most :data:`BATCH_ROWS` rows and about ``BATCH_BYTES``; an error of the rows follows the last one.

    An error that quotes values comes as a :class:`ReadError`, not raised, so that it has no context.
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
    except Exception as error:  # whatever it is, it is raised again
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
    """Rows, where an item that is a sequence of rows stands for its rows."""
    for item in rows:
        if depth and _is_list(item) and (not len(item) or isinstance(item[0], Mapping) or _is_list(item[0])):
            yield from _flat(item, depth - 1)
        else:
            yield item


def _is_list(item: object) -> bool:
    """A list, or one of Airflow's lazy sequences; a tuple is a row of a driver."""
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
