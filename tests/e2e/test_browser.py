"""The connection as a person makes it, in a browser: filled in, saved, tested, looked at again, used by a run.

Needs Playwright and a Chromium; it is skipped, with words, where one of them is not there. The pictures of the docs are
made again by ``CONNECTIF_E2E_PICTURES=docs/images python -m pytest tests/e2e/test_browser.py tests/e2e/test_page.py``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_connectif.hooks import connection_form
from tests.e2e.deployment import Connectif, Deployment
from tests.e2e.stage import Stage, held

COUNT = 20
TIMEOUT_MS = 60_000
WIDTH, HEIGHT, HEIGHT_OF_A_LIST = 1100, 1150, 560
KEY = "form-id:form-secret-that-nobody-sees"
SECRET = KEY.partition(":")[2]


class Browser:
    """A page of Airflow's UI, and all responses that it has got from the server.

    :param page: Playwright's.
    :param url: Airflow's.
    """

    def __init__(self, page: Any, url: str) -> None:
        self.page = page
        self._url = url
        self._answers: list[Any] = []
        self._texts: list[str] = []
        page.on("response", lambda response: self._answers.append(response) if "/api/" in response.url else None)

    def open_connections(self) -> None:
        """By the menu, as a person does."""
        self._keep_answers()  # the browser forgets them when it goes to another page
        self.page.goto(self._url)
        self.page.get_by_role("button", name="Admin").click()
        self.page.get_by_role("menuitem", name="Connections").click()
        self.page.get_by_role("button", name="Add Connection").first.wait_for()

    def add_connection(self, conn_id: str) -> Any:
        """Open the form and choose the type; returns the form."""
        self.page.get_by_role("button", name="Add Connection").first.click()
        form = self.page.get_by_role("dialog")
        form.get_by_label("Connection ID").fill(conn_id)
        form.get_by_role("combobox").click()
        self.page.keyboard.type(connection_form.HOOK_NAME)
        self.page.get_by_role("option", name=connection_form.HOOK_NAME, exact=True).click()
        return form

    def row(self, conn_id: str) -> Any:
        """A connection in the list."""
        return self.page.get_by_role("row").filter(has=self.page.get_by_role("cell", name=conn_id, exact=True))

    def edit(self, conn_id: str) -> Any:
        """Open a stored connection; returns the form."""
        self.row(conn_id).get_by_role("button", name="Edit Connection").click()
        form = self.page.get_by_role("dialog")
        form.get_by_label("API key", exact=True).wait_for()
        return form

    def save(self, form: Any) -> None:
        """Press Save and wait until the form is gone."""
        form.get_by_role("button", name="Save").click()
        form.wait_for(state="hidden")

    def test(self, conn_id: str) -> Any:
        """Press the button that tests a connection; returns the server's response."""
        with self.page.expect_response(lambda response: response.url.endswith("/connections/test")) as answer:
            self.row(conn_id).get_by_role("button", name="Test Connection").click()
        return answer.value

    def all_seen(self) -> str:
        """Return what the page shows, including its fields' values and storage, and every response of the API."""
        values = self.page.evaluate(
            "() => JSON.stringify([[...document.querySelectorAll('input,textarea')].map(field => field.value),"
            " {...localStorage}, {...sessionStorage}])"
        )
        self._keep_answers()
        return "\n".join([self.page.content(), values, *self._texts])

    def _keep_answers(self) -> None:
        self._texts += [answer.text() for answer in self._answers]
        self._answers.clear()

    def picture(self, name: str, of: Any = None) -> None:
        """Keep a picture, where somebody wants pictures."""
        folder = os.environ.get("CONNECTIF_E2E_PICTURES")
        if folder:
            (self.page if of is None else of).screenshot(path=Path(folder) / f"{name}.png", animations="disabled")


@pytest.fixture
def browser(chromium: Any, deployment: Deployment) -> Iterator[Browser]:
    if not deployment.version.startswith("3."):
        pytest.skip(f"Airflow {deployment.version} has another form, which is not looked at")
    page = chromium.new_page(viewport={"width": WIDTH, "height": HEIGHT})
    page.set_default_timeout(TIMEOUT_MS)
    yield Browser(page, deployment.rest.url)
    page.close()


@pytest.fixture
def keyed(stage: Stage) -> Connectif:
    """A Connectif whose key stands nowhere else."""
    return stage.connectif(api_key=KEY)


