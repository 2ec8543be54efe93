"""The sandbox's bulk import, against what the API's documents say of it; each test names the section it is from.

Sections are those of docs/connectif-api.md. Sent by hand, not by the package's client, but for the last test.
"""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from airflow_provider_connectif.api.client import ConnectifClient
from airflow_provider_connectif.api.credentials import ApiKey
from airflow_provider_connectif.api.errors import BadRequestError, ErrorReportError, ForbiddenError
from airflow_provider_connectif.sandbox import SandboxProcess
from airflow_provider_connectif.sandbox.process import SandboxError
from tests.support.import_requests import ImportRequests
from tests.support.sandboxes import contact
from tests.support.strict_server import until

HEADER = "_email,_name\n"
TWO = HEADER + "a@example.com,Ana\nb@example.com,Bea\n"
UPLOADS = {"method": "POST", "path": "/imports/"}


@pytest.fixture(scope="module")
def running() -> Iterator[SandboxProcess]:
    with SandboxProcess(requests_per_minute=0, page_size=2) as process:
        yield process
    assert process.log_text() == ""


@pytest.fixture
def sandbox(running: SandboxProcess) -> SandboxProcess:
    running.clear_faults()
    running.reset()
    return running


# 5.1: endpoints and options


def test_an_upload_is_an_import_in_the_queue_and_then_contacts(
    sandbox: SandboxProcess, import_requests: ImportRequests
) -> None:
    """5.1: 201 and the Import. 5.2: its properties; the total is in the response already."""
    sandbox.add_fault({"import": {"stuck": "queued"}}, match=UPLOADS)
    response = import_requests.upload(TWO, delimiter=",")
    created = response.json()
    assert response.status_code == 201
    assert created == {
        "id": f"{1:024x}",
        "type": "contacts",
        "origin": "api",
        "status": "queued",
        "total": 2,
        "success": 0,
        "errors": 0,
        "options": {"delimiter": ",", "overrideExisting": True, "updateOnlyEmptyFields": False},
        "createdAt": created["createdAt"],
    }
    sandbox.release_imports()
    state = import_requests.end(created["id"])
    assert (state["status"], state["success"], state["errors"]) == ("finished", 2, 0)
    assert state["createdAt"] <= state["startedAt"] <= state["finishedAt"]
    assert "errorReportFileUrl" not in state
    assert (contact(sandbox)["_name"], contact(sandbox, "b@example.com")["_name"]) == ("Ana", "Bea")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("type", {"type": "people"}),
        ("overrideExisting", {"overrideExisting": "1"}),
        ("updateOnlyEmptyFields", {"overrideExisting": "false", "updateOnlyEmptyFields": "true"}),
        ("delimiter", {"delimiter": ",,"}),
        ("file", {"kind": "text/plain"}),
    ],
)
def test_options_that_are_not_as_documented_are_a_422(
    sandbox: SandboxProcess, import_requests: ImportRequests, name: str, options: dict[str, Any]
) -> None:
    """5.1: booleans as words, updateOnlyEmptyFields requires overrideExisting, the file is text/csv."""
    response = import_requests.upload(TWO, **options)
    assert response.status_code == 422
    assert [error["name"] for error in response.json()["validationErrors"]] == [name]
    assert sandbox.imports() == []


def test_ten_imports_may_be_queued_and_those_of_the_app_count(
    sandbox: SandboxProcess, import_requests: ImportRequests
) -> None:
    """5.1: one queue of ten for the app and the API. 2.3: E0401, status 400."""
    sandbox.queue_imports(9)
    sandbox.add_fault({"import": {"stuck": "queued"}}, match=UPLOADS, times=1)
    assert import_requests.upload(TWO).status_code == 201
    full = import_requests.upload(TWO)
    assert (full.status_code, full.json()["code"]) == (400, "E0401")
    assert [one["origin"] for one in sandbox.imports()] == ["api"] + ["app"] * 9
    sandbox.release_imports()
    until(lambda: {one["status"] for one in sandbox.imports()} == {"finished"})
    assert import_requests.upload(TWO).status_code == 201


def test_the_list_has_pages(sandbox: SandboxProcess, import_requests: ImportRequests) -> None:
    """5.1: ImportList, links and results; the newest first is an assumption."""
    ids = [import_requests.imported(TWO)["id"] for _ in range(3)]
    first = import_requests.ask().json()
    assert first["links"] == {"next": f"{sandbox.url}/imports/?page=2"}
    second = import_requests.session.get(first["links"]["next"], headers=import_requests.key, timeout=5).json()
    assert second["links"] == {"prev": f"{sandbox.url}/imports/?page=1"}
    assert [one["id"] for one in first["results"] + second["results"]] == ids[::-1]


