"""Options of the journal's SQLAlchemy engine, by driver."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sqlalchemy as sa

_SQLITE_WAITS_S = 30
# A transaction of a journal locks a line, and then asks for what others have written before that. MySQL's default, and
# that of a PostgreSQL role, may show what was there when the transaction began.
_SEES_WHAT_IS_COMMITTED = "READ COMMITTED"
# Options that MySQL's drivers read from a URL, and options that Airflow's hook reads itself.
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

    :param url: of the database.
    :param connect_args: for the driver's ``connect``.
    :param on_connect: a statement for each new connection.
    :param fault: the reason why the database cannot be used, if it is known in advance.
    :param left_out: names of options in the connection's extra that the driver does not know.
    :param isolation_level: of its transactions; ``None``: the database's own.
    """

    url: sa.URL
    connect_args: Mapping[str, Any] = field(default_factory=dict)
    on_connect: str | None = None
    fault: str = ""
    left_out: tuple[str, ...] = ()
    isolation_level: str | None = None


def url_only(url: sa.URL, _: Mapping[str, Any]) -> EngineOptions:
    """Return the hook's URL without further options."""
    return EngineOptions(url)


def nothing_is_broken(_: Mapping[str, Any]) -> str:
    """Return that no setting is known to be wrong."""
    return ""


def missing_root_certificate(extra: Mapping[str, Any]) -> str:
    """Return why libpq will not encrypt; empty if no reason is known."""
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
        # A source may need other letters, or bytes; the journal's text is Unicode.
        url.difference_update_query([*others, *_MYSQL_LETTERS]).update_query_dict({"charset": "utf8mb4"}),
        connect_args={"ssl": ssl} if isinstance(ssl, dict) else {},
        left_out=tuple(name for name in others if name not in _MYSQL_HOOK_OPTIONS),
        isolation_level=_SEES_WHAT_IS_COMMITTED,
    )


def sqlite_engine(url: sa.URL, _: Mapping[str, Any]) -> EngineOptions:
    """Return the options for SQLite, whose file several connections share."""
    folder = os.path.dirname(url.database or "")
    return EngineOptions(
        url.set(query={}),  # in which the hook puts the extra
        connect_args={"check_same_thread": False, "timeout": _SQLITE_WAITS_S},
        # So that a source that is read from the same file does not lock the journal.
        on_connect="pragma journal_mode=wal",
        fault="" if not folder or os.path.isdir(folder) else f"its folder {folder!r} does not exist",
    )
