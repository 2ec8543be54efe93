"""Finds the lines of contacts that are no longer in a source, in the order of their keys, and marks them."""

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

    ``properties``: digests of the accepted ones. ``is_marked``: whether an earlier read has marked it as left.
    ``generation``: of the process that wrote the line, and so of the one that marked it. ``delivered_generation``: of
    the process that last delivered it; ``None`` in lines of an older version. ``spelling``: see the module "spellings".
    """

    key: str
    properties: bytes | None
    is_marked: bool
    generation: int
    delivered_generation: int | None
    spelling: str | None = None


class LeftLines:
    """Finds and marks the lines of contacts that are no longer in a source.

    :param database: of the journal.
    :param sync_id: which sync.
    :param lease: the claim of this process.
    :param run_id: of this process.
    """

    def __init__(self, database: JournalDatabase, sync_id: str, lease: Lease, run_id: str) -> None:
        self._database = database
        self._sync_id = sync_id
        self._lease = lease
        self._run_id = run_id
        self._lines = database.tables.lines
        self.are_there = True
        """Whether the tables have the needed columns: those of an older version do not."""

    def missing(self, shown: ShownKeys) -> Iterator[list[LeftLine]]:
        """Yield the delivered contacts that are not in the source, in batches, without those whose ``on_removed`` was
        carried out.

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
        """Return the keys, in the form of the tables, of contacts for which these processes have carried out
        ``on_removed``.
        """
        lines = self._lines.c
        of_these = sa.and_(lines.state == REMOVED, lines.generation.in_(sorted(generations)))
        return self._keys(sa.select(lines.contact_key).where(lines.sync_id == self._sync_id, of_these))

    def mark(self, keys: Sequence[str]) -> None:
        """Mark these contacts as left. If their rows come back, they are compared property by property.

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
        """Return the keys of a query from the driver's own rows; SQLAlchemy's rows would double the time."""

        def fetch(connection: sa.Connection) -> list[str]:
            with closing(connection.execute(query)) as result:
                return [row[0] for row in result.cursor.fetchall()]

        return self._database.read(fetch)

    def _lines_of(self, keys: Sequence[str]) -> list[LeftLine]:
        lines = self._lines.c
        of_state = (lines.state, lines.generation, lines.delivered_generation)
        columns = (lines.contact_key, lines.properties, *of_state, self._database.tables.spelling)
        query = sa.select(*columns).where(lines.sync_id == self._sync_id, lines.contact_key.in_(keys))
        return [
            LeftLine(
                line.contact_key,
                None if line.properties is None else bytes(line.properties),
                line.state == LEFT,
                line.generation,
                line.delivered_generation,
                line.spelling,
            )
            for line in self._database.rows(query)
        ]
