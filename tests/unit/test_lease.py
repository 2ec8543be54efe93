"""A claim to a sync, in an SQLite database whose clock is the test's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from airflow_provider_connectif.journal.lease import LEASE_S, PARKED_S, Claim, Lease, wait_for_claim
from airflow_provider_connectif.journal.tables import JournalTables
from tests.support.clock import FakeClock
from tests.support.strict_server import until

Take = Callable[..., tuple[Lease, Claim | None]]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def engine(tmp_path: Path, clock: FakeClock) -> Iterator[sa.Engine]:
    engine = sa.create_engine(f"sqlite:///{tmp_path}/journal.db")

    @sa.event.listens_for(engine, "connect")
    def tell_the_tests_time(connection: Any, _: Any) -> None:
        connection.create_function("julianday", 1, lambda _: clock.now() / 86400.0 + 2440587.5)

    JournalTables("connectif_journal", None).metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def take(engine: sa.Engine, clock: FakeClock) -> Iterator[Take]:
    """Let a run try to get the claim: ``take("monday")``."""
    leases: list[Lease] = []

    def take(run_id: str, task: str = "patch[-1]", *, clock: FakeClock = clock) -> tuple[Lease, Claim | None]:
        lease = Lease(engine, JournalTables("connectif_journal", None), "nightly", run_id, task, clock=clock)
        leases.append(lease)
        return lease, lease.take()

    yield take
    for lease in leases:
        lease.release()


def claims(engine: sa.Engine) -> list[tuple[str, float]]:
    """Who has one, and until when."""
    with engine.connect() as connection:
        query = sa.text("select run_id, lease_until from connectif_journal_claims")
        return [(run_id, until) for run_id, until in connection.execute(query)]


class Still(FakeClock):
    """On this clock nobody's waiting ends: the thread that renews a claim is as good as dead."""

    def wait(self, condition: Any, seconds: float) -> None:
        condition.wait()


def test_another_run_is_held_off_and_tasks_of_one_run_are_not(take: Take) -> None:
    assert take("monday")[1] is None
    assert take("monday", "patch[1]")[1] is None
    _, claim = take("tuesday")
    assert claim is not None
    assert claim.run_id == "monday"
    assert not claim.is_parked


def test_a_claim_is_renewed_for_as_long_as_its_task_lives(take: Take, engine: sa.Engine, clock: FakeClock) -> None:
    lease, _ = take("monday")
    began = clock.now()
    until(lambda: clock.now() > began + 10 * LEASE_S)
    assert take("tuesday")[1] is not None
    assert not lease.is_lost
    ((_, ends_at),) = claims(engine)
    assert ends_at > began + 9 * LEASE_S


def test_the_claim_of_a_task_that_was_killed_ends_after_a_minute(take: Take, clock: FakeClock) -> None:
    take("monday", clock=Still())
    clock.advance(59)
    assert take("tuesday")[1] is not None
    clock.advance(2)
    assert take("tuesday")[1] is None


def test_a_parked_claim_outlives_the_moment_at_which_its_task_comes_back(take: Take, clock: FakeClock) -> None:
    lease, _ = take("monday")
    lease.park(clock.now() + 3600)
    clock.advance(3600 + PARKED_S - 60)
    _, claim = take("tuesday")
    assert claim is not None
    assert not claim.is_parked  # in its last two minutes it looks like any other
    clock.advance(120)
    assert take("tuesday")[1] is None


def test_a_parked_claim_is_called_so(take: Take, clock: FakeClock) -> None:
    lease, _ = take("monday")
    lease.park(clock.now() + 3600)
    _, claim = take("tuesday")
    assert claim is not None
    assert "Held by: monday, task patch, deferred" in claim.describe()


def test_a_claim_that_was_taken_away_is_lost(take: Take, engine: sa.Engine) -> None:
    lease, _ = take("monday")
    newer, _ = take("monday")  # another attempt of the same task
    until(lambda: lease.is_lost)
    assert not newer.is_lost
    with engine.begin() as connection:
        assert not lease.hold(connection)
        assert newer.hold(connection)


