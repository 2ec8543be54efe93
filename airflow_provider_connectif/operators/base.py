"""What the operators that bring rows to Connectif have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
    BaseHook,
    BaseOperator,
    XComArg,
    conf,
)

from airflow_provider_connectif.api.errors import ConnectifConfigError
from airflow_provider_connectif.connection_lookup import NoSuchConnectionError, connection_named_by
from airflow_provider_connectif.contacts.fields import Field, KeyKind, fields_of_author
from airflow_provider_connectif.contacts.mapping import ContactMapping, MappingError, Nulls
from airflow_provider_connectif.contacts.outcomes import JournalError
from airflow_provider_connectif.contacts.rules import Unfit, numbers
from airflow_provider_connectif.contacts.summary import FailureBudget
from airflow_provider_connectif.hooks.connectif import ConnectifHook
from airflow_provider_connectif.journals import JournalConnection, JournalKey
from airflow_provider_connectif.operators.herald import Herald
from airflow_provider_connectif.operators.upstream import has_xcom_arg, resolved
from airflow_provider_connectif.read_errors import ReadError
from airflow_provider_connectif.rejects_file import RejectsFile, RejectsPathError
from airflow_provider_connectif.sources import RowsError, RowsSource, SqlSource

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_connectif.api.client import ConnectifClient
    from airflow_provider_connectif.contacts.ports import FieldsMode
    from airflow_provider_connectif.contacts.run import Run

SUMMARY_KEY = "summary"

# Another try would find the same: Airflow must not retry.
_FINAL_ERRORS = (ConnectifConfigError, MappingError, NoSuchConnectionError, RejectsPathError, RowsError)


class Start(NamedTuple):
    """How a process of a task begins.

    ``context``: the task's. ``comes_back``: the task was deferred, and goes on. ``event``: then the trigger's.
    """

    context: Any
    comes_back: bool = False
    event: Any = None


class ContactsOperator(BaseOperator):
    """Brings rows to Connectif as contacts.

    Rows come from an upstream task or from SQL, exactly one of the two. Every good row is delivered whatever
    the others hold; then the task ends green only if no more rows were refused than ``failure_budget`` allows.
    What became of the rows is the return value, and stands in XCom under ``summary`` also when the task fails
    (see :func:`airflow_provider_connectif.contacts.summary.summarise`).

    :param rows: an iterable of mappings from column to value, or the output of an upstream task that is one. It
        is resolved when the task runs and never rendered, so that no personal data lands in Airflow's database
        through this operator.
    :param sql: one SELECT, or the name of a ``.sql`` file (templated).
    :param sql_conn_id: the connection that ``sql`` runs on, of any type with a DbApiHook (templated).
    :param parameters: parameters of ``sql`` as its driver takes them (templated).
    :param key: what identifies a contact: ``email`` (default) or ``external_id``.
    :param key_column: the column that holds it; by default the one named like ``key`` (templated).
    :param properties: column by property id, such as ``{"_name": "first_name", "tier": "loyalty_tier"}``.
        Default: each column but the key's is a property id itself.
    :param fields: what properties are checked against: ``live`` (default), the account's own definitions, read once
        a run where custom fields are among the properties; ``builtin``, the system fields only, custom values sent
        by their own type; or definitions that you give, by property id: a type (``"text"``) or a ``ContactField``
        of the API. With a key that may not read definitions ``live`` warns and goes on as ``builtin``.
    :param default_region: two letters, such as ``ES``, for phone numbers without a country code. Default: such
        numbers are refused, but for custom fields that have a country code of their own.
    :param check_only: read, map and check every row and send no contact; the summary then has ``check_only``,
        ``valid``, ``duplicates`` (rows whose key an earlier row had), ``run_requests`` and ``run_duration_s``.
    :param journal_conn_id: a PostgreSQL, MySQL or SQLite connection where the journal is kept: what Connectif has
        acknowledged, contact by contact. Then only rows that changed are sent, a killed task goes on where it stopped,
        and refused rows wait until they change. Default: no journal (templated).
    :param sync_id: names one stream of rows to one account in the journal (templated).
    :param journal_table: the name of the journal's table, created at first use.
    :param journal_schema: its schema; by default the connection's own.
    :param journal_key: ``plain`` (default), or ``sha256``: contact keys are written as HMAC-SHA256 with the secret
        ``connectif_journal_secret`` of the journal connection's extra.
    :param full_refresh: with a journal: send every row, changed or not (templated).
    :param retry_rejected: with a journal: send rows again that were refused as they are.
    :param plan_retention: how long patches that a deferred task has still to send are kept in the journal's database
        if nobody comes back for them. Default 7 days.
    :param deferrable: wait without a worker where that is possible. Default: ``operators.default_deferrable`` of
        Airflow's configuration.
    :param failure_budget: how many refused rows are no failure: a number (int), or a share of the rows read
        (float from 0 to 1). Default 0.
    :param rejects_path: where refused rows are written as JSON Lines, any path that ``ObjectStoragePath`` takes;
        written anew by each try, and not there where none was refused. The file is personal data (templated).
    :param connectif_conn_id: the connection of type ``connectif`` (templated).
    :raises ValueError: when the DAG is parsed: an argument that cannot work.
    """

    template_fields: Sequence[str] = (
        "sql",
        "parameters",
        "sql_conn_id",
        "connectif_conn_id",
        "key_column",
        "rejects_path",
        "journal_conn_id",
        "sync_id",
        "full_refresh",
    )
    template_ext: Sequence[str] = (".sql",)
    template_fields_renderers: ClassVar[dict[str, str]] = {"sql": "sql", "parameters": "json"}
    ui_color = "#e3f0ff"

    nulls: Nulls = "omit"

    def __init__(
        self,
        *,
        rows: Any = None,
        sql: str | None = None,
        sql_conn_id: str | None = None,
        parameters: Mapping[str, Any] | Iterable[Any] | None = None,
        key: KeyKind = "email",
        key_column: str | None = None,
        properties: Mapping[str, str] | None = None,
        fields: FieldsMode | Mapping[str, Any] = "live",
        default_region: str | None = None,
        check_only: bool = False,
        journal_conn_id: str | None = None,
        sync_id: str = "{{ dag.dag_id }}.{{ task.task_id }}",
        journal_table: str = "connectif_journal",
        journal_schema: str | None = None,
        journal_key: JournalKey = "plain",
        full_refresh: bool | str = False,
        retry_rejected: bool = False,
        plan_retention: timedelta = timedelta(days=7),
        deferrable: bool | None = None,
        failure_budget: int | float = 0,
        rejects_path: str | None = None,
        connectif_conn_id: str = ConnectifHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if (rows is None) == (sql is None):
            raise ValueError("give exactly one of rows and sql")
        if sql is not None and sql_conn_id is None:
            raise ValueError("sql needs sql_conn_id, the connection that it runs on")
        if not isinstance(plan_retention, timedelta) or plan_retention <= timedelta():
            raise ValueError("plan_retention must be a timedelta above zero")
        if not (rejects_path is None or (rejects_path and isinstance(rejects_path, (str, XComArg)))):
            raise ValueError(f"rejects_path must be the path of a file, not {rejects_path!r}")
        self.rows = rows
        self.sql = sql
        self.sql_conn_id = sql_conn_id
        self.parameters = parameters
        self.key = key
        self.key_column = key_column
        self.properties = properties
        self.fields = fields
        self.default_region = default_region
        self.check_only = check_only
        self.journal_conn_id = journal_conn_id
        self.sync_id = sync_id
        self.journal_table = journal_table
        self.journal_schema = journal_schema
        self.journal_key = journal_key
        self.full_refresh = full_refresh
        self.retry_rejected = retry_rejected
        self.plan_retention = plan_retention
        self.deferrable = (
            conf.getboolean("operators", "default_deferrable", fallback=False) if deferrable is None else deferrable
        )
        self.failure_budget = failure_budget
        self.rejects_path = rejects_path
        self.connectif_conn_id = connectif_conn_id
        # Built here only to fail while the DAG is parsed; templated arguments are not rendered yet.
        self._mapping().check()
        FailureBudget(failure_budget)
        self._journal()
        self._run: Run | None = None
        self._source: RowsSource | SqlSource | None = None
        self._is_killed = False
        if not getattr(self, "_BaseOperator__from_mapped", False):
            # Airflow wires the upstream tasks of templated arguments only.
            XComArg.apply_upstream_relationship(self, rows)

    def execute(self, context: Context) -> dict[str, Any]:
        """Deliver the rows, or only check them.

        :return: the summary.
        :raises AirflowFailException: over the failure budget, a refused key, a wrong mapping, a wrong statement or
            connection: another try would end the same way.
        :raises AirflowException: Connectif or the database failed: another try may succeed.
        :raises AirflowSkipException: ``on_response`` says so.
        :raises TaskDeferred: with ``deferrable``: there is nothing to do for a while.
        """
        return self._carry_out_and_tell(Start(context), check_only=self.check_only)

    def execute_complete(self, context: Context, event: Any = None) -> dict[str, Any]:
        """Go on after a deferral; ends as :meth:`execute` does.

        :param event: the trigger's.
        """
        return self._carry_out_and_tell(Start(context, True, event), check_only=False)

    def dry_run(self) -> None:
        """Check every row and send no contact: what ``airflow tasks test --dry-run`` calls (Airflow 2.11).

        :raises AirflowException: as :meth:`execute` would, for what a check can tell.
        """
        if has_xcom_arg(self.rows):
            self.log.warning("The rows come from an upstream task, which a dry run cannot ask: use check_only=True")
            return
        self._run = None
        self._end(*self._carry_out(Start({}), check_only=True))

    def on_kill(self) -> None:
        """Stop sending; the requests in flight get a second to end."""
        self._is_killed = True  # for what is not there yet
        if self._run is not None:
            # A signal handler: nothing here takes a lock that the task's own thread may hold.
            counts = self._run.kill()
            if not self._run.is_over:  # after execution_timeout Airflow calls this when the run has ended by its error
                self._herald.say(f"Told to stop: {counts}")
            if self._source is not None:
                self._source.cancel()

    @abstractmethod
    def _made_run(self, client: ConnectifClient, arguments: dict[str, Any], start: Start) -> Run:
        """The run that delivers.

        :param arguments: of :class:`airflow_provider_connectif.contacts.run.Run`.
        :param start: how this process begins.
        """

    def _made_check(self, client: ConnectifClient, arguments: dict[str, Any]) -> Run:
        """The run that only checks; arguments as of :meth:`_made_run`."""
        from airflow_provider_connectif.contacts.preflight import ContactCheck

        return ContactCheck(**arguments)

    def _rejects_file(self, path: str, start: Start) -> RejectsFile:
        return RejectsFile(path, goes_on=start.comes_back)

    @abstractmethod
    def _defer(self, run: Run) -> None:
        """Raise ``TaskDeferred`` if the run has to wait without a worker."""

    def _describe_source(self) -> str:
        if self.sql is not None:
            return f"the result of sql on {self.sql_conn_id!r}"
        return "the rows of an upstream task" if has_xcom_arg(self.rows) else "the given rows"

    def _describe(self) -> str:
        """What the log says of the delivery beside its source and mapping."""
        return ""

    def _connections(self) -> int:
        """Connections that the client keeps open."""
        return 1

    def _carry_out_and_tell(self, start: Start, *, check_only: bool) -> dict[str, Any]:
        from airflow_provider_connectif.contacts.summary import empty_summary

        self._run = None
        self._source = None
        try:
            final, again = self._carry_out(start, check_only=check_only)
        finally:
            summary = self._run.summary if self._run else empty_summary()
            # Otherwise the summary that was pushed when the task was deferred is the better one.
            if self._run.account_is_known if self._run else not start.comes_back:
                start.context["ti"].xcom_push(key=SUMMARY_KEY, value=summary)
        self._end(final, again)
        return summary

    def _carry_out(self, start: Start, *, check_only: bool) -> tuple[str | None, str | None]:
        """Run; returns what failed for good and what another try may mend."""
        try:
            with self._prepared_run(start, check_only) as run:
                if self._is_killed:  # while the run was being made
                    run.kill()
                run.run(lambda: self._open_source(start.context))
        except _FINAL_ERRORS as error:
            return str(error), None
        except (JournalError, ReadError) as error:
            return (str(error), None) if error.final else (None, str(error))
        return None, None

    def _end(self, final: str | None, again: str | None) -> None:
        # Outside the handlers, so that no driver's error, which may quote a row, is shown as context.
        from airflow_provider_connectif.contacts.verdict import Verdict

        if self._run is not None and not (final or again):
            self._defer(self._run)
        verdict, words = self._run.verdict() if self._run else (Verdict.SUCCESS, "")
        words = ". ".join(text for text in (again, words) if text)
        if final:
            raise AirflowFailException(final)
        if verdict is Verdict.SKIPPED:
            raise AirflowSkipException(words)
        if verdict is Verdict.FAILED:
            raise AirflowFailException(words)
        if again or verdict is Verdict.TRY_AGAIN:
            raise AirflowException(words)

    @contextmanager
    def _prepared_run(self, start: Start, check_only: bool) -> Iterator[Run]:
        from airflow_provider_connectif.contacts.rejects import Rejects
        from airflow_provider_connectif.contacts.response_policy import ResponsePolicy

        mapping = self._mapping()
        with connection_named_by("connectif_conn_id", self.connectif_conn_id):
            client = ConnectifHook(self.connectif_conn_id).get_conn(connections=self._connections())
        journal = self._journal().open(start.context, read_only=check_only, keeps_rows=self.rejects_path is not None)
        path = self.rejects_path
        rejects = nullcontext() if path is None else self._rejects_file(path, start)
        with closing(client), journal as opened, rejects as sink:
            if not start.comes_back:  # a run that goes on says so itself
                self.log.info(
                    "%s %s %s %s (%s)%s%s",
                    "Checking, without sending," if check_only else "Delivering",
                    self._describe_source(),
                    "for" if check_only else "to",
                    client.base_url,
                    mapping.describe(),
                    self._describe(),
                    self._journal().describe(),
                )
            arguments: dict[str, Any] = {
                "client": client,
                "mapping": mapping,
                "policy": ResponsePolicy(),
                "budget": FailureBudget(self.failure_budget),
                "live_fields": self.fields == "live",
                "rejects": Rejects(sink),
                "rejects_path": path,
                "log": self.log,
                "journal": opened,
                "full_refresh": _is_true(self.full_refresh),
                "retry_rejected": self.retry_rejected,
            }
            made = self._made_check(client, arguments) if check_only else self._made_run(client, arguments, start)
            self._herald = Herald(self.log)
            made.before_end = self._herald.close
            self._run = made
            with closing(self._herald):
                yield made

    def _open_source(self, context: Any) -> RowsSource | SqlSource:
        if self.sql is not None:
            with connection_named_by("sql_conn_id", self.sql_conn_id):
                hook = BaseHook.get_hook(str(self.sql_conn_id))
            self._source = SqlSource(hook, str(self.sql_conn_id), self.sql, self.parameters)
        else:
            self._source = RowsSource(resolved(self.rows, context))
        if self._is_killed:  # while it was being made
            self._source.cancel()
        return self._source

    def _mapping(self) -> ContactMapping:
        return ContactMapping(
            self.key,
            self.key_column,
            self.properties,
            self.nulls,
            default_region=self.default_region,
            definitions=_authors_definitions(self.fields),
        )

    def _journal(self) -> JournalConnection:
        return JournalConnection(
            self.journal_conn_id,
            self.sync_id,
            self.journal_table,
            self.journal_schema,
            self.journal_key,
            self.plan_retention,
        )


def _authors_definitions(fields: Any) -> list[Field] | None:
    if fields in ("live", "builtin"):
        return None
    if not isinstance(fields, Mapping):
        raise ValueError("fields must be 'live', 'builtin' or a dict of definitions by property id")
    return fields_of_author(fields)


def _is_true(value: bool | str) -> bool:
    """A switch that may come out of a template as text."""
    try:
        return numbers.boolean(value)
    except Unfit as unfit:
        raise MappingError(f"full_refresh {unfit}") from None
