"""The Connectif page in a browser, at the width of a telephone and of a screen, with values that would break a layout.

The browser's requests are sent to the page within this process. Needs Playwright and a Chromium, as the scenarios of
``tests/e2e`` that use a browser.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from airflow_provider_connectif.versions import has_external_views
from tests.support.journal_records import RecordedJournal
from tests.support.page_clients import RUN

pytestmark = [
    pytest.mark.full_size,
    pytest.mark.skipif(not has_external_views(), reason="Airflow has no pages of plugins before 3.1"),
]

HOST = "http://airflow.test"
WIDTHS = (390, 1280)
HOSTILE = {
    "markup": "<script>document.title='run'</script><img src=x onerror=\"document.title='run'\">'\"&amp;</td></table>",
    "one long word": "x" * 320,
    "right to left": "\u202eabc\u202d\u2067שלום עולם\u2069\u200f" * 12,
    "marks on one letter": "a" + "\u0300\u0323" * 150,
    "wide letters": "漢字😀" * 60,
    "lines": "a\r\nb\tc\u2028d\x85e" * 20,
}


@pytest.fixture
def page(chromium: Any, client: Callable[..., Any]) -> Iterator[Any]:
    """A browser's page; ``page.hosts`` are all hosts that it asks."""
    served = client("nightly")
    found = chromium.new_page(base_url=HOST)
    found.hosts = set()

    def serve(route: Any) -> None:
        asked = route.request
        where = urlsplit(asked.url)
        found.hosts.add(where.netloc)
        path = where.path.removeprefix("/connectif") + (f"?{where.query}" if where.query else "")
        kept = {name: value for name, value in asked.headers.items() if name == "content-type"}
        response = served.request(asked.method, path, content=asked.post_data_buffer, headers=kept)
        route.fulfill(status=response.status_code, headers=dict(response.headers), body=response.content)

    found.route("**/*", serve)
    yield found
    found.close()


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_values_from_outside_leave_the_layout_as_it_is(text: str, page_journal: RecordedJournal, page: Any) -> None:
    plain = _shape_of_pages(page_journal, page, "scheduled__1", "nightly.contacts", "eva@example.com", "no e-mail")
    line = "".join(text.splitlines())  # as a person can type a key
    hostile = _shape_of_pages(page_journal, page, text[:240], line[:250], line[:320], text[:500])
    assert hostile == plain
    assert page.hosts == {urlsplit(HOST).netloc}


def _shape_of_pages(journal: RecordedJournal, page: Any, run_id: str, sync_id: str, key: str, reason: str) -> Any:
    """The headings, rows and cells of each page, after a look at its width and at what lies over what."""
    run_key = journal.add_run(run_id=run_id, sync_id=sync_id, rows_read=1, rejected=1, reasons={reason: 1})
    journal.add_outcomes(run_key, sync_id, [(key, "rejected", reason)])
    journal.add_line(sync_id, key, "rejected", reason, refused_reason=reason, refused_run=f"nightly/{run_id}")
    title, shapes = "Connectif", []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        page.goto("/connectif/")
        page.locator("li.card").last.wait_for()
        _is_intact(page, width)
        assert page.title() == title
        page.goto(f"/connectif/run?{urlencode({**RUN, 'run_id': run_id})}")
        _is_intact(page, width)
        shapes.append(_shape(page))
        page.locator("table a").first.click()
        page.get_by_text("Show all").wait_for()
        _is_intact(page, width)
        page.get_by_label("E-mail, external id").fill(key)
        page.get_by_role("button", name="Find").click()
        page.get_by_role("heading", name="Next run").wait_for()
        _is_intact(page, width)
        assert page.get_by_text("rejected", exact=True).count() == 2  # the state, and a line of the history
        shapes.append(_shape(page))
    return shapes


