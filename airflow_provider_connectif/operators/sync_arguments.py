"""The arguments of every operator that brings rows to Connectif, checked when the DAG is parsed."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import XComArg, conf

from airflow_provider_connectif.databases.journals import JournalConnection, JournalKey
from airflow_provider_connectif.hooks.connectif import ConnectifHook
from airflow_provider_connectif.links import ConnectifRunLink
from airflow_provider_connectif.operators import switches
from airflow_provider_connectif.operators.guard_arguments import GuardArguments
from airflow_provider_connectif.operators.switches import TEMPLATED_SWITCHES
from airflow_provider_connectif.records.resource import Resource
from airflow_provider_connectif.reporting.failure_budget import FailureBudget

if TYPE_CHECKING:
    from airflow_provider_connectif.runs.departures import ReadSettings

_LEAST_PENDING_LIMIT = 1_000_000


class SyncArguments(GuardArguments):
    """The arguments that all operators have which bring rows to Connectif, whatever the rows become there.

    Beside them they take the guards: :class:`airflow_provider_connectif.operators.guard_arguments.GuardArguments`.

    :param rows: an iterable of mappings from column to value, or the output of an upstream task that is one. It
        is resolved when the task runs and never rendered, so that no personal data lands in Airflow's database
        through this operator.
    :param sql: one SELECT, or the name of a ``.sql`` file (templated).
    :param sql_conn_id: the connection that ``sql`` runs on, of any type with a DbApiHook (templated).
    :param hook_params: parameters of that connection's hook, such as ``{"warehouse": "LOADING"}`` of Snowflake's, as
        Airflow's SQL operators have them (templated).
    :param parameters: parameters of ``sql`` as its driver takes them (templated).
    :param check_only: read, map and check every row and send none; the summary then has ``check_only``,
        ``valid``, ``duplicates`` (rows whose key an earlier row had), ``run_requests`` and ``run_duration_s``
        (templated).
    :param journal_conn_id: a PostgreSQL, MySQL or SQLite connection where the journal is kept: what Connectif has
        acknowledged, key by key. Then only rows that changed are sent, a killed task goes on where it stopped,
        and refused rows wait until they change. Default: no journal (templated).
    :param sync_id: names one stream of rows to one account in the journal (templated).
    :param journal_table: the name of the journal's table, created at first use.
    :param journal_schema: its schema; by default the connection's own.
    :param journal_key: ``plain`` (default), or ``sha256``: keys are written as HMAC-SHA256 with the secret
        ``connectif_journal_secret`` of the journal connection's extra.
    :param full_refresh: with a journal: send every row, changed or not (templated).
    :param retry_rejected: with a journal: send rows again that were refused as they are (templated). The text of
        a templated switch is read like a boolean field: ``true``, ``yes``, ``1``, ``false``, ``no``, ``0``.
    :param ignore_held: with a journal: held rows do not count against ``failure_budget`` (templated).
    :param plan_retention: how long patches that a deferred task has still to send are kept in the journal's database
        if nobody comes back for them. Default 7 days.
    :param plan_max_age: a plan is sent for at most so long, deferrals included; then the task fails for a retry, which
        reads the source again. Default 12 hours.
    :param history_lines: with a journal: how many rows of each outcome but ``unchanged`` a run lists in the table
        ``..._outcomes``; the counts of a run are always exact. Default 100,000.
    :param history_retention: how long these lines are kept. Default 30 days.
    :param read_timeout: in which the source must end; nothing is sent before. Default 6 hours.
    :param pending_limit: bytes that the changes of a run may take while they wait to be sent, in a file without a name
        in the folder that ``[connectif] work_folder`` names (default: the system's temporary one). Default 10 GB.
    :param deferrable: wait without a worker where that is possible, with a journal also for another run of the sync,
        and for imports that an earlier one has left open.
        Default: ``operators.default_deferrable`` of Airflow's configuration.
    :param failure_budget: how many refused rows (invalid, rejected or held) are no failure: a number (int), or a share
        (float from 0 to 1) that limits two: all refused rows among the rows read, and new refusals among the rows that
        needed delivery. Default 0.
    :param rejects_path: where refused rows are written as JSON Lines, any path that ``ObjectStoragePath`` takes;
        each attempt writes a new one; there is none if no row was refused. The file is personal data (templated).
    :param rejects_retention: with a journal: files that this task has written to its ``rejects_path`` are removed when
        they are older. Default 30 days; ``None`` keeps all. A file that somebody else has written stays.
    :param connectif_conn_id: the connection of type ``connectif`` (templated).
    :raises ValueError: when the DAG is parsed: an argument that cannot work.
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
    _sql_digest: str | None = None

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
        # Built here only to fail while the DAG is parsed; templated arguments are not rendered yet.
        with switches.final_where_mapped(self):
            self.make_resource().check()
            FailureBudget(failure_budget)
            self._check_guards(has_journal=journal_conn_id is not None)
            self._journal()
        if not getattr(self, "_BaseOperator__from_mapped", False):
            # Airflow wires the upstream tasks of templated arguments only.
            XComArg.apply_upstream_relationship(self, rows)

    @abstractmethod
    def make_resource(self) -> Resource:
        """What the rows are written as; called when the DAG is parsed, too, and when the task runs.

        :raises ValueError: an argument that cannot work.
        """

    def render_template_fields(self, context: Any, jinja_env: Any = None) -> None:
        """Render the arguments; the SQL text as it was before is what two runs have in common."""
        self._sql_digest = self._digest_of_sql()
        super().render_template_fields(context, jinja_env)

    def _digest_of_sql(self) -> str | None:
        """Of the SQL text as it stands now; ``None``: there is none, or it is the name of a file."""
        if not isinstance(self.sql, str) or self.sql.endswith(tuple(self.template_ext)):
            return None
        return hashlib.blake2b(self.sql.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()

    def _key_kind(self) -> str:
        """What kind of key names a thing, where there are several."""
        return ""

    def _read_settings(self, context: Any, resource: Resource, host: str) -> ReadSettings:
        """What is to be known of the read of the source, and of what is not in it any more."""
        from airflow_provider_connectif.records.reads import identity_of
        from airflow_provider_connectif.runs.departures import ReadSettings

        dag = context.get("dag")
        # The tasks that one is mapped to read a part of the source each.
        mapped = "[]" if getattr(context.get("ti"), "map_index", -1) >= 0 else ""
        identity = identity_of(
            task=f"{'' if dag is None else dag.dag_id}.{self.task_id}{mapped}",
            host=host,
            key=self._key_kind(),
            key_column=resource.key_column,
            sql_conn_id=self.sql_conn_id,
            sql_digest=self._sql_digest or self._digest_of_sql(),
        )
        return ReadSettings(identity, counts_left=self.max_removed is not None)

    def _asks_for_definitions(self) -> bool:
        """Whether the account is asked for its own definitions, where the resource needs them."""
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
