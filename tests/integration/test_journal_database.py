"""The journal's database: what is in it, what is asked of it, and what is said when it cannot be used."""

from __future__ import annotations

import threading
import traceback
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_connectif.databases.journals import engine_of_existing
from airflow_provider_connectif.journal.database import JournalDatabase as Database
from airflow_provider_connectif.journal.lines import GatheredLines
from airflow_provider_connectif.journal.tables import VERSION
from airflow_provider_connectif.records.changes import Digests
from tests.support.journals import DATABASES, TABLES, JournalDatabase, deliver, journal_database
from tests.support.strict_server import StrictServer

pytestmark = pytest.mark.versions

ANA, BEA = {"email": "ana@example.com", "visits": 1}, {"email": "bea@example.com", "visits": 1}


@pytest.fixture(params=DATABASES)
def journal(request: pytest.FixtureRequest, airflow_db: None) -> JournalDatabase:
    return journal_database(request.param, request)


def test_lines_are_what_the_page_says(journal: JournalDatabase, strict: StrictServer) -> None:
    run = deliver("night", rows=[ANA])
    assert run.summary["created"] == 1
    ((key, state, reason, run_id),) = journal.query("select contact_key, state, reason, run_id from connectif_journal")
    assert (key, state, reason) == ("ana@example.com", "acknowledged", None)
    assert "night" in run_id


@pytest.mark.slow
def test_a_batch_is_looked_up_by_one_query(
    request: pytest.FixtureRequest, strict: StrictServer, airflow_db: None
) -> None:
    database = journal_database("postgres", request)
    rows = [{"email": f"user{n}@example.com", "visits": n} for n in range(2001)]
    deliver("first", rows=rows)
    ((directory,),) = database.query("show data_directory")
    log = Path(directory) / "log"
    before = log.stat().st_size  # a server logs statements that failed, too
    database.query("alter database postgres set log_statement = 'all'")
    try:
        assert deliver("again", rows=rows).summary["unchanged"] == 2001
    finally:
        database.query("alter database postgres reset log_statement")
    lookups = log.read_bytes()[before:].count(b"row_digest")
    assert lookups == 3  # batches of 1,000, the last of one row


@pytest.mark.parametrize("kind", DATABASES)
def test_with_sha256_the_journal_holds_no_email(
    kind: str, request: pytest.FixtureRequest, strict: StrictServer
) -> None:
    database = journal_database(kind, request, connectif_journal_secret="a secret & more = 1")
    said = {
        "validationErrors": [{"path": "/visits", "reason": "KEY is known, ana%40example.com, <ana&#64;example.com>"}]
    }
    strict.update(faults=[{"keys": ["ana@example.com"], "status": 422, "json": said}])
    zoe = {"email": "zoe@example.com", "visits": 1}  # no digest can spell her, as it can bea
    arguments: dict[str, Any] = {"rows": [ANA, zoe], "journal_key": "sha256"}

    deliver("night 1", **arguments)
    second = deliver("night 2", **arguments)

    assert (second.summary["held"], second.summary["unchanged"], second.summary["requests"]) == (1, 1, 0)
    held = database.text()
    for personal in ("ana", "zoe", "@", "example"):
        assert personal not in held.replace("unchanged", "")
    if kind == "sqlite":
        files = list(request.getfixturevalue("tmp_path").glob("journal.db*"))
        assert files
        assert not any(b"example" in file.read_bytes() for file in files)


@pytest.mark.slow
def test_another_secret_knows_no_contact(
    request: pytest.FixtureRequest, strict: StrictServer, airflow_db: None
) -> None:
    for secret in ("one", "two"):
        journal_database("sqlite", request, connectif_journal_secret=secret)
        assert deliver("night", rows=[ANA], journal_key="sha256").summary["requests"] == 1


# What is done to the database, with which arguments, and what the failure says.
UNUSABLE: dict[str, tuple[list[str], dict[str, Any], str, str]] = {
    "made by a newer version": (
        [f"update connectif_journal_meta set value = {VERSION + 1}"],
        {},
        "failed",
        f"has version {VERSION + 1}, this provider knows up to {VERSION}",
    ),
    "no secret": ([], {"journal_key": "sha256"}, "failed", "connectif_journal_secret"),
    "a line is refused": (
        ["drop table connectif_journal", "create table connectif_journal as select 1 as other"],
        {},
        "failed",
        "table connectif_journal has no column sync_id, contact_key",
    ),
}


@pytest.mark.sampled(1)
@pytest.mark.parametrize("case", UNUSABLE)
def test_a_journal_that_cannot_be_used_fails_the_task_in_words_and_sends_nothing(
    case: str, journal: JournalDatabase, strict: StrictServer
) -> None:
    statements, arguments, state, words = UNUSABLE[case]
    deliver("first", rows=[BEA])
    before = strict.received
    for statement in statements:
        journal.query(statement)

    run = deliver("night", rows=[ANA], **arguments)

    assert strict.received == before
    assert words in str(run.error)
    assert run.state == state


