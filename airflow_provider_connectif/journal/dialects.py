"""The differences between the databases that support a journal: one table, :data:`DIALECTS`, by SQLAlchemy's names."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite

LINE_KEY = ("sync_id", "contact_key")
_KEY_SEPARATOR = "\n"  # all characters of contact keys can be printed

# SQLSTATEs of PostgreSQL. Deadlocks: deadlock, serialization failure. Tables: syntax error or access rule violation,
# invalid schema name.
_POSTGRES_DEADLOCKS = ("40P01", "40001")
_POSTGRES_OF_TABLES = ("42", "3F")
# Error numbers of MySQL. Deadlocks: deadlock; on MariaDB, also a row that has changed since the transaction's snapshot.
# Tables: no such table, column or database, or no right to it.
# https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html
_MYSQL_DEADLOCKS = (1213, 1020)
_MYSQL_OF_TABLES = (1044, 1049, 1054, 1142, 1143, 1146)
_SQLITE_OF_TABLES = ("no such table", "no such column", "has no column named", "readonly database")
_OLDEST_POSTGRES = 10
_OLDEST_MYSQL = 8
_OF_MYSQL_S_PROTOCOL = ("TiDB", "Vitess", "SingleStore", "StarRocks", "Doris", "OceanBase")
# MySQL assigns from left to right, and a later expression sees the new values of earlier columns. So columns that are
# computed from others come first, and the columns that these computations read come last.
_MYSQL_ORDER = ("refused_run", "properties", "", "row_digest", "patch_digest", "generation")

Fill = Callable[[Any], Any]
"""Adds the SELECT to an INSERT from a SELECT; returns another INSERT unchanged."""
NewValues = Callable[[Any], Mapping[str, Any]]
"""Returns the values to set in an existing line, given the columns of the new line."""


@dataclass(frozen=True)
class Dialect:
    """The statements and rules of one kind of database.

    :param fault_of: gets the version text of a server; returns why the server is not suitable for a journal, or empty
        text if it is suitable.
    :param clock: the query for the seconds since the epoch by the database's clock.
    :param insert_or_set: one statement that inserts a line, or changes an existing one.
    :param insert_if_absent: one statement that inserts a line, or leaves the existing line with the same primary key
        unchanged. A plain INSERT may end in a deadlock: MySQL then undoes the whole transaction with its savepoints.
    :param among_keys: returns the condition that a column has one of the keys in the parameter ``keys``.
    :param pack_keys: returns keys as the parameter ``keys``. It is one text if the database can unpack it: a thousand
        parameters would cost more than the look-up.
    :param select_packed: returns a query for the lines that ``pack_lines`` has packed, with these columns of a table;
        ``None`` if the database cannot unpack lines.
    :param pack_lines: returns lines as the parameters of an INSERT. They are one text if the database can unpack it. A
        parameter for each value would double the time of this process, a statement for each line that of the database.
    :param is_deadlock: returns whether the database has rolled back a statement to end a deadlock.
    :param is_about_tables: returns whether a driver's error means that a table or column is missing or not accessible.
    """

    fault_of: Callable[[str], str]
    clock: sa.TextClause
    insert_or_set: Callable[[sa.Table, Fill, NewValues], Any]
    insert_if_absent: Callable[[sa.Table], Any]
    among_keys: Callable[[Any], Any]
    pack_keys: Callable[[Collection[str]], Any]
    select_packed: Callable[[sa.Table, Sequence[str]], Any]
    pack_lines: Callable[[Sequence[Mapping[str, Any]]], Any]
    is_deadlock: Callable[[BaseException], bool]
    is_about_tables: Callable[[BaseException], bool]

    def insert_lines(self, table: sa.Table, columns: Sequence[str]) -> Any:
        """Return a statement that inserts lines into a table; the database numbers them.

        :param columns: the columns of the lines, without the number.
        :return: the statement. Its parameters are the result of ``pack_lines``.
        """
        packed = self.select_packed(table, columns)
        return sa.insert(table) if packed is None else sa.insert(table).from_select(columns, packed)


def exact_text(length: int) -> Any:
    """Return a column type for text of any letters. MySQL's default may know only Latin letters, and ignore case.

    MySQL ignores trailing spaces in comparisons. No key, run or task has any.
    """
    exact = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")
    return sa.String(length).with_variant(exact, "mysql").with_variant(exact, "mariadb")


def long_text() -> Any:
    """Return a column type for text of any letters and length.

    MySQL's plain type ends at 64 KiB, and accepts only letters of the database's character set.
    """
    long = mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin")
    return sa.Text().with_variant(long, "mysql").with_variant(long, "mariadb")


def moment() -> Any:
    """Return a column type for a moment to the microsecond.

    MySQL's plain type ends at seconds. MySQL stores no time zone, so moments are in UTC there.
    """
    exact = mysql.DATETIME(fsp=6)
    return sa.DateTime(timezone=True).with_variant(exact, "mysql").with_variant(exact, "mariadb")


def _on_conflict(insert_into: Callable[[sa.Table], Any], lines: sa.Table, fill: Fill, values: NewValues) -> Any:
    insert = insert_into(lines)
    return fill(insert).on_conflict_do_update(index_elements=list(LINE_KEY), set_=values(insert.excluded))


def _or_nothing(insert_into: Callable[[sa.Table], Any], table: sa.Table) -> Any:
    return insert_into(table).on_conflict_do_nothing()


def _or_the_same(table: sa.Table) -> Any:
    # INSERT IGNORE would give shared locks to two tasks that wait for a third task's line, and so cause a deadlock.
    key = next(iter(table.primary_key.columns))
    return mysql.insert(table).on_duplicate_key_update({key.name: key})


def _on_duplicate_key(lines: sa.Table, fill: Fill, values: NewValues) -> Any:
    # Filled before ``inserted`` is used: ``from_select`` returns a copy, for which SQLAlchemy 2.0 uses another name.
    insert = fill(mysql.insert(lines))

    def place(item: tuple[str, Any]) -> int:
        return _MYSQL_ORDER.index(item[0] if item[0] in _MYSQL_ORDER else "")

    return insert.on_duplicate_key_update(sorted(values(insert.inserted).items(), key=place))


def _among_array(column: Any) -> Any:
    return column == sa.any_(sa.func.string_to_array(sa.bindparam("keys", type_=sa.String), _KEY_SEPARATOR))


def _among_json(column: Any) -> Any:
    unpacked = sa.func.json_each(sa.bindparam("keys", type_=sa.String)).table_valued("value")
    return column.in_(sa.select(unpacked.c.value))


def _among_parameters(column: Any) -> Any:
    return column.in_(sa.bindparam("keys", expanding=True))


def _as_json(keys: Collection[str]) -> str:
    return json.dumps(list(keys))


def _no_query(table: sa.Table, columns: Sequence[str]) -> None:
    return None


def _select_recordset(table: sa.Table, columns: Sequence[str]) -> Any:
    packed = sa.cast(sa.bindparam("lines", type_=sa.String), postgresql.JSON)
    parts = [sa.column(name, table.c[name].type) for name in columns]
    unpacked = sa.func.json_to_recordset(packed).table_valued(*parts).render_derived(with_types=True)
    return sa.select(*(unpacked.c[name] for name in columns))


def _as_recordset(lines: Sequence[Mapping[str, Any]]) -> Mapping[str, str]:
    return {"lines": _recordset(lines)}


def _as_text(value: Any) -> str:
    return f"\\x{value.hex()}" if isinstance(value, bytes) else value.isoformat()


_recordset = json.JSONEncoder(separators=(",", ":"), default=_as_text).encode  # built once


def sqlstate(error: BaseException) -> str:
    """Return the SQLSTATE of a driver's error; empty if it has none."""
    return getattr(error, "sqlstate", None) or getattr(error, "pgcode", None) or ""


