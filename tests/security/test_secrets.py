"""Where the key and a contact could get out. Each test fails without its defence: ``mutations.py``."""

from __future__ import annotations

import http.client
import io
import logging
from pathlib import Path

import pytest

from airflow_provider_connectif.api.credentials import ApiKey, base_url
from airflow_provider_connectif.api.errors import ConnectifConfigError
from tests.security.hostile import EMAIL, KEY, SECRET, always, client, serving
from tests.security.hostile import http as answer


@pytest.mark.parametrize("password", [f"id:{SECRET}\r\nX-Evil: 1", f"id:{SECRET}\n", f"id:{SECRET}\x00"])
def test_a_key_cannot_become_a_header_and_is_not_quoted(password: str) -> None:
    with pytest.raises(ConnectifConfigError) as caught:
        ApiKey.parse(None, password)
    assert SECRET not in str(caught.value)


def test_the_key_is_in_no_repr() -> None:
    assert SECRET not in repr(KEY)


def test_plain_http_is_refused_but_for_this_machine() -> None:
    with pytest.raises(ConnectifConfigError, match="plain http"):
        base_url("http://api.connectif.cloud")
    assert base_url("http://127.0.0.1:8765") == "http://127.0.0.1:8765"


def test_a_user_in_the_host_is_refused() -> None:
    with pytest.raises(ConnectifConfigError, match="address only"):
        base_url("https://api.connectif.cloud@evil.example")


def test_no_proxy_carries_plain_http_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with serving(always(answer())) as proxy, serving(always(answer())) as server:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        client(server).patch_contact(EMAIL, {})
        assert proxy.requests == []
        assert len(server.requests) == 1


def test_a_netrc_gives_no_credentials_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password of-another-service\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with serving(always(answer(200, b"email,error\r\n"))) as store, serving(always(answer())) as server:
        client(server).download_error_report(f"{store.url}/report.csv", io.BytesIO())
        assert b"authorization" not in store.requests[0].lower()


def test_debugging_tells_no_contact(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with serving(always(answer())) as server:
        client(server).patch_contact(EMAIL, {})
        client(server).patch_contact_by_external_id("customer-4711", {})
    assert "/contacts/***" in caplog.text
    assert not [word for word in ("quittenbaum", "4711", SECRET) if word in caplog.text]


def test_debugging_tells_no_signed_address(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with serving(always(answer(200, b"email,error\r\n"))) as store, serving(always(answer())) as server:
        client(server).download_error_report(f"{store.url}/report.csv?signature=sesame", io.BytesIO())
    assert '"GET /*** HTTP' in caplog.text
    assert "sesame" not in caplog.text


def test_the_debug_switch_of_http_client_prints_no_key(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(http.client.HTTPConnection, "debuglevel", 1)
    with serving(always(answer())) as server:
        client(server).patch_contact(EMAIL, {})
    printed = "".join(capfd.readouterr())
    assert SECRET not in printed
    assert "quittenbaum" not in printed
