"""Connectif over HTTP: one method an endpoint, one pooled session, an exception for every bad answer."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, quote, urljoin, urlsplit

import requests
import urllib3.exceptions

from airflow_provider_connectif.api.credentials import DEFAULT_BASE_URL, ApiKey
from airflow_provider_connectif.api.errors import (
    ConnectifHttpError,
    MalformedAnswerError,
    NoAnswerError,
    describe_status,
    error_class,
)
from airflow_provider_connectif.api.quota import Quota
from airflow_provider_connectif.api.rate_headers import RateSignal, read_rate_headers
from airflow_provider_connectif.api.session import KeyScrubber, open_session

DEFAULT_CONNECT_TIMEOUT_S = 5.0
DEFAULT_READ_TIMEOUT_S = 30.0
DEFAULT_TRIES = 5
_LARGEST_BODY = 8 * 1024 * 1024  # no documented answer comes near; an endless one must not fill the memory
_CHUNK = 64 * 1024
_MOST_PAGES = 100

# Everything that requests, urllib3 and http.client raise for a connection or an answer that is broken.
_TRANSPORT_ERRORS = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
)


@dataclass(frozen=True)
class Answer:
    """A 2xx answer.

    :param status: HTTP status code.
    :param body: the decoded JSON, or ``None`` where the body was not asked for.
    """

    status: int
    body: Any = None


class ConnectifClient:
    """Connectif's API for one key.

    Requests are paced by :class:`Quota`; a 429 is raised, not waited out, so that the caller can put its
    request back: the next request waits. Nothing is sent twice by the client itself. Safe to share by threads.

    :param key: the API key; sent to ``base_url`` and nowhere else: redirects are not followed.
    :param base_url: as :func:`airflow_provider_connectif.api.credentials.base_url` gives it.
    :param connect_timeout: seconds until a connection must stand (default 5).
    :param read_timeout: seconds until the server must answer, and then until its answer is complete (default 30).
    :param tries: how often a caller should send one request in all (default 5); the client sends each once.
    :param quota: the pacing; by default 100 requests a minute until the server's headers tell more.
    :param verify: ``True``, ``False``, or the path of a CA bundle.
    :param connections: connections kept open; as many as threads use the client at once.
    """

    def __init__(
        self,
        key: ApiKey,
        base_url: str = DEFAULT_BASE_URL,
        *,
        connect_timeout: float = DEFAULT_CONNECT_TIMEOUT_S,
        read_timeout: float = DEFAULT_READ_TIMEOUT_S,
        tries: int = DEFAULT_TRIES,
        quota: Quota | None = None,
        verify: bool | str = True,
        connections: int = 8,
    ) -> None:
        self.base_url = base_url
        self.tries = tries
        self.quota = quota or Quota()
        self._connect_timeout = connect_timeout
        self._read_timeout = read_timeout
        self._session = open_session(key, base_url, verify, connections)
        self._without_key = KeyScrubber(key)

    def patch_contact(self, email: str, patch: Mapping[str, Any]) -> Answer:
        """``PATCH /contacts/{email}``: update a contact, or create it if it does not exist.

        :param email: the contact key, sent percent-encoded whole.
        :param patch: JSON-ready values by property id. The custom fields of an account are documented for this
            path only, not for the newer ``/contacts/email/{email}``.
        :return: status 200 (updated) or 201 (created). Source: API reference, "patch-contact".
        :raises ConnectifHttpError: the subclass of the status.
        :raises NoAnswerError: no complete answer; the contact may or may not have been changed.
        :raises QuotaClosed: told to stop while waiting for the window.
        """
        return self._request("PATCH", f"/contacts/{_segment(email)}", body=patch)

    def patch_contact_by_external_id(self, external_id: str, patch: Mapping[str, Any]) -> Answer:
        """``PATCH /contacts/external-id/{externalId}``: as :meth:`patch_contact`, keyed by the store's own id.

        :param external_id: at most 50 characters (API reference, resource "ContactPatchByEmail").
        :param patch: as in :meth:`patch_contact`. Whether this path takes custom fields is not documented.
        """
        return self._request("PATCH", f"/contacts/external-id/{_segment(external_id)}", body=patch)

    def get_contact(self, email: str) -> Mapping[str, Any]:
        """``GET /contacts/{email}``: the contact's properties; :class:`NotFoundError` if there is none."""
        return self._get_object(f"/contacts/{_segment(email)}")

    def get_contact_by_external_id(self, external_id: str) -> Mapping[str, Any]:
        """``GET /contacts/external-id/{externalId}``, as :meth:`get_contact`."""
        return self._get_object(f"/contacts/external-id/{_segment(external_id)}")

    def list_contact_fields(self) -> list[Mapping[str, Any]]:
        """``GET /contact-fields/``, all pages: the account's field definitions; needs "Contact fields: Read".

        Pages are followed by ``links.next`` as it stands, since the parameters of paging are not documented.

        :return: ``ContactField`` objects, as they came.
        :raises MalformedAnswerError: an answer without ``results``; a next page on another host, seen before, or
            beyond the hundredth.
        """
        found: list[Mapping[str, Any]] = []
        path = "/contact-fields/"
        seen = {path}
        for _ in range(_MOST_PAGES):
            page = self._get_object(path)
            results = page.get("results")
            if not isinstance(results, list):
                raise MalformedAnswerError("the answer has no list of results")
            found += [entry for entry in results if isinstance(entry, Mapping)]
            links = page.get("links")
            link = links.get("next") if isinstance(links, Mapping) else None
            if not link:
                return found
            path = _next_path(self.base_url, path, link)
            if path in seen:
                raise MalformedAnswerError("the pages go round in a circle")
            seen.add(path)
        raise MalformedAnswerError(f"more than {_MOST_PAGES} pages")

    def get_store(self) -> Mapping[str, Any]:
        """``GET /store/``: what is known of the account; needs the scope "Store: Read"."""
        return self._get_object("/store/")

    def close(self) -> None:
        """Close the pooled connections."""
        self._session.close()

    def _get_object(self, path: str) -> Mapping[str, Any]:
        body = self._request("GET", path, read_body=True).body
        if not isinstance(body, Mapping):
            raise MalformedAnswerError("the answer is not a JSON object")
        return body

    def _request(
        self, method: str, path: str, *, body: Mapping[str, Any] | None = None, read_body: bool = False
    ) -> Answer:
        payload = None if body is None else json.dumps(body, allow_nan=False, ensure_ascii=False).encode()
        sent_at = self.quota.acquire()
        signal: RateSignal | None = None
        status = 0
        failure = ""
        try:
            with self._session.request(
                method,
                self.base_url + path,
                data=payload,
                headers=None if payload is None else {"Content-Type": "application/json"},
                timeout=(self._connect_timeout, self._read_timeout),
                allow_redirects=False,
                stream=True,
            ) as response:
                status = response.status_code
                signal = read_rate_headers(response.headers, time.time())
                content = self._read(response)
        except _TRANSPORT_ERRORS as error:
            failure = self._describe(error)
        finally:
            self.quota.release(sent_at, signal, refused=status == 429)
        # Raised out here, so that the transport's exception, whose text has the contact key in its URL, is
        # not kept as the context of ours.
        if failure:
            raise NoAnswerError(failure)
        if not 200 <= status < 300:
            raise _http_error(status, content, signal, self._without_key)
        return Answer(status, _json(content) if read_body else None)

    def _read(self, response: requests.Response) -> bytes:
        content = bytearray()
        deadline = time.monotonic() + self._read_timeout
        # Part by part as it arrives: a plain read would wait for the whole of an answer that trickles in.
        while chunk := response.raw.read1(_CHUNK, decode_content=True):
            content += chunk
            if len(content) > _LARGEST_BODY:
                raise requests.ConnectionError(f"answer larger than {_LARGEST_BODY} bytes")
            if time.monotonic() > deadline:
                raise requests.ReadTimeout
        return bytes(content)

    def _describe(self, error: Exception) -> str:
        """Words for a transport error; its own text is not used, since it has the URL and so the contact key."""
        for kind, words in (
            (requests.exceptions.ConnectTimeout, f"no connection within {self._connect_timeout:g} s"),
            (requests.exceptions.SSLError, "the TLS certificate was not accepted"),
            (requests.exceptions.ProxyError, "the proxy refused or failed"),
            (requests.exceptions.Timeout, f"no answer within {self._read_timeout:g} s"),
            (requests.exceptions.ContentDecodingError, "the answer could not be decoded"),
        ):
            if isinstance(error, kind):
                return words
        causes = repr(error)
        for mark, words in (
            ("NewConnectionError", "the connection was refused"),
            ("NameResolutionError", "the host name was not found"),
            ("Read timed out", f"no answer within {self._read_timeout:g} s"),
        ):
            if mark in causes:
                return words
        return "the connection broke"


