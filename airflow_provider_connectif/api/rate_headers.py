"""Reads the rate-limit headers of a response: the account's window of requests.

None of this is certain: the API's documentation of the headers is not public. One author's clients show
``X-RateLimit-Reset`` in epoch seconds; another author reads ``RateLimit-Reset`` as seconds from now, and finds the
headers missing on some responses; for ``Retry-After`` there is no evidence. So every form is read, and every part may
be absent. A value that does not completely match one of the forms is ignored: a part of it would be a wrong number.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from airflow_provider_connectif.api.combined_rate_headers import members, read_combined

_NUMBER = re.compile(r"\d{1,15}(?:\.\d{1,9})?", re.ASCII)
_ISO_DATE = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?(?:[Zz]|[+-]\d\d:?\d\d)", re.ASCII)
_ISO_BASIC_DATE = re.compile(r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:\d{6})?", re.ASCII)
_HTTP_DATE = re.compile(r"[A-Z][a-z]{2,8},? [\dA-Z][\w :+-]+", re.ASCII)
_EPOCH_FROM = 1e9  # a reset of more than 31 years must be a point in time, not a duration
_EPOCH_MS_FROM = 1e11
_LONGEST_WINDOW_S = 3600.0  # the documented window is a minute; a reset beyond an hour is misread or nonsense
_CLOCK_TOLERANCE_S = 2.0  # ``Date`` has whole seconds, so a smaller difference means nothing
_LARGEST_CLOCK_ERROR_S = 86400.0  # a ``Date`` further away comes from a stopped clock or an old cache


@dataclass(frozen=True)
class RateSignal:
    """The window according to one response; each part is ``None`` if the response does not have it.

    :param limit: requests that a window allows, 1 or more.
    :param remaining: requests left in the current window.
    :param reset_after: seconds until the next window.
    :param reset_is_whole: whether the reset has whole seconds, so that the real one is up to a second later.
    :param retry_after: the pause in seconds that the server asks for. More than an hour counts as an hour: after it a
        request is sent again.
    """

    limit: int | None = None
    remaining: int | None = None
    reset_after: float | None = None
    reset_is_whole: bool = True
    retry_after: float | None = None


NO_SIGNAL = RateSignal()


def read_rate_headers(headers: Mapping[str, str], wall_clock: float) -> RateSignal:
    """Read ``RateLimit-*``, ``X-RateLimit-*``, the combined ``RateLimit`` and ``Retry-After``.

    Sources: RFC 9110, 10.2.3 (``Retry-After``); IETF drafts ratelimit-headers, up to 6 for separate headers, 7 and 8
    for the combined one. For each part, the first readable form counts, in the order above.

    :param headers: the response's headers; look-ups must ignore case, as those of ``requests`` do. A repeated header is
        one text with commas, as in HTTP.
    :param wall_clock: seconds since the epoch on this machine's clock.
    """
    server_clock = _server_clock(headers, wall_clock)
    combined = read_combined(headers.get("RateLimit"), headers.get("RateLimit-Policy"))
    limit, _ = _first(headers, "Limit", combined.limit, _first_number)
    remaining, _ = _first(headers, "Remaining", combined.remaining, _smallest_number)
    reset, reset_text = _first(headers, "Reset", combined.reset, lambda text: _latest_moment(text, server_clock))
    if reset is not None and reset > _LONGEST_WINDOW_S:
        reset = None
    retry_after = _latest_moment(headers.get("Retry-After") or "", server_clock)
    return RateSignal(
        limit=int(limit or 0) or None,
        remaining=None if remaining is None else int(remaining),
        reset_after=reset,
        reset_is_whole="." not in reset_text,
        retry_after=None if retry_after is None else min(retry_after, _LONGEST_WINDOW_S),
    )


def _first(
    headers: Mapping[str, str], name: str, combined: str | None, read: Callable[[str], float | None]
) -> tuple[float | None, str]:
    """Return the first readable form of a part, with its text."""
    for text in (headers.get(f"RateLimit-{name}"), headers.get(f"X-RateLimit-{name}"), combined):
        value = read(text) if text else None
        if text and value is not None:
            return value, text
    return None, ""


def _first_number(text: str) -> float | None:
    """Return the first number: a limit may be followed by its policies (``100, 100;w=60``, draft 6)."""
    values = _numbers(text)
    return values[0] if values else None


def _smallest_number(text: str) -> float | None:
    """Return the smallest number: if a gateway adds its own header, the tighter of the two counts."""
    values = _numbers(text)
    return min(values) if values else None


def _numbers(text: str) -> list[float]:
    """Return all members of a list of numbers, without parameters; nothing if one of them is not a number."""
    values = [_number(member[0]) for member in members(text)]
    return [] if None in values else [value for value in values if value is not None]


def _number(text: str) -> float | None:
    text = text.strip()
    # 20261126 is a day without a time and a zone, not a number of seconds.
    return float(text) if _NUMBER.fullmatch(text) and not _ISO_BASIC_DATE.fullmatch(text) else None


def _latest_moment(text: str, clock: float) -> float | None:
    """Return the seconds until the latest of the given times: durations, epoch seconds or dates."""
    at = _moment(text)
    if at is not None:
        return max(0.0, at - clock)
    values = _numbers(text)
    return max(_seconds_ahead(value, clock) for value in values) if values else None


def _seconds_ahead(value: float, clock: float) -> float:
    if value < _EPOCH_FROM:
        return value
    epoch = value / 1000 if value >= _EPOCH_MS_FROM else value
    return max(0.0, epoch - clock)


def _server_clock(headers: Mapping[str, str], wall_clock: float) -> float:
    """Return the server's time if it clearly differs from this machine's: a reset that is a date is on that clock."""
    at = _moment(headers.get("Date") or "")
    if at is None or not _CLOCK_TOLERANCE_S < abs(at - wall_clock) <= _LARGEST_CLOCK_ERROR_S:
        return wall_clock
    return at


def _moment(text: str) -> float | None:
    """Read an HTTP date (RFC 9110, 5.6.7), or an ISO date with its offset; without an offset its meaning is unknown."""
    text = text.strip()
    try:
        if _ISO_DATE.fullmatch(text):
            return datetime.fromisoformat(text.upper().replace(",", ".")).timestamp()
        moment = parsedate_to_datetime(text) if _HTTP_DATE.fullmatch(text) else None
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    if moment is None:
        return None
    # An HTTP date without a zone is GMT (RFC 9110, 5.6.7).
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
