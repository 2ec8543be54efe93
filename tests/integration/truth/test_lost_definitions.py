"""Field definitions that cannot be read: the run ends, and no value goes out unchecked."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_connectif.api.client import ConnectifClient
from tests.support.scripted_server import Exchange, ScriptedServer, serving
from tests.support.strict_server import StrictServer
from tests.support.task_runs import Run, run_in_airflow, run_operator

FIELD = {"id": "tier", "name": "Tier", "type": "radio", "options": [{"id": "gold", "label": "Gold"}]}
WRONG_ROW = [{"email": "a@example.com", "tier": "none of its options"}]


def page(results: Any = (FIELD,), links: Any = None) -> bytes:
    return json.dumps({"results": list(results) if isinstance(results, tuple) else results, "links": links}).encode()


def run_against(
    body: bytes, connection: Callable[..., None], status: int = 200, **arguments: Any
) -> tuple[Run, ScriptedServer]:
    """Deliver a row that the definitions do not allow; every second page and every contact is fine."""

    def script(exchange: Exchange) -> None:
        if exchange.command == "PATCH":
            exchange.take()
            exchange.reply(200, {"id": "1"})
        elif exchange.path == "/contact-fields/":
            exchange.reply(status, body)
        else:
            exchange.reply(200, page())

    with serving(script) as server:
        extra = {"retries": 2, "requests_per_minute": 1_000_000}
        connection("connectif_default", conn_type="connectif", host=server.url, password="id:secret", extra=extra)
        return run_operator(rows=WRONG_ROW, **arguments), server


# A link to the next page that is none, or anything else that nobody expects: the definitions are dropped in silence,
# nothing is checked, and the task is green.

ODD_LINKS: list[Any] = [
    {"next": "http://[broken/contact-fields/"},
    {"next": "http://127.0.0.1:port/contact-fields/"},
    {"next": "//\u2100.example/contact-fields/"},
    {"next": "\ud800"},
    {"next": 2},
    {"next": 0},
    {"next": True},
    {"next": {"href": "/contact-fields/?page=2"}},
    {"next": ["/contact-fields/?page=2"]},
    {"next": "ftp://127.0.0.1/contact-fields/"},
    {"next": "javascript:void(0)"},
    "/contact-fields/?page=2",
    ["/contact-fields/?page=2"],
    7,
]


@pytest.mark.parametrize("links", ODD_LINKS, ids=ascii)
def test_a_link_that_is_none_ends_the_run(links: Any, connection: Callable[..., None], airflow_db: None) -> None:
    end, server = run_against(page(links=links), connection)
    assert end.state == "up_for_retry"
    assert "The field definitions cannot be read" in str(end.error)
    assert [seen.method for seen in server.seen if seen.method == "PATCH"] == []


@pytest.mark.parametrize("links", [None, {}, [], {"next": None}, {"next": ""}, {"next": False}, {"prev": 7}], ids=ascii)
def test_a_last_page_is_one_however_it_says_so(links: Any, connection: Callable[..., None], airflow_db: None) -> None:
    end, _ = run_against(page(links=links), connection)
    assert (end.state, end.summary["invalid"]) == ("failed", 1)


ODD_PAGES: dict[str, bytes] = {
    "no results": b"{}",
    "results that are an object": page({"tier": FIELD}),
    "results that are text": page("tier"),
    "a result that is text": page((FIELD, "tier")),
    "a result that is null": page((FIELD, None)),
    "no field": page(()),
    "a field without a type": page((FIELD, {"id": "visits"})),
    "a field with a number for an id": page((FIELD | {"id": 7},)),
    "a list": json.dumps([FIELD]).encode(),
    "an error document": b'{"status": 500, "title": "Internal Server Error"}',
    "a page of a proxy": b"<html>Sign in</html>",
    "nothing": b"",
    "JSON that is cut off": page()[:-9],
    "nested too deep": b'{"results": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
}


@pytest.mark.parametrize("kind", ODD_PAGES)
def test_a_page_that_is_none_of_definitions_ends_the_run(
    kind: str, connection: Callable[..., None], airflow_db: None
) -> None:
    end, server = run_against(ODD_PAGES[kind], connection)
    assert end.state == "up_for_retry"
    assert "efinitions cannot be read" in str(end.error) or "does not respond as it should" in str(end.error)
    assert [seen.method for seen in server.seen if seen.method == "PATCH"] == []


@pytest.mark.parametrize(
    "part",
    [
        {"options": 7},
        {"options": {"gold": "Gold"}},
        {"options": [None, 7, "x", {"id": ["gold"]}, {"label": 9}]},
        {"maxLength": "1e999", "minValue": "NaN", "maxValue": [1]},
        {"type": "integer", "minValue": 10**400, "maxValue": "9" * 5000},
        {"type": "date", "minDate": "99999-01-01", "maxDate": 7},
        {"type": "phone", "defaultCountryCode": {"es": 34}},
    ],
    ids=str,
)
def test_odd_parts_of_a_definition_never_let_the_definitions_be_lost(
    part: dict[str, Any], connection: Callable[..., None], airflow_db: None
) -> None:
    """Whatever one field's limits are, a value that another field does not take is not sent."""
    good = FIELD | {"id": "tier"}
    odd = {"id": "odd", "type": "radio"} | part
    end, server = run_against(page((good, odd)), connection)
    assert end.state in ("failed", "up_for_retry")
    assert [seen.method for seen in server.seen if seen.method == "PATCH"] == []


# An error that nobody has foreseen, in the thread that asks: it must end the run as well.


@pytest.mark.parametrize("error", [ZeroDivisionError("x"), RecursionError(), MemoryError(), SystemExit(3)])
def test_an_unforeseen_error_is_not_lost(
    error: BaseException, strict: StrictServer, monkeypatch: pytest.MonkeyPatch, airflow_db: None
) -> None:
    def fail(_: ConnectifClient) -> Any:
        raise error

    monkeypatch.setattr(ConnectifClient, "list_contact_fields", fail)
    # What would end a process ends the run.
    expected = RuntimeError if isinstance(error, SystemExit) else type(error)
    with pytest.raises(expected):
        run_operator(rows=WRONG_ROW)
    assert strict.received == 0


# Only a missing scope is a reason to go on without, with a warning. Other rejections end the run.


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (403, "success"),
        (401, "failed"),
        (302, "failed"),
        (404, "up_for_retry"),
        (400, "up_for_retry"),
        (410, "up_for_retry"),
    ],
)
def test_only_a_missing_scope_is_gone_on_without(
    status: int, state: str, connection: Callable[..., None], airflow_db: None
) -> None:
    end, server = run_against(b"{}", connection, status=status)
    assert end.state == state
    assert len([seen for seen in server.seen if seen.method == "PATCH"]) == (state == "success")


@pytest.mark.slow
def test_the_same_in_a_task_of_airflow(strict: StrictServer, run_dag: Callable[..., Any]) -> None:
    body = page(links={"next": "http://[broken/"}).decode()
    strict.reset(fields_fault={"status": 200, "text": body})
    end = run_in_airflow(run_dag, rows=WRONG_ROW)
    assert end.state == "up_for_retry"
    assert strict.received == 0


# An import does without definitions as documented only where it has no custom fields.


def test_an_import_without_definitions_uploads_nothing(strict: StrictServer, airflow_db: None) -> None:
    strict.reset(fields_fault={"status": 200, "text": page(links={"next": "http://[broken/"}).decode()})
    end = run_operator(rows=WRONG_ROW, kind="ContactImportOperator")
    assert end.state == "up_for_retry"
    assert strict.uploads == []
