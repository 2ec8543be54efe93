"""Operators that bring rows to Connectif as contacts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, cast

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
    BaseHook,
    BaseOperator,
    ObjectStoragePath,
    XComArg,
)

from airflow_provider_connectif.api.errors import ConnectifConfigError
from airflow_provider_connectif.contacts.fields import Field, KeyKind, fields_of_author
from airflow_provider_connectif.contacts.mapping import ContactMapping, MappingError, Nulls
from airflow_provider_connectif.contacts.outcomes import JournalError
from airflow_provider_connectif.contacts.response_policy import ResponsePolicy
from airflow_provider_connectif.contacts.rules import Unfit, numbers
from airflow_provider_connectif.contacts.summary import FailureBudget
from airflow_provider_connectif.hooks.connectif import ConnectifHook
from airflow_provider_connectif.journals import JournalConnection, JournalKey
from airflow_provider_connectif.sources import ReadError, RowsError, RowsSource, SqlSource

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_connectif.contacts.rejects import TextSink
    from airflow_provider_connectif.contacts.run import FieldsMode, Run

SUMMARY_KEY = "summary"
_MOST_IN_FLIGHT = 100

# Another try would find the same: Airflow must not retry.
_FINAL_ERRORS = (ConnectifConfigError, MappingError, RowsError)


class ContactPatchOperator(BaseOperator):
    """Upserts rows as Connectif contacts: ``PATCH /contacts/{email}``, one request a contact.

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
    :param nulls: ``omit`` (default) leaves a property whose value is ``None`` or an empty list as it is at Connectif,
        ``clear`` sends ``null`` or ``[]``; what Connectif does with these is not documented.
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
    :param on_response: changes to the response policy: an action (``accept``, ``skip``, ``reject``, ``retry``,
        ``fail``, ``skip_task``) by status (``422``), class of statuses (``"5xx"``), error code (``"E0401"``) or
        ``"no_answer"``.
    :param failure_budget: how many refused rows are no failure: a number (int), or a share of the rows read
        (float from 0 to 1). Default 0.
    :param rejects_path: where refused rows are written as JSON Lines, any path that ``ObjectStoragePath`` takes;
        written anew by each try. The file is personal data (templated).
    :param max_in_flight: requests at once, 1 to 100. Default 8.
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
        nulls: Nulls = "omit",
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
        on_response: Mapping[int | str, str] | None = None,
        failure_budget: int | float = 0,
        rejects_path: str | None = None,
        max_in_flight: int = 8,
        connectif_conn_id: str = ConnectifHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if (rows is None) == (sql is None):
            raise ValueError("give exactly one of rows and sql")
        if sql is not None and sql_conn_id is None:
            raise ValueError("sql needs sql_conn_id, the connection that it runs on")
        if (
            isinstance(max_in_flight, bool)
            or not isinstance(max_in_flight, int)
            or not (1 <= max_in_flight <= _MOST_IN_FLIGHT)
        ):
            raise ValueError(f"max_in_flight must be a whole number from 1 to {_MOST_IN_FLIGHT}")
        # Built here only to fail while the DAG is parsed; templated arguments are not rendered yet.
        ContactMapping(
            key,
            key_column,
            properties,
            nulls,
            default_region=default_region,
            definitions=_authors_definitions(fields),
        ).check()
        ResponsePolicy(on_response)
        FailureBudget(failure_budget)
        JournalConnection(journal_conn_id, sync_id, journal_table, journal_schema, journal_key)
        self.rows = rows
        self.sql = sql
        self.sql_conn_id = sql_conn_id
        self.parameters = parameters
        self.key = key
        self.key_column = key_column
        self.properties = properties
        self.nulls = nulls
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
        self.on_response = on_response
        self.failure_budget = failure_budget
        self.rejects_path = rejects_path
        self.max_in_flight = max_in_flight
        self.connectif_conn_id = connectif_conn_id
        self._run: Run | None = None
        self._source: RowsSource | SqlSource | None = None
        self._is_killed = False
        if not getattr(self, "_BaseOperator__from_mapped", False):
            # Airflow wires the upstream tasks of templated arguments only.
            XComArg.apply_upstream_relationship(self, rows)

    def execute(self, context: Context) -> dict[str, Any]:
        """Deliver the rows, or only check them.

        :return: the summary.
        :raises AirflowFailException: over the failure budget, a refused key, a wrong mapping, a wrong
            connection: another try would end the same way.
        :raises AirflowException: Connectif or the database failed: another try may succeed.
        :raises AirflowSkipException: ``on_response`` says so.
        """
        from airflow_provider_connectif.contacts.summary import empty_summary

        self._run = None
        self._source = None
        try:
            final, again = self._carry_out(context, check_only=self.check_only)
        finally:
            summary = self._run.summary if self._run else empty_summary()
            context["ti"].xcom_push(key=SUMMARY_KEY, value=summary)
        self._raise_unless_successful(final, again)
        return summary

    def dry_run(self) -> None:
        """Check every row and send no contact: what ``airflow tasks test --dry-run`` calls (Airflow 2.11).

        :raises AirflowException: as :meth:`execute` would, for what a check can tell.
        """
        if _has_xcom_arg(self.rows):
            self.log.warning("The rows come from an upstream task, which a dry run cannot ask: use check_only=True")
            return
        self._run = None
        self._raise_unless_successful(*self._carry_out({}, check_only=True))

    def _carry_out(self, context: Any, *, check_only: bool) -> tuple[str | None, str | None]:
        """Run; returns what failed for good and what another try may mend."""
        try:
            with self._prepared_run(context, check_only) as run:
                self._source = self._open_source(context)
                if self._is_killed:  # while the run or its source was being made
                    run.kill()
                    self._source.cancel()
                run.run(self._source)
        except _FINAL_ERRORS as error:
            return str(error), None
        except JournalError as error:
            return (str(error), None) if error.final else (None, str(error))
        except ReadError as error:
            return None, str(error)
        return None, None

    def _raise_unless_successful(self, final: str | None, again: str | None) -> None:
        # Outside the handlers, so that no driver's error, which may quote a row, is shown as context.
        from airflow_provider_connectif.contacts.run import Verdict

        verdict, words = self._run.verdict() if self._run else (Verdict.SUCCESS, "")
        if final:
            raise AirflowFailException(final)
        if verdict is Verdict.SKIPPED:
            raise AirflowSkipException(words)
        if verdict is Verdict.FAILED:
            raise AirflowFailException(words)
        if again or verdict is Verdict.TRY_AGAIN:
            raise AirflowException(". ".join(text for text in (again, words) if text))

    def on_kill(self) -> None:
        """Stop sending; the requests in flight get a second to end."""
        self._is_killed = True  # for what is not there yet
        if self._run is not None:
            # A signal handler: neither of the two takes a lock that the task's own thread may hold.
            self.log.warning("Told to stop: %s", self._run.kill())
            if self._source is not None:
                self._source.cancel()

    @contextmanager
    def _prepared_run(self, context: Any, check_only: bool) -> Iterator[Run]:
        from airflow_provider_connectif.contacts.preflight import ContactCheck
        from airflow_provider_connectif.contacts.rejects import Rejects
        from airflow_provider_connectif.contacts.sync import ContactSync

        mapping = ContactMapping(
            self.key,
            self.key_column,
            self.properties,
            self.nulls,
            default_region=self.default_region,
            definitions=_authors_definitions(self.fields),
        )
        journal = JournalConnection(
            self.journal_conn_id, self.sync_id, self.journal_table, self.journal_schema, self.journal_key
        )
        client = ConnectifHook(self.connectif_conn_id).get_conn(connections=self.max_in_flight)
        with closing(client), journal.open(context, read_only=check_only) as opened, self._open_rejects() as sink:
            self.log.info(
                "%s %s to %s (%s); at most %d requests at once",
                "Checking, without sending," if check_only else "Delivering",
                "the rows of an upstream task" if self.sql is None else f"the result of sql on {self.sql_conn_id!r}",
                client.base_url,
                mapping.describe(),
                self.max_in_flight,
            )
            make = ContactCheck if check_only else partial(ContactSync, max_in_flight=self.max_in_flight)
            self._run = make(
                client,
                mapping,
                ResponsePolicy(self.on_response),
                FailureBudget(self.failure_budget),
                live_fields=self.fields == "live",
                rejects=Rejects(sink),
                rejects_path=self.rejects_path,
                log=self.log,
                journal=opened,
                full_refresh=_is_true(self.full_refresh),
                retry_rejected=self.retry_rejected,
            )
            yield self._run

    @contextmanager
    def _open_rejects(self) -> Iterator[TextSink | None]:
        if self.rejects_path is None:
            yield None
            return
        path = ObjectStoragePath(self.rejects_path)
        if path.protocol in ("", "file"):
            path.parent.mkdir(parents=True, exist_ok=True)
        with cast(Any, path).open("w", encoding="utf-8") as sink:
            yield sink

    def _open_source(self, context: Any) -> RowsSource | SqlSource:
        if self.sql is not None:
            hook = BaseHook.get_hook(str(self.sql_conn_id))
            return SqlSource(hook, str(self.sql_conn_id), self.sql, self.parameters)
        return RowsSource(_resolved(self.rows, context))


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


def _has_xcom_arg(rows: Any) -> bool:
    return isinstance(rows, XComArg) or (
        isinstance(rows, (list, tuple)) and any(isinstance(item, XComArg) for item in rows)
    )


def _resolved(rows: Any, context: Any) -> Any:
    if isinstance(rows, XComArg):
        return rows.resolve(context)
    return [_resolved(item, context) for item in rows] if _has_xcom_arg(rows) else rows
