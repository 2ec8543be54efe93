"""No personal data and no key in anything that Airflow keeps or shows, whatever server, rows and database do.

The needles are a made-up person's data and the API key. They are looked for in everything that was written to the
standard streams and to loggers, in the log files, in every table of Airflow's metadata database, and in exceptions with
all that they drag along; as they are, and as they read once percent, HTML and JSON encoding are undone.
"""

from __future__ import annotations

import html
import logging
import os
import re
import sqlite3
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest

from tests.integration.conftest import FAST
from tests.support.strict_server import API_KEY, StrictServer
from tests.support.task_runs import Run, run_in_airflow

PERSON = {
    "email": "joerg.quittenbaum@privat-post.example",
    "_name": "Jörg-Zacharias",
    "_surname": "Quittenbaum Ñañez",
    "_mobilePhone": "+34 655 443 322",
    "_birthdate": "1961-03-27",
    "tier": "Uferstraße 7, gelbes Haus am Steg",
}
NEEDLES = (
    *("joerg", "quittenbaum", "privat-post", "jörg", "zacharias", "ñañez"),
    *("655443322", "655 443 322", "1961-03-27", "27.03.1961", "uferstraße", "gelbes haus"),
    *("strict-key-secret", API_KEY),
)


def found(text: str) -> list[str]:
    """The needles in a text, in whatever encoding they are there."""
    forms = [text]
    for _ in range(3):
        plain = html.unescape(unquote(forms[-1]))
        forms.append(re.sub(r"\\+(?:u00|x)([0-9a-fA-F]{2})", lambda match: chr(int(match[1], 16)), plain))
    haystack = "\n".join(forms).casefold()
    return [needle for needle in NEEDLES if needle.casefold() in haystack]


