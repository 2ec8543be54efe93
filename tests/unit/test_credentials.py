"""The API key and the address it may go to (design, "The hook")."""

from __future__ import annotations

import pytest

from airflow_provider_connectif.api.credentials import ApiKey, base_url
from airflow_provider_connectif.api.errors import ConnectifConfigError


@pytest.mark.parametrize(
    ("login", "password"),
    [
        (None, "key-id:key-secret"),
        ("", "key-id:key-secret"),
        ("key-id", "key-secret"),
        ("key-id", "key-id:key-secret"),
    ],
)
def test_a_key_is_whole_in_the_password_or_in_two_parts(login: str | None, password: str) -> None:
    assert ApiKey.parse(login, password).authorization == "apiKey key-id:key-secret"


@pytest.mark.parametrize(
    ("login", "password", "words"),
    [
        (None, None, "no API key"),
        ("key-id", "", "no API key"),
        (None, "SECRETWITHOUTCOLON", "no colon"),
        (None, "key-id:SECRET WITH SPACE", "a space"),
        (None, "key-id:SECRET\n", "a line break"),
        (None, "key-id:SECRET\r\nX-Header: 1", "a line break"),
        (None, "key-id:SECRÉT", "another character"),
        (None, "key-id:", "has no secret"),
        (None, ":SECRET", "has no id"),
    ],
)
def test_what_cannot_be_a_key_is_refused_with_words_that_do_not_quote_it(
    login: str | None, password: str | None, words: str
) -> None:
    with pytest.raises(ConnectifConfigError, match=words) as refused:
        ApiKey.parse(login, password)
    assert "SECR" not in str(refused.value)


def test_a_key_is_not_in_its_repr() -> None:
    assert "secret" not in repr(ApiKey.parse(None, "key-id:secret")).replace("secret=", "")


@pytest.mark.parametrize(
    ("host", "port", "url"),
    [
        (None, None, "https://api.connectif.cloud"),
        ("", None, "https://api.connectif.cloud"),
        ("api.connectif.cloud", 443, "https://api.connectif.cloud"),
        ("https://api.connectif.cloud/", None, "https://api.connectif.cloud"),
        ("gateway.example.com/connectif/", 8443, "https://gateway.example.com:8443/connectif"),
        ("http://127.0.0.1:8765", None, "http://127.0.0.1:8765"),
        ("http://127.8.9.1", 8765, "http://127.8.9.1:8765"),
        ("http://localhost:8765", 443, "http://localhost:8765"),
        ("http://[::1]:8765/", None, "http://[::1]:8765"),
        ("[2001:db8::1]/api", 8443, "https://[2001:db8::1]:8443/api"),
        ("my_gateway.", None, "https://my_gateway."),
        ("bücher.example", None, "https://bücher.example"),
    ],
)
def test_a_host_becomes_an_address(host: str | None, port: int | None, url: str) -> None:
    assert base_url(host, port) == url


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("http://api.connectif.cloud", "use https"),
        ("http://localhost.example.com", "use https"),
        ("http://10.0.0.1", "use https"),
        ("http://127.0.0.1.example.com", "use https"),
        ("ftp://api.connectif.cloud", "https://"),
        ("https://", "host name"),
        ("https://user:pass@api.connectif.cloud", "no user"),
        ("https://api.connectif.cloud/?a=b", "no user, password, query"),
        ("https://api.connectif.cloud/#x", "fragment"),
        ("https://api.connectif.cloud:port", "not a valid address"),
        ("https://[::1", "not a valid address"),
        ("https://api connectif.cloud", "not a valid address"),
        ("https://api..connectif.cloud", "not a valid address"),
        ("https://*.connectif.cloud", "not a valid address"),
        ("https://<host>", "not a valid address"),
        (f"https://{'a' * 64}.example", "not a valid address"),
    ],
)
def test_an_address_that_would_give_the_key_away_is_refused(host: str, words: str) -> None:
    with pytest.raises(ConnectifConfigError, match=words):
        base_url(host)


@pytest.mark.parametrize("port", [-1, 65_536, 99_999])
def test_a_port_that_no_host_has_is_refused(port: int) -> None:
    with pytest.raises(ConnectifConfigError, match="port must be a number from 1 to 65535"):
        base_url("https://api.connectif.cloud", port)
