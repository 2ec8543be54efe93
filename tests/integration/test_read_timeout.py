"""A source that does not end: the task fails for a retry after its time limit, and nothing was sent."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from tests.support.strict_server import StrictServer, until
from tests.support.task_runs import Run

SOON = timedelta(seconds=1)
HANGS_S = 120  # longer than a test may take


def assert_timed_out(end: Run, strict: StrictServer, rows: str) -> None:
    words = (
        f"the source did not end within read_timeout, 1 s ({rows} read); nothing was sent. "
        "Raise read_timeout if it needs longer"
    )
    assert (end.state, str(end.error), strict.received) == ("up_for_retry", words, 0)
    assert end.error is not None
    assert end.error.__cause__ is None
    assert end.error.__context__ is None


# Each hangs at another place: before the first row, between rows, and where no row ever comes.
HANGING = {
    f"select 'ana@example.com' as email, pg_sleep({HANGS_S})::text as _name": "0 rows",
    f"""select 'user' || n || '@example.com' as email, case n when 2500 then pg_sleep({HANGS_S})::text end as _name
        from generate_series(1, 4000) n""": "2,000 rows",
    f"select n::text as email from generate_series(1, 9) n where pg_sleep({HANGS_S})::text = 'x'": "0 rows",
}


@pytest.mark.parametrize("sql", HANGING)
def test_a_query_that_hangs_is_ended_at_the_database_too(
    sql: str, postgres: Any, strict: StrictServer, run: Callable[..., Run]
) -> None:
    end = run(sql=sql, sql_conn_id="postgres", read_timeout=SOON)
    assert_timed_out(end, strict, HANGING[sql])
    running = "select count(*) from pg_stat_activity where query like '%pg_sleep%' and pid <> pg_backend_pid()"
    until(lambda: postgres.execute(running).fetchone()[0] == 0)


@pytest.mark.slow
def test_a_query_of_sqlite_that_never_ends(
    strict: StrictServer, sqlite_warehouse: Callable[..., None], run: Callable[..., Run]
) -> None:
    sqlite_warehouse(("email",), [("ana@example.com",)])
    endless = (
        "with recursive n(x) as (select 1 union all select x + 1 from n) select email from contacts, n where x = 0"
    )
    assert_timed_out(run(sql=endless, sql_conn_id="warehouse", read_timeout=SOON), strict, "0 rows")


@pytest.mark.slow
def test_a_database_that_accepts_the_connection_and_says_nothing(
    strict: StrictServer, connection: Callable[..., None], run: Callable[..., Run]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        connection(
            "silent", conn_type="postgres", host="127.0.0.1", port=silent.getsockname()[1], schema="x", login="x"
        )
        assert_timed_out(run(sql="select 1", sql_conn_id="silent", read_timeout=SOON), strict, "0 rows")


def never() -> Iterator[dict[str, Any]]:
    time.sleep(HANGS_S)
    yield {"email": "ana@example.com"}


def after_some() -> Iterator[dict[str, Any]]:
    yield from ({"email": f"user{n}@example.com"} for n in range(3))
    threading.Event().wait()


@pytest.mark.parametrize(("rows", "count"), [(never, "0 rows"), (after_some, "3 rows")])
def test_a_generator_that_hangs(
    rows: Callable[[], Any], count: str, strict: StrictServer, run: Callable[..., Run]
) -> None:
    assert_timed_out(run(rows=rows(), read_timeout=SOON), strict, count)


def test_a_sync_whose_source_hung_is_free_again(
    postgres: Any, strict: StrictServer, connection: Callable[..., None], run: Callable[..., Run], tmp_path: Any
) -> None:
    connection("journal", conn_type="sqlite", host=str(tmp_path / "journal.db"))
    arguments: dict[str, Any] = {"sql_conn_id": "postgres", "journal_conn_id": "journal", "sync_id": "s"}
    hanging = f"select 'ana@example.com' as email, pg_sleep({HANGS_S})::text as _name"
    assert_timed_out(run(sql=hanging, read_timeout=SOON, **arguments), strict, "0 rows")
    assert run(sql="select 'ana@example.com' as email", **arguments).state == "success"
