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
_LONGEST_SLEEP_S = 10.0  # so that a sleep ends in time if the clock is set, or the machine is suspended

# The event loop has CPUs + 4 threads of its own, for all triggers and for looking up host names. A server that hangs
# would occupy them, so requests have other threads. A thread is started when it is needed.
_THREADS = ThreadPoolExecutor(MOST_THREADS, thread_name_prefix="connectif-trigger")


async def in_thread(call: Callable[[], T]) -> T:
    """Run a request in a thread and wait for it. The thread's log lines go to the trigger's log.

    If the trigger is cancelled while the request waits for a thread, the request is dropped. A running request
    continues. The caller must abort it, because the interpreter waits for its threads when it exits.
    """
    context = contextvars.copy_context()
    return await asyncio.get_running_loop().run_in_executor(_THREADS, lambda: context.run(call))


async def sleep_until(moment: float) -> None:
    """Sleep until a moment.

    :param moment: in seconds since the epoch.
    """
    while (left := moment - time.time()) > 0:
        await asyncio.sleep(min(left, _LONGEST_SLEEP_S))
