"""The claim to a sync: only one run at a time may write, with one or several tasks."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from typing import NamedTuple

import sqlalchemy as sa

from airflow_provider_connectif.api.clock import SYSTEM_CLOCK, Clock
from airflow_provider_connectif.journal.dialects import dialect_named
from airflow_provider_connectif.journal.tables import JournalTables
from airflow_provider_connectif.reporting import wording
from airflow_provider_connectif.reporting.formats import clock

LEASE_S = 60.0
PARKED_S = 600.0  # added to the planned end of a deferral: a triggerer may be down for a while
_RENEW_EVERY_S = 15.0
_LOOK_EVERY_S = 60.0  # for a run that waits without a worker
_LEAST_DEFERRAL_S = 5.0
_TRIES_BEFORE_TELLING = 10
_TELL_AGAIN_S = 600.0

_CLEARLY_PARKED_S = 2 * LEASE_S  # the claim of a running task never ends so late


class Claim(NamedTuple):
    """The claim to a sync.

    ``sync_id``: the id of the sync. ``run_id``: the DAG id and Airflow's run id, joined by a slash. ``task``: the task
    id, with its map index. ``until``: the end of the claim unless its holder renews it, in seconds since the epoch by
    this worker's clock. ``seen_at``: the time when this process read the claim, by the same clock.
    """

    sync_id: str
    run_id: str
    task: str
    until: float
    seen_at: float

    def __str__(self) -> str:
        """The run and its task, with the map index of a mapped one."""
        return f"{self.run_id}, task {self.task.removesuffix('[-1]')}"

    @property
    def is_parked(self) -> bool:
        """Whether the holder of the claim is deferred.

        In the last two minutes of a claim, this is ``False`` even if its holder is deferred.
        """
        return self.until > self.seen_at + _CLEARLY_PARKED_S

    @property
    def look_again_at(self) -> float:
        """The time at which a deferred run checks again whether the claim has ended, in seconds since the epoch.

        The holder may end, and release the claim, long before ``until``. Each check costs a worker some seconds.
        """
        return min(self.until, self.seen_at + _LOOK_EVERY_S)

    @property
    def is_worth_deferring(self) -> bool:
        """Whether a deferral costs less than waiting: the claim does not end within seconds."""
        return self.until > self.seen_at + _LEAST_DEFERRAL_S

    def describe(self) -> str:
        """Return the log message of a run that waits for the claim."""
        return wording.HELD_BY_ANOTHER_RUN.format(sync=repr(self.sync_id)) + self._holder

    def describe_deferral(self, until: float) -> str:
        """Return the log message of a run that is deferred until it checks the claim again.

        :param until: the time of the next check, in seconds since the epoch.
        """
        words = wording.HELD_BY_ANOTHER_RUN_DEFERRED.format(sync=repr(self.sync_id), again=clock(until))
        return words + self._holder

    @property
    def _holder(self) -> str:
        holder = f"{self}, deferred" if self.is_parked else str(self)
        return wording.HOLDER.format(holder=holder, until=clock(self.until))


class Lease:
    """A task's claim to a sync. While a run has a claim, other runs of the sync wait.

    Each task of a run has a claim of its own. A claim ends with its task, or a minute after its task was killed. The
    claim of a deferred task ends ten minutes after the planned end of the deferral. A new attempt of a task takes over
    the claim of the previous attempt.

    A thread renews the claim, since the task's own thread may wait for a long time for a query or for the rate limit.
    All times are those of the database's clock. Otherwise workers with different clocks would consider each other dead.

    :param engine: the engine of the journal's database.
    :param tables: the tables of the journal.
    :param sync_id: the id of the sync.
    :param run_id: the run.
    :param task: the task of the run.
    :param clock: the clock of the thread that renews the claim.
    """

    def __init__(
        self,
        engine: sa.Engine,
        tables: JournalTables,
        sync_id: str,
        run_id: str,
        task: str,
        *,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._clock = clock
        self._engine = engine
        self._syncs, self._claims = tables.syncs, tables.claims
        self._sync_id = sync_id
        self._run_id = run_id
        self._task = task
        self._holder = uuid.uuid4().hex
        claims = self._claims.c
        self._mine = sa.and_(claims.sync_id == sync_id, claims.holder == self._holder)
        self._renew_mine = sa.update(self._claims).where(self._mine)  # built once, since each transaction needs it
        self._ending = threading.Condition()
        self._is_to_end = False
        self._keeper: threading.Thread | None = None
        self._is_held = False
        self.generation = 0
        self.is_lost = False
        self.busy_since: Callable[[], float | None] = lambda: None
        """Returns since when requests may be running, or about to be sent, that an erasure must wait for, by the
        monotonic clock; ``None``: there is no such request."""

    def take(self) -> Claim | None:
        """Try to get the claim. If that succeeds, ``generation`` distinguishes this process from all earlier ones.

        :return: ``None`` if this process got the claim. Otherwise the claim of another run, to wait for; if there are
            several, the claim that ends last.
        """
        claims = self._claims.c
        of_sync = claims.sync_id == self._sync_id
        of_another_run = sa.and_(of_sync, claims.run_id != self._run_id)
        of_this_task = sa.and_(of_sync, claims.run_id == self._run_id, claims.task == self._task)
        with self._engine.begin() as connection:
            generation = self._next_generation(connection)
            now = self._now(connection)
            alive = sa.select(claims.run_id, claims.task, claims.lease_until).where(
                of_another_run, claims.lease_until > now
            )
            other = connection.execute(alive.order_by(claims.lease_until.desc()).limit(1)).first()
            if other is not None:
                seen_at = self._clock.now()
                return Claim(self._sync_id, other.run_id, other.task, seen_at + other.lease_until - now, seen_at)
            connection.execute(sa.delete(self._claims).where(sa.or_(of_another_run, of_this_task)))
            claim = {"sync_id": self._sync_id, "run_id": self._run_id, "task": self._task, "holder": self._holder}
            connection.execute(sa.insert(self._claims), {**claim, "lease_until": now + LEASE_S, "answered_until": now})
        self.generation = generation
        # In this order: after an interruption at any of these steps, release() finds the claim and its thread.
        self._is_held = True
        self._keeper = threading.Thread(target=self._keep, name="connectif-lease", daemon=True)
        self._keeper.start()
        return None

    def park(self, until: float) -> None:
        """Keep the claim during a deferral. If the claim is gone, set ``is_lost``.

        :param until: the planned end of the deferral, in seconds since the epoch.
        """
        self._stop_keeping()
        if self._is_held and not self.is_lost:
            with self._engine.begin() as connection:
                lease_until = self._now(connection) + until - self._clock.now() + PARKED_S
                parked = sa.update(self._claims).where(self._mine).values(lease_until=lease_until, answered_until=None)
                self.is_lost = not connection.execute(parked).rowcount

    def hold(self, connection: sa.Connection) -> bool:
        """Renew the claim within a transaction. Until the transaction ends, no other process gets the sync.

        :return: ``False`` if the claim is gone, since a newer attempt or another run has taken the sync.
        """
        if self._is_held and not self.is_lost:
            self.is_lost = not self._renewed(connection)
        return not self.is_lost

    def newest_generation(self, connection: sa.Connection) -> int:
        """Return the generation of the process that last took the sync."""
        query = sa.select(self._syncs.c.generation).where(self._syncs.c.sync_id == self._sync_id)
        return int(connection.execute(query).scalar() or 0)

    def release(self) -> None:
        """Release the claim, also after :meth:`park`."""
        self._stop_keeping()
        if self._is_held and not self.is_lost:
            with self._engine.begin() as connection:
                connection.execute(sa.delete(self._claims).where(self._mine))
            self._is_held = False

    def _stop_keeping(self) -> None:
        if self._keeper is not None:
            with self._ending:
                self._is_to_end = True
                self._ending.notify()
            if self._keeper.is_alive():  # an interruption may have come before its start, and join() would fail
                self._keeper.join()
            self._keeper = None

    def _next_generation(self, connection: sa.Connection) -> int:
        """Increase the generation, and return it. This locks the sync's line until the transaction ends."""
        syncs = self._syncs
        update = sa.update(syncs).where(syncs.c.sync_id == self._sync_id).values(generation=syncs.c.generation + 1)
        if not connection.execute(update).rowcount:
            insert = dialect_named(connection.dialect.name).insert_if_absent(syncs)
            connection.execute(insert, {"sync_id": self._sync_id, "generation": 0})
            connection.execute(update)
        query = sa.select(syncs.c.generation).where(syncs.c.sync_id == self._sync_id)
        return int(connection.execute(query).scalar_one())

    def _renewed(self, connection: sa.Connection) -> bool:
        # In this order: a request that begins in between must not count as finished.
        asked, began = self._clock.monotonic(), self.busy_since()
        now = self._now(connection)
        answered_until = now - (self._clock.monotonic() - (asked if began is None else began))
        until = {"lease_until": now + LEASE_S, "answered_until": answered_until}
        return bool(connection.execute(self._renew_mine, until).rowcount)

    def _now(self, connection: sa.Connection) -> float:
        """Return the seconds since the epoch by the database's clock."""
        return float(connection.execute(dialect_named(connection.dialect.name).clock).scalar_one())

    def _keep(self) -> None:
        try:
            self._renew()
        finally:
            # Whatever error has ended the thread, nothing renews the claim any more, so it counts as lost.
            self.is_lost = self.is_lost or not self._is_to_end

    def _renew(self) -> None:
        until = self._clock.monotonic() + LEASE_S
        while not self._ends_within(_RENEW_EVERY_S):
            try:
                with self._engine.begin() as connection:
                    self.is_lost = not self._renewed(connection)
                until = self._clock.monotonic() + LEASE_S
            except sa.exc.SQLAlchemyError:
                # Try again until the claim ends. The task's own thread reports the fault of the database.
                self.is_lost = self._clock.monotonic() > until
            if self.is_lost:
                return

    def _ends_within(self, seconds: float) -> bool:
        """Wait for some seconds; return whether the claim must not be renewed any more."""
        until = self._clock.monotonic() + seconds
        with self._ending:
            while not self._is_to_end and (left := until - self._clock.monotonic()) > 0:
                self._clock.wait(self._ending, left)
            return self._is_to_end


