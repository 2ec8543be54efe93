"""Finds the lines of contacts that are no longer in the source, and marks these lines."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from typing import NamedTuple

import sqlalchemy as sa

from airflow_provider_connectif.journal.database import JournalDatabase
from airflow_provider_connectif.journal.lease import Lease
from airflow_provider_connectif.journal.shown_keys import ShownKeys
from airflow_provider_connectif.journal.states import LEFT, REMOVED, outcome_columns
from airflow_provider_connectif.records.outcomes import taken_over

_KEYS_AT_ONCE = 100_000
_LINES_AT_ONCE = 900  # every SQLite accepts 999 parameters


class LeftLine(NamedTuple):
    """A delivered contact that was not in a complete read.

    ``key``: its key in the form of the tables. ``properties``: digests of the properties that Connectif has accepted.
    ``is_marked``: whether an earlier read has marked the contact as left. ``generation``: the generation of the process
    that wrote the line last; if ``is_marked``, it has marked the contact. ``delivered_generation``: the generation of
    the process that last delivered the contact; ``None`` in lines of an older version. ``spelling``: see the module
    "spellings". ``is_rejected``: whether the last outcome is that Connectif rejected the request of ``on_removed``;
    such a contact is not marked.
    """

    key: str
    properties: bytes | None
    is_marked: bool
    generation: int
    delivered_generation: int | None
    spelling: str | None = None
    is_rejected: bool = False


class LeftLines:
    """Finds the lines of contacts that are no longer in the source, and marks these lines.

    :param database: the database of the journal.
    :param sync_id: the id of the sync.
    :param lease: the claim of this process.
    :param run_id: the run of this process.
    """

    def __init__(self, database: JournalDatabase, sync_id: str, lease: Lease, run_id: str) -> None:
        self._database = database
        self._sync_id = sync_id
        self._lease = lease
        self._run_id = run_id
        self._lines = database.tables.lines
        self.are_there = True
        """Whether the tables have the columns that are needed here. Tables of an older version do not."""

    def missing(self, shown: ShownKeys) -> Iterator[list[LeftLine]]:
        """Yield the delivered contacts that are not in the source, in batches, in the order of their keys.

        Contacts for which ``on_removed`` was carried out are left out.

        :param shown: the keys in the source, in the form of the tables.
        """
        lines, last = self._lines.c, ""
        of_sync = sa.and_(
            lines.sync_id == self._sync_id,
            lines.delivered_at.is_not(None),
            lines.state != REMOVED,
        )
        while self.are_there:
            query = (
                sa.select(lines.contact_key)
                .where(of_sync, lines.contact_key > last)
                .order_by(lines.contact_key)
                .limit(_KEYS_AT_ONCE)
            )
            keys = self._keys(query)
            if not keys:
                return
            last = keys[-1]
            left = shown.without_shown(keys)
            for first in range(0, len(left), _LINES_AT_ONCE):
                yield self._lines_of(left[first : first + _LINES_AT_ONCE])

    def removed_by(self, generations: Collection[int]) -> list[str]:
        """Return the contacts for which some processes have carried out ``on_removed``.

        :param generations: the generations of these processes.
        :return: the keys of the contacts in the form of the tables.
        """
        lines = self._lines.c
        of_these = sa.and_(lines.state == REMOVED, lines.generation.in_(sorted(generations)))
        return self._keys(sa.select(lines.contact_key).where(lines.sync_id == self._sync_id, of_these))

    def mark(self, keys: Sequence[str]) -> None:
        """Mark contacts as left. If a row of such a contact comes back, it is compared property by property.

        :param keys: the keys of the contacts in the form of the tables.
        :raises JournalError: another process has taken over.
        """
        lines = self._lines.c
        values = {
            **outcome_columns(LEFT),
            "row_digest": None,
            "run_id": self._run_id,
            "generation": self._lease.generation,
        }
        of_these = sa.and_(lines.sync_id == self._sync_id, lines.contact_key.in_(sorted(keys)))
        statement = sa.update(self._lines).where(of_these, lines.generation <= self._lease.generation)

        def write(connection: sa.Connection) -> bool:
            if not self._lease.hold(connection):
                return False
            connection.execute(statement.values(**values))
            return True

        if keys and not self._database.write(write):
            raise taken_over(self._sync_id)

    def _keys(self, query: sa.Select[tuple[str]]) -> list[str]:
        """Return the keys that a query selects. They come from the driver's own rows, which takes half the time."""

        def fetch(connection: sa.Connection) -> list[str]:
            with closing(connection.execute(query)) as result:
                return [row[0] for row in result.cursor.fetchall()]

        return self._database.read(fetch)

    def _lines_of(self, keys: Sequence[str]) -> list[LeftLine]:
        lines = self._lines.c
        of_state = (lines.state, lines.reason, lines.generation, lines.delivered_generation)
        columns = (lines.contact_key, lines.properties, *of_state, self._database.tables.spelling)
        query = sa.select(*columns).where(lines.sync_id == self._sync_id, lines.contact_key.in_(keys))
        return [
            LeftLine(
                line.contact_key,
                None if line.properties is None else bytes(line.properties),
                line.state == LEFT and line.reason is None,
                line.generation,
                line.delivered_generation,
                line.spelling,
                line.state == LEFT and line.reason is not None,
            )
            for line in self._database.rows(query)
        ]
