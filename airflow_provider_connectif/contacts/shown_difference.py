"""The ways in which a value in a response may differ from the one that was sent."""

from __future__ import annotations

from enum import StrEnum


class Difference(StrEnum):
    """How a shown value differs from the one that was sent."""

    MISSING = "missing"
    """The response does not show the property, or shows it empty."""
    SHORTENED = "shortened"
    """It is the beginning of the text that was sent, or has a part of the options only."""
    OTHER_CASE = "other_case"
    """It differs in upper and lower case only."""
    OTHER_DAY = "other_day"
    """It is a date of the day before or after, or a moment shifted by the offset of a time zone."""
    OTHER_VALUE = "other_value"
    """It is another value."""