def test_what_the_database_says_of_a_contact_is_told_to_nobody(
    request: pytest.FixtureRequest, strict: StrictServer, airflow_db: None, capsys: pytest.CaptureFixture[str]
) -> None:
    database = journal_database("postgres", request)
    deliver("first", rows=[BEA])
    database.query("alter table connectif_journal add constraint c check (contact_key <> 'ana@example.com')")

    run = deliver("night", rows=[ANA])

    assert run.state == "up_for_retry"
    assert "SQLSTATE 23514" in str(run.error)
    told = "".join(traceback.format_exception(run.error)) + capsys.readouterr().out
    assert "ana@" not in told


NAMES = {
    "plain": ("journal", None),
    "capitals": ("Journal", "Sync"),
    "quotes and worse": ('j"; drop -- %s', 'a "schema"%'),
}


@pytest.mark.sampled(1)
@pytest.mark.parametrize("case", NAMES)
def test_table_and_schema_have_the_names_that_they_were_given(
    case: str, request: pytest.FixtureRequest, strict: StrictServer, airflow_db: None
) -> None:
    database = journal_database("postgres", request)
    table, schema = NAMES[case]
    quoted = '"' + (schema or "public").replace('"', '""') + '"'
    database.query(f"drop schema if exists {quoted} cascade")
    database.query(f"create schema {quoted}")
    for requests in (1, 0):
        run = deliver("night", rows=[ANA], journal_table=table, journal_schema=schema)
        assert run.summary["requests"] == requests
    tables = database.query(
        "select table_name from information_schema.tables where table_schema = " + _text(schema or "public")
    )
    assert {name for (name,) in tables} == {name.replace("connectif_journal", table, 1) for name in TABLES}
    database.query(f"drop schema {quoted} cascade")
    database.query("create schema if not exists public")


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def test_a_schema_that_is_not_there_is_named(
    request: pytest.FixtureRequest, strict: StrictServer, airflow_db: None
) -> None:
    journal_database("postgres", request)
    run = deliver("night", rows=[ANA], journal_schema="nowhere")
    assert (run.state, strict.received) == ("failed", 0)
    assert "nowhere" in str(run.error)


@pytest.mark.slow
@pytest.mark.parametrize("kind", DATABASES)
def test_warehouse_and_journal_may_be_one_database(
    kind: str, request: pytest.FixtureRequest, strict: StrictServer, airflow_db: None
) -> None:
    database = journal_database(kind, request)
    database.query("create table contacts (email varchar(50), visits integer)")
    lines = ", ".join(f"('user{n}@example.com', {n})" for n in range(1500))
    database.query(f"insert into contacts values {lines}")
    for requests in (1500, 0):
        run = deliver("night", sql="select * from contacts", sql_conn_id="journal")
        assert (run.state, run.summary["requests"]) == ("success", requests)


def test_what_the_connection_asks_of_the_driver_holds_for_the_journal(
    request: pytest.FixtureRequest, strict: StrictServer, airflow_db: None
) -> None:
    database = journal_database("postgres", request, options="-c search_path=elsewhere")
    database.query("drop schema if exists elsewhere cascade")
    database.query("create schema elsewhere")
    assert deliver("night", rows=[ANA]).state == "success"
    assert database.query("select contact_key from elsewhere.connectif_journal") == [("ana@example.com",)]
    database.query("drop schema elsewhere cascade")


# The tables as version 1 made them, and a line of a contact in them.
VERSION_1 = (
    """create table connectif_journal (
        sync_id varchar(250) not null, contact_key varchar(320) not null, state varchar(12) not null,
        row_digest varchar(32), patch_digest varchar(32), mapping_digest varchar(32), delivered_at timestamp,
        refused_digest varchar(32), refused_at timestamp, status_code integer, reason varchar(500),
        run_id varchar(250) not null, generation integer not null, primary key (sync_id, contact_key))""",
    """create table connectif_journal_syncs (
        sync_id varchar(250) not null primary key, generation integer not null, run_id varchar(250) not null,
        holders integer not null, lease_until float not null)""",
    "create table connectif_journal_meta (name varchar(20) not null primary key, value integer not null)",
    "insert into connectif_journal_meta values ('version', 1)",
    "insert into connectif_journal_syncs values ('nightly', 7, 'dag/before', 0, 0)",
)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("half_done", [False, True])
def test_a_journal_of_version_1_is_brought_up_to_date_and_keeps_what_it_knows(
    half_done: bool, journal: JournalDatabase, strict: StrictServer
) -> None:
    deliver("first", rows=[ANA])
    ((key, row_digest, patch_digest),) = journal.query(
        "select contact_key, row_digest, patch_digest from connectif_journal"
    )
    for table in TABLES:
        journal.query(f"drop table {table}")
    for statement in VERSION_1:
        journal.query(statement)
    line = f"'nightly', '{key}', 'acknowledged', '{row_digest}', '{patch_digest}', 'dag/before', 7"
    columns = "sync_id, contact_key, state, row_digest, patch_digest, run_id, generation"
    journal.query(f"insert into connectif_journal ({columns}) values ({line})")
    if half_done:  # by a process that was killed, where statements about tables are committed one by one
        journal.query("alter table connectif_journal_syncs drop column run_id")

    assert deliver("check", rows=[ANA, BEA], check_only=True).summary["unchanged"] == 1  # which changes nothing
    assert journal.query("select value from connectif_journal_meta") == [(1,)]
    run = deliver("night", rows=[ANA, BEA])

    assert (run.state, run.summary["unchanged"], run.summary["created"]) == ("success", 1, 1)
    assert journal.query("select value from connectif_journal_meta") == [(VERSION,)]
    assert journal.query("select sync_id, generation from connectif_journal_syncs") == [("nightly", 8)]
    assert deliver("next night", rows=[ANA, BEA]).summary["unchanged"] == 2


