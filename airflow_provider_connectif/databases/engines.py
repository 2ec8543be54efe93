"""Options of the journal's SQLAlchemy engine, by driver."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import sqlalchemy as sa

Access = Literal["create", "rw", "ro"]
"""``create``: create a missing database. ``rw``: change an existing one. ``ro``: only read it."""

_SQLITE_WAITS_S = 30
_WAL = b"\x02"  # byte 19 of a SQLite file in WAL mode, its read version
# A transaction of the journal locks a line, and then must read what others wrote before the lock. With MySQL's default
# level, or a PostgreSQL role's own, it may read what was there when the transaction began.
_SEES_WHAT_IS_COMMITTED = "READ COMMITTED"
# Options that MySQL's drivers read from a URL. Airflow's hook reads those of _MYSQL_HOOK_OPTIONS itself.
# fmt: off
_MYSQL_OPTIONS = frozenset(
    (
        "auth_plugin", "charset", "client_flag", "collation", "compress", "connect_timeout", "init_command",
        "local_infile", "read_default_file", "read_default_group", "read_timeout", "sql_mode", "ssl_ca",
        "ssl_capath", "ssl_cert", "ssl_check_hostname", "ssl_cipher", "ssl_disabled", "ssl_key", "ssl_mode",
        "ssl_verify_cert", "ssl_verify_identity", "unix_socket", "use_unicode", "write_timeout",
    )
)
# fmt: on
_MYSQL_LETTERS = ("charset", "collation", "use_unicode")
_MYSQL_HOOK_OPTIONS = frozenset(("aws_conn_id", "client", "cursor", "iam", "ssl", "use_pure"))


@dataclass(frozen=True)
class EngineOptions:
    """The options of the journal's engine.

    :param url: the database's URL.
    :param connect_args: arguments for the driver's ``connect``.
    :param on_connect: a statement for each new connection.
    :param fault: the reason why the database cannot be used, if it is known in advance.
    :param left_out: names of options in the connection's extra that the driver does not know.
    :param isolation_level: the isolation level of transactions; ``None``: the database's default.
    :param creator: opens a connection, which is closed after each use. ``None``: SQLAlchemy opens connections and keeps
        them open.
    """

    url: sa.URL
    connect_args: Mapping[str, Any] = field(default_factory=dict)
    on_connect: str | None = None
    fault: str = ""
    left_out: tuple[str, ...] = ()
    isolation_level: str | None = None
    creator: Callable[[], Any] | None = None


def url_only(url: sa.URL, _: Mapping[str, Any]) -> EngineOptions:
    """Return the hook's URL without further options."""
    return EngineOptions(url)


def as_it_is(options: EngineOptions, _: Access) -> EngineOptions:
    """Return the options unchanged: a server does not create a missing database for a client."""
    return options


def nothing_is_broken(_: Mapping[str, Any]) -> str:
    """Return an empty text: no setting is known to be wrong."""
    return ""


def missing_root_certificate(extra: Mapping[str, Any]) -> str:
    """Return the reason why libpq will not encrypt; empty if none is known."""
    # libpq checks it only after the server has agreed to encrypt, so a server that is down would hide the fault.
    path = str(extra.get("sslrootcert") or "")
    is_needed = str(extra.get("sslmode")).startswith("verify-") and path not in ("", "system")
    return "its sslrootcert names a file that does not exist" if is_needed and not os.path.exists(path) else ""


def libpq_engine(url: sa.URL, extra: Mapping[str, Any]) -> EngineOptions:
    """Return the options for psycopg2: the extra goes to libpq."""
    return EngineOptions(
        url,
        connect_args=extra,
        fault=missing_root_certificate(extra),
        isolation_level=_SEES_WHAT_IS_COMMITTED,
    )


def psycopg_engine(url: sa.URL, extra: Mapping[str, Any]) -> EngineOptions:
    """Return the options for psycopg 3, without prepared statements."""
    # Behind a pooler each transaction may have another session, which does not know the earlier session's statements.
    return replace(libpq_engine(url, extra), connect_args={"prepare_threshold": None, **extra})


def mysql_engine(url: sa.URL, extra: Mapping[str, Any]) -> EngineOptions:
    """Return the options for MySQL's drivers, with the settings that they know."""
    # The hook puts the whole extra into its URL, including entries that are meant for Airflow or for a cursor.
    others = [name for name in url.query if name not in _MYSQL_OPTIONS]
    ssl = extra.get("ssl")
    return EngineOptions(
        # The connection may have another character set, for a source. The journal's text is Unicode.
        url.difference_update_query([*others, *_MYSQL_LETTERS]).update_query_dict({"charset": "utf8mb4"}),
        connect_args={"ssl": ssl} if isinstance(ssl, dict) else {},
        left_out=tuple(name for name in others if name not in _MYSQL_HOOK_OPTIONS),
        isolation_level=_SEES_WHAT_IS_COMMITTED,
    )


def sqlite_engine(url: sa.URL, _: Mapping[str, Any]) -> EngineOptions:
    """Return the options for SQLite, whose file several connections share."""
    folder = os.path.dirname(url.database or "")
    return EngineOptions(
        url.set(query={}),  # the hook puts the extra into the query
        connect_args={"check_same_thread": False, "timeout": _SQLITE_WAITS_S},
        # Otherwise a source that is read from the same file would lock the journal.
        on_connect="pragma journal_mode=wal",
        fault="" if not folder or os.path.isdir(folder) else f"its folder {folder!r} does not exist",
    )


def existing_sqlite(options: EngineOptions, access: Access) -> EngineOptions:
    """Return the options for a SQLite file that is not created and keeps its mode.

    A missing file looks like an empty database.

    :param access: ``rw`` or ``ro``.
    """
    path = os.path.abspath(options.url.database or "")
    connect_args = dict(options.connect_args)

    def connect() -> Any:
        import sqlite3

        # The file may be created or deleted while the engine exists.
        place = f"{Path(path).as_uri()}?mode={access}" if os.path.exists(path) else ":memory:"
        return sqlite3.connect(place, uri=True, **connect_args)

    return replace(options, creator=connect, on_connect=None, fault=options.fault or _fault_of_sqlite_file(path))


def _fault_of_sqlite_file(path: str) -> str:
    """Return the reason why an existing file cannot be opened; empty if none is known."""
    if not os.path.isfile(path):
        return ""
    try:
        with open(path, "rb") as file:
            is_wal = file.read(20)[19:] == _WAL
    except OSError as error:
        return f"its file {path!r} cannot be read ({error.strerror})"
    folder = os.path.dirname(path)
    if not is_wal or os.access(folder, os.W_OK) or all(os.path.exists(path + end) for end in ("-wal", "-shm")):
        return ""
    return f"its file is in SQLite's WAL mode, and SQLite cannot create the files '-wal' and '-shm' in {folder!r}"
