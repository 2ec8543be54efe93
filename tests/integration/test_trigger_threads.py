"""What the triggers' blocking requests cost a triggerer: how many threads, for how long, and whom they hinder."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_connectif.triggers.event_loop import MOST_THREADS
from airflow_provider_connectif.triggers.imports import ImportTrigger
from tests.security.hostile import Hostile, always, http, serving
from tests.security.test_server import self_signed

pytestmark = pytest.mark.versions

PATIENCE_S = 60.0
"""Far less than the timeouts and waits below, and far more than anything takes that need not wait for them."""
LONG_S = 120
IMPORT_ID = "5f0000000000000000000000"


class Hanging:
    """A script that never responds; ``left`` counts the clients that have gone."""

    def __init__(self) -> None:
        self.left = 0
        self._guard = threading.Lock()

    def __call__(self, connection: socket.socket, _: bytes) -> None:
        with contextlib.suppress(OSError):
            connection.recv(1)
        with self._guard:
            self.left += 1


@pytest.fixture
def serve(connection: Callable[..., None]) -> Iterator[Callable[..., Hostile]]:
    """Serve a script, as an Airflow connection."""
    with contextlib.ExitStack() as servers:

        def start(conn_id: str, script: Any, tls: Any = None, **extra: Any) -> Hostile:
            server = servers.enter_context(serving(script, tls))
            connection(
                conn_id,
                conn_type="connectif",
                host=server.url,
                password="id:secret-of-a-key",
                extra={"timeout": LONG_S, "connect_timeout": LONG_S} | extra,
            )
            return server

        yield start


async def fire(conn_id: str, deadline_s: float = LONG_S) -> str:
    """Run a trigger; why it fired."""
    events = ImportTrigger(conn_id, [IMPORT_ID], 0.05, time.time() + deadline_s).run()
    (why,) = [event.payload["why"] async for event in events]
    return str(why)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.01)


def run_beside(count: int, conn_id: str, block: Callable[[list[asyncio.Task[str]]], Awaitable[None]]) -> None:
    """Run a block while so many triggers wait for an import; they are cancelled afterwards."""

    async def run() -> None:
        waiting = [asyncio.create_task(fire(conn_id)) for _ in range(count)]
        try:
            await block(waiting)
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.wait(waiting, timeout=PATIENCE_S)

    asyncio.run(run())


def test_triggers_that_wait_for_the_rate_limit_hold_no_thread(serve: Callable[..., Hostile]) -> None:
    full = serve("full", always(http(429, b"{}", f"Retry-After: {LONG_S}")))
    answers = [http(200, json.dumps({"id": IMPORT_ID, "status": "inProgress"}).encode())] * 20 + [http(404)]
    free = serve("connectif_default", lambda connection, _: connection.sendall(answers[len(free.requests) - 1]))

    async def block(waiting: list[asyncio.Task[str]]) -> None:
        await until(lambda: len(full.requests) == MOST_THREADS)
        # It polls on while the others are about to ask for leave again.
        assert await asyncio.wait_for(fire("connectif_default"), PATIENCE_S) == "finished"
        assert not any(task.done() for task in waiting)
        assert len(full.requests) == MOST_THREADS

    run_beside(MOST_THREADS, "full", block)


def test_a_server_that_hangs_leaves_the_event_loop_its_own_threads(serve: Callable[..., Hostile]) -> None:
    hangs = serve("hangs", Hanging())
    of_the_loop = min(32, (os.cpu_count() or 1) + 4)

    async def block(_: list[asyncio.Task[str]]) -> None:
        await until(lambda: len(hangs.requests) >= of_the_loop)
        await asyncio.wait_for(asyncio.to_thread(lambda: None), PATIENCE_S)

    run_beside(MOST_THREADS, "hangs", block)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_cancelled_trigger_ends_its_request(serve: Callable[..., Hostile], tmp_path: Path, scheme: str) -> None:
    script = Hanging()
    tls = self_signed(tmp_path) if scheme == "https" else None
    verify = {"verify": str(tmp_path / "server.pem")} if tls else {}
    hangs = serve("hangs", script, tls, **verify)
    serve("connectif_default", always(http(404)))

    async def block(waiting: list[asyncio.Task[str]]) -> None:
        await until(lambda: len(hangs.requests) == MOST_THREADS)  # all threads are in use
        for task in waiting:
            task.cancel()
        await asyncio.wait_for(asyncio.wait(waiting), PATIENCE_S)
        assert all(task.cancelled() for task in waiting)
        await until(lambda: script.left >= MOST_THREADS)
        assert await asyncio.wait_for(fire("connectif_default"), PATIENCE_S) == "finished"

    run_beside(MOST_THREADS + 1, "hangs", block)


def test_the_deadline_ends_a_request(serve: Callable[..., Hostile]) -> None:
    script = Hanging()
    serve("hangs", script)

    async def run() -> None:
        assert await asyncio.wait_for(fire("hangs", deadline_s=1.0), PATIENCE_S) == "deadline"
        await until(lambda: script.left == 1)

    asyncio.run(run())


def test_a_request_that_found_no_thread_is_dropped_with_its_trigger(serve: Callable[..., Hostile]) -> None:
    hangs = serve("hangs", Hanging())
    late = serve("connectif_default", always(http(404)))

    async def block(_: list[asyncio.Task[str]]) -> None:
        await until(lambda: len(hangs.requests) == MOST_THREADS)
        assert await asyncio.wait_for(fire("connectif_default", deadline_s=0.5), PATIENCE_S) == "deadline"

    run_beside(MOST_THREADS, "hangs", block)
    assert late.requests == []


def test_a_password_of_another_service_is_not_sent(
    serve: Callable[..., Hostile], connection: Callable[..., None]
) -> None:
    server = serve("connectif_default", always(http(404)))
    connection("connectif_default", conn_type="http", host=server.url, password="id:secret-of-another")
    assert asyncio.run(fire("connectif_default")) == "refused"
    assert server.requests == []
