"""Opens the journal of an Airflow connection."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, get_args

from airflow.providers.common.compat.sdk import AirflowException, BaseHook

from airflow_provider_connectif.hooks.connection_lookup import connection_named_by
from airflow_provider_connectif.records.outcomes import JournalError
from airflow_provider_connectif.reporting import wording
from airflow_provider_connectif.reporting.folding import FoldedLog

if TYPE_CHECKING:
    from airflow_provider_connectif.databases.engines import Access
    from airflow_provider_connectif.journal.store import Journal

JournalKey = Literal["plain", "sha256"]
_LOG = FoldedLog(logging.getLogger(__name__))
SECRET_EXTRA = "connectif_journal_secret"  # noqa: S105 - the name of an extra, not a secret


class _Unusable(Exception):
    """The journal's database cannot be used; the text contains no secret."""


@dataclass(frozen=True)
class JournalConnection:
    """The place and the settings of an operator's journal.

    :param conn_id: a connection whose hook returns a SQLAlchemy engine; ``None``: no journal.
    :param sync_id: names one stream of rows to one account.
    :param table: the name of the table.
    :param schema: the table's schema; ``None``: the connection's default.
    :param key: the form in which contact keys are stored.
    :param plan_retention: time after which pending patches are deleted if their task does not continue.
    :param history_lines: the most listed rows of each outcome of a run; further rows are only counted.
    :param history_retention: time after which these lines are deleted.
    :raises ValueError: an argument is not valid.
    """

    conn_id: str | None
    sync_id: str
    table: str
    schema: str | None
    key: JournalKey
    plan_retention: timedelta = timedelta(days=7)
    history_lines: int = 100_000
    history_retention: timedelta = timedelta(days=30)

    def __post_init__(self) -> None:
        if self.key not in get_args(JournalKey):
            raise ValueError(f"journal_key must be one of {', '.join(get_args(JournalKey))}, not {self.key!r}")
        if self.conn_id is not None and not (self.sync_id and self.table):
            raise ValueError("a journal needs a sync_id and a journal_table")

    def describe(self) -> str:
        """Name the journal for the log; empty if there is none."""
        return "" if self.conn_id is None else f"Journal of sync {self.sync_id!r} on {self.conn_id!r}"

    @contextmanager
    def open(
        self,
        context: Any,
        *,
        read_only: bool,
        keeps_rows: bool = False,
        comes_back: bool = False,
        may_defer: bool = False,
    ) -> Iterator[Journal | None]:
        """Open the journal, and close its connections at the end of the block; ``None`` without a connection id.

        :param context: the context of the task, whose run writes the journal.
        :param read_only: the journal is not changed, and a missing database is not created.
        :param keeps_rows: whether pending patches are stored with their rows.
        :param comes_back: whether this process continues a task after a deferral.
        :param may_defer: whether the task waits without a worker for another run of the sync.
        :raises JournalError: the connection is not suitable for a journal.
        :raises NoSuchConnectionError: there is no such connection.
        """
        if self.conn_id is None:
            yield None
            return
        # SQLAlchemy and the drivers are loaded when a journal is used, not when a DAG is parsed.
        from airflow_provider_connectif.databases.read_errors import broken_setting
        from airflow_provider_connectif.journal.record_tables import LONGEST_NAME
        from airflow_provider_connectif.journal.settings import JournalSettings
        from airflow_provider_connectif.journal.store import Journal
        from airflow_provider_connectif.operators.task_state import attempt_numbers

        with connection_named_by("journal_conn_id", self.conn_id):
            hook = BaseHook.get_hook(self.conn_id)
        if not hasattr(hook, "get_sqlalchemy_engine"):
            raise JournalError(f"no journal on connection {self.conn_id!r}: it is not an SQL connection", final=True)
        run = f"{context['dag'].dag_id}/{context['run_id']}" if "run_id" in context and "dag" in context else "by hand"
        task = _task(context.get("ti"))
        names = {"sync_id": self.sync_id, "dag_id/run_id": run, "task_id[map_index]": task}
        if too_long := [f"{name} has {len(text)}" for name, text in names.items() if len(text) > LONGEST_NAME]:
            raise JournalError(
                f"the journal stores names of at most {LONGEST_NAME} characters; {', '.join(too_long)}", final=True
            )
        engine = _checked_engine(hook, self.conn_id, "ro" if read_only else "create")
        settings = JournalSettings(
            self.sync_id,
            run,
            self.table,
            self.schema,
            self._secret(),
            task=task,
            keeps_rows=keeps_rows,
            plan_retention_s=self.plan_retention.total_seconds(),
            conn_id=self.conn_id,
            broken_setting=broken_setting,
            attempt=attempt_numbers(context, comes_back=comes_back),
            may_defer=may_defer,
            dag_id=context["dag"].dag_id if "dag" in context else None,
            task_id=getattr(context.get("ti"), "task_id", None),
            map_index=getattr(context.get("ti"), "map_index", None),
            history_lines=self.history_lines,
            history_retention_s=self.history_retention.total_seconds(),
            list_secret=key_secret(self.conn_id),
        )
        try:
            yield Journal(engine, settings, read_only=read_only)
        finally:
            engine.dispose()

    def _secret(self) -> bytes | None:
        if self.key == "plain":
            return None
        secret = key_secret(str(self.conn_id))
        if secret is None:
            raise JournalError(
                f"journal_key='sha256' needs a secret: {SECRET_EXTRA!r} in the extra of connection {self.conn_id!r}",
                final=True,
            )
        return secret


