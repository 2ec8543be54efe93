"""An Airflow connection becomes a client; HTTP is faked at the wire."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests
import responses

from airflow_provider_connectif import __version__
from airflow_provider_connectif.api.errors import (
    ConnectifConfigError,
    ForbiddenError,
    NoResponseError,
    NotConnectifError,
    NotFoundError,
    RedirectError,
    RunStopped,
)
from airflow_provider_connectif.hooks.connectif import ConnectifHook
from airflow_provider_connectif.versions import airflow_version

pytestmark = pytest.mark.versions

KEY = "key-id:KEYSECRET"
API = "https://api.connectif.cloud"
_finds_any_extra = pytest.mark.skipif(
    (3, 0) <= airflow_version() < (3, 2), reason="Airflow 3.0 and 3.1 do not find a connection whose extra is no object"
)


@pytest.fixture
def hook(connection: Callable[..., None]) -> ConnectifHook:
    connection("connectif_default", conn_type="connectif", password=KEY)
    return ConnectifHook()


@responses.activate
def test_a_request_is_as_the_api_documents_it(hook: ConnectifHook) -> None:
    """API document 1.1: the header's form, JSON, and the key percent-encoded whole."""
    path = "/contacts/o%27hara%2Ba%2Fb%22%40ex%C3%A4mple.com"
    responses.patch(f"{API}{path}", status=201, json={"id": "1"})
    answer = hook.get_conn().patch_contact("o'hara+a/b\"@exämple.com", {"_name": "Áé", "tags": ["a"], "n": 1.5})
    assert answer.status == 201
    request = responses.calls[0].request
    assert request.url == API + path
    assert request.headers["Authorization"] == f"apiKey {KEY}"
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["User-Agent"].startswith(f"airflow-provider-connectif/{__version__}")
    assert '"_name": "Áé"'.encode() in request.body


@responses.activate
def test_external_ids_have_their_own_path(hook: ConnectifHook) -> None:
    responses.patch(f"{API}/contacts/external-id/a%2Fb", status=200)
    responses.get(f"{API}/contacts/external-id/a%2Fb", json={"_externalId": "a/b"})
    client = hook.get_conn()
    assert client.patch_contact_by_external_id("a/b", {}).status == 200
    assert client.get_contact_by_external_id("a/b") == {"_externalId": "a/b"}


@responses.activate
def test_get_contact(hook: ConnectifHook) -> None:
    responses.get(f"{API}/contacts/ana%40example.com", json={"_name": "Ana"})
    document = {"status": 404, "title": "Not Found", "detail": "The contact does not exist"}
    responses.get(f"{API}/contacts/eva%40example.com", status=404, json=document)
    client = hook.get_conn()
    assert client.get_contact("ana@example.com") == {"_name": "Ana"}
    assert client.get_contact("eva@example.com") is None


@responses.activate
@pytest.mark.parametrize("body", ["", "<html>eva@example.com</html>", '{"error": "no such route"}'])
def test_a_404_that_is_not_connectifs_says_nothing_of_a_contact(hook: ConnectifHook, body: str) -> None:
    responses.get(f"{API}/contacts/eva%40example.com", status=404, body=body)
    with pytest.raises(NotFoundError, match=r"^HTTP 404 Not Found$"):
        hook.get_conn().get_contact("eva@example.com")


@responses.activate
def test_a_contact_that_cannot_be_looked_up_is_an_error_without_key_and_address(hook: ConnectifHook) -> None:
    document = {"status": 403, "title": "Forbidden", "detail": f"eva@example.com with {KEY}"}
    url = f"{API}/contacts/eva%40example.com"
    client = hook.get_conn()
    responses.get(url, status=403, json=document)
    responses.get(url, body="<html>eva@example.com</html>")
    responses.get(url, json=document)
    responses.get(url, body="")
    responses.get(url, body=requests.ConnectionError(f"no way to {url} with {KEY}"))
    expected = [ForbiddenError, NotConnectifError, NotConnectifError, NotConnectifError, NoResponseError]
    for error in expected:
        with pytest.raises(error) as raised:
            client.get_contact("eva@example.com")
        assert type(raised.value) is error
        assert "eva" not in str(raised.value)
        assert "KEYSECRET" not in repr((raised.value, vars(raised.value), raised.value.__context__))


