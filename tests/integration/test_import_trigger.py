"""What the triggerer does while imports are waited for: politely, without the key, and not for ever."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_connectif.triggers.imports import ImportTrigger
from tests.support.import_requests import ImportRequests
from tests.support.strict_server import API_KEY, StrictServer

FILE = "_email,_name\r\nana@example.com,Ana\r\n"


@pytest.fixture
def uploaded(strict: StrictServer) -> Callable[[], str]:
    """Upload a file by hand; the import's id."""
    requests = ImportRequests(strict.url, API_KEY)
    return lambda: requests.upload(FILE).json()["id"]


def fired(trigger: ImportTrigger) -> dict[str, Any]:
    """The payload of the one event."""

    async def wait() -> list[Any]:
        return [event async for event in trigger.run()]

    (event,) = asyncio.run(wait())
    return json.loads(json.dumps(event.payload))


def trigger(import_ids: list[str], seconds: float = 10.0, poll_s: float = 0.05, **more: Any) -> ImportTrigger:
    return ImportTrigger("connectif_default", import_ids, poll_s, time.time() + seconds, **more)


def test_it_serialises_what_it_is_made_of_and_no_key(strict: StrictServer) -> None:
    made = trigger(["a", "b"], carried={"files": []})
    path, kwargs = made.serialize()
    assert path == "airflow_provider_connectif.triggers.imports.ImportTrigger"
    assert API_KEY.partition(":")[2] not in json.dumps(kwargs)
    assert ImportTrigger(**json.loads(json.dumps(kwargs))).serialize() == (path, kwargs)


@pytest.mark.parametrize("end", ["finished", "error", "cancelled"])
def test_it_fires_when_all_have_finished(strict: StrictServer, uploaded: Callable[[], str], end: str) -> None:
    strict.update(import_run_s=1.0, import_faults=[{"end": end}])
    ids = [uploaded(), uploaded()]
    payload = fired(trigger(ids, carried={"x": 1}))
    assert payload["why"] == "finished"
    assert payload["statuses"] == dict.fromkeys(ids, end)
    assert payload["carried"] == {"x": 1}
    assert payload["requests"] == strict.requests - 2 > 2


def test_it_fires_at_the_deadline(strict: StrictServer, uploaded: Callable[[], str]) -> None:
    strict.update(import_hold="queued")
    began_at = time.monotonic()
    assert fired(trigger([uploaded()], seconds=0.5))["why"] == "deadline"
    assert 0.4 < time.monotonic() - began_at < 10


def test_a_server_that_hangs_does_not_keep_it(strict: StrictServer, uploaded: Callable[[], str]) -> None:
    import_id = uploaded()
    strict.update(import_faults=[{"on": "GET", "hang": "before"}])
    assert fired(trigger([import_id], seconds=0.5))["why"] == "deadline"


@pytest.mark.parametrize("status", [401, 403, 302])
def test_a_refused_key_is_not_asked_with_again(strict: StrictServer, uploaded: Callable[[], str], status: int) -> None:
    import_id = uploaded()
    strict.update(import_faults=[{"on": "GET", "status": status, "headers": {"Location": "http://127.0.0.1:9/"}}])
    payload = fired(trigger([import_id]))
    assert (payload["why"], payload["requests"]) == ("refused", 1)


def test_a_deleted_import_has_finished(strict: StrictServer) -> None:
    assert fired(trigger(["5f0000000000000000000000"]))["why"] == "finished"


def test_what_is_no_answer_is_asked_again(strict: StrictServer, uploaded: Callable[[], str]) -> None:
    import_id = uploaded()
    faults = [{"status": 500}, {"drop": "before"}, {"status": 200, "text": "<html>"}]
    strict.update(import_faults=[{"on": "GET", "times": 1, **fault} for fault in faults])
    payload = fired(trigger([import_id]))
    assert payload["statuses"] == {import_id: "finished"}
    assert payload["requests"] == 4


@pytest.mark.sampled(1)
@pytest.mark.parametrize("retry_after", [None, "seconds", "date"])
def test_it_keeps_to_the_window(strict: StrictServer, uploaded: Callable[[], str], retry_after: str | None) -> None:
    strict.update(import_hold="queued")
    import_id = uploaded()
    strict.update(limit=4, window_s=1.0, headers="fraction", retry_after=retry_after)
    payload = fired(trigger([import_id], seconds=2.5, poll_s=0.01))
    assert payload["why"] == "deadline"
    assert all(window["refused"] <= 1 for window in strict.windows)
    assert payload["requests"] <= 4 * len(strict.windows) + payload["rate_limited"]


def test_a_cap_of_the_connection_holds(
    strict: StrictServer, uploaded: Callable[[], str], connection: Callable[..., None]
) -> None:
    connection("connectif_default", **strict.connection(requests_per_minute=3, timeout=5))
    strict.update(import_hold="queued")
    assert fired(trigger([uploaded()], seconds=1.0, poll_s=0.01))["requests"] == 3


def test_many_imports_are_not_asked_for_all_at_once() -> None:
    from airflow_provider_connectif.imports.rules import poll_delay_s

    assert poll_delay_s(20.0, 1) == 20.0
    assert poll_delay_s(20.0, 4) == 5.0
    assert poll_delay_s(20.0, 64) == 3.0
    assert poll_delay_s(0.05, 64) == 0.05
    assert poll_delay_s(20.0, 0) == 20.0
