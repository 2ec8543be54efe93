"""A signal handler's words, said while the thread that it interrupts writes to the log."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_connectif.operators.herald import Herald


class Log:
    """Like the logs of Airflow 3: its lock is not reentrant."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.lines: list[str] = []

    def warning(self, message: str, *words: Any) -> None:
        with self.lock:
            self.lines.append(message % words)

    info = warning


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def herald(log: Log) -> Iterator[Herald]:
    herald = Herald(log)
    before = signal.signal(signal.SIGUSR1, lambda *_: herald.say("Told to stop: 100 % of 3 rows"))
    yield herald
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.timeout(20)
def test_a_signal_in_the_middle_of_a_line_is_told_after_it(herald: Herald, log: Log) -> None:
    with log.lock:
        signal.raise_signal(signal.SIGUSR1)
        log.lines.append("a line that was being written")
    herald.close()
    log.info("the last line")
    assert log.lines == ["a line that was being written", "Told to stop: 100 % of 3 rows", "the last line"]


@pytest.mark.timeout(20)
def test_it_may_be_closed_again_and_with_nothing_said(herald: Herald, log: Log) -> None:
    herald.close()
    herald.close()
    assert log.lines == []
