"""The client's own connections do what requests' do: over TLS, through a tunnel of a proxy, one for many requests."""

from __future__ import annotations

import contextlib
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from airflow_provider_connectif.api.client import ConnectifClient
from airflow_provider_connectif.api.connections import Adapter
from airflow_provider_connectif.api.errors import NoResponseError, RunStopped
from airflow_provider_connectif.api.quota import Quota
from tests.security.hostile import KEY, always, http, serving
from tests.security.test_server import self_signed


def tls_client(url: str, folder: Path, timeout: float = 5.0) -> ConnectifClient:
    return ConnectifClient(KEY, url, verify=str(folder / "server.pem"), read_timeout=timeout, quota=Quota(1_000_000))


def test_tls_with_a_bundle_of_one_s_own(tmp_path: Path) -> None:
    with serving(always(http(201)), tls=self_signed(tmp_path)) as server:
        client = tls_client(server.url, tmp_path)
        assert [client.patch_contact(f"{n}@example.com", {}).status for n in range(3)] == [201] * 3
        assert len(server.requests) == 3


def test_a_head_over_tls_has_a_deadline_too(tmp_path: Path) -> None:
    def script(connection: socket.socket, _: bytes) -> None:
        with contextlib.suppress(OSError):
            for _ in range(40):
                connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                threading.Event().wait(0.05)

    with (
        serving(script, tls=self_signed(tmp_path)) as server,
        pytest.raises(NoResponseError, match="no response within"),
    ):
        tls_client(server.url, tmp_path, timeout=0.5).patch_contact("a@example.com", {})


def test_a_proxy_s_tunnel_carries_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heads: list[bytes] = []

    def tunnel(connection: socket.socket, request: bytes) -> None:
        heads.append(request)
        port = int(server.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as onward:
            connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=_pump, args=(onward, connection), daemon=True)
            back.start()
            _pump(connection, onward)
            back.join(5)

    with serving(always(http(201)), tls=self_signed(tmp_path)) as server, serving(tunnel) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.setenv(name, "")
        # By another name than this machine's, which goes by no proxy.
        client = tls_client("https://connectif.example", tmp_path)
        assert client.patch_contact("a@example.com", {}).status == 201
        assert len(server.requests) == 1
    assert heads[0].startswith(b"CONNECT connectif.example:443 ")
    assert KEY.secret.encode() not in b"".join(heads)


@pytest.mark.parametrize(
    ("response", "may_have_arrived"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy", False),
        (b"HTTP/1.1 200 Connection established\r\n\r\n", True),  # the tunnel breaks after it was made
    ],
    ids=["no password", "busy", "broken"],
)
def test_a_request_whose_tunnel_a_proxy_refuses_was_not_sent(
    response: bytes, may_have_arrived: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(lambda connection, _: connection.sendall(response)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("http://", "http://somebody:proxy-password@"))
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.setenv(name, "")
        client = ConnectifClient(KEY, "https://connectif.example", quota=Quota(1_000_000))
        with pytest.raises(NoResponseError) as caught:
            client.patch_contact("a@example.com", {})
    assert caught.value.was_sent == may_have_arrived
    assert "proxy-password" not in repr(caught.value)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_request_of_another_thread_can_be_ended(scheme: str, tmp_path: Path) -> None:
    arrived = threading.Event()

    def hang(connection: socket.socket, _: bytes) -> None:
        arrived.set()
        connection.recv(1)

    with serving(hang, tls=self_signed(tmp_path) if scheme == "https" else None) as server:
        verify: bool | str = str(tmp_path / "server.pem") if scheme == "https" else True
        client = ConnectifClient(KEY, server.url, verify=verify, read_timeout=600.0)
        with ThreadPoolExecutor(1) as thread:
            request = thread.submit(client.get_import, "5f0000000000000000000000")
            assert arrived.wait(30)
            client.abort()
            assert isinstance(request.exception(timeout=30), NoResponseError)
        with pytest.raises(RunStopped):
            client.get_import("5f0000000000000000000000")


def test_a_request_that_has_no_connection_yet_can_be_ended_too() -> None:
    with serving(always(http(200))) as server, requests.Session() as session:
        adapter = Adapter()
        session.mount("http://", adapter)
        assert session.get(server.url).status_code == 200
        adapter.abort()
        with pytest.raises(requests.ConnectionError):
            session.get(server.url)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while part := source.recv(65536):
            sink.sendall(part)
        sink.shutdown(socket.SHUT_WR)
