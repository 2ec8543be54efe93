"""Uploads and the list of imports as the API reference has them ("create-import", "Import"), over real HTTP."""

from __future__ import annotations

import email
import email.policy
import threading
import time
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_connectif.api import imports
from airflow_provider_connectif.api.client import ConnectifClient
from airflow_provider_connectif.api.credentials import ApiKey
from airflow_provider_connectif.api.errors import (
    BadRequestError,
    ConnectifHttpError,
    MalformedResponseError,
    NoResponseError,
    NotFoundError,
    RunStopped,
    ServerError,
    TooManyRequestsError,
)
from airflow_provider_connectif.api.import_record import Import
from airflow_provider_connectif.api.quota import Quota
from tests.support.scripted_server import Exchange, ScriptedServer, serving

ID = "5f0000000000000000000001"
MEGABYTE = 1_000_000


def client_of(server: ScriptedServer, **arguments: Any) -> ConnectifClient:
    return ConnectifClient(ApiKey("id", "secret"), server.url, quota=Quota(1_000_000), **arguments)


def upload(client: ConnectifClient, file: Path, **options: Any) -> Import:
    return client.create_import(file, **{"override_existing": True, "update_only_empty_fields": False} | options)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "ana@example.com-secret.csv"
    path.write_bytes("_email,_name\r\nana@example.com,Ñandú\r\n".encode())
    return path


@pytest.fixture
def large_file(tmp_path: Path) -> Path:
    path = tmp_path / "large.csv"
    with path.open("wb") as content:
        content.truncate(48 * MEGABYTE)
    return path


def parts_of(server: ScriptedServer) -> dict[str, tuple[dict[str, str], bytes]]:
    """Each part by its name, read by the standard library's own parser of MIME."""
    (seen,) = server.seen
    head = f"Content-Type: {seen.headers['content-type']}\r\n\r\n".encode()
    message = email.message_from_bytes(head + seen.body, policy=email.policy.HTTP)
    return {
        str(part.get_param("name", header="content-disposition")): (
            dict(part.items()),
            part.get_payload(decode=True),
        )
        for part in message.iter_parts()
    }


@pytest.mark.parametrize("status", [200, 201, 202])
def test_an_upload_is_multipart_with_booleans_as_words(file: Path, status: int) -> None:
    def script(exchange: Exchange) -> None:
        exchange.take()
        exchange.reply(status, {"id": ID, "status": "queued", "total": 1})

    with serving(script) as server:
        found = upload(client_of(server), file, delimiter=";")
    assert found == Import(id=ID, status="queued", total=1)
    (seen,) = server.seen
    assert (seen.method, seen.path) == ("POST", "/imports/")
    assert seen.headers["authorization"] == "apiKey id:secret"
    assert seen.headers["content-type"].startswith("multipart/form-data; boundary=")
    parts = parts_of(server)
    file_headers, content = parts.pop("file")
    assert content == file.read_bytes()
    assert file_headers["Content-Type"] == "text/csv"
    assert file_headers["Content-Disposition"] == 'form-data; name="file"; filename="contacts.csv"'
    assert {name: value for name, (_, value) in parts.items()} == {
        "type": b"contacts",
        "delimiter": b";",
        "overrideExisting": b"true",
        "updateOnlyEmptyFields": b"false",
    }
    assert b"secret" not in seen.body


def test_filling_empty_fields_only_requires_overriding(file: Path) -> None:
    with serving(lambda exchange: exchange.reply(500)) as server, pytest.raises(ValueError, match="override_existing"):
        upload(client_of(server), file, override_existing=False, update_only_empty_fields=True)
    assert server.seen == []


@pytest.mark.slow
def test_a_large_file_is_never_in_memory(large_file: Path) -> None:
    taken = []

    def script(exchange: Exchange) -> None:
        taken.append(exchange.take(keep=False) - exchange.length)
        exchange.reply(201, {"id": ID})

    with serving(script) as server:
        client = client_of(server)
        client.list_contact_fields  # noqa: B018 - everything is imported before the count begins
        tracemalloc.start()
        try:
            upload(client, large_file)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert taken == [0]
    assert peak < 2 * MEGABYTE


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, BadRequestError), (413, ConnectifHttpError), (429, TooManyRequestsError), (502, ServerError)],
)
def test_a_refused_upload_is_sent_once_and_raises_its_status(
    file: Path, status: int, kind: type[ConnectifHttpError]
) -> None:
    def script(exchange: Exchange) -> None:
        exchange.take()
        exchange.reply(status, {"status": status, "code": "E0401", "detail": "ten imports are queued"})

    with serving(script) as server:
        client = client_of(server)
        with pytest.raises(kind) as raised:
            upload(client, file)
    assert (raised.value.status, raised.value.code) == (status, "E0401")
    assert len(server.seen) == 1
    assert (client.quota.requests, client.quota.rate_limited) == (1, int(status == 429))


