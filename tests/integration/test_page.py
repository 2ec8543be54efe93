"""The Connectif page: what it shows, to whom, and that nothing from outside becomes markup."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from airflow_provider_connectif.journal.record_tables import RUN_COUNTS
from airflow_provider_connectif.versions import has_external_views
from tests.support.journal_records import RecordedJournal
from tests.support.page_clients import RUN, Page, links_of, text_of

pytestmark = [
    pytest.mark.versions,
    pytest.mark.skipif(not has_external_views(), reason="Airflow has no pages of plugins before 3.1"),
]

NIGHTLY = "nightly.contacts"
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=y>\u202e\u2067" + "x" * 300


@pytest.mark.slow
def test_all_syncs_at_a_glance(page_journal: RecordedJournal, client: Callable[..., Any]) -> None:
    page_journal.add_run(run_id="scheduled__1", rows_read=10, created=10)
    page_journal.add_run(
        run_id="scheduled__2", rows_read=10, unchanged=7, invalid=2, held=1, new_refusals=2, consent_kept=4
    )
    page_journal.add_pending(NIGHTLY, ["a@example.com", "b@example.com"])
    page = client("nightly").get("/")
    assert page.status_code == 200
    words = text_of(page.text)
    for expected in (NIGHTLY, "success, 2026-11-03 03:05 UTC", "not now; last 2026-11-02 03:05", "2 changes; at 100"):
        assert expected in words
    assert "2 new, 1 known" in words
    assert "Consents kept 4" in words
    assert page.text.count('<rect class="v-success"') == 2


@pytest.mark.parametrize(("requests", "minutes"), [(0, 2.5), (20, 2.5), (30, 3.75), (500, 5)])
def test_the_end_of_pending_changes_follows_from_the_requests_that_each_took(requests: int, minutes: float) -> None:
    from airflow_provider_connectif.web.pages import _pending

    begin = datetime.now(UTC)
    words = _pending(250, dict.fromkeys(RUN_COUNTS, 0) | {"requests": requests, "created": 15, "updated": 5})
    end = datetime.fromisoformat(words.partition('datetime="')[2].partition('"')[0])
    assert (end - begin).total_seconds() == pytest.approx(60 * minutes, abs=3)


def test_a_run_page_by_page_and_by_reason(page_journal: RecordedJournal, client: Callable[..., Any]) -> None:
    key = page_journal.add_run(rows_read=200, updated=80, invalid=100, rejected=20, new_refusals=120, requests=101)
    page_journal.add_outcomes(key, NIGHTLY, [(f"i{n}@example.com", "invalid", "no e-mail") for n in range(100)])
    page_journal.add_outcomes(key, NIGHTLY, [(f"r{n}@example.com", "rejected", "tier: unknown") for n in range(20)])
    page_journal.add_outcomes("another run", NIGHTLY, [("other@example.com", "invalid", "no e-mail")])
    browser = client("nightly")
    seen, url, pages = [], "/run", 0
    first = browser.get(url, params=RUN)
    response = first
    while True:
        seen += [part.split("</bdi>")[0] for part in response.text.split('data-name="contact"><bdi>')[1:]]
        pages += 1
        if "Next rows" not in response.text:
            break
        response = browser.get(links_of(response.text)["Next rows"].removeprefix("/connectif"))
    assert (len(seen), len(set(seen)), pages) == (120, 120, 3)
    assert "other@example.com" not in seen
    words = text_of(first.text)
    assert "200 rows read" in words
    assert "invalid no e-mail 100" in words
    only = browser.get(links_of(first.text)["tier: unknown"].removeprefix("/connectif")).text
    assert only.count('data-name="contact"') == 20
    picture = "200 rows read: 80 updated, 100 invalid, 20 rejected"
    assert f'aria-label="{picture}"' in first.text


@pytest.mark.slow
def test_a_contact_is_found_by_key_spelling_and_hmac(page_journal: RecordedJournal, client: Callable[..., Any]) -> None:
    from airflow_provider_connectif.journal.digests import key_digester

    hidden = key_digester(b"pepper")("eva@example.com")
    key = page_journal.add_run(rows_read=2, created=1, rejected=1)
    page_journal.add_line(NIGHTLY, "ana@example.com", "acknowledged")
    page_journal.add_line(NIGHTLY, hidden, "rejected", "tier: unknown")
    page_journal.add_outcomes(
        key, NIGHTLY, [("ana@example.com", "created", None), (hidden, "rejected", "tier: unknown")]
    )
    browser = client("nightly")

    def find(text: str) -> str:
        response = browser.post("/contact?dag_id=nightly", data={"key": text, "sync_id": NIGHTLY})
        assert response.status_code == 200
        return text_of(response.text)

    assert "State acknowledged" in find(" Ana@Example.com ")
    for spelling in ("eva@example.com", hidden):
        assert "State rejected" in find(spelling)
        assert "_name, tier" in find(spelling)
        assert "Next run The row is sent again." in find(spelling)
    assert "State never seen" in find("nobody@example.com")


def test_reasons_beyond_the_listed_rows_are_counted(page_journal: RecordedJournal, client: Callable[..., Any]) -> None:
    key = page_journal.add_run(rows_read=90, invalid=20, rejected=60, reasons={"no e-mail": 20})
    lines: list[tuple[str, str, str]] = [
        (f"r{number}@example.com", "rejected", f"reason {number}") for number in range(60)
    ]
    page_journal.add_outcomes(key, NIGHTLY, [("i@example.com", "invalid", "no e-mail"), *lines])
    reasons = text_of(client("nightly").get("/run", params=RUN).text.partition("<h2>Reasons")[2].partition("<h2>")[0])
    assert "invalid no e-mail 20 rejected reason 0 1 " in reasons
    assert reasons.endswith("11 more reasons.")


def test_what_comes_from_outside_is_text(page_journal: RecordedJournal, client: Callable[..., Any]) -> None:
    run_id = HOSTILE[:200]
    sync_id = HOSTILE[:240]
    key = page_journal.add_run(run_id=run_id, sync_id=sync_id, rows_read=1, rejected=1, reasons={HOSTILE: 1})
    page_journal.add_outcomes(key, sync_id, [(HOSTILE[:320], "rejected", HOSTILE)])
    page_journal.add_line(sync_id, HOSTILE[:320], "rejected", HOSTILE)
    browser = client("nightly")
    responses = [
        browser.get("/"),
        browser.get("/run", params={**RUN, "run_id": run_id, "reason": HOSTILE}),
        browser.post("/contact?dag_id=nightly", data={"key": HOSTILE[:320], "sync_id": sync_id}),
        browser.get("/run", params={**RUN, "run_id": "nothing"}),
    ]
    assert [response.status_code for response in responses] == [200, 200, 200, 404]
    for response in responses:
        page = Page()
        page.feed(response.text)
        assert page.elements.isdisjoint({"img", "iframe", "object", "style"})
        assert page.scripts == ["/connectif/theme.js"]
        assert not any(name.startswith("on") or name == "style" for name in page.attributes)
        assert "\u202e" not in response.text
        assert "\u2067" not in response.text
    # What was cut for the eye is whole where it comes back.
    assert "State rejected" in text_of(responses[2].text)


def test_the_headers_let_nothing_in(page_journal: RecordedJournal, client: Callable[..., Any]) -> None:
    for path in ("/", "/style.css", "/theme.js", "/nothing"):
        headers = client("nightly").get(path).headers
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["Cache-Control"] == "no-store"


def test_keys_are_masked_if_the_configuration_says_so(
    page_journal: RecordedJournal, client: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__CONNECTIF__MASK_KEYS", "True")
    key = page_journal.add_run(rows_read=2, invalid=2)
    page_journal.add_outcomes(
        key, NIGHTLY, [("eva.luna@shop.example.com", "invalid", "no"), ("EXT-12345", "invalid", "no")]
    )
    page_journal.add_line(NIGHTLY, "eva.luna@shop.example.com", "invalid")
    browser = client("nightly")
    pages = [
        browser.get("/run", params=RUN).text,
        browser.post("/contact?dag_id=nightly", data={"key": "eva.luna@shop.example.com", "sync_id": NIGHTLY}).text,
    ]
    assert "e***@***.com" in pages[0]
    assert "EX***" in pages[0]
    assert not any("eva.luna" in page or "12345" in page for page in pages)


@pytest.fixture
def silent_server() -> Iterator[int]:
    """The port of a server that accepts connections and never responds."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize(
    "journals", ["nowhere", "gone_journal", pytest.param("silent_journal", marks=pytest.mark.slow), "refused_journal"]
)
def test_a_journal_that_is_away_is_said_and_hides_no_other(
    journals: str,
    page_journal: RecordedJournal,
    client: Callable[..., Any],
    connection: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    silent_server: int,
) -> None:
    if journals in ("silent_journal", "refused_journal"):
        pytest.importorskip("airflow.providers.postgres", reason="no provider of PostgreSQL")
    connection("gone_journal", conn_type="sqlite", host="/nowhere/at/all.db")
    postgres = {"conn_type": "postgres", "host": "127.0.0.1", "schema": "x", "login": "x", "password": "not shown"}
    connection("silent_journal", **postgres, port=silent_server)
    connection("refused_journal", **postgres, port=1)
    monkeypatch.setattr("airflow_provider_connectif.web.places.CONNECT_S", 1)
    monkeypatch.setenv("AIRFLOW__CONNECTIF__JOURNALS", f"{journals}, page_journal")
    page_journal.add_run(rows_read=1)
    browser = client("nightly")
    page = browser.get("/")
    assert page.status_code == 200
    assert "This journal cannot be shown" in page.text
    assert NIGHTLY in page.text
    assert "not shown" not in page.text
    assert browser.get("/run", params={**RUN, "run_id": "unknown"}).status_code == 503


