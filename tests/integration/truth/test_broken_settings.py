"""A wrong setting, which no other attempt corrects: it is reported once, without the secrets that it holds."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import FAST
from tests.support.strict_server import StrictServer
from tests.support.task_runs import run_in_airflow, run_operator

ROWS = [{"email": "ana@example.com"}]
SECRET = "pA55-word"


@pytest.fixture
def no_bundle(tmp_path: Path) -> str:
    path = tmp_path / "bundle.pem"
    path.write_text("no certificate")
    return str(path)


@pytest.fixture
def elsewhere(
    connection: Callable[..., None], airflow_db: None, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., None]:
    """Define the connection to a host that is not this machine, and where nobody listens."""

    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)

    def define(**extra: Any) -> None:
        connection(
            "connectif_default",
            conn_type="connectif",
            host="https://api.connectif.invalid",
            password="id:secret-of-a-key",
            extra={"connect_timeout": 1, "retries": 1} | extra,
        )

    return define


# A CA bundle that is not there was "the TLS certificate was not accepted" or a raw OSError, tried again and again.
@pytest.mark.parametrize("how", ["verify", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
@pytest.mark.parametrize("what", ["missing", "no bundle"])
def test_a_bundle_that_cannot_be_read(
    how: str, what: str, elsewhere: Callable[..., None], no_bundle: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = "/nowhere/bundle.pem" if what == "missing" else no_bundle
    elsewhere(**({"verify": path} if how == "verify" else {}))
    if how != "verify":
        monkeypatch.setenv(how, path)
    end = run_operator(rows=ROWS, fields="builtin")
    assert end.state == "failed"
    assert how in str(end.error)
    assert path in str(end.error)
    assert ("cannot be read" if what == "missing" else "is not a CA bundle") in str(end.error)


def test_a_bundle_that_is_missing_ends_a_real_task_at_once(
    run_dag: Callable[..., Any], elsewhere: Callable[..., None]
) -> None:
    elsewhere(verify="/nowhere/bundle.pem")
    assert run_in_airflow(run_dag, rows=ROWS, fields="builtin").state == "failed"


# A proxy whose address cannot be used was "the connection broke", five times for each row.
@pytest.mark.parametrize(
    ("proxy", "words"),
    [
        (f"http://user:{SECRET}@[bad", "is not a valid address"),
        (f"http://user:{SECRET}@host:port", "is not a valid address"),
        ("http://a b", "is not a valid address"),
        ("http:///", "has no host"),
        (f"http://user:{SECRET}@", "is not a valid address"),
        (f"ftp://user:{SECRET}@host", "has the scheme 'ftp'"),
        (f"socks5://user:{SECRET}@host:1080", "is a SOCKS proxy, which needs the package PySocks"),
        ("socks9://host", "has the scheme 'socks9'"),
        ("proxy:3128", "has no scheme: write http:// before the host"),
    ],
)
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "all_proxy"])
def test_a_proxy_that_cannot_be_used(
    proxy: str, words: str, variable: str, elsewhere: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere()
    monkeypatch.setenv(variable, proxy)
    end = run_operator(rows=ROWS, fields="builtin")
    assert end.state == "failed"
    assert str(end.error).startswith(f"the proxy in {variable} {words}")
    assert SECRET not in str(end.error)


def test_an_unusable_proxy_does_not_matter_for_this_machine(
    strict: StrictServer, airflow_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "ftp://host")
    monkeypatch.setenv("ALL_PROXY", "socks5://host")
    monkeypatch.setenv("NO_PROXY", "fe80::/10,[::1,a:b")
    assert run_operator(rows=ROWS, fields="builtin").state == "success"


# Addresses in NO_PROXY that some HTTP libraries trip over; the deferred task failed.
@pytest.mark.parametrize("no_proxy", ["fe80::/10", "::1,a:b", "[::1"])
def test_the_triggerer_reads_the_environment_as_the_worker_does(
    no_proxy: str, strict: StrictServer, airflow_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    import asyncio
    import time

    from airflow_provider_connectif.triggers.imports import ImportTrigger

    monkeypatch.setenv("NO_PROXY", no_proxy)

    async def event() -> Any:
        async for found in ImportTrigger("connectif_default", ["none"], 0.1, time.time() + 5, None).run():
            return found.payload
        return None

    assert asyncio.run(event())["why"] == "finished"


def test_a_triggerer_without_the_bundle_leaves_the_import_to_the_task(
    elsewhere: Callable[..., None],
) -> None:
    import asyncio
    import time

    from airflow_provider_connectif.triggers.imports import ImportTrigger

    elsewhere(verify="/nowhere/bundle.pem")

    async def event() -> Any:
        async for found in ImportTrigger("connectif_default", ["x"], 0.1, time.time() + 5, {"a": 1}).run():
            return found.payload
        return None

    assert asyncio.run(event()) == {
        "statuses": {},
        "why": "refused",
        "requests": 0,
        "rate_limited": 0,
        "carried": {"a": 1},
    }


# What a connection to a database may have wrong, as its extra or its type, and the words.
OF_A_POSTGRES: dict[str, tuple[dict[str, Any], str]] = {
    "an option that libpq does not know": ({"nothing": SECRET}, 'invalid connection option "nothing"'),
    "a wrong sslmode": ({"sslmode": SECRET}, "invalid sslmode value"),
    "a wrong number": ({"connect_timeout": SECRET}, "its driver refuses the settings"),
}
OF_ANY: dict[str, dict[str, Any]] = {
    "no SQL": {"conn_type": "fs"},
    "no hook": {"conn_type": "generic", "host": "x"},
    "a package that is not there": {"conn_type": "oracle", "host": "x"},
}


@pytest.mark.parametrize("user", ["journal", "source"])
@pytest.mark.parametrize("fault", [*OF_A_POSTGRES, *OF_ANY])
def test_a_connection_that_its_driver_refuses(
    fault: str, user: str, postgres: Any, strict: StrictServer, connection: Callable[..., None]
) -> None:
    good = json.loads(os.environ["AIRFLOW_CONN_POSTGRES"])
    extra, words = OF_A_POSTGRES.get(fault, ({}, ""))
    connection("broken", **(OF_ANY.get(fault) or good | {"extra": extra}))
    end = (
        run_operator(rows=ROWS, journal_conn_id="broken", sync_id="s")
        if user == "journal"
        else run_operator(sql="select 'ana@example.com' as email", sql_conn_id="broken")
    )
    assert end.state == "failed"
    assert "'broken'" in str(end.error)
    assert words in str(end.error)
    assert SECRET not in str(end.error)
    assert strict.received == 0


@pytest.mark.parametrize("scheme", ["postgresql+nothing", "nothing"])
def test_a_journal_of_a_dialect_that_is_none(
    scheme: str, postgres: Any, strict: StrictServer, connection: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    import sqlalchemy

    url = f"{scheme}://user:{SECRET}@host/db"
    monkeypatch.setattr(
        "airflow.providers.postgres.hooks.postgres.PostgresHook.get_sqlalchemy_engine",
        lambda *_, **__: sqlalchemy.create_engine(url),
    )
    end = run_operator(rows=ROWS, journal_conn_id="postgres", sync_id="s")
    assert end.state == "failed"
    assert "its dialect or the driver for it is not installed" in str(end.error)
    assert SECRET not in str(end.error)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("url", ["", "host/db", f"//user:{SECRET}@host"])
def test_a_journal_without_a_dialect(
    url: str, postgres: Any, strict: StrictServer, monkeypatch: pytest.MonkeyPatch, run_dag: Callable[..., Any]
) -> None:
    import sqlalchemy

    monkeypatch.setattr(
        "airflow.providers.postgres.hooks.postgres.PostgresHook.get_sqlalchemy_engine",
        lambda *_, **__: sqlalchemy.create_engine(url),
    )
    end = run_operator(rows=ROWS, journal_conn_id="postgres", sync_id="s")
    assert (end.state, strict.received) == ("failed", 0)
    assert str(end.error).startswith("the journal's connection 'postgres' cannot be used: it gives no SQLAlchemy URL")
    assert SECRET not in str(end.error)
    assert run_in_airflow(run_dag, rows=ROWS, journal_conn_id="postgres", sync_id="s").state == "failed"


def test_a_mode_that_sqlite_does_not_know_is_final(
    strict: StrictServer, connection: Callable[..., None], tmp_path: Path
) -> None:
    connection("broken", conn_type="sqlite", host=str(tmp_path / "x.db"), extra={"mode": SECRET})
    end = run_operator(sql="select 'a@example.com' as email", sql_conn_id="broken")
    assert (end.state, strict.received) == ("failed", 0)
    assert str(end.error).endswith("check its extra and its driver: OperationalError: no such access mode")


def test_a_folder_of_a_journal_that_is_not_there_is_final(
    strict: StrictServer, connection: Callable[..., None], tmp_path: Path
) -> None:
    folder = tmp_path / "nowhere"
    connection("broken", conn_type="sqlite", host=str(folder / "journal.db"))
    end = run_operator(rows=ROWS, journal_conn_id="broken", sync_id="s")
    assert (end.state, strict.received) == ("failed", 0)
    words = f"the journal's connection 'broken' cannot be used: its folder {str(folder)!r} does not exist"
    assert str(end.error) == words
    folder.mkdir()
    assert run_operator(rows=ROWS, journal_conn_id="broken", sync_id="s").state == "success"


def test_an_argument_that_a_driver_s_connect_does_not_know(
    strict: StrictServer, sqlite_warehouse: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "airflow.providers.sqlite.hooks.sqlite.SqliteHook.get_conn",
        lambda _: sqlite3.connect(":memory:", nothing=SECRET),
    )
    end = run_operator(sql="select 1", sql_conn_id="warehouse")
    assert end.state == "failed"
    assert "its driver does not know the option 'nothing'" in str(end.error)
    assert SECRET not in str(end.error)


# Airflow quotes a URI that it cannot read, with the password in it.
def test_the_password_of_a_malformed_uri_is_not_shown(strict: StrictServer, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.providers.common.compat.sdk import AirflowException, BaseHook

    of_others = BaseHook.get_connection

    def lookup(*conn_id: Any) -> Any:
        if conn_id[-1] != "warehouse":
            return of_others(conn_id[-1])
        raise AirflowException(f"Invalid connection string: postgres://user:{SECRET}://host.")

    monkeypatch.setattr(BaseHook, "get_connection", lookup)
    end = run_operator(sql="select 1", sql_conn_id="warehouse")
    assert end.state == "failed"
    assert str(end.error) == "sql_conn_id='warehouse': its URI cannot be read"


# A placeholder of another driver, or parameters that do not fit: a raw TypeError, or tried again.
STATEMENTS: list[tuple[str, str, Any]] = [
    ("sqlite", "select * from contacts where email = %s", ["x"]),
    ("sqlite", "select * from contacts where email = ?", None),
    ("sqlite", "select * from contacts where email = ?", ["x", "y"]),
    ("sqlite", "select * from contacts where email = :name", {"other": 1}),
    ("sqlite", "select * from contacts where email = ?", [{"a": 1}]),
    ("sqlite", "select * from contacts where email = ?", [2**70]),
    ("postgres", "select * from contacts where email = ?", ["x"]),
    ("postgres", "select * from contacts where email = :name", {"name": "x"}),
    ("postgres", "select * from contacts where email = %s", ["x", "y"]),
    ("postgres", "select * from contacts where email = %s and email = %s", ["x"]),
    ("postgres", "select * from contacts where email = %(name)s", {"other": "x"}),
    ("postgres", "select * from contacts where email = %(name)s", ["x"]),
    ("postgres", "select * from contacts where email like 'a%' and email = %s", ["x"]),
    ("postgres", "select * from contacts where email = %s", [object]),
    ("postgres", "select * from contacts where email = %s", ["ana\0@example.com"]),
    ("postgres", "select * from contacts where email = $1", None),
]


@pytest.mark.parametrize(("database", "sql", "parameters"), STATEMENTS)
def test_a_wrong_placeholder_is_final(
    database: str, sql: str, parameters: Any, strict: StrictServer, request: pytest.FixtureRequest
) -> None:
    if database == "sqlite":
        request.getfixturevalue("sqlite_warehouse")(("email",), [("ana@example.com",)])
    else:
        request.getfixturevalue("postgres").execute("create table contacts (email text)")
    conn_id = "warehouse" if database == "sqlite" else "postgres"
    end = run_operator(sql=sql, sql_conn_id=conn_id, parameters=parameters)
    assert end.state == "failed"
    assert repr(conn_id) in str(end.error)
    either = ("sql and parameters do not match each other on", "refuses the SQL statement")
    assert any(words in str(end.error) for words in either)


# A statement out of a file often ends in a semicolon, which some drivers refuse.
@pytest.mark.parametrize(
    "end_of_sql", [";", " ;\n", ";\n-- the end; really\n", ";;", "; /* the end */", "", " -- no semicolon"]
)
def test_a_semicolon_at_the_end_goes_where_the_hook_says_so(
    end_of_sql: str, strict: StrictServer, sqlite_warehouse: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.providers.sqlite.hooks.sqlite import SqliteHook

    class Strict(sqlite3.Cursor):
        def execute(self, sql: str, *rest: Any) -> Any:
            if ";" in sql.replace("a;b", ""):
                raise sqlite3.OperationalError('near ";": syntax error')
            return super().execute(sql, *rest)

    class Connection(sqlite3.Connection):
        def cursor(self, *_: Any) -> Any:
            return super().cursor(Strict)

    sqlite_warehouse(("email", "_name"), [("ana@example.com", "a;b")])
    path = json.loads(os.environ["AIRFLOW_CONN_WAREHOUSE"])["host"]
    monkeypatch.setattr(SqliteHook, "get_conn", lambda _: sqlite3.connect(path, factory=Connection))
    monkeypatch.setattr(SqliteHook, "strip_semicolon", True, raising=False)
    end = run_operator(sql=f"select * from contacts where _name = 'a;b'{end_of_sql}", sql_conn_id="warehouse")
    assert (end.state, strict.contacts) == ("success", {"ana@example.com": {"_name": "a;b"}})


@pytest.mark.sampled(1)
@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_a_semicolon_at_the_end_of_a_file_works(
    database: str, strict: StrictServer, request: pytest.FixtureRequest, run_dag: Callable[..., Any]
) -> None:
    if database == "sqlite":
        request.getfixturevalue("sqlite_warehouse")(("email",), [("ana@example.com",)])
    else:
        postgres = request.getfixturevalue("postgres")
        postgres.execute("create table contacts (email text)")
        postgres.execute("insert into contacts values ('ana@example.com')")
    conn_id = "warehouse" if database == "sqlite" else "postgres"
    end = run_in_airflow(run_dag, sql="select * from contacts;\n-- the end\n", sql_conn_id=conn_id)
    assert (end.state, strict.contacts) == ("success", {"ana@example.com": {}})


@pytest.mark.parametrize("sslmode", ["verify-full", "require"])
def test_a_root_certificate_that_is_missing_is_final_where_it_is_needed(
    sslmode: str, strict: StrictServer, connection: Callable[..., None], tmp_path: Path
) -> None:
    where: dict[str, Any] = {"conn_type": "postgres", "host": "127.0.0.1", "port": 1, "schema": "x", "login": "x"}
    connection("broken", **where, extra={"sslmode": sslmode, "sslrootcert": str(tmp_path / "ca.pem")})
    for arguments in ({"sql": "select 1", "sql_conn_id": "broken"}, {"rows": ROWS, "journal_conn_id": "broken"}):
        end = run_operator(sync_id="s", **arguments)
        is_final = sslmode == "verify-full"
        assert end.state == ("failed" if is_final else "up_for_retry")
        assert ("sslrootcert names a file that does not exist" in str(end.error)) is is_final


def test_a_server_that_is_not_there_is_still_worth_another_attempt(
    strict: StrictServer, connection: Callable[..., None]
) -> None:
    connection("connectif_default", **strict.connection(requests_per_minute=FAST, timeout=5))
    connection("down", conn_type="postgres", host="127.0.0.1", port=1, schema="x", login="x")
    assert run_operator(sql="select 1", sql_conn_id="down").state == "up_for_retry"
    assert run_operator(rows=ROWS, journal_conn_id="down", sync_id="s").state == "up_for_retry"
