"""Rows from SQL, in batches and in constant memory."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any, NamedTuple

from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_connectif.api.errors import RunFailed
from airflow_provider_connectif.databases.drivers import driver_of
from airflow_provider_connectif.databases.fetched_rows import VALUES, RowForm
from airflow_provider_connectif.databases.handover import END, Handover
from airflow_provider_connectif.databases.hooks import connect
from airflow_provider_connectif.databases.read_errors import (
    ReadError,
    connection_error,
    fetch_error,
    read_error,
    statement_error,
)
from airflow_provider_connectif.databases.sources import RowsError
from airflow_provider_connectif.databases.statements import without_semicolon
from airflow_provider_connectif.records.outcomes import SourceError
from airflow_provider_connectif.records.rows import BATCH_BYTES, without_mark

_BATCH_ROWS = 2000  # each batch waits once for the journal's database
_ROWS_AT_ONCE = 500  # rows of one fetch: their size is known only afterwards
_FIRST_ROWS = 50
_BYTES_MEANWHILE = 128 * 1024  # bytes of one fetch ahead: after less, a server with full buffers could not write
_SEVERAL = "sql has several statements, and the rows of one alone would be read: sql must be one SELECT"
_INTERRUPT_S = 2.0  # time for a query that took too long to end, and for its connection to be closed


class _Fetched(NamedTuple):
    """Rows of one fetch, and about how many bytes they take."""

    rows: Sequence[Any]
    weight: int


class SqlSource:
    """The result of a query, streamed: with a server-side cursor if the driver has one.

    :param hook: any DbApiHook.
    :param conn_id: its connection's id, for messages.
    :param sql: one statement that returns rows.
    :param parameters: parameters of the statement, in the form of the driver's ``execute``.
    :param read_timeout_s: time limit in seconds for the query, including the time for its connection.
    :param clock: seconds on a clock that only goes forward.
    :raises RowsError: the connection has no database hook; from iteration: the statement has no result, or ``sql`` has
        several statements.
    :raises ReadError: from iteration: the database failed; or the statement, its parameters or the settings of the
        connection are wrong (``final``). The database's message is shown if it is about objects, not about rows.
    :raises SourceError: from iteration: the query did not end within ``read_timeout_s``; it is interrupted.
    """

    def __init__(
        self,
        hook: Any,
        conn_id: str,
        sql: str,
        parameters: Mapping[str, Any] | Iterable[Any] | None = None,
        *,
        read_timeout_s: float = math.inf,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not hasattr(hook, "get_conn") or not hasattr(hook, "get_records"):
            raise RowsError(f"connection {conn_id!r} is not an SQL connection: its hook is {type(hook).__name__}")
        self.columns: Sequence[str] | None = None
        self.size: int | None = None  # known only at the end of a streamed result
        self._hook = hook
        self.conn_id = conn_id
        self._sql = sql
        self._parameters = parameters
        self._read_timeout_s = read_timeout_s
        self._clock = clock
        self.rows_read = 0
        self._connection: Any = None
        self._cursor: Any = None
        self._form: RowForm = VALUES
        self._is_at_end = False
        self._ahead: deque[_Fetched] = deque()
        self._weight_ahead = 0
        self._row_weight = 0  # approximately; known after the first batch
        self._fault_ahead: ReadError | None = None
        self._is_cancelled = False

    def __iter__(self) -> Generator[Sequence[Mapping[str, Any]], None, None]:
        # The query is read in a separate thread, since some drivers delay signals in the thread that waits for a query.
        # A killed task must notice its signal, even if its query hangs.
        deadline = self._clock() + self._read_timeout_s
        handover = Handover()
        reader = threading.Thread(target=self._read_into, args=(handover,), name="connectif-sql", daemon=True)
        reader.start()
        try:
            while True:
                is_alive = reader.is_alive()  # checked first, so that its last item is still found
                item = handover.get()
                if item is None:
                    if self._is_cancelled:
                        return
                    if not is_alive:
                        raise ReadError(f"Reading from {self.conn_id!r} ended without an error and without a last row")
                    if self._clock() >= deadline:
                        handover.close()
                        self._give_up(reader)
                        raise SourceError(self._read_timeout_s, self.rows_read)
                    continue
                if item is END:
                    return
                if isinstance(item, BaseException):
                    raise self._fault_of(item)
                yield item
                del item  # the next one is being read
        finally:
            handover.close()

    def _read_into(self, handover: Handover) -> None:
        with handover, closing(self._connected()) as self._connection:
            try:
                for batch in self._batches():
                    if not handover.put(batch, self._fetch_meanwhile):
                        return
                    del batch  # the queue has it, and the next one is read now
            finally:
                self._connection = self._cursor = None

    def _fault_of(self, error: BaseException) -> Exception:
        """Return the error that ends the run."""
        # A driver's error is not passed on: it quotes values, and so may its context and traceback.
        if isinstance(error, (RunFailed, AirflowException, MemoryError)):
            return error
        if isinstance(error, Exception):
            return read_error(error, self.conn_id, self.rows_read, parameters=self._parameters)
        return ReadError(f"Reading from {self.conn_id!r} was ended by {type(error).__name__}")

    def _give_up(self, reader: threading.Thread) -> None:
        """End the query and wait until its connection is closed, but not longer if the server does not respond."""
        threading.Thread(target=self.cancel, name="connectif-cancel", daemon=True).start()
        reader.join(_INTERRUPT_S)

    def _connected(self) -> Any:
        try:
            connection = connect(self._hook)
            driver_of(connection).keep_unreadable_values(connection)
            return connection
        except Exception as error:  # errors that are not the fault of a setting are raised again
            fault = connection_error(error, self.conn_id, self._extra())
            if fault is None:
                raise
        raise fault

    def _extra(self) -> Mapping[str, Any]:
        """Return the connection's extra; empty if the hook is not one of Airflow's."""
        if not hasattr(self._hook, "get_connection"):
            return {}
        extra: Mapping[str, Any] = self._hook.get_connection(self.conn_id).extra_dejson
        return extra

    def _execute(self, cursor: Any) -> None:
        refuses_semicolon = driver_of(self._connection).refuses_semicolon or getattr(
            self._hook, "strip_semicolon", False
        )
        sql = without_semicolon(self._sql) if refuses_semicolon else self._sql
        try:
            cursor.execute(*((sql,) if self._parameters is None else (sql, self._parameters)))
            return
        except Exception as error:  # errors that are not the fault of the parameters are raised again
            fault = statement_error(error, self.conn_id, self._connection, self._parameters)
            if fault is None and driver_of(self._connection).is_accepted(self._connection, sql, self._parameters):
                fault = read_error(error, self.conn_id, 0, is_fetching=True)
            if fault is None:
                raise
        raise fault

    def _fetch_meanwhile(self) -> None:
        """Fetch a few rows ahead, since databases end the session of a reader that does not fetch for a long time."""
        if not self._row_weight or self._weight_ahead >= BATCH_BYTES or self._fault_ahead is not None:
            return
        try:
            fetched = self._fetch(
                _rows_in(_BYTES_MEANWHILE, self._row_weight, 1), sum(len(a.rows) for a in self._ahead)
            )
        except ReadError as fault:
            self._fault_ahead = fault  # raised after the rows before it are passed on
            return
        if fetched.rows:
            self._ahead.append(fetched)
            self._weight_ahead += fetched.weight

    def _next(self, rows: int, before: int = 0) -> _Fetched:
        """Return rows that were fetched ahead, or newly fetched ones; empty at the end.

        :param before: number of rows that the batch already has.
        """
        if not self._ahead:
            if self._fault_ahead is not None:
                raise self._fault_ahead
            return self._fetch(rows, before)
        fetched = self._ahead.popleft()
        if len(fetched.rows) > rows:
            self._ahead.appendleft(self._weighed(fetched.rows[rows:]))
            fetched = _Fetched(fetched.rows[:rows], fetched.weight - self._ahead[0].weight)
        self._weight_ahead -= fetched.weight
        return fetched

    def _fetch(self, rows: int, before: int) -> _Fetched:
        if self._is_at_end:
            return _Fetched((), 0)
        try:
            fetched: Sequence[Any] = self._cursor.fetchmany(rows)
            self._is_at_end = not fetched
            return self._weighed(fetched)
        except MemoryError:
            raise  # it is about the worker's memory, not about a row
        except Exception as error:  # noqa: BLE001 - a driver's converters may be anybody's, and raise anything
            fault = fetch_error(error, self.conn_id, self.rows_read, self.rows_read + before, rows)
        raise fault

    def _weighed(self, rows: Sequence[Any]) -> _Fetched:
        return _Fetched(rows, self._form.weight_of(rows))

    def _batches(self) -> Iterator[Sequence[Mapping[str, Any]]]:
        with closing(driver_of(self._connection).streaming_cursor(self._connection)) as cursor:
            if self._is_cancelled:  # before there was a query to interrupt
                return
            self._execute(cursor)
            if not driver_of(self._connection).runs_alone(cursor, self._sql):
                raise RowsError(_SEVERAL)
            self._cursor, self._form = cursor, driver_of(self._connection).row_form(cursor)
            fetched = self._next(_FIRST_ROWS)
            # psycopg2's server-side cursor knows its columns only after the first fetch.
            if cursor.description is None:
                raise RowsError("the SQL statement is not a query: sql must be one SELECT")
            names = [str(column[0]) for column in cursor.description]
            names[:1] = [without_mark(name) for name in names[:1]]
            self.columns = names
            yield []  # an empty result has columns, too, and they are checked with the first batch
            while fetched.rows:
                batch, weight = [*fetched.rows], fetched.weight
                while fetched.rows and len(batch) < _BATCH_ROWS and weight < BATCH_BYTES:
                    at_once = min(_BATCH_ROWS - len(batch), _rows_in(BATCH_BYTES - weight, weight, len(batch)))
                    fetched = self._next(at_once, len(batch))
                    batch += fetched.rows
                    weight += fetched.weight
                self.rows_read += len(batch)
                self._row_weight = max(1, weight // len(batch))
                at_once = _rows_in(BATCH_BYTES, weight, len(batch))
                yield self._form.batch_of(names, batch)
                batch = []
                if fetched.rows:
                    fetched = self._next(at_once)
            if not driver_of(self._connection).ends_alone(cursor):
                raise RowsError(_SEVERAL)

    def cancel(self) -> None:
        """Stop reading, and interrupt a running query if the driver can. A signal handler may call this."""
        self._is_cancelled = True
        connection = self._connection
        if connection is not None:
            driver_of(connection).interrupt(connection)


def _rows_in(room: int, weight: int, rows: int) -> int:
    """Return the number of rows to fetch, if they are as large as earlier rows.

    :param room: the bytes that they may take.
    :param weight: the bytes of the earlier rows.
    :param rows: the number of the earlier rows.
    """
    return max(1, min(_ROWS_AT_ONCE, room * rows // max(1, weight)))
