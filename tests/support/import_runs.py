"""Tasks that import, run for a test: alone, over deferrals, in processes that can be killed."""

from __future__ import annotations

import asyncio
import importlib
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from tests.support.journals import deliver
from tests.support.strict_server import StrictServer
from tests.support.task_runs import Run

FAST: dict[str, Any] = {
    "kind": "ContactImportOperator",
    "poll_interval": timedelta(seconds=0.05),
    "timeout": timedelta(seconds=20),
    "journal_conn_id": None,
    "fields": "live",
}


def rows(count: int, visits: int = 1, begin: int = 0) -> list[dict[str, Any]]:
    return [
        {"email": f"user{n}@example.com", "_name": f"Name {n}", "visits": visits + n}
        for n in range(begin, begin + count)
    ]


def as_contacts(source: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What Connectif holds after these rows."""
    return {row["email"]: {name: v for name, v in row.items() if name != "email" and v is not None} for row in source}


def import_rows(run_id: str = "night", **arguments: Any) -> Run:
    """Run the operator as a task of one DAG run, which began a minute ago."""
    began = SimpleNamespace(start_date=datetime.now(UTC) - timedelta(minutes=1))
    return deliver(run_id, more_context={"dag_run": began}, **(FAST | arguments))


def event_of(run: Run) -> Any:
    """Return the event of a deferral's trigger, created from what Airflow's database holds."""
    trigger = run.error.trigger  # type: ignore[union-attr]
    path, kwargs = trigger.serialize()
    module, _, name = path.rpartition(".")
    again = getattr(importlib.import_module(module), name)(**json.loads(json.dumps(kwargs)))

    async def wait() -> list[Any]:
        return [event async for event in again.run()]

    (event,) = asyncio.run(wait())
    return json.loads(json.dumps(event.payload))


def import_over_deferral(
    run_id: str = "night",
    between: Callable[[Run], None] = lambda _: None,
    change_event: Callable[[Any], Any] = lambda event: event,
    **arguments: Any,
) -> list[Run]:
    """Import with deferrals; the runs of all processes. Only the first one gets rows: the others must need none."""
    runs = [import_rows(run_id, deferrable=True, **arguments)]
    again = {**arguments, "rows": _Never()}
    while runs[-1].state == "deferred":
        between(runs[-1])
        event = change_event(event_of(runs[-1]))
        method, carried = runs[-1].error.method_name, runs[-1].error.kwargs  # type: ignore[union-attr]
        runs.append(import_rows(run_id, method=method, event=event, carried=carried, deferrable=True, **again))
    return runs


class _Never:
    """Rows that nobody may ask for."""

    def __iter__(self) -> Any:
        raise AssertionError("the source was read a second time")


def uploaded(strict: StrictServer) -> list[str]:
    """The digests of the files that became imports, in the order of their coming."""
    return [upload["sha256"] for upload in strict.uploads if "import_id" in upload]


def account(summary: Mapping[str, Any]) -> int:
    """Rows of which the summary says what became of them."""
    names = ("imported", "invalid", "rejected", "merged", "unchanged", "held", "created", "updated", "not_taken")
    names += ("skipped", "undelivered")
    return sum(summary.get(name, 0) for name in names)
