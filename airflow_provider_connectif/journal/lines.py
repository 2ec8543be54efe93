"""Collects lines of the journal that are not written yet, and writes them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from airflow_provider_connectif.journal.dialects import dialect_named
from airflow_provider_connectif.journal.line import Line
from airflow_provider_connectif.journal.record_tables import LONGEST_REASON
from airflow_provider_connectif.journal.states import (
    ACKNOWLEDGED,
    IN_DOUBT,
    INVALID,
    OUTCOME_COLUMNS,
    REJECTED,
    REMOVED,
    UNDELIVERED,
    outcome_columns,
)
from airflow_provider_connectif.journal.tables import SPELLING, JournalTables
from airflow_provider_connectif.records.changes import Digests

NO_REFUSAL = ("refused_digest", "refused_at", "refused_run", "refused_status", "refused_reason")
_BY = ("run_id", "generation")
_DELIVERED = ("delivered_at", "delivered_as", "delivered_generation")
_DIGESTS = ("row_digest", "patch_digest", "mapping_digest", "properties")
ACKNOWLEDGED_COLUMNS = (*OUTCOME_COLUMNS, *_DIGESTS, *_DELIVERED, *NO_REFUSAL, SPELLING, *_BY)
_CONFIRMED = (*OUTCOME_COLUMNS, *_DIGESTS, *NO_REFUSAL, *_BY)
IN_PART = ("state", "row_digest", "patch_digest", "properties", *_BY)
NOTED = (*OUTCOME_COLUMNS, *_BY)
_REJECTED = (*OUTCOME_COLUMNS, *NO_REFUSAL, *_BY)
_REMOVED = (*OUTCOME_COLUMNS, "row_digest", "patch_digest", "properties", *_DELIVERED, *NO_REFUSAL, SPELLING, *_BY)
_INVALID = (*OUTCOME_COLUMNS, "invalid_digest", "invalid_run", *_BY)
_IN_DOUBT = (*OUTCOME_COLUMNS, "row_digest", "patch_digest", "properties", *NO_REFUSAL, *_BY)
_DOUBTED = (*OUTCOME_COLUMNS, "row_digest", "patch_digest", "properties", *_BY)
_TAKEN_OVER = "another process has taken over the sync: which of their requests arrived last is not known"


class GatheredLines:
    """Lines that are not written yet: for each kind of outcome, the lines by contact key.

    Methods with the parameter ``names`` get the columns that identify a line and the process that writes it.

    :param tables: the tables of the journal.
    """

    def __init__(self, tables: JournalTables) -> None:
        self._tables = tables
        self.acknowledged: dict[str, dict[str, Any]] = {}
        self.in_part: dict[str, dict[str, Any]] = {}
        self.spelled_in_part: dict[str, dict[str, Any]] = {}
        self.confirmed: dict[str, dict[str, Any]] = {}
        self.rejected: dict[str, dict[str, Any]] = {}
        self.removed: dict[str, dict[str, Any]] = {}
        self.invalid: dict[str, dict[str, Any]] = {}
        self.in_doubt: dict[str, dict[str, Any]] = {}
        self.noted: dict[str, dict[str, Any]] = {}
        self.restored_properties: dict[str, dict[str, Any]] = {}

    def acknowledge(
        self, key: str, names: Mapping[str, Any], digests: Digests, delivered_as: str | None, spelling: str | None
    ) -> None:
        """Gather the line of a contact whose patch Connectif has accepted.

        :param spelling: the value of the column ``spelling``; ``None``: it is not known.
        """
        self.acknowledged[key] = {
            **names,
            **outcome_columns(ACKNOWLEDGED),
            "row_digest": digests.row or None,  # empty for a change of several rows: they are compared each time
            "patch_digest": digests.patch,
            "mapping_digest": digests.mapping,
            "properties": digests.properties,
            "delivered_at": datetime.now(UTC),
            "delivered_as": delivered_as,
            "delivered_generation": names["generation"],
            **dict.fromkeys(NO_REFUSAL),
            SPELLING: spelling,
        }
        self.rejected.pop(key, None)
        self.noted.pop(key, None)

    def acknowledge_part(
        self, key: str, names: Mapping[str, Any], digests: Digests, state: str, spelling: str | None
    ) -> None:
        """Record that Connectif has accepted a part of a patch.

        :param digests: ``before`` has the digests of the properties that Connectif has now.
        :param state: the state of the line.
        :param spelling: see the module "spellings"; ``None``: the spelling in the line stays.
        """
        line = {
            **names,
            "state": state,
            "row_digest": None,
            "patch_digest": None,
            "properties": digests.before,
        }
        if spelling is None:
            self.in_part[key] = line
        else:
            self.spelled_in_part[key] = line | {SPELLING: spelling, "delivered_at": datetime.now(UTC)}
            self.in_part.pop(key, None)

    def confirm(self, key: str, names: Mapping[str, Any], digests: Digests) -> None:
        """Record that Connectif already has exactly the properties of a patch."""
        self.confirmed[key] = {
            **names,
            **outcome_columns(ACKNOWLEDGED),
            "row_digest": digests.row or None,
            "patch_digest": digests.patch,
            "mapping_digest": digests.mapping,
            "properties": digests.properties,
            **dict.fromkeys(NO_REFUSAL),
        }

    def reject(self, key: str, names: Mapping[str, Any], row_digest: str, status: int | None, reason: str) -> None:
        """Record that Connectif has rejected a row."""
        self.rejected[key] = {
            **names,
            **outcome_columns(REJECTED, status, reason),
            **_refusal(names, row_digest, status, reason),
        }

    def remove(
        self,
        key: str,
        names: Mapping[str, Any],
        digests: Digests,
        spelling: str | None,
        status: int | None = None,
        reason: str | None = None,
    ) -> None:
        """Record that a contact left the source, and that ``on_removed`` was carried out.

        From now on, the contact counts as not delivered. If its row comes back and is refused, ``on_removed`` is not
        carried out again.
        """
        self.removed[key] = {
            **names,
            **outcome_columns(REMOVED, status, reason),
            "row_digest": None,
            "patch_digest": None,
            "properties": digests.properties,
            **dict.fromkeys((*_DELIVERED, *NO_REFUSAL)),
            "delivered_as": REMOVED,  # it stays when other outcomes follow, see Line.was_removed
            SPELLING: spelling,
        }

    def note(self, key: str, names: Mapping[str, Any], state: str, status: int | None, reason: str | None) -> None:
        """Record a contact's last outcome. Everything else in its line stays.

        :param state: a state of :mod:`airflow_provider_connectif.journal.states`.
        """
        self.noted[key] = {**names, **outcome_columns(state, status, reason)}

    def note_invalid(
        self, key: str, names: Mapping[str, Any], invalid_rows: str, last_run: str, reason: str | None
    ) -> None:
        """Record that a row is invalid, and was not sent.

        :param invalid_rows: the value of ``invalid_digest``: see the module "invalid_rows".
        :param last_run: the run that added the last row there.
        """
        outcome = outcome_columns(INVALID, None, reason)
        self.invalid[key] = {**names, **outcome, "invalid_digest": invalid_rows, "invalid_run": last_run}
        self.noted.pop(key, None)

    def begin_doubt(self, key: str, names: Mapping[str, Any], row_digest: str, reason: str) -> None:
        """Record that a change is in doubt: it may have been sent, and sending it twice is not harmless.

        Later runs hold the row until it changes.
        """
        self.in_doubt[key] = {
            **names,
            **outcome_columns(IN_DOUBT, None, reason),
            "row_digest": None,
            "patch_digest": None,
            "properties": None,
            **_refusal(names, row_digest, None, reason),
        }

    def withdraw_doubt(self, key: str, names: Mapping[str, Any]) -> None:
        """Record that Connectif did not carry out a change that was in doubt. It is sent again."""
        nothing = dict.fromkeys(("row_digest", "patch_digest", "properties", *NO_REFUSAL))
        outcome = outcome_columns(UNDELIVERED, None, "was not carried out")
        self.in_doubt[key] = {**names, **outcome, **nothing}

    @property
    def responses(self) -> int:
        """Number of lines with the result of a response."""
        return len(self.acknowledged) + len(self.rejected) + len(self.noted) + len(self.removed)

    @property
    def others(self) -> int:
        """Number of lines that may wait longer: if they are lost, the next run finds the same."""
        in_part = len(self.in_part) + len(self.spelled_in_part)
        return in_part + len(self.confirmed) + len(self.invalid) + len(self.in_doubt)

    @property
    def keys(self) -> set[str]:
        """Return the contacts whose lines are not written yet."""
        return set(self.restored_properties).union(*(gathered for gathered, _ in self._in_order))

    def drop(self, keys: Collection[str], *, spelled: Collection[str] = ()) -> None:
        """Drop the collected lines of some contacts.

        :param spelled: those of the contacts whose lines stay if they have a spelling.
        """
        for gathered in (*(gathered for gathered, _ in self._in_order), self.restored_properties):
            for key in gathered.keys() & set(keys):
                if key not in spelled or gathered[key].get(SPELLING) is None:
                    del gathered[key]

    def clear(self) -> None:
        """Drop all collected lines, since they are written."""
        self.restored_properties.clear()
        for gathered, _ in self._in_order:
            gathered.clear()

    def overlay(self, lines: dict[str, Line | None], keys: Collection[str]) -> None:
        """Update lines from the database with the collected lines.

        :param lines: the lines from the database, by contact key; they are changed in place.
        :param keys: the contact keys whose lines are updated.
        """
        for gathered in (*(gathered for gathered, _ in self._in_order), self.restored_properties):
            for key in gathered.keys() & keys:
                known = {name: value for name, value in gathered[key].items() if name in Line._fields}
                lines[key] = (lines.get(key) or Line(None, None, None, None, None))._replace(**known)

    def write(self, connection: sa.Connection) -> None:
        """Write the collected lines to the database."""
        for gathered, columns in self._in_order:
            if gathered:
                self._upsert(connection, list(gathered.values()), columns)
        if self.restored_properties:
            self.write_properties(connection, list(self.restored_properties.values()))

    def write_properties(
        self, connection: sa.Connection, lines: Sequence[Mapping[str, Any]], doubt: str | None = None
    ) -> None:
        """Set the digests of properties in existing lines. Lines that a newer process has written stay unchanged.

        :param lines: ``sync_id``, ``contact_key``, ``generation`` and ``properties`` of each line; for a doubt also
            ``run_id``.
        :param doubt: the reason of the state ``in_doubt``, for patches that are about to be sent; empty: the state
            stays. In both cases the row digests are cleared. ``None``: no patch is about to be sent.
        """
        names = ("sync_id", "contact_key", "generation", "properties", *(("run_id",) if doubt else ()))
        outcome = outcome_columns(IN_DOUBT, None, doubt) if doubt else {}
        values = [
            {f"of_{name}": value for name, value in ({name: line[name] for name in names} | outcome).items()}
            for line in sorted(lines, key=lambda line: str(line["contact_key"]))
        ]
        connection.execute(self._tables.update_properties([*outcome, *names[4:]], is_doubt=doubt is not None), values)

    def write_doubts(
        self, connection: sa.Connection, unanswered: Collection[str], generation: int, **values: Any
    ) -> None:
        """Write a doubt instead of each acknowledgement, since another process has taken over.

        Both processes may have sent a patch of the same contact, and it is not known which arrived last.

        :param unanswered: further contacts in doubt; their keys have the form of the tables.
        :param generation: higher than that of the other process, so that its acknowledgements do not end the doubts.
        :param values: the values of ``sync_id`` and ``run_id``.
        """
        confirmed = (*self.acknowledged.values(), *self.removed.values())
        keys = {line["contact_key"] for line in confirmed} | set(unanswered)
        nothing = dict.fromkeys(("row_digest", "patch_digest", "properties"))
        cleared = {**nothing, "generation": generation, **outcome_columns(UNDELIVERED, None, _TAKEN_OVER)}
        if keys:
            self._upsert(
                connection, [{**values, **cleared, "contact_key": key} for key in keys], _DOUBTED, is_late=True
            )

    @property
    def _in_order(self) -> Sequence[tuple[dict[str, dict[str, Any]], Sequence[str]]]:
        """Return the lines in the order of writing, with the columns that they set."""
        return (
            (self.in_doubt, _IN_DOUBT),
            (self.confirmed, _CONFIRMED),
            # With "delivered_at", the contact counts as delivered: ``on_removed`` is carried out if it leaves.
            (self.spelled_in_part, (*IN_PART, SPELLING, "delivered_at")),
            (self.in_part, IN_PART),
            (self.acknowledged, ACKNOWLEDGED_COLUMNS),
            (self.noted, NOTED),
            (self.rejected, _REJECTED),
            (self.removed, _REMOVED),
            (self.invalid, _INVALID),
        )

    def _upsert(
        self, connection: sa.Connection, lines: list[dict[str, Any]], columns: Sequence[str], *, is_late: bool = False
    ) -> None:
        # In the same order everywhere, so that two tasks never block each other. Each key once: databases require that.
        by_key = {str(line["contact_key"]): line for line in lines}
        lines = [by_key[key] for key in sorted(by_key)]
        dialect = connection.dialect.name
        statement = self._tables.upsert(dialect, list(columns), is_late=is_late)
        connection.execute(statement, dialect_named(dialect).pack_lines(lines))


def _refusal(names: Mapping[str, Any], row_digest: str, status: int | None, reason: str) -> dict[str, Any]:
    """Return the columns of the rejection that holds a row."""
    return {
        "refused_digest": row_digest,
        "refused_at": datetime.now(UTC),
        "refused_run": names["run_id"],
        "refused_status": status,
        "refused_reason": reason[:LONGEST_REASON],
    }
