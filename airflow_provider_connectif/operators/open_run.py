"""Makes the run of one process of a task from the arguments of its operator."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_connectif.hooks.connectif import ConnectifHook
from airflow_provider_connectif.hooks.connection_lookup import connection_named_by
from airflow_provider_connectif.operators.endings import verdicts_of_authors
from airflow_provider_connectif.operators.parts import Parts, Start
from airflow_provider_connectif.operators.rejects_file import RejectsFile
from airflow_provider_connectif.operators.rejects_file_log import RejectsFileLog
from airflow_provider_connectif.operators.signal_safe_logger import SignalSafeLogger
from airflow_provider_connectif.operators.switches import is_on
from airflow_provider_connectif.operators.sync_arguments import work_folder
from airflow_provider_connectif.operators.task_state import ProgressStore, has_run_before, try_number_of
from airflow_provider_connectif.reporting import wording
from airflow_provider_connectif.reporting.failure_budget import FailureBudget
from airflow_provider_connectif.reporting.folding import FoldedLog

if TYPE_CHECKING:
    from airflow_provider_connectif.api.client import ConnectifClient
    from airflow_provider_connectif.operators.base import SyncOperator
    from airflow_provider_connectif.records.resource import Resource
    from airflow_provider_connectif.runs.run import Run
    from airflow_provider_connectif.runs.settings import RunSettings

_SWITCHES_NAMED = ("full_refresh", "retry_rejected", "ignore_held", "guards_off")  # in the log's first line


class OpenRun(NamedTuple):
    """A run, and two other objects that its operator uses.

    ``signal_safe_log``: logs for :meth:`~airflow_provider_connectif.operators.base.SyncOperator.on_kill`.
    ``rejects_file_log``: the task's earlier rejects files.
    """

    run: Run[Any]
    signal_safe_log: SignalSafeLogger
    rejects_file_log: RejectsFileLog


@contextmanager
def open_run(operator: SyncOperator, start: Start, *, check_only: bool) -> Iterator[OpenRun]:
    """Make a run. At the end of the block, close everything that was opened for it.

    :param operator: has the rendered arguments, and makes the sink.
    :param start: the start of the process.
    :param check_only: whether the run only checks.
    :raises RunFailed: an argument, a connection or the journal does not work.
    """
    from airflow_provider_connectif.reporting.rejects import Rejects
    from airflow_provider_connectif.reporting.report import Report
    from airflow_provider_connectif.runs.run import Run

    log, store = FoldedLog(operator.log), ProgressStore(start.context)
    resource = operator.make_resource()
    with connection_named_by("connectif_conn_id", operator.connectif_conn_id):
        client = ConnectifHook(operator.connectif_conn_id).get_conn(connections=operator._connections())
    journal = operator._journal().open(
        start.context,
        read_only=check_only,
        keeps_rows=operator.rejects_path is not None,
        comes_back=start.comes_back or start.is_recorded,
        may_defer=operator.deferrable,
    )
    path = operator.rejects_path
    rejects = nullcontext() if path is None else RejectsFile(path)
    with closing(client), journal as opened, rejects as sink:
        if not start.comes_back and start.effort is None:  # a run that continues logs a line of its own
            _log_start(operator, log, client, resource, check_only=check_only)
            if opened is None and not check_only and resource.is_compared and has_run_before(start.context):
                log.info(wording.NEXT_ATTEMPT_WITHOUT_JOURNAL, try_number_of(start.context))
        rejects_file_log = RejectsFileLog(opened, getattr(start.context.get("dag"), "dag_id", ""), operator.task_id)
        if sink is not None:
            sink.note = rejects_file_log.note
        # An erasure has no history, because the history would store the keys of deleted people.
        history = None if opened is None or not resource.is_compared else opened.history
        report = Report(
            resource,
            client.quota,
            Rejects(sink),
            path,
            log,
            by_import=operator._is_by_import,
            history=history,
            publish=store.write if store.exists else None,
        )
        if start.effort is not None:
            report.effort.restore_after_others(start.effort)
        parts = Parts(client, resource, report, opened, rejects_file_log)
        goal = operator._make_check(parts) if check_only else operator._make_sink(parts, start)
        earlier = None if check_only or opened is None else operator._earlier(parts, opened, goal)
        settings = _run_settings(operator, start, client, resource)
        tell = partial(operator._push_plan, start)
        run = Run(client, resource, goal, report, opened, settings, earlier=earlier, push_plan=tell)
        with closing(SignalSafeLogger(log)) as signal_safe_log:
            yield OpenRun(run, signal_safe_log, rejects_file_log)


def _log_start(
    operator: SyncOperator, log: FoldedLog, client: ConnectifClient, resource: Resource, *, check_only: bool
) -> None:
    log.info(
        wording.CHECKING if check_only else operator._begins_with,
        operator._describe_source(),
        client.base_url,
        wording.details(
            resource.describe(),
            operator._describe(),
            operator._journal().describe(),
            "; ".join(name for name in _SWITCHES_NAMED if is_on(name, getattr(operator, name))),
        ),
    )


def _run_settings(operator: SyncOperator, start: Start, client: ConnectifClient, resource: Resource) -> RunSettings:
    from airflow_provider_connectif.runs.settings import RunSettings

    limit = operator.execution_timeout if operator.deferrable else None
    return RunSettings(
        budget=FailureBudget(operator.failure_budget, is_on("ignore_held", operator.ignore_held)),
        live_definitions=operator._asks_for_definitions(),
        full_refresh=is_on("full_refresh", operator.full_refresh),
        retry_rejected=is_on("retry_rejected", operator.retry_rejected),
        work_folder=work_folder(),
        pending_limit_bytes=operator.pending_limit,
        read_timeout_s=operator.read_timeout.total_seconds(),
        time_limit_s=None if limit is None else limit.total_seconds(),
        conn_id=str(operator.connectif_conn_id),
        way=operator._way(),
        without_definitions=operator._without_definitions(),
        definitions_timeout_s=operator._definitions_timeout_s(),
        verdicts=verdicts_of_authors(),
        guards=operator._limits(is_off=is_on("guards_off", operator.guards_off)),
        read=operator._read_settings(start.context, resource, client.base_url),
    )
