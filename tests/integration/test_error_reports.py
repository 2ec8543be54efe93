"""The error report of an import, from a host that is not Connectif's API: no key goes there, and no address leaks."""

from __future__ import annotations

import io
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_connectif.api.client import ConnectifClient
from airflow_provider_connectif.api.credentials import ApiKey
from airflow_provider_connectif.api.errors import ErrorReportError, RunStopped
from airflow_provider_connectif.api.quota import Quota
from tests.support.scripted_server import Exchange, ScriptedServer, serving

HUSH = "/container/hush-path.csv?sig=hush%2Fsignature"
REPORT = "line;reason\r\n2;ñ\r\n".encode()


def client(base_url: str = "http://127.0.0.1:9") -> ConnectifClient:
    return ConnectifClient(ApiKey("id", "secret"), base_url, quota=Quota(1_000_000))


def address(server: ScriptedServer) -> str:
    return server.url.replace("127.0.0.1", "localhost") + HUSH


def failure(url: str, base_url: str = "http://127.0.0.1:9", **limits: Any) -> ErrorReportError:
    with pytest.raises(ErrorReportError) as raised:
        client(base_url).download_error_report(url, io.BytesIO(), **limits)
    error: BaseException | None = raised.value
    while error is not None:
        assert "hush" not in f"{error!r}{error}"
        error = error.__cause__ or error.__context__
    return raised.value


def test_the_report_is_fetched_without_key_cookie_or_netrc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine localhost login someone password else\n")
    monkeypatch.setenv("NETRC", str(netrc))

    def script(exchange: Exchange) -> None:
        cookie = {"Set_Cookie": "a=b; Path=/"}
        if exchange.path == HUSH:
            exchange.reply(302, Location="/hush-next", **cookie)
        else:
            exchange.reply(200, REPORT, **cookie)

    sink = io.BytesIO()
    with caplog.at_level(logging.DEBUG), serving(script) as server:
        assert client().download_error_report(address(server), sink) == len(REPORT)
    assert sink.getvalue() == REPORT
    assert [seen.path for seen in server.seen] == [HUSH, "/hush-next"]
    for seen in server.seen:
        assert seen.headers.keys() <= {"host", "user-agent", "accept", "accept-encoding", "connection"}
    assert "GET" in caplog.text
    assert "hush" not in caplog.text


@pytest.mark.parametrize(
    ("url", "base_url"),
    [
        ("http://files.example.com/hush", "http://127.0.0.1:9"),
        ("http://127.0.0.1:9/hush", "https://api.connectif.cloud"),
        ("https://hush:word@files.example.com/", "https://api.connectif.cloud"),
        ("ftp://files.example.com/hush", "https://api.connectif.cloud"),
        ("file:///etc/hush", "https://api.connectif.cloud"),
        ("https://[hush", "https://api.connectif.cloud"),
    ],
)
def test_an_address_that_is_not_safe_is_not_asked(url: str, base_url: str) -> None:
    error = failure(url, base_url)
    assert (error.status, error.is_refused) == (0, False)
    assert "address" in str(error)


@pytest.mark.parametrize(
    "location", ["http://files.example.com/hush", "ftp://localhost/hush", "https://hush:word@localhost/"]
)
def test_a_redirect_to_an_address_that_is_not_safe_is_not_followed(location: str) -> None:
    with serving(lambda exchange: exchange.reply(307, Location=location)) as server:
        assert "address" in str(failure(address(server)))
    assert len(server.seen) == 1


def test_redirects_have_an_end() -> None:
    with serving(lambda exchange: exchange.reply(302, Location=exchange.path + "x")) as server:
        assert "more than 3 redirects" in str(failure(address(server)))
    assert len(server.seen) == 4


@pytest.mark.parametrize(
    ("status", "is_refused"),
    [(400, True), (403, True), (404, True), (410, True), (429, False), (500, False), (304, False)],
)
def test_a_refused_address_is_told_from_a_store_in_trouble(status: int, is_refused: bool) -> None:
    with serving(lambda exchange: exchange.reply(status)) as server:
        error = failure(address(server))
    assert (error.status, error.is_refused) == (status, is_refused)


def test_a_report_has_a_largest_size() -> None:
    with serving(lambda exchange: exchange.reply(200, b"x" * 1001)) as server:
        assert "larger than 1000 bytes" in str(failure(address(server), max_bytes=1000))
        assert client().download_error_report(address(server), io.BytesIO(), max_bytes=1001) == 1001


def trickle(exchange: Exchange) -> None:
    exchange.reply(200, b"", Content_Length="1000")
    for _ in range(1000):
        exchange.wfile.write(b"x")
        threading.Event().wait(0.02)


def broken_off(exchange: Exchange) -> None:
    exchange.reply(200, b"half", Content_Length="1000")
    exchange.close_connection = True


def dropped(exchange: Exchange) -> None:
    exchange.close_connection = True


@pytest.mark.parametrize(
    ("script", "words"),
    [(trickle, "within 0.3 s"), (broken_off, "connection broke"), (dropped, "connection broke")],
)
def test_a_report_comes_whole_and_in_time_or_not_at_all(script: Callable[[Exchange], None], words: str) -> None:
    with serving(script) as server:
        assert words in str(failure(address(server), timeout=0.3))


def test_a_stopped_run_stops_the_download() -> None:
    stopped = client()

    def script(exchange: Exchange) -> None:
        stopped.quota.close()
        exchange.reply(200, REPORT)

    with serving(script) as server, pytest.raises(RunStopped):
        stopped.download_error_report(address(server), io.BytesIO())


def test_a_full_disk_is_not_taken_for_a_broken_connection() -> None:
    class FullDisk(io.BytesIO):
        def write(self, _: Any) -> int:
            raise OSError(28, "No space left on device")

    with serving(lambda exchange: exchange.reply(200, REPORT)) as server, pytest.raises(OSError, match="No space"):
        client().download_error_report(address(server), FullDisk())


@pytest.mark.parametrize(("own_host", "counted"), [(True, 1), (False, 0)])
def test_only_requests_to_the_api_s_own_host_count(own_host: bool, counted: int) -> None:
    with serving(lambda exchange: exchange.reply(200, REPORT)) as server:
        asking = client(server.url if own_host else "http://127.0.0.1:9")
        asking.download_error_report(server.url + HUSH, io.BytesIO())
    assert asking.quota.requests == counted
    assert "authorization" not in server.seen[0].headers
