"""Deletes data of a journal that is no longer needed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from airflow_provider_connectif.journal.database import JournalDatabase
from airflow_provider_connectif.journal.dialects import dialect_named
from airflow_provider_connectif.records.outcomes import JournalError

_ROWS_AT_ONCE = 500


class Purge:
    """Deletes old history, or all data of one sync.

    The record of the last run of each task stays: the next run compares its number of rows without a key with it. So do
    the records of runs that are under way or deferred: these have a claim.

    :param database: the journal's database, open; its tables have the version of this package.
    :param sync_id: delete only data of this sync; ``None``: of all syncs.
    :param before: delete history from before this moment.
    :param everything: delete all lines, plans and history of the sync. The next run then sends every row.
    """

    def __init__(
        self, database: JournalDatabase, sync_id: str | None, before: datetime, *, everything: bool = False
    ) -> None:
        self._database = database
        self._sync_id = sync_id
        self._before = before
        self._everything = everything
        self._tables = database.tables

    def counts(self) -> dict[str, int]:
        """Return the numbers of lines that would be deleted, by kind.

        :raises JournalError: the database failed.
        """
        counts = {"outcomes": self._count(self._tables.outcomes), "runs": len(self._old_runs())}
        if self._everything:
            counts |= {"lines": self._count(self._tables.lines), "plans": self._count(self._tables.plans)}
        return counts

    def check_not_held(self) -> None:
        """Check that no run has a claim to the sync. Running and deferred runs have one, and need their lines.

        :raises JournalError: a run has a claim, or the database failed.
        """
        if self._everything:
            self._database.read(self._refuse_held)

    def carry_out(self) -> dict[str, int]:
        """Delete the data, in one transaction.

        :return: the numbers of deleted lines, by kind.
        :raises JournalError: a run has begun in the meantime, or the database failed; nothing was deleted.
        """
        return self._database.write(self._delete)

    def _refuse_held(self, connection: sa.Connection) -> None:
        claims = self._tables.claims.c
        now = connection.execute(dialect_named(connection.dialect.name).clock).scalar_one()
        query = sa.select(claims.run_id, claims.task).where(
            claims.sync_id == self._sync_id, claims.lease_until > float(now)
        )
        if (claim := connection.execute(query.limit(1)).first()) is not None:
            raise JournalError(
                f"sync {self._sync_id!r} is held by {claim.run_id}, task {claim.task}: try again when it has ended"
            )

    def _delete(self, connection: sa.Connection) -> dict[str, int]:
        tables = self._tables
        if self._everything:
            syncs = tables.syncs.c
            # A run that takes its claim locks this line, too. So it has the claim already, or waits for this to end.
            of_sync = sa.update(tables.syncs).where(syncs.sync_id == self._sync_id)
            connection.execute(of_sync.values(generation=syncs.generation))
            self._refuse_held(connection)
        deleted = {"outcomes": self._deleted(connection, tables.outcomes), "runs": 0}
        runs = tables.runs.c
        old = self._old_runs()
        for start in range(0, len(old), _ROWS_AT_ONCE):
            among = sa.tuple_(runs.sync_id, runs.run_key).in_(old[start : start + _ROWS_AT_ONCE])
            deleted["runs"] += connection.execute(sa.delete(tables.runs).where(among)).rowcount
        if self._everything:
            plans = sa.select(tables.plans.c.plan_id).where(tables.plans.c.sync_id == self._sync_id)
            connection.execute(sa.delete(tables.pending).where(tables.pending.c.plan_id.in_(plans)))
            deleted["lines"] = self._deleted(connection, tables.lines)
            deleted["plans"] = self._deleted(connection, tables.plans)
            forgotten = sa.update(tables.syncs).where(tables.syncs.c.sync_id == self._sync_id)
            connection.execute(forgotten.values(owned=None, last_read=None))
        return deleted

    def _count(self, table: sa.Table) -> int:
        query = sa.select(sa.func.count().label("rows")).select_from(table).where(self._is_meant(table))
        return int(self._database.rows(query)[0][0])

    def _deleted(self, connection: sa.Connection, table: sa.Table) -> int:
        return connection.execute(sa.delete(table).where(self._is_meant(table))).rowcount

    def _is_meant(self, table: sa.Table) -> sa.ColumnElement[bool]:
        conditions = [] if self._sync_id is None else [table.c.sync_id == self._sync_id]
        if not self._everything:
            conditions.append(table.c.at < self._before)
        return sa.and_(sa.true(), *conditions)

    def _old_runs(self) -> Sequence[tuple[str, str]]:
        """Return the keys of the records of runs to delete."""
        runs = self._tables.runs.c
        query = sa.select(runs.sync_id, runs.run_key, runs.task).order_by(runs.generation.desc())
        if self._sync_id is not None:
            query = query.where(runs.sync_id == self._sync_id)
        if self._everything:
            return [(row.sync_id, row.run_key) for row in self._database.rows(query)]
        claims = self._tables.claims.c
        # A killed run has no end, but its claim runs out.
        is_held = sa.exists().where(
            claims.sync_id == runs.sync_id,
            claims.run_id == runs.run_id,
            claims.task == runs.task,
            claims.lease_until > self._database.now(),
        )
        is_old = sa.case((sa.and_(runs.started_at < self._before, ~is_held), 1), else_=0)
        found, last_of = [], set()
        for row in self._database.rows(query.add_columns(is_old.label("is_old"))):
            if (row.sync_id, row.task) in last_of and row.is_old:
                found.append((row.sync_id, row.run_key))
            last_of.add((row.sync_id, row.task))
        return found