def _segment(key: str) -> str:
    """A contact key as one path segment.

    :raises ValueError: it would not stay one: a URL's ``.`` and ``..`` are resolved away however they are encoded.
    """
    if key in ("", ".", ".."):
        raise ValueError("a contact key that is empty, '.' or '..' cannot be part of a URL")
    return quote(key, safe="")


def _origin(url: SplitResult) -> tuple[str, str | None, int | None]:
    try:
        port = url.port
    except ValueError:
        port = -1
    return url.scheme, url.hostname, port or {"https": 443, "http": 80}.get(url.scheme)


def _next_path(base_url: str, path: str, link: object) -> str:
    """A page's link as a path below the base URL: the key goes to no other host."""
    target = urlsplit(urljoin(base_url + path, link)) if isinstance(link, str) else None
    base = urlsplit(base_url)
    if target is None or _origin(target) != _origin(base):
        raise MalformedAnswerError("the next page is on another host")
    whole = target._replace(scheme="", netloc="", fragment="").geturl()
    if not whole.startswith(f"{base.path}/"):
        raise MalformedAnswerError("the next page is outside the base URL")
    return whole.removeprefix(base.path)


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None


def _http_error(
    status: int, content: bytes, signal: RateSignal | None, without_key: Callable[[Any], Any]
) -> ConnectifHttpError:
    body = without_key(_json(content))
    fields: Mapping[str, Any] = body if isinstance(body, Mapping) else {}
    errors = fields.get("validationErrors")
    return error_class(status)(
        status,
        title=_text(fields.get("title")) or describe_status(status),
        detail=_text(fields.get("detail")),
        code=_text(fields.get("code")),
        validation_errors=tuple(e for e in errors if isinstance(e, Mapping)) if isinstance(errors, list) else (),
        retry_after=signal.retry_after if signal else None,
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
