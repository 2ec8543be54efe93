"""The ways in which a value in a response may differ from the one that was sent."""

from __future__ import annotations

from enum import StrEnum


class Difference(StrEnum):
    """The kind of difference between a shown value and the sent one."""

    MISSING = "missing"
    """The response does not show the property, or shows it empty."""
    SHORTENED = "shortened"
    """The response shows only the beginning of the sent text, or only some of the sent options."""
    OTHER_CASE = "other_case"
    """The shown text differs only in upper and lower case."""
    OTHER_DAY = "other_day"
    """The shown date is the day before or after, or the shown moment is shifted by the offset of a time zone."""
    OTHER_VALUE = "other_value"
    """The response shows another value."""
