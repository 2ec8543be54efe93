"""Which rows are worth a request: those that differ from what Connectif has acknowledged."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_connectif.contacts.identity import folded, may_be_folded
from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.delivery.response_policy import STATUSES_ABOUT_THE_ROW
from airflow_provider_connectif.journal.digests import RowDigester, mapping_digest, patch_digest
from airflow_provider_connectif.journal.held_back import HeldBackRefusals
from airflow_provider_connectif.journal.states import ACKNOWLEDGED, INVALID, REJECTED
from airflow_provider_connectif.records.changes import Digests, Patch
from airflow_provider_connectif.records.outcomes import Outcome, Settled
from airflow_provider_connectif.records.rows import Row, RowBatch
from airflow_provider_connectif.runs.key_counter import KeyCounter

if TYPE_CHECKING:
    from airflow_provider_connectif.journal.lines import Line
    from airflow_provider_connectif.journal.store import Journal

_ANOTHER = ""  # the digest of no row


class Seen(NamedTuple):
    """A row and what the journal knows of its contact; ``key`` is ``None`` where the row has none that is valid."""

    key: str | None
    row_digest: str
    line: Line | None


class LookedUp(NamedTuple):
    """A batch by the journal: how many rows are unchanged at a glance, and the others with their place in the batch."""

    unchanged: int
    others: list[tuple[int, Seen]]


class Changes:
    """Decides by the journal, row by row, and writes down what became of those that were sent.

    :param journal: open.
    :param mapping: with the definitions that the run checks against.
    :param full_refresh: send every row, changed or not.
    :param retry_rejected: send rows again that were refused as they are.
    :param remapped: what an earlier process of the run has counted.
    :param repeated: likewise.
    :param way: as of :func:`airflow_provider_connectif.journal.digests.mapping_digest`.
    :param settles_later: patches are settled when all were read, and are too many to be remembered until then. Rows of
        one contact are then told apart within a batch, and beyond it by the doubt that :meth:`before_sending` leaves.
    :param holds_refusals_back: until :attr:`refusals` is released.
    """

    def __init__(
        self,
        journal: Journal,
        mapping: ContactMapping,
        *,
        full_refresh: bool,
        retry_rejected: bool,
        remapped: int = 0,
        repeated: int = 0,
        way: str = "",
        settles_later: bool = False,
        holds_refusals_back: bool = False,
    ) -> None:
        self.refusals = HeldBackRefusals(journal, keeps=holds_refusals_back)
        self._journal = journal
        self._mapping = mapping
        self._full_refresh = full_refresh
        self._retry_rejected = retry_rejected
        self._way = way
        self._settles_later = settles_later
        self._mapping_digest = mapping_digest(mapping, way)
        self._digester = RowDigester(mapping, way)
        self._last_sent: dict[str, Digests] = {}
        self._in_flight: dict[str, int] = {}
        self._folded: set[str] = set()
        """What addresses that were met had for a key when keys were folded, where it is another contact's now."""
        self._sent_keys = KeyCounter()
        self._delivered_earlier: set[str] = set()
        self._refused_before: set[str] = set()
        self._repeated_before = repeated
        self.remapped = remapped

    @property
    def repeated(self) -> int:
        """Contacts with several rows that differ, where patches are settled one by one."""
        return self._repeated_before + self._sent_keys.repeated_keys

    def look_up(self, batch: Sequence[Row]) -> LookedUp:
        """What the journal knows of a batch's contacts.

        Keys are looked up as they stand in the rows: where the journal has just that key and just that row, it was
        checked on the day it was sent.
        """
        # What was sent and is settled stands in the journal, or soon will; only the rest must be remembered.
        self._last_sent = {key: sent for key, sent in self._last_sent.items() if key in self._in_flight}
        self._delivered_earlier.clear()
        keys: list[str | None] = self._plain_keys(batch)
        digests = self._row_digests(batch)
        asked = {key: digest for key, digest in zip(keys, digests, strict=True) if key is not None}
        nameless = None in keys
        if self._full_refresh:
            asked = dict.fromkeys(asked, _ANOTHER)
        elif nameless or len(asked) < len(keys):
            asked |= dict.fromkeys(_twice(keys), _ANOTHER)
        lines = self._journal.differing(asked, all_differ=self._full_refresh)
        if not lines and not nameless and not self._last_sent:
            return LookedUp(len(batch), [])
        spelled = self._other_spellings(batch, keys, lines)
        others = []
        for place, key in enumerate(keys):
            if place in spelled:
                key = spelled[place]
            elif key not in lines and key not in self._last_sent:
                continue
            line = lines.get(key) if key is not None else None
            others.append((place, Seen(key, digests[place] if key is not None else "", line)))
        return LookedUp(len(batch) - len(others), others)

    def settled_already(self, seen: Seen) -> Outcome | None:
        """What is known of a row before any of its values is looked at closely."""
        if seen.key is None:
            return None
        sent = self._last_sent.get(seen.key)
        if sent is not None:
            return Outcome.UNCHANGED if sent.row == seen.row_digest else None
        if seen.line is None:
            return None
        series = self._journal.series
        if self._full_refresh and not series.has_met(seen.line) and not series.delivered_earlier(seen.line):
            return None
        if seen.line.row_digest == seen.row_digest:
            return self._delivered_as(seen.key, seen.line)
        if seen.line.refused_digest == seen.row_digest and not self._retry_rejected and _is_about_the_row(seen.line):
            if seen.line.state == INVALID:
                self._journal.restore(seen.key, REJECTED)
            # What an earlier attempt of this run has met is a refusal of this run; no other will report it.
            is_of_this_run = seen.line.state == REJECTED and series.has_met(seen.line)
            return Outcome.REJECTED if is_of_this_run else Outcome.HELD
        return None

    def is_known_refusal(self, seen: Seen) -> bool:
        """Whether a run before this one has seen this row refused by Connectif."""
        return seen.line is not None and self._journal.is_known_refusal(seen.line)

    def note_invalid(self, key: str, row_digest: str, line: Line | None) -> bool:
        """Write down that a row was refused before it was sent; an unchanged one costs no write.

        :return: whether a run before this one has seen it.
        """
        is_same = line is not None and line.invalid_digest == row_digest
        first_run = line.invalid_run if is_same and line is not None else None
        if not (is_same and line is not None and line.state == INVALID):
            self._journal.note_invalid(key, row_digest, first_run)
        return first_run is not None and first_run != self._journal.run_id

    def note_invalid_patch(self, patch: Patch) -> bool:
        """As :meth:`note_invalid`, for a patch that the way of delivery cannot take."""
        if patch.digests is None:
            return False
        key = self._mapping.same_contact(patch.key)
        (line,) = self._journal.differing({key: _ANOTHER}, all_differ=True).values()
        return self.note_invalid(key, patch.digests.row, line)

    def to_send(self, seen: Seen, patch: Patch) -> Patch | None:
        """The patch with its digests, or ``None`` if Connectif holds just that already."""
        key = seen.key or ""
        digests = Digests(seen.row_digest, patch_digest(patch.properties, self._way, key), self._mapping_digest)
        sent, line = self._last_sent.get(key), seen.line
        if sent is not None and sent.patch == digests.patch:
            return None
        if sent is None and line is not None and not self._full_refresh:
            if line.patch_digest == digests.patch or self._is_of_before(key, line, patch):
                self._journal.confirm(key, digests)
                return None
            self.remapped += line.patch_digest is not None and line.mapping_digest != self._mapping_digest
        if self._journal.read_only:
            return patch
        if line is not None and line.refused_digest == digests.row and self._journal.is_known_refusal(line):
            self._refused_before.add(key)
        self._last_sent[key] = digests
        if not self._settles_later:
            self._sent_keys.add(key)
            self._in_flight[key] = self._in_flight.get(key, 0) + 1
        return patch._replace(digests=digests)

    def _is_of_before(self, key: str, line: Line, patch: Patch) -> bool:
        """Whether a line of an earlier version, whose digest names no contact, says that this one holds this patch.

        Keys were folded then. Where another contact can have had this key, the line may be that one's.
        """
        if self._mapping.key == "email" and (may_be_folded(key) or key in self._folded):
            return False
        return line.patch_digest == patch_digest(patch.properties, self._way)

    def before_sending(self, seen: Sequence[Seen]) -> None:
        """Mark what the journal says of these contacts as in doubt until their answers are here."""
        self._journal.doubt({s.key for s in seen if s.key is not None and s.line is not None and s.line.patch_digest})

    def before_sending_planned(self, patches: Sequence[Patch]) -> None:
        """As :meth:`before_sending`, for patches out of the plan; a contact may have been acknowledged since."""
        for patch in patches:
            key = self._mapping.same_contact(patch.key)
            self._in_flight[key] = self._in_flight.get(key, 0) + 1
        digests = {self._mapping.same_contact(patch.key): patch.digests.row for patch in patches if patch.digests}
        self._refused_before |= self._journal.refused_before(digests)
        self._journal.doubt({self._mapping.same_contact(patch.key) for patch in patches})

    def settle(self, settled: Settled, reasons: Sequence[str], status: int | None) -> bool:
        """Write down what became of a patch. What failed leaves no mark, so that it differs next time by itself.

        :return: whether it is a refusal that a run before this one has met, too.
        """
        digests = settled.patch.digests
        if digests is None:
            return False
        self.forget(settled.patch)
        key = self._mapping.same_contact(settled.patch.key)
        is_known = False
        if settled.outcome in (Outcome.CREATED, Outcome.UPDATED):
            # With another patch of the contact on its way, what Connectif holds is in doubt until that is answered.
            is_last = key not in self._in_flight
            self._journal.acknowledge(key, digests, is_last=is_last, delivered_as=settled.outcome.value)
        elif settled.is_remembered:
            is_known = key in self._refused_before
            self.refusals.add(key, digests.row, status, "; ".join(reasons))
        elif settled.outcome is Outcome.UNDELIVERED:
            self._journal.leave_in_doubt([key])  # it may have arrived all the same, after another process's patch
        self._refused_before.discard(key)
        if settled.patch.is_planned:
            self._journal.settle_planned(settled.patch.number)
        return is_known

    def leave_in_doubt(self, patches: Sequence[Patch]) -> None:
        """Patches were sent, and nobody waits any more for a response that says what became of them."""
        self._journal.leave_in_doubt(self._mapping.same_contact(patch.key) for patch in patches)

    def forget(self, patch: Patch) -> None:
        """A patch is on its way no longer: it is settled, or was put off."""
        key = self._mapping.same_contact(patch.key)
        if key in self._in_flight:
            self._in_flight[key] -= 1
            if not self._in_flight[key]:
                del self._in_flight[key]

    def _other_spellings(
        self, batch: Sequence[Row], keys: Sequence[str | None], lines: dict[str, Line | None]
    ) -> dict[int, str | None]:
        """The proper keys of rows by place, where they are not what stands in the row; adds their lines.

        A row without a key that stands there plainly is always among them, whether it has a proper one or none.
        """
        unknown = [place for place, key in enumerate(keys) if key is None or (key in lines and lines[key] is None)]
        looked_at = {place: self._journal_key(batch[place]) for place in unknown}
        spelled = {place: key for place, key in looked_at.items() if key is None or key != keys[place]}
        proper = {key for key in spelled.values() if key is not None}
        lines |= self._journal.differing(dict.fromkeys(proper, _ANOTHER), all_differ=True)
        return spelled

    def _delivered_as(self, key: str, line: Line) -> Outcome:
        """The outcome of a row that Connectif holds: delivered, if an earlier attempt of this run did that."""
        if line.state == INVALID:
            self._journal.restore(key, ACKNOWLEDGED)
        if key in self._delivered_earlier or not self._journal.series.delivered_earlier(line):
            return Outcome.UNCHANGED
        self._delivered_earlier.add(key)
        return Outcome(line.delivered_as or Outcome.UPDATED)

    def _plain_keys(self, batch: Sequence[Row]) -> list[str | None]:
        """Keys in the form of the journal, by their looks alone; ``None`` for those that need a closer one."""
        column = self._mapping.key_column
        values: list[Any]
        if isinstance(batch, RowBatch):
            position = batch.position(column)
            values = [None] * len(batch) if position is None else [row[position] for row in batch.values]
        else:
            values = [row.get(column) if isinstance(row, Mapping) else None for row in batch]
        is_email = self._mapping.key == "email"
        # Whatever it is, it goes into a query: nothing that cannot be printed, and no NUL, which PostgreSQL refuses.
        return [
            (value.lower() if is_email else value)
            if type(value) is str and value.isprintable() and (value.isascii() or not is_email)
            else None
            for value in values
        ]

    def _row_digests(self, batch: Sequence[Row]) -> list[str]:
        if isinstance(batch, RowBatch):
            try:
                return self._digester.of_batch(batch)
            except Exception:  # noqa: BLE001 - a value of any class may raise anything; one by one, the row is found
                return [self._row_digest(row) for row in batch]
        return [self._row_digest(row) for row in batch]

    def _row_digest(self, row: Row) -> str:
        try:
            return self._digester(row)
        except Exception:  # noqa: BLE001 - a value's class may raise anything when it is asked for its text
            return secrets.token_hex(16)  # equals nothing, so the row is looked at closely

    def _journal_key(self, row: Row) -> str | None:
        key = self._mapping.key_of(row)
        if key is None:
            return None
        same = self._mapping.same_contact(key)
        if not same.isascii() and (former := folded(key)).isascii():
            self._folded.add(former)
        return same


def _is_about_the_row(line: Line) -> bool:
    """Whether a refusal is the row's own fault; journals of earlier versions hold others, too.

    Those of imports and of invalid rows have no status.
    """
    return line.status_code is None or line.status_code in STATUSES_ABOUT_THE_ROW


def _twice(keys: Collection[str | None]) -> set[str]:
    """The keys that stand more than once."""
    return {key for key, count in Counter(keys).items() if key is not None and count > 1}
