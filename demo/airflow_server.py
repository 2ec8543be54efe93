"""An Airflow that is loaded once: each command runs in a process that is forked from this one.

To load Airflow takes ten seconds of a processor, and the demo runs it eight times. Reads one JSON object a line from
standard input: ``{"arguments": ["dags", "test", ...], "environment": {...}}``. What the commands print goes to standard
output as it comes. Lines that start with ``SIGNAL`` are this process's own: ``loaded``, ``started PID``, and ``ended
STATUS`` with the exit status, negative after a signal.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

SIGNAL = "\x1e"
_MODULES = (
    "airflow.cli.commands.dag_command",
    "airflow.cli.commands.db_command",
    "airflow.cli.commands.task_command",
    "alembic.command",
    "airflow_provider_connectif.imports.import_sink",
    "airflow_provider_connectif.journal.store",
    "airflow_provider_connectif.operators.contacts",
    "airflow_provider_connectif.operators.imports",
    "airflow_provider_connectif.runs.run",
)


def serve(load: Callable[[], None], run: Callable[[Sequence[str]], None]) -> None:
    """Run commands until standard input ends.

    :param load: is called once, before the first one.
    :param run: runs a command, in a process of its own.
    """
    load()
    _signal("loaded")
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _in_child(run, request["arguments"], request["environment"])
        _signal(f"started {pid}")
        _, status = os.waitpid(pid, 0)
        _signal(f"ended {os.waitstatus_to_exitcode(status)}")


def _in_child(run: Callable[[Sequence[str]], None], arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """Does not return."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # the next commands are not for this process
    os.environ.update(environment)
    run(arguments)
    sys.exit(0)


def run_airflow(arguments: Sequence[str]) -> None:
    """What ``airflow`` does in a shell."""
    sys.argv = ["airflow", *arguments]
    from airflow.__main__ import main

    main()


def load_airflow() -> None:
    """Load what a command needs. Starts no thread: a process that is forked would not have it."""
    for name in _MODULES:
        importlib.import_module(name)
    from airflow.sdk.execution_time.supervisor import in_process_api_server
    from sqlalchemy.orm import configure_mappers

    configure_mappers()
    asyncio.run(_make_routes(in_process_api_server().app))
    # Without this each process would collect all that is loaded here when it ends, which takes it two seconds.
    gc.collect()
    gc.freeze()


async def _make_routes(app: Any) -> None:
    """The API that tasks talk to makes its routes at its first request: half of the time that loading takes."""
    import httpx

    client = httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://in-process")
    async with app.router.lifespan_context(app), client:
        await client.get("/health")


def _signal(words: str) -> None:
    # In one piece, since a command writes to the same pipe. One that was killed may have left a line without an end.
    os.write(1, f"\n{SIGNAL}{words}\n".encode())


if __name__ == "__main__":
    serve(load_airflow, run_airflow)
