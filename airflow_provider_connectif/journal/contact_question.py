"""Reads one contact of a sync from a journal."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from airflow_provider_connectif.journal.database import JournalDatabase
from airflow_provider_connectif.journal.digests import key_digester
from airflow_provider_connectif.journal.explanation import (
    Explanation,
    KnownProperty,
    LastOutcome,
    LastRun,
    PastOutcome,
    Suppressed,
)
from airflow_provider_connectif.journal.next_step import next_step
from airflow_provider_connectif.journal.properties import Mark, entries_of, value_digest
from airflow_provider_connectif.journal.spellings import sent_key
from airflow_provider_connectif.journal.states import IN_DOUBT, REJECTED
from airflow_provider_connectif.journal.suppression import SuppressionList
from airflow_provider_connectif.journal.tables import RECORDS_SINCE, SPELLING, VERSION, columns_of
from airflow_provider_connectif.journal.waiting import waiting_changes, waiting_query
from airflow_provider_connectif.records.outcomes import STATUSES_ABOUT_THE_ROW, JournalError
from airflow_provider_connectif.records.people import PersonKey

_HMAC_LENGTH = 64
_HEX = frozenset("0123456789abcdef")
_LONGEST_HISTORY = 100


class ContactQuestion:
    """Reads one contact of a sync from a journal.

    :param database: the journal's database, open to be read.
    :param version: the version of its tables.
    :param sync_id: the id of the sync.
    :param keys: the forms that the contact's key may have in the tables, if keys are not stored as HMACs.
    :param people: the person's keys that the suppression list may have.
    :param key_secret: the secret of the journal's connection. Whether keys are stored with it, the sync's lines show.
    :param conn_id: the id of the journal's connection, for messages.
    :raises JournalError: the database failed, or the suppression list was written with another secret.
    """

    def __init__(
        self,
        database: JournalDatabase,
        version: int,
        sync_id: str,
        keys: Collection[str],
        people: Collection[PersonKey],
        key_secret: bytes | None,
        *,
        conn_id: str = "",
    ) -> None:
        self._database = database
        self._tables = database.tables
        self._version = version
        self.sync_id = sync_id
        digests = set() if key_secret is None else {key_digester(key_secret)(key) for key in keys}
        self._written = sorted({*keys, *digests})
        self._line = self._found_line()
        self.are_keys_digests = (
            self._line["contact_key"] in digests if self._line else are_keys_digests(database, sync_id, version)
        )
        self.key_secret = key_secret if self.are_keys_digests else None
        suppressions = SuppressionList(database, key_secret, conn_id=conn_id)
        suppressions.is_there = version >= RECORDS_SINCE
        self._suppressed = tuple(
            Suppressed(entry.key_kind, _in_utc(entry.at) or datetime.min, entry.run_id)
            for entry in suppressions.entries(people)
        )

    @property
    def column(self) -> bytes:
        """The digests of the properties that Connectif has accepted: see the module "properties"."""
        return bytes(self._line.get("properties") or b"")

    @property
    def written_key(self) -> str | None:
        """The contact's key as its line has it; ``None`` if the contact has no line."""
        return self._line.get("contact_key")

    def sent_key(self, contact: str) -> str | None:
        """Return the contact's key as Connectif accepted it last; ``None``: it is not known.

        :param contact: the key in the journal's form.
        """
        return sent_key(contact, self._line.get(SPELLING))

    def history(self, most: int = _LONGEST_HISTORY) -> tuple[PastOutcome, ...]:
        """Return the contact's outcomes, the last one first.

        :param most: the largest number of outcomes to return.
        """
        if self._version < RECORDS_SINCE:
            return ()
        outcomes = self._tables.outcomes
        of_contact = sa.and_(outcomes.c.sync_id == self.sync_id, outcomes.c.contact_key.in_(self._written))
        query = sa.select(outcomes).where(of_contact).order_by(outcomes.c.id.desc()).limit(most)
        return tuple(
            PastOutcome(
                _in_utc(row.at) or datetime.min,
                row.run_id,
                row.outcome,
                tuple(json.loads(row.properties) if row.properties else ()),
                row.status_code,
                row.reason,
            )
            for row in self._database.rows(query)
        )

    def explain(self, property_ids: Iterable[str], history: tuple[PastOutcome, ...]) -> Explanation:
        """Return everything that the journal knows of the contact.

        :param property_ids: ids to look up, besides those in the history. The lines have digests of ids only.
        :param history: the result of :meth:`history`.
        """
        of_history = [name for outcome in history for name in outcome.properties]
        properties = [self._property(name) for name in dict.fromkeys([*property_ids, *of_history])]
        known = [entry for entry in properties if entry.digest or entry.is_kept or entry.is_awaited]
        last = self._last_outcome()
        named = sum(bool(entry.digest) + entry.is_kept + entry.is_awaited for entry in known)
        others = (Mark.REFUSED, Mark.UNSEEN)
        marks = sum(value_digest(self.column, entry.id, mark) is not None for entry in properties for mark in others)
        is_pending, is_in_import = self._waiting()
        return Explanation(
            self.sync_id,
            self._version,
            last,
            tuple(known),
            max(0, len(entries_of(self.column)) - named - marks),
            history,
            is_pending,
            self._last_run(),
            self._suppressed,
            next_step(
                None if last is None else last.state,
                is_held=last is not None and last.is_held,
                knows_row=last is not None and last.knows_row,
                knows_properties=last is not None and last.knows_properties,
                is_pending=is_pending,
                is_in_import=is_in_import,
                is_suppressed=bool(self._suppressed),
                has_reason=last is not None and last.reason is not None,
            ),
            is_in_import,
        )

    def _property(self, property_id: str) -> KnownProperty:
        digest = value_digest(self.column, property_id)
        return KnownProperty(
            property_id,
            None if digest is None else digest.hex(),
            value_digest(self.column, property_id, Mark.KEPT) is not None,
            value_digest(self.column, property_id, Mark.BEFORE) is not None,
        )

    def _found_line(self) -> dict[str, Any]:
        lines = self._tables.lines
        is_whole = self._version >= RECORDS_SINCE and self._tables.has_spellings
        there = {c.name for c in lines.c} if is_whole else columns_of(lines, self._database.engine)
        of_contact = sa.and_(lines.c.sync_id == self.sync_id, lines.c.contact_key.in_(self._written))
        query = sa.select(*(column for column in lines.c if column.name in there)).where(of_contact)
        # If the sync once stored its keys in another form, there are two lines of the contact. The newer line counts.
        newest = query.order_by(lines.c.generation.desc()).limit(1)
        return dict(next((row._mapping for row in self._database.rows(newest)), {}))

    def _last_outcome(self) -> LastOutcome | None:
        line = self._line
        if not line:
            return None
        # In tables of an older version, status and reason are those of the last rejection, not of the last outcome.
        is_old = self._version < RECORDS_SINCE
        status, reason = line.get("status_code"), line.get("reason")
        refused_status = status if is_old else line["refused_status"]
        refused_reason = reason if is_old else line["refused_reason"]
        holds_row = line["refused_digest"] is not None and (
            refused_status is None or refused_status in STATUSES_ABOUT_THE_ROW
        )
        is_last = (status, reason or "") == (refused_status, refused_reason or "")
        return LastOutcome(
            line["state"],
            _in_utc(line.get("outcome_at")),
            line.get("run_id"),
            status,
            reason,
            _in_utc(line.get("delivered_at")),
            line.get("delivered_as") if line.get("delivered_at") else None,
            _in_utc(line.get("refused_at")),
            line.get("refused_run"),
            refused_status,
            refused_reason,
            line.get("invalid_run"),
            holds_row=holds_row,
            is_held=holds_row and is_last and line["state"] in (REJECTED, IN_DOUBT),
            knows_row=line.get("row_digest") is not None,
            knows_properties=line.get("properties") is not None or line.get("patch_digest") is not None,
            spelling=line.get(SPELLING) or None,
        )

    def _waiting(self) -> tuple[bool, bool]:
        """Return whether a deferred task still has to send a change of the contact; and whether an open import has it.

        An open import is one whose result is not recorded yet. A contact that an import has rejected does not wait,
        although its pending line stays until all its files are settled.
        """
        if self._version < 2:  # there are no tables of plans
            return False, False
        pending, plans = self._tables.pending.c, self._tables.plans.c
        of_sync = pending.plan_id.in_(sa.select(plans.plan_id).where(plans.sync_id == self.sync_id))
        query = waiting_query(self._tables, of_sync, pending.contact_key.in_(self._written))
        found = list(waiting_changes(self._database.rows(query)))
        return any(waiting.to_send for waiting in found), any(waiting.in_imports for waiting in found)

    def _last_run(self) -> LastRun | None:
        if self._version < RECORDS_SINCE:
            return None
        runs, claims = self._tables.runs.c, self._tables.claims.c
        query = sa.select(runs.run_id, runs.task, runs.verdict, runs.started_at, runs.ended_at).where(
            runs.sync_id == self.sync_id
        )
        found = self._database.rows(query.order_by(runs.started_at.desc(), runs.generation.desc()).limit(1))
        if not found:
            return None
        (run,) = found
        of_run = sa.and_(claims.sync_id == self.sync_id, claims.run_id == run.run_id, claims.task == run.task)
        held = self._database.rows(sa.select(sa.func.max(claims.lease_until)).where(of_run))[0][0]
        holds = run.ended_at is None and held is not None and held > self._database.now()
        return LastRun(
            run.run_id,
            run.verdict,
            _in_utc(run.started_at) or datetime.min,
            _in_utc(run.ended_at),
            datetime.fromtimestamp(held, UTC) if holds else None,
        )


