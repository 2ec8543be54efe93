"""The base of the operators that write rows to Connectif."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_connectif.api.errors import RunFailed
from airflow_provider_connectif.assets import report_outlets
from airflow_provider_connectif.hooks.connection_lookup import connection_named_by
from airflow_provider_connectif.links import show_link
from airflow_provider_connectif.operators.endings import raise_end
from airflow_provider_connectif.operators.lineage import lineage
from airflow_provider_connectif.operators.metrics import send_effort, send_end, send_other_end
from airflow_provider_connectif.operators.open_run import open_run
from airflow_provider_connectif.operators.parts import Parts, Start
from airflow_provider_connectif.operators.rejects_file_log import RejectsFileLog
from airflow_provider_connectif.operators.signal_safe_logger import SignalSafeLogger
from airflow_provider_connectif.operators.switches import check_rendered, is_on
from airflow_provider_connectif.operators.sync_arguments import SyncArguments
from airflow_provider_connectif.operators.task_state import ProgressStore, try_number_of
from airflow_provider_connectif.operators.upstream import has_xcom_arg, resolved
from airflow_provider_connectif.records.outcomes import Outcome
from airflow_provider_connectif.reporting import wording

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.triggers.base import BaseTrigger

    from airflow_provider_connectif.databases.sources import RowsSource
    from airflow_provider_connectif.databases.sql_source import SqlSource
    from airflow_provider_connectif.journal.store import Journal
    from airflow_provider_connectif.records.deferrals import Deferral
    from airflow_provider_connectif.runs.beginning import EarlierWork
    from airflow_provider_connectif.runs.run import Run
    from airflow_provider_connectif.runs.sink import Sink

SUMMARY_KEY = "summary"
PLAN_KEY = "plan"


class SyncOperator(SyncArguments):
    """Writes rows to Connectif. The method :meth:`make_resource` returns the kind of thing that a row becomes.

    Rows come from an upstream task or from SQL, exactly one of the two. Every good row is delivered, even if other rows
    are bad. The task succeeds only if no more rows were refused than ``failure_budget`` allows. The summary of the rows
    is the return value. It is also in XCom under ``summary``, even if the task fails (see
    :func:`airflow_provider_connectif.reporting.summary.summarise`).

    Its arguments are those of :class:`airflow_provider_connectif.operators.sync_arguments.SyncArguments`.
    """

    _run: Run[Any] | None = None
    _source: RowsSource | SqlSource | None = None
    _kept_rejects: RejectsFileLog
    _signal_safe_log: SignalSafeLogger
    _is_killed = False
    _is_by_import = False
    _begins_with = wording.DELIVERING
    _summary: Mapping[str, Any] | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        """Deliver the rows, or only check them.

        :return: the summary.
        :raises AirflowFailException: the failure budget is exceeded, or the API key, the mapping, the statement or a
            connection is wrong: another attempt would end the same way.
        :raises AirflowException: Connectif or the database failed: another attempt may succeed.
        :raises AirflowSkipException: ``on_response`` asks for it.
        :raises TaskDeferred: with ``deferrable``: the task waits without a worker.
        """
        return self._run_and_report(Start(context), check_only=None)

    def execute_complete(self, context: Context, event: Any = None, try_number: int | None = None) -> dict[str, Any]:
        """Continue after a deferral. Return value and exceptions are those of :meth:`execute`.

        :param event: the payload of the trigger's event.
        :param try_number: the number of the attempt that was deferred; ``None``: this attempt.
        """
        # If a process fails after a deferral, Airflow 3.0 begins the next attempt with this method and the old event.
        # But the old time limit has passed, and the old imports have failed: the attempt starts from the beginning.
        if try_number is not None and try_number != try_number_of(context):
            return self._run_and_report(Start(context), check_only=None)
        return self._run_and_report(Start.after_deferral(context, event), check_only=False)

    def dry_run(self) -> None:
        """Check every row and send none. ``airflow tasks test --dry-run`` of Airflow 2.11 calls this method.

        :raises AirflowException: the check found an error with which :meth:`execute` would fail.
        """
        if has_xcom_arg(self.rows):
            self.log.warning(wording.NO_DRY_RUN_OF_UPSTREAM)
            return
        self.check_rows()

    def check_rows(self) -> None:
        """Check every row outside of a task and send none. Afterwards :attr:`summary` has the counts.

        :raises AirflowException: the check found an error with which :meth:`execute` would fail.
        """
        self._run = None
        self._end(Start({}), self._carry_out(Start({}), check_only=True))

    @property
    def summary(self) -> dict[str, Any]:
        """The summary of the rows so far; see :func:`airflow_provider_connectif.reporting.summary.summarise`."""
        from airflow_provider_connectif.reporting.summary import empty_summary

        return self._run.summary if self._run else empty_summary()

    def on_kill(self) -> None:
        """Stop sending; requests in flight get a second to finish."""
        self._is_killed = True  # so that a run or source created later stops, too
        if self._run is not None:
            # In a signal handler: nothing here takes a lock that the task's own thread may hold.
            counts = self._run.kill()
            if (
                not self._run.is_over
            ):  # it is after execution_timeout: Airflow calls on_kill when that has ended the run
                self._signal_safe_log.say(wording.TOLD_TO_STOP.format(counts=counts))
            if self._source is not None:
                self._source.cancel()

    def get_openlineage_facets_on_start(self) -> Any:
        """Return the tables of the query and the target of the rows, for Airflow's OpenLineage provider."""
        return lineage(self, self._written_fields())

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """Return the facets of the start, plus the field types of the account and the number of delivered rows."""
        return lineage(self, self._written_fields(), self._summary, self._removals)

    def get_openlineage_facets_on_failure(self, task_instance: Any) -> Any:
        """Return the facets of the end. They count the rows that were delivered before the failure."""
        return lineage(self, self._written_fields(), self._summary, self._removals)

    @abstractmethod
    def _make_sink(self, parts: Parts, start: Start) -> Sink[Any]:
        """Return the sink that delivers.

        :param parts: the parts that the run and the sink share.
        :param start: the start of this process.
        """

    @abstractmethod
    def _make_check(self, parts: Parts) -> Sink[Any]:
        """Return the sink that only checks."""

    def _check_task(self, start: Start) -> None:
        """Check the arguments against the task instance, such as its map index.

        :raises RunFailed: the arguments cannot be used in this task; final.
        """

    def _push_plan(self, start: Start, plan: dict[str, Any]) -> None:
        if "ti" in start.context:
            start.context["ti"].xcom_push(key=PLAN_KEY, value=plan)

    def _earlier(self, parts: Parts, journal: Journal, sink: Sink[Any]) -> EarlierWork | None:
        """Return the work that earlier runs of the sync may have left at Connectif."""
        return None

    @abstractmethod
    def _trigger(self, deferral: Deferral) -> BaseTrigger:
        """Return the trigger for a deferral."""

    def _describe_source(self) -> str:
        if self.sql is not None:
            return f"the result of sql on {self.sql_conn_id!r}"
        return "the rows of an upstream task" if has_xcom_arg(self.rows) else "the given rows"

    def _describe(self) -> str:
        """Return a line about the delivery for the beginning of the log; empty: no line."""
        return ""

    def _way(self) -> str:
        """Return a mark for the journal's digests if Connectif may not have the sent values afterwards; otherwise
        empty.
        """
        return ""

    def _without_definitions(self) -> str:
        """Return the consequence, for the log, of definitions that cannot be read; empty: the resource's own text."""
        return ""

    def _definitions_timeout_s(self) -> float | None:
        """Return the time limit for reading the account's definitions, in seconds; ``None``: that of each request."""
        return None

    def _connections(self) -> int:
        """Return the number of connections that the client keeps open."""
        return 1

    def _run_and_report(self, start: Start, *, check_only: bool | None) -> dict[str, Any]:
        try:
            return self._reported_run(start, check_only=check_only)
        except TaskDeferred:
            raise
        except BaseException as error:
            if self._run is not None:
                self._run.end_parked(error)
            raise

    def _reported_run(self, start: Start, *, check_only: bool | None) -> dict[str, Any]:
        self._run = None
        self._source = None
        show_link(self, start.context)
        failure: RunFailed | None = None
        other: BaseException | None = None
        try:
            failure = self._carry_out(start, check_only=check_only)
        except BaseException as error:
            other = error
            raise
        finally:
            summary = self._summary = self.summary
            if self._run is not None:
                send_effort(self._run.report.effort.of_this_process, self._metric_tags())
            self._keep_progress(ProgressStore(start.context), summary)
            # An incomplete summary must not replace the summary that was pushed at the deferral.
            if self._run.sink.summary_is_complete if self._run else not start.comes_back:
                self._push_summary(start, summary, failure if other is None else other)
            if other is not None:
                send_other_end(other, summary, start.context, self._metric_tags())
        self.outlets = report_outlets(self.outlets, start.context, summary, self._removals)
        send_end(self._run, failure, summary, start.context, self._metric_tags())
        self._end(start, failure)
        return summary

    def _push_summary(self, start: Start, summary: Mapping[str, Any], ended_by: BaseException | None) -> None:
        """Push the summary to XCom. If the run has failed, an error of the push is only logged.

        :param ended_by: the error that ended the run early; ``None``: there was none.
        """
        try:
            start.context["ti"].xcom_push(key=SUMMARY_KEY, value=summary)
        except Exception as error:  # raised again if the run has no failure that Airflow must get instead
            if ended_by is None and not self._has_failed:
                raise
            self.log.warning(wording.SUMMARY_NOT_PUSHED, type(error).__name__)

    @property
    def _has_failed(self) -> bool:
        """Whether the verdict on the run ends the task with an exception. A deferral has no verdict yet."""
        from airflow_provider_connectif.reporting.verdict import Verdict

        run = self._run
        return run is not None and run.deferral is None and run.verdict()[0] is not Verdict.SUCCESS

    @property
    def _removals(self) -> int:
        """Number of contacts that left the source and were changed or deleted by the run."""
        return 0 if self._run is None else self._run.report.tally.removals[Outcome.UPDATED]

    def _metric_tags(self) -> dict[str, str]:
        return {"dag_id": str(getattr(self, "dag_id", "")), "task_id": self.task_id, "sync_id": self.sync_id}

    def _written_fields(self) -> list[tuple[str, str]]:
        """Return the id and the type of each property that the run writes, for lineage; empty: none is known."""
        return []

    def _keep_progress(self, store: ProgressStore, summary: Mapping[str, Any]) -> None:
        """Store the run's progress if it is deferred. Otherwise delete it: after the end only the summary counts."""
        if self._run is None or self._run.deferral is None:
            store.clear()
        else:
            left = {name: summary[name] for name in ("pending", "predicted_end") if name in summary}
            store.write({**self._run.report.progress.as_json(), **left})

    def _carry_out(self, start: Start, *, check_only: bool | None) -> RunFailed | None:
        """Make a run and carry it out.

        :param check_only: whether the run only checks; ``None``: the operator's argument decides.
        :return: the error that ended the run early; ``None``: there was none.
        """
        try:
            check_rendered(self, self._given_texts)
            self._check_task(start)
            is_check = is_on("check_only", self.check_only) if check_only is None else check_only
            with open_run(self, start, check_only=is_check) as made:
                self._signal_safe_log, self._kept_rejects = made.signal_safe_log, made.rejects_file_log
                self._run = made.run
                if self._is_killed:  # while the run was being made
                    made.run.kill()
                made.run.run(lambda: self._open_source(start.context), made.signal_safe_log.close)
        except RunFailed as failure:
            return failure
        return None

    def _end(self, start: Start, failure: RunFailed | None) -> None:
        # Not in an ``except`` block: Python would show the caught error as context. A driver's error may quote a row.
        if self._run is not None and failure is None:
            self._defer_if_asked(self._run, start)
        raise_end(self._run, failure)

    def _defer_if_asked(self, run: Run[Any], start: Start) -> None:
        if (deferral := run.deferral) is None:
            return
        if run.waits_for_another:
            from airflow_provider_connectif.triggers.claim import ClaimTrigger

            trigger: BaseTrigger = ClaimTrigger(
                deferral.until, start.again(run.report.effort.as_state(), is_recorded=run.is_recorded)
            )
        else:
            trigger = self._trigger(deferral)
        left = None if deferral.left_s is None else timedelta(seconds=deferral.left_s)
        kwargs = {"try_number": try_number_of(start.context)}
        self.defer(trigger=trigger, method_name="execute_complete", kwargs=kwargs, timeout=left)

    def _open_source(self, context: Any) -> RowsSource | SqlSource:
        # The drivers are loaded when a source is read, not when a DAG is parsed.
        from airflow_provider_connectif.databases.hooks import sql_hook
        from airflow_provider_connectif.databases.sources import RowsSource
        from airflow_provider_connectif.databases.sql_source import SqlSource

        if self.rejects_path is not None and (removed := self._kept_rejects.remove_old(self.rejects_retention)):
            self.log.info("Removed %d rejects files that were older than rejects_retention", removed)
        seconds = self.read_timeout.total_seconds()
        if self.sql is not None:
            with connection_named_by("sql_conn_id", self.sql_conn_id):
                hook = sql_hook(str(self.sql_conn_id), self.hook_params)
            self._source = SqlSource(hook, str(self.sql_conn_id), self.sql, self.parameters, read_timeout_s=seconds)
        else:
            self._source = RowsSource(resolved(self.rows, context), read_timeout_s=seconds)
        if self._is_killed:  # while the source was being made
            self._source.cancel()
        return self._source