@responses.activate
def test_delete_contact(hook: ConnectifHook) -> None:
    document = {"status": 404, "title": "Not Found", "detail": "The contact does not exist"}
    responses.delete(f"{API}/contacts/o%27hara%2B1%2F2%40example.com", status=204)
    responses.delete(f"{API}/contacts/external-id/a%2Fb%20%25", status=200, json={"id": "1"})
    responses.delete(f"{API}/contacts/eva%40example.com", status=404, json=document)
    client = hook.get_conn()
    assert client.delete_contact("o'hara+1/2@example.com") is True
    assert client.delete_contact_by_external_id("a/b %") is True
    assert client.delete_contact("eva@example.com") is False
    for call in responses.calls:
        assert (call.request.method, call.request.body) == ("DELETE", None)
        assert call.request.headers["Authorization"] == f"apiKey {KEY}"


@responses.activate
def test_a_contact_that_was_perhaps_not_deleted_is_an_error_without_its_key(hook: ConnectifHook) -> None:
    url = f"{API}/contacts/eva%40example.com"
    document = {"status": 403, "title": "Forbidden", "detail": f"eva@example.com with {KEY}"}
    responses.delete(url, status=404, body="<html>eva@example.com</html>")
    responses.delete(url, status=403, json=document)
    responses.delete(url, body="<html>eva@example.com</html>")
    responses.delete(url, json=document)
    responses.delete(url, body=requests.ConnectionError(f"no way to {url} with {KEY}"))
    client = hook.get_conn()
    for error in [NotFoundError, ForbiddenError, NotConnectifError, NotConnectifError, NoResponseError]:
        with pytest.raises(error) as raised:
            client.delete_contact("eva@example.com")
        assert type(raised.value) is error
        assert "eva" not in str(raised.value)
        assert "KEYSECRET" not in repr((raised.value, vars(raised.value), raised.value.__context__))


@responses.activate
def test_a_contact_is_looked_up_by_its_key_percent_encoded_whole_and_within_the_quota(hook: ConnectifHook) -> None:
    responses.get(f"{API}/contacts/o%27hara%2B1%2F2%40example.com", json={"_name": "Ana"})
    responses.get(f"{API}/contacts/external-id/a%2Fb%20%25", json={"_name": "Eva"})
    client = hook.get_conn()
    assert client.get_contact("o'hara+1/2@example.com") == {"_name": "Ana"}
    assert client.get_contact_by_external_id("a/b %") == {"_name": "Eva"}
    client.quota.close()
    with pytest.raises(RunStopped):
        client.get_contact("o'hara+1/2@example.com")
    assert len(responses.calls) == 2
    for call in responses.calls:
        assert (call.request.method, call.request.body) == ("GET", None)
        assert call.request.headers["Authorization"] == f"apiKey {KEY}"


@pytest.mark.parametrize("key", ["", ".", ".."])
def test_a_key_that_would_change_the_path_is_refused(hook: ConnectifHook, key: str) -> None:
    with pytest.raises(ValueError, match="cannot be part of a URL"):
        hook.get_conn().patch_contact_by_external_id(key, {})


def test_a_body_that_is_no_json_is_refused(hook: ConnectifHook) -> None:
    with pytest.raises(ValueError, match="JSON"):
        hook.get_conn().patch_contact("ana@example.com", {"n": float("nan")})


@responses.activate
def test_redirects_are_not_followed(hook: ConnectifHook) -> None:
    responses.patch(f"{API}/contacts/ana%40example.com", status=307, headers={"Location": "https://example.com/"})
    with pytest.raises(RedirectError, match="HTTP 307"):
        hook.get_conn().patch_contact("ana@example.com", {})
    assert len(responses.calls) == 1


