"""What Connectif's host, or somebody in between, could try. Each test fails without its defence: ``mutations.py``."""

from __future__ import annotations

import datetime
import gzip
import io
import ipaddress
import json
import logging
import pickle
import socket
import ssl
import time
import traceback
from pathlib import Path

import pytest

from airflow_provider_connectif.api.client import ConnectifClient
from airflow_provider_connectif.api.errors import (
    BadRequestError,
    ErrorReportError,
    MalformedResponseError,
    NoResponseError,
    RedirectError,
    UnauthorizedError,
    error_class,
)
from airflow_provider_connectif.api.rate_headers import read_rate_headers
from airflow_provider_connectif.contacts.fields import Field
from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.contacts.mapping_arguments import MappingError
from airflow_provider_connectif.reporting.reasons import public_reasons
from tests.security.hostile import EMAIL, KEY, KEY_ID, SECRET, always, client, http, serving, target

BODY = b'{"results": [{"id": "tier", "type": "text"}], "links": {"next": "%s"}}'
MAPPING = ContactMapping(properties={"_name": "first_name"})
PATCH = MAPPING.patch(1, {"email": EMAIL, "first_name": "Zacharias"})


def test_a_redirect_is_not_followed() -> None:
    with (
        serving(always(http())) as elsewhere,
        serving(always(http(307, b"", f"Location: {elsewhere.url}/contacts/x"))) as server,
    ):
        with pytest.raises(RedirectError):
            client(server).patch_contact(EMAIL, {"_name": "Zacharias"})
        assert len(server.requests) == 1
        assert elsewhere.requests == []


@pytest.mark.parametrize("link", ["{url}/contact-fields/", "//{host}/contact-fields/", "http://127.0.0.1@{host}/x"])
def test_a_next_page_on_another_host_is_not_asked_for(link: str) -> None:
    with serving(always(http())) as elsewhere:
        host = elsewhere.url.partition("//")[2]
        first = http(200, BODY % link.format(url=elsewhere.url, host=host).encode())

        def script(connection: socket.socket, request: bytes) -> None:
            connection.sendall(first if target(request) == "/contact-fields/" else http(200, b'{"results": []}'))

        with serving(script) as server:
            with pytest.raises(MalformedResponseError, match="another host"):
                client(server).list_contact_fields()
            assert len(server.requests) == 1
        assert elsewhere.requests == []


def test_pages_without_an_end_have_one() -> None:
    def script(connection: socket.socket, request: bytes) -> None:
        page = int(target(request).partition("=")[2] or 0) + 1
        connection.sendall(http(200, BODY % b"/contact-fields/?page=%d" % page if page < 120 else b'{"results": []}'))

    with serving(script) as server:
        with pytest.raises(MalformedResponseError, match="more than 100 pages"):
            client(server).list_contact_fields()
        assert len(server.requests) == 100


def test_an_error_report_is_fetched_without_the_key() -> None:
    with serving(always(http(200, b"email,error\r\n"))) as store, serving(always(http())) as server:
        client(server).download_error_report(f"{store.url}/report.csv?signature=x", io.BytesIO())
        assert b"authorization" not in store.requests[0].lower()
        assert SECRET.encode() not in store.requests[0]


def test_an_error_report_over_plain_http_is_not_fetched() -> None:
    with serving(always(http(200, b"email,error\r\n"))) as store:
        with pytest.raises(ErrorReportError, match="not https"):
            ConnectifClient(KEY).download_error_report(f"{store.url}/report.csv", io.BytesIO())
        assert store.requests == []


def test_a_huge_answer_is_given_up_on() -> None:
    huge = b'{"_name": "' + b"x" * 9_000_000 + b'"}'
    with serving(always(http(200, huge))) as server, pytest.raises(NoResponseError, match="the connection broke"):
        client(server).patch_contact(EMAIL, {})


