"""Turns text from outside into HTML: escaped, isolated and cut."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape

LONGEST_TEXT = 300
_MASK = "***"


def shown(text: object) -> str:
    """Return text as HTML without any markup of its own.

    ``<bdi>`` keeps right-to-left letters and marks from reordering the text around them. Characters that cannot be
    printed become U+FFFD. Text of more than 300 characters is cut.
    """
    return f"<bdi>{plain(text)}</bdi>"


def plain(text: object) -> str:
    """Return text as :func:`shown` does, but without ``<bdi>``, for attributes and for titles in pictures."""
    whole = str(text)
    cut = whole if len(whole) <= LONGEST_TEXT else whole[: LONGEST_TEXT - 1] + "…"
    return escape("".join(_printable(letter) for letter in cut), quote=True)


def _printable(letter: str) -> str:
    if letter.isprintable() or letter in "\u200c\u200d":  # joiners are part of words
        return letter
    return " " if letter in "\n\t\u00a0" else "\ufffd"


def number(value: int) -> str:
    """Format a number with thousands separators."""
    return f"{value:,}"


def moment(at: datetime | None) -> str:
    """Format a moment as a ``<time>`` element in UTC; ``None`` as a dash."""
    if at is None:
        return "–"
    utc = at.astimezone(UTC)
    return f'<time datetime="{utc.isoformat(timespec="seconds")}">{utc:%Y-%m-%d %H:%M} UTC</time>'


def duration(seconds: float) -> str:
    """Format seconds in at most two units, such as ``2 h 5 min``, ``5 min 3 s`` or ``3 s``."""
    whole = max(0, round(seconds))
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def masked(key: str) -> str:
    """Return a contact key with most of it hidden.

    Of an e-mail, the first letter and the last part of the domain are shown. Of an external id, the first two
    characters are shown, but at most a third of it.
    """
    name, at, domain = key.rpartition("@")
    if not at:
        return key[: min(2, len(key) // 3)] + _MASK
    return f"{name[:1]}{_MASK}@{_MASK}.{domain.rpartition('.')[2]}"
