"""Which run of a sync may write: one at a time, though a run may have several tasks."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

LEASE_S = 60.0
_RENEW_EVERY_S = 15.0


class Lease:
    """A run's claim to a sync. It ends with the run, or a minute after the last task of it that lived.

    A thread renews it, since the task's own thread may wait for long: for a query, or for a window.

    :param engine: of the journal's database.
    :param syncs: the table of syncs.
    :param sync_id: which sync.
    :param run_id: which run; its tasks share the claim.
    """

    def __init__(self, engine: sa.Engine, syncs: sa.Table, sync_id: str, run_id: str) -> None:
        self._engine = engine
        self._syncs = syncs
        self._sync_id = sync_id
        self._run_id = run_id
        self._mine = sa.and_(syncs.c.sync_id == sync_id, syncs.c.run_id == run_id)
        self._ended = threading.Event()
        self._keeper: threading.Thread | None = None
        self.generation = 0
        self.is_lost = False

    def take(self) -> bool:
        """Try to get the claim; ``generation`` then tells this task from all that had it before."""
        syncs, now = self._syncs, time.time()
        of_sync = syncs.c.sync_id == self._sync_id
        same_run = syncs.c.run_id == self._run_id
        is_free = sa.or_(same_run, syncs.c.holders <= 0, syncs.c.lease_until < now)
        taken: Mapping[str, Any] = {
            "generation": syncs.c.generation + 1,
            "holders": sa.case((same_run, syncs.c.holders + 1), else_=1),
            "run_id": self._run_id,
            "lease_until": now + LEASE_S,
        }
        # MySQL assigns from left to right: holders are counted before the run is overwritten.
        update = sa.update(syncs).where(of_sync, is_free).ordered_values(*taken.items())
        with self._engine.begin() as connection:
            if not connection.execute(update).rowcount:
                if connection.execute(sa.select(syncs.c.sync_id).where(of_sync)).first() is None:
                    self._insert(connection)
                if not connection.execute(update).rowcount:
                    return False
            self.generation = connection.execute(sa.select(syncs.c.generation).where(of_sync)).scalar_one()
        self._keeper = threading.Thread(target=self._keep, name="connectif-lease", daemon=True)
        self._keeper.start()
        return True

    def release(self) -> None:
        """Give the claim back."""
        if self._keeper is None:
            return
        self._ended.set()
        self._keeper.join()
        self._keeper = None
        if not self.is_lost:
            with self._engine.begin() as connection:
                connection.execute(sa.update(self._syncs).where(self._mine).values(holders=self._syncs.c.holders - 1))

    def _insert(self, connection: sa.Connection) -> None:
        first = {"sync_id": self._sync_id, "generation": 0, "run_id": "", "holders": 0, "lease_until": 0.0}
        try:
            with connection.begin_nested():
                connection.execute(self._syncs.insert().values(**first))
        except sa.exc.IntegrityError:
            return  # a task beside this one was first

    def _keep(self) -> None:
        until = time.monotonic() + LEASE_S
        while not self._ended.wait(_RENEW_EVERY_S):
            try:
                with self._engine.begin() as connection:
                    update = sa.update(self._syncs).where(self._mine).values(lease_until=time.time() + LEASE_S)
                    self.is_lost = not connection.execute(update).rowcount
                until = time.monotonic() + LEASE_S
            except sa.exc.SQLAlchemyError:
                # Once more before it is too late; the task's own thread tells what is wrong with the database.
                self.is_lost = time.monotonic() > until
            if self.is_lost:
                return