def are_keys_digests(database: JournalDatabase, sync_id: str, version: int = VERSION) -> bool:
    """Whether the contact keys of a sync are stored as HMACs.

    An HMAC has 64 hexadecimal digits. No e-mail has that form, and an external id has 50 characters at most.

    :param version: the version of the tables; before version 3 there is no history.
    """
    tables = database.tables
    for table in (tables.lines, tables.outcomes) if version >= RECORDS_SINCE else (tables.lines,):
        key = table.c.contact_key
        found = database.rows(sa.select(key).where(table.c.sync_id == sync_id, key.is_not(None)).limit(1))
        if found:
            return all(len(row.contact_key) == _HMAC_LENGTH and _HEX.issuperset(row.contact_key) for row in found)
    return False


def check_key_secret(
    database: JournalDatabase, sync_id: str, key_secret: bytes | None, *, conn_id: str, version: int = VERSION
) -> None:
    """Check that contacts of a sync can be found by their keys.

    :param key_secret: the secret of the journal's connection; ``None`` if it has none.
    :param conn_id: the id of the journal's connection, for messages.
    :param version: the version of the tables.
    :raises JournalError: the keys are stored as HMACs, and the connection has no secret.
    """
    if key_secret is None and are_keys_digests(database, sync_id, version):
        raise JournalError(
            f"the keys of sync {sync_id!r} are written as HMACs, and the extra of connection {conn_id!r} has no "
            "connectif_journal_secret",
            final=True,
        )


def known_syncs(database: JournalDatabase) -> list[str]:
    """Return the ids of all syncs that have run with a journal."""
    syncs = database.tables.syncs.c
    return [row.sync_id for row in database.rows(sa.select(syncs.sync_id).order_by(syncs.sync_id))]


def _in_utc(moment: datetime | None) -> datetime | None:
    """Return a moment of the database in UTC; SQLite and MySQL store no zone."""
    return moment if moment is None or moment.tzinfo is not None else moment.replace(tzinfo=UTC)
