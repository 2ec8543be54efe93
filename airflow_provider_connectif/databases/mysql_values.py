"""Converts values that drivers of MySQL and MariaDB return as bytes, as ``None``, or as another kind of text."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from airflow_provider_connectif.contacts.rules.numbers import six_digits
from airflow_provider_connectif.databases.conversion import unreadable
from airflow_provider_connectif.databases.fetched_rows import VALUES, RowForm, ValueForm
from airflow_provider_connectif.records.rows import Row, RowBatch

# Numbers of types in MySQL's protocol, and the flag of a SET.
_FLOAT, _BIT, _TEXTS = 4, 16, frozenset((249, 250, 251, 252, 253, 254))
_DATES: Mapping[int, str] = {10: "date", 12: "datetime", 7: "timestamp"}
_SET_FLAG = 2048


def keep_unreadable_of_mysql(connection: Any) -> None:
    """Let a connection return :class:`UnreadableValue` for dates such as ``0000-00-00``.

    mysqlclient turns these wrong values into ``None``; PyMySQL returns their text.
    """
    converters = getattr(connection, "converter", None) or getattr(connection, "decoders", None)
    if not isinstance(converters, dict):
        return
    for number, kind in _DATES.items():
        if callable(convert := converters.get(number)):
            converters[number] = _careful(convert, kind)


def keep_unreadable_of_mysql_connector(connection: Any) -> None:
    """As :func:`keep_unreadable_of_mysql`, for MySQL's own connector, which turns such dates into ``None``."""
    connection.converter_class = _careful_converter()


@functools.cache
def _careful_converter() -> Any:
    from mysql.connector.conversion import MySQLConverter

    def text(self: Any, value: Any, column: Any = None) -> Any:
        # The connector would turn a SET into a Python set, which has no order.
        return _text_if_utf8(value) if column[7] & _SET_FLAG else MySQLConverter._string_to_python(self, value, column)

    dates = {name: f"_{name}_to_python" for name in _DATES.values()}
    careful = {place: staticmethod(_careful(getattr(MySQLConverter, place), name)) for name, place in dates.items()}
    return type("CarefulConverter", (MySQLConverter,), {**careful, "_string_to_python": text})


def _careful(convert: Callable[..., Any], kind: str) -> Callable[..., Any]:
    def converted(text: Any, *column: Any) -> Any:
        value = convert(text, *column)
        if value is None or isinstance(value, (str, bytes)):
            return unreadable(text.decode("ascii", "replace") if isinstance(text, bytes) else str(text), kind)
        return value

    return converted


def form_of_mysql_rows(cursor: Any) -> RowForm:
    """Return the form of the rows of a cursor that has run a query."""
    if not cursor.description:
        return VALUES
    converters = {
        place: convert
        for place, (column, flags) in enumerate(zip(cursor.description, _flags(cursor), strict=True))
        if (convert := _converter(column, flags)) is not None
    }
    return MySqlForm(converters) if converters else VALUES


class MySqlForm(ValueForm):
    """The form of rows of which some columns must be converted.

    :param converters: functions that convert a value, by the position of the column.
    """

    def __init__(self, converters: Mapping[int, Callable[[Any], Any]]) -> None:
        self._converters = converters

    def batch_of(self, columns: Sequence[str], rows: Sequence[Any]) -> Sequence[Row]:
        """Convert fetched rows to a batch.

        :param columns: the column names, in the order of the values; not used if the rows are mappings.
        :param rows: one row or more, as the cursor has returned them.
        """
        if isinstance(rows[0], Mapping):
            return super().batch_of(columns, rows)
        converted = [list(row) for row in rows]
        for place, convert in self._converters.items():
            for row in converted:
                if row[place] is not None:
                    row[place] = convert(row[place])
        return RowBatch(columns, converted)


def _flags(cursor: Any) -> Sequence[int]:
    """Return the flags of the columns, for mysqlclient, PyMySQL and MySQL's own connector."""
    flags = getattr(cursor, "description_flags", None)
    if flags is None and (fields := getattr(getattr(cursor, "_result", None), "fields", None)) is not None:
        flags = [field.flags for field in fields]
    if flags is None:
        flags = [column[7] if len(column) > 7 else 0 for column in cursor.description]
    return [flag or 0 for flag in flags]


def _converter(column: Sequence[Any], flags: int) -> Callable[[Any], Any] | None:
    kind, bits = column[1], column[3]
    if kind == _BIT:
        return None if bits == 1 else _number_of_bits  # the rules treat one bit as a boolean
    if flags & _SET_FLAG:
        return _members
    if kind == _FLOAT:
        return _rounded  # the server writes 1234567 as 1234570
    return _text_if_utf8 if kind in _TEXTS else None


def _number_of_bits(value: Any) -> Any:
    return int.from_bytes(value, "big") if isinstance(value, (bytes, bytearray)) else value


def _rounded(value: Any) -> Any:
    return six_digits(value) if isinstance(value, float) else value


def _members(value: Any) -> Any:
    value = _text_if_utf8(value)
    return (value.split(",") if value else []) if isinstance(value, str) else value


def _text_if_utf8(value: Any) -> Any:
    if not isinstance(value, (bytes, bytearray)):
        return value
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value