def _has_state(states: tuple[str, ...], error: BaseException) -> bool:
    return sqlstate(error).startswith(states)


def _has_number(numbers: tuple[int, ...], error: BaseException) -> bool:
    return next(iter(error.args), None) in numbers  # the first argument of the drivers' errors


def _has_words(words: tuple[str, ...], error: BaseException) -> bool:
    return any(known in str(error) for known in words)


def _fault_of_postgres(version: str) -> str:
    number = re.match(r"PostgreSQL (\d+)", version)
    if "Redshift" in version:
        return "it is Amazon Redshift, which has no unique keys"
    if number is None:
        return "it speaks PostgreSQL's protocol and is another database"
    return "" if int(number[1]) >= _OLDEST_POSTGRES else f"a journal needs PostgreSQL {_OLDEST_POSTGRES} or newer"


def _fault_of_mysql(version: str) -> str:
    if other := next((name for name in _OF_MYSQL_S_PROTOCOL if name.lower() in version.lower()), ""):
        return f"it is {other}, which speaks MySQL's protocol"
    number = re.match(r"(\d+)\.", version)
    is_old = number is None or int(number[1]) < _OLDEST_MYSQL
    return f"a journal needs MySQL {_OLDEST_MYSQL}, MariaDB 10 or newer" if is_old else ""


