"""What an answer's headers say about the account's window of requests.

Nothing of this is certain: the API's documentation of the headers is not public. One author's clients show
``X-RateLimit-Reset`` in epoch seconds, another reads ``RateLimit-Reset`` as seconds from now and finds the
headers missing on some answers; for ``Retry-After`` there is no evidence. So every form is read, and every
part may be absent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

_NUMBER = re.compile(r"\s*(\d{1,15})(\.\d{1,9})?")
_EPOCH_FROM = 1e9  # a reset of more than 31 years is a point in time, not a duration
_EPOCH_MS_FROM = 1e11
_LONGEST_WINDOW_S = 3600.0  # the documented window is a minute; a reset beyond an hour is misread or nonsense
_CLOCK_TOLERANCE_S = 2.0  # ``Date`` has whole seconds, so a smaller difference means nothing


@dataclass(frozen=True)
class RateSignal:
    """One answer's view of the window; each part ``None`` where the answer did not say.

    :param limit: requests that a window allows, 1 or more.
    :param remaining: requests left in the current window.
    :param reset_after: seconds until the next window.
    :param reset_is_whole: the reset came in whole seconds, so the truth is up to a second later.
    :param retry_after: seconds that the server asks to be left alone; at most an hour, then it is asked again.
    """

    limit: int | None = None
    remaining: int | None = None
    reset_after: float | None = None
    reset_is_whole: bool = True
    retry_after: float | None = None


NO_SIGNAL = RateSignal()


def read_rate_headers(headers: Mapping[str, str], wall_clock: float) -> RateSignal:
    """Read ``RateLimit-*``, ``X-RateLimit-*`` and ``Retry-After``.

    :param headers: the answer's headers; look-ups must ignore case, as those of ``requests`` do.
    :param wall_clock: seconds since the epoch on this machine's clock.
    """
    server_clock = _server_clock(headers, wall_clock)
    limit = _number(_either(headers, "Limit"))
    remaining = _number(_either(headers, "Remaining"))
    reset_text = _either(headers, "Reset")
    reset = _seconds_ahead(_number(reset_text), server_clock)
    if reset is not None and reset > _LONGEST_WINDOW_S:
        reset = None
    return RateSignal(
        limit=int(limit or 0) or None,
        remaining=None if remaining is None else int(remaining),
        reset_after=reset,
        reset_is_whole="." not in (reset_text or ""),
        retry_after=_retry_after(headers.get("Retry-After"), server_clock),
    )


def _either(headers: Mapping[str, str], name: str) -> str | None:
    standard = headers.get(f"RateLimit-{name}")
    return headers.get(f"X-RateLimit-{name}") if standard is None else standard


def _number(text: str | None) -> float | None:
    match = _NUMBER.match(text or "")
    return float(match.group(0)) if match else None


def _seconds_ahead(value: float | None, clock: float) -> float | None:
    if value is None or value < _EPOCH_FROM:
        return value
    epoch = value / 1000 if value >= _EPOCH_MS_FROM else value
    return max(0.0, epoch - clock)


def _retry_after(text: str | None, clock: float) -> float | None:
    """Both forms of RFC 9110, 10.2.3: seconds, or an HTTP date."""
    number = _number(text)
    if number is not None or not text:
        seconds = _seconds_ahead(number, clock)
    else:
        at = _http_date(text)
        seconds = None if at is None else max(0.0, at - clock)
    return None if seconds is None else min(seconds, _LONGEST_WINDOW_S)


def _server_clock(headers: Mapping[str, str], wall_clock: float) -> float:
    """The server's clock where it clearly differs: a reset as a point in time is one on that clock."""
    at = _http_date(headers.get("Date"))
    return wall_clock if at is None or abs(at - wall_clock) <= _CLOCK_TOLERANCE_S else at


def _http_date(text: str | None) -> float | None:
    try:
        moment = parsedate_to_datetime(text or "")
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    # An HTTP date without a zone is GMT (RFC 9110, 5.6.7).
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
