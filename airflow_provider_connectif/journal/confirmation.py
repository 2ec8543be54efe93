"""Writes the outcomes of changes to the journal: a change is acknowledged only after Connectif has confirmed it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from airflow_provider_connectif.journal.held_back import HeldBackRefusals
from airflow_provider_connectif.journal.patch_columns import (
    known_before,
    refusable,
    remaining,
    unchanged,
    with_kept,
    without_seen,
)
from airflow_provider_connectif.journal.properties import entries_of, marked_kept, only, refused_marks, updated
from airflow_provider_connectif.journal.run_lines import RunLines
from airflow_provider_connectif.journal.states import IN_DOUBT, INVALID, LEFT, REJECTED, UNDELIVERED
from airflow_provider_connectif.records.changes import Digests, Patch
from airflow_provider_connectif.records.outcomes import Outcome, Settled
from airflow_provider_connectif.records.resource import Resource

_ACCEPTED = (Outcome.CREATED, Outcome.UPDATED, Outcome.UNCHANGED)
_NOT_SENT = "not sent before the run ended"
_BY_POLICY = "rejected by on_response"
_KILLED = "in doubt: the process ended before the response; it may have arrived"


class Confirmation:
    """Writes the outcomes of changes to the journal.

    :param lines: the lines of an open journal.
    :param resource: the resource of the changes.
    :param holds_refusals_back: whether rejections are written only after a response that is no rejection.
    """

    def __init__(self, lines: RunLines, resource: Resource, *, holds_refusals_back: bool) -> None:
        self._lines = lines
        self._people_of = resource.people_of
        self._same_key = resource.same_key
        self._writes_doubts = not resource.is_idempotent
        self._doubted: dict[str, str] = {}
        """By contact key, the digests of rows whose changes are recorded as in doubt; these rows are held."""
        self._refusals = HeldBackRefusals(lines, keeps=holds_refusals_back)
        self._refused_before: set[str] = set()
        self._restorable: set[str] = set()
        """Keys of contacts that had no property in doubt before the patch that is in flight."""

    def suppressed(self, patches: Sequence[Patch]) -> set[int]:
        """Return the indexes of changes that name somebody who is on the suppression list now."""
        if not patches or self._lines.suppressions.is_empty():
            return set()
        people = [self._people_of(patch) for patch in patches]
        found = self._lines.suppressions.among(person for named in people for person in named)
        return {place for place, named in enumerate(people) if not found.isdisjoint(named)}

    def settle_suppressed(self, place: int) -> bool:
        """Remove a suppressed change from the stored plan; return whether it was in the plan.

        :param place: the place of the change in the plan.
        """
        return self._lines.settle_suppressed(place)

    def watch_requests(self, busy_since: Callable[[], float | None]) -> None:
        """Let erasures know since when requests may be running, or about to be sent, without their knowledge.

        :param busy_since: as in :meth:`RunLines.watch_requests`.
        """
        self._lines.watch_requests(busy_since)

    def before_sending(self, patches: Sequence[Patch]) -> None:
        """Look up the journal's lines of some changes, before :meth:`begin` marks their properties as not known."""
        known = {self._same_key(patch.key): patch for patch in patches if patch.digests and not patch.is_new}
        self._refused_before |= self._lines.refused_before({key: refusable(known[key]) for key in known})
        self._restorable |= self._lines.holding({key: known_before(patch) for key, patch in known.items()})

    def begin(self, patches: Sequence[Patch]) -> None:
        """Record that changes are about to be sent. The record is still there if the process is killed.

        The properties of these changes are not known until their responses arrive. If sending twice is not harmless,
        the whole change is in doubt.
        """
        if not self._writes_doubts:
            for are_rows in (True, False):  # the urgent part of a refused row must not change the state of its line
                going = [patch for patch in patches if patch.digests and (patch.counted_as is None) is are_rows]
                doubts_of = {self._same_key(patch.key): remaining(patch) for patch in going}
                self._lines.doubt(doubts_of, are_rows=are_rows)
            return
        doubts = {self._same_key(patch.key): refusable(patch) for patch in patches if patch.digests}
        self._lines.begin_doubts(doubts, _KILLED)
        self._doubted |= doubts

    def withdraw(self, patches: Sequence[Patch]) -> None:
        """Record that Connectif did not carry out some changes, which wait to be sent again."""
        self._withdraw([self._same_key(patch.key) for patch in patches])
        self._lines.commit()

    def end_doubts(self, unanswered: Sequence[Patch]) -> None:
        """End the doubts of changes that were not sent, when sending has ended.

        :param unanswered: as in :meth:`end`; their doubts stay.
        """
        self._withdraw(self._doubted.keys() - {self._same_key(patch.key) for patch in unanswered})

    def take_back(self, unsent: Sequence[Patch]) -> None:
        """Undo :meth:`begin` for changes that were not sent. Connectif still has the earlier values."""
        for patch in unsent:
            key = self._same_key(patch.key)
            if patch.digests is not None and key in self._restorable:
                self._lines.restore_properties(key, with_kept(unchanged(patch), patch))
            if patch.digests is not None and patch.counted_as is None:
                self._lines.note(key, UNDELIVERED, None, _NOT_SENT)

    def _withdraw(self, keys: Collection[str]) -> None:
        self._lines.withdraw_doubts([key for key in keys if self._doubted.pop(key, None) is not None])

    def accept_part(self, patch: Patch) -> None:
        """Record that Connectif accepted a part of a change. The rest is sent at once.

        :param patch: the rest of the change; its digests are those after the accepted part.
        """
        if patch.digests is not None:
            now = patch.digests._replace(before=remaining(patch))
            self._lines.acknowledge_part(self._same_key(patch.key), now, IN_DOUBT, sent=patch.key)
            if patch.place is not None:
                self._lines.settle_planned(patch.place)

    def settle(self, settled: Settled, reasons: Sequence[str], status: int | None) -> bool:
        """Write the outcome of a change. An undelivered change is not acknowledged, so the next run sends it again.

        :param reasons: the reasons of the outcome, without personal data.
        :param status: the HTTP status of the response; ``None`` if no response decided.
        :return: whether an earlier run has met the same rejection.
        """
        patch = settled.patch
        if settled.outcome not in (Outcome.REJECTED, Outcome.UNDELIVERED, Outcome.SUPPRESSED):
            self._refusals.release()
        if patch.digests is None:
            return False
        key = self._same_key(patch.key)
        if patch.removal is not None:
            self._settle_removal(key, settled, patch.digests, status, "; ".join(reasons))
            return False
        is_known = False
        if settled.outcome is Outcome.SUPPRESSED:
            self._doubted.pop(key, None)
            self._lines.forget([key])
            return False
        if settled.is_in_doubt:
            self._lines.begin_doubts({key: self._doubted.pop(key, refusable(patch))}, "; ".join(reasons))
        elif settled.outcome in _ACCEPTED:
            self._doubted.pop(key, None)
        else:
            self._withdraw([key])
        self._write(key, settled, patch, patch.digests)
        self._note(key, settled, patch, status, "; ".join(reasons))
        if patch.counted_as is None and settled.is_remembered:
            is_known = key in self._refused_before
            self._refusals.add(key, refusable(patch), status, "; ".join(reasons))
        elif settled.outcome is Outcome.UNDELIVERED:
            self._lines.leave_in_doubt([key])  # this patch may have arrived after a patch of another process
        self._refused_before.discard(key)
        self._restorable.discard(key)
        if patch.place is not None:
            self._lines.settle_planned(patch.place)
        return is_known

    def _note(self, key: str, settled: Settled, patch: Patch, status: int | None, reason: str) -> None:
        """Write the final state of a change that was not acknowledged."""
        if settled.is_in_doubt:
            return  # the state is written already
        if settled.outcome is Outcome.UNDELIVERED:
            self._lines.note(key, UNDELIVERED, status, reason)
        elif settled.outcome in (Outcome.REJECTED, Outcome.SKIPPED) and patch.counted_as is None:
            self._lines.note(key, REJECTED, status, reason)

    def _settle_removal(self, key: str, settled: Settled, digests: Digests, status: int | None, reason: str) -> None:
        """Write the outcome for a contact that left the source.

        After a failure, the next complete read finds the contact again. A line in the state ``left`` needs a reason for
        that: without one, a read has only counted the contact.
        """
        if settled.outcome in _ACCEPTED or settled.outcome is Outcome.SKIPPED:
            is_there = settled.patch.removal == "patch" and bool(settled.patch.whole)
            column = digests.properties
            if settled.patch.removal == "patch" and not is_there:  # somebody has deleted the contact and its values
                column = marked_kept(column or b"", settled.patch.standings)
            column = with_kept(column, settled.patch)
            # If the contact is deleted, a row that comes back creates it with the spelling of that row.
            sent = settled.patch.key if is_there else None
            if settled.outcome is not Outcome.SKIPPED:
                status, reason = None, ""  # such as a 404: the contact to delete does not exist
            self._lines.remove(key, digests._replace(properties=column), sent=sent, status=status, reason=reason)
        elif settled.outcome is Outcome.UNDELIVERED:
            self._lines.note(key, UNDELIVERED, status, reason)
            self._lines.leave_in_doubt([key])
        else:
            if settled.alone is None and settled.tries == 1 and key in self._restorable:
                self._lines.restore_properties(key, with_kept(unchanged(settled.patch), settled.patch))
            if settled.outcome is Outcome.REJECTED:  # not if it is suppressed: an erasure deletes the line
                self._lines.note(key, LEFT, status, reason or _BY_POLICY)
        self._restorable.discard(key)
        if settled.patch.place is not None:
            self._lines.settle_planned(settled.patch.place)

    def _write(self, key: str, settled: Settled, patch: Patch, digests: Digests) -> None:
        """Write the digests of the properties that Connectif has of a contact after a change."""
        if settled.outcome is Outcome.UNDELIVERED:
            if patch.kept:
                self._lines.restore_properties(key, with_kept(remaining(patch), patch))
        elif patch.counted_as is not None or settled.alone is not None:
            self._write_part(key, settled, settled.alone or patch, digests)
        elif settled.outcome in _ACCEPTED:
            after = digests.properties
            if settled.is_recreated and after is not None:
                # Properties that are no longer in the mapping were deleted with the contact.
                after = updated(only(after, patch.whole), entries_of(marked_kept(after, patch.standings)))
            digests = digests._replace(properties=with_kept(without_seen(after, settled, patch), patch))
            if settled.outcome is Outcome.UNCHANGED and not patch.was_removed:
                self._lines.confirm(key, digests)
            else:
                self._lines.acknowledge(key, digests, delivered_as=settled.outcome.value, sent=patch.key)
        elif settled.is_follow_up:
            pass  # the accepted part is written already, and nothing else is known
        elif settled.outcome is Outcome.REJECTED and settled.tries == 1 and key in self._restorable:
            # After several attempts, an earlier one without a response may have arrived.
            self._lines.restore_properties(key, with_kept(unchanged(patch), patch))

    def _write_part(self, key: str, settled: Settled, part: Patch, digests: Digests) -> None:
        """Record that Connectif accepted or rejected the urgent part of a row."""
        outcome = settled.outcome
        is_accepted = settled.is_alone_accepted if settled.alone is not None else outcome in _ACCEPTED
        if digests.properties is not None and is_accepted:
            entries, sent = entries_of(only(digests.properties, part.whole)), part.key
        elif outcome in (Outcome.REJECTED, Outcome.SKIPPED):
            entries, sent = refused_marks(part.properties, refusable(part)), None
        else:
            return
        before = unchanged(settled.patch, but=part.whole) or b""
        if settled.is_recreated:  # the other properties were deleted with the contact
            before = marked_kept(known_before(settled.patch) or b"", settled.patch.standings)
        now = with_kept(updated(before, entries), part)
        state = INVALID if part.counted_as == Outcome.INVALID else REJECTED
        self._lines.acknowledge_part(key, digests._replace(before=now), state, sent=sent)

    def end(self, unanswered: Sequence[Patch], *, drops_refusals: bool) -> None:
        """End sending.

        :param unanswered: patches that were sent, and whose outcome no response has shown.
        :param drops_refusals: whether to drop rejections that are not written yet, since the run ended early. Then they
            hold no rows.
        """
        self._lines.leave_in_doubt(self._same_key(patch.key) for patch in unanswered)
        if drops_refusals:
            self._refusals.drop()
        else:
            self._refusals.release()

    def as_state(self) -> list[list[Any]]:
        """Return the rejections that are not written yet, JSON-ready, for the process that continues."""
        return self._refusals.as_state()

    def restore(self, state: Sequence[Sequence[Any]], *, is_alive: bool) -> None:
        """Continue where an earlier process stopped.

        :param state: the result of :meth:`as_state` in that process.
        :param is_alive: whether that process has had a response other than a rejection.
        """
        self._refusals.restore(state)
        if is_alive:
            self._refusals.release()

    @property
    def commit_lines(self) -> int:
        """Number of responses that are written in one transaction."""
        return 1 if self._writes_doubts else self._lines.commit_lines

    @property
    def unwritten(self) -> int:
        """Number of responses that are not written yet."""
        return self._lines.unwritten

    def commit_if_due(self) -> None:
        """Write the collected lines if there are enough, or the oldest is old enough."""
        if self._writes_doubts and self.unwritten:
            self._lines.commit()
        self._lines.commit_if_due()
