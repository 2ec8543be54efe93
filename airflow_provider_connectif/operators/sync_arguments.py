"""The arguments of every operator that writes rows to Connectif, checked when the DAG is parsed."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import XComArg, conf

from airflow_provider_connectif.databases.journals import JournalConnection, JournalKey
from airflow_provider_connectif.hooks.connectif import ConnectifHook
from airflow_provider_connectif.links import ConnectifRunLink
from airflow_provider_connectif.operators import switches
from airflow_provider_connectif.operators.guard_arguments import GuardArguments
from airflow_provider_connectif.operators.question import digests_of_question
from airflow_provider_connectif.operators.switches import TEMPLATED_SWITCHES
from airflow_provider_connectif.operators.upstream import PartialWithRows, has_xcom_arg
from airflow_provider_connectif.records.resource import Resource
from airflow_provider_connectif.reporting.failure_budget import FailureBudget

if TYPE_CHECKING:
    from airflow_provider_connectif.runs.departures import ReadSettings

_LEAST_PENDING_LIMIT = 1_000_000


class SyncArguments(GuardArguments):
    """The arguments of all operators that write rows to Connectif, for every resource.

    The operators also have the guards: :class:`airflow_provider_connectif.operators.guard_arguments.GuardArguments`.
    The text of a templated switch is read like a boolean field: ``true``, ``yes``, ``1``, ``false``, ``no``, ``0``.

    :param rows: an iterable of mappings from column to value, or the output of an upstream task with such rows. It is
        resolved when the task runs and never rendered, so that this operator writes no personal data to Airflow's
        database.
    :param sql: one SELECT, or the name of a ``.sql`` file (templated).
    :param sql_conn_id: the connection that ``sql`` runs on, of any type with a DbApiHook (templated).
    :param hook_params: parameters of the hook of ``sql_conn_id``, such as ``{"warehouse": "LOADING"}`` for Snowflake,
        as in Airflow's SQL operators (templated).
    :param parameters: parameters of ``sql``, in the form that the database's driver needs (templated).
    :param check_only: read, map and check every row, and send none. The log and the summary show the plan and its cost
        (templated).
    :param journal_conn_id: a PostgreSQL, MySQL, MariaDB or SQLite connection for the journal, which stores what
        Connectif has acknowledged for each key. With a journal, only changed rows are sent, a killed task continues
        where it stopped, and rejected rows are held until they change. Default: no journal (templated).
    :param sync_id: the name of this sync in the journal. A sync is one stream of rows to one account (templated).
    :param journal_table: the name of the journal's table, which is created at first use.
    :param journal_schema: the schema of the journal's table. Default: the connection's own schema.
    :param journal_key: the form of contact keys in the journal. ``plain`` (default): as they are. ``sha256``: as
        HMAC-SHA256 with the secret ``connectif_journal_secret`` in the extra of the journal's connection.
    :param full_refresh: with a journal: send every row, changed or not (templated).
    :param retry_rejected: with a journal: send rows again that were rejected and have not changed (templated).
    :param ignore_held: with a journal: held rows do not count against ``failure_budget`` (templated).
    :param plan_retention: time after which the pending patches of a deferred task are deleted from the journal's
        database if the task did not continue. Default 7 days.
    :param plan_max_age: time limit for sending a plan, deferrals included. After that the task fails for a retry, which
        reads the source again. Default 12 hours.
    :param history_lines: with a journal: the most rows of each outcome, except ``unchanged``, that a run lists in the
        table ``..._outcomes``. The counts of a run are always exact. Default 100,000.
    :param history_retention: time after which the lines of the table ``..._outcomes`` are deleted. Default 30 days.
    :param read_timeout: time limit for reading the source. Nothing is sent before the source is read. Default 6 hours.
    :param pending_limit: the most bytes that the pending changes of a run may take. They are in a file without a name,
        in the folder of ``[connectif] work_folder`` (default: the system's folder for temporary files). Default 10 GB.
    :param deferrable: wait without a worker if possible. With a journal, this includes waits for another run of the
        sync, and for open imports of an earlier run. Default: ``operators.default_deferrable`` in Airflow's
        configuration.
    :param failure_budget: the most refused rows (invalid, rejected or held) with which the task succeeds: a number
        (int), or a share (float from 0 to 1). A share limits two numbers: all refused rows, among the rows read; and
        new refusals, among the rows that needed delivery. Default 0.
    :param rejects_path: path of the file for rows that were refused, or sent but not delivered, as JSON Lines, in any
        form that ``ObjectStoragePath`` supports. Each attempt that reads the source writes a new file, and none if
        there is no such row. The file is personal data (templated).
    :param rejects_retention: with a journal: time after which files that this task has written to its ``rejects_path``
        are removed; ``None`` keeps all. Files that somebody else has written stay. Default 30 days.
    :param connectif_conn_id: the connection of type ``connectif`` (templated).
    :raises ValueError: an argument is not valid; raised when the DAG is parsed.
    """

    template_fields: Sequence[str] = (
        "sql",
        "parameters",
        "sql_conn_id",
        "hook_params",
        "connectif_conn_id",
        "rejects_path",
        "journal_conn_id",
        "sync_id",
        *TEMPLATED_SWITCHES,
    )
    template_ext: Sequence[str] = (".sql",)
    template_fields_renderers: ClassVar[dict[str, str]] = {
        "sql": "sql",
        "parameters": "json",
        "hook_params": "json",
    }
    ui_color = "#e3f0ff"
    operator_extra_links = (ConnectifRunLink(),)
    _question: Mapping[str, str] = MappingProxyType({})  # set when the arguments are rendered

    def __init__(
        self,
        *,
        rows: Any = None,
        sql: str | None = None,
        sql_conn_id: str | None = None,
        parameters: Mapping[str, Any] | Iterable[Any] | None = None,
        hook_params: Mapping[str, Any] | None = None,
        check_only: bool | str = False,
        journal_conn_id: str | None = None,
        sync_id: str = "{{ dag.dag_id }}.{{ task.task_id }}",
        journal_table: str = "connectif_journal",
        journal_schema: str | None = None,
        journal_key: JournalKey = "plain",
        full_refresh: bool | str = False,
        retry_rejected: bool | str = False,
        ignore_held: bool | str = False,
        plan_retention: timedelta = timedelta(days=7),
        plan_max_age: timedelta = timedelta(hours=12),
        history_lines: int = 100_000,
        history_retention: timedelta = timedelta(days=30),
        read_timeout: timedelta = timedelta(hours=6),
        pending_limit: int = 10_000_000_000,
        deferrable: bool | None = None,
        failure_budget: int | float = 0,
        rejects_path: str | None = None,
        rejects_retention: timedelta | None = timedelta(days=30),
        connectif_conn_id: str = ConnectifHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        with switches.final_where_mapped(self):
            switches.check_switches(
                {
                    "check_only": check_only,
                    "full_refresh": full_refresh,
                    "ignore_held": ignore_held,
                    "retry_rejected": retry_rejected,
                    "deferrable": deferrable,
                },
                may_be_none=("deferrable",),
            )
            if (rows is None) == (sql is None):
                raise ValueError("give exactly one of rows and sql")
            if sql is not None and sql_conn_id is None:
                raise ValueError("sql needs sql_conn_id, the connection that it runs on")
            for name, value in (
                ("plan_retention", plan_retention),
                ("plan_max_age", plan_max_age),
                ("history_retention", history_retention),
                ("read_timeout", read_timeout),
            ):
                if not isinstance(value, timedelta) or value <= timedelta():
                    raise ValueError(f"{name} must be a timedelta above zero, not {value!r}")
            if type(history_lines) is not int or history_lines < 0:
                raise ValueError(f"history_lines must be a whole number of rows, 0 or more, not {history_lines!r}")
            if rejects_retention is not None and (
                not isinstance(rejects_retention, timedelta) or rejects_retention <= timedelta()
            ):
                raise ValueError(f"rejects_retention must be None or a timedelta above zero, not {rejects_retention!r}")
            if type(pending_limit) is not int or pending_limit < _LEAST_PENDING_LIMIT:
                raise ValueError(f"pending_limit must be a whole number of bytes, {_LEAST_PENDING_LIMIT:,} or more")
            if not (rejects_path is None or (rejects_path and isinstance(rejects_path, (str, XComArg)))):
                raise ValueError(f"rejects_path must be the path of a file, not {rejects_path!r}")
            switches.check_texts(
                {
                    "sql": sql,
                    "sql_conn_id": sql_conn_id,
                    "connectif_conn_id": connectif_conn_id,
                    "journal_conn_id": journal_conn_id,
                    "sync_id": sync_id,
                    "journal_table": journal_table,
                    "journal_schema": journal_schema,
                },
            )
            if hook_params is not None and not isinstance(hook_params, (Mapping, XComArg)):
                raise ValueError("hook_params must be a dict of parameters of the hook")
            if hook_params is not None and sql is None:
                raise ValueError("hook_params needs sql: it is for the hook of sql_conn_id")
            if isinstance(parameters, str) and "{" not in parameters:
                raise ValueError("parameters must be a list, a tuple or a dict of values, not text")
        self.rows = rows
        self.sql = sql
        self.sql_conn_id = sql_conn_id
        self.parameters = parameters
        self.hook_params = hook_params
        self.check_only = check_only
        self.journal_conn_id = journal_conn_id
        self.sync_id = sync_id
        self.journal_table = journal_table
        self.journal_schema = journal_schema
        self.journal_key = journal_key
        self.full_refresh = full_refresh
        self.retry_rejected = retry_rejected
        self.ignore_held = ignore_held
        self.plan_retention = plan_retention
        self.plan_max_age = plan_max_age
        self.history_lines = history_lines
        self.history_retention = history_retention
        self.read_timeout = read_timeout
        self.pending_limit = pending_limit
        self.deferrable = (
            conf.getboolean("operators", "default_deferrable", fallback=False) if deferrable is None else deferrable
        )
        self.failure_budget = failure_budget
        self.rejects_path = rejects_path
        self.rejects_retention = rejects_retention
        self.connectif_conn_id = connectif_conn_id
        self._given_texts = switches.given_texts(self)
        # Made here only to find wrong arguments while the DAG is parsed. Templated arguments are not rendered yet.
        with switches.final_where_mapped(self):
            self.make_resource().check()
            FailureBudget(failure_budget)
            self._check_guards(has_journal=journal_conn_id is not None)
            self._journal()
        if not getattr(self, "_BaseOperator__from_mapped", False):
            # Airflow finds upstream tasks only in templated arguments, and ``rows`` is not templated.
            XComArg.apply_upstream_relationship(self, rows)

    @classmethod
    def partial(cls, **kwargs: Any) -> Any:
        """Return the operator for mapping, like Airflow's ``partial``. Its tasks also wait for those in ``rows``."""
        made = super().partial(**kwargs)
        return PartialWithRows(made) if has_xcom_arg(kwargs.get("rows")) else made

    @abstractmethod
    def make_resource(self) -> Resource:
        """Return the resource that the rows are written as. It is called when the DAG is parsed and when the task runs.

        :raises ValueError: an argument is not valid.
        """

    def render_template_fields(self, context: Any, jinja_env: Any = None) -> None:
        """Render the arguments. Before that, keep the digests of the source's arguments.

        The unrendered arguments are the same in each run; the rendered ones may differ.
        """
        self._question = digests_of_question(self)
        super().render_template_fields(context, jinja_env)

    def _key_kind(self) -> str:
        """Return the kind of key; empty: the resource has only one."""
        return ""

    def _read_settings(self, context: Any, resource: Resource, host: str) -> ReadSettings:
        """Return the settings for the read of the source, and for contacts that left it."""
        from airflow_provider_connectif.records.reads import identity_of
        from airflow_provider_connectif.runs.departures import ReadSettings

        dag = context.get("dag")
        # Each mapped task reads a part of the source.
        mapped = "[]" if getattr(context.get("ti"), "map_index", -1) >= 0 else ""
        identity = identity_of(
            task=f"{'' if dag is None else dag.dag_id}.{self.task_id}{mapped}",
            host=host,
            key=self._key_kind(),
            key_column=resource.key_column,
            sql_conn_id=self.sql_conn_id,
            # If ``sql`` was the name of a file, its text is known only now.
            **{**digests_of_question(self), **self._question},
        )
        return ReadSettings(identity, counts_left=self.max_removed is not None and not mapped)

    def _asks_for_definitions(self) -> bool:
        """Return whether to read the account's definitions if the resource needs them."""
        return True

    def _journal(self) -> JournalConnection:
        return JournalConnection(
            self.journal_conn_id,
            self.sync_id,
            self.journal_table,
            self.journal_schema,
            self.journal_key,
            self.plan_retention,
            self.history_lines,
            self.history_retention,
        )


def work_folder() -> Path | None:
    """Return the folder for temporary files from ``[connectif] work_folder``; ``None``: the system's folder."""
    folder = conf.get("connectif", "work_folder", fallback="")
    return Path(folder) if folder else None
