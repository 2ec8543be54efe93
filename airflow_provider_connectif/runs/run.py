"""One run of a sync: it drives the stages read, prepare, plan, deliver and report."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from airflow_provider_connectif.api.errors import RunStopped
from airflow_provider_connectif.journal.digests import digest_salt
from airflow_provider_connectif.journal.left_behind import ChangesLeft
from airflow_provider_connectif.journal.pending import PendingChanges
from airflow_provider_connectif.journal.shown_keys import ShownKeys
from airflow_provider_connectif.records.deferrals import Deferral
from airflow_provider_connectif.records.outcomes import JournalError, Outcome, Stop, StopKind
from airflow_provider_connectif.records.protocols import Client, Source
from airflow_provider_connectif.records.resource import Resource
from airflow_provider_connectif.reporting import wording
from airflow_provider_connectif.reporting.report import Report
from airflow_provider_connectif.reporting.summary import summarise
from airflow_provider_connectif.reporting.verdict import Account, Verdict
from airflow_provider_connectif.runs.beginning import Beginning, EarlierWork
from airflow_provider_connectif.runs.columns import SourceColumns, warn_of_other_owners
from airflow_provider_connectif.runs.comparison import Comparison
from airflow_provider_connectif.runs.definitions import DefinitionsError, fetch_definitions
from airflow_provider_connectif.runs.ending import Ending
from airflow_provider_connectif.runs.planning import Planning, TellPlan, note_complete_read
from airflow_provider_connectif.runs.prepare import Preparer
from airflow_provider_connectif.runs.reading import read_to_its_end
from airflow_provider_connectif.runs.settings import RunSettings
from airflow_provider_connectif.runs.sink import Sink

if TYPE_CHECKING:
    from airflow_provider_connectif.journal.store import Journal

ResourceT = TypeVar("ResourceT", bound=Resource)


class Run(Generic[ResourceT]):
    """Drives the stages of one run.

    :param client: sends requests, within its rate limit.
    :param resource: the resource of the rows.
    :param sink: delivers the plan.
    :param report: the report of the run.
    :param journal: knows what Connectif has acknowledged: such rows are not sent again until they change.
    :param settings: the settings from the operator's arguments.
    :param earlier: the work that earlier runs of the sync have left at Connectif.
    :param push_plan: called with the plan, JSON-ready, before the first request to a contact.
    :param clock: returns seconds on a clock that only goes forward.
    """

    def __init__(
        self,
        client: Client,
        resource: ResourceT,
        sink: Sink[ResourceT],
        report: Report,
        journal: Journal | None,
        settings: RunSettings,
        *,
        earlier: EarlierWork | None = None,
        push_plan: TellPlan = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self.resource = resource
        """The resource of the rows, with the account's definitions once they are known."""
        self.sink = sink
        self.report = report
        self._journal = journal
        self._settings = settings
        self._push_plan = push_plan
        self._clock = clock
        account = Account(settings.conn_id, client.base_url)
        self._ending = Ending(sink, report, settings.budget, account, settings.verdicts)
        self._beginning = Beginning(report, journal, earlier, self._ending, time_limit_s=settings.time_limit_s)
        self._is_read = False
        self._open = ExitStack()
        self.is_over = False
        """Whether the end is logged or being logged: nothing must be logged after it."""

    def run(self, open_source: Callable[[], Source], before_end: Callable[[], None]) -> None:
        """Read every row, then deliver what differs.

        :param open_source: called when the rows are needed.
        :param before_end: called just before the end is logged.
        :raises RunFailed: the mapping, the source, the journal's database or the folder for pending changes failed.
        """
        report, ending = self.report, self._ending
        try:
            try:
                if self._beginning.open(self.sink, self.resource, self._is_to_stop):
                    self._work(open_source)
                report.close_rejects()  # before the journal says how the run has ended
                self._note_complete_read()
                ending.come_to_its_end()
            except BaseException as error:
                ending.break_off(error)
                report.close_rejects(error)
                raise
            finally:
                try:
                    self._note_end()
                    with self._open:  # closed after the sink, which may still store pending changes
                        report.note_suppressed()
                        self.sink.close(ending.recorded, report.tally.keyless if self._is_read else None)
                except BaseException as error:
                    ending.break_off(error)
                    raise
        finally:
            self.is_over = True
            before_end()
            if self._beginning.deferral is not None:
                report.log.info("%s", self._beginning.deferral.words)
            elif self.sink.summary_is_complete:
                self.sink.log_end(ending.end(0 if self._journal is None else self._journal.series.tries))
            else:
                report.log.warning(wording.DEFERRED_EARLY)

    def kill(self) -> str:
        """Stop now; safe in a signal handler.

        :return: the counts so far, as words for the log.
        """
        self._ending.kill()
        more = self.sink.kill()
        self._client.quota.close()
        return self.report.progress.counts_at_stop() + more

    def end_parked(self, error: BaseException) -> None:
        """End the claim and the plan of a deferral that does not follow: the task was stopped, or an error ended it."""
        if self.deferral is not None:  # otherwise the run has a verdict of its own
            self.break_off(error)
        self.report.cause = self._ending.cause
        if self._journal is not None:
            with suppress(JournalError):  # the claim and the plan then end by themselves, and the task by its own error
                self._journal.end_parked(Verdict.TRY_AGAIN)

    @property
    def deferral(self) -> Deferral | None:
        """The deferral that ended this process; ``None`` if there is none."""
        if self._beginning.deferral is not None and self._ending.stop == Stop(StopKind.DEFERRED):
            return self._beginning.deferral
        return self.sink.deferral

    @property
    def waits_for_another(self) -> bool:
        """Whether the deferral is for another run of the sync, or for its open imports: nothing was read yet."""
        return self._beginning.deferral is not None

    @property
    def is_recorded(self) -> bool:
        """Whether the journal has a record of this attempt, with its counts."""
        return self._journal is not None and self._journal.series.tries > 0

    @property
    def summary(self) -> dict[str, Any]:
        """The summary of the run so far; see :func:`airflow_provider_connectif.reporting.summary.summarise`."""
        return summarise(
            self.report.tally,
            effort=self.report.effort,
            rejects_path=self.report.written_rejects_path,
            undelivered=self._ending.left_behind,
            more={**self._journal_summary(), **self.sink.summary()},
        )

    def verdict(self) -> tuple[Verdict, str]:
        """Return the verdict on the run, and the reason in one sentence."""
        return self._ending.verdict()

    def break_off(self, error: BaseException) -> None:
        """Note that an exception, which may have been raised after the run, ends the task."""
        self._ending.break_off(error)

    def _work(self, open_source: Callable[[], Source]) -> None:
        if not self._beginning.settle_earlier(self._is_to_stop_while_waiting):
            return
        if self.sink.resume():
            self._is_read = True
        else:
            self._plan_and_deliver(open_source)

    def _plan_and_deliver(self, open_source: Callable[[], Source]) -> None:
        self.report.rejects.reset()  # only now: a run that waits leaves the file to the run that it waits for
        resource = self.resource = self._with_definitions()
        if self._ending.stop:
            return
        settings, shown = self._settings, None
        if self._journal is not None and settings.read.counts_left:
            shown = self._open.enter_context(closing(ShownKeys(settings.work_folder)))
        comparison = self._made_comparison(resource, shown)
        differences = None if comparison is None else comparison.differences
        changes = self._open.enter_context(
            PendingChanges(resource, differences, folder=settings.work_folder, limit_bytes=settings.pending_limit_bytes)
        )
        if self._journal is not None:
            self._journal.begin_reading(None if comparison is None else settings.read.identity)
            self._journal.left_behind = ChangesLeft(changes.batches, resource.same_key)
        self._read(open_source(), resource, Preparer(resource, comparison, changes, self.report, settings.verdicts))
        if not self._ending.stop:
            planning = Planning(self._journal, settings, self.report, shown, self._push_plan)
            planning.decide(changes, comparison, resource, self.sink)
            self.report.rejects.flush()  # sending may take hours, and its process may be killed
            changes.begin_sending()
            self.sink.deliver(changes, resource)

    def _read(self, source: Source, resource: ResourceT, preparer: Preparer) -> None:
        columns = SourceColumns(resource, self.sink, self.report.log)
        self._is_read = read_to_its_end(
            source,
            columns,
            preparer,
            self._journal,
            self.report,
            self._is_to_stop,
            timeout_s=self._settings.read_timeout_s,
            clock=self._clock,
        )
        if self._is_read and self._journal is not None:
            warn_of_other_owners(self._journal, digest_salt(self._client.base_url), columns.ranked, self.report.log)

    def _note_end(self) -> None:
        self.report.left_behind = left = self._ending.left_behind
        self.report.cause = self._ending.cause if self._ending.is_broken or self.deferral is None else ""
        if self._journal is not None and left:
            self._journal.ended_early = self._ending.reason_of_early_end

    def _made_comparison(self, resource: ResourceT, shown: ShownKeys | None) -> Comparison | None:
        if self._journal is None or not resource.is_compared:
            return None
        settings = self._settings
        comparison = Comparison(
            self._journal,
            resource,
            self.report.tally,
            full_refresh=settings.full_refresh,
            retry_rejected=settings.retry_rejected,
            way=digest_salt(self._client.base_url, settings.way),
            shown=shown,
            keys=None if shown is not None else self._open.enter_context(closing(ShownKeys(settings.work_folder))),
        )
        self.report.mapping_digest = comparison.mapping_digest
        return comparison

    def _note_complete_read(self) -> None:
        """Record the complete read if the whole plan was sent, so that later runs can compare their reads with it."""
        is_sent = self._is_read and self._ending.may_continue and not (self.sink.is_early or self.sink.failures)
        if is_sent and self._journal is not None and not self._journal.read_only:
            note_complete_read(self._journal, self.report)

    def _with_definitions(self) -> ResourceT:
        """Return the resource, with the account's definitions if it needs them."""
        resource, report = self.resource, self.report
        if not self._settings.live_definitions or not resource.needs_definitions:
            return resource
        try:
            return fetch_definitions(
                resource,
                self._client,
                report.log,
                self._is_to_stop_while_waiting,
                report.effort.add_failure,
                self._settings.without_definitions,
                longest_wait_s=self.sink.longest_pause_s,
                timeout_s=self._settings.definitions_timeout_s,
            )
        except RunStopped:
            return resource
        except DefinitionsError as failure:
            if failure.kind is StopKind.LEFT_ALONE:
                self.sink.react_to_pause(failure.error, failure.asked_s)
            else:
                self._ending.stop_for(Stop(failure.kind, failure.error))
            return resource

    def _is_to_stop(self) -> bool:
        """Whether the run must stop; called several times a second while it waits."""
        self.sink.check_time_limits()
        return self._ending.stop is not None

    def _is_to_stop_while_waiting(self) -> bool:
        self.report.progress.tick()
        return self._is_to_stop()

    def _journal_summary(self) -> dict[str, Any]:
        tally = self.report.tally
        if self._journal is None:  # after a look-up there may be nothing to send
            unchanged = tally.outcomes[Outcome.UNCHANGED]
            return {"unchanged": unchanged} if unchanged else {}
        removed = tally.removed
        return {
            **({} if removed is None else {"removed": removed}),
            "unchanged": tally.outcomes[Outcome.UNCHANGED],
            "held": tally.outcomes[Outcome.HELD],
            "suppressed": tally.outcomes[Outcome.SUPPRESSED],
            "remapped": tally.remapped,
            "tries": self._journal.series.tries,
        }
