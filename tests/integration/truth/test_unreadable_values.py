"""A value that a client library cannot convert: its row is refused alone, and its words reach nobody."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pendulum
import pytest

from tests.support.strict_server import StrictServer
from tests.support.task_runs import Run, run_in_airflow, run_operator

SECRET = "12345-06-07"  # a date of a person, as no word of a log may have it

# What a database holds and Python does not: PostgreSQL's expression, and what its driver quotes.
BEYOND_PYTHON = {
    "a year above 9999": ("'12345-06-07'::date", "12345"),
    "a date before Christ": ("'0044-03-15 BC'::date", "0044-03-15"),
    "infinity": ("'infinity'::date", "infinity"),
    "infinity before all": ("'-infinity'::timestamp", "infinity"),
    "a moment above 9999": ("'12345-06-07 08:09+00'::timestamptz", "12345"),
    "hour 24": ("'24:00'::time", "24:00"),
    "such a date in an array": ("array['12345-06-07'::date]", "12345"),
    "such a date in a range": ("daterange('0044-03-15 BC', '2020-01-01')", "0044-03-15"),
    "infinity in a range": ("daterange('2020-01-01', 'infinity')", "infinity"),
}


def everything_shown(run: Run, capfd: pytest.CaptureFixture[str]) -> str:
    parts, error = [*capfd.readouterr(), repr(run.summary), repr(run.returned)], run.error
    while error is not None:
        parts += [str(error), repr(vars(error))]
        error = error.__cause__ or error.__context__
    return "\n".join(parts)


# One row with such a value stopped every run at its place, and the driver's words about it were logged.
@pytest.mark.slow
@pytest.mark.parametrize("kind", BEYOND_PYTHON)
def test_a_value_beyond_python_s_range_refuses_its_row_alone(
    kind: str, driver: str, strict: StrictServer, capfd: pytest.CaptureFixture[str]
) -> None:
    if (kind, driver) == ("hour 24", "psycopg2"):
        pytest.skip("psycopg2 reads it as midnight")
    expression, quoted = BEYOND_PYTHON[kind]
    # One kind stands in the first of two batches.
    rows, place = (1500, 700) if kind == "a year above 9999" else (30, 7)
    sql = f"""select 'user' || n || '@example.com' as email, case n when {place} then {expression} end as _birthdate
              from generate_series(1, {rows}) n"""
    end = run_operator(sql=sql, sql_conn_id="postgres", failure_budget=1)
    assert end.state == "success"
    assert (end.summary["created"], end.summary["invalid"]) == (rows - 1, 1)
    (reason,) = end.summary["reasons"]
    assert reason.startswith('column "_birthdate" cannot be read as a')
    shown = everything_shown(end, capfd)
    assert f"(row {place})" in shown
    assert quoted not in shown


def test_one_such_row_in_airflow(
    run_dag: Callable[..., Any], postgres: Any, strict: StrictServer, tmp_path: Path
) -> None:
    postgres.execute("create table contacts (email text, _birthdate date)")
    postgres.execute("insert into contacts values ('a@example.com', '12345-06-07'), ('b@example.com', '1990-05-17')")
    rejects = tmp_path / "rejects.jsonl"
    end = run_in_airflow(
        run_dag,
        sql="select * from contacts order by 1",
        sql_conn_id="postgres",
        rejects_path=str(rejects),
        failure_budget=1,
    )
    assert end.state == "success"
    assert strict.contacts == {"b@example.com": {"_birthdate": "1990-05-17"}}
    # The rejects file holds the row, for the person who corrects it.
    assert SECRET in rejects.read_text()
    logs = Path(os.environ["AIRFLOW_HOME"]).glob("logs/**/*")
    assert not any(SECRET in path.read_text(errors="replace") for path in logs if path.is_file())


def test_a_column_that_is_not_sent_may_hold_anything(driver: str, strict: StrictServer) -> None:
    sql = "select 'a@example.com' as email, 'Ana' as name, 'infinity'::date as until"
    end = run_operator(sql=sql, sql_conn_id="postgres", properties={"_name": "name"})
    assert end.state == "success"
    assert strict.contacts == {"a@example.com": {"_name": "Ana"}}


def test_an_unreadable_contact_key_refuses_its_row(driver: str, strict: StrictServer) -> None:
    sql = "select 'infinity'::date as external_id, 'Ana' as _name union all select '2020-02-02', 'Ben'"
    end = run_operator(sql=sql, sql_conn_id="postgres", key="external_id", failure_budget=2)
    assert end.summary["invalid"] >= 1
    assert "infinity" not in str(strict.contacts)


def test_a_journal_holds_such_a_row_until_it_changes(
    postgres: Any, strict: StrictServer, connection: Callable[..., None], tmp_path: Path
) -> None:
    connection("journal", conn_type="sqlite", host=str(tmp_path / "journal.db"))
    sql = "select 'a@example.com' as email, '12345-06-07'::date as _birthdate"
    arguments: dict[str, Any] = {"sql": sql, "sql_conn_id": "postgres", "journal_conn_id": "journal", "sync_id": "s"}
    for _ in range(2):
        end = run_operator(**arguments, failure_budget=1)
        assert end.summary["invalid"] + end.summary["held"] == 1
        assert strict.received == 0
    end = run_operator(**(arguments | {"sql": sql.replace("12345", "1990")}))
    assert strict.contacts == {"a@example.com": {"_birthdate": "1990-06-07"}}


# SQLite keeps any bytes as text; its module quoted the text and left the rows behind it.
@pytest.mark.slow
def test_bytes_that_are_no_text_in_sqlite_refuse_their_row_alone(
    strict: StrictServer, sqlite_warehouse: Callable[..., None], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sqlite_warehouse(("email", "_name"), [(f"user{n}@example.com", "Name") for n in range(1200)])
    with sqlite3.connect(tmp_path / "warehouse.db") as database:
        database.execute("update contacts set _name = cast(x'42617274e9cf' as text) where rowid = 1100")
        database.execute("update contacts set email = cast(x'42617274e9406578616d706c65' as text) where rowid = 1150")
    end = run_operator(sql="select * from contacts", sql_conn_id="warehouse", failure_budget=2)
    assert (end.state, end.summary["created"], end.summary["invalid"]) == ("success", 1198, 2)
    assert "Bart" not in everything_shown(end, capfd)


# A converter that somebody has registered raises what it likes.
@pytest.mark.parametrize("error", [ValueError, OverflowError, UnicodeError, KeyError, RuntimeError])
def test_a_converter_s_error_is_not_quoted(
    error: type[Exception],
    strict: StrictServer,
    sqlite_warehouse: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:

    def convert(raw: bytes) -> Any:
        if raw.startswith(b"Barth"):
            raise error(f"cannot convert {raw!r}")
        return raw.decode()

    monkeypatch.setitem(sqlite3.converters, "PERSON", convert)  # type: ignore[attr-defined]
    sqlite_warehouse(("email", "_name person"), [(f"user{n}@example.com", "Name") for n in range(1100)])
    with sqlite3.connect(tmp_path / "warehouse.db") as database:
        database.execute("update contacts set _name = 'Bartholomew' where rowid = 1060")

    def connect(_: Any) -> sqlite3.Connection:
        return sqlite3.connect(tmp_path / "warehouse.db", detect_types=sqlite3.PARSE_DECLTYPES)

    monkeypatch.setattr("airflow.providers.sqlite.hooks.sqlite.SqliteHook.get_conn", connect)
    end = run_operator(sql="select * from contacts", sql_conn_id="warehouse")
    assert strict.contacts == {}  # nothing is sent of a source that fails
    assert error.__name__ in str(end.error)
    assert "Bartholomew" not in everything_shown(end, capfd)
    if issubclass(error, (ValueError, ArithmeticError)):
        assert end.state == "failed"
        assert "in one of the rows 1,051 to 1,550. Cast" in str(end.error)


# A text that is no query for a search has the SQLSTATE of a syntax error, and its words quote the row.
# A row may also name a schema, a database or a file, and a function of one's own raises any state.
@pytest.mark.parametrize(
    "expression",
    [
        *("to_tsquery(note)::text", "note::regclass::text", "note::jsonpath::text", "note::numeric::text"),
        *("has_schema_privilege(note, 'usage')::text", "has_database_privilege(note, 'connect')::text"),
        *("pg_read_file(note)", "refused(note, '55000')", "refused(note, '57014')", "refused(note, '40001')"),
    ],
)
def test_a_row_that_a_function_of_the_database_refuses_is_not_quoted(
    expression: str, postgres: Any, strict: StrictServer, capfd: pytest.CaptureFixture[str]
) -> None:
    postgres.execute("create table contacts (email text, note text)")
    postgres.execute(
        "create function refused(note text, state text) returns text language plpgsql as $$ "
        "begin raise exception 'customer % is locked', note using errcode = state; end $$"
    )
    postgres.execute("insert into contacts values ('a@example.com', 'Bartholomew & & Smith')")
    end = run_operator(sql=f"select email, {expression} as _name from contacts", sql_conn_id="postgres")
    assert end.state == "up_for_retry"
    assert "bartholomew" not in everything_shown(end, capfd).casefold()


# A retry reads these rows again. Without one, nobody would get what the source has after them.
def test_an_invalid_row_takes_no_retry_from_a_read_that_fails(postgres: Any, strict: StrictServer) -> None:
    postgres.execute("create table contacts (email text, note text)")
    postgres.execute("insert into contacts values ('no address', '1')")
    postgres.execute("insert into contacts select 'user' || n || '@example.com', '1' from generate_series(1, 3000) n")
    postgres.execute("insert into contacts values ('ana@example.com', 'Smith')")
    sql = "select email, note::int as _points from contacts"
    end = run_operator(sql=sql, sql_conn_id="postgres")
    assert (end.state, end.summary["invalid"], strict.contacts) == ("up_for_retry", 1, {})
    assert "its message may quote a value and is not shown. 1 of " in str(end.error).casefold()


# What a parameter says is evaluated while the query is planned, so the statement seems to be wrong.
@pytest.mark.parametrize("condition", ["to_tsvector(note) @@ to_tsquery({})", "note = cast({} as regclass)::text"])
@pytest.mark.parametrize("parameters", [["Bartholomew Smith"], {"q": "Bartholomew Smith"}])
def test_a_parameter_that_the_database_refuses_is_not_quoted(
    condition: str, parameters: Any, postgres: Any, strict: StrictServer, capfd: pytest.CaptureFixture[str]
) -> None:
    postgres.execute("create table contacts (email text, note text)")
    placeholder = "%(q)s" if isinstance(parameters, dict) else "%s"
    sql = f"select email from contacts where {condition.format(placeholder)}"
    end = run_operator(sql=sql, sql_conn_id="postgres", parameters=parameters)
    assert (end.state, "SQLSTATE 42" in str(end.error)) == ("failed", True)
    shown = everything_shown(end, capfd).casefold()
    assert "bartholomew" not in shown
    assert "smith" not in shown


# SQLite's full-text search has the words of a wrong statement for a row's text, and the first row is read early.
@pytest.mark.parametrize("row", [1, 280])
def test_a_row_that_a_full_text_search_refuses_is_not_quoted(
    row: int,
    strict: StrictServer,
    sqlite_warehouse: Callable[..., None],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    sqlite_warehouse(("email", "note"), [(f"user{n}@example.com", "hello") for n in range(300)])
    with sqlite3.connect(tmp_path / "warehouse.db") as database:
        database.execute("create virtual table pages using fts5(body)")
        database.execute("update contacts set note = 'Bartholomew:x' where rowid = ?", (row,))
    sql = "select email, (select body from pages where pages match note) as _name from contacts where rowid > ?"
    end = run_operator(sql=sql, sql_conn_id="warehouse", parameters=[0])
    assert end.state == "up_for_retry"
    assert "Bartholomew" not in everything_shown(end, capfd)
    end = run_operator(sql=sql.replace("note", "notes"), sql_conn_id="warehouse", parameters=[0])
    assert (end.state, str(end.error)[-21:]) == ("failed", "no such column: notes")


def rows_that_convert(rows: list[Any]) -> Iterator[dict[str, Any]]:
    for email, points in rows:
        yield {"email": email, "_points": int(points)}


class _DriversError(Exception):
    """As of a driver that an author's function uses."""


