"""The HTTP session of one API key, and filters that keep API keys and contact keys out of messages."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.cookiejar import DefaultCookiePolicy
from typing import Any, ClassVar
from urllib.parse import quote

import requests
from requests.auth import AuthBase

from airflow_provider_connectif import __version__
from airflow_provider_connectif.api.connections import Adapter
from airflow_provider_connectif.api.credentials import ApiKey
from airflow_provider_connectif.api.network_settings import network_settings

_SHORTEST_SECRET = 4  # shorter ones would occur in many words
_DEEPEST = 20  # levels of a response that are read; the documented ones have four


class _KeyAuth(AuthBase):
    """Sets the API key's header. It is an auth object, since an entry of ~/.netrc would replace a plain header."""

    def __init__(self, key: ApiKey) -> None:
        self._authorization = key.authorization

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = self._authorization
        return request


class Session(requests.Session):
    """A session that handles a 3xx like any other response.

    Otherwise ``requests`` would parse the new address and read the whole body of a 3xx, even if it follows no redirect,
    without a size limit or a deadline.
    """

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return ``None``: no response counts as a redirect."""

    def send_once(
        self, method: str, url: str, headers: Mapping[str, str], body: Any, timeout: tuple[float, float]
    ) -> requests.Response:
        """Send one request, and return its response before its body is read.

        It is prepared here, since ``requests`` would merge its settings with those of the session: that takes a tenth
        of the processor time of a PATCH, and a request has no settings of its own.

        :param headers: beside those of the session.
        :param body: bytes or a stream; ``None``: it has none.
        :param timeout: seconds for connecting, and for each part of the response.
        """
        prepared = requests.PreparedRequest()
        prepared.prepare(method=method, url=url, headers={**self.headers, **headers}, data=body, auth=self.auth)
        return self.send(
            prepared,
            timeout=timeout,
            allow_redirects=False,
            stream=True,
            proxies=self.proxies,
            verify=self.verify,
            cert=self.cert,
        )


class KeyScrubber:
    """Removes the API key from a server's words: a gateway may quote the header that it refuses."""

    def __init__(self, key: ApiKey) -> None:
        parts = (f"{key.key_id}:{key.secret}", key.secret, key.key_id)
        known = {spelling for part in parts for spelling in (part, quote(part, safe=""))}
        longest_first = sorted(
            (spelling for spelling in known if len(spelling) >= _SHORTEST_SECRET), key=len, reverse=True
        )
        self._known = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def __call__(self, said: Any, depth: int = 0) -> Any:
        """Return a text, or a JSON value, without the key; parts that are nested too deep become ``None``."""
        if depth > _DEEPEST:
            return None
        if self._known is None:
            return said
        if isinstance(said, str):
            return self._known.sub("***", said)
        if isinstance(said, list):
            return [self(part, depth + 1) for part in said]
        if isinstance(said, Mapping):
            return {self(name): self(part, depth + 1) for name, part in said.items()}
        return said


class _NoSecretPaths(logging.Filter):
    """Removes contact keys and signed addresses from urllib3's messages, which quote the path of a request.

    urllib3 also quotes faulty headers of a response, in a warning with a traceback: the server's words may repeat the
    request.
    """

    _path = re.compile(r"(/contacts/(?:external-id/)?)[^\s?\"',)]+")
    hidden: ClassVar[Counter[str]] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        shown = self._path.sub(r"\1***", message) if "/contacts/" in message else message
        for path in tuple(self.hidden):
            shown = shown.replace(path, "/***")
        if record.exc_info:
            shown = shown.partition("): ")[0] + "): ***"
            record.exc_info, record.exc_text = None, None
        if shown != message:
            record.msg, record.args = shown, ()
        return True


_NO_SECRET_PATHS = _NoSecretPaths()


@contextmanager
def hidden_in_logs(path: str) -> Iterator[None]:
    """Keep a request's path and query out of urllib3's messages within the block."""
    spellings = {path, requests.utils.requote_uri(path)} - {"", "/"}
    hidden = _NO_SECRET_PATHS.hidden
    hidden.update(spellings)
    try:
        yield
    finally:
        hidden.subtract(spellings)
        for spelling in spellings:
            if hidden[spelling] <= 0:
                del hidden[spelling]


def open_session(key: ApiKey, base_url: str, verify: bool | str, connections: int) -> Session:
    """Return a pooled session that sends the key to one address, without cookies and without retries of its own."""
    session = open_keyless_session(base_url, verify, connections)
    session.auth = _KeyAuth(key)
    session.headers["Accept"] = "application/json"
    return session


def open_keyless_session(url: str, verify: bool | str, connections: int = 1) -> Session:
    """Return a pooled session without an API key, cookies or retries, and without logins such as those of ``~/.netrc``.

    :param url: the address to request: it decides the proxy and the CA bundle, which are looked up once.
    :param verify: as in :func:`network_settings`.
    :param connections: the most connections that are kept open.
    :raises ConnectifConfigError: a CA bundle or a proxy cannot be used.
    """
    session = Session()
    # Proxies and CA bundle of the environment are looked up here once, not for each request.
    settings = network_settings(url, verify)
    session.trust_env = False
    session.proxies = settings.proxies
    session.verify = settings.verify
    session.headers.update(
        {
            "User-Agent": f"airflow-provider-connectif/{__version__} {requests.utils.default_user_agent()}",
            "Accept-Encoding": "identity",  # a compressed response could hide a huge one
        }
    )
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    adapter = Adapter(pool_connections=1, pool_maxsize=connections, max_retries=0)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    for name in ("urllib3.connection", "urllib3.connectionpool"):
        logging.getLogger(name).addFilter(_NO_SECRET_PATHS)
    return session