@responses.activate
@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (requests.ConnectTimeout("ana@example.com"), "no connection within 5 s"),
        (requests.ReadTimeout("ana@example.com"), "no response within 30 s"),
        (requests.exceptions.SSLError("ana@example.com"), "certificate"),
        (requests.exceptions.ProxyError("ana@example.com"), "proxy"),
        (requests.exceptions.ChunkedEncodingError("ana@example.com"), "the connection broke"),
        (requests.ConnectionError("ana@example.com"), "the connection broke"),
        (ConnectionResetError("ana@example.com"), "the connection broke"),
    ],
)
def test_a_broken_connection_is_told_in_words_without_the_url(
    hook: ConnectifHook, failure: Exception, words: str
) -> None:
    responses.patch(f"{API}/contacts/ana%40example.com", body=failure)
    with pytest.raises(NoResponseError, match=words) as error:
        hook.get_conn().patch_contact("ana@example.com", {})
    assert "ana" not in str(error.value)
    assert error.value.__context__ is None


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"password": "nocolon"}, "no colon"),
        ({"password": KEY, "host": "http://api.connectif.cloud"}, "use https"),
        ({"password": KEY, "extra": {"timeout": "soon"}}, "extra 'timeout' must be a number of seconds"),
        ({"password": KEY, "extra": {"timeout": 0}}, "extra 'timeout'"),
        ({"password": KEY, "extra": {"timeout": True}}, "extra 'timeout'"),
        ({"password": KEY, "extra": {"timeout": 1e10}}, "extra 'timeout' must be .* at most 30 days"),
        ({"password": KEY, "extra": {"retries": 10**400}}, "extra 'retries' must be a whole number"),
        pytest.param({"password": KEY, "extra": "{not json"}, "extra is not valid JSON", marks=_finds_any_extra),
        pytest.param({"password": KEY, "extra": "[1, 2]"}, "extra must be a JSON object", marks=_finds_any_extra),
        ({"password": KEY, "extra": {"requests_per_minute": 0}}, "extra 'requests_per_minute' must be a whole number"),
        ({"password": KEY, "extra": {"requests_per_minute": 1.5}}, "extra 'requests_per_minute'"),
    ],
)
def test_a_connection_that_cannot_work_is_refused_in_words(
    connection: Callable[..., None], fields: dict[str, Any], words: str
) -> None:
    connection("connectif_default", conn_type="connectif", **fields)
    with pytest.raises(ConnectifConfigError, match=words) as refused:
        ConnectifHook().get_conn()
    assert str(refused.value).startswith("connection 'connectif_default'")
    assert "SECRET" not in str(refused.value)
    assert refused.value.__context__ is None


def test_what_the_form_leaves_empty_is_the_default(connection: Callable[..., None]) -> None:
    """Airflow's form saves each empty field as null (and older ones as empty text)."""
    extra = {"timeout": None, "connect_timeout": "", "requests_per_minute": None, "retries": None, "verify": ""}
    connection("connectif_default", conn_type="connectif", password=KEY, extra=extra)
    assert ConnectifHook().get_conn().tries == 5


@responses.activate
@pytest.mark.parametrize(
    ("answer", "ok", "words"),
    [
        ({"status": 200, "json": {"id": "1"}}, True, "accepted the API key"),
        ({"status": 401, "body": "Unauthorized"}, False, "refused the API key (401)"),
        ({"status": 403, "json": {"status": 403}}, False, "scope Store: Read"),
        ({"status": 429}, False, "429, which says nothing about the API key"),
        ({"status": 429, "headers": {"Retry-After": "17"}}, False, "Test again in 1"),
        ({"status": 502, "body": "<html>"}, False, "HTTP 502"),
        ({"body": requests.ConnectionError("x")}, False, "the connection broke"),
        ({"status": 200, "body": "<html>"}, False, "is not a JSON object"),
    ],
)
def test_the_test_button_tells_a_bad_key_from_a_missing_scope(
    hook: ConnectifHook, answer: dict[str, Any], ok: bool, words: str
) -> None:
    responses.get(f"{API}/store/", **answer)
    success, message = hook.test_connection()
    assert (success, words in message, "SECRET" in message) == (ok, True, False), message


def test_the_test_button_refuses_a_key_that_cannot_be_one(connection: Callable[..., None]) -> None:
    connection("connectif_default", conn_type="connectif", password="SECRET SECRET")
    success, message = ConnectifHook().test_connection()
    assert (success, "space" in message, "SECRET" in message) == (False, True, False)


@responses.activate
def test_the_key_beats_an_entry_of_netrc(hook: ConnectifHook, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine api.connectif.cloud login other password other\n")
    monkeypatch.setenv("NETRC", str(netrc))
    responses.get(f"{API}/store/", json={})
    assert hook.test_connection()[0]
    assert responses.calls[0].request.headers["Authorization"] == f"apiKey {KEY}"
