"""A MariaDB as source and journal, with its own driver: where its server and mysqlclient are installed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.integration.test_deferral import wait_as_the_triggerer
from tests.support.import_runs import as_contacts, import_over_deferral, rows
from tests.support.journals import deliver
from tests.support.mariadb import what_is_missing
from tests.support.strict_server import StrictServer

pytestmark = pytest.mark.skipif(bool(what_is_missing()), reason=what_is_missing() or "-")

COUNT = 300


@pytest.fixture
def journal(mariadb: dict[str, Any], connection: Callable[..., None], airflow_db: None) -> None:
    """An empty database, which is the connection ``journal``, with options in its extra that are for nobody."""
    import MySQLdb

    where = {"unix_socket": mariadb["extra"]["unix_socket"], "user": "root", "password": "", "autocommit": True}
    with contextlib.closing(MySQLdb.connect(**where)) as database:
        cursor = database.cursor()
        # Latin letters by default, as an old server has them: the journal's own columns must not depend on it.
        for statement in (
            "drop database if exists shop",
            "create database shop character set latin1",
            "create table shop.contacts (email varchar(100), visits int)",
            f"insert into shop.contacts select concat('user', seq, '@example.com'), seq from shop.seq_1_to_{COUNT}",
        ):
            cursor.execute(statement)
    extra = mariadb["extra"] | {"owner": "crm", "cursor": "dictcursor"}
    connection("journal", **(mariadb | {"schema": "shop", "extra": extra}))


@pytest.mark.usefixtures("journal")
def test_a_query_and_its_journal(strict: StrictServer, caplog: pytest.LogCaptureFixture) -> None:
    query = {"rows": None, "sql": "select email, visits from contacts", "sql_conn_id": "journal"}
    first, second = (deliver(run_id, **query) for run_id in ("night", "next night"))
    assert (first.state, first.summary["created"]) == ("success", COUNT)
    assert (second.state, second.summary["unchanged"]) == ("success", COUNT)
    assert len(strict.contacts) == COUNT
    warnings = [record.getMessage() for record in caplog.records if "does not know" in record.getMessage()]
    assert warnings
    assert all(words.endswith("Options: owner") for words in warnings)


@pytest.mark.usefixtures("journal")
def test_a_deferral_goes_on_with_its_plan(strict: StrictServer, connection: Callable[..., None]) -> None:
    connection("connectif_default", **strict.connection(timeout=5))
    strict.reset(limit=40, window_s=1.0, headers="fraction")
    source, defers = rows(100), {"deferrable": True, "defer_after": timedelta(seconds=0.2)}
    end = deliver("night", rows=source, **defers)
    deferrals = 0
    while end.state == "deferred":
        deferrals += 1
        wait_as_the_triggerer(end)
        end = deliver("night", method=end.error.method_name, rows=[], **defers)  # type: ignore[union-attr]
    assert (end.state, end.summary["created"]) == ("success", 100)
    assert deferrals > 0
    assert strict.contacts == as_contacts(source)


@pytest.mark.usefixtures("journal")
def test_an_import_goes_on_after_its_deferral(strict: StrictServer) -> None:
    source = rows(COUNT)
    runs = import_over_deferral(rows=source, journal_conn_id="journal", sync_id="nightly")
    assert runs[-1].state == "success", runs[-1].error
    assert strict.contacts == as_contacts(source)