def _is_intact(page: Any, width: int) -> None:
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    wide = page.evaluate(
        """width => [...document.querySelectorAll('main *')].filter(one => {
            const box = one.getBoundingClientRect()
            return box.width && !one.closest('svg, thead') && (box.right > width + 1 || box.left < -1)
        }).map(one => one.outerHTML.slice(0, 80))""",
        width,
    )
    assert wide == []
    crossed = page.evaluate(
        """() => {
            const boxes = [...document.querySelectorAll('h1, h2, tbody tr, .facts div, form')]
                .map(one => [one, one.getBoundingClientRect()])
            const over = ([one, a], [other, b]) => !one.contains(other) && !other.contains(one) && a.width && b.width
                && a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1
            return boxes.flatMap((one, place) => boxes.slice(place + 1).filter(other => over(one, other)))
                .map(([one]) => one.outerHTML.slice(0, 80))
        }"""
    )
    assert crossed == []


def _shape(page: Any) -> Any:
    return page.evaluate(
        "() => [...document.querySelectorAll('h1, h2, dt, tr, td, form, input')].map(one => one.tagName)"
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_both_colour_schemes(scheme: Any, page_journal: RecordedJournal, page: Any) -> None:
    """At least 4.5:1 between each text and what is behind it (WCAG 2, level AA)."""
    key = page_journal.add_run(rows_read=3, created=1, invalid=1, undelivered=1, verdict="failed")
    page_journal.add_outcomes(
        key, "nightly.contacts", [("eva@example.com", "invalid", "no"), (None, "invalid", "no key")]
    )
    page.emulate_media(color_scheme=scheme)
    for path in ("/connectif/", f"/connectif/run?{urlencode(RUN)}"):
        page.goto(path)
        assert page.evaluate(CONTRAST) == []


CONTRAST = """() => {
    const channels = text => text.match(/[\\d.]+/g).map(Number)
    const light = ([r, g, b]) => [r, g, b].map(c => c / 255)
        .map(c => c <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4)
        .reduce((sum, c, place) => sum + c * [.2126, .7152, .0722][place], 0)
    const behind = one => {
        for (; one; one = one.parentElement) {
            const colour = channels(getComputedStyle(one).backgroundColor)
            if (colour.length < 4 || colour[3] > 0) return colour
        }
        return [255, 255, 255]
    }
    return [...document.querySelectorAll('main *')].filter(one => !one.closest('svg') && [...one.childNodes]
        .some(node => node.nodeType === 3 && node.textContent.trim())).filter(one => {
        const [a, b] = [light(channels(getComputedStyle(one).color)), light(behind(one))].sort((x, y) => y - x)
        return (a + .05) / (b + .05) < 4.5
    }).map(one => one.outerHTML.slice(0, 80))
}"""


def test_everything_is_reached_and_used_by_keyboard(page_journal: RecordedJournal, page: Any) -> None:
    key = page_journal.add_run(rows_read=60, invalid=60)
    page_journal.add_outcomes(key, "nightly.contacts", [(f"p{n}@example.com", "invalid", "no") for n in range(60)])
    page_journal.add_line("nightly.contacts", "p7@example.com", "invalid")
    page.set_viewport_size({"width": 1280, "height": 900})
    page.goto("/connectif/")
    _tab_to(page, "Skip to content")
    assert page.evaluate("document.activeElement.getBoundingClientRect().left") >= 0, "the link is shown where it is"
    _press(page, "nightly.contacts")
    _press(page, "no")
    page.get_by_text("Only: no").wait_for()
    _press(page, "Next rows")
    page.get_by_text("p59@example.com").wait_for()
    _tab_to(page, "", tag="INPUT")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.type("P7@Example.com")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Next run").wait_for()
    assert "p7" not in page.url.lower()
    _press(page, "All syncs")
    page.get_by_role("heading", name="Connectif").wait_for()


def _tab_to(page: Any, words: str, tag: str = "A") -> None:
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate("[document.activeElement.tagName, document.activeElement.innerText || '']") == [tag, words]:
            return
    pytest.fail(f"no way to {words!r} by keyboard")


def _press(page: Any, words: str) -> None:
    _tab_to(page, words)
    with page.expect_navigation():
        page.keyboard.press("Enter")