def wait_for_claim(
    take: Callable[[], Claim | None],
    stopped: Callable[[], bool],
    tell: Callable[[str], None],
    *,
    may_defer: bool,
    clock: Clock = SYSTEM_CLOCK,
) -> Claim | None:
    """Wait until this run gets the claim to a sync.

    :param take: tries to get the claim: :meth:`Lease.take`.
    :param stopped: returns whether the run must stop.
    :param tell: called with a log message when the wait begins, when another run gets the claim, every ten minutes, and
        when the wait has ended.
    :param may_defer: return after a second, instead of waiting for long.
    :param clock: measures the wait.
    :return: another run's claim to wait for without a worker; ``None`` if this run got the claim, or must stop.
    """
    tries, told, told_at = 0, "", 0.0
    while not stopped():
        if (claim := take()) is None:
            if told:
                tell(wording.HOLDER_HAS_ENDED)
            return None
        tries += 1
        if tries >= _TRIES_BEFORE_TELLING:
            if may_defer and claim.is_worth_deferring:
                return claim
            if str(claim) != told or clock.monotonic() - told_at >= _TELL_AGAIN_S:
                told, told_at = str(claim), clock.monotonic()
                tell(claim.describe())
        clock.sleep(0.1 if tries < _TRIES_BEFORE_TELLING else 1.0)  # a query of one row; a run may take hours
    return None
