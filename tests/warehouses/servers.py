"""The databases: each fixture starts its server, and gives what the tests ask of it."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.mariadb import free_port, mariadb_server, what_is_missing
from tests.warehouses import bigquery_server, snowflake_server, trino_server, types
from tests.warehouses.scripted import Result, ScriptedServer
from tests.warehouses.startup_relay import StartupRelay
from tests.warehouses.warehouse import VALUE, Statement, Warehouse, select_of

Connect = Callable[..., None]
_SNOWFLAKE = "fakesnow, and a fake of its REST for memory and lost connections"
_SERIES = "select 'user' || n || '@example.com' as email, n as visits from {}"


def _usual_mistakes(placeholder: str, parameters: Any) -> dict[str, Statement]:
    return {
        "statement": ("selekt 1", None, "selekt"),
        "table": ("select * from nothing", None, "nothing"),
        "column": ("select email, nothing from contacts", None, "nothing"),
        "placeholder": (f"select * from contacts where email = {placeholder}", parameters, "do not match each other"),
    }


@pytest.fixture
def postgresql(postgres: Any) -> Warehouse:
    postgres.execute("create table contacts (email text, visits int)")
    postgres.execute("insert into contacts values (%s, 1)", [VALUE])
    ours = "datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'"
    return Warehouse(
        "PostgreSQL",
        "run",
        "postgres",
        ("apache-airflow-providers-postgres", "psycopg"),
        lambda rows: _SERIES.format(f"generate_series(1, {rows}) n"),
        _usual_mistakes("%s", ["a", "b"]),
        "select email, email::int as visits from contacts",
        types.POSTGRESQL,
        lambda names: select_of(types.POSTGRESQL, names),
        lambda: postgres.execute(f"select pg_terminate_backend(pid) from pg_stat_activity where {ours}"),
        server=f"PostgreSQL {postgres.info.server_version // 10000}",
        journal="yes",
    )


@pytest.fixture
def redshift(postgres: Any, connection: Connect) -> Iterator[Warehouse]:
    import psycopg

    postgres.execute("create table contacts (email text, visits int)")
    postgres.execute("insert into contacts values (%s, 1)", [VALUE])
    info = psycopg.conninfo.conninfo_to_dict(postgres.info.dsn)
    with StartupRelay(Path(str(info["host"])) / f".s.PGSQL.{info.get('port', 5432)}").serving() as relay:
        connection(
            "redshift",
            conn_type="redshift",
            host="127.0.0.1",
            port=relay.port,
            login=str(info["user"]),
            password="any",
            schema=str(info["dbname"]),
            extra={"ssl": False},
        )
        yield Warehouse(
            "Redshift",
            "stub",
            "redshift",
            ("apache-airflow-providers-amazon", "redshift_connector"),
            lambda rows: _SERIES.format(f"generate_series(1, {rows}) n"),
            _usual_mistakes("%s and email = %s", ["a"]),
            "select email, email::int as visits from contacts",
            types.REDSHIFT,
            lambda names: select_of(types.REDSHIFT, names),
            relay.cut,
            server=f"its driver on PostgreSQL {postgres.info.server_version // 10000}",
        )


@pytest.fixture(scope="session")
def _mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    if missing := what_is_missing():
        pytest.skip(missing)
    port = free_port()  # MySQL's own connector is given no socket by Airflow's hook
    listens = ("--skip-networking=0", "--bind-address=127.0.0.1", f"--port={port}")
    with mariadb_server(tmp_path_factory.mktemp("m"), *listens) as fields:
        yield fields | {"port": port}


@pytest.fixture
def mysql(_mariadb: dict[str, Any], connection: Connect) -> Iterator[Warehouse]:
    connection("mysql", **(_mariadb | {"schema": "shop"}))
    yield from _mysql(_mariadb, "MariaDB", "mysqlclient")


@pytest.fixture
def mysql_connector(_mariadb: dict[str, Any], connection: Connect) -> Iterator[Warehouse]:
    driver = "mysql-connector-python"
    connection("mysql", **(_mariadb | {"host": "127.0.0.1", "schema": "shop", "extra": {"client": driver}}))
    yield from _mysql(_mariadb, "MariaDB, MySQL's connector", driver)


def _mysql(server: dict[str, Any], name: str, driver: str) -> Iterator[Warehouse]:
    import MySQLdb

    where = {"unix_socket": server["extra"]["unix_socket"], "user": "root", "password": ""}
    with contextlib.closing(MySQLdb.connect(**where, autocommit=True)) as database:
        cursor = database.cursor()
        for statement in (
            "drop database if exists shop",
            "create database shop character set utf8mb4",
            "use shop",
            "create table contacts (email varchar(100), visits int)",
            f"insert into contacts values ('{VALUE}', 1)",
            *types.mysql_table(),
        ):
            cursor.execute(statement)

        def cut() -> None:
            cursor.execute("select id from information_schema.processlist where db = 'shop' and id <> connection_id()")
            for (number,) in cursor.fetchall():
                with contextlib.suppress(MySQLdb.OperationalError):  # it has ended meanwhile
                    cursor.execute(f"kill {number}")

        yield Warehouse(
            name,
            "run",
            "mysql",
            ("apache-airflow-providers-mysql", driver),
            lambda rows: f"select concat('user', seq, '@example.com') as email, seq as visits from seq_1_to_{rows}",
            # Its words quote a part of the statement, so that its number is shown.
            _usual_mistakes("%s", ["a", "b"]) | {"statement": ("selekt 1", None, "(1064)")},
            "select email, extractvalue('<a/>', concat(0x7e, email)) as visits from contacts",
            types.MYSQL,
            lambda names: f"select '{VALUE}' as email, {', '.join(names)} from typed",
            cut,
            server=f"MariaDB {database.get_server_info().partition('-')[0]}",
            journal="yes",
        )


@pytest.fixture
def duckdb(tmp_path: Path, connection: Connect) -> Warehouse:
    import duckdb

    path = tmp_path / "warehouse.duckdb"
    with contextlib.closing(duckdb.connect(str(path))) as database:
        database.execute("create table contacts (email varchar, visits int)")
        database.execute("insert into contacts values (?, 1)", [VALUE])
    connection("duckdb", conn_type="duckdb", host=str(path))
    return Warehouse(
        "DuckDB",
        "run",
        "duckdb",
        ("apache-airflow-providers-duckdb", "duckdb"),
        lambda rows: _SERIES.format(f"range(1, {rows} + 1) as r(n)"),
        _usual_mistakes("?", ["a", "b"]),
        "select email, email::int as visits from contacts",
        types.DUCKDB,
        lambda names: select_of(types.DUCKDB, names),
    )


@pytest.fixture
def snowflake(connection: Connect) -> Iterator[Warehouse]:
    import fakesnow
    import snowflake.connector

    with fakesnow.patch():
        with contextlib.closing(snowflake.connector.connect(database="shop", schema="public")) as database:
            cursor = database.cursor()
            cursor.execute("create or replace table contacts (email varchar, visits number(38, 0))")
            cursor.execute("insert into contacts select %s, 1", [VALUE])
            for statement in types.snowflake_table():
                cursor.execute(statement)
        connection(
            "snowflake",
            conn_type="snowflake",
            login="loader",
            password="any",
            schema="public",
            extra={"account": "shop", "database": "shop", "warehouse": "loading"},
        )
        yield Warehouse(
            "Snowflake",
            "stub",
            "snowflake",
            ("apache-airflow-providers-snowflake", "snowflake-connector-python", "fakesnow"),
            lambda rows: _SERIES.format(f"(select unnest(range(1, {rows} + 1)) as n)"),
            _usual_mistakes("%s", ["a", "b"]),
            "select email, email::int as visits from contacts",
            types.SNOWFLAKE,
            lambda names: f"select '{VALUE}' as email, {', '.join(names)} from typed",
            server=_SNOWFLAKE,
        )


@pytest.fixture
def snowflake_chunks(connection: Connect, monkeypatch: pytest.MonkeyPatch) -> Iterator[Warehouse]:
    """Its connector with a server that gives a result in chunks, as fakesnow does not."""
    from snowflake.connector import connection as connector
    from snowflake.connector import result_batch

    monkeypatch.setitem(connector.DEFAULT_CONFIGURATION, "protocol", ("http", str))
    monkeypatch.setattr(result_batch, "MAX_DOWNLOAD_RETRY", 1)  # its connector asks again for a minute
    columns = [("EMAIL", "TEXT"), ("VISITS", "FIXED")]

    def scripted(rows: int) -> str:
        sql = f"select email, visits from series({rows})"
        server.results[sql] = _contacts(columns, rows, lambda n: [f"user{n}@example.com", n])
        return sql

    with ScriptedServer(snowflake_server.SnowflakeHandler).serving() as server:
        server.results["select the lost"] = _contacts(columns, 300_000, lambda n: [f"u{n}@example.com", n], dies_at=50)
        place = {"host": "127.0.0.1", "port": server.port}
        connection(
            "snowflake", conn_type="snowflake", login="loader", password="any", extra={"account": "shop", **place}
        )
        yield Warehouse(
            "Snowflake",
            "stub",
            "snowflake",
            ("apache-airflow-providers-snowflake", "snowflake-connector-python", "fakesnow"),
            scripted,
            {},
            "",
            {},
            lambda names: ", ".join(names),
            more={"lost": "select the lost", "server": server},
            server=_SNOWFLAKE,
        )


@pytest.fixture
def sqlite(tmp_path: Path, connection: Connect) -> Warehouse:
    path = tmp_path / "warehouse.db"
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("create table contacts (email text, visits int)")
        database.execute("insert into contacts values (?, 1)", [VALUE])
        database.commit()
    connection("sqlite", conn_type="sqlite", host=str(path))
    series = "with recursive r (n) as (select 1 union all select n + 1 from r where n < {}) "
    return Warehouse(
        "SQLite",
        "run",
        "sqlite",
        ("apache-airflow-providers-sqlite",),
        lambda rows: series.format(rows) + _SERIES.format("r"),
        _usual_mistakes("?", ["a", "b"]),
        # Its error is of a value that is read after the first row.
        "select email, json_extract('{}', email) as visits from contacts",
        types.SQLITE,
        lambda names: select_of(types.SQLITE, names),
        server=f"SQLite {sqlite3.sqlite_version}",
        journal="yes",
    )


def _contacts(columns: Sequence[Any], rows: int, row: Callable[[int], Any], **more: Any) -> Result:
    return Result(columns, lambda: (row(n) for n in range(1, rows + 1)), rows, **more)


@pytest.fixture
def trino(connection: Connect) -> Iterator[Warehouse]:
    columns = [("email", "varchar"), ("visits", "bigint")]

    def scripted(rows: int) -> str:
        # As a server that refuses a semicolon: it knows the statement without.
        sql = f"select email, visits from series({rows})"
        server.results[sql] = _contacts(columns, rows, lambda n: [f"user{n}@example.com", n])
        return f"{sql};"

    def typed(names: Sequence[str]) -> str:
        sql = f"select {', '.join(names)} from typed"
        chosen = [types.TRINO[name][0] for name in names]
        kinds = [("email", "varchar"), *((name, kind) for name, (kind, _) in zip(names, chosen, strict=True))]
        server.results[sql] = Result(kinds, lambda: [[VALUE, *(value for _, value in chosen)]], 1)
        return sql

    with ScriptedServer(trino_server.TrinoHandler).serving() as server:
        mistakes = {
            "statement": ("selekt 1", "SYNTAX_ERROR", "line 1:1: mismatched input 'selekt'"),
            "table": ("select * from nothing", "TABLE_NOT_FOUND", "line 1:15: Table 'a.b.nothing' does not exist"),
            "column": ("select nothing from c", "COLUMN_NOT_FOUND", "line 1:8: Column 'nothing' cannot be resolved"),
        }
        for sql, name, words in mistakes.values():
            server.results[sql] = Result(error=trino_server.error(name, words))
        server.results[f"select to int of {VALUE}"] = Result(
            error=trino_server.error("INVALID_CAST_ARGUMENT", f"Cannot cast '{VALUE}' to INT")
        )
        server.results["select the lost"] = _contacts(columns, 300_000, lambda n: [f"u{n}@example.com", n], dies_at=50)
        connection("trino", conn_type="trino", host="127.0.0.1", port=server.port, login="loader", schema="shop")
        yield Warehouse(
            "Trino",
            "stub",
            "trino",
            ("apache-airflow-providers-trino", "trino"),
            scripted,
            {name: (sql, None, words) for name, (sql, _, words) in mistakes.items()}
            | {"placeholder": ("select * from c where email = %(email)s", {"email": "a"}, "do not match each other")},
            f"select to int of {VALUE}",
            types.TRINO,
            typed,
            more={"lost": "select the lost", "server": server},
            server="a fake of its protocol",
        )


@pytest.fixture
def bigquery(connection: Connect, monkeypatch: pytest.MonkeyPatch) -> Iterator[Warehouse]:
    from google.cloud.bigquery import retry

    monkeypatch.setattr(retry.DEFAULT_RETRY, "_timeout", 0.5)  # its client asks again for ten minutes
    column, row = bigquery_server.column, bigquery_server.row
    columns = [column("email", "STRING"), column("visits", "INTEGER")]

    def scripted(rows: int) -> str:
        sql = f"select email, visits from series({rows})"
        server.results[sql] = _contacts(columns, rows, lambda n: row(f"user{n}@example.com", str(n)))
        return sql

    def typed(names: Sequence[str]) -> str:
        sql = f"select {', '.join(names)} from typed"
        chosen = [types.BIGQUERY[name][0] for name in names]
        schema = [column("email", "STRING"), *(column(name, *c) for name, (c, _) in zip(names, chosen, strict=True))]
        server.results[sql] = Result(schema, lambda: [row(VALUE, *(value for _, value in chosen))], 1)
        return sql

    with ScriptedServer(bigquery_server.BigQueryHandler).serving() as server:
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", f"http://127.0.0.1:{server.port}")
        mistakes = {
            "statement": ("selekt 1", 'Syntax error: Unexpected identifier "selekt" at [1:1]'),
            "table": ("select * from nothing", "Not found: Table shop:web.nothing was not found in location EU"),
            "column": ("select nothing from c", "Unrecognized name: nothing at [1:8]"),
        }
        for sql, words in mistakes.values():
            server.results[sql] = Result(error=bigquery_server.error(words))
        server.results[f"select int of {VALUE}"] = Result(error=bigquery_server.error(f"Bad int64 value: {VALUE}"))
        server.results["select the lost"] = _contacts(columns, 300_000, lambda n: row(f"u{n}@x.com", "1"), dies_at=50)
        extra = {"is_anonymous": True, "project": "shop"}
        connection("bigquery", conn_type="google_cloud_platform", extra=extra)
        yield Warehouse(
            "BigQuery",
            "stub",
            "bigquery",
            ("apache-airflow-providers-google", "google-cloud-bigquery"),
            scripted,
            {name: (sql, None, words) for name, (sql, words) in mistakes.items()}
            | {"placeholder": ("select * from c where email = %s", ["a", "b"], "do not match each other")},
            f"select int of {VALUE}",
            types.BIGQUERY,
            typed,
            more={"lost": "select the lost", "server": server},
            server="a stub of its REST",
        )
