"""Compares the dates that were sent with those that a response shows."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_provider_connectif.contacts.fields import Field
from airflow_provider_connectif.contacts.shown_difference import Difference

_ISO_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9:.]{1,20}(?:Z|[+-][0-9:]{2,8})?)?")
_DAY = timedelta(days=1)
_MINUTE = timedelta(minutes=1)
_QUARTER_HOUR = timedelta(minutes=15)
_LARGEST_OFFSET = timedelta(hours=14)  # the largest offset of a time zone, in Kiribati


def compare_dates(sent: Any, shown: Any, field: Field | None) -> Difference | None:
    """Compare two dates by their moments, or by their days if one of them is at midnight."""
    sent_moment, shown_moment = moment_of(sent), moment_of(shown)
    if sent_moment is None or shown_moment is None:
        return Difference.SHORTENED if _is_cut_date(sent, shown) else None
    apart = abs(_in_utc(sent_moment) - _in_utc(shown_moment))
    if apart < _MINUTE:
        return None
    if _is_midnight(sent_moment) or _is_midnight(shown_moment):
        days = _days_apart(sent_moment, shown_moment)
        return None if days == 0 else Difference.OTHER_DAY if days == 1 else Difference.OTHER_VALUE
    is_shifted = apart <= _LARGEST_OFFSET and apart % _QUARTER_HOUR < _MINUTE
    return Difference.OTHER_DAY if is_shifted or apart == _DAY else Difference.OTHER_VALUE


def _is_cut_date(sent: Any, shown: Any) -> bool:
    return isinstance(sent, str) and isinstance(shown, str) and sent.startswith(shown)


def moment_of(value: Any) -> datetime | None:
    """Read a date or moment of ISO 8601; a day is its midnight in UTC, and a moment without a zone is in UTC."""
    if not isinstance(value, str) or not _ISO_DATE.fullmatch(value.strip()):
        return None
    try:
        moment = datetime.fromisoformat(value.strip())
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _in_utc(moment: datetime) -> timedelta:
    """Return the time in UTC since the year 1.

    It is not a datetime: in the first and last hours of the calendar, a datetime cannot be converted to UTC.
    """
    return moment.replace(tzinfo=None) - datetime.min - (moment.utcoffset() or timedelta())


def _is_midnight(moment: datetime) -> bool:
    return not (moment.hour or moment.minute or moment.second)


def _days_apart(sent: datetime, shown: datetime) -> int:
    """Return the days between two dates: by the written days or by the days in UTC, whichever are nearer."""
    sent_days, shown_days = ((moment.toordinal() - 1, _in_utc(moment) // _DAY) for moment in (sent, shown))
    return min(abs(one - other) for one in sent_days for other in shown_days)
