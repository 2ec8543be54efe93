"""Values from a source: those that the driver cannot read, and the text of any value."""

from __future__ import annotations

import hashlib
from typing import Any

VALUE_ERRORS = (ValueError, TypeError, ArithmeticError, LookupError, AttributeError, AssertionError, RuntimeError)
"""Errors that the methods of a value's class raise while a rule reads the value; NotImplementedError and RecursionError
are among them.

A rule reads values of any driver and library, and cannot know all of their classes. One value must not end a run, so
such an error makes its row invalid. Errors of files, connections and memory are not about the value.
"""

MOST_BITS = 1024  # Python refuses to print much larger integers in decimal


def safe_text(value: Any) -> str:
    """Return a value's text, even if its class raises an error."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int) and value.bit_length() > MOST_BITS:
        return hex(value)
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - a class of somebody else's, which may raise anything
        return f"<{type(value).__name__}>"


def printable(text: str) -> str:
    """Return a text with a blank for each control character, line break, mark of direction and lone surrogate.

    Logs and databases do not accept all of these, and a line break could forge a line of the log.
    """
    if text.isprintable():
        return text
    return "".join([character if character.isprintable() else " " for character in text])


class UnreadableValue:
    """A value that a database holds but its driver cannot convert, such as a date in the year 10000.

    A row that needs the value is invalid. ``str`` of the value is the database's text, for the rejects file. Its
    ``repr``, from which a row's digest is made, is a digest of that text.

    :param text: the database's text.
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
