"""The sandbox's own doors under /_sandbox/, and its command line. Nothing here is the API's."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from airflow_provider_connectif.sandbox import SandboxProcess
from airflow_provider_connectif.sandbox.process import SandboxError
from tests.support.sandboxes import ask

REPOSITORY = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "airflow_provider_connectif.sandbox"]


# The sandbox's own doors


def test_the_log_counts_statuses_and_never_names_a_contact(sandbox: SandboxProcess) -> None:
    ask(sandbox, "PATCH", "/contacts/secret@example.com", json={})
    ask(sandbox, "GET", "/contacts/external-id/secret")
    ask(sandbox, "GET", "/secret/secret@example.com")
    log = sandbox.requests()
    assert (log["total"], log["by_status"]) == (3, {"201": 1, "404": 2})
    assert log["by_endpoint"] == {
        "GET (unknown path)": 1,
        "GET /contacts/external-id/{externalId}": 1,
        "PATCH /contacts/{email}": 1,
    }
    assert [(entry["method"], entry["path"], entry["status"]) for entry in log["recent"]] == [
        ("PATCH", "/contacts/{email}", 201),
        ("GET", "/contacts/external-id/{externalId}", 404),
        ("GET", "(unknown path)", 404),
    ]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", log["recent"][0]["time"])
    assert "secret" not in str(log)


def test_the_log_keeps_two_hundred_entries_and_all_counts(sandbox: SandboxProcess) -> None:
    with requests.Session() as session:
        for _ in range(230):
            session.get(f"{sandbox.url}/store/", timeout=10)
    log = sandbox.requests()
    assert (log["total"], log["by_status"], len(log["recent"])) == (230, {"401": 230}, 200)


def test_contacts_come_in_pages(sandbox: SandboxProcess) -> None:
    for number in range(5):
        ask(sandbox, "PATCH", f"/contacts/{number}@example.com", json={})
    page = requests.get(f"{sandbox.url}/_sandbox/contacts?offset=1&limit=2", timeout=10).json()
    assert (page["count"], [contact["_email"] for contact in page["contacts"]]) == (
        5,
        ["1@example.com", "2@example.com"],
    )
    assert requests.get(f"{sandbox.url}/_sandbox/contacts?limit=x", timeout=10).status_code == 400


@pytest.mark.slow
def test_reset_empties_contacts_log_and_window() -> None:
    with SandboxProcess(requests_per_minute=1, window_seconds=3600) as sandbox:
        ask(sandbox, "PATCH", "/contacts/ana@example.com", json={})
        assert ask(sandbox).status_code == 429
        sandbox.reset()
        assert (sandbox.contacts(), sandbox.requests()["total"]) == ({}, 0)
        assert ask(sandbox).status_code == 200


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/_sandbox/x", 404), ("GET", "/_sandbox/reset", 405)])
def test_other_doors_are_closed(sandbox: SandboxProcess, method: str, path: str, status: int) -> None:
    assert requests.request(method, sandbox.url + path, timeout=10).status_code == status


# The command line


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=30, cwd=REPOSITORY, check=False
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--host", "0.0.0.0"], "loopback addresses only"),
        (["--host", "example.com"], "must be localhost or a loopback address"),
        (["--port", "70000"], "from 0 to 65535"),
        (["--api-key", "no-colon"], "id:secret"),
        (["--api-key", "a:b=contacts:fly"], "unknown scope contacts:fly"),
        (["--requests-per-minute", "-1"], "expected one argument|whole number"),
        (["--window-seconds", "0"], "above 0"),
        (["--headers", "odd"], "invalid choice"),
        (["--fields", "/no/such/file.json"], "cannot read contact fields"),
        (["--strict-fields", "--any-fields"], "not allowed with"),
    ],
)
def test_an_option_that_cannot_be_used_is_refused_in_words(arguments: list[str], words: str) -> None:
    finished = run(*arguments)
    assert finished.returncode == 2
    assert re.search(words, finished.stderr)
    assert "Traceback" not in finished.stderr


@pytest.mark.slow
def test_a_process_that_cannot_start_says_why() -> None:
    with pytest.raises(SandboxError, match="cannot read"), SandboxProcess(fields="/no/such/file"):
        pass


@pytest.mark.slow
@pytest.mark.parametrize("stop_signal", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly_even_in_a_long_delay(stop_signal: signal.Signals) -> None:
    command = [*COMMAND, "--port", "0", "--requests-per-minute", "7"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, cwd=REPOSITORY) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        address = re.fullmatch(
            r"Connectif sandbox on (http://127\.0\.0\.1:\d+)/  "
            r"\(API key sandbox-id:sandbox-secret, 7 requests per 60 s\)\n",
            line,
        )
        assert address is not None
        fault = {"action": {"delay_s": 600}}
        assert requests.post(f"{address[1]}/_sandbox/faults", json=fault, timeout=10).status_code == 201
        with ThreadPoolExecutor(1) as pool:
            headers = {"Authorization": "apiKey sandbox-id:sandbox-secret"}
            held_up = pool.submit(requests.get, f"{address[1]}/store/", headers=headers, timeout=30)
            deadline = time.monotonic() + 10
            while not requests.get(f"{address[1]}/_sandbox/faults", timeout=10).json()["faults"][0]["struck"]:
                assert time.monotonic() < deadline
            process.send_signal(stop_signal)
            assert held_up.result().status_code == 200
        _, errors = process.communicate(timeout=10)
    assert (process.returncode, errors) == (0, "")
