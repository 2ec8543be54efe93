"""A day stays the day that the source holds, whatever the time zone of server, session and driver."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.support.strict_server import StrictServer
from tests.support.task_runs import Run, run_in_airflow, run_operator

MADRID, TOKYO, SAO_PAULO = map(ZoneInfo, ("Europe/Madrid", "Asia/Tokyo", "America/Sao_Paulo"))


# Kind of fault: midnight in one time zone, handed over in another, is sent as the day before.
@pytest.mark.sampled(1)
@pytest.mark.parametrize("property_id", ["_birthdate", "last_visit"])
@pytest.mark.parametrize("zone", ["Europe/Madrid", "UTC", "America/New_York"])
def test_a_timestamp_is_the_day_of_its_session_or_refused(
    property_id: str, zone: str, strict: StrictServer, run_dag: Callable[..., Any], postgres: Any, tmp_path: Path
) -> None:
    postgres.execute("create table people (email text, day timestamptz)")
    postgres.execute("insert into people values ('ana@example.com', '1990-05-17 00:00:00 Europe/Madrid')")
    database = postgres.execute("select current_database()").fetchone()[0]
    postgres.execute(f"alter database \"{database}\" set timezone to '{zone}'")
    rejects = tmp_path / "rejects.jsonl"
    try:
        done = run_in_airflow(
            run_dag,
            sql="select * from people",
            sql_conn_id="postgres",
            properties={property_id: "day"},
            failure_budget=1,
            rejects_path=str(rejects),
        )
    finally:
        postgres.execute(f'alter database "{database}" reset timezone')
    assert done.state == "success"
    if zone == "Europe/Madrid":
        assert strict.contacts == {"ana@example.com": {property_id: "1990-05-17T00:00:00Z"}}
    else:
        (reject,) = map(json.loads, rejects.open())
        assert "cast it to a date in the query" in reject["reasons"][0]
        assert strict.contacts == {}


MOMENTS: list[Any] = [
    dt.datetime(1990, 5, 16, 22, tzinfo=dt.UTC),
    dt.datetime(1990, 5, 17, 1, tzinfo=MADRID),
    dt.datetime(1990, 5, 17, 0, 0, 0, 1, tzinfo=dt.UTC),
    "1990-05-16T22:00:00Z",
    "1990-05-17T23:00:00Z",
    "1990-05-17 08:30:00+02:00",
    "1990-05-17T23:59:60Z",
    "1990-05-17T24:00:00",
]
MIDNIGHTS: list[Any] = [
    dt.date(1990, 5, 17),
    dt.datetime(1990, 5, 17),
    dt.datetime(1990, 5, 17, tzinfo=MADRID),
    dt.datetime(1990, 5, 17, tzinfo=TOKYO),
    "1990-05-17",
    "1990-05-17 00:00:00",
    "1990-05-17T00:00:00.000+02:00",
]


@pytest.mark.parametrize("kind", ["ContactPatchOperator", "ContactImportOperator"])
@pytest.mark.parametrize("property_id", ["_birthdate", "last_visit"])
def test_by_patch_and_by_import_the_same_days(
    kind: str, property_id: str, strict: StrictServer, airflow_db: None
) -> None:
    rows = [{"email": f"{n}@example.com", property_id: value} for n, value in enumerate(MIDNIGHTS + MOMENTS)]
    more: dict[str, Any] = {"poll_interval": dt.timedelta(seconds=0.05)} if kind == "ContactImportOperator" else {}
    done = run_operator(kind=kind, rows=rows, failure_budget=len(MOMENTS), **more)
    assert (done.state, done.summary["invalid"]) == ("success", len(MOMENTS))
    sent = [contact[property_id] for contact in strict.contacts.values()]
    assert len(sent) == len(MIDNIGHTS)
    assert {day[:10] for day in sent} == {"1990-05-17"}
    # With an offset, a server that converts to UTC would make it the day before.
    assert {day[10:] for day in sent} <= {"", "T00:00:00Z"}


# Kind of fault: a custom field's type that is not known, where the server decides on the day.
def test_without_definitions_a_moment_is_refused_too(strict: StrictServer, run: Callable[..., Run]) -> None:
    row = {"email": "ana@example.com", "last_visit": MOMENTS[0]}
    assert run(rows=[row], fields="builtin").summary["invalid"] == 1
    row = {"email": "ana@example.com", "last_visit": MIDNIGHTS[2]}
    assert run(rows=[row], fields="builtin").summary["created"] == 1
    assert strict.contacts == {"ana@example.com": {"last_visit": "1990-05-17T00:00:00Z"}}


def test_a_birthday_has_no_time_of_day(strict: StrictServer, run: Callable[..., Run]) -> None:
    rows = [{"email": "ana@example.com", "_birthdate": value} for value in ("1990-05-16 22:00:00",)]
    assert run(rows=rows).summary["invalid"] == 1


def test_a_day_that_begins_at_one_o_clock_is_that_day(strict: StrictServer, run: Callable[..., Run]) -> None:
    run(rows=[{"email": "ana@example.com", "last_visit": dt.datetime(2018, 11, 4, 1, tzinfo=SAO_PAULO)}])
    assert strict.contacts == {"ana@example.com": {"last_visit": "2018-11-04T00:00:00Z"}}