_DriversError.__name__ = "Error"


def rows_of_a_driver() -> Iterator[dict[str, Any]]:
    yield {"email": "a@example.com"}
    raise type("DataError", (_DriversError,), {})("date too large: '12345-06-07'")


# Errors that quote what they could not convert, out of a function that makes rows.
@pytest.mark.parametrize(
    ("rows", "kind"),
    [
        (lambda: rows_that_convert([("a@example.com", "7"), ("b@example.com", "Bartholomew")]), "ValueError"),
        (rows_of_a_driver, "DataError"),
        (lambda: ({"email": "a@example.com", "x": bytes([n]).decode()} for n in (65, 233)), "UnicodeDecodeError"),
        (lambda: ({"email": "a@example.com", "x": {"ES": 1}[t]} for t in ("ES", "Bartholomew")), "KeyError"),
        (lambda: ({"email": "a@example.com", "x": pendulum.parse(t)} for t in ("2020", "Bartholomew")), "ParserError"),
        (lambda: ({"email": "a@example.com", "x": ZoneInfo(t)} for t in ("UTC", "Bartho")), "ZoneInfoNotFoundError"),
        (
            lambda: ({"email": "a@example.com", "x": date.fromisoformat(t)} for t in ("2020-01-01", "12345")),
            "ValueError",
        ),
    ],
)
def test_a_conversion_that_fails_in_a_function_is_named_by_its_place(
    rows: Callable[[], Any], kind: str, strict: StrictServer, airflow_db: None, capfd: pytest.CaptureFixture[str]
) -> None:
    end = run_operator(rows=rows(), fields="builtin", properties={})
    assert end.state == "up_for_retry"
    assert f"making row 2 failed with {kind}, in " in str(end.error)
    assert "of test_unreadable_values.py" in str(end.error)
    assert strict.received == 0
    shown = everything_shown(end, capfd)
    assert [quoted for quoted in ("Bartho", "12345", "0xe9") if quoted in shown] == []


