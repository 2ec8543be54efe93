"""Moments, durations, sizes, counts and places in words, the same in the log, in summaries and in exceptions."""

from __future__ import annotations

import math
import os
from datetime import UTC, datetime
from traceback import FrameSummary


def iso_time(moment: float) -> str:
    """Format a moment in seconds since the epoch as ``2026-11-27T12:30:00+00:00``."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")


def clock(moment: float) -> str:
    """Format a moment in seconds since the epoch as ``12:30:00 UTC``, with the date if it is not today."""
    then, now = datetime.fromtimestamp(moment, UTC), datetime.now(UTC)
    return f"{then:%H:%M:%S} UTC" if then.date() == now.date() else f"{then:%Y-%m-%d %H:%M:%S} UTC"


def utc_second(moment: datetime) -> str:
    """Format a moment in UTC as ``2026-11-27 12:30:00 UTC``."""
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def plural(count: int, noun: str) -> str:
    """Return a count with its noun: ``1 row``, ``1,000 rows``."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def one(noun: str) -> str:
    """Return a noun with its article: ``a contact``, ``an order``."""
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"


def describe_bytes(size: int) -> str:
    """Format a size in bytes as ``1 kB`` or ``12.5 MB``; less than a kilobyte counts as one."""
    return f"{size / 1e6:,.1f} MB" if size >= 1e6 else f"{max(1, round(size / 1000))} kB"


def describe_seconds(seconds: float) -> str:
    """Format a duration as ``4.2 s``, ``3 min 20 s`` or ``2 h 5 min``."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def estimated(seconds: float) -> str:
    """Format an estimate of a duration as ``about 48 s`` or ``about 3 min 20 s``: no tenths, which it does not know."""
    whole = math.ceil(seconds)
    return f"about {whole} s" if whole < 60 else f"about {describe_seconds(whole)}"


def describe_frame(frame: FrameSummary) -> str:
    """Describe a place in the code as the end of a message, beginning with a comma."""
    return f", in {frame.name}() at line {frame.lineno} of {os.path.basename(frame.filename)}"
