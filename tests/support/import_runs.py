"""Tasks that import, run for a test: alone, over deferrals, in processes that can be killed."""

from __future__ import annotations

import asyncio
import importlib
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
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


class FileStore:
    """What Airflow 3.3 gives a task to remember, in a file, so that processes can be killed around it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def _all(self) -> dict[str, Any]:
        return json.loads(self._path.read_text()) if self._path.exists() else {}

    def get(self, key: str, default: Any = None) -> Any:
        return self._all().get(key, default)

    def set(self, key: str, value: Any) -> None:
        whole = self._path.with_suffix(".new")
        whole.write_text(json.dumps(self._all() | {key: value}))
        whole.rename(self._path)

    def delete(self, key: str) -> None:
        self._path.write_text(json.dumps({name: value for name, value in self._all().items() if name != key}))


def rows(count: int, visits: int = 1, begin: int = 0) -> list[dict[str, Any]]:
    return [
        {"email": f"user{n}@example.com", "_name": f"Name {n}", "visits": visits + n}
        for n in range(begin, begin + count)
    ]


def as_contacts(source: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What Connectif holds after these rows."""
    return {row["email"]: {name: v for name, v in row.items() if name != "email" and v is not None} for row in source}


def import_rows(run_id: str = "night", *, store: FileStore | None = None, **arguments: Any) -> Run:
    """Run the operator as a task of one DAG run, which began a minute ago."""
    began = SimpleNamespace(start_date=datetime.now(UTC) - timedelta(minutes=1))
    more = {"dag_run": began, **({} if store is None else {"task_state_store": store})}
    return deliver(run_id, more_context=more, **(FAST | arguments))


def event_of(run: Run) -> Any:
    """What the trigger of a deferral says, run as the triggerer does: made anew of what Airflow's database holds."""
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
    """Import with a deferral; the runs of both processes. The second one gets no rows: it must need none."""
    first = import_rows(run_id, deferrable=True, **arguments)
    if first.state != "deferred":
        return [first]
    between(first)
    event = change_event(event_of(first))
    method = first.error.method_name  # type: ignore[union-attr]
    again = {**arguments, "rows": _Never()}
    return [first, import_rows(run_id, method=method, event=event, deferrable=True, **again)]


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
