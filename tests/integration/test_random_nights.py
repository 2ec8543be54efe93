"""Random nights of a sync: kills, sources that fail, unreadable keys, other tasks, other questions, who comes back.

Whatever happens, nobody in the source is deleted, and no contact of another task or of nobody. Where the question never
changes, everybody who left is deleted in the end.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_sync import requests, sync
from tests.integration.test_who_left import OF_ANOTHER_DAG
from tests.support.journals import JournalDatabase, Process, deliver, journal_database, usually
from tests.support.strict_server import StrictServer, until
from tests.support.task_runs import Run
from tests.support.warehouses import Warehouse

FULL_SIZE = (pytest.mark.full_size, pytest.mark.slow, pytest.mark.timeout(900))
NOBODYS = "of-nobody@example.com"
# One text of SQL, which fails where a row says so.
SQL = "select email, case when name = 'fail' then abs(-9223372036854775808) else name end as name from contacts"
MINE, WIDER, OF_ANOTHER = (f"{SQL} where {part}" for part in ("part = 1", "part = 1 and 1 = 1", "part = 2"))
ALWAYS = ("plain", "killed", "killed", "killed", "fails", "unreadable", "switched")
INTERRUPTED = (*ALWAYS, "another", "another fails", "rows", "wider")


@pytest.fixture(params=usually("sqlite"))
def journal(request: pytest.FixtureRequest, airflow_db: None) -> JournalDatabase:
    return journal_database(request.param, request)


@pytest.fixture
def warehouse(tmp_path: Path, connection: Callable[..., None]) -> Warehouse:
    path = tmp_path / "warehouse.db"
    connection("warehouse", conn_type="sqlite", host=str(path))
    return Warehouse(path, ("name", "part"))


def in_a_process(run_id: str, before: Callable[[Any], None], **arguments: Any) -> Run:
    return sync(run_id, MINE, before=before, **arguments)


class Nights:
    """A source of two parts, of which this sync has the first and a task of another DAG the second."""

    def __init__(self, chance: random.Random, warehouse: Warehouse, strict: StrictServer, folder: Path) -> None:
        self.chance, self._warehouse, self._strict, self._folder = chance, warehouse, strict, folder
        self.names = {f"user{number:02}@example.com": "Ana" for number in range(20)}
        self.of_another = {f"another{number:02}@example.com": "Ana" for number in range(8)}
        self.gone: dict[str, str] = {}
        self.on_removed: str | None = "delete"
        self.number = 0

    def change(self, times: int) -> None:
        """Somebody leaves, comes back, is new or changes."""
        for _ in range(times):
            kind, some = self.chance.choice(("leaves", "leaves", "back", "new", "edited")), sorted(self.names)
            if kind == "leaves" and len(some) > 8:
                left = self.chance.choice(some)
                self.gone[left] = self.names.pop(left)
            elif kind == "back" and self.gone:
                back = self.chance.choice(sorted(self.gone))
                self.names[back] = self.gone.pop(back)
            elif kind == "new":
                self.names[f"new{self.number}-{len(some)}@example.com"] = "Eva"
            else:
                self.names[some[0]] += "x"

    def run(self, kind: str) -> None:
        """One night; an attempt that was killed is tried again, and its source may have changed."""
        self.number += 1
        if kind == "switched":
            self.on_removed = self.chance.choice(("delete", None))
        self._fill(kind)
        if kind.startswith("another"):
            limits = {"min_rows": 1000} if kind == "another fails" else {"min_rows": 0}
            self._deliver("ContactSyncOperator", sql=OF_ANOTHER, properties={"_name": "name"}, **limits)
        elif kind == "rows":
            self._deliver("ContactSyncOperator", rows=[{"email": key, "_name": "Ana"} for key in self.names])
        elif kind == "killed":
            self._kill()
            self.change(self.chance.randrange(3))
            self._fill(kind)
            self._succeed(MINE, tries_before=1)
        elif kind == "fails":
            assert sync(f"{self.number}", MINE, on_removed=self.on_removed).state != "success"
        else:
            self._succeed(WIDER if kind == "wider" else MINE)

    def _succeed(self, sql: str, **arguments: Any) -> None:
        run = sync(f"{self.number}", sql, on_removed=self.on_removed, failure_budget=2, **arguments)
        assert run.state == "success", run.error

    def _deliver(self, kind: str, **source: Any) -> None:
        where = {"sql_conn_id": "warehouse", **OF_ANOTHER_DAG} if "sql" in source else {}
        off = dict.fromkeys(("max_removed", "max_lowered", "max_raised"), None)
        deliver(f"{self.number}", kind=kind, on_removed=self.on_removed, **{"min_rows": 0, **off, **where, **source})

    def _kill(self) -> None:
        self._strict.update(delay_s=0.03)
        at = self._strict.received + self.chance.randrange(10)
        process = Process(self._folder, f"{self.number}", in_a_process, on_removed=self.on_removed, max_in_flight=2)
        until(lambda: self._strict.received >= at or process.has_ended())
        process.kill()
        self._strict.update(delay_s=0.0)

    def _fill(self, kind: str) -> None:
        rows: list[tuple[str | None, str, int]] = [(key, name, 1) for key, name in self.names.items()]
        rows += [(key, name, 2) for key, name in self.of_another.items()]
        self.chance.shuffle(rows)
        if kind == "unreadable":
            place = next(place for place, row in enumerate(rows) if row[2] == 1)
            rows[place] = (None, "", 1)
        if kind == "fails":
            rows.append(("x@example.com", "fail", 1))
        self._warehouse.fill_rows(rows)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("kinds", [ALWAYS, INTERRUPTED], ids=["one question", "several"])
@pytest.mark.parametrize(
    ("seed", "nights"), [(0, 5), *(pytest.param(seed, 14, marks=FULL_SIZE) for seed in range(1, 26))]
)
def test_nobody_is_deleted_who_is_there(
    seed: int,
    nights: int,
    kinds: tuple[str, ...],
    journal: JournalDatabase,
    warehouse: Warehouse,
    strict: StrictServer,
    tmp_path: Path,
) -> None:
    chance = random.Random(seed)
    source = Nights(chance, warehouse, strict, tmp_path)
    strict.change_contacts({NOBODYS: {"_name": "Eva"}})
    if kinds is INTERRUPTED:
        source.run("another")
    source.run("plain")
    for _ in range(nights):
        source.change(chance.randrange(4))
        kind, was_there = chance.choice(kinds), set(source.names)
        strict.take_log()
        source.run(kind)
        deleted = Counter(key for method, key in requests(strict) if method == "DELETE")
        assert deleted.keys().isdisjoint(was_there & source.names.keys()), kind
        assert deleted.keys().isdisjoint({*source.of_another, NOBODYS}), kind
        assert max(deleted.values(), default=1) <= (2 if kind == "killed" else 1), kind
    source.on_removed = "delete"
    source.run("plain")
    source.run("plain")
    strict.take_log()
    source.run("plain")
    assert requests(strict) == []
    there = strict.contacts.keys() - {*source.of_another, NOBODYS}
    assert source.names.keys() <= there
    assert kinds is INTERRUPTED or there == source.names.keys()
