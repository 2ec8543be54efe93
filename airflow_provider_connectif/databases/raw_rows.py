"""Reads rows of PostgreSQL as texts, with psycopg 3, and converts a row only when it is used.

A million unchanged rows are never converted: their texts show that they have not changed, and conversion takes longer
than everything else that such a row needs. Conversion also fails for a value beyond Python's range, with an error that
quotes the value. So rows are converted one by one, and after an error value by value.
"""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from operator import itemgetter
from types import SimpleNamespace
from typing import Any

from airflow_provider_connectif.databases.conversion import single_loader, unreadable
from airflow_provider_connectif.databases.fetched_rows import VALUES, RowForm
from airflow_provider_connectif.records.raw_rows import RawBatch, RawValues
from airflow_provider_connectif.records.rows import Row

_FLOAT4_OID, _BYTEA_OID = 700, 17
_EMPTY_BYTES = 33  # size of an empty text in memory
_PACKAGES = ("psycopg", "psycopg_binary", "psycopg_c")
_ARRAYS = "psycopg.types.array"  # its classes are generated, too, but load items with the loaders of their types
# The session's settings that decide which value a text means; others decide only how a value is written.
_SETTINGS = ("DateStyle", "IntervalStyle", "TimeZone", "client_encoding")


def raw_cursor(connection: Any) -> Any:
    """Return a server-side cursor of psycopg 3 that returns texts, or values if the connection makes rows of its own.

    Real numbers of four bytes are converted as :func:`airflow_provider_connectif.contacts.rules.numbers.single` does.
    """
    from psycopg import rows
    from psycopg.pq import Format

    loader = connection.adapters.get_loader(_FLOAT4_OID, Format.TEXT)
    if loader is not None and _is_of_the_driver(loader):
        connection.adapters.register_loader(_FLOAT4_OID, single_loader())
    cursor = connection.cursor(name=f"connectif_{uuid.uuid4().hex}")
    is_usual = connection.row_factory in (rows.tuple_row, rows.dict_row, rows.namedtuple_row)
    return RawCursor(connection, cursor) if is_usual else cursor


class RawCursor:
    """Fetches rows of a server-side cursor without converting them: tuples of ``bytes`` and ``None``.

    :param cursor: a named cursor of the connection.
    """

    def __init__(self, connection: Any, cursor: Any) -> None:
        import psycopg
        from psycopg.adapt import AdaptersMap, Transformer
        from psycopg.types.string import ByteaBinaryLoader

        self._cursor = cursor
        self._fetching = psycopg.Cursor(connection)
        # The loader that returns bytes unchanged. It belongs to another format, but nothing checks that.
        adapters = AdaptersMap()
        adapters.register_loader(_BYTEA_OID, ByteaBinaryLoader)
        self._loading = Transformer(SimpleNamespace(adapters=adapters, connection=connection))
        self._values: Any = None  # known after the query

    @property
    def description(self) -> Any:
        """The columns of the result; ``None`` if the statement is not a query."""
        return self._cursor.description

    def execute(self, *arguments: Any) -> None:
        """Run a query, like a cursor of the driver."""
        from psycopg.pq import Format

        self._cursor.execute(*arguments, binary=False)
        columns = self._cursor.description or ()
        self._loading.set_loader_types([_BYTEA_OID] * len(columns), Format.BINARY)
        self._values = PostgresValues(self._cursor, [column.type_code for column in columns])

    def fetchmany(self, size: int) -> list[tuple[bytes | None, ...]]:
        """Return the next rows; none at the end."""
        self._fetching.execute(f'fetch forward {size:d} from "{self._cursor.name}"', prepare=False, binary=False)
        result = self._fetching.pgresult
        self._loading.set_pgresult(result, set_loaders=False)
        # A successful query has a result.
        rows: list[tuple[bytes | None, ...]] = self._loading.load_rows(0, result.ntuples, tuple)  # type: ignore[union-attr]
        return rows

    def weight_of(self, rows: Sequence[Any]) -> int:
        """Return about how many bytes fetched rows take."""
        columns = len(rows[0]) if rows else 0
        return _EMPTY_BYTES * columns * len(rows) + sum(map(len, filter(None, chain.from_iterable(rows))))

    def batch_of(self, columns: Sequence[str], rows: Sequence[Any]) -> Sequence[Row]:
        """Return a batch of fetched rows."""
        return RawBatch(columns, rows, self._values)

    def close(self) -> None:
        """Release the result."""
        self._fetching.close()
        self._cursor.close()