def key_secret(conn_id: str) -> bytes | None:
    """Return the secret for contact keys from the extra of a journal's connection; ``None`` if there is none."""
    secret = BaseHook.get_connection(conn_id).extra_dejson.get(SECRET_EXTRA)
    return secret.encode() if isinstance(secret, str) and secret else None


def engine_of_existing(conn_id: str, *, named_by: str = "[connectif] journals", writes: bool = False) -> Any:
    """Return a SQLAlchemy engine for a journal's connection. It connects when it is used, and creates no database.

    :param named_by: the setting that names the connection, for messages.
    :param writes: whether the journal may be changed; otherwise a SQLite file is opened only for reading.
    :raises JournalError: the connection is not suitable for a journal.
    :raises NoSuchConnectionError: there is no such connection.
    """
    with connection_named_by(named_by, conn_id):
        hook = BaseHook.get_hook(conn_id)
    if not hasattr(hook, "get_sqlalchemy_engine"):
        raise JournalError(f"no journal on connection {conn_id!r}: it is not an SQL connection", final=True)
    return _checked_engine(hook, conn_id, "rw" if writes else "ro")


def _task(ti: Any) -> str:
    """Return the name of a task within its run; for a mapped task with its index."""
    return f"{getattr(ti, 'task_id', '')}[{getattr(ti, 'map_index', -1)}]"


def _checked_engine(hook: Any, conn_id: str, access: Access) -> Any:
    """Return an engine.

    :raises JournalError: final; names the fault in the connection's settings, without the URL, which has the password.
    """
    import sqlalchemy

    from airflow_provider_connectif.databases.read_errors import broken_setting

    try:
        return _engine(hook, conn_id, access)
    except (sqlalchemy.exc.NoSuchModuleError, ImportError) as error:
        fault = f"its dialect or the driver for it is not installed ({_named(error)})"
    except (sqlalchemy.exc.ArgumentError, NotImplementedError, AttributeError):  # the last: a hook without a URL
        fault = "it gives no SQLAlchemy URL: host, scheme or dialect is missing or malformed"
    except _Unusable as error:
        fault = str(error)
    except (TypeError, ValueError) as error:
        fault = broken_setting(error) or type(error).__name__
    except AirflowException as error:
        fault = f"its hook refuses it ({type(error).__name__})"
    raise JournalError(f"the journal's connection {conn_id!r} cannot be used: {fault}", final=True)


def _named(error: Exception) -> str:
    """Return the missing module or dialect, without any part of a URL."""
    if isinstance(error, ImportError):
        return error.name or type(error).__name__
    return str(error).rpartition(":")[2].strip()[:60]


def _engine(hook: Any, conn_id: str, access: Access) -> Any:
    """Return an engine like the hook's own, but without the secret, and with the connection's options for the
    driver.
    """
    import sqlalchemy
    from sqlalchemy.pool import NullPool, QueuePool

    from airflow_provider_connectif.databases.drivers import driver_of_engine
    from airflow_provider_connectif.journal.dialects import dialect_named

    with warnings.catch_warnings():
        # Only the address of this engine is used. SQLite's dialect warns that it does not know the secret in the
        # address, and Airflow writes warnings to stdout, where a command writes its output.
        warnings.simplefilter("ignore", sqlalchemy.exc.SAWarning)
        found = hook.get_sqlalchemy_engine()
    try:
        dialect_named(found.dialect.name)
    except ValueError as unknown:
        raise _Unusable(str(unknown)) from None
    ignored = {*getattr(hook, "ignored_extra_options", ()), SECRET_EXTRA, "cursor", "sqlalchemy_query"}
    extra = BaseHook.get_connection(conn_id).extra_dejson
    driver = driver_of_engine(found)
    options = driver.journal_engine(
        found.url.difference_update_query([SECRET_EXTRA]),
        {name: value for name, value in extra.items() if name not in ignored},
    )
    if access != "create":
        options = driver.existing_journal(options, access)
    if options.fault:
        raise _Unusable(options.fault)
    if options.left_out:
        _LOG.warning(
            wording.JOURNAL_OPTIONS_LEFT_OUT,
            conn_id,
            ", ".join(options.left_out),
        )
    if options.creator is not None:
        return sqlalchemy.create_engine(options.url, creator=options.creator, poolclass=NullPool, hide_parameters=True)
    # The task's thread reads on one connection and writes on another, and a thread keeps its claim on a third.
    engine = sqlalchemy.create_engine(
        options.url,
        poolclass=QueuePool,
        pool_size=3,
        max_overflow=0,
        pool_pre_ping=True,
        hide_parameters=True,
        connect_args=dict(options.connect_args),
        **({} if options.isolation_level is None else {"isolation_level": options.isolation_level}),
    )
    if options.on_connect is not None:
        sqlalchemy.event.listen(engine, "connect", lambda connection, _: connection.execute(options.on_connect))
    return engine
