"""Fixtures of the tests against the strict server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_connectif.delivery import backoff
from tests.support.strict_server import StrictServer
from tests.support.task_runs import Run, run_operator

FAST = 1_000_000
"""``requests_per_minute`` for a server that sends no headers to pace by."""
USUAL_DELAY_S = backoff.FIRST_DELAY_S


@pytest.fixture(autouse=True)
def _short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries come after a tenth of the usual delay; how delays grow is for ``tests/unit/test_backoff.py``."""
    monkeypatch.setattr(backoff, "FIRST_DELAY_S", USUAL_DELAY_S / 10)


@pytest.fixture
def usual_delays(_short_delays: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries come after the usual delay: for tests of what happens between two of them."""
    monkeypatch.setattr(backoff, "FIRST_DELAY_S", USUAL_DELAY_S)


@pytest.fixture(scope="session")
def _strict_process() -> Iterator[StrictServer]:
    with StrictServer() as server:
        yield server


@pytest.fixture
def strict(_strict_process: StrictServer, connection: Callable[..., None]) -> Iterator[StrictServer]:
    """An empty strict server, fresh for each test, and the connection ``connectif_default`` to it, without pace.

    The test fails at its end if the server saw anything that the API's documents do not allow.
    """
    _strict_process.reset()
    connection("connectif_default", **_strict_process.connection(requests_per_minute=FAST, timeout=5))
    yield _strict_process
    _strict_process.check()


@pytest.fixture
def run(airflow_db: None) -> Callable[..., Run]:
    """Run a ContactPatchOperator in a task context that only has an XCom: quick, for many variants."""

    def _run(**arguments: Any) -> Run:
        return run_operator(**arguments)

    return _run
