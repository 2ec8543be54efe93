"""Compares rows with the journal: a row needs a request only if it differs from what Connectif has acknowledged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, cast

from airflow_provider_connectif.journal.differences import Differences
from airflow_provider_connectif.journal.digests import mapping_digest
from airflow_provider_connectif.journal.invalid_rows import InvalidRows
from airflow_provider_connectif.journal.pending import PendingChange, PendingChanges, Rank
from airflow_provider_connectif.journal.properties import Known, Mark, without_marks
from airflow_provider_connectif.journal.record_tables import LONGEST_KEY
from airflow_provider_connectif.journal.spellings import sent_key
from airflow_provider_connectif.journal.states import ACKNOWLEDGED, IN_DOUBT, LEFT, REJECTED, REMOVED
from airflow_provider_connectif.records.changes import Digests, Patch
from airflow_provider_connectif.records.outcomes import STATUSES_ABOUT_THE_ROW, Outcome
from airflow_provider_connectif.records.raw_rows import RawBatch
from airflow_provider_connectif.records.resource import Resource
from airflow_provider_connectif.records.rows import Row
from airflow_provider_connectif.reporting.summary import Tally
from airflow_provider_connectif.runs.joined_rows import JoinedRows
from airflow_provider_connectif.runs.keyless_rows import KeylessRows
from airflow_provider_connectif.runs.row_identity import RowIdentity
from airflow_provider_connectif.runs.seen_rows import Seen
from airflow_provider_connectif.runs.suppressed_rows import SuppressedRows

if TYPE_CHECKING:
    from airflow_provider_connectif.journal.line import Line
    from airflow_provider_connectif.journal.shown_keys import ShownKeys
    from airflow_provider_connectif.journal.store import Journal

_ANOTHER = "-"  # differs from each digest of a row, and from that of a change of several rows, which is empty


class Comparison:
    """Compares rows with the journal, and records there the rows that are not sent.

    :param journal: the open journal.
    :param resource: the resource, with the field definitions of the run.
    :param tally: counts changes that are sent because the mapping changed.
    :param full_refresh: whether to send every row, changed or not.
    :param retry_rejected: whether to send rows again that were rejected and have not changed.
    :param way: as in :func:`airflow_provider_connectif.journal.digests.mapping_digest`.
    :param shown: receives the key of every row that has one.
    :param keys: receives them if ``shown`` is ``None``, so that several rows of one contact are noticed.
    """

    def __init__(
        self,
        journal: Journal,
        resource: Resource,
        tally: Tally,
        *,
        full_refresh: bool,
        retry_rejected: bool,
        way: str = "",
        shown: ShownKeys | None = None,
        keys: ShownKeys | None = None,
    ) -> None:
        self._journal = journal
        self._resource = resource
        self._tally = tally
        self._full_refresh = full_refresh
        self._retry_rejected = retry_rejected
        self._shown = shown
        self._keys = (shown or keys) if resource.ranks else None
        self._are_keys_plain = shown is None or journal.key_secret is None
        self.mapping_digest = mapping_digest(resource, way)
        """The digest of the mapping and of the definitions that it uses."""
        self.differences = Differences(resource, self.mapping_digest, way, journal.key_secret, sends_all=full_refresh)
        self.suppressed = SuppressedRows(journal, resource)
        """Finds the rows whose people must not be sent again."""
        self.joined = JoinedRows(journal, resource, self._keys, are_keys_plain=self._are_keys_plain)
        """Finds the changed rows of contacts with several rows."""
        self._identity = RowIdentity(resource, way)
        self.came_back = 0
        """Number of rows whose contacts an earlier read has marked as left."""
        self.keyless = KeylessRows(resource)
        """The rows that have no valid key."""
        self.reads_key_at: int | None = None
        """The index, in its batch, of the row whose key is being read; ``None``: no key is."""
        self._delivered_earlier: set[str] = set()
        # Changes in doubt are held only if sending them twice is not harmless.
        self._states_of_held_rows = (REJECTED,) if resource.is_idempotent else (REJECTED, IN_DOUBT)

    def look_up(self, batch: Sequence[Row], pending: PendingChanges) -> list[Seen]:
        """Return the rows of a batch that are not obviously unchanged.

        Keys are looked up as they are in the rows. If the journal has exactly that key and that row, the row was
        checked when it was sent.
        """
        self._delivered_earlier.clear()
        keys: list[str | None] = self._identity.obvious_keys(batch)
        digests = self._identity.digests(batch)
        by_key = dict(zip(keys, digests, strict=True))
        nameless = None in by_key
        by_key.pop(None, None)
        asked = cast("dict[str, str]", by_key)
        if self._full_refresh:
            asked = dict.fromkeys(asked, _ANOTHER)
        elif nameless or len(asked) < len(keys):
            asked |= dict.fromkeys(_twice(keys), _ANOTHER)
        held = pending.holds(asked)
        asked |= dict.fromkeys(held, _ANOTHER)
        lines = self._journal.lines.differing(asked, all_differ=self._full_refresh)
        if not lines and not nameless:
            self._note_shown(keys)
            return []
        spelled = self._other_spellings(batch, keys, lines)
        self._note_shown(keys, spelled.values())
        held |= pending.holds({key for key in spelled.values() if key is not None})
        seen = []
        has_texts = isinstance(batch, RawBatch)
        for place, key in enumerate(keys):
            if place in spelled:
                key = spelled[place]
            elif key not in lines:
                continue
            key = _storable(key)
            line = lines.get(key) if key is not None else None
            digest = digests[place]
            if line is not None and line.state == LEFT:
                self._note_came_back()
            if key is None:
                self.keyless.note(batch[place], digest)
                digest = ""
            elif line is not None and has_texts and not line.says_each_property:
                digest = self._known_digest(batch[place], digest, key, line, is_settled=key not in held)
            seen.append(Seen(place, key, digest, line, key in held))
        return seen

    def _note_shown(self, keys: Collection[str | None], spelled: Collection[str | None] = ()) -> None:
        """Note the keys of a batch in the journal's form, including the keys of rows that are not sent."""
        if (shown := self._shown or self._keys) is not None:
            written = self._journal.lines.written_key
            for some in (keys, spelled):
                shown.add(some if self._are_keys_plain else [key and written(key) for key in some])

    def _note_came_back(self) -> None:
        if not self.came_back and self._shown is not None and not self._journal.read_only:
            self._journal.reads.note_came_back()
        self.came_back += 1

    def _known_digest(self, row: Row, digest: str, key: str, line: Line, *, is_settled: bool) -> str:
        """Return the digest by which a row's line knows the row; ``digest`` if the line knows none.

        The line has ``digest``, or, if an earlier version has written it, a former digest. An acknowledged line of an
        earlier version gets ``digest``, so that the next run need not convert the row.

        :param digest: the digest that this version makes of the row, usually from the database's texts.
        :param is_settled: whether no other row of the key is to be sent; otherwise the line stays as it is.
        """
        known = (line.row_digest, line.refused_digest)
        invalid = InvalidRows.of(line.invalid_digest)
        if digest in known or invalid.has(digest) or not (any(known) or invalid.digests):
            return digest
        formers = self._identity.former_digests(row)
        former = next((one for one in formers if one in known or invalid.has(one)), None)
        if former is None:
            return digest
        is_acknowledged = former == line.row_digest and line.state == ACKNOWLEDGED and line.refused_digest is None
        if is_acknowledged and is_settled and line.patch_digest is not None and not self._full_refresh:
            same = Digests(digest, line.patch_digest, self.mapping_digest, line.properties)
            self._journal.lines.confirm(key, same)
        return former

    def outcome(self, seen: Seen) -> Outcome | None:
        """Return the outcome of a row if it is known without reading its values; otherwise ``None``."""
        line = seen.line
        if seen.key is None or line is None or seen.is_pending:
            return None
        series = self._journal.series if self._full_refresh else None
        if series is not None and not series.has_met(line) and not series.delivered_earlier(line):
            return None
        if line.row_digest == seen.row_digest:
            return self._delivered_as(seen.key, line)
        if line.refused_digest == seen.row_digest and not self._retry_rejected and _is_about_the_row(line):
            if line.state not in self._states_of_held_rows or line.says_another_rejection:
                self._journal.lines.note(seen.key, REJECTED, line.refused_status, line.refused_reason)
            # A refusal that an earlier attempt of this run has met counts as a refusal of this run; no other run
            # reports it. A row in doubt was not refused: it is held, in this run, too.
            is_of_this_run = line.state == REJECTED and self._journal.series.has_met(line)
            return Outcome.REJECTED if is_of_this_run else Outcome.HELD
        return None

    def is_known_refusal(self, seen: Seen) -> bool:
        """Whether Connectif has rejected this row in an earlier run."""
        return seen.line is not None and self._journal.lines.is_known_refusal(seen.line)

    def is_known_invalid(self, row: Row, seen: Seen, keyless: int, reasons: Sequence[str] = ()) -> bool:
        """Return whether an earlier run has seen the same invalid row; record it if it is new.

        :param keyless: number of rows read without a valid key, including this one.
        :param reasons: why the row is invalid, without personal data.
        """
        if seen.key is None:
            # Such rows cannot be distinguished: as many as before are known, further ones are new.
            return keyless <= self._journal.series.keyless_before
        digest = self._identity.digest_of_invalid(row, seen.row_digest)
        return self._journal.lines.meets_invalid(seen.key, digest, seen.line, "; ".join(reasons))

    def change(self, seen: Seen, patch: Patch) -> PendingChange | None:
        """Return the change to send for a row, or ``None`` if Connectif already holds all of it."""
        key, line = seen.key or "", _line_that_says(seen)
        known = Known() if line is None else Known(line.properties, line.patch_digest)
        was_removed = line is not None and line.was_removed
        if line is not None and line.spelling is not None:
            patch = _as_sent_before(patch, key, line)
        if was_removed:
            patch = patch._replace(was_removed=True)
        if self._full_refresh and line is not None and self._journal.series.delivered_earlier(line):
            patch = patch._replace(only_differing=True)
        was_delivered = line is not None and not was_removed and self._has_accepted(line)
        found = self.differences.of(
            patch, key, known, seen.row_digest, is_new=line is None, was_delivered=was_delivered
        )
        patch = found.patch
        if line is None or was_removed:  # the contact may be deleted, and its key alone creates it again
            return PendingChange(patch, key, rank_of(self._resource, patch))
        if found.is_held and not seen.is_pending and patch.digests is not None:
            if line.may_have_several_rows:  # another row may follow, and only both together show what has changed
                return PendingChange(patch, key, rank_of(self._resource, patch), known.whole, is_held=True)
            self._journal.lines.confirm(key, patch.digests)
            return None
        if line.row_digest:
            self.joined.note(key, patch)
        if not self._full_refresh:
            self._tally.remapped += line.patch_digest is not None and line.mapping_digest != self.mapping_digest
        rank = rank_of(self._resource, patch, Rank.CHANGED if line.refused_digest is None else Rank.REJECTED_BEFORE)
        refused = None if self._full_refresh or self._retry_rejected else line.refused_digest
        return PendingChange(patch, key, rank, known.whole, refused)

    def outcome_without_change(self, seen: Seen) -> Outcome:
        """Return the outcome of a row for which :meth:`change` has found nothing to send."""
        return Outcome.UNCHANGED if seen.key is None or seen.line is None else self._delivered_as(seen.key, seen.line)

    def outcomes_without_change(self, contacts: Collection[str]) -> dict[str, Outcome]:
        """Return the outcomes of merged changes with nothing to send, by contact. Unchanged ones are left out."""
        lines = self._journal.lines.differing(dict.fromkeys(contacts, _ANOTHER), all_differ=True)
        outcomes = {key: self._delivered_as(key, line) for key, line in lines.items() if line is not None}
        return {key: outcome for key, outcome in outcomes.items() if outcome is not Outcome.UNCHANGED}

    def beside(self, seen: Seen, patch: Patch, counted_as: Outcome) -> PendingChange | None:
        """Return the change for the urgent part of a row that is not sent itself.

        It is returned even if Connectif holds this part, since another row of the contact may have another value.

        :param patch: the urgent part of the row.
        :param counted_as: the row's outcome.
        :return: ``None``: all of the part was rejected before.
        """
        key, line = seen.key or self._resource.same_key(patch.key), _line_that_says(seen)
        known = Known() if line is None else Known(line.properties, line.patch_digest)
        patch = _as_sent_before(patch, key, line)._replace(
            is_new=line is None, was_delivered=self._was_delivered(line), counted_as=counted_as.value
        )
        found = self.differences.beside(patch, key, known, seen.row_digest)
        return found and PendingChange(found.patch, key, Rank.BESIDE, known.whole, is_held=found.is_held)

    def refusal(self, key: str) -> Seen:
        """Return a key with its line in the journal, which has the last refusal."""
        line = self._journal.lines.differing({key: _ANOTHER}, all_differ=True).get(key)
        return Seen(0, key, "", line)

    def _other_spellings(
        self, batch: Sequence[Row], keys: Sequence[str | None], lines: dict[str, Line | None]
    ) -> dict[int, str | None]:
        """Return the valid keys of rows by index, if they differ from the text in the row, and load their lines.

        A row whose key is not obvious from its value is always among them, with or without a valid key.
        """
        unknown = [place for place, key in enumerate(keys) if key is None or (key in lines and lines[key] is None)]
        looked_at: dict[int, str | None] = {}
        for self.reads_key_at in unknown:
            looked_at[self.reads_key_at] = _storable(self._resource.key_of(batch[self.reads_key_at]))
        self.reads_key_at = None
        spelled = {place: key for place, key in looked_at.items() if key is None or key != keys[place]}
        proper = {key for key in spelled.values() if key is not None}
        lines |= self._journal.lines.differing(dict.fromkeys(proper, _ANOTHER), all_differ=True)
        return spelled

    def _delivered_as(self, key: str, line: Line) -> Outcome:
        """Return the outcome of a row that Connectif holds: delivered, if an earlier attempt of this run has sent
        it.
        """
        if line.state != ACKNOWLEDGED:
            self._journal.lines.note(key, ACKNOWLEDGED)
        if key in self._delivered_earlier or not self._journal.series.delivered_earlier(line):
            return Outcome.UNCHANGED
        if line.delivered_as == REMOVED:
            return Outcome.UNCHANGED
        self._delivered_earlier.add(key)
        return Outcome(line.delivered_as or Outcome.UPDATED)

    def _was_delivered(self, line: Line | None) -> bool:
        """Whether Connectif has accepted a property of a contact."""
        return line is not None and not line.was_removed and self._has_accepted(line)

    def _has_accepted(self, line: Line) -> bool:
        if line.patch_digest or line.delivered_as:
            return True
        return bool(line.properties and without_marks(line.properties, self._resource.ranks, Mark.REFUSED))