@pytest.mark.slow
def test_a_refusal_that_does_not_wait_for_the_file_is_heard(large_file: Path) -> None:
    def script(exchange: Exchange) -> None:
        exchange.reply(413, {"status": 413, "title": "Payload Too Large"})
        exchange.take(keep=False)

    with serving(script) as server, pytest.raises(ConnectifHttpError) as raised:
        upload(client_of(server), large_file)
    assert raised.value.status == 413


def abort(exchange: Exchange) -> None:
    exchange.close_connection = True
    exchange.connection.close()


def drop_in_the_middle(exchange: Exchange) -> None:
    exchange.take(MEGABYTE, keep=False)
    abort(exchange)


def drop_at_the_end(exchange: Exchange) -> None:
    exchange.take(keep=False)
    abort(exchange)


def half_an_answer(exchange: Exchange) -> None:
    exchange.take(keep=False)
    exchange.reply(201, b'{"id": "5f', Content_Length="100")
    abort(exchange)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("script", [drop_in_the_middle, drop_at_the_end, half_an_answer])
def test_a_connection_that_breaks_is_no_answer(large_file: Path, script: Callable[[Exchange], None]) -> None:
    with serving(script) as server, pytest.raises(NoResponseError, match="connection broke"):
        upload(client_of(server), large_file)
    assert len(server.seen) == 1


def test_an_answer_to_an_upload_has_a_timeout_of_its_own(file: Path) -> None:
    over = threading.Event()

    def script(exchange: Exchange) -> None:
        exchange.take()
        over.wait(10)

    with serving(script) as server:
        with pytest.raises(NoResponseError, match=r"no response within 0\.3 s"):
            upload(client_of(server, read_timeout=9.0, upload_timeout=0.3), file)
        over.set()