def _no_fault(_: str) -> str:
    return ""


_MYSQL = Dialect(
    fault_of=_fault_of_mysql,
    # In UTC, since in the session's zone one hour of each autumn may occur twice.
    clock=sa.text("select timestampdiff(microsecond, '1970-01-01', utc_timestamp(6)) * 1e-6"),
    insert_or_set=_on_duplicate_key,
    insert_if_absent=_or_the_same,
    among_keys=_among_parameters,
    pack_keys=list,
    select_packed=_no_query,
    pack_lines=list,
    is_deadlock=partial(_has_number, _MYSQL_DEADLOCKS),
    is_about_tables=partial(_has_number, _MYSQL_OF_TABLES),
)
DIALECTS: Mapping[str, Dialect] = MappingProxyType(
    {
        "postgresql": Dialect(
            fault_of=_fault_of_postgres,
            clock=sa.text("select extract(epoch from clock_timestamp())"),
            insert_or_set=partial(_on_conflict, postgresql.insert),
            insert_if_absent=partial(_or_nothing, postgresql.insert),
            among_keys=_among_array,
            pack_keys=_KEY_SEPARATOR.join,
            select_packed=_select_recordset,
            pack_lines=_as_recordset,
            is_deadlock=partial(_has_state, _POSTGRES_DEADLOCKS),
            is_about_tables=partial(_has_state, _POSTGRES_OF_TABLES),
        ),
        "sqlite": Dialect(
            fault_of=_no_fault,
            clock=sa.text("select (julianday('now') - 2440587.5) * 86400.0"),  # the Julian day of the epoch
            insert_or_set=partial(_on_conflict, sqlite.insert),
            insert_if_absent=partial(_or_nothing, sqlite.insert),
            among_keys=_among_json,
            pack_keys=_as_json,
            select_packed=_no_query,
            pack_lines=list,
            is_deadlock=partial(_has_words, ()),  # no deadlocks: SQLite has one writer at a time
            is_about_tables=partial(_has_words, _SQLITE_OF_TABLES),
        ),
        "mysql": _MYSQL,
        "mariadb": _MYSQL,
    }
)


def dialect_named(name: str) -> Dialect:
    """Return the dialect with SQLAlchemy's name.

    :raises ValueError: the database is not PostgreSQL, SQLite, MySQL or MariaDB.
    """
    if name not in DIALECTS:
        raise ValueError(f"no journal in a {name} database: use PostgreSQL, MySQL, MariaDB or SQLite")
    return DIALECTS[name]