@pytest.mark.slow
def test_each_request_needs_its_scope() -> None:
    """1.2: Imports: Read, Write, Delete."""
    wanted: dict[str, Callable[[ImportRequests], requests.Response]] = {
        "imports:read": lambda account: account.ask(),
        "imports:write": lambda account: account.upload(TWO),
        "imports:delete": lambda account: account.ask("nothing", "DELETE"),
    }
    keys = [f"key{number}:secret={scope}" for number, scope in enumerate(wanted)]
    with SandboxProcess(requests_per_minute=0, api_key=keys) as sandbox:
        for number in range(len(keys)):
            account = ImportRequests(sandbox.url, f"key{number}:secret")
            allowed = [scope for scope, send in wanted.items() if send(account).status_code != 403]
            assert allowed == [list(wanted)[number]]
            account.session.close()


# 5.2, 5.4: states and the error report


@pytest.mark.slow
def test_an_import_takes_its_time() -> None:
    """5.2: queued, inProgress, finished; progress is success and errors."""
    rows = "".join(f"user{number}@example.com,Ana\n" for number in range(1000))
    with SandboxProcess(requests_per_minute=0, import_rows_per_second=2000, import_queue_seconds=0.2) as sandbox:
        account = ImportRequests(sandbox.url, sandbox.api_key)
        import_id = account.upload(HEADER + rows).json()["id"]
        seen: list[dict[str, Any]] = []
        until(lambda: seen.append(account.state(import_id)) or seen[-1]["status"] == "finished")
        account.session.close()
    assert list(dict.fromkeys(state["status"] for state in seen)) == ["queued", "inProgress", "finished"]
    progress = {state["success"] for state in seen if state["status"] == "inProgress"}
    assert {0, 200, 400, 600} & progress
    assert max(progress) <= 1000


def test_a_sandbox_ends_quietly_in_the_middle_of_an_import() -> None:
    with SandboxProcess(requests_per_minute=0, import_rows_per_second=1) as sandbox:
        account = ImportRequests(sandbox.url, sandbox.api_key)
        import_id = account.upload(TWO).json()["id"]
        until(lambda: account.state(import_id)["status"] == "inProgress")
        account.session.close()
        assert sandbox.stop() == 0
    assert sandbox.log_text() == ""


@pytest.mark.parametrize(("end", "stamp"), [("error", "finishedAt"), ("cancelled", "cancelledAt"), ("paused", None)])
def test_an_import_ends_as_it_is_asked_to(
    sandbox: SandboxProcess, import_requests: ImportRequests, end: str, stamp: str | None
) -> None:
    sandbox.add_fault({"import": {"end": end, "after_rows": 1}}, match=UPLOADS, times=1)
    state = import_requests.imported(TWO)
    assert (state["status"], state["success"], list(sandbox.contacts())) == (end, 1, ["a@example.com"])
    assert {"finishedAt", "cancelledAt"} & state.keys() == ({stamp} if stamp else set())
    assert import_requests.imported(TWO)["status"] == "finished"


@pytest.mark.parametrize("state", ["queued", "inProgress"])
def test_an_import_is_stuck_until_it_is_released(
    sandbox: SandboxProcess, import_requests: ImportRequests, state: str
) -> None:
    sandbox.add_fault({"import": {"stuck": state}}, match=UPLOADS, times=1)
    import_id = import_requests.upload(TWO).json()["id"]
    assert import_requests.imported(TWO)["status"] == "finished"
    assert import_requests.state(import_id)["status"] == state
    sandbox.release_imports()
    assert import_requests.end(import_id)["status"] == "finished"


def test_a_lost_acknowledgement_leaves_an_import_behind(
    sandbox: SandboxProcess, import_requests: ImportRequests
) -> None:
    sandbox.add_fault({"drop": True, "apply": True}, match=UPLOADS, times=1)
    with pytest.raises(requests.ConnectionError):
        import_requests.upload(TWO)
    assert [one["total"] for one in import_requests.ask().json()["results"]] == [2]


BAD = "_email,_points\na@example.com,x\n"


