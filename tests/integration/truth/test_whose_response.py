"""A success that is not Connectif's, or not the response to this request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_connectif.hooks.connectif import ConnectifHook
from tests.integration.conftest import FAST
from tests.support.journals import JournalDatabase, deliver, journal_database, usually
from tests.support.scripted_server import Exchange, serving
from tests.support.strict_server import StrictServer
from tests.support.task_logs import provider_lines
from tests.support.task_runs import Run, run_in_airflow, run_operator

LOGIN = {"text": "<!DOCTYPE html><title>Sign in</title>", "content_type": "text/html"}
ROWS = [{"email": f"user{n}@example.com", "visits": n} for n in range(6)]
EMAIL = "user3@example.com"


@pytest.fixture(params=usually("postgres"))
def journal(request: pytest.FixtureRequest, airflow_db: None) -> JournalDatabase:
    return journal_database(request.param, request)


# A proxy asks for a password, with status 200 and a page: the contact is counted as updated and acknowledged, and is
# not sent again the next night.


@pytest.mark.slow
def test_a_login_page_is_no_delivery(
    journal: JournalDatabase, strict: StrictServer, connection: Callable[..., None], run_dag: Callable[..., Any]
) -> None:
    connection("connectif_default", **strict.connection(requests_per_minute=FAST, retries=2))
    strict.reset(faults=[LOGIN])
    arguments: dict[str, Any] = {"journal_conn_id": "journal", "sync_id": "nightly", "fields": "builtin"}
    first = run_in_airflow(run_dag, rows=ROWS, **arguments)
    assert first.state == "up_for_retry"
    assert first.summary["updated"] == first.summary["created"] == 0
    assert journal.acknowledged() == set()
    strict.update(faults=[])
    assert run_in_airflow(run_dag, rows=ROWS, **arguments).summary["created"] == 6


@pytest.mark.parametrize(
    "page",
    [
        LOGIN,
        {"status": 201, **LOGIN},
        {"status": 202, "text": "accepted by relay"},
        {"status": 203, "text": "<html>"},
        {"text": "OK"},
        {"text": "null"},
        {"text": "true"},
        {"text": '"done"'},
        {"text": "[]"},
        {"text": '[{"_email": "KEY"}]'},
        {"text": '{"_email": "KEY"'},
        {"text": '{"status": 502, "title": "Bad Gateway"}'},
        {"text": '{"status": 200, "title": "OK", "detail": "cached"}'},
        {"text": '{"status": 422, "title": "Unprocessable entity", "validationErrors": []}'},
        {"status": 207, "text": "<multistatus/>", "content_type": "text/xml"},
        {"status": 206, "text": '{"_ema'},
    ],
    ids=lambda page: f"{page.get('status', 200)} {page['text']}",
)
def test_a_success_without_a_contact_is_retried(
    page: dict[str, Any], strict: StrictServer, run: Callable[..., Run]
) -> None:
    strict.reset(faults=[{"keys": [EMAIL], "attempts": 1, **page}])
    end = run(rows=ROWS, fields="builtin")
    assert (end.state, end.summary["created"], end.summary["requests"]) == ("success", 6, 7)
    assert EMAIL in strict.contacts


@pytest.mark.parametrize("shows", ["contact", "id", "nothing"])
@pytest.mark.parametrize("key", ["email", "external_id"])
def test_what_connectif_may_respond_with_is_a_delivery(
    shows: str, key: str, strict: StrictServer, run: Callable[..., Run]
) -> None:
    strict.reset(shows=shows)
    rows = [{key: row["email"], "_points": n} for n, row in enumerate(ROWS)]
    end = run(rows=rows, key=key, fields="builtin")
    assert (end.state, end.summary["created"], end.summary["requests"]) == ("success", 6, 6)
    assert end.summary.get("unconfirmed", 0) == (0 if shows == "contact" else 6)


@pytest.mark.parametrize(
    ("body", "unconfirmed"),
    [
        ('\ufeff{"_email": "KEY"}', 0),
        ("{}", 1),
        (" ", 1),
        ('{"_email": "USER3@Example.com"}', 0),
        ('{"_email": null, "status": 422, "title": "Dr."}', 1),
        ('{"_externalId": "9", "status": 422, "title": "Dr."}', 0),
        ('{"status": "gold", "title": "Dr."}', 1),
    ],
)
def test_a_contact_is_one_whatever_its_custom_fields_are_called(
    body: str, unconfirmed: int, strict: StrictServer, run: Callable[..., Run]
) -> None:
    strict.reset(faults=[{"keys": [EMAIL], "text": body}])
    end = run(rows=ROWS, fields="builtin")
    assert (end.state, end.summary["updated"], end.summary["requests"]) == ("success", 1, 6)
    assert end.summary.get("unconfirmed", 0) == unconfirmed


# A response that shows another contact was meant for another request. Taken for this one's, it acknowledges what was
# perhaps rejected.


def test_a_response_that_shows_another_contact_is_asked_for_again_on_a_fresh_connection(
    journal: JournalDatabase, strict: StrictServer
) -> None:
    strict.reset(shows="contact", faults=[{"keys": [EMAIL], "attempts": 1, "shows": "somebody@example.com"}])
    end = deliver("night", rows=ROWS)
    assert (end.state, end.summary["requests"]) == ("success", 7)
    assert "unconfirmed" not in end.summary
    assert Counter(entry["key"] for entry in strict.log)[EMAIL] == 2


@pytest.mark.slow
def test_a_server_that_always_shows_another_contact_is_believed_in_the_end_with_one_warning(
    journal: JournalDatabase, strict: StrictServer, capfd: pytest.CaptureFixture[str], run_dag: Callable[..., Any]
) -> None:
    strict.reset(shows="contact", faults=[{"shows": "somebody@example.com"}])
    arguments: dict[str, Any] = {"journal_conn_id": "journal", "sync_id": "nightly", "fields": "builtin"}
    end = run_in_airflow(run_dag, rows=ROWS, **arguments)
    assert end.state == "success"
    assert (end.summary["created"] + end.summary["updated"], end.summary["unconfirmed"]) == (6, 6)
    assert end.summary["requests"] == 12
    assert len(journal.acknowledged()) == 6
    assert "somebody@example.com" not in capfd.readouterr().out


def test_an_external_id_that_is_another_ones_is_noticed_too(strict: StrictServer, run: Callable[..., Run]) -> None:
    strict.reset(shows="contact", faults=[{"keys": ["A-3"], "attempts": 1, "shows": "a-3"}])
    end = run(rows=[{"external_id": f"A-{n}", "_points": n} for n in range(6)], key="external_id", fields="builtin")
    assert (end.state, end.summary["requests"]) == ("success", 7)


@pytest.mark.slow
def test_the_second_request_waits_for_the_window_as_every_other(
    strict: StrictServer, connection: Callable[..., None], run: Callable[..., Run]
) -> None:
    connection("connectif_default", **strict.connection())
    strict.reset(limit=3, window_s=1.5, headers="fraction", shows="contact", faults=[{"shows": "somebody@example.com"}])
    end = run(rows=ROWS[:4], fields="builtin")
    assert (end.state, end.summary["unconfirmed"]) == ("success", 4)
    assert sum(window["allowed"] for window in strict.windows) == 8


# The test button must not call a proxy's page a good key.


@pytest.mark.parametrize(
    "body", [b"<html>Sign in</html>", b'{"status": 403, "title": "Forbidden"}', b"[]", b"", b'"ok"', b'{"id": ']
)
def test_the_test_button_does_not_take_a_page_for_connectif(body: bytes, connection: Callable[..., None]) -> None:
    def script(exchange: Exchange) -> None:
        exchange.reply(200, body)

    with serving(script) as server:
        connection("connectif_default", conn_type="connectif", host=server.url, password="id:secret")
        ok, words = ConnectifHook().test_connection()
    assert (ok, words.startswith("The test failed: ")) == (False, True)


# Definitions: a page instead of them leaves every value unchecked, and the task green.


def test_a_page_in_place_of_the_definitions_ends_the_run(strict: StrictServer, connection: Callable[..., None]) -> None:
    connection("connectif_default", **strict.connection(requests_per_minute=FAST, retries=2))
    strict.reset(fields_fault={"status": 200, **LOGIN})
    end = run_operator(rows=[{"email": EMAIL, "tier": "gold"}])
    assert end.state == "up_for_retry"
    assert strict.received == 0
    assert "HTML" in str(end.error)


def test_the_log_has_no_word_of_the_page(
    strict: StrictServer, capfd: pytest.CaptureFixture[str], run: Callable[..., Run]
) -> None:
    strict.reset(faults=[{"attempts": 1, "text": "<html>KEY</html>"}])
    run(rows=ROWS, fields="builtin")
    assert not [line for line in provider_lines(capfd.readouterr().out) if "user" in line]


# An import's state must be that of the import that was asked for.


def test_the_state_of_another_import_is_not_taken_for_ours(connection: Callable[..., None]) -> None:
    from airflow_provider_connectif.api.errors import MalformedResponseError

    def script(exchange: Exchange) -> None:
        exchange.reply(200, {"id": "another", "status": "finished"})

    with serving(script) as server:
        connection("connectif_default", conn_type="connectif", host=server.url, password="id:secret")
        client = ConnectifHook().get_conn()
        with pytest.raises(MalformedResponseError, match="another import"):
            client.get_import("ours")


@pytest.mark.parametrize("status", [200, 204])
def test_a_look_up_without_a_body_is_no_response(
    status: int, journal: JournalDatabase, strict: StrictServer, connection: Callable[..., None]
) -> None:
    connection("connectif_default", **strict.connection(requests_per_minute=FAST, retries=1))
    rows = [{"email": f"user{n}@example.com", "_newsletterSubscriptionStatus": "subscribed"} for n in range(3)]
    assert deliver("first", rows=rows).state == "success"
    strict.update(faults=[{"method": "GET", "status": status, "text": ""}])
    night = deliver("night", rows=[{**row, "_newsletterSubscriptionStatus": "unsubscribed"} for row in rows])
    assert (night.state, night.summary["updated"]) == ("success", 3)
    assert {contact["_newsletterSubscriptionStatus"] for contact in strict.contacts.values()} == {"unsubscribed"}
