"""A signal handler's words, said while the thread that it interrupts writes to the log."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_connectif.operators.signal_safe_logger import SignalSafeLogger


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
def logger(log: Log) -> Iterator[SignalSafeLogger]:
    logger = SignalSafeLogger(log)
    before = signal.signal(signal.SIGUSR1, lambda *_: logger.say("Stop requested: 100 % of 3 rows"))
    yield logger
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.timeout(20)
def test_a_signal_in_the_middle_of_a_line_is_told_after_it(logger: SignalSafeLogger, log: Log) -> None:
    with log.lock:
        signal.raise_signal(signal.SIGUSR1)
        log.lines.append("a line that was being written")
    logger.close()
    log.info("the last line")
    assert log.lines == ["a line that was being written", "Stop requested: 100 % of 3 rows", "the last line"]


@pytest.mark.timeout(20)
def test_it_may_be_closed_again_and_with_nothing_said(logger: SignalSafeLogger, log: Log) -> None:
    logger.close()
    logger.close()
    assert log.lines == []