@pytest.mark.slow
def test_an_error_report_has_an_address_that_expires() -> None:
    """5.4: fetched without the key; each look at the import gives a fresh address."""
    with SandboxProcess(requests_per_minute=0, report_seconds=0.3) as sandbox:
        account = ImportRequests(sandbox.url, sandbox.api_key)
        state = account.imported(BAD)
        assert account.report(state).status_code == 200
        until(lambda: account.report(state).status_code == 403)
        assert account.report(account.state(state["id"])).status_code == 200
        leak = account.session.get(account.state(state["id"])["errorReportFileUrl"], headers=account.key, timeout=5)
        assert leak.status_code == 400
        account.session.close()


def test_an_error_report_can_be_made_to_fail(sandbox: SandboxProcess, import_requests: ImportRequests) -> None:
    state = import_requests.imported(BAD)
    sandbox.add_fault({"status": 403}, match={"path": "/error-reports/{id}"}, times=1)
    assert [import_requests.report(state).status_code for _ in range(2)] == [403, 200]
    assert import_requests.session.get(f"{sandbox.url}/error-reports/{state['id']}", timeout=5).status_code == 403
    assert import_requests.session.get(f"{sandbox.url}/error-reports/nothing?sig=", timeout=5).status_code == 403
    assert "/error-reports/{id}" in {entry["path"] for entry in sandbox.requests()["recent"]}


# The sandbox's own


def test_the_page_shows_imports(sandbox: SandboxProcess, import_requests: ImportRequests) -> None:
    assert "No file has arrived yet." in requests.get(f"{sandbox.url}/", timeout=5).text
    sandbox.add_fault({"import": {"end": "<b>odd"}}, match=UPLOADS)
    import_requests.imported(TWO)
    page = requests.get(f"{sandbox.url}/", timeout=5).text
    counts = (("rows", 2), ("taken", 2), ("refused", 0))
    cells = "".join(f'<td class="n" data-name="{name}">{count}</td>' for name, count in counts)
    assert f"<td><bdi>&lt;b&gt;odd</bdi></td>{cells}" in page


@pytest.mark.parametrize(
    "action",
    [{"import": {}}, {"import": {"stuck": "finished"}}, {"import": {"end": "error", "after_rows": -1}}, {"import": 5}],
)
def test_a_fate_that_is_none_is_refused(sandbox: SandboxProcess, action: dict[str, Any]) -> None:
    with pytest.raises(SandboxError):
        sandbox.add_fault(action)


@pytest.mark.parametrize("count", [0, 11])
def test_a_queue_holds_what_it_holds(sandbox: SandboxProcess, count: int) -> None:
    with pytest.raises(SandboxError):
        sandbox.queue_imports(count)


@pytest.mark.slow
def test_the_command_line_knows_the_options() -> None:
    command = [sys.executable, "-m", "airflow_provider_connectif.sandbox", "--import-queue-seconds", "-1"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 2
    assert "number of seconds" in ended.stderr


@pytest.mark.slow
def test_the_client_and_the_sandbox_agree(sandbox: SandboxProcess, tmp_path: Path) -> None:
    """Both were written from the documents and share no code."""
    client = ConnectifClient(ApiKey(*sandbox.api_key.split(":")), sandbox.url)
    file, sink = tmp_path / "file.csv", io.BytesIO()
    file.write_text("_email;_points\na@example.com;1\nb@example.com;x\n", encoding="utf-8")
    options: dict[str, Any] = {"override_existing": True, "update_only_empty_fields": True, "delimiter": ";"}
    created = client.create_import(file, **options)
    ended = until(lambda: (one := client.get_import(created.id)).status == "finished" and one)
    assert (created.total, ended.success, ended.errors) == (2, 1, 1)
    assert client.download_error_report(ended.error_report_url, sink) == len(sink.getvalue()) > 0
    with pytest.raises(ErrorReportError) as refused:
        client.download_error_report(ended.error_report_url + "x", io.BytesIO())
    assert refused.value.is_refused
    assert [one.id for one in client.list_imports()] == [created.id]
    client.delete_import(created.id)
    assert list(client.list_imports()) == []
    sandbox.queue_imports(10)
    with pytest.raises(BadRequestError, match="E0401"):
        client.create_import(file, **options)
    sandbox.set_blocked(True)
    try:
        with pytest.raises(ForbiddenError):
            client.get_import(created.id)
    finally:
        sandbox.set_blocked(False)
    client.close()
