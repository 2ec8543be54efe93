"""A claim to a sync, in an SQLite database whose clock is the test's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from airflow_provider_connectif.journal.lease import LEASE_S, PARKED_S, Claim, Lease
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
    clock.advance(3600 + PARKED_S - 1)
    _, claim = take("tuesday")
    assert claim is not None
    assert not claim.is_parked  # in its last two minutes it looks like any other
    clock.advance(2)
    assert take("tuesday")[1] is None


def test_a_parked_claim_is_called_so(take: Take, clock: FakeClock) -> None:
    lease, _ = take("monday")
    lease.park(clock.now() + 3600)
    _, claim = take("tuesday")
    assert claim is not None
    assert "(monday, task patch, deferred)" in claim.describe("nightly")


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
