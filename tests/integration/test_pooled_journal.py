"""Journals in a PostgreSQL behind pgbouncer in transaction mode: each transaction may have another session."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.journals import Process, deliver
from tests.support.pgbouncer import pgbouncer, what_is_missing
from tests.support.strict_server import StrictServer

pytestmark = pytest.mark.skipif(bool(what_is_missing()), reason=what_is_missing() or "-")


@pytest.fixture
def pooled(
    postgres: Any, connection: Callable[..., None], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Any]]:
    """The connection ``journal``, to a pool of fewer sessions than two journals have connections."""
    fields = json.loads(os.environ["AIRFLOW_CONN_POSTGRES"])
    folder = tmp_path_factory.mktemp("b")
    for above in folder.parents[:2]:
        above.chmod(0o755)  # pgbouncer gives up the rights of root, and reads its files then
    with pgbouncer(folder, fields["host"], fields["login"], sessions=4) as port:
        pooled = fields | {"host": "127.0.0.1", "port": port}
        connection("journal", **pooled)
        connection("pooled", **pooled)
        yield pooled


def contacts(name: str, count: int, visits: int) -> list[dict[str, Any]]:
    return [{"email": f"{name}{n}@example.com", "visits": visits + n} for n in range(count)]


def run_two_at_once(folder: Path, count: int, night: int) -> None:
    both = [
        Process(folder, f"{name}-{night}", sync_id=name, rows=contacts(name, count, night)) for name in ("one", "other")
    ]
    for process in both:
        end = process.end(within_s=300)
        assert end.state == "success", process.output()
        # Of the nights after the first, every contact has another value.
        assert (end.summary["created"], end.summary["updated"]) == ((count, 0) if night == 0 else (0, count))


@pytest.mark.slow
@pytest.mark.usefixtures("pooled", "airflow_db")
def test_two_journals_at_once_share_a_pool(strict: StrictServer, tmp_path: Path) -> None:
    for night in range(2):
        run_two_at_once(tmp_path, 300, night)
    assert deliver("again", sync_id="one", rows=contacts("one", 300, 1)).summary["unchanged"] == 300


@pytest.mark.full_size
@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("pooled", "airflow_db")
def test_two_journals_of_3000_contacts_share_a_pool_ten_times(strict: StrictServer, tmp_path: Path) -> None:
    for night in range(10):
        run_two_at_once(tmp_path, 3_000, night)


@pytest.mark.slow
@pytest.mark.usefixtures("pooled", "airflow_db")
def test_a_query_is_read_through_the_pool(strict: StrictServer) -> None:
    series = "select 'user' || n || '@example.com' as email, n as visits from generate_series(1, 5000) n"
    for night in range(2):
        end = deliver(f"night-{night}", rows=None, sql=series, sql_conn_id="pooled")
        assert end.state == "success"
        assert end.summary["unchanged"] == 5_000 * night