def form_of_rows(cursor: Any) -> RowForm:
    """Return the form of the rows of a cursor from :func:`raw_cursor`."""
    return cursor if isinstance(cursor, RawCursor) else VALUES


class PostgresValues(RawValues):
    """Converts the texts of one result, with the loaders that are registered for its cursor.

    :param cursor: a cursor that has run the query. Rows can be converted after it is closed.
    :param oids: object ids of the columns' types.
    """

    def __init__(self, cursor: Any, oids: Sequence[int]) -> None:
        from psycopg.adapt import Transformer
        from psycopg.pq import Format

        self._transformer = Transformer(cursor)
        self._transformer.set_loader_types(oids, Format.TEXT)
        adapters, types = cursor.adapters, cursor.adapters.types
        every = {*oids, *(info.oid for info in types), *(info.array_oid for info in types)} - {0}
        # Some loaders read the connection's time zone when they are created, also those for items of arrays and ranges.
        self._loaders = {oid: self._transformer.get_loader(oid, Format.TEXT) for oid in every}
        self._oids = oids
        self._kinds = [_kind_of(types.get(oid), oid) for oid in oids]
        self._careful_loaders = [self._careful_loader(position) for position in range(len(oids))]
        self.types: Sequence[int] | None = None
        if all(_is_of_the_driver(loader) for oid in every if (loader := adapters.get_loader(oid, Format.TEXT))):
            self.types = oids
        status = cursor.connection.info.parameter_status
        self.settings = tuple(str(status(name)) for name in _SETTINGS)

    def row(self, raw: Sequence[bytes | None]) -> Sequence[Any]:
        """Return the values of a row; an :class:`UnreadableValue` for each that cannot be converted."""
        try:
            return self._transformer.load_sequence(raw)
        except Exception:  # noqa: BLE001 - an author may have registered a loader, and it may raise anything
            return [self._value(text, place) for place, text in enumerate(raw)]

    def column(self, rows: Iterable[Sequence[bytes | None]], position: int) -> list[Any]:
        """Return the values of one column."""
        texts = list(map(itemgetter(position), rows))
        load = self._loaders[self._oids[position]].load
        try:
            if all(texts):  # the usual case for a key
                return list(map(load, texts))
            return [None if text is None else load(text) for text in texts]
        except Exception:  # noqa: BLE001 - as above
            return [self._value(text, position) for text in texts]

    def loader(self, position: int) -> Callable[[bytes], Any]:
        """Return a function that converts the texts of one column."""
        return self._careful_loaders[position]

    def _careful_loader(self, position: int) -> Callable[[bytes], Any]:
        load_text, kind = self._loaders[self._oids[position]].load, self._kinds[position]

        def load(text: bytes) -> Any:
            try:
                return load_text(text)
            except Exception:  # noqa: BLE001 - as above
                return unreadable(text.decode("utf-8", "surrogateescape"), kind)

        return load

    def _value(self, text: bytes | None, position: int) -> Any:
        return None if text is None else self._careful_loaders[position](text)


def _kind_of(info: Any, oid: int) -> str:
    if info is None:
        return "text"  # the driver treats an unknown type as text
    return str(info.name) if oid == info.oid else f"{info.name} array"


def _is_of_the_driver(loader: Any) -> bool:
    """Whether a class of loaders is the driver's own, without any code of the DAG's author.

    The driver generates classes for authors, for example for an enumeration. No module of it has a name for them.
    """
    from psycopg.types.json import JsonLoader

    if loader is single_loader():
        return True
    module = loader.__module__
    if module.partition(".")[0] not in _PACKAGES:
        return False
    is_named = getattr(sys.modules.get(module), loader.__qualname__, None) is loader
    # An author's function for reading all JSON is an attribute of the driver's own class.
    return (is_named or module == _ARRAYS) and getattr(JsonLoader, "_loads", None) is json.loads
