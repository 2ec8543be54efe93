"""Waits and makes blocking calls without blocking the triggerer's event loop."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

MOST_THREADS = 32
"""The most requests to Connectif that all triggers of a process send at once."""
_LONGEST_SLEEP_S = 10.0  # clocks may be set, and machines may sleep

# Not the event loop's own threads (CPUs + 4 of them): a server that hangs would keep them from every other trigger,
# which needs them for host names too. Threads are started when they are needed.
_THREADS = ThreadPoolExecutor(MOST_THREADS, thread_name_prefix="connectif-trigger")


async def in_thread(call: Callable[[], T]) -> T:
    """Run a request in a thread and wait for it; the log lines of the thread belong to the trigger as well.

    A request that waits for a thread is dropped when the trigger is cancelled. A running one continues: the caller must
    end it by other means, since the interpreter waits for its threads when it exits.
    """
    context = contextvars.copy_context()
    return await asyncio.get_running_loop().run_in_executor(_THREADS, lambda: context.run(call))


async def sleep_until(moment: float) -> None:
    """Sleep until a moment in seconds since the epoch."""
    while (left := moment - time.time()) > 0:
        await asyncio.sleep(min(left, _LONGEST_SLEEP_S))
