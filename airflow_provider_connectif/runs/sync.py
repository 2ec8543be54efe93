"""A run that delivers: rows in, contacts and a summary out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_connectif.api.errors import ConnectifHttpError, QuotaClosed
from airflow_provider_connectif.api.quota import Wait
from airflow_provider_connectif.api.transport import Answer
from airflow_provider_connectif.contacts.shown_contact import shows_another_contact
from airflow_provider_connectif.delivery.delivery import Delivery
from airflow_provider_connectif.records.changes import Patch
from airflow_provider_connectif.records.outcomes import Error, Outcome, Settled, Stop, StopKind
from airflow_provider_connectif.records.protocols import Source
from airflow_provider_connectif.records.rows import Row
from airflow_provider_connectif.reporting.reasons import public_reasons, raw_reasons
from airflow_provider_connectif.reporting.verdict import Trouble, Verdict
from airflow_provider_connectif.runs.run import Run

if TYPE_CHECKING:
    from airflow_provider_connectif.imports.earlier import EarlierImports
    from airflow_provider_connectif.journal.store import Journal

SENT_AGAIN = "each run sends them all again, though nothing has changed. Let the source have one row for each contact"


class ContactSync(Run):
    """Delivers the rows of a source.

    :param max_in_flight: requests at once.
    :param arguments: as of :class:`airflow_provider_connectif.runs.run.Run`.
    """

    def __init__(self, *arguments: Any, max_in_flight: int, **named_arguments: Any) -> None:
        super().__init__(*arguments, **named_arguments)
        self._handed_over: deque[Settled] = deque()
        self._troubles: list[Trouble] = []
        self._is_settling_earlier = False
        client = self._client
        self._is_all_handed_over = False
        self._unconfirmed = 0
        self._delivery = Delivery(
            self._sent,
            client.quota.close,
            self._policy,
            send_apart=partial(self._sent, on_fresh_connection=True),
            key_kind=self._mapping.key,
            max_in_flight=max_in_flight,
            tries=client.tries,
            stop_when_all_rejected=not self._budget.is_unlimited,
            unwritten=self._unwritten,
            most_unwritten=None if self._journal is None else self._journal.commit_lines,
            tell_failure=self._effort.add_failure,
        )

    def _sent(self, patch: Patch, *, on_fresh_connection: bool = False) -> Answer:
        client, kind = self._client, self._mapping.key
        send = client.patch_contact if kind == "email" else client.patch_contact_by_external_id
        return send(
            patch.key,
            patch.properties,
            is_own=lambda body: not shows_another_contact(body, kind, patch.key),
            on_fresh_connection=on_fresh_connection,
        )

    def kill(self) -> str:
        """Stop now; safe in a signal handler."""
        self._delivery.kill()
        return super().kill()

    @property
    def stop(self) -> Stop | None:
        """Why the run ends early, if it does."""
        return super().stop or self._delivery.stop

    @property
    def _scope(self) -> str:
        return (
            "Imports: Read, which the open import of an earlier run needs"
            if self._is_settling_earlier
            else super()._scope
        )

    def _work(self, open_source: Callable[[], Source]) -> None:
        try:
            self._settle_earlier_imports()
        except Trouble as trouble:
            self._note(trouble)
        except QuotaClosed:
            self._own_stop = self.stop or Stop(StopKind.KILLED)
        if not (self.stop or self._troubles):
            super()._work(open_source)

    def _settle_earlier_imports(self) -> None:
        """Wait for what earlier runs of the sync have left at Connectif: older values must not come last.

        :raises Trouble: that cannot be waited for.
        :raises QuotaClosed: told to stop.
        """
        if self._journal is None or self._journal.read_only:
            return
        # A run that imports knows those of its own task anyway; by PATCH, an earlier attempt of it may have imported.
        if not (found := self._journal.plan.with_open_imports(includes_mine=not self._by_import)):
            return
        self._is_settling_earlier = True
        earlier = self._earlier_imports(self._journal)
        for plan, state in found:
            earlier.settle(plan, state)
        self._is_settling_earlier = False

    def _earlier_imports(self, journal: Journal) -> EarlierImports:
        # Loaded only where there are some: a nightly PATCH needs nothing else of the import.
        from airflow_provider_connectif.imports.earlier import earlier_imports

        return earlier_imports(
            self._client, journal, self._mapping, self._effort, self._is_to_stop_while_waiting, self._log
        )

    def _note(self, trouble: Trouble) -> None:
        if trouble.is_about_the_key:
            self._own_stop = Stop(StopKind.FAIL, trouble.error)
        else:
            self._troubles.append(trouble)

    def _trouble(self) -> tuple[Verdict, str] | None:
        if not self._troubles:
            return None
        is_final = any(trouble.verdict is Verdict.FAILED for trouble in self._troubles)
        words = ". ".join(dict.fromkeys(trouble.words for trouble in self._troubles))
        return (Verdict.FAILED if is_final else Verdict.TRY_AGAIN), words

    def _process(self, source: Source) -> None:
        self._deliver(lambda: self._send(self._patches(source)))

    def _deliver(self, send: Callable[[], None]) -> None:
        """Hand over patches, and wait until what can be settled is settled and accounted for."""
        is_whole = False
        try:
            with self._delivery:
                send()
                self._is_all_handed_over = True
                self._delivery.drain(self._tick)
            is_whole = self.stop is None
        finally:
            self._is_all_handed_over = False
            self._collect()
            if self._changes is not None:
                self._changes.leave_in_doubt(self._delivery.unanswered())
            self._end_refusals(is_whole=is_whole)

    def _end_refusals(self, *, is_whole: bool) -> None:
        """What was kept back is written if the run came to its end.

        Otherwise every response so far was a rejection, and who knows whether those that were left are, too.
        """
        if self._changes is None:
            return
        if is_whole:
            self._changes.refusals.release()
        else:
            self._changes.refusals.drop()

    def _send(self, patches: Iterable[Patch]) -> None:
        for patch in patches:
            if not self._delivery.submit(patch, self._tick):
                return
            self._tick()

    def _log_end(self) -> None:
        if self._changes is not None and (contacts := self._changes.repeated):
            stand = "1 contact stands" if contacts == 1 else f"{contacts:,} contacts stand"
            self._log.warning("%s in several rows that differ: %s", stand, SENT_AGAIN)
        self._progress.log_end(self._end_words, self._end_notes, self._reasons_in_verdict)

    def _end_batch(self) -> None:
        if self._journal is not None:
            # A source may be silent for long, and what is acknowledged meanwhile could not be written down.
            # Rows that Connectif wants to get later do not hold up those that were not read yet.
            self._delivery.drain(self._tick, lambda: self._delivery.asked_wait is not None)
            self._write_down()

    def _batches(self, source: Source) -> Iterator[Sequence[Row]]:
        try:
            yield from super()._batches(source)
        except Exception:  # whatever it is, it is raised again
            if self._journal is None:  # with one, the rows before are settled at the end of each batch, or planned
                self._delivery.drain(self._tick)
            raise

    def _write_down(self) -> None:
        if self._journal is not None:
            self._collect()
            self._journal.commit()
            self._delivery.written()

    def _tick(self) -> None:
        self._collect(commit=True)
        self._progress.tick()
        self._look_at_waits()

    def _end_early(self, stop: Stop) -> None:
        self._delivery.end(stop)

    def _asked_wait(self) -> tuple[Wait, Error | None] | None:
        by_quota = super()._asked_wait()
        if by_quota is not None:
            return by_quota
        # Before all rows are handed over, others may follow that can be sent at once.
        return self._delivery.asked_wait if self._is_all_handed_over or self._delivery.is_full else None

    def _delivery_traits(self) -> dict[str, Any]:
        return {"holds_refusals_back": not self._budget.is_unlimited}

    def _more_in_summary(self) -> dict[str, Any]:
        return {"unconfirmed": self._unconfirmed} if self._unconfirmed else {}

    def _collect(self, *, commit: bool = False) -> None:
        self._handed_over.extend(self._delivery.collect())
        while self._handed_over:
            self._account(self._handed_over.popleft())
            if commit and self._journal is not None:
                self._journal.commit_if_due()
        if commit and self._journal is not None:
            self._journal.commit_if_due()
            self._delivery.written()

    def _unwritten(self) -> int:
        return len(self._handed_over) + (0 if self._journal is None else self._journal.unwritten)

    def _account(self, settled: Settled) -> None:
        patch, error = settled.patch, settled.error
        reasons = () if error is None else public_reasons(error, patch, self._mapping)
        if settled.outcome is Outcome.UNDELIVERED and settled.tries > 1:
            reasons = tuple(f"{reason}, {settled.tries} times" for reason in reasons)
        if settled.is_unconfirmed:
            self._count_unconfirmed()
        if self._changes is not None and settled.outcome not in (Outcome.REJECTED, Outcome.UNDELIVERED):
            self._changes.refusals.release()
        status = error.status if isinstance(error, ConnectifHttpError) else None
        is_known = self._changes is not None and self._changes.settle(settled, reasons, status)
        self._tally.count(settled.outcome, patch.number, _told(settled.outcome, reasons), is_known=is_known)
        if error is not None and settled.outcome in (Outcome.REJECTED, Outcome.UNDELIVERED):
            self._rejects.write(patch.number, patch.key, settled.outcome.value, status, raw_reasons(error), patch.row)

    def _count_unconfirmed(self) -> None:
        if not self._unconfirmed:
            self._log.warning(
                "A contact was accepted twice with a response that shows another one: it counts as delivered, and as "
                "unconfirmed. Is there a proxy that mixes up responses?"
            )
        self._unconfirmed += 1


def _told(outcome: Outcome, reasons: Sequence[str]) -> Sequence[str]:
    """The reasons that a person is to see; those of rows that the author leaves out are told apart."""
    if outcome is Outcome.SKIPPED:
        return [f"skipped: {reason}" for reason in reasons]
    return () if outcome in (Outcome.CREATED, Outcome.UPDATED) else reasons
