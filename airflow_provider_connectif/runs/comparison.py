"""Which rows are worth a request: those that differ from what Connectif has acknowledged."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_connectif.delivery.response_policy import STATUSES_ABOUT_THE_ROW
from airflow_provider_connectif.journal.differences import Differences
from airflow_provider_connectif.journal.digests import RowDigester, mapping_digest
from airflow_provider_connectif.journal.pending import PendingChange, PendingChanges, Rank
from airflow_provider_connectif.journal.properties import Known, Mark, without_marks
from airflow_provider_connectif.journal.states import ACKNOWLEDGED, IN_DOUBT, REJECTED, REMOVED
from airflow_provider_connectif.records.changes import Digests, Patch
from airflow_provider_connectif.records.outcomes import Outcome
from airflow_provider_connectif.records.raw_rows import RawBatch
from airflow_provider_connectif.records.resource import Resource
from airflow_provider_connectif.records.rows import Batch, Row
from airflow_provider_connectif.reporting.summary import Tally

if TYPE_CHECKING:
    from airflow_provider_connectif.journal.lines import Line
    from airflow_provider_connectif.journal.shown_keys import ShownKeys
    from airflow_provider_connectif.journal.store import Journal
    from airflow_provider_connectif.journal.suppression import Among

_ANOTHER = "-"  # the digest of no row, nor of a change of several rows, which is empty


class Seen(NamedTuple):
    """A row and what the journal knows of its key.

    ``place``: in its batch. ``key``: in the journal's form; ``None`` where the row has none that is valid.
    ``is_pending``: another row of the key differs, so that this one counts even if the journal holds it.
    """

    place: int
    key: str | None
    row_digest: str
    line: Line | None
    is_pending: bool = False


class Comparison:
    """Compares rows with the journal. It writes what the journal has to know of rows that are not sent.

    :param journal: open.
    :param resource: with the definitions that the run checks against.
    :param tally: counts what is sent since the mapping changed.
    :param full_refresh: send every row, changed or not.
    :param retry_rejected: send rows again that were refused as they are.
    :param way: as of :func:`airflow_provider_connectif.journal.digests.mapping_digest`.
    :param shown: gets the key of every row that has one.
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
    ) -> None:
        self._journal = journal
        self._resource = resource
        self._tally = tally
        self._full_refresh = full_refresh
        self._retry_rejected = retry_rejected
        self._shown = shown
        self.mapping_digest = mapping_digest(resource, way)
        """Changes when the mapping, or a definition that it uses, does."""
        self.differences = Differences(resource, self.mapping_digest, way, journal.key_secret, sends_all=full_refresh)
        self._digester = RowDigester(resource, way)
        self._delivered_earlier: set[str] = set()
        self._listed: Among | None = None
        self._has_asked = False
        # What is in doubt is held as such only where sending it twice is not harmless.
        self._states_of_held_rows = (REJECTED,) if resource.is_idempotent else (REJECTED, IN_DOUBT)

    def look_up(self, batch: Sequence[Row], pending: PendingChanges) -> list[Seen]:
        """The rows of a batch that are not unchanged at a glance.

        Keys are looked up as they stand in the rows: where the journal has just that key and just that row, it was
        checked on the day it was sent.
        """
        self._delivered_earlier.clear()
        keys: list[str | None] = self._plain_keys(batch)
        digests = self._row_digests(batch)
        asked = {key: digest for key, digest in zip(keys, digests, strict=True) if key is not None}
        nameless = None in keys
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
            line = lines.get(key) if key is not None else None
            digest = digests[place]
            if key is None:
                digest = ""
            elif line is not None and has_texts and not _says_each_property(line):
                digest = self._known_digest(batch[place], digest, key, line, is_settled=key not in held)
            seen.append(Seen(place, key, digest, line, key in held))
        return seen

    def _note_shown(self, keys: Collection[str | None], spelled: Collection[str | None] = ()) -> None:
        """Note the keys of a batch, in the form of the journal, also those of rows that are not sent."""
        if self._shown is not None:
            written, plain = self._journal.lines.written_key, self._journal.key_secret is None
            for some in (keys, spelled):
                self._shown.add(some if plain else [key and written(key) for key in some])

    def suppressed(self, batch: Sequence[Row], seen_rows: Sequence[Seen]) -> set[int]:
        """The places of rows whose people must not be sent again; the journal forgets what it has of them.

        An erasure has deleted the lines of its own keys. So of the rows that are unchanged at a glance, only those that
        name people beside their key are looked at.
        """
        suppressions, places = self._journal.suppressions, set[int]()
        if seen_rows and not suppressions.is_empty():
            people = {seen.place: self._resource.people_of_row(batch[seen.place]) for seen in seen_rows}
            found = suppressions.among(person for named in people.values() for person in named)
            places = {place for place, named in people.items() if not found.isdisjoint(named)}
        keys = {seen.key for seen in seen_rows if seen.place in places}
        if len(seen_rows) < len(batch) and self._resource.names_people_beside(batch):
            unseen = self._suppressed_beside(batch, {seen.place for seen in seen_rows})
            keys |= {self._resource.key_of(batch[place]) for place in unseen}
            places |= unseen
        self._journal.lines.forget({key for key in keys if key is not None})
        return places

    def _suppressed_beside(self, batch: Sequence[Row], seen: Collection[int]) -> set[int]:
        """The places of unchanged rows that name suppressed people beside their key."""
        if not self._has_asked:
            # Once a run: nothing is sent of these rows, so that they need not know who is suppressed meanwhile.
            self._listed, self._has_asked = self._journal.suppressions.snapshot(), True
        if self._listed is None:
            return set()
        beside = self._resource.people_beside(batch)
        unseen = {place: person for place, person in beside.items() if place not in seen}
        found = self._listed(unseen.values())
        return {place for place, person in unseen.items() if person in found}

    def _known_digest(self, row: Row, digest: str, key: str, line: Line, *, is_settled: bool) -> str:
        """The digest by which a line knows a row: that of its values, where an earlier version has written it.

        An acknowledged row gets its new digest, so that it is unchanged at a glance on the next night.

        :param is_settled: no other row of the key is to be sent.
        """
        known = (line.row_digest, line.refused_digest, line.invalid_digest)
        if digest in known or not any(known):
            return digest
        of_values = self._row_digest(row)
        if of_values not in known:
            return digest
        is_acknowledged = of_values == line.row_digest and line.state == ACKNOWLEDGED and line.refused_digest is None
        if is_acknowledged and is_settled and line.patch_digest is not None and not self._full_refresh:
            same = Digests(digest, line.patch_digest, self.mapping_digest, line.properties)
            self._journal.lines.confirm(key, same)
        return of_values

    def outcome(self, seen: Seen) -> Outcome | None:
        """What is known of a row before any of its values is looked at closely."""
        line = seen.line
        if seen.key is None or line is None or seen.is_pending:
            return None
        series = self._journal.series
        if self._full_refresh and not series.has_met(line) and not series.delivered_earlier(line):
            return None
        if line.row_digest == seen.row_digest:
            return self._delivered_as(seen.key, line)
        if line.refused_digest == seen.row_digest and not self._retry_rejected and _is_about_the_row(line):
            if line.state not in self._states_of_held_rows:
                self._journal.lines.note(seen.key, REJECTED, line.refused_status, line.refused_reason)
            # What an earlier attempt of this run has met is a refusal of this run; no other will report it. What is in
            # doubt was not refused: it is held, in this run too.
            is_of_this_run = line.state == REJECTED and series.has_met(line)
            return Outcome.REJECTED if is_of_this_run else Outcome.HELD
        return None

    def is_known_refusal(self, seen: Seen) -> bool:
        """Whether a run before this one has seen this row refused by Connectif."""
        return seen.line is not None and self._journal.lines.is_known_refusal(seen.line)

    def is_known_invalid(self, seen: Seen, keyless: int, reasons: Sequence[str] = ()) -> bool:
        """Whether a run before this one has seen the same invalid row; what is new is written down.

        :param keyless: how many rows without a valid key were read, this one included.
        :param reasons: why it is invalid, without personal data.
        """
        if seen.key is None:
            # Such rows cannot be told apart: as many as before are known, those beyond are new.
            return keyless <= self._journal.series.keyless_before
        return self._journal.lines.meets_invalid(seen.key, seen.row_digest, seen.line, "; ".join(reasons))

    def change(self, seen: Seen, patch: Patch) -> PendingChange | None:
        """What is to be sent for a row, or ``None`` if Connectif holds just that already."""
        key, line = seen.key or "", _line_that_says(seen)
        known = Known() if line is None else Known(line.properties, line.patch_digest)
        patch = patch._replace(is_new=line is None, was_delivered=self._was_delivered(line))
        found = self.differences.of(patch, key, known, seen.row_digest)
        patch = found.patch
        if line is None or line.state == REMOVED:  # where the contact was deleted, its key alone makes it again
            return PendingChange(patch, key, rank_of(self._resource, patch))
        if found.is_held and not seen.is_pending and patch.digests is not None:
            self._journal.lines.confirm(key, patch.digests)
            return None
        if not self._full_refresh:
            self._tally.remapped += line.patch_digest is not None and line.mapping_digest != self.mapping_digest
        rank = rank_of(self._resource, patch, Rank.CHANGED if line.refused_digest is None else Rank.REJECTED_BEFORE)
        refused = None if self._full_refresh or self._retry_rejected else line.refused_digest
        return PendingChange(patch, key, rank, known.whole, refused)

    def beside(self, seen: Seen, patch: Patch, counted_as: Outcome) -> PendingChange | None:
        """What of a row must be sent though the row is not.

        :param patch: the urgent part of it.
        :param counted_as: the row's outcome.
        """
        key, line = seen.key or self._resource.same_key(patch.key), _line_that_says(seen)
        known = Known() if line is None else Known(line.properties, line.patch_digest)
        patch = patch._replace(
            is_new=line is None, was_delivered=self._was_delivered(line), counted_as=counted_as.value
        )
        found = self.differences.beside(patch, key, known, seen.row_digest)
        return None if found is None else PendingChange(found, key, Rank.BESIDE, known.whole)

    def refusal(self, key: str) -> Seen:
        """A key as its last refusal left it."""
        line = self._journal.lines.differing({key: _ANOTHER}, all_differ=True).get(key)
        return Seen(0, key, "", line)

    def _other_spellings(
        self, batch: Sequence[Row], keys: Sequence[str | None], lines: dict[str, Line | None]
    ) -> dict[int, str | None]:
        """The proper keys of rows by place, where they are not what stands in the row; adds their lines.

        A row without a key that stands there plainly is always among them, whether it has a proper one or none.
        """
        unknown = [place for place, key in enumerate(keys) if key is None or (key in lines and lines[key] is None)]
        looked_at = {place: self._resource.key_of(batch[place]) for place in unknown}
        spelled = {place: key for place, key in looked_at.items() if key is None or key != keys[place]}
        proper = {key for key in spelled.values() if key is not None}
        lines |= self._journal.lines.differing(dict.fromkeys(proper, _ANOTHER), all_differ=True)
        return spelled

    def _delivered_as(self, key: str, line: Line) -> Outcome:
        """The outcome of a row that Connectif holds: delivered, if an earlier attempt of this run did that."""
        if line.state != ACKNOWLEDGED:
            self._journal.lines.note(key, ACKNOWLEDGED)
        if key in self._delivered_earlier or not self._journal.series.delivered_earlier(line):
            return Outcome.UNCHANGED
        self._delivered_earlier.add(key)
        return Outcome(line.delivered_as or Outcome.UPDATED)

    def _plain_keys(self, batch: Sequence[Row]) -> list[str | None]:
        """Keys in the form of the journal, by their looks alone; ``None`` for those that need a closer one."""
        column = self._resource.key_column
        values: list[Any]
        if isinstance(batch, Batch):
            position = batch.position(column)
            values = [None] * len(batch) if position is None else batch.values_at(position)
        else:
            values = [row.get(column) if isinstance(row, Mapping) else None for row in batch]
        return self._resource.keys_at_a_glance(values)

    def _was_delivered(self, line: Line | None) -> bool:
        """Whether Connectif has accepted something of a contact."""
        if line is None or line.state == REMOVED:
            return False
        if line.patch_digest or line.delivered_as:
            return True
        return bool(line.properties and without_marks(line.properties, self._resource.ranks, Mark.REFUSED))

    def _row_digests(self, batch: Sequence[Row]) -> list[str]:
        if isinstance(batch, Batch):
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


def rank_of(resource: Resource, patch: Patch, rank: Rank = Rank.NEW) -> Rank:
    """When a change is sent: before all others if the resource calls it urgent, else with those of its rank."""
    return Rank.URGENT if resource.is_urgent(patch.properties) else rank


def _line_that_says(seen: Seen) -> Line | None:
    """The line of a row's contact; ``None`` where it says only that the contact was given up on when it was new."""
    return None if seen.line is None or seen.line.says_nothing else seen.line


def _says_each_property(line: Line) -> bool:
    """Whether the digests of its properties say all that a line knows: then its row's need not be recognised."""
    return line.properties is not None and line.refused_digest is None and line.invalid_digest is None


def _is_about_the_row(line: Line) -> bool:
    """Whether a refusal is the row's own fault; journals of earlier versions hold others, too.

    Those of imports and of invalid rows have no status.
    """
    return line.refused_status is None or line.refused_status in STATUSES_ABOUT_THE_ROW


def _twice(keys: Collection[str | None]) -> set[str]:
    """The keys that stand more than once."""
    return {key for key, count in Counter(keys).items() if key is not None and count > 1}