def test_nothing_is_written(page_journal: RecordedJournal, client: Callable[..., Any]) -> None:
    page_journal.add_run(rows_read=1)
    statements: list[str] = []
    browser = client("nightly")

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        statements.append(statement.lstrip().split(maxsplit=1)[0].upper())

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        browser.get("/")
        browser.get("/run", params=RUN)
        browser.post("/contact?dag_id=nightly", data={"key": "a@example.com", "sync_id": NIGHTLY})
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)
    assert set(statements) <= {"SELECT", "PRAGMA", "WITH"}
    for method in ("put", "patch", "delete", "post"):
        assert getattr(browser, method)("/").status_code == 405


def test_a_body_that_is_too_large_is_refused(page_journal: RecordedJournal, client: Callable[..., Any]) -> None:
    page_journal.add_run(rows_read=1)
    response = client("nightly").post("/contact?dag_id=nightly", data={"key": "x" * 10_000, "sync_id": NIGHTLY})
    assert response.status_code == 413


@pytest.mark.full_size
def test_the_plugin_costs_the_api_server_little() -> None:
    """What is loaded with it, and the CPU that it takes, in a process that has loaded what an api-server loads."""
    code = """
import sys, time
import airflow.api_fastapi.app
from airflow.plugins_manager import AirflowPlugin
from airflow.providers.common.compat.sdk import conf
before, began = set(sys.modules), time.process_time()
import airflow_provider_connectif.web.plugin
took = time.process_time() - began
print(took, *sorted(set(sys.modules) - before))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    took_s, *loaded = done.stdout.splitlines()[-1].split()
    assert set(loaded) <= {f"airflow_provider_connectif{name}" for name in ("", ".versions", ".web", ".web.plugin")}
    assert float(took_s) < 0.05


def test_the_plugin_loads_nothing_heavy() -> None:
    from airflow_provider_connectif.web.plugin import ConnectifPlugin, LazyPage

    [app] = ConnectifPlugin.fastapi_apps
    assert isinstance(app["app"], LazyPage)
    assert {view["destination"] for view in ConnectifPlugin.external_views} == {"nav", "task_instance"}
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/nothing",
        "raw_path": b"/nothing",
        "query_string": b"",
        "headers": [],
        "root_path": "",
        "scheme": "http",
        "server": ("x", 80),
        "client": ("y", 1),
    }
    asyncio.run(LazyPage()(scope, receive, send))
    assert sent[0]["status"] == 404
