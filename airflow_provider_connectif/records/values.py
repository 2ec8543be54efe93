"""Values that a source hands over and no rule can read."""

from __future__ import annotations

import hashlib


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