@pytest.fixture
def told(airflow_db: None, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Callable[[Run], str]:
    """Everything that Airflow keeps or shows of a run, as one text."""
    caplog.set_level(logging.INFO)
    home = Path(os.environ["AIRFLOW_HOME"])

    def tell(run: Run) -> str:
        streams = capfd.readouterr()
        files = "".join(path.read_text(errors="replace") for path in home.glob("logs/**/*") if path.is_file())
        with sqlite3.connect(home / "airflow.db") as database:
            tables = "\n".join(line for line in database.iterdump() if f"'{run.dag_run.dag_id}'" in line)
        assert "xcom" in tables
        return "\n".join([streams.out, streams.err, caplog.text, files, tables])

    return tell


def exception_text(error: BaseException | None) -> str:
    """An exception with its causes, contexts and attributes."""
    parts = []
    while error is not None:
        parts += [*traceback.format_exception(error), repr(error), repr(vars(error))]
        error = error.__cause__ or error.__context__
    return "\n".join(parts)


def echo(status: int, detail: str, **body: Any) -> dict[str, Any]:
    return {"faults": [{"status": status, "json": {"detail": detail, "title": detail, **body}}]}


def reasons(reason: str, **entry: str) -> dict[str, Any]:
    return echo(422, reason, validationErrors=[{"name": reason, "path": "/_surname", "reason": reason} | entry])


def in_html(text: str) -> str:
    return "".join(f"&#{ord(character)};" if ord(character) > 127 else character for character in text)


def everything(encode: Callable[[str], str]) -> str:
    return ", ".join(encode(value) for value in PERSON.values())


# What the server does to the request for the person.
SERVERS: dict[str, dict[str, Any]] = {
    "echoes every value": echo(422, everything(str)),
    "echoes in capitals": echo(422, f"{PERSON['_name']} {PERSON['_surname']}".upper()),
    "echoes in percent encoding": echo(422, everything(quote)),
    "echoes in percent encoding, twice": echo(422, everything(lambda value: quote(quote(value, safe=""), safe=""))),
    "echoes in HTML": echo(409, everything(in_html)),
    "echoes the body it got": echo(400, "cannot read BODY"),
    "echoes the key it got": echo(404, "no contact KEY in this account"),
    "echoes the number without spaces": echo(422, "_mobilePhone 655443322, +34655443322 and 0034655443322 are taken"),
    "echoes the date its own way": echo(422, "27.03.1961 is no date"),
    "echoes words of a value": echo(422, "Quittenbaum is too long, as is Uferstraße, and gelbes Haus"),
    "echoes in a reason": reasons(everything(str)),
    "echoes in a reason, in percent encoding": reasons(everything(quote)),
    "echoes in a path": reasons("bad", path=f"/{PERSON['_surname']}", name=PERSON["email"]),
    "echoes in a code": echo(400, "bad", code=PERSON["email"]),
    "echoes past the longest reason": echo(422, "x" * 120 + " " + everything(str)),
    "echoes after many blanks": echo(422, " " * 520 + "x" + everything(str)),
    "echoes the API key": echo(422, f"apiKey {API_KEY} may not write this"),
    "echoes the API key in a 401": echo(401, f"{API_KEY} is revoked"),
    "echoes the API key in a 403": echo(403, f"{API_KEY} lacks a scope for {PERSON['email']}"),
    "echoes in a page": {"faults": [{"status": 502, "text": "<h1>KEY BODY</h1>", "content_type": "text/html"}]},
    "echoes in a 500": echo(500, everything(str)),
    "redirects": {"faults": [{"status": 302, "headers": {"Location": f"/contacts/{quote(PERSON['email'])}"}}]},
    "drops the connection": {"faults": [{"drop": "before"}]},
    "does not answer": {"faults": [{"hang": "before"}]},
    "answers half": {"faults": [{"half": True}]},
    "refuses the definitions": {"fields_fault": {"status": 403, "json": {"detail": f"{API_KEY} lacks a scope"}}},
    "accepts": {},
}


@pytest.fixture
def one_try(strict: StrictServer, connection: Callable[..., None]) -> StrictServer:
    connection("connectif_default", **strict.connection(requests_per_minute=FAST, timeout=0.3, retries=1))
    return strict


@pytest.mark.slow
@pytest.mark.parametrize("server", SERVERS)
def test_nothing_personal_is_told_whatever_the_server_does(
    server: str,
    one_try: StrictServer,
    run_dag: Callable[..., Any],
    run: Callable[..., Run],
    told: Callable[[Run], str],
    tmp_path: Path,
) -> None:
    one_try.reset(**SERVERS[server])
    rejects = tmp_path / "rejects.jsonl"
    end = run_in_airflow(run_dag, rows=[PERSON], rejects_path=str(rejects))
    alone = run(rows=[PERSON])
    assert end.state == alone.state == ("success" if server in ("accepts", "refuses the definitions") else end.state)
    text = told(end)
    assert "1 row read" in text
    assert found(text) == []
    assert found(exception_text(alone.error)) == []
    if end.summary["rejected"]:  # the rejects file is the only place where the row is meant to be
        assert "Quittenbaum" in rejects.read_text()


# A value that cannot be sent, by column.
INVALID: dict[str, Any] = {
    "email": "joerg quittenbaum at privat-post.example",
    "_mobilePhone": "655 443 322 at home",
    "_birthdate": "27.03.1961",
    "_name": ["Jörg-Zacharias"],
    "_surname": [{"Quittenbaum": "Ñañez"}],
    "_emailStatus": "joerg.quittenbaum@privat-post.example",
    "_points": "655443322 points",
    "visits": "Quittenbaum",
    "interests": ["gelbes Haus"],
    "vip": "Uferstraße",
}


@pytest.mark.sampled(1)
@pytest.mark.parametrize("column", INVALID)
def test_nothing_personal_is_told_of_a_row_that_is_invalid(
    column: str, one_try: StrictServer, run_dag: Callable[..., Any], run: Callable[..., Run], told: Callable[[Run], str]
) -> None:
    rows = [PERSON | {column: INVALID[column]}]
    end = run_in_airflow(run_dag, rows=rows)
    assert end.summary["invalid"] == 1
    alone = run(rows=rows)
    text = told(end)
    assert f'column "{column}"' in text
    assert found(text) == []
    assert found(exception_text(alone.error)) == []


# A query over the person's row that fails, or gives what cannot be delivered.
QUERIES = {
    "a cast to a number": "select email, _surname::int as visits from people",
    "a cast to a date": "select email, tier::date as _birthdate from people",
    "a cast in the second batch": (
        "select 'x' || n || '@example.com' as email, case when n < 1500 then '1' else _surname end::int as visits "
        "from people, generate_series(1, 2000) n"
    ),
    "an exception of the database's own": "select complain(email, _surname) as email from people",
    "too long for a varchar": "select email, shorten(tier) as tier from people",
    "no key": "select null as email, _surname from people",
}


@pytest.mark.sampled(1)
@pytest.mark.parametrize("query", QUERIES)
def test_nothing_personal_is_told_of_a_query_that_fails(
    query: str,
    one_try: StrictServer,
    postgres: Any,
    run_dag: Callable[..., Any],
    run: Callable[..., Run],
    told: Callable[[Run], str],
) -> None:
    postgres.execute("create table people (" + ", ".join(f"{column} text" for column in PERSON) + ")")
    postgres.execute("insert into people values (%s, %s, %s, %s, %s, %s)", list(PERSON.values()))
    postgres.execute(
        "create function complain(email text, name text) returns text language plpgsql as "
        "$$ begin raise exception 'no consent of % (%)', name, email using detail = name, hint = email; end $$"
    )
    postgres.execute(
        "create function shorten(value text) returns text language plpgsql as "
        "$$ declare short varchar(3); begin short := value; return short; end $$"
    )
    end = run_in_airflow(run_dag, sql=QUERIES[query], sql_conn_id="postgres")
    alone = run(sql=QUERIES[query], sql_conn_id="postgres")
    assert end.state != "success"
    assert found(told(end)) == []
    assert found(exception_text(alone.error)) == []


OTHERS: dict[str, Callable[[StrictServer], tuple[dict[str, Any], dict[str, Any]]]] = {
    "rows without columns": lambda server: (server.connection(), {"rows": [tuple(PERSON.values())]}),
    "a row that is text": lambda server: (server.connection(), {"rows": [PERSON, PERSON["email"]]}),
    "rows that are text": lambda server: (server.connection(), {"rows": everything(str)}),
    "a broken API key": lambda server: (
        server.connection() | {"password": API_KEY.replace(":", "/")},
        {"rows": [PERSON]},
    ),
    "an API key with a blank": lambda server: (server.connection() | {"password": f"{API_KEY} "}, {"rows": [PERSON]}),
    "an API key in the host": lambda server: (
        server.connection() | {"host": server.url.replace("//", f"//{API_KEY}@")},
        {"rows": [PERSON]},
    ),
    "a server that is down": lambda server: (
        server.connection(retries=1) | {"host": "http://127.0.0.1:9"},
        {"rows": [PERSON], "fields": "builtin"},  # so that it is the contact's own request that fails
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_nothing_personal_is_told_of_anything_else_that_goes_wrong(
    name: str,
    strict: StrictServer,
    connection: Callable[..., None],
    run_dag: Callable[..., Any],
    run: Callable[..., Run],
    told: Callable[[Run], str],
) -> None:
    fields, arguments = OTHERS[name](strict)
    connection("connectif_default", **fields)
    end = run_in_airflow(run_dag, **arguments)
    assert end.state != "success"
    alone = run(**arguments)
    assert found(told(end)) == []
    assert found(exception_text(alone.error)) == []


def test_not_even_debugging_tells_the_contact_of_a_request(
    strict: StrictServer, run: Callable[..., Run], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    assert run(rows=[PERSON]).state == "success"
    assert "/contacts/***" in caplog.text
    assert found(caplog.text) == []


@pytest.mark.parametrize("encode", [str, str.upper, quote, in_html, lambda text: quote(quote(text)), ascii])
def test_the_search_finds_what_it_looks_for(encode: Callable[[str], str]) -> None:
    assert set(found(everything(encode))) >= {"quittenbaum", "jörg", "uferstraße"}