def test_runs_and_reasons_may_have_any_letters(journal: JournalDatabase, strict: StrictServer) -> None:
    said = {"validationErrors": [{"path": "/visits", "reason": "不可 🙈\u0000"}]}
    strict.update(faults=[{"keys": ["ana@example.com"], "status": 422, "json": said}])
    assert deliver("nächtlich 夜", rows=[ANA, BEA]).state == "failed"
    ((reason, run_id),) = journal.query("select reason, run_id from connectif_journal where state = 'rejected'")
    assert (reason.rstrip(), run_id) == ("HTTP 422 visits: 不可 🙈", "dag/nächtlich 夜")


def test_what_the_database_undoes_to_end_a_deadlock_is_done_again(
    request: pytest.FixtureRequest, strict: StrictServer, airflow_db: None
) -> None:
    import psycopg
    import sqlalchemy

    database = journal_database("postgres", request)
    dsn = request.getfixturevalue("postgres").info.dsn
    database.query("create table pair (name varchar(1), value integer)")
    database.query("insert into pair values ('a', 0), ('b', 0)")
    engine = sqlalchemy.create_engine("postgresql+psycopg2://", creator=lambda: _psycopg2(dsn))
    locked = threading.Barrier(2, timeout=10)
    tries = []

    def other() -> None:
        with psycopg.connect(dsn) as connection:
            connection.execute("set deadlock_timeout = '1min'")  # so that it is not the one that gives way
            connection.execute("update pair set value = value + 10 where name = 'b'")
            locked.wait()
            connection.execute("update pair set value = value + 10 where name = 'a'")

    def update(connection: sqlalchemy.Connection) -> None:
        tries.append(1)
        connection.execute(sqlalchemy.text("update pair set value = value + 1 where name = 'a'"))
        if len(tries) == 1:
            locked.wait()
        connection.execute(sqlalchemy.text("update pair set value = value + 1 where name = 'b'"))

    thread = threading.Thread(target=other)
    thread.start()
    Database(engine, "journal").write(update)
    thread.join()

    assert len(tries) == 2
    assert database.query("select value from pair") == [(11,), (11,)]
    engine.dispose()


def _psycopg2(dsn: str) -> Any:
    import psycopg2

    return psycopg2.connect(dsn)


def test_a_batch_of_lines_is_written_as_it_is_whatever_its_letters_and_each_key_once(
    journal: JournalDatabase, strict: StrictServer
) -> None:
    """A key may come in its own form and in that of the tables; where a statement writes the whole batch, the database
    refuses to change a line twice.
    """
    deliver("the tables", rows=[])
    engine = engine_of_existing(journal.conn_id, writes=True)
    database = Database(engine, "connectif_journal")
    lines = GatheredLines(database.tables)
    names = {"sync_id": "nightly", "run_id": "dag/it's: %s $1 \\x00", "generation": 3}
    bytes_of_every_kind = bytes(range(256))
    for key in ('o"brien\\@example.com', "ñandú@example.com", "%s@example.com"):
        digests = Digests("row", "patch", "mapping", bytes_of_every_kind)
        lines.acknowledge(key, {**names, "contact_key": key}, digests, "created", None)
    for key in ("its own form", "that of the tables"):
        lines.reject(key, {**names, "contact_key": "ana"}, f"row, {key}", 422, 'reason "\\u0041\n')

    database.write(lines.write)
    database.write(lines.write)  # a transaction may be repeated
    engine.dispose()

    written = (
        "select contact_key, state, run_id, generation, properties, status_code, reason, row_digest, refused_digest"
    )
    expected: list[tuple[Any, ...]] = [
        (key, "acknowledged", names["run_id"], 3, bytes_of_every_kind, None, None, "row", None)
        for key in ("%s@example.com", 'o"brien\\@example.com', "ñandú@example.com")
    ]
    expected.append(
        ("ana", "rejected", names["run_id"], 3, None, 422, 'reason "\\u0041\n', None, "row, that of the tables")
    )
    found = [
        (*line[:4], line[4] and bytes(line[4]), *line[5:])
        for line in journal.query(f"{written} from connectif_journal")
    ]
    assert sorted(found) == sorted(expected)
