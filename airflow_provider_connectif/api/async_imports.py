"""One question of the API asked asynchronously: how an import stands. For the triggerer, which must never block."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import os
import random
import ssl
import time
from collections.abc import AsyncIterator
from types import TracebackType

import httpx
from requests.utils import prepend_scheme_if_needed

from airflow_provider_connectif import __version__
from airflow_provider_connectif.api.bodies import decoded_json, http_error
from airflow_provider_connectif.api.credentials import ApiKey
from airflow_provider_connectif.api.errors import ConnectifConfigError, NoAnswerError
from airflow_provider_connectif.api.imports import Import, import_path
from airflow_provider_connectif.api.network_settings import network_settings
from airflow_provider_connectif.api.rate_headers import RateSignal, read_rate_headers
from airflow_provider_connectif.api.session import KeyScrubber
from airflow_provider_connectif.api.transport import LARGEST_BODY
from airflow_provider_connectif.api.window import RequestWindow

_quiet = contextvars.ContextVar("connectif_quiet", default=False)


class _NoChatter(logging.Filter):
    """httpx tells of each request at INFO; an import that is waited for over hours would fill the task's log."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (_quiet.get() and record.levelno <= logging.INFO)


_NO_CHATTER = _NoChatter()


class AsyncImports:
    """``GET /imports/{id}`` for one key; an async context manager.

    Requests keep to the account's window as :class:`airflow_provider_connectif.api.quota.Quota` does: by the server's
    headers, and before they are known by the documented 100 a minute. Redirects are not followed.

    :param key: sent to ``base_url`` and nowhere else.
    :param connect_timeout: seconds until a connection must stand.
    :param read_timeout: seconds until the whole answer must be there.
    :param requests_per_minute: a cap below the account's.
    :param verify: ``True``, ``False``, or the path of a CA bundle.
    :raises ConnectifConfigError: a CA bundle or a proxy that cannot be used.
    """

    def __init__(
        self,
        key: ApiKey,
        base_url: str,
        *,
        connect_timeout: float,
        read_timeout: float,
        requests_per_minute: int | None = None,
        verify: bool | str = True,
    ) -> None:
        self._base_url = base_url
        self._without_key = KeyScrubber(key)
        self._window = RequestWindow(requests_per_minute)
        self._timeout_s = connect_timeout + read_timeout
        self.requests = 0
        self.rate_limited = 0
        settings = network_settings(base_url, verify)
        self._client = httpx.AsyncClient(
            headers={
                "Authorization": key.authorization,
                "Accept": "application/json",
                "User-Agent": f"airflow-provider-connectif/{__version__} python-httpx/{httpx.__version__}",
                "Accept-Encoding": "identity",
            },
            timeout=httpx.Timeout(read_timeout, connect=connect_timeout),
            verify=_verification(settings.verify),
            # The environment as requests reads it: httpx trips over addresses in NO_PROXY, such as ``fe80::/10``.
            trust_env=False,
            proxy=_proxy(settings.proxy),
        )
        logging.getLogger("httpx").addFilter(_NO_CHATTER)

    async def __aenter__(self) -> AsyncImports:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.__aexit__(kind, error, trace)

    async def get_import(self, import_id: str) -> Import:
        """One import as it stands, asked for when the window allows it.

        :raises ConnectifHttpError: the subclass of the status.
        :raises NoAnswerError: no complete answer.
        :raises MalformedAnswerError: the answer is no import.
        """
        sent_at = await self._leave()
        signal: RateSignal | None = None
        status, content, failure = 0, b"", ""
        try:
            async with asyncio.timeout(self._timeout_s), self._answer(import_id) as answer:
                status = answer.status_code
                signal = read_rate_headers(answer.headers, time.time())
                async for part in answer.aiter_bytes():
                    content += part
                    if len(content) > LARGEST_BODY:
                        failure = f"answer larger than {LARGEST_BODY} bytes"
                        break
        except TimeoutError:
            failure = f"no answer within {self._timeout_s:g} s"
        except (httpx.HTTPError, httpx.InvalidURL, OSError):
            failure = "the connection broke, or none could be made"
        finally:
            self._land(sent_at, status, signal)
        # Raised out here, so that no error of the HTTP library, which has the request with the key, is its context.
        if failure:
            raise NoAnswerError(failure)
        if not 200 <= status < 300:
            raise http_error(status, content, signal, self._without_key)
        return Import.parse(decoded_json(content), import_id)

    @contextlib.asynccontextmanager
    async def _answer(self, import_id: str) -> AsyncIterator[httpx.Response]:
        token = _quiet.set(True)
        try:
            async with self._client.stream("GET", self._base_url + import_path(import_id)) as answer:
                yield answer
        finally:
            _quiet.reset(token)

    async def _leave(self) -> float:
        """Wait for leave to send; one request is under way at a time."""
        while True:
            now = time.monotonic()
            leave = self._window.next_leave(now)
            if leave.at <= now:
                self._window.leave(now)
                self.requests += 1
                return now
            await asyncio.sleep(min(leave.at - now, 1.0))

    def _land(self, sent_at: float, status: int, signal: RateSignal | None) -> None:
        now = time.monotonic()
        if status == 429 and signal is not None:
            self.rate_limited += 1
            self._window.refused(signal, now, jitter=random.random())
        elif signal is None:
            self._window.unanswered(now)
        else:
            self._window.answered(signal, sent_at, now)


def _verification(verify: bool | str) -> ssl.SSLContext | bool:
    if not isinstance(verify, str):
        return verify
    is_folder = os.path.isdir(verify)
    return ssl.create_default_context(cafile=None if is_folder else verify, capath=verify if is_folder else None)


def _proxy(proxy: str | None) -> httpx.Proxy | None:
    """The proxy as httpx takes it.

    :raises ConnectifConfigError: one that requests can use and httpx cannot.
    """
    if proxy is None:
        return None
    try:
        # With the scheme that requests puts where there is none.
        made = httpx.Proxy(prepend_scheme_if_needed(proxy.strip(), "http"))  # type: ignore[no-untyped-call]
        httpx.AsyncHTTPTransport(proxy=made, trust_env=False)
    except (httpx.InvalidURL, ValueError, ImportError) as error:
        fault = type(error).__name__
    else:
        return made
    raise ConnectifConfigError(
        f"the proxy of the environment cannot be used in the triggerer ({fault}); a SOCKS proxy needs socksio there"
    )
