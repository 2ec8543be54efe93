"""Values that a source hands over: those that no rule can read, and the text of any."""

from __future__ import annotations

import hashlib
from typing import Any

MOST_BITS = 1024  # Python refuses to print much larger integers in decimal


def safe_text(value: Any) -> str:
    """A value's text, whatever its class does when it is asked for it."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int) and value.bit_length() > MOST_BITS:
        return hex(value)
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - a class of somebody else's, which may raise anything
        return f"<{type(value).__name__}>"


class UnreadableValue:
    """A value that a database holds and its driver cannot hand over, such as a date in the year 10000.

    A row that needs it is invalid. It prints as the database wrote it, for the file of rejects; its ``repr``, of which
    row digests are made, is a digest.

    :param text: as the database wrote it.
    :param rule: why the row is invalid; safe to log.
    """

    __slots__ = ("_text", "rule")

    def __init__(self, text: str, rule: str) -> None:
        self._text = text
        self.rule = rule

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        digest = hashlib.blake2b(self._text.encode("utf-8", "surrogatepass"), digest_size=8)
        return f"<unreadable {digest.hexdigest()}>"
