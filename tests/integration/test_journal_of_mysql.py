"""What MySQL and MariaDB do otherwise than PostgreSQL, and what a journal makes of it: with each of their drivers."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from airflow.providers.common.compat.sdk import BaseHook
from sqlalchemy.dialects import mysql as mysql_dialect

from airflow_provider_connectif.databases.journals import _checked_engine
from airflow_provider_connectif.journal.database import JournalDatabase as Database
from airflow_provider_connectif.journal.dialects import DIALECTS
from airflow_provider_connectif.journal.forgetting import Forgetting
from airflow_provider_connectif.journal.lease import Lease
from airflow_provider_connectif.journal.settings import JournalSettings
from airflow_provider_connectif.journal.suppression import SuppressionList
from airflow_provider_connectif.records.people import PersonKey
from tests.support.journals import DATABASES, JournalDatabase, deliver, journal_database
from tests.support.mariadb import what_is_missing
from tests.support.strict_server import StrictServer, until

ANA = "ana@example.com"
ROWS = [{"email": ANA, "visits": 1}, {"email": "bea@example.com", "visits": 1}]
MYSQL = mysql_dialect.dialect()
needs_mariadb = pytest.mark.skipif(bool(what_is_missing()), reason=what_is_missing() or "-")
drivers = pytest.mark.parametrize("driver", ["mysqlclient", "pymysql", "mysql-connector-python"])


@pytest.fixture
def mysql(request: pytest.FixtureRequest, airflow_db: None) -> Callable[..., JournalDatabase]:
    """Makes an empty journal's database, with options in the extra of its connection."""
    return lambda **extra: journal_database("mysql", request, **extra)


@contextlib.contextmanager
def opened() -> Iterator[Database]:
    """The journal of the connection ``journal``, with its tables, on an engine as runs have it."""
    engine = _checked_engine(BaseHook.get_hook("journal"), "journal", "create")
    database = Database(engine, "connectif_journal")
    database.create()
    try:
        yield database
    finally:
        database.close()
        engine.dispose()


@pytest.mark.sampled(1)
@needs_mariadb
@drivers
def test_nights_with_each_driver(driver: str, mysql: Callable[..., JournalDatabase], strict: StrictServer) -> None:
    mysql(client=driver)
    changed = [ROWS[0], {**ROWS[1], "visits": 2}]
    first, second, third = (deliver(f"night {n}", rows=rows) for n, rows in enumerate([ROWS, changed, changed]))
    assert (first.state, first.summary["created"]) == ("success", 2), first.error
    assert (second.summary["updated"], second.summary["unchanged"]) == (1, 1)
    assert (third.summary["requests"], third.summary["unchanged"]) == (0, 2)


@needs_mariadb
@drivers
def test_every_text_takes_any_letters_and_every_moment_its_microseconds(
    driver: str, mysql: Callable[..., JournalDatabase]
) -> None:
    mysql(client=driver, charset="latin1")  # which a source may need
    at = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
    with opened() as database:
        for table in database.tables.metadata.sorted_tables:
            written = {column: _value(column, at) for column in table.columns}
            database.execute(sa.insert(table).values({column.name: value for column, value in written.items()}))
            (found,) = database.rows(sa.select(table).where(next(iter(table.c)) == _value(next(iter(table.c)), at)))
            for column, value in written.items():
                assert found._mapping[column] == (value.replace(tzinfo=None) if value is at else value), column


def _value(column: sa.Column[Any], at: datetime) -> Any:
    """For a text that people or servers give, as far as it may be: letters of every length in UTF-8."""
    kind = column.type.dialect_impl(MYSQL)
    if isinstance(kind, sa.String):
        return "naïve 夜 🙈" if getattr(kind, "charset", None) == "utf8mb4" else "a"
    return at if isinstance(kind, sa.DateTime) else b"\x00\xff" if isinstance(kind, sa.LargeBinary) else 7


@needs_mariadb
def test_its_tables_have_transactions_whatever_the_server_makes_by_default(
    mysql: Callable[..., JournalDatabase],
) -> None:
    journal = mysql()
    assert journal.query("select @@default_storage_engine") == [("Aria",)]
    with opened():
        tables = "from information_schema.tables where table_schema = 'journal'"
        assert journal.query(f"select distinct engine {tables}") == [("InnoDB",)]


@needs_mariadb
def test_texts_of_version_2_get_room_for_any_letters(
    mysql: Callable[..., JournalDatabase], strict: StrictServer
) -> None:
    journal = mysql()
    with opened() as database:
        database.execute(sa.insert(database.tables.plans).values(PLAN | {"state": '{"files": "naïve"}'}))
    journal.query("alter table connectif_journal_plans modify state longtext character set latin1 not null")
    journal.query("alter table connectif_journal_pending modify payload longtext character set latin1")
    journal.query("update connectif_journal_meta set value = 2")
    with opened() as database:
        assert [line.state for line in database.rows(sa.select(database.tables.plans.c.state))] == [
            '{"files": "naïve"}'
        ]
    texts = "from information_schema.columns where table_schema = 'journal' and data_type = 'longtext'"
    assert journal.query(f"select distinct character_set_name {texts}") == [("utf8mb4",)]
    assert journal.query(f"select is_nullable {texts} and column_name in ('state', 'counts')") == [("NO",)] * 2


