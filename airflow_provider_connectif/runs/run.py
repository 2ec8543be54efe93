"""What all runs over rows have in common: reading and mapping them, the account of them, and how it ends."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_connectif.api.errors import QuotaClosed
from airflow_provider_connectif.api.quota import Wait
from airflow_provider_connectif.api.window import Cause
from airflow_provider_connectif.contacts.fields import CONSENT_PROPERTIES
from airflow_provider_connectif.contacts.mapping import ContactMapping, InvalidRow
from airflow_provider_connectif.delivery.response_policy import ResponsePolicy
from airflow_provider_connectif.journal.digests import way_to
from airflow_provider_connectif.records.changes import Patch
from airflow_provider_connectif.records.outcomes import Error, Outcome, Stop, StopKind
from airflow_provider_connectif.records.protocols import Client, Source
from airflow_provider_connectif.records.rows import Row
from airflow_provider_connectif.reporting.effort import Effort
from airflow_provider_connectif.reporting.failure_budget import FailureBudget
from airflow_provider_connectif.reporting.progress import Log, Progress, plural
from airflow_provider_connectif.reporting.rejects import Rejects
from airflow_provider_connectif.reporting.summary import Tally, summarise
from airflow_provider_connectif.reporting.verdict import (
    FAILING_OUTCOMES,
    Account,
    Verdict,
    describe_end,
    stop_verdict,
    unaccounted_verdict,
)
from airflow_provider_connectif.runs.changes import Changes, Seen
from airflow_provider_connectif.runs.definitions import UNCHECKED, DefinitionsError, fetch_definitions

if TYPE_CHECKING:
    from airflow_provider_connectif.journal.store import Journal

_ASKED_FOR = frozenset({Cause.REFUSED, Cause.USED_UP})  # the other causes are our own prudence, and take a minute
CONSENT_WARNING = (
    "Consent goes along with every change of a row and subscribes again who unsubscribed at Connectif\n"
    "  Properties: %s. Copy unsubscriptions into the source before each run, or leave these properties out"
)


class Run(ABC):
    """A run over the rows of a source.

    :param client: paces itself by its quota.
    :param mapping: how rows become patches.
    :param policy: what answers lead to.
    :param budget: how many bad rows are too many.
    :param live_fields: check against the account's own field definitions, read once where something needs them.
    :param rejects: where refused rows are written.
    :param rejects_path: its name, for the summary.
    :param log: where progress is told.
    :param journal: what Connectif has acknowledged; rows that did not change since are not sent.
    :param full_refresh: with a journal: send every row all the same.
    :param retry_rejected: with a journal: send rows again that were refused as they are.
    :param conn_id: the client's connection, for messages.
    """

    _by_import = False
    _without_definitions = UNCHECKED
    _reasons_in_failure = 5  # that the task's exception tells; the log has the others

    def __init__(
        self,
        client: Client,
        mapping: ContactMapping,
        policy: ResponsePolicy,
        budget: FailureBudget,
        *,
        live_fields: bool,
        rejects: Rejects,
        rejects_path: str | None,
        log: Log,
        journal: Journal | None = None,
        full_refresh: bool = False,
        retry_rejected: bool = False,
        conn_id: str = "",
    ) -> None:
        self._client = client
        self._conn_id = conn_id
        self._mapping = mapping
        self._policy = policy
        self._budget = budget
        self._live_fields = live_fields
        self._rejects = rejects
        self._rejects_path = rejects_path
        self._log = log
        self._tally = Tally()
        self._effort = Effort(client.quota)
        self._progress = Progress(log, self._tally, client.quota, self._effort, by_import=self._by_import)
        if not self._by_import:  # an import waits for as long as its timeout allows
            self._progress.longest_wait_s = client.longest_wait_s
        self._journal = journal
        self._full_refresh = full_refresh
        self._retry_rejected = retry_rejected
        self._changes: Changes | None = None
        self._own_stop: Stop | None = None
        self._killed = False
        self.is_over = False
        """Its end is told, or is being told: nothing is to be said after it."""
        self.before_end: Callable[[], None] = lambda: None
        """Called when the end is about to be told."""
        self._broken_verdict = Verdict.TRY_AGAIN
        self._is_broken = True  # an error ends the run, until it has come to its end
        self.final_errors: tuple[type[BaseException], ...] = ()
        """Errors that another attempt would meet again."""
        if journal is not None:
            journal.counts = self._counts
        self.account_is_known = True
        """Whether the account is that of the whole run, and not only of a process that could not yet look back."""

    def run(self, open_source: Callable[[], Source]) -> None:
        """Read every row, or as many as it takes to know that the run must end early.

        :param open_source: called once the rows are wanted.
        :raises MappingError: the mapping does not fit the fields or the columns; nothing was sent.
        :raises JournalError: the journal's database failed; what it did not take in is sent again by the next try.
        """
        try:
            try:
                self._open_journal()
                if self._journal is not None:
                    self._effort.waited_for_others_s = self._journal.waited_s
                    self._effort.begin_series(self._journal.series.counts, self._journal.series.started_at)
                if not self.stop:
                    self._work(open_source)
                if not (self.stop or self._tally.read):
                    self._log.warning("The source had no rows: is there nothing to deliver, or is its query wrong?")
                self._is_broken = False
            except BaseException as error:
                is_final = isinstance(error, self.final_errors) or bool(getattr(error, "final", False))
                self._broken_verdict = Verdict.FAILED if is_final else Verdict.TRY_AGAIN
                raise
            finally:
                try:
                    self._close_journal()
                except BaseException:
                    self._is_broken = True
                    raise
        finally:
            self._rejects.flush()
            self.is_over = True
            self.before_end()
            if self.account_is_known:
                self._log_end()
            else:
                self._log.warning("Stopped before it was known how far the run had come; see where it was deferred")

    def kill(self) -> str:
        """Stop now; safe in a signal handler.

        :return: how far the run came.
        """
        self._killed = True
        self._client.quota.close()
        return self._progress.counts_at_stop()

    @property
    def stop(self) -> Stop | None:
        """Why the run ends early, if it does."""
        return Stop(StopKind.KILLED) if self._killed else self._own_stop

    @property
    def summary(self) -> dict[str, Any]:
        """The run so far; see :func:`airflow_provider_connectif.reporting.summary.summarise`."""
        return summarise(
            self._tally,
            effort=self._effort,
            rejects_path=self._rejects_path if self._rejects.lines else None,
            undelivered=self._left_behind,
            more={**self._journal_summary(), **self._more_in_summary()},
        )

    def verdict(self) -> tuple[Verdict, str]:
        """How the run ended, and in words why, with the commonest reasons of refusals."""
        verdict, words = self._ended()
        reasons = "; ".join(self._tally.described(self._reasons_in_verdict))
        return verdict, words + (f". Commonest reasons: {reasons}" if reasons else "")

    @property
    def _scope(self) -> str:
        """What the API key must be allowed to do."""
        return "Contacts: Write"

    @property
    def _reasons_in_verdict(self) -> list[str]:
        """The reasons that the task's exception names: of what failed the task, not of what the budget allows."""
        if self._is_broken:
            return []
        return self._tally.commonest(self._reasons_in_failure, self._failing_outcomes())

    def _failing_outcomes(self) -> Collection[Outcome]:
        """The outcomes of rows that fail the task."""
        if self.stop is not None:
            return FAILING_OUTCOMES.get(self.stop.kind, ())
        undelivered = (Outcome.UNDELIVERED,) if self._tally.outcomes[Outcome.UNDELIVERED] else ()
        return (*undelivered, *(self._budget.outcomes if self._budget.describe_excess(self._tally) else ()))

    @property
    def _recorded_verdict(self) -> Verdict:
        """How the attempt ended, for the journal."""
        return self._broken_verdict if self._is_broken else self._ended()[0]

    @property
    def _keyless(self) -> int | None:
        """Rows without a valid key, if the source was read to its end."""
        return self._tally.keyless if self._progress.rows_to_read == self._tally.read else None

    def _counts(self) -> dict[str, Any]:
        """For the journal's record of the attempt."""
        outcomes = {outcome.value: count for outcome, count in self._tally.outcomes.items()}
        of_rows = {"read": self._tally.read, "outcomes": outcomes, "new_refusals": self._tally.new_refusals}
        return {**of_rows, **self._effort.as_counts()}

    @property
    def _checked_only(self) -> int:
        """Rows that a check found good; they have no outcome."""
        return 0

    @property
    def _left_behind(self) -> int:
        """Rows that were read and have no outcome since the run ended early: they are undelivered."""
        return max(0, self._unsettled) if self.stop is not None or self._is_broken else 0

    @property
    def _unsettled(self) -> int:
        return self._tally.unsettled - self._checked_only

    def _ended(self) -> tuple[Verdict, str]:
        undelivered = self._tally.outcomes[Outcome.UNDELIVERED]
        trouble = self._trouble()
        if self._unsettled < 0:
            return unaccounted_verdict(self._tally.read, self._unsettled)
        if self.stop is not None:
            return stop_verdict(self.stop, self._scope, Account(self._conn_id, self._client.base_url))
        excess = self._budget.describe_excess(self._tally)
        if trouble is not None:
            return trouble
        if unaccounted := self._unsettled - self._left_behind:
            return unaccounted_verdict(self._tally.read, unaccounted)
        if undelivered:
            also = f". Besides, {excess}" if excess else ""
            return Verdict.TRY_AGAIN, f"{plural(undelivered, 'row')} given up on after every try{also}"
        return (Verdict.FAILED, excess) if excess else (Verdict.SUCCESS, "")

    @property
    def _end_words(self) -> str:
        """How the run ended, as the beginning of a line."""
        return "Failed after" if self._is_broken else describe_end(self._ended()[0], self.stop)

    @property
    def _check_words(self) -> str:
        """As :attr:`_end_words`, for a run that only looks."""
        return "Stopped early, checked" if self._is_broken or self.stop else "Checked"

    @property
    def _end_notes(self) -> str:
        """What stands at the end of a line: the failure budget, and where rows are that were not delivered."""
        tries = 0 if self._journal is None else self._journal.series.tries
        notes = [f"over {tries} attempts" if tries > 1 else "", self._budget.describe_use(self._tally)]
        if self._rejects.lines:
            notes.append(f"rows that were not delivered are in {self._rejects_path!r}")
        return "".join(f"; {note}" for note in notes if note)

    def _work(self, open_source: Callable[[], Source]) -> None:
        """The whole way of the rows, from the account's definitions on."""
        self._read_definitions()
        self._changes = self._made_changes()
        if not self.stop:
            self._process(open_source())

    def _made_changes(self, remapped: int = 0, repeated: int = 0) -> Changes | None:
        if self._journal is None:
            return None
        traits = self._delivery_traits()
        traits["way"] = way_to(self._client.base_url, traits.get("way", ""))
        return Changes(
            self._journal,
            self._mapping,
            full_refresh=self._full_refresh,
            retry_rejected=self._retry_rejected,
            remapped=remapped,
            repeated=repeated,
            **traits,
        )

    def _delivery_traits(self) -> dict[str, Any]:
        """What :class:`Changes` has to know of the way of delivery."""
        return {}

    @abstractmethod
    def _process(self, source: Source) -> None:
        """Do what the run is for with the patches of a source."""

    @abstractmethod
    def _log_end(self) -> None:
        """Tell the end in the log."""

    def _trouble(self) -> tuple[Verdict, str] | None:
        """What keeps a run from success that has come to its end, other than its rows."""
        return None

    def _end_batch(self) -> None:
        """Between two batches: what is known so far is written down before the source is asked for more."""
        if self._journal is not None:
            self._journal.commit_if_due()

    def _more_in_summary(self) -> dict[str, Any]:
        return {}

    def _patches(self, source: Source) -> Iterator[Patch]:
        """The good rows' patches; bad rows are counted and written as they come."""
        checked = False
        self._progress.rows_to_read = source.size
        self._warn_of_consent(self._mapping.properties or ())
        for batch in self._batches(source):
            if not checked:
                self._check_columns(source, batch)
                checked = True
            for patch in self._patches_of(batch):
                yield patch
                if self.stop:
                    return
            if self.stop:
                return
            self._end_batch()
        if not checked:
            self._mapping.check()
        self._progress.rows_to_read = self._tally.read

    def _batches(self, source: Source) -> Iterator[Sequence[Row]]:
        """The batches of a source, and whatever is to be done where it fails."""
        return iter(source)

    def _patches_of(self, batch: Sequence[Row]) -> Iterator[Patch]:
        if self._changes is None:
            for row in batch:
                self._tally.read += 1
                patch = self._patch_to_send(self._tally.read, row, None)
                self._progress.tick()
                if patch is not None:
                    yield patch
            return
        to_send: list[tuple[Seen, Patch]] = []
        looked_up = self._changes.look_up(batch)
        first = self._tally.read + 1
        self._tally.read += len(batch)
        self._tally.outcomes[Outcome.UNCHANGED] += looked_up.unchanged
        self._progress.tick()
        for place, seen in looked_up.others:
            patch = self._patch_to_send(first + place, batch[place], seen)
            self._progress.tick()
            if patch is not None:
                to_send.append((seen, patch))
        self._changes.before_sending([seen for seen, _ in to_send])
        for _, patch in to_send:
            yield patch

    def _patch_to_send(self, number: int, row: Row, seen: Seen | None) -> Patch | None:
        """The patch of a row; ``None`` where there is nothing to send, which is counted."""
        if self._changes is not None and seen is not None:
            outcome = self._changes.settled_already(seen)
            if outcome in (Outcome.REJECTED, Outcome.HELD) and seen.line is not None:
                # Still refused as it is: whoever looks into this run's log or rejects must find it there.
                reason = seen.line.reason or "refused"
                reasons = [f"held: {reason}" if outcome is Outcome.HELD else reason]
                is_known = self._changes.is_known_refusal(seen)
                self._refuse(number, row, outcome, seen.line.status_code, reasons, is_known=is_known)
                return None
            if outcome is not None:
                self._tally.count(outcome, number)
                return None
        try:
            patch = self._mapping.patch(number, row)
        except InvalidRow as invalid:
            is_known = self._is_known_invalid(seen)
            self._refuse(number, row, Outcome.INVALID, None, invalid.reasons, is_known=is_known)
            return None
        if self._changes is None or seen is None:
            return patch
        to_send = self._changes.to_send(seen, patch)
        if to_send is None:
            self._tally.count(Outcome.UNCHANGED, number)
        return to_send

    def _is_known_invalid(self, seen: Seen | None) -> bool:
        """Whether a run before this one has seen the same invalid row; what is new is written down."""
        if self._journal is None or self._changes is None or seen is None:
            return False
        if seen.key is None:
            # Such rows cannot be told apart: as many as before are known, those beyond are new.
            self._tally.keyless += 1
            return self._tally.keyless <= self._journal.series.keyless_before
        return self._changes.note_invalid(seen.key, seen.row_digest, seen.line)

    def _journal_summary(self) -> dict[str, Any]:
        if self._journal is None:
            return {}
        return {
            "unchanged": self._tally.outcomes[Outcome.UNCHANGED],
            "held": self._tally.outcomes[Outcome.HELD],
            "remapped": self._changes.remapped if self._changes else 0,
            "tries": self._journal.series.tries,
        }

    def _open_journal(self) -> None:
        if self._journal is not None:
            self._journal.open(self._is_to_stop, self._log.info)

    def _close_journal(self) -> None:
        if self._journal is not None:
            self._journal.close(self._recorded_verdict, keyless=self._keyless)

    def _is_to_stop(self) -> bool:
        """Asked several times a second while something is waited for."""
        self._look_at_waits()
        return self.stop is not None

    def _look_at_waits(self) -> None:
        """End the run where it would have to wait for longer than the connection allows."""
        asked = None if self.stop else self._asked_wait()
        if asked is not None:
            wait, error = asked
            self._leave_alone(error, wait.until - time.time())

    def _asked_wait(self) -> tuple[Wait, Error | None] | None:
        """What requests wait for since Connectif asked for it, with the response where that was not 429."""
        wait = self._client.quota.wait
        return None if wait is None or wait.cause not in _ASKED_FOR else (wait, None)

    def _leave_alone(self, error: Error | None, asked_s: float) -> None:
        """Connectif asks for a pause of so many seconds: too long a one ends the run."""
        longest_s = self._client.longest_wait_s
        if asked_s > longest_s:
            self._end_early(Stop(StopKind.LEFT_ALONE, error, asked_s, longest_s))

    def _end_early(self, stop: Stop) -> None:
        self._own_stop = self._own_stop or stop
        self._client.quota.close()

    def _is_to_stop_while_waiting(self) -> bool:
        self._progress.tick()
        return self._is_to_stop()

    def _read_definitions(self) -> None:
        if not self._live_fields or not self._mapping.needs_definitions:
            return
        try:
            found = fetch_definitions(
                self._client,
                self._log,
                self._is_to_stop_while_waiting,
                self._effort.add_failure,
                self._without_definitions,
                longest_wait_s=self._longest_pause_s,
            )
        except QuotaClosed:
            return
        except DefinitionsError as failure:
            if failure.kind is StopKind.LEFT_ALONE:
                self._leave_alone(failure.error, failure.asked_s)
            else:
                self._own_stop = Stop(failure.kind, failure.error)
            return
        if found is not None:
            self._mapping = self._mapping.with_definitions(found)

    @property
    def _longest_pause_s(self) -> float:
        """Seconds that Connectif may ask for before the run does something else than to wait."""
        return self._client.longest_wait_s

    def _check_columns(self, source: Source, batch: Sequence[Row]) -> None:
        columns: Sequence[Any] | None = source.columns
        if columns is None and batch:
            # Without a mapping the first row's columns say what the author means to send; with one, a column that
            # none of the first rows has is a fault of the mapping rather than of every row.
            rows = batch[:1] if self._mapping.properties is None else [row for row in batch if isinstance(row, Mapping)]
            columns = list(dict.fromkeys(column for row in rows for column in row))
        self._mapping.check(columns)
        if self._mapping.properties is None:
            self._warn_of_consent(columns or ())

    @property
    def _sends_consent_again(self) -> bool:
        """Whether contacts that Connectif has already get the whole patch."""
        return True

    def _warn_of_consent(self, properties: Iterable[Any]) -> None:
        """Say once what a change of another column does to who has unsubscribed.

        :param properties: those that are sent, or the columns that are.
        """
        consent = [property_id for property_id in properties if property_id in CONSENT_PROPERTIES]
        if consent and self._sends_consent_again:
            self._log.warning(CONSENT_WARNING, ", ".join(consent))

    def _refuse(
        self,
        number: int,
        row: Row,
        outcome: Outcome,
        status: int | None,
        reasons: Sequence[str],
        *,
        is_known: bool = False,
    ) -> None:
        """Count and write a row that is not sent, for reasons without personal data."""
        self._tally.count(outcome, number, reasons, is_known=is_known)
        key = row.get(self._mapping.key_column) if isinstance(row, Mapping) else None
        self._rejects.write(number, key, outcome.value, status, reasons, row)
