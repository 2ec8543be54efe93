"""What the operators that bring rows to Connectif have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
    BaseHook,
    conf,
)

from airflow_provider_connectif.api.errors import ConnectifConfigError
from airflow_provider_connectif.contacts.mapping import MappingError
from airflow_provider_connectif.databases.read_errors import ReadError
from airflow_provider_connectif.databases.sources import RowsError, RowsSource, SqlSource
from airflow_provider_connectif.hooks.connectif import ConnectifHook
from airflow_provider_connectif.hooks.connection_lookup import NoSuchConnectionError, connection_named_by
from airflow_provider_connectif.operators.arguments import ContactsArguments
from airflow_provider_connectif.operators.herald import Herald
from airflow_provider_connectif.operators.rejects_file import RejectsFile, RejectsPathError
from airflow_provider_connectif.operators.switches import check_rendered, is_on
from airflow_provider_connectif.operators.upstream import has_xcom_arg, resolved
from airflow_provider_connectif.records.outcomes import JournalError, PendingError, SourceError
from airflow_provider_connectif.reporting.failure_budget import FailureBudget

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_connectif.api.client import ConnectifClient
    from airflow_provider_connectif.contacts.mapping import ContactMapping
    from airflow_provider_connectif.journal.store import Journal
    from airflow_provider_connectif.reporting.report import Report
    from airflow_provider_connectif.runs.run import Run
    from airflow_provider_connectif.runs.sink import Sink

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


class Parts(NamedTuple):
    """What a run and its sink share."""

    client: ConnectifClient
    mapping: ContactMapping
    report: Report
    journal: Journal | None


class ContactsOperator(ContactsArguments):
    """Brings rows to Connectif as contacts.

    Rows come from an upstream task or from SQL, exactly one of the two. Every good row is delivered whatever
    the others hold; then the task ends green only if no more rows were refused than ``failure_budget`` allows.
    What became of the rows is the return value, and stands in XCom under ``summary`` also when the task fails
    (see :func:`airflow_provider_connectif.reporting.summary.summarise`).

    Its arguments are those of :class:`airflow_provider_connectif.operators.arguments.ContactsArguments`.
    """

    _run: Run | None = None
    _source: RowsSource | SqlSource | None = None
    _is_killed = False
    _is_by_import = False

    def execute(self, context: Context) -> dict[str, Any]:
        """Deliver the rows, or only check them.

        :return: the summary.
        :raises AirflowFailException: over the failure budget, a refused key, a wrong mapping, a wrong statement or
            connection: another try would end the same way.
        :raises AirflowException: Connectif or the database failed: another try may succeed.
        :raises AirflowSkipException: ``on_response`` says so.
        :raises TaskDeferred: with ``deferrable``: there is nothing to do for a while.
        """
        return self._carry_out_and_tell(Start(context), check_only=None)

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
    def _make_sink(self, parts: Parts, start: Start) -> Sink:
        """What delivers.

        :param parts: of the run.
        :param start: how this process begins.
        """

    @abstractmethod
    def _make_check(self, parts: Parts) -> Sink:
        """What only checks."""

    @abstractmethod
    def _settle_earlier(self, parts: Parts, sink: Any) -> Callable[[Callable[[], bool]], None] | None:
        """What waits for imports that earlier runs of the sync have left open; ``None`` without a journal."""

    def _rejects_file(self, path: str, start: Start) -> RejectsFile:
        return RejectsFile(path, goes_on=start.comes_back)

    @abstractmethod
    def _defer(self, sink: Any) -> None:
        """Raise ``TaskDeferred`` if the run has to wait without a worker."""

    def _describe_source(self) -> str:
        if self.sql is not None:
            return f"the result of sql on {self.sql_conn_id!r}"
        return "the rows of an upstream task" if has_xcom_arg(self.rows) else "the given rows"

    def _describe(self) -> str:
        """What the log says of the delivery beside its source and mapping."""
        return ""

    def _more_settings(self) -> dict[str, Any]:
        """Settings of the run that only this kind of delivery has."""
        return {}

    def _connections(self) -> int:
        """Connections that the client keeps open."""
        return 1

    def _carry_out_and_tell(self, start: Start, *, check_only: bool | None) -> dict[str, Any]:
        from airflow_provider_connectif.reporting.summary import empty_summary

        self._run = None
        self._source = None
        try:
            final, again = self._carry_out(start, check_only=check_only)
        finally:
            summary = self._run.summary if self._run else empty_summary()
            # Otherwise the summary that was pushed when the task was deferred is the better one.
            if self._run.sink.summary_is_complete if self._run else not start.comes_back:
                start.context["ti"].xcom_push(key=SUMMARY_KEY, value=summary)
        self._end(final, again)
        return summary

    def _carry_out(self, start: Start, *, check_only: bool | None) -> tuple[str | None, str | None]:
        """Run; returns what failed for good and what another attempt may mend.

        :param check_only: ``None``: as the operator's argument says.
        """
        try:
            check_rendered(self, self._given_texts)
            is_check = is_on("check_only", self.check_only) if check_only is None else check_only
            with self._prepared_run(start, is_check) as run:
                if self._is_killed:  # while the run was being made
                    run.kill()
                run.run(lambda: self._open_source(start.context), self._herald.close)
        except _FINAL_ERRORS as error:
            return str(error), None
        except (JournalError, PendingError, ReadError, SourceError) as error:
            return (str(error), None) if error.final else (None, str(error))
        return None, None

    def _end(self, final: str | None, again: str | None) -> None:
        # Outside the handlers, so that no driver's error, which may quote a row, is shown as context.
        from airflow_provider_connectif.reporting.verdict import Verdict

        if self._run is not None and not (final or again):
            self._defer(self._run.sink)
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
        from airflow_provider_connectif.reporting.rejects import Rejects
        from airflow_provider_connectif.reporting.report import Report
        from airflow_provider_connectif.runs.run import Run, RunSettings

        mapping = self._mapping()
        with connection_named_by("connectif_conn_id", self.connectif_conn_id):
            client = ConnectifHook(self.connectif_conn_id).get_conn(connections=self._connections())
        journal = self._journal().open(
            start.context,
            read_only=check_only,
            keeps_rows=self.rejects_path is not None,
            comes_back=start.comes_back,
        )
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
            report = Report(mapping, client.quota, Rejects(sink), path, self.log, by_import=self._is_by_import)
            parts = Parts(client, mapping, report, opened)
            goal = self._make_check(parts) if check_only else self._make_sink(parts, start)
            settings = RunSettings(
                budget=FailureBudget(self.failure_budget, is_on("ignore_held", self.ignore_held)),
                live_fields=self.fields == "live",
                full_refresh=is_on("full_refresh", self.full_refresh),
                retry_rejected=is_on("retry_rejected", self.retry_rejected),
                reasons_in_exception=0 if check_only else 5,
                work_folder=work_folder(),
                pending_limit_bytes=self.pending_limit,
                read_timeout_s=self.read_timeout.total_seconds(),
                conn_id=str(self.connectif_conn_id),
                final_errors=_FINAL_ERRORS,
                **self._more_settings(),
            )
            settle_earlier = None if check_only else self._settle_earlier(parts, goal)
            made = Run(client, mapping, goal, report, opened, settings, settle_earlier=settle_earlier)
            self._herald = Herald(self.log)
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


def work_folder() -> Path | None:
    """Where pending changes lie; ``None``: in the system's folder for temporary files."""
    folder = conf.get("connectif", "work_folder", fallback="")
    return Path(folder) if folder else None
