"""The Connectif page in Airflow's own UI, in a browser: by mouse, by keyboard, and on a telephone.

It needs what :mod:`tests.e2e.test_browser` needs, and is skipped where that is.
"""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from airflow_provider_connectif.versions import has_external_views
from tests.e2e.deployment import Deployment
from tests.e2e.stage import Stage
from tests.e2e.test_browser import Browser, browser  # noqa: F401 - a fixture

JOURNAL = 'ContactPatchOperator(task_id="contacts", journal_conn_id="journal", **CONTACTS)'
PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 800}

pytestmark = pytest.mark.skipif(not has_external_views(), reason="Airflow has no pages of plugins before 3.1")


def test_page(deployment: Deployment, stage: Stage, browser: Browser) -> None:  # noqa: F811
    """The sync is listed, the tab shows its run, a contact is found by keyboard, and no other host is asked."""
    page, hosts = browser.page, set[str]()
    page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
    stage.connectif()
    stage.fill(3)
    stage.write_dag(JOURNAL)
    run_id, state = stage.run()
    assert state == "success"
    sync = f"{stage.name}.contacts"
    url = deployment.rest.url

    page.goto(url)  # Airflow 3.1 forgets at the login which page was asked for
    page.wait_for_load_state("networkidle")
    page.goto(f"{url}/plugin/connectif")
    frame = page.frame_locator("iframe")
    frame.get_by_role("link", name=sync).wait_for()

    page.goto(f"{url}/dags/{stage.name}/runs/{quote(run_id, safe='')}/tasks/contacts/plugin/connectif-run")
    frame.get_by_role("heading", name=sync).wait_for()
    frame.get_by_text("The way of the rows").wait_for()

    _by_keyboard(page, url, sync)
    page.set_viewport_size(PHONE)
    for path in ("/connectif/", _run_path(stage.name, run_id)):
        assert page.goto(url + path).status == 200
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert {host for host in hosts if host} == {urlsplit(url).netloc}


# 211 changed contacts, and rows whose key is no e-mail address.
NIGHT = """
    update {table} set points = points + 1 where id <= 211;
    update {table} set email = 'user' || id where id between 300 and 360
"""


@pytest.mark.skipif(not os.environ.get("CONNECTIF_E2E_PICTURES"), reason="nobody wants pictures")
def test_nightly(deployment: Deployment, stage: Stage, browser: Browser) -> None:  # noqa: F811
    """A sync of some nights; the pictures in the docs show the last of them."""
    page, url = browser.page, deployment.rest.url
    page.set_viewport_size(DESKTOP)
    connectif = stage.connectif()
    stage.fill(2912)
    stage.write_dag(
        'ContactPatchOperator(task_id="contacts", journal_conn_id="journal", sync_id="nightly_contacts",'
        " failure_budget=100, **CONTACTS)"
    )
    for night in range(5):
        stage.run()
        deployment.warehouse(f"update {stage.name} set points = points + 1 where id <= {60 + 23 * night}")
    stage.fill(38, first=2913)
    for statement in NIGHT.format(table=stage.name).split(";"):
        deployment.warehouse(statement)
    # As long as with an account's limit; the nights before have none, since the first alone would take half an hour.
    limited = {**connectif.airflow_connection(), "extra": {"requests_per_minute": 100}}
    deployment.rest.define_connection(stage.name, limited)
    run_id, state = stage.run(within_s=300)
    assert state == "success"

    page.goto(f"{url}/plugin/connectif")
    page.frame_locator("iframe").get_by_role("link", name="nightly_contacts").wait_for()
    browser.picture("page-syncs")
    page.goto(f"{url}/dags/{stage.name}/runs/{quote(run_id, safe='')}/tasks/contacts/plugin/connectif-run")
    page.frame_locator("iframe").get_by_text("The way of the rows").wait_for()
    browser.picture("page-run")
    page.goto(url + _run_path(stage.name, run_id))
    page.get_by_label("E-mail, external id").fill("user17@example.com")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="History").wait_for()
    browser.picture("page-contact")
    page.set_viewport_size(PHONE)
    page.goto(url + _run_path(stage.name, run_id))
    browser.picture("page-phone")


def _by_keyboard(page: Any, url: str, sync: str) -> None:
    page.goto(f"{url}/connectif/")
    _tab_to(page, sync)
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="The way of the rows").wait_for()
    field = page.get_by_label("E-mail, external id")
    for _ in range(50):
        page.keyboard.press("Tab")
        if field.evaluate("field => field === document.activeElement"):
            break
    page.keyboard.type("User2@Example.com")
    page.keyboard.press("Enter")
    page.get_by_text("acknowledged", exact=True).wait_for()
    assert "user2" not in page.url.lower()


def _tab_to(page: Any, words: str) -> None:
    for _ in range(50):
        page.keyboard.press("Tab")
        if words in page.evaluate("document.activeElement.innerText || ''"):
            return
    pytest.fail(f"no way to {words!r} by keyboard")


def _run_path(dag_id: str, run_id: str) -> str:
    return f"/connectif/run?dag_id={dag_id}&run_id={quote(run_id, safe='')}&task_id=contacts&map_index=-1"
