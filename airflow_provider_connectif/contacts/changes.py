"""Which rows are worth a request: those that differ from what Connectif has acknowledged."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_connectif.contacts.digests import mapping_digest, patch_digest, row_digester
from airflow_provider_connectif.contacts.mapping import ContactMapping, Digests, Patch, Row
from airflow_provider_connectif.contacts.outcomes import Outcome, Settled

if TYPE_CHECKING:
    from airflow_provider_connectif.contacts.journal import Journal, Line


class Seen(NamedTuple):
    """A row and what the journal knows of its contact; ``key`` is ``None`` where the row has none that is valid."""

    key: str | None
    row_digest: str
    line: Line | None


class Changes:
    """Decides by the journal, row by row, and writes down what became of those that were sent.

    :param journal: open.
    :param mapping: with the definitions that the run checks against.
    :param full_refresh: send every row, changed or not.
    :param retry_rejected: send rows again that were refused as they are.
    """

    def __init__(self, journal: Journal, mapping: ContactMapping, *, full_refresh: bool, retry_rejected: bool) -> None:
        self._journal = journal
        self._mapping = mapping
        self._full_refresh = full_refresh
        self._retry_rejected = retry_rejected
        self._mapping_digest = mapping_digest(mapping)
        self._digest_of = row_digester(mapping)
        self._last_sent: dict[str, Digests] = {}
        self._in_flight: dict[str, int] = {}
        self.remapped = 0

    def look_up(self, batch: Sequence[Row]) -> list[Seen]:
        """What the journal knows of a batch's contacts, by one query."""
        # What was sent and is settled stands in the journal, or soon will; only the rest must be remembered.
        self._last_sent = {key: sent for key, sent in self._last_sent.items() if key in self._in_flight}
        keys = [self._journal_key(row) for row in batch]
        lines = self._journal.lines(key for key in dict.fromkeys(keys) if key is not None)
        return [
            Seen(key, self._row_digest(row) if key is not None else "", lines.get(key) if key is not None else None)
            for key, row in zip(keys, batch, strict=True)
        ]

    def settled_already(self, seen: Seen) -> Outcome | None:
        """What is known of a row before any of its values is looked at closely."""
        if seen.key is None:
            return None
        sent = self._last_sent.get(seen.key)
        if sent is not None:
            return Outcome.UNCHANGED if sent.row == seen.row_digest else None
        if seen.line is None:
            return None
        if self._full_refresh and seen.line.run_id != self._journal.run_id:
            return None
        if seen.line.row_digest == seen.row_digest:
            return Outcome.UNCHANGED
        if seen.line.refused_digest == seen.row_digest and not self._retry_rejected:
            return Outcome.HELD
        return None

    def to_send(self, seen: Seen, patch: Patch) -> Patch | None:
        """The patch with its digests, or ``None`` if Connectif holds just that already."""
        key = seen.key or ""
        digests = Digests(seen.row_digest, patch_digest(patch.properties), self._mapping_digest)
        sent, line = self._last_sent.get(key), seen.line
        if sent is not None and sent.patch == digests.patch:
            return None
        if sent is None and line is not None and not self._full_refresh:
            if line.patch_digest == digests.patch:
                self._journal.confirm(key, digests)
                return None
            self.remapped += line.patch_digest is not None and line.mapping_digest != self._mapping_digest
        if self._journal.read_only:
            return patch
        self._last_sent[key] = digests
        self._in_flight[key] = self._in_flight.get(key, 0) + 1
        return patch._replace(digests=digests)

    def before_sending(self, seen: Sequence[Seen]) -> None:
        """Mark what the journal says of these contacts as in doubt until their answers are here."""
        self._journal.doubt({s.key for s in seen if s.key is not None and s.line is not None and s.line.patch_digest})

    def settle(self, settled: Settled, reasons: Sequence[str], status: int | None) -> None:
        """Write down what became of a patch. What failed leaves no mark, so that it differs next time by itself."""
        digests = settled.patch.digests
        if digests is None:
            return
        key = self._mapping.same_contact(settled.patch.key)
        self._in_flight[key] -= 1
        if not self._in_flight[key]:
            del self._in_flight[key]
        if settled.outcome in (Outcome.CREATED, Outcome.UPDATED):
            self._journal.acknowledge(key, digests)
        elif settled.outcome is Outcome.REJECTED:
            self._journal.reject(key, digests.row, status, "; ".join(reasons))

    def _row_digest(self, row: Row) -> str:
        try:
            return self._digest_of(row)
        except Exception:  # noqa: BLE001 - a value's class may raise anything when it is asked for its text
            return secrets.token_hex(16)  # equals nothing, so the row is looked at closely

    def _journal_key(self, row: Row) -> str | None:
        key = self._mapping.key_of(row)
        return None if key is None else self._mapping.same_contact(key)