def test_a_database_that_is_gone_for_a_minute_loses_the_claim_and_a_moment_does_not(
    take: Take, engine: sa.Engine, clock: FakeClock
) -> None:
    lease, _ = take("monday")
    with engine.begin() as connection:
        connection.execute(sa.text("alter table connectif_journal_claims rename to gone"))
    gone_at = clock.monotonic()
    until(lambda: lease.is_lost)
    assert clock.monotonic() - gone_at > LEASE_S - 15
    with engine.begin() as connection:
        connection.execute(sa.text("alter table gone rename to connectif_journal_claims"))


def test_a_released_claim_is_gone(take: Take, engine: sa.Engine) -> None:
    lease, _ = take("monday")
    lease.release()
    assert claims(engine) == []
    assert take("tuesday")[1] is None


# Another run's claim is waited for


class Holder:
    """Another run that has the sync for a while.

    :param clock: of the test.
    :param has_it_for_s: seconds from now.
    :param renews: its claim always lasts a minute from now; otherwise it ends with the holder.
    """

    def __init__(self, clock: FakeClock, has_it_for_s: float, *, renews: bool = True) -> None:
        self.clock, self.renews = clock, renews
        self.until = clock.now() + has_it_for_s
        self.run_id = "monday"
        self.told: list[str] = []
        self.looks = 0

    def take(self) -> Claim | None:
        now = self.clock.now()
        self.looks += 1
        assert self.looks < 10_000
        if now >= self.until:
            return None
        return Claim("nightly", self.run_id, "patch[-1]", now + LEASE_S if self.renews else self.until, now)

    def wait(self, *, may_defer: bool, stopped: Callable[[], bool] = lambda: False) -> Claim | None:
        return wait_for_claim(self.take, stopped, self.told.append, may_defer=may_defer, clock=self.clock)


def test_a_long_claim_is_waited_for_without_a_worker(clock: FakeClock) -> None:
    holder = Holder(clock, 3600.0, renews=False)
    claim = holder.wait(may_defer=True)
    assert claim is not None
    assert claim.until == holder.until
    assert clock.monotonic() < 2
    assert 59 < claim.look_again_at - clock.now() <= 60  # it may be released long before it ends
    assert holder.told == []  # the run says that it defers


def test_a_claim_is_waited_for_on_a_worker_where_the_task_cannot_defer(clock: FakeClock) -> None:
    holder = Holder(clock, 300.0)
    assert holder.wait(may_defer=False) is None
    assert clock.now() >= holder.until
    waiting, continuing = holder.told
    assert "held by another run: waiting until it ends\n  Held by: monday, task patch\n" in waiting
    assert continuing == "The sync is no longer held by another run: this run continues"


def test_a_claim_that_ends_soon_is_waited_for_on_the_worker(clock: FakeClock) -> None:
    assert Holder(clock, 4.0, renews=False).wait(may_defer=True) is None


def test_a_claim_that_is_released_within_a_second_is_got_without_a_word(clock: FakeClock) -> None:
    holder = Holder(clock, 0.8)
    assert holder.wait(may_defer=True) is None
    assert holder.told == []


def test_who_waits_on_a_worker_says_so_every_ten_minutes(clock: FakeClock) -> None:
    holder = Holder(clock, 1500.0)
    holder.wait(may_defer=False)
    assert [words.startswith("Sync 'nightly' is held") for words in holder.told] == [True, True, True, False]


def test_who_waits_on_a_worker_says_so_when_the_holder_changes(clock: FakeClock) -> None:
    holder = Holder(clock, 100.0)

    def stopped() -> bool:
        holder.run_id = "tuesday" if holder.looks > 50 else "monday"
        return False

    holder.wait(may_defer=False, stopped=stopped)
    assert ["tuesday" in words for words in holder.told] == [False, True, False]


def test_who_was_told_to_stop_waits_for_no_claim(clock: FakeClock) -> None:
    holder = Holder(clock, 1500.0)
    assert holder.wait(may_defer=False, stopped=lambda: holder.looks >= 3) is None
    assert holder.looks == 3