def rank_of(resource: Resource, patch: Patch, rank: Rank = Rank.NEW) -> Rank:
    """Return the rank of a change: the first one if the resource calls it urgent, otherwise ``rank``."""
    return Rank.URGENT if resource.is_urgent(patch.properties) else rank


def _storable(key: str | None) -> str | None:
    """Return a key that the journal's database can hold, or ``None``: its row is invalid."""
    return key if key is not None and len(key) <= LONGEST_KEY and key.isprintable() else None


def _line_that_says(seen: Seen) -> Line | None:
    """Return the line of a row's contact; ``None`` if it only says that all attempts for a new contact failed."""
    return None if seen.line is None or seen.line.says_nothing else seen.line


def _as_sent_before(patch: Patch, contact: str, line: Line | None) -> Patch:
    """Return a patch with the key as Connectif accepted it before, if that is known."""
    sent = None if line is None else sent_key(contact, line.spelling)
    return patch if sent is None or sent == patch.key else patch._replace(key=sent, sent_before=sent)


def _is_about_the_row(line: Line) -> bool:
    """Whether a refusal is the fault of the row; journals of earlier versions have others, too.

    Refusals of imports and of invalid rows have no status.
    """
    return line.refused_status is None or line.refused_status in STATUSES_ABOUT_THE_ROW


def _twice(keys: Collection[str | None]) -> set[str]:
    """Return the keys that occur more than once."""
    return {key for key, count in Counter(keys).items() if key is not None and count > 1}