@needs_mariadb
def test_its_clock_does_not_go_back_in_autumn(mysql: Callable[..., JournalDatabase]) -> None:
    changes_at = 1792890000  # the end of summer time in 2026
    mysql()
    with opened() as database, database.engine.connect() as connection:
        for statement in (
            "insert into mysql.time_zone (use_leap_seconds) values ('N')",
            "set @zone = last_insert_id()",
            "insert into mysql.time_zone_name values ('Autumn', @zone)",
            "insert into mysql.time_zone_transition_type values (@zone, 0, 7200, 1, ''), (@zone, 1, 3600, 0, '')",
            f"insert into mysql.time_zone_transition values (@zone, 0, 0), (@zone, {changes_at}, 1)",
            "set time_zone = 'Autumn'",
        ):
            connection.execute(sa.text(statement))
        for moment in range(changes_at - 3600, changes_at + 3601, 1800):
            connection.execute(sa.text(f"set timestamp = {moment}"))
            assert connection.execute(DIALECTS["mysql"].clock).scalar() == moment


@needs_mariadb
def test_a_server_whose_log_holds_statements_is_refused(
    mysql: Callable[..., JournalDatabase], strict: StrictServer
) -> None:
    mysql(init_command="set session binlog_format = 'STATEMENT'")
    end = deliver("night", rows=ROWS)
    assert (end.state, strict.received) == ("failed", 0)
    assert "impossible to write to binary log since BINLOG_FORMAT = STATEMENT" in str(end.error)


@needs_mariadb
@drivers
def test_what_it_undoes_to_end_a_deadlock_is_done_again(driver: str, mysql: Callable[..., JournalDatabase]) -> None:
    journal = mysql(client=driver)
    journal.query("create table pair (name varchar(1) primary key, value integer) engine = innodb")
    journal.query("insert into pair values ('a', 0), ('b', 0)")
    both, tries = threading.Barrier(2, timeout=10), []

    def in_order(database: Database, names: str) -> None:
        def update(connection: sa.Connection) -> None:
            tries.append(names)
            for name in names:
                connection.execute(sa.text(f"update pair set value = value + 1 where name = '{name}'"))
                if len(tries) <= 2 and name == names[0]:
                    both.wait()

        database.write(update)

    with opened() as one, opened() as other, ThreadPoolExecutor() as threads:
        for end in [threads.submit(in_order, one, "ab"), threads.submit(in_order, other, "ba")]:
            end.result(timeout=20)
    assert len(tries) == 3
    assert journal.query("select value from pair") == [(2,), (2,)]


@pytest.mark.sampled(1)
@pytest.mark.parametrize("kind", DATABASES)
def test_tasks_that_begin_a_sync_at_once_get_a_generation_each(
    kind: str, request: pytest.FixtureRequest, airflow_db: None
) -> None:
    """Their first lines have the same key: where one is written, the others must not lose their transactions."""
    journal_database(kind, request)
    tasks = 6
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(tasks) as threads:
        databases = [stack.enter_context(opened()) for _ in range(tasks)]
        for sync in ("a", "b", "c"):
            leases = [Lease(each.engine, each.tables, sync, "run", str(n)) for n, each in enumerate(databases)]
            together = threading.Barrier(tasks, timeout=20)

            def take(database: Database, lease: Lease, together: threading.Barrier = together) -> None:
                together.wait()
                assert database.guarded(lease.take) is None
                database.guarded(lease.release)

            list(threads.map(take, databases, leases))
            assert sorted(lease.generation for lease in leases) == list(range(1, tasks + 1))


PLAN: dict[str, Any] = {"plan_id": "p", "sync_id": "other", "run_id": "dag/night", "task": "t[-1]", "state": "{}"}
PLAN |= {"kept_until": 4e9}


@needs_mariadb
def test_an_erasure_finds_what_was_written_while_it_waited(mysql: Callable[..., JournalDatabase]) -> None:
    journal = mysql()
    with opened() as database, opened() as other, ThreadPoolExecutor() as threads:
        tables = database.tables
        claim = {"holder": "h", "sync_id": "other", "run_id": "dag/night", "task": "t[-1]", "lease_until": 4e9}
        database.execute(sa.insert(tables.claims).values(claim))
        settings = JournalSettings("erasure", "dag/erasure")
        forms = {"email": str, "external_id": str}
        forgetting = Forgetting(database, SuppressionList(database, None), settings, forms)
        ana = PersonKey("email", ANA)
        with other.engine.begin() as writer:
            writer.execute(sa.update(tables.claims).values(lease_until=5e9))  # as who writes lines holds its claim
            end = threads.submit(
                database.write, lambda connection: forgetting.forget(connection, [ana], waits_for_uploads=False)
            )
            claims = "db = 'journal' and info like 'UPDATE connectif_journal_claims%' and time_ms > 100"
            until(lambda: bool(journal.query(f"select 1 from information_schema.processlist where {claims}")))
            writer.execute(sa.insert(tables.plans).values(PLAN))
            pending = {"plan_id": "p", "number": 1, "contact_key": ANA, "row_digest": "r"}
            writer.execute(sa.insert(tables.pending).values(pending))
        end.result(timeout=20)
    assert journal.query("select contact_key from connectif_journal_pending") == []
    assert journal.query("select removed from connectif_journal_plans") == [(1,)]