def test_a_function_that_returns_its_rows_is_treated_alike(
    run_dag: Callable[..., Any], strict: StrictServer, capfd: pytest.CaptureFixture[str]
) -> None:
    from airflow.providers.common.compat.sdk import DAG

    from airflow_provider_connectif.decorators.contacts import connectif_patch_task
    from tests.support.airflow_runs import task_states

    with DAG("conversion_in_a_function", schedule=None) as dag:

        @connectif_patch_task(retries=0)
        def made() -> list[dict[str, Any]]:
            return [{"email": "a@example.com", "_points": int("Bartholomew")}]

        made()
    dag_run = run_dag(dag)
    assert set(task_states(dag_run).values()) == {"failed"}
    logs = Path(os.environ["AIRFLOW_HOME"]).glob("logs/**/*")
    texts = [path.read_text(errors="replace") for path in logs if path.is_file() and "conversion_in" in str(path)]
    texts += capfd.readouterr()
    assert not any("literal for int() with base 10: 'Bartholomew'" in text for text in texts)
    assert any("making the rows failed with ValueError, in made()" in text for text in texts)


def test_an_author_s_own_words_pass(strict: StrictServer, airflow_db: None) -> None:
    def rows() -> Iterator[dict[str, Any]]:
        yield {"email": "a@example.com"}
        raise RuntimeError("the supplier's API is closed on Sundays")

    with pytest.raises(RuntimeError, match="closed on Sundays"):
        run_operator(rows=rows(), fields="builtin")
