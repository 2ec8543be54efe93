"""One run of a sync: read, prepare, plan, deliver, report. It has stages; it is none of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_connectif.api.errors import QuotaClosed
from airflow_provider_connectif.contacts.consent import RANKS
from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.journal.digests import way_to
from airflow_provider_connectif.journal.pending import PENDING_LIMIT_BYTES, PendingChanges
from airflow_provider_connectif.records.outcomes import Outcome, SourceError, Stop, StopKind
from airflow_provider_connectif.records.protocols import Client, Source
from airflow_provider_connectif.records.rows import Row
from airflow_provider_connectif.reporting.failure_budget import FailureBudget
from airflow_provider_connectif.reporting.progress import plural
from airflow_provider_connectif.reporting.report import Report
from airflow_provider_connectif.reporting.summary import summarise
from airflow_provider_connectif.reporting.verdict import (
    FAILING_OUTCOMES,
    Account,
    Trouble,
    Verdict,
    describe_end,
    stop_verdict,
    unaccounted_verdict,
)
from airflow_provider_connectif.runs.comparison import Comparison
from airflow_provider_connectif.runs.definitions import UNCHECKED, DefinitionsError, fetch_definitions
from airflow_provider_connectif.runs.prepare import Preparer
from airflow_provider_connectif.runs.sink import Sink

if TYPE_CHECKING:
    from airflow_provider_connectif.journal.store import Journal

READ_TIMEOUT_S = 6 * 3600.0
CONSENT_WARNING = (
    "Consent goes along with every change of a row and subscribes again who unsubscribed at Connectif\n"
    "  Properties: %s. Copy unsubscriptions into the source before each run, or leave these properties out"
)
_REASONS_IN_EXCEPTION = 5


@dataclass(frozen=True)
class RunSettings:
    """What an author decides about a run.

    :param budget: how many refused rows are too many.
    :param live_fields: check against the account's own field definitions, read once where something needs them.
    :param without_definitions: what it means for the run if they cannot be had, for the log.
    :param definitions_timeout_s: seconds in which they must be there. Default: no limit but that of each request.
    :param full_refresh: with a journal: send every row, changed or not.
    :param retry_rejected: with a journal: send rows again that were refused as they are.
    :param way: of delivery, where it is one after which Connectif need not hold what was sent.
    :param work_folder: where pending changes lie. Default: the system's temporary folder.
    :param pending_limit_bytes: of pending changes.
    :param read_timeout_s: seconds in which the source must end.
    :param reasons_in_exception: how many reasons the task's exception names; the log has the others.
    :param conn_id: the client's connection, for messages.
    :param final_errors: exceptions that another attempt would meet again.
    """

    budget: FailureBudget
    live_fields: bool
    without_definitions: str = UNCHECKED
    definitions_timeout_s: float | None = None
    full_refresh: bool = False
    retry_rejected: bool = False
    way: str = ""
    work_folder: Path | None = None
    pending_limit_bytes: int = PENDING_LIMIT_BYTES
    read_timeout_s: float = READ_TIMEOUT_S
    reasons_in_exception: int = _REASONS_IN_EXCEPTION
    conn_id: str = ""
    final_errors: tuple[type[BaseException], ...] = ()


class Run:
    """Drives the stages of one run.

    :param client: paces itself by its quota.
    :param mapping: how rows become patches.
    :param sink: where the plan goes.
    :param report: what all stages report to.
    :param journal: what Connectif has acknowledged; rows that did not change since are not sent.
    :param settings: what the author has decided.
    :param settle_earlier: waits for imports that earlier runs of the sync have left open: older values must not come
        last.
    :param clock: seconds on a clock that only goes forward.
    """

    def __init__(
        self,
        client: Client,
        mapping: ContactMapping,
        sink: Sink,
        report: Report,
        journal: Journal | None,
        settings: RunSettings,
        *,
        settle_earlier: Callable[[Callable[[], bool]], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._mapping = mapping
        self.sink = sink
        self.report = report
        self._journal = journal
        self._settings = settings
        self._settle_earlier = settle_earlier
        self._clock = clock
        self._own_stop: Stop | None = None
        self._troubles: list[Trouble] = []
        self._scope: str | None = None
        self._killed = False
        self._broken_verdict = Verdict.TRY_AGAIN
        self._is_broken = True  # an exception ends the run, until it has come to its end
        self._is_read = False
        self._warned_of: set[str] = set()
        self._open = ExitStack()
        self.is_over = False
        """Its end is logged, or is being logged: nothing is to be logged after it."""
        if journal is not None:
            journal.counts = self._counts

    def run(self, open_source: Callable[[], Source], before_end: Callable[[], None]) -> None:
        """Read every row, then deliver what differs.

        :param open_source: called once the rows are wanted.
        :param before_end: called when the end is about to be logged.
        :raises MappingError: the mapping does not fit the fields or the columns; nothing was sent.
        :raises JournalError: the journal's database failed; what it did not take is sent again by the next attempt.
        :raises PendingError: what is to be sent cannot be kept; nothing was sent.
        :raises SourceError: the source did not end in time; nothing was sent.
        """
        report = self.report
        try:
            try:
                self._begin()
                if not self.stop:
                    self._work(open_source)
                if not (self.stop or self._troubles or report.tally.read):
                    report.log.warning("The source had no rows: is there nothing to deliver, or is its query wrong?")
                self._is_broken = False
            except BaseException as error:
                is_final = isinstance(error, self._settings.final_errors) or bool(getattr(error, "final", False))
                self._broken_verdict = Verdict.FAILED if is_final else Verdict.TRY_AGAIN
                raise
            finally:
                try:
                    with self._open:  # closed after the sink, which may still put off what is pending
                        self.sink.close(self._recorded_verdict, self._keyless)
                except BaseException:
                    self._is_broken = True
                    raise
        finally:
            report.rejects.flush()
            self.is_over = True
            before_end()
            if self.sink.summary_is_complete:
                self.sink.log_end(self._end_words, self._end_notes, self._reasons_in_verdict)
            else:
                report.log.warning("Stopped before it was known how far the run had come; see where it was deferred")

    def kill(self) -> str:
        """Stop now; safe in a signal handler.

        :return: how far the run came.
        """
        self._killed = True
        more = self.sink.kill()
        self._client.quota.close()
        return self.report.progress.counts_at_stop() + more

    @property
    def stop(self) -> Stop | None:
        """Why the run ends early, if it does."""
        return Stop(StopKind.KILLED) if self._killed else self._own_stop or self.sink.stop

    @property
    def summary(self) -> dict[str, Any]:
        """The run so far; see :func:`airflow_provider_connectif.reporting.summary.summarise`."""
        return summarise(
            self.report.tally,
            effort=self.report.effort,
            rejects_path=self.report.written_rejects_path,
            undelivered=self._left_behind,
            more={**self._journal_summary(), **self.sink.summary()},
        )

    def verdict(self) -> tuple[Verdict, str]:
        """How the run ended, and in words why, with the commonest reasons of refusals."""
        verdict, words = self._ended()
        reasons = "; ".join(self.report.tally.described(self._reasons_in_verdict))
        return verdict, words + (f". Commonest reasons: {reasons}" if reasons else "")

    @property
    def _reasons_in_verdict(self) -> list[str]:
        """The reasons that the task's exception names: of what failed the task, not of what the budget allows."""
        if self._is_broken:
            return []
        return self.report.tally.commonest(self._settings.reasons_in_exception, self._failing_outcomes())

    def _failing_outcomes(self) -> Collection[Outcome]:
        """The outcomes of rows that fail the task."""
        if self.stop is not None:
            return FAILING_OUTCOMES.get(self.stop.kind, ())
        tally, budget = self.report.tally, self._settings.budget
        undelivered = (Outcome.UNDELIVERED,) if tally.outcomes[Outcome.UNDELIVERED] else ()
        return (*undelivered, *(budget.outcomes if budget.describe_excess(tally) else ()))

    @property
    def _unsettled(self) -> int:
        return self.report.tally.unsettled - self.sink.checked_only

    @property
    def _left_behind(self) -> int:
        """Rows that were read and have no outcome since the run ended early: they are undelivered."""
        is_early = self.stop is not None or self._is_broken or self._troubles or self.sink.is_early
        return max(0, self._unsettled - self.sink.unaccounted) if is_early else 0

    def _ended(self) -> tuple[Verdict, str]:
        tally = self.report.tally
        undelivered = tally.outcomes[Outcome.UNDELIVERED]
        if self._unsettled < 0:
            return unaccounted_verdict(tally.read, self._unsettled)
        if self.stop is not None:
            account = Account(self._settings.conn_id, self._client.base_url)
            return stop_verdict(self.stop, self._scope or self.sink.scope, account)
        if troubles := [*self._troubles, *self.sink.troubles]:
            is_final = any(trouble.verdict is Verdict.FAILED for trouble in troubles)
            words = ". ".join(dict.fromkeys(trouble.words for trouble in troubles))
            return (Verdict.FAILED if is_final else Verdict.TRY_AGAIN), words
        if unaccounted := self._unsettled - self._left_behind:
            return unaccounted_verdict(tally.read, unaccounted)
        excess = self._settings.budget.describe_excess(tally)
        if undelivered:
            also = f". Besides, {excess}" if excess else ""
            return Verdict.TRY_AGAIN, f"{plural(undelivered, 'row')} given up on after every try{also}"
        return (Verdict.FAILED, excess) if excess else (Verdict.SUCCESS, "")

    @property
    def _recorded_verdict(self) -> Verdict:
        """How the attempt ended, for the journal."""
        return self._broken_verdict if self._is_broken else self._ended()[0]

    @property
    def _keyless(self) -> int | None:
        """Rows without a valid key, if the source was read to its end."""
        return self.report.tally.keyless if self._is_read else None

    @property
    def _end_words(self) -> str:
        """How the run ended, as the beginning of a line."""
        return "Failed after" if self._is_broken else describe_end(self._ended()[0], self.stop)

    @property
    def _end_notes(self) -> str:
        """What stands at the end of a line: the failure budget, and where rows are that were not delivered."""
        tries = 0 if self._journal is None else self._journal.series.tries
        budget = self._settings.budget.describe_use(self.report.tally)
        notes = [f"over {tries} attempts" if tries > 1 else "", budget]
        if (path := self.report.written_rejects_path) is not None:
            notes.append(f"rows that were not delivered are in {path!r}")
        return "".join(f"; {note}" for note in notes if note)

    def _begin(self) -> None:
        self.sink.open(self._is_to_stop)
        if self._journal is not None:
            self.report.effort.waited_for_others_s = self._journal.waited_s
            self.report.effort.begin_series(self._journal.series.counts, self._journal.series.started_at)

    def _work(self, open_source: Callable[[], Source]) -> None:
        if self._settle_earlier is not None:
            self._scope = "Imports: Read, which the open import of an earlier run needs"
            try:
                self._settle_earlier(self._is_to_stop_while_waiting)
            except Trouble as trouble:
                self._note(trouble)
            except QuotaClosed:
                self._own_stop = self.stop or Stop(StopKind.KILLED)
            if self.stop or self._troubles:
                return
            self._scope = None
        if self.sink.resume():
            self._is_read = True
        else:
            self._plan_and_deliver(open_source)

    def _note(self, trouble: Trouble) -> None:
        if trouble.is_about_the_key:
            self._own_stop = Stop(StopKind.FAIL, trouble.error)
        else:
            self._troubles.append(trouble)

    def _plan_and_deliver(self, open_source: Callable[[], Source]) -> None:
        mapping = self._with_definitions()
        if self.stop:
            return
        comparison = self._made_comparison(mapping)
        settings = self._settings
        changes = self._open.enter_context(
            PendingChanges(
                None if comparison is None else comparison.patch_digest,
                folder=settings.work_folder,
                limit_bytes=settings.pending_limit_bytes,
            )
        )
        self._read(open_source(), mapping, Preparer(mapping, comparison, changes, self.report))
        self.sink.remapped = 0 if comparison is None else comparison.remapped
        if not self.stop:
            self.sink.deliver(changes, mapping)

    def _read(self, source: Source, mapping: ContactMapping, preparer: Preparer) -> None:
        """Read the source to its end. Nothing is sent before: the plan must be whole, and the database is let go."""
        report, began, is_checked = self.report, self._clock(), False
        report.progress.rows_to_read = source.size
        self._warn_of_consent(mapping.properties or ())
        for batch in source:
            if not is_checked:
                self._check_columns(mapping, source, batch)
                is_checked = True
            if mapping.properties is None:
                # Rows of a list need not have the same columns.
                self._warn_of_consent(
                    source.columns or [name for name in RANKS if any(_has(row, name) for row in batch)]
                )
            preparer.prepare(batch)
            report.progress.tick()
            if self._journal is not None:
                self._journal.commit_if_due()
            if self._is_to_stop():
                return
            if self._clock() - began > self._settings.read_timeout_s:
                raise SourceError(
                    f"the source did not end within read_timeout, {self._settings.read_timeout_s:g} s "
                    f"({plural(report.tally.read, 'row')} read); nothing was sent"
                )
        if self.stop:
            return
        if not is_checked:
            mapping.check()
        preparer.finish()
        self._is_read = True
        report.progress.rows_to_read = report.tally.read
        if self._journal is not None:
            self._journal.commit()

    def _made_comparison(self, mapping: ContactMapping) -> Comparison | None:
        if self._journal is None:
            return None
        settings = self._settings
        return Comparison(
            self._journal,
            mapping,
            full_refresh=settings.full_refresh,
            retry_rejected=settings.retry_rejected,
            way=way_to(self._client.base_url, settings.way),
        )

    def _with_definitions(self) -> ContactMapping:
        """The mapping, checked against the account's fields where something needs them."""
        mapping, report = self._mapping, self.report
        if not self._settings.live_fields or not mapping.needs_definitions:
            return mapping
        try:
            found = fetch_definitions(
                self._client,
                report.log,
                self._is_to_stop_while_waiting,
                report.effort.add_failure,
                self._settings.without_definitions,
                longest_wait_s=self.sink.longest_pause_s,
                timeout_s=self._settings.definitions_timeout_s,
            )
        except QuotaClosed:
            return mapping
        except DefinitionsError as failure:
            if failure.kind is StopKind.LEFT_ALONE:
                self.sink.leave_alone(failure.error, failure.asked_s)
            else:
                self._own_stop = Stop(failure.kind, failure.error)
            return mapping
        return mapping if found is None else mapping.with_definitions(found)

    def _check_columns(self, mapping: ContactMapping, source: Source, batch: Sequence[Row]) -> None:
        columns: Sequence[Any] | None = source.columns
        if columns is None and batch:
            # Without a mapping the first row's columns say what the author means to send; with one, a column that
            # none of the first rows has is a fault of the mapping rather than of every row.
            rows = batch[:1] if mapping.properties is None else [row for row in batch if isinstance(row, Mapping)]
            columns = list(dict.fromkeys(column for row in rows for column in row))
        mapping.check(columns)
        self.sink.check_columns(source.columns, mapping)

    def _warn_of_consent(self, properties: Iterable[Any]) -> None:
        """Say once what a change of another column does to who has unsubscribed.

        :param properties: those that are sent.
        """
        consent = dict.fromkeys(name for name in properties if name in RANKS and name not in self._warned_of)
        self._warned_of.update(consent)
        if consent and self.sink.sends_consent_again:
            self.report.log.warning(CONSENT_WARNING, ", ".join(consent))

    def _is_to_stop(self) -> bool:
        """Asked several times a second while something is waited for."""
        self.sink.look_at_the_clock()
        return self.stop is not None

    def _is_to_stop_while_waiting(self) -> bool:
        self.report.progress.tick()
        return self._is_to_stop()

    def _counts(self) -> dict[str, Any]:
        """For the journal's record of the attempt."""
        tally = self.report.tally
        outcomes = {outcome.value: count for outcome, count in tally.outcomes.items()}
        of_rows = {"read": tally.read, "outcomes": outcomes, "new_refusals": tally.new_refusals}
        return {**of_rows, **self.report.effort.as_counts()}

    def _journal_summary(self) -> dict[str, Any]:
        if self._journal is None:
            return {}
        outcomes = self.report.tally.outcomes
        return {
            "unchanged": outcomes[Outcome.UNCHANGED],
            "held": outcomes[Outcome.HELD],
            "remapped": self.sink.remapped,
            "tries": self._journal.series.tries,
        }


def _has(row: Any, column: str) -> bool:
    return isinstance(row, Mapping) and column in row