def test_a_body_that_trickles_in_has_a_deadline() -> None:
    def script(connection: socket.socket, _: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n")
        for _ in range(20):
            connection.sendall(b" ")
            time.sleep(0.1)

    with serving(script) as server, pytest.raises(NoResponseError, match="no response within"):
        client(server, read_timeout=0.5).patch_contact(EMAIL, {})


def test_a_redirect_is_read_like_any_other_response() -> None:
    huge, elsewhere = b"x" * 9_000_000, "Location: https://elsewhere.example.com/"
    with serving(always(http(302, huge, elsewhere))) as server, pytest.raises(NoResponseError, match="broke"):
        client(server).patch_contact(EMAIL, {})
    cut = gzip.compress(b"moved" * 1000)[:-20]
    packed = http(302, cut, elsewhere, "Content-Encoding: gzip").replace(b"Content-Length: ", b"Content-Length: 9")
    with serving(always(packed)) as server, pytest.raises(NoResponseError, match="broke"):
        client(server).patch_contact(EMAIL, {})


@pytest.mark.parametrize("location", ["http://[x/", "http://elsewhere.example.com:port/"])
def test_a_redirect_to_an_address_that_cannot_be_read_is_one(location: str) -> None:
    with serving(always(http(302, b"", f"Location: {location}"))) as server, pytest.raises(RedirectError):
        client(server).patch_contact(EMAIL, {})


@pytest.mark.parametrize("part", [b"X", b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_a_head_that_never_ends_has_a_deadline(part: bytes) -> None:
    def script(connection: socket.socket, _: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nX: " if part == b"X" else b"")
        for _ in range(20):
            connection.sendall(part)
            time.sleep(0.1)
        connection.sendall(b"\r\n\r\n" if part == b"X" else http())

    with serving(script) as server, pytest.raises(NoResponseError, match="no response within"):
        client(server, read_timeout=0.5).patch_contact(EMAIL, {})


def test_no_packed_answer_is_asked_for() -> None:
    with serving(always(http())) as server:
        client(server).patch_contact(EMAIL, {})
        assert b"\r\naccept-encoding: identity\r\n" in server.requests[0].lower()


@pytest.mark.parametrize("encoding", ["gzip, gzip", "br", "zstd", "gzip,identity"])
def test_an_answer_that_is_packed_twice_or_oddly_is_not_unpacked(encoding: str) -> None:
    bomb = gzip.compress(gzip.compress(b'{"id": "1"}'))
    answer = always(http(200, bomb, f"Content-Encoding: {encoding}"))
    with serving(answer) as server, pytest.raises(NoResponseError, match="could not be decoded"):
        client(server).patch_contact(EMAIL, {})


def test_an_error_report_that_is_packed_twice_is_not_unpacked() -> None:
    answer = always(http(200, gzip.compress(gzip.compress(b"a,b")), "Content-Encoding: gzip, gzip"))
    with serving(answer) as server, pytest.raises(ErrorReportError, match="could not be decoded"):
        client(server).download_error_report(f"{server.url}/report.csv", io.BytesIO())


def test_a_packed_error_report_that_is_cut_off_is_not_taken_for_the_whole_one() -> None:
    report = gzip.compress(b"".join(b"user%d@example.com,refused\n" % number for number in range(20_000)))
    answer = always(http(200, report[: len(report) // 2], "Content-Encoding: gzip"))
    with serving(answer) as server, pytest.raises(ErrorReportError, match="the connection broke"):
        client(server).download_error_report(f"{server.url}/report.csv", io.BytesIO())


@pytest.mark.parametrize("depth", [600, 900, 100_000])
def test_an_error_that_is_nested_deep_is_an_error_like_others(depth: int) -> None:
    body = b'{"detail": ' + b"[" * depth + b"]" * depth + b"}"
    with serving(always(http(400, body))) as server, pytest.raises(BadRequestError):
        client(server).patch_contact(EMAIL, {})


def echo_of_the_key() -> UnauthorizedError:
    said = f"apiKey {KEY_ID}:{SECRET} is revoked"
    body = {"detail": said, "title": said, "validationErrors": [{"reason": said, said: "x"}]}
    answer = always(http(401, json.dumps(body).encode()))
    with serving(answer) as server, pytest.raises(UnauthorizedError) as caught:
        client(server).patch_contact(EMAIL, {})
    return caught.value


def test_a_key_that_the_server_echoes_is_taken_out() -> None:
    error = echo_of_the_key()
    assert error.detail == "apiKey *** is revoked"
    assert SECRET not in repr(vars(error))


def test_a_pickled_error_holds_no_key() -> None:
    error = echo_of_the_key()
    pickled = pickle.dumps(error)
    assert SECRET.encode() not in pickled
    assert vars(pickle.loads(pickled)) == vars(error)


def test_cookies_are_not_kept() -> None:
    with serving(always(http(200, b"{}", "Set-Cookie: track=me; Path=/"))) as server:
        one = client(server)
        one.patch_contact(EMAIL, {})
        one.patch_contact(EMAIL, {})
        assert b"track" not in server.requests[1]


@pytest.mark.parametrize("asked", ["31536000", "Fri, 31 Dec 2999 23:59:59 GMT", "4102444800"])
def test_a_server_cannot_ask_to_be_left_alone_for_a_year(asked: str) -> None:
    seconds = read_rate_headers({"Retry-After": asked}, time.time()).retry_after
    assert seconds is not None
    assert 0 < seconds <= 3600


def test_headers_that_cannot_be_read_are_not_quoted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with serving(always(http(200, b"{}", f"{EMAIL} and apiKey {KEY_ID}:{SECRET} said"))) as server:
        client(server).patch_contact(EMAIL, {})
    assert "Failed to parse headers" in caplog.text
    assert EMAIL not in caplog.text
    assert SECRET not in caplog.text


def test_a_broken_connection_is_told_without_the_contact() -> None:
    with serving(lambda connection, _: connection.close()) as server, pytest.raises(NoResponseError) as caught:
        client(server).patch_contact(EMAIL, {})
    with pytest.raises(NoResponseError) as refused:
        client(server).patch_contact(EMAIL, {})
    for error in (caught.value, refused.value):
        assert "quittenbaum" not in "".join(traceback.format_exception(error))


def test_values_that_the_server_echoes_are_taken_out_of_reasons() -> None:
    error = error_class(422)(422, detail="Zacharias is no name", validation_errors=())
    assert public_reasons(error, PATCH, MAPPING) == ("HTTP 422 Unprocessable Entity: *** is no name",)


def test_a_long_reason_costs_no_time() -> None:
    error = error_class(422)(422, detail="x" * 30_000)
    began = time.monotonic()
    public_reasons(error, PATCH, MAPPING)
    assert time.monotonic() - began < 5


def test_a_reason_cannot_forge_a_line_of_the_log() -> None:
    error = error_class(422)(422, detail="bad\r\n[2026-01-01] INFO all is well \x1b[2K\u2028 so")
    (said,) = public_reasons(error, PATCH, MAPPING)
    assert said.isprintable()


def test_the_name_of_a_field_cannot_forge_a_line_of_the_log() -> None:
    mapping = ContactMapping(properties={"loyalty_tier": "tier"}, definitions=[Field("loyalty_tier\nforged", "text")])
    with pytest.raises(MappingError) as caught:
        mapping.check()
    assert "forged" not in str(caught.value)


@pytest.mark.parametrize("odd", [1e999, "1e999", "nan", -5, [], "9" * 5000])
def test_a_definition_with_odd_limits_is_read_without_them(odd: object) -> None:
    parts = dict.fromkeys(("maxLength", "minValue", "maxValue", "defaultCountryCode", "options"), odd)
    field = Field.from_api({"id": "visits", "type": "integer", **parts})
    assert field.max_length is None or field.max_length >= 0
    assert ContactMapping(definitions=[field]).patch(1, {"email": EMAIL}).properties == {}


def test_a_certificate_of_nobody_is_not_accepted(tmp_path: Path) -> None:
    with serving(always(http()), tls=self_signed(tmp_path)) as server:
        with pytest.raises(NoResponseError, match="the TLS certificate was not accepted"):
            client(server).patch_contact(EMAIL, {})
        assert not any(server.requests)


def self_signed(folder: Path) -> ssl.SSLContext:
    """A server's settings, with a certificate that is also its own authority: ``server.pem`` in the folder."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address, x509.DNSName("connectif.example")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context
