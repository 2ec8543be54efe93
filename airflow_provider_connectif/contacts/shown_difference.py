"""The ways in which a value in a response may differ from the one that was sent."""

from __future__ import annotations

from enum import StrEnum


class Difference(StrEnum):
    """The kind of difference between a shown value and the sent one."""

    MISSING = "missing"
    """The response does not show the property, or shows it empty."""
    SHORTENED = "shortened"
    """It is the beginning of the text that was sent, or has only some of the options."""
    OTHER_CASE = "other_case"
    """It differs only in upper and lower case."""
    OTHER_DAY = "other_day"
    """It is a date of the day before or after, or a moment shifted by the offset of a time zone."""
    OTHER_VALUE = "other_value"
    """It is another value."""
