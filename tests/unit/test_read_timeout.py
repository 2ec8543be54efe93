"""When a source has to end, by a clock that is handed in; and the alarm that ends what hangs."""

from __future__ import annotations

import itertools
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_connectif.databases.alarm import alarm
from airflow_provider_connectif.databases.read_errors import ReadError
from airflow_provider_connectif.databases.sources import RowsSource
from airflow_provider_connectif.databases.sql_source import SqlSource
from airflow_provider_connectif.records.outcomes import SourceError


class Clock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Database:
    """A hook, its connection and its cursor, whose query hangs until it is cancelled, if it can be."""

    description = (("email",),)

    def __init__(self, clock: Clock, *, cancels: bool = True) -> None:
        self.clock = clock
        self.cancels = cancels
        self.was_cancelled = threading.Event()
        self.is_closed = False

    def execute(self, _: str) -> None:
        self.clock.now = 60.0
        assert self.was_cancelled.wait(30)
        raise KeyboardInterrupt  # no matter what comes out of it

    def cancel(self) -> None:
        if not self.cancels:
            threading.Event().wait(30)
        self.was_cancelled.set()

    def close(self) -> None:
        self.is_closed = True

    cursor = get_conn = get_records = lambda self: self


class Ended(Database):
    """One whose reading is ended by what is no ``Exception``."""

    def execute(self, _: str) -> None:
        raise SystemExit(3)


def test_a_query_is_cancelled_and_its_connection_closed_when_its_time_is_over() -> None:
    clock = Clock()
    database = Database(clock)
    with pytest.raises(SourceError, match=r"within read_timeout, 60 s \(0 rows read\)"):
        list(SqlSource(database, "dwh", "select 1", read_timeout_s=60.0, clock=clock))
    assert database.was_cancelled.is_set()
    assert database.is_closed


def test_a_cancel_that_hangs_too_does_not_keep_the_task() -> None:
    clock = Clock()
    database = Database(clock, cancels=False)
    with pytest.raises(SourceError):
        list(SqlSource(database, "dwh", "select 1", read_timeout_s=60.0, clock=clock))
    assert not database.is_closed
    database.was_cancelled.set()


def test_what_ends_the_thread_that_reads_ends_the_run_and_not_the_task_s_process() -> None:
    database = Ended(Clock())
    with pytest.raises(ReadError, match="Reading from 'dwh' was ended by SystemExit"):
        list(SqlSource(database, "dwh", "select 1"))
    assert database.is_closed


def test_rows_that_come_slowly_are_looked_at_one_by_one() -> None:
    clock = Clock()

    def slow() -> Iterator[dict[str, Any]]:
        for n in itertools.count():
            clock.now += 10.0
            yield {"email": f"user{n}@example.com"}

    source = iter(RowsSource(slow(), read_timeout_s=60.0, clock=clock))
    assert len(next(source)) == 5
    with pytest.raises(SourceError, match=r"within read_timeout, 60 s \(5 rows read\)"):
        next(source)


def test_a_row_that_never_comes_is_interrupted() -> None:
    interrupted = []

    def hangs() -> Iterator[dict[str, Any]]:
        try:
            threading.Event().wait(5)
        except SourceError as error:
            interrupted.append(error)
            raise
        yield {"email": "ana@example.com"}

    with pytest.raises(SourceError):
        list(RowsSource(hangs(), read_timeout_s=0.05))
    assert len(interrupted) == 1


def test_another_thread_than_the_main_one_notices_at_the_end_of_a_row() -> None:
    clock, ends = Clock(), []

    def slow() -> Iterator[dict[str, Any]]:
        yield {"email": "ana@example.com"}
        clock.now = 61.0
        yield {"email": "ben@example.com"}

    def read() -> None:
        with pytest.raises(SourceError) as caught:
            list(RowsSource(slow(), read_timeout_s=60.0, clock=clock))
        ends.append(str(caught.value))

    thread = threading.Thread(target=read)
    thread.start()
    thread.join()
    assert len(ends) == 1


@pytest.fixture
def timeout() -> Iterator[list[int]]:
    """Stands for Airflow's ``execution_timeout``: rings, and the list has it."""
    rung: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, _: rung.append(number))
    left, every = signal.setitimer(signal.ITIMER_REAL, 0.0)  # of whoever runs the tests
    yield rung
    signal.signal(signal.SIGALRM, before)
    signal.setitimer(signal.ITIMER_REAL, left, every)


def test_execution_timeout_goes_on_behind_the_alarm(timeout: list[int]) -> None:
    signal.setitimer(signal.ITIMER_REAL, 100.0)
    with pytest.raises(SourceError), alarm(0.01, lambda: SourceError(1.0, 0)):
        threading.Event().wait(30)
    left, _ = signal.getitimer(signal.ITIMER_REAL)
    assert 0.0 < left < 100.0
    signal.raise_signal(signal.SIGALRM)
    assert timeout == [signal.SIGALRM]


def test_execution_timeout_that_ends_sooner_stays_as_it_is(timeout: list[int]) -> None:
    signal.setitimer(signal.ITIMER_REAL, 50.0)
    with alarm(60.0, lambda: SourceError(1.0, 0)):
        signal.raise_signal(signal.SIGALRM)
    assert timeout == [signal.SIGALRM]
    assert signal.getitimer(signal.ITIMER_REAL)[0] > 0.0


def test_an_alarm_is_off_behind_its_block(timeout: list[int]) -> None:
    with alarm(60.0, lambda: SourceError(1.0, 0)):
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 0.0
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
