"""What Airflow's metadata database says: states, tries, processes, XCom, and how long each state lasted."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tests.e2e.deployment.database import Database

# Airflow keeps only the last state of a task instance; a trigger keeps them all, the same for every version.
_WATCH = """
create table e2e_stay (
    id bigserial primary key, dag_id text, run_id text, task_id text, map_index integer,
    try_number integer, state text, begun timestamptz default clock_timestamp()
);
create function e2e_note() returns trigger language plpgsql as $$ begin
    insert into e2e_stay (dag_id, run_id, task_id, map_index, try_number, state)
    values (new.dag_id, new.run_id, new.task_id, new.map_index, new.try_number, new.state);
    return null;
end $$;
create trigger e2e_inserted after insert on task_instance for each row execute function e2e_note();
create trigger e2e_updated after update on task_instance for each row
    when (old.state is distinct from new.state) execute function e2e_note();
"""

OCCUPIES_A_WORKER = ("queued", "running")
"""The states that may hold a worker slot. ``queued`` is the executor's start of the process, and, with all slots taken,
the wait for one: so what is counted of it is at most too much."""


@dataclass(frozen=True)
class TaskKey:
    """A task of a run.

    :param map_index: which of the mapped tasks; -1: it is none.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1

    def __str__(self) -> str:
        mapped = "" if self.map_index < 0 else f"[{self.map_index}]"
        return f"{self.dag_id}.{self.task_id}{mapped} of {self.run_id}"


@dataclass(frozen=True)
class Stay:
    """A stay in one state. ``seconds`` is ``None`` for the last, which may still go on."""

    state: str | None
    try_number: int
    begun: datetime
    seconds: float | None


class Metadata:
    """Questions to the metadata database.

    :param database: the server.
    :param name: the database on it.
    """

    def __init__(self, database: Database, name: str) -> None:
        self._database = database
        self._name = name

    def watch(self) -> None:
        """Begin to keep every state of every task instance; once, after the migration."""
        self.query(_WATCH)

    def query(self, sql: str, parameters: Any = ()) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        return self._database.query(self._name, sql, parameters)

    def is_alive(self, job_type: str, since: datetime) -> bool:
        """Whether a job of a type has begun since then and had a heartbeat."""
        sql = """select 1 from job where job_type = %s and state = 'running' and start_date >= %s
                 and latest_heartbeat >= start_date"""
        return bool(self.query(sql, (job_type, since)))

    def has_beaten(self, job_type: str, since: datetime) -> bool:
        """Whether a job of a type has had a heartbeat since then."""
        sql = "select 1 from job where job_type = %s and state = 'running' and latest_heartbeat >= %s"
        return bool(self.query(sql, (job_type, since)))

    def now(self) -> datetime:
        """The database's clock."""
        [[now]] = self.query("select clock_timestamp()")
        return now

    def is_parsed(self, dag_id: str) -> bool:
        """Whether a DAG's file has been read."""
        return bool(self.query("select 1 from dag where dag_id = %s", (dag_id,)))

    def import_errors(self) -> str:
        """What the DAG processor could not import."""
        return "\n".join(
            f"{name}: {trace}" for name, trace in self.query("select filename, stacktrace from import_error")
        )

    def runs(self, dag_id: str) -> dict[str, str]:
        """State by id of all runs, the earliest first."""
        return dict(self.query("select run_id, state from dag_run where dag_id = %s order by id", (dag_id,)))

    def run_state(self, dag_id: str, run_id: str) -> str | None:
        """The state of a run; ``None``: there is no such run."""
        rows = self.query("select state from dag_run where dag_id = %s and run_id = %s", (dag_id, run_id))
        return rows[0][0] if rows else None

    def task_states(self, dag_id: str, run_id: str) -> dict[str, str | None]:
        """State by task id of a run; of mapped tasks by ``id[0]``."""
        sql = "select task_id, map_index, state from task_instance where dag_id = %s and run_id = %s"
        rows = self.query(sql, (dag_id, run_id))
        return {task if index < 0 else f"{task}[{index}]": state for task, index, state in sorted(rows)}

    def task(self, key: TaskKey) -> dict[str, Any]:
        """``state``, ``try_number``, ``pid``, ``start_date`` and ``end_date``; empty: there is no such task yet."""
        columns = ("state", "try_number", "pid", "start_date", "end_date")
        rows = self.query(f"select {', '.join(columns)} from task_instance where {_IS_TASK}", _values(key))
        return dict(zip(columns, rows[0], strict=True)) if rows else {}

    def xcom(self, key: TaskKey, name: str = "return_value") -> Any:
        """What a task pushed under a name; ``None``: nothing."""
        rows = self.query(f"select value from xcom where {_IS_TASK} and key = %(name)s", {**_values(key), "name": name})
        return _decoded(rows[0][0]) if rows else None

    def stays(self, key: TaskKey) -> list[Stay]:
        """Every state that a task was in, in order, over all tries and clears."""
        sql = f"select state, try_number, begun from e2e_stay where {_IS_TASK} order by id"
        rows = self.query(sql, _values(key))
        ends = [begun for _, _, begun in rows[1:]]
        lasted = [(end - begun).total_seconds() for (_, _, begun), end in zip(rows, ends, strict=False)]
        return [Stay(*row, seconds) for row, seconds in zip(rows, [*lasted, None], strict=False)]

    def seconds_in(self, key: TaskKey, *states: str) -> float:
        """How long a task was in any of these states, over all tries; a stay that still goes on is left out."""
        return sum(stay.seconds or 0.0 for stay in self.stays(key) if stay.state in states)


_IS_TASK = "dag_id = %(dag_id)s and run_id = %(run_id)s and task_id = %(task_id)s and map_index = %(map_index)s"


def _values(key: TaskKey) -> dict[str, Any]:
    return {"dag_id": key.dag_id, "run_id": key.run_id, "task_id": key.task_id, "map_index": key.map_index}


def _decoded(value: Any) -> Any:
    """An XCom value out of the database: JSON, in some versions of Airflow twice."""
    value = bytes(value) if isinstance(value, memoryview) else value
    while isinstance(value, (str, bytes)):
        value = json.loads(value)
    return value