def test_connectif_by_hand(deployment: Deployment, stage: Stage, keyed: Connectif, browser: Browser) -> None:
    """The form is the one of ``connection_form.py``; what it saves works, and the key is never seen again."""
    deployment.rest.call("DELETE", f"connections/{stage.name}")
    browser.open_connections()
    form = browser.add_connection(stage.name)
    _has_the_fields_of_the_table(form)

    form.get_by_label("Base URL").fill(_host(keyed))
    form.get_by_label("Port").fill(str(_port(keyed)))
    key = form.get_by_label("API key", exact=True)
    key.press_sequentially(KEY)
    assert key.get_attribute("type") == "password", "the key is readable while it is typed"
    browser.picture("connection-form", form)
    form.get_by_role("button", name="Extra Fields", exact=True).click()
    form.get_by_label("Requests per minute").fill("60")
    browser.picture("connection-form-extra", form)
    browser.save(form)

    assert browser.test(stage.name).json() == {"status": True, "message": "Connectif accepted the API key"}
    browser.page.get_by_text("Test Connection Successful").wait_for()
    browser.page.set_viewport_size({"width": WIDTH, "height": HEIGHT_OF_A_LIST})
    browser.picture("connection-tested")
    browser.page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
    # Saved once more as it is: the stars that the form shows must not become the key.
    browser.open_connections()
    form = browser.edit(stage.name)
    assert form.get_by_label("API key", exact=True).input_value() == "***"
    form.get_by_role("button", name="Show value").click()
    assert form.get_by_label("API key", exact=True).input_value() == "***"
    browser.picture("connection-saved", form)
    assert SECRET not in browser.all_seen()
    form.get_by_label("Description").fill("made by hand")
    browser.save(form)
    assert browser.test(stage.name).json()["status"] is True
    assert SECRET not in browser.all_seen()
    assert SECRET not in str(deployment.rest.call("GET", f"connections/{stage.name}"))

    stage.fill(COUNT)
    stage.write_dag('ContactPatchOperator(task_id="contacts", **CONTACTS)')
    run_id, state = stage.run()
    assert state == "success"
    assert held(keyed) == stage.source()
    assert SECRET not in deployment.task_log(stage.task(run_id, "contacts"))


def test_a_wrong_key(stage: Stage, keyed: Connectif, browser: Browser) -> None:
    """The button says what is wrong, and does not quote the key."""
    address = {"host": _host(keyed), "port": _port(keyed)}
    fields = {**keyed.airflow_connection(), **address, "password": "a:wrong-one"}
    stage.deployment.rest.define_connection(stage.name, fields)
    browser.open_connections()
    answer = browser.test(stage.name).json()
    assert answer["status"] is False
    assert "401" in answer["message"]
    assert "wrong-one" not in browser.all_seen()


def test_a_used_up_window(stage: Stage, browser: Browser) -> None:
    """The button says when to test again, and nothing about the key: 429 proves nothing."""
    connectif = stage.connectif(api_key=KEY, requests_per_minute=2, window_seconds=900)
    address = {"host": _host(connectif), "port": _port(connectif)}
    stage.deployment.rest.define_connection(stage.name, {**connectif.airflow_connection(), **address})
    browser.open_connections()
    tests = [browser.test(stage.name).json() for _ in range(3)]
    assert [test["status"] for test in tests] == [True, True, False]
    assert "429, which says nothing about the API key" in tests[-1]["message"]
    again_s = int(re.search(r"Test again in ([0-9,]+) s", tests[-1]["message"])[1].replace(",", ""))
    assert 0 < again_s <= 910  # the window, and a margin
    browser.page.get_by_text("which says nothing about the API key").wait_for()
    assert SECRET not in browser.all_seen()


def test_the_port_trap(stage: Stage, keyed: Connectif, browser: Browser) -> None:
    """Airflow 3.3.2 refuses to test a connection without a port; when this fails, docs/connection.md is out of date."""
    browser.open_connections()
    answer = browser.test(stage.name)  # the address has the port, the field has none
    assert answer.status == 400
    assert "port to test differs" in answer.text()


def _has_the_fields_of_the_table(form: Any) -> None:
    behaviour = connection_form.UI_FIELD_BEHAVIOUR
    for name, label in behaviour["relabeling"].items():
        assert form.get_by_label(label, exact=True).get_attribute("name") == name
    for name, placeholder in behaviour["placeholders"].items():
        assert form.locator(f"[name={name}]").get_attribute("placeholder") == placeholder
    for name in behaviour["hidden-fields"]:
        assert form.locator(f"[name={name}]").count() == 0
    form.get_by_role("button", name="Extra Fields", exact=True).click()
    for field in connection_form.EXTRA_FIELDS:
        element = form.page.locator(f"[name=element_{field.name}]")
        # Airflow ties the label of a text to no element, so what stands around the element is looked at.
        around = form.get_by_role("group").filter(has=element).inner_text()
        assert field.label in around
        assert field.description in around
        assert element.is_visible()
        assert element.input_value() == "", "a default would be saved into every connection"
    form.get_by_role("button", name="Standard Fields", exact=True).click()
    form.get_by_label("API key", exact=True).wait_for()


def _host(connectif: Connectif) -> str:
    return connectif.url.rpartition(":")[0]


def _port(connectif: Connectif) -> int:
    return int(connectif.url.rpartition(":")[2])
