"""The sandbox's page: what was sent, what was refused and why, the windows over time, and the connection to copy."""

from __future__ import annotations

import json
import re
import shlex
import time
from collections.abc import Iterator
from contextlib import suppress
from html import unescape
from html.parser import HTMLParser

import pytest
import requests

from airflow_provider_connectif.sandbox import SandboxProcess
from airflow_provider_connectif.sandbox.keys import ApiKey
from airflow_provider_connectif.sandbox.page import OPEN_REFUSALS, overview_page
from airflow_provider_connectif.sandbox.page_windows import windows_section
from airflow_provider_connectif.sandbox.refusals import KEPT_REFUSALS
from airflow_provider_connectif.sandbox.settings import Settings
from airflow_provider_connectif.sandbox.state import SandboxState
from airflow_provider_connectif.sandbox.window import KEPT_WINDOWS, RateWindow
from tests.support.clock import FakeClock
from tests.support.sandboxes import ask

PAYLOAD = "<script>alert('x')</script>\"><img src=x onerror=y>&amp;"


class Page(HTMLParser):
    """A page's elements, its text, the cells of its rows, and the labels of its pictures."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.tags: list[str] = []
        self.rows: list[list[str]] = []
        self.labels: list[str] = []
        self.words: list[str] = []
        self._is_in_cell = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.labels += [value for name, value in attrs if name == "aria-label" and value]
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        self._is_in_cell = tag in ("td", "th") or (self._is_in_cell and tag != "tr")

    def handle_endtag(self, tag: str) -> None:
        self._is_in_cell = self._is_in_cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        if self._is_in_cell:
            self.rows[-1][-1] += data

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.words))

    def rows_with(self, words: str) -> list[list[str]]:
        """Rows that have these words in a cell."""
        return [row for row in self.rows if any(words in cell for cell in row)]


def page_of(sandbox: SandboxProcess, query: str = "") -> Page:
    response = requests.get(f"{sandbox.url}/{query}", timeout=10)
    assert (response.status_code, response.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    return Page(response.text)


def test_values_are_shown_as_text_whatever_they_hold(sandbox: SandboxProcess) -> None:
    ask(sandbox, "PATCH", "/contacts/%22%3Cscript%3E%22@example.com", json={"_name": PAYLOAD})
    ask(sandbox, "PATCH", "/contacts/external-id/%3Cscript%3E", json={"_name": PAYLOAD, "interests": ["music"]})
    ask(sandbox, "PATCH", "/contacts/<img src=x>@example.com", json={})
    ask(sandbox, "PATCH", "/contacts/a@example.com", json={PAYLOAD: "\u202e"})
    page = page_of(sandbox)
    assert not {"script", "img"} & set(page.tags)
    assert page.text.count(PAYLOAD) == 3  # two values, and the name of a property that is refused
    assert '"<script>"@example.com' in page.text
    assert "\u202e" not in page.html


def test_a_contact_shows_what_was_sent_and_no_default(sandbox: SandboxProcess) -> None:
    ask(sandbox, "PATCH", "/contacts/ana@example.com", json={"city": "Vigo", "_points": 3})
    ask(sandbox, "PATCH", "/contacts/bea@example.com", json={"vip": False, "interests": []})
    ask(sandbox, "PATCH", "/contacts/bea@example.com", json={"_surname": None, "_name": "Bea"})
    page = page_of(sandbox)
    assert [row[1] for row in page.rows_with("ana@")] == ["cityVigo_points3"]
    assert [row[1] for row in page.rows_with("bea@") if len(row) == 3] == ["interestsnonevipfalse_nameBea"]


def test_what_an_import_brings_was_sent(sandbox: SandboxProcess) -> None:
    file = ("a.csv", "_email,_name\nana@example.com,Ana\nbea,Bea\n", "text/csv")
    created = ask(sandbox, "POST", "/imports/", data={"type": "contacts", "delimiter": ","}, files={"file": file})
    assert created.status_code == 201, created.text
    while not sandbox.contacts():
        assert sandbox.imports()[0]["status"] in ("queued", "inProgress", "finished")
    page = page_of(sandbox)
    assert [row[1] for row in page.rows_with("ana@")] == ["_nameAna"]
    assert [row[2:5] for row in page.rows_with("(api)")] == [["2", "1", "1"]]


def test_totals_and_the_latest_contacts(sandbox: SandboxProcess) -> None:
    for number in range(60):
        ask(sandbox, "PATCH", f"/contacts/number-{number}@example.com", json={"city": "Vigo"})
    ask(sandbox, "PATCH", "/contacts/ana", json={})
    page = page_of(sandbox)
    assert "60 in the account, the latest 50 below" in page.text
    assert [bool(page.rows_with(f"number-{number}@")) for number in (59, 10, 9, 0)] == [True, True, False, False]
    assert "61 requests: 60 with 201, created, 1 with 400, bad request" in page.labels
    assert page.rows_with("PATCH /contacts/{email}")[0] == ["PATCH /contacts/{email}", "61"]


# Refused requests


def test_each_refused_request_has_its_reason() -> None:
    with SandboxProcess(requests_per_minute=7, window_seconds=3600) as sandbox:
        refusal = {"status": 422, "title": "Unprocessable Entity", "detail": "has asked to be forgotten"}
        sandbox.add_fault({"status": 422, "body": json.dumps(refusal)}, match={"key": "^erased"})
        sandbox.add_fault({"status": 503, "body": "busy"}, match={"key": "^busy"})
        sandbox.add_fault({"status": 429}, match={"key": "^early"})
        sandbox.add_fault({"drop": True}, match={"key": "^dropped"})
        ask(sandbox, "PATCH", "/contacts/good@example.com", json={})
        ask(sandbox, "PATCH", "/contacts/bad@example.com", json={"_points": "x", "shoe": 1})
        for name in ("erased", "busy", "early"):
            ask(sandbox, "PATCH", f"/contacts/{name}@example.com", json={})
        with suppress(requests.ConnectionError):
            ask(sandbox, "PATCH", "/contacts/dropped@example.com", json={})
        ask(sandbox, "GET", key="nobody:knows")
        ask(sandbox, "GET", "/nothing")
        ask(sandbox, "PATCH", "/contacts/late@example.com", json={})
        page = page_of(sandbox)
    reasons = [
        ("late@example.com", "429", "the window's requests are used up"),
        ("–", "404", "There is no such endpoint"),
        ("–", "401", "no such API key"),
        ("dropped@example.com", "–", "by a fault that was asked for: no response"),
        ("early@example.com", "429", "by a fault that was asked for"),
        ("busy@example.com", "503", "by a fault that was asked for: busy"),
        ("erased@example.com", "422", "by a fault that was asked for: has asked to be forgotten"),
        ("bad@example.com", "422", "_points: must be an integer; shoe: unknown property"),
    ]
    assert [tuple(row[2:]) for row in page.rows if len(row) == 5][1:] == reasons
    assert "8 refused" in page.text
    assert "good@" not in "".join(cell for row in page.rows if len(row) == 5 for cell in row)
    (label,) = [label for label in page.labels if "9 requests" in label]
    assert "1 with 201, created, 1 with 401, wrong key, 1 with 404, not found, 2 with 422, invalid" in label
    assert "1 without a response" in label


def test_refused_requests_are_counted_all_and_kept_for_a_while(sandbox: SandboxProcess) -> None:
    with requests.Session() as session:
        for number in range(KEPT_REFUSALS + 20):
            session.get(f"{sandbox.url}/contacts/{number}@example.com", timeout=10)
    page = page_of(sandbox)
    assert f"{KEPT_REFUSALS + 20} refused, the latest {KEPT_REFUSALS} below" in page.text
    assert len(page.rows_with("no such API key")) == KEPT_REFUSALS
    assert f"{KEPT_REFUSALS - OPEN_REFUSALS} before them" in page.text
    assert "no-one" not in page.text
    sandbox.reset()
    assert "No request was refused" in page_of(sandbox).text


# The windows


@pytest.mark.slow
def test_no_count_is_lost_when_a_window_ends() -> None:
    with SandboxProcess(requests_per_minute=3, window_seconds=0.5) as sandbox:
        while len(ends := until_refused(sandbox)) < 2:
            pass
        until = time.monotonic() + 10
        while "the next request opens a window" not in (page := page_of(sandbox)).text:
            assert time.monotonic() < until
        by_status = sandbox.requests()["by_status"]
        assert ends
        assert "0 of 3 requests used" in page.text
        assert f"{by_status['200']} requests passed, {by_status['429']} were beyond the limit (429)" in page.text


def until_refused(sandbox: SandboxProcess, windows: int = 2) -> list[int]:
    """Send until so many windows are used up; the number of requests that passed in each."""
    passed, seen = [], 0
    while len(passed) < windows:
        if ask(sandbox).status_code == 200:
            seen += 1
        elif seen:
            passed.append(seen)
            seen = 0
    return passed


@pytest.fixture
def clock() -> Iterator[FakeClock]:
    return FakeClock()


@pytest.fixture
def window(clock: FakeClock) -> RateWindow:
    return RateWindow(10, 60.0, monotonic=clock.monotonic, wall_clock=clock.now)


def test_the_windows_use_now(window: RateWindow, clock: FakeClock) -> None:
    assert "0 of 10 requests used in 60 s; the next request opens a window" in Page(windows_section(window)).text
    for _ in range(4):
        window.take()
    clock.advance(13)
    assert "4 of 10 requests used in 60 s; a new window opens in 47 s" in Page(windows_section(window)).text


def test_the_windows_over_time(window: RateWindow, clock: FakeClock) -> None:
    for requests_of_window in (12, 3):
        for _ in range(requests_of_window):
            window.take()
        clock.advance(61)
    page = Page(windows_section(window))
    assert "2 windows so far: 13 requests passed, 2 were beyond the limit (429)." in page.text
    assert "15:06:40 UTC: 10 passed, 2 beyond the limit" in page.text
    assert "15:07:41 UTC: 3 passed, 0 beyond the limit" in page.text
    assert page.tags.count("g") == 2


def test_windows_that_are_no_longer_shown_still_count(window: RateWindow, clock: FakeClock) -> None:
    for _ in range(KEPT_WINDOWS + 5):
        for _ in range(11):
            window.take()
        clock.advance(60)
    page = Page(windows_section(window))
    assert "65 windows so far: 650 requests passed, 65 were beyond the limit (429); the last 60 below." in page.text
    assert page.tags.count("g") == KEPT_WINDOWS
    window.clear()
    assert "so far" not in Page(windows_section(window)).text


def test_without_a_limit_windows_count_too(clock: FakeClock) -> None:
    window = RateWindow(0, 60.0, monotonic=clock.monotonic, wall_clock=clock.now)
    for _ in range(250):
        window.take()
    text = Page(windows_section(window)).text
    assert "no limit of requests" in text
    assert "1 window so far: 250 requests passed." in text


# The page itself


def connection_on(page: Page) -> dict[str, str]:
    """The connection that a shell has after the command on the page."""
    (command,) = re.findall(r"<pre><code>(.*?)</code></pre>", page.html)
    name, _, value = shlex.split(unescape(command))[1].partition("=")
    assert name == "AIRFLOW_CONN_CONNECTIF_DEFAULT"
    connection: dict[str, str] = json.loads(value)
    return connection


def test_the_connection_to_copy(sandbox: SandboxProcess) -> None:
    assert connection_on(page_of(sandbox)) == {
        "conn_type": "connectif",
        "host": sandbox.url,
        "password": sandbox.api_key,
    }


def test_a_key_with_any_characters_comes_whole_through_a_shell() -> None:
    key = f'id:it\'s<b>&"quoted"{"x" * 300}'
    page = Page(overview_page(SandboxState(Settings(api_keys=(ApiKey(key), ApiKey("other:key"))), "http://[::1]:1")))
    assert connection_on(page) == {"conn_type": "connectif", "host": "http://[::1]:1", "password": key}
    assert "API keys beside this one: 1." in page.text


@pytest.mark.parametrize(
    ("query", "renews", "link"), [("", True, "/?still"), ("?still", False, "/"), ("?copy", False, None)]
)
def test_the_page_renews_itself_unless_it_is_held_still(
    sandbox: SandboxProcess, query: str, renews: bool, link: str | None
) -> None:
    page = page_of(sandbox, query)
    assert ('http-equiv="refresh"' in page.html) == renews
    assert re.findall(r'<a href="(/[^"]*)"', page.html) == ([link] if link else [])


def test_nothing_on_the_page_comes_from_elsewhere(sandbox: SandboxProcess) -> None:
    response = requests.get(sandbox.url + "/", timeout=10)
    assert response.headers["Content-Security-Policy"] == "default-src 'none'; style-src 'unsafe-inline'"
    assert re.findall(r"(?:src|href)=\"(?!/|#)[^\"]*\"|url\(", response.text) == []