def test_sending_has_a_deadline(large_file: Path) -> None:
    def script(exchange: Exchange) -> None:
        for _ in range(400):  # 10 MB/s and then slower: always something, never done in time
            if not exchange.take(MEGABYTE // 100, keep=False):
                break
            threading.Event().wait(0.01)

    with serving(script) as server, pytest.raises(NoResponseError):
        upload(client_of(server, upload_timeout=0.5), large_file)


def test_another_side_that_stops_reading_is_given_up_on(large_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "STALL_S", 0.3)
    over = threading.Event()

    def script(exchange: Exchange) -> None:
        exchange.take(MEGABYTE, keep=False)
        over.wait(60)

    with serving(script) as server:
        client = client_of(server)
        began = time.monotonic()
        with pytest.raises(NoResponseError):
            upload(client, large_file)
        assert time.monotonic() - began < 30
        over.set()


def test_a_closed_quota_ends_the_sending_and_no_import_can_come_of_it(large_file: Path) -> None:
    taken = []

    def script(exchange: Exchange) -> None:
        taken.append(exchange.take(MEGABYTE, keep=False))
        client.quota.close()
        taken.append(exchange.take(exchange.length - MEGABYTE, keep=False))
        done.set()

    done = threading.Event()
    with serving(script) as server:
        client = client_of(server)
        with pytest.raises(RunStopped):
            upload(client, large_file)
        assert done.wait(10)
    assert sum(taken) < 48 * MEGABYTE


def test_a_quota_closed_after_the_last_byte_still_brings_the_answer(file: Path) -> None:
    def script(exchange: Exchange) -> None:
        exchange.take()
        client.quota.close()
        exchange.reply(201, {"id": ID})

    with serving(script) as server:
        client = client_of(server)
        assert upload(client, file).id == ID


@pytest.mark.parametrize("body", [None, b"<html>", [], {}, {"id": 5}, {"id": ""}, {"id": ".."}])
def test_a_success_that_names_no_import_is_malformed(file: Path, body: Any) -> None:
    def script(exchange: Exchange) -> None:
        exchange.take()
        exchange.reply(201, body)

    with serving(script) as server:
        with pytest.raises(MalformedResponseError):
            upload(client_of(server), file)
        with pytest.raises(MalformedResponseError):
            client_of(server).get_import(ID)


def test_an_import_is_asked_for_by_its_id() -> None:
    with serving(lambda exchange: exchange.reply(200, {"id": "a/b", "status": "paused"})) as server:
        assert client_of(server).get_import("a/b") == Import(id="a/b", status="paused")
    assert server.seen[0].path == "/imports/a%2Fb"


@pytest.mark.parametrize("status", [200, 202, 204])
def test_an_import_is_deleted_whatever_the_success_is_called(status: int) -> None:
    with serving(lambda exchange: exchange.reply(status)) as server:
        client_of(server).delete_import(ID)
    assert (server.seen[0].method, server.seen[0].path) == ("DELETE", f"/imports/{ID}")


def test_an_import_that_is_not_there_is_a_404() -> None:
    with serving(lambda exchange: exchange.reply(404, {"status": 404})) as server:
        for ask in (client_of(server).delete_import, client_of(server).get_import):
            with pytest.raises(NotFoundError):
                ask(ID)


@pytest.mark.parametrize("import_id", ["", ".", ".."])
def test_an_id_that_would_be_another_path_is_not_sent(import_id: str) -> None:
    with serving(lambda exchange: exchange.reply(200)) as server, pytest.raises(ValueError):
        client_of(server).delete_import(import_id)
    assert server.seen == []


def pages(exchange: Exchange) -> None:
    page = int(exchange.path.partition("?after=")[2] or 0)
    links = {"next": f"/imports/?after={page + 2}"} if page < 4 else {}
    exchange.reply(200, {"links": links, "results": [{"id": str(page)}, {"id": str(page + 1)}]})


def test_the_list_is_asked_for_page_by_page_as_it_is_read() -> None:
    with serving(pages) as server:
        found = client_of(server).list_imports()
        assert server.seen == []
        assert [next(found).id, next(found).id] == ["0", "1"]
        assert len(server.seen) == 1
        assert [entry.id for entry in found] == ["2", "3", "4", "5"]
    assert [seen.path for seen in server.seen] == ["/imports/", "/imports/?after=2", "/imports/?after=4"]


@pytest.mark.parametrize(
    "page",
    [
        {"links": {"next": "/imports/"}, "results": []},
        {"links": {"next": "http://localhost:1/imports/"}, "results": []},
        {"links": {}, "results": [{"status": "queued"}]},
        {"links": {}, "results": None},
    ],
    ids=["circle", "other host", "entry without id", "no results"],
)
def test_a_list_that_cannot_be_followed_is_malformed(page: dict[str, Any]) -> None:
    with serving(lambda exchange: exchange.reply(200, page)) as server, pytest.raises(MalformedResponseError):
        list(client_of(server).list_imports())


def test_an_import_is_read_as_documented() -> None:
    body = {
        "id": ID,
        "type": "contacts",
        "origin": "app",
        "status": "finished",
        "total": 10,
        "success": 7,
        "errors": 3,
        "options": {"delimiter": ";", "overrideExisting": True},
        "createdAt": "2026-01-31T09:30:00.123Z",
        "startedAt": "2026-01-31T10:30:01+01:00",
        "finishedAt": "2026-01-31T09:31:00",
        "errorReportFileUrl": "https://files.example.com/a?sig=hush",
        "somethingNew": 1,
    }
    found = Import.parse(body)
    assert (found.type, found.origin, found.status) == ("contacts", "app", "finished")
    assert (found.total, found.success, found.errors) == (10, 7, 3)
    assert found.options == {"delimiter": ";", "overrideExisting": True}
    assert found.created_at == datetime(2026, 1, 31, 9, 30, 0, 123000, tzinfo=UTC)
    assert found.started_at == datetime(2026, 1, 31, 9, 30, 1, tzinfo=UTC)
    assert found.finished_at is None  # without an offset it may be any zone's time
    assert found.cancelled_at is None
    assert found.error_report_url == "https://files.example.com/a?sig=hush"
    assert "hush" not in repr(found)


@pytest.mark.parametrize(
    "odd",
    [
        {"total": "10", "success": -1, "errors": True, "status": 5, "options": [], "createdAt": "yesterday"},
        {"total": None, "success": 1.5, "errors": None, "status": "", "options": None, "createdAt": 1580919168},
        {
            "status": "finished\n2026-11-28 ERROR",
            "type": "contacts\x1b[31m",
            "errorReportFileUrl": "https://a.example/\n",
        },
    ],
)
def test_what_is_not_as_documented_is_left_out(odd: dict[str, Any]) -> None:
    assert Import.parse({"id": ID} | odd) == Import(id=ID)


@pytest.mark.parametrize("import_id", ["1\n2026-11-28 ERROR forged", "1\x1b[2J", "x" * 201, "", None, 7])
def test_an_id_that_no_address_and_no_line_of_the_log_can_have_is_none(import_id: Any) -> None:
    with pytest.raises(MalformedResponseError, match="no import id"):
        Import.parse({"id": import_id})
