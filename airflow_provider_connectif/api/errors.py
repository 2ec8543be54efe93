"""Errors between this process and Connectif.

The text of every exception here is safe to log: it never contains the API key, a contact key, the body that was sent or
the server's words. Attributes hold the server's words, for code that removes the row's values from them before it shows
them.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

_ERROR_CODE = re.compile(r"E\d{4}")


class RunFailed(Exception):
    """A run failed. The text says what to do about it, and is safe to show.

    Every error that ends a run derives from it, in every package: an operator needs no other class.

    :param words: the text, without the API key and without a value of a row.
    :param final: whether another attempt would fail in the same way, so that Airflow must not retry. Default: the
        attribute of the class.
    """

    final = False

    def __init__(self, words: str, *, final: bool | None = None) -> None:
        super().__init__(words)
        if final is not None:
            self.final = final


class ConnectifError(Exception):
    """Base of all errors of this package's API client."""


class ConnectifConfigError(RunFailed, ConnectifError, ValueError):
    """The connection cannot be used because of its key, host or an extra; nothing was sent."""

    final = True


class RunStopped(ConnectifError):
    """A wait, an upload or a download ended early because the run must stop, for example after a signal.

    A request that waited was not sent. An upload was not sent to its end, so it began no import.
    """


class NoResponseError(ConnectifError):
    """No complete HTTP response arrived; the request may or may not have been carried out.

    :param what: what happened, in words without a URL, such as ``read timed out after 30 s``.
    :param was_sent: whether the request may have arrived; ``False``: there was no connection.
    """

    def __init__(self, what: str, *, was_sent: bool = True) -> None:
        super().__init__(what)
        self.what = what
        self.was_sent = was_sent


class MalformedResponseError(ConnectifError):
    """A 2xx response whose body does not match the API's documentation."""


class NotConnectifError(NoResponseError, MalformedResponseError):
    """A 2xx whose body cannot be Connectif's, such as a proxy's page or none: Connectif itself did not respond."""


class ErrorReportError(ConnectifError):
    """The error report of an import could not be fetched.

    The exception's text never contains the report's address, which may be signed.

    :param what: what happened, in words.
    :param status: the HTTP status of the response; 0 if the failure has another reason.
    :param is_passing: whether another request, to a new address, may succeed. ``False``, for example, for a report that
        is too large or too slow, and for an address that must not be used.
    """

    def __init__(self, what: str, status: int = 0, *, is_passing: bool = False) -> None:
        super().__init__(what)
        self.what = what
        self.status = status
        self.is_passing = is_passing

    @property
    def is_refused(self) -> bool:
        """Whether the address was refused (4xx except 429). A new request for the import gives a new address to try.

        It is not documented how long an address is valid. File stores respond to an expired address with 403, some with
        400, 404 or 410.
        """
        return 400 <= self.status < 500 and self.status != 429


class ConnectifHttpError(ConnectifError):
    """Connectif responded with a status other than 2xx.

    All attributes except ``status`` are optional: the API documents no body for 401 and 429, and a proxy may respond
    with HTML.

    :param status: HTTP status code.
    :param title: the body's ``title``, for example ``Bad Request``.
    :param detail: the body's ``detail``; may quote the values that were sent.
    :param code: the body's ``code``, ``E`` and four digits, documented for 400 only.
    :param validation_errors: the body's ``validationErrors`` (422): mappings with ``name``, ``path`` (a JSON
        pointer) and ``reason``, each of them optional.
    :param retry_after: seconds of the ``Retry-After`` header, if there was one.
    :param is_error_document: whether the body is Connectif's own: a JSON object with this ``status`` and a text
        ``title`` or ``detail``. Otherwise a proxy in between may have written the response.
    """

    def __init__(
        self,
        status: int,
        *,
        title: str | None = None,
        detail: str | None = None,
        code: str | None = None,
        validation_errors: tuple[Mapping[str, Any], ...] = (),
        retry_after: float | None = None,
        is_error_document: bool = False,
    ) -> None:
        self.status = status
        self.title = title
        self.detail = detail
        self.code = code if code and _ERROR_CODE.fullmatch(code) else None
        self.validation_errors = validation_errors
        self.retry_after = retry_after
        self.is_error_document = is_error_document
        super().__init__(describe_status(status, self.code))

    def __reduce__(self) -> tuple[Any, ...]:
        # Keyword-only arguments do not survive the default pickling of exceptions.
        return (_rebuild, (type(self), self.__dict__))


class RedirectError(ConnectifHttpError):
    """3xx: redirects are not followed, since the API key must not be sent to another host."""


class BadRequestError(ConnectifHttpError):
    """400: malformed JSON, a bad e-mail, or a full queue (codes E0301, E0401)."""


class UnauthorizedError(ConnectifHttpError):
    """401: the API key is wrong."""


class ForbiddenError(ConnectifHttpError):
    """403: a scope is missing from the API key, or the account is blocked; the status does not say which."""


class NotFoundError(ConnectifHttpError):
    """404: there is no such contact, import or page."""


class UnprocessableEntityError(ConnectifHttpError):
    """422: some values are invalid; see ``validation_errors``."""


class TooManyRequestsError(ConnectifHttpError):
    """429: the account's requests for this window are used up."""


class ServerError(ConnectifHttpError):
    """5xx: Connectif, or a server in front of it, failed."""


_CLASS_OF_STATUS: dict[int, type[ConnectifHttpError]] = {
    400: BadRequestError,
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    422: UnprocessableEntityError,
    429: TooManyRequestsError,
}
_CLASS_OF_HUNDRED: dict[int, type[ConnectifHttpError]] = {3: RedirectError, 5: ServerError}


def error_class(status: int) -> type[ConnectifHttpError]:
    """Return the exception class for an HTTP status outside 2xx."""
    return _CLASS_OF_STATUS.get(status) or _CLASS_OF_HUNDRED.get(status // 100, ConnectifHttpError)


def describe_status(status: int, code: str | None = None) -> str:
    """Return ``HTTP 422 Unprocessable Entity``, with the API's error code if there is one."""
    try:
        phrase = f" {HTTPStatus(status).phrase}"
    except ValueError:  # a code that is not registered for HTTP, such as 529
        phrase = ""
    return f"HTTP {status}{phrase}" + (f" ({code})" if code else "")


def _rebuild(cls: type[ConnectifHttpError], state: dict[str, Any]) -> ConnectifHttpError:
    return cls(**state)


_FORMER_NAMES = {"NoAnswerError": NoResponseError, "MalformedAnswerError": MalformedResponseError}


def __getattr__(name: str) -> Any:
    """Return an exception by its former name."""
    if name not in _FORMER_NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    named = _FORMER_NAMES[name]
    warnings.warn(f"{name} is now named {named.__name__}", DeprecationWarning, stacklevel=2)
    return named
