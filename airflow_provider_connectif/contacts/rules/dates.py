"""The rule of dates: days of the calendar, as ISO 8601."""

from __future__ import annotations

import re
from datetime import MAXYEAR, MINYEAR, UTC, date, datetime, time, timedelta
from typing import Any

import pendulum
from pendulum.parsing.exceptions import ParserError

from airflow_provider_connectif.contacts.rules.base import Coercer, InvalidValue, kind, plain

_DAY_LENGTH = len("YYYY-MM-DD")
_ISO_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ].{1,30})?")
_MINUTE = timedelta(minutes=1)
_MIDNIGHT = time()
_OUT_OF_RANGE = f"must be a date in the years {MINYEAR} to {MAXYEAR}"
_LATEST_BEGINNING = 2  # an hour of the day: if the clocks go forward at midnight, the day begins at one


def iso_date(
    minimum: datetime | None = None, maximum: datetime | None = None, *, calendar_day: bool = False
) -> Coercer:
    """Return a rule for dates in ISO 8601: a date is sent as ``YYYY-MM-DD``, a moment with its own day and a ``Z``.

    A field of type date has a day (help centre 360015491240: ``yyyy-mm-dd``). A moment with a time zone is another day
    in another zone: a driver that converts midnight of Madrid to UTC gives 22:00 of the day before. It is not known
    which day was meant, so the moment is refused, unless it is midnight in its own zone. A moment without a zone keeps
    its own day.

    :param minimum: the earliest moment; a day counts as its midnight in UTC.
    :param maximum: the latest moment.
    :param calendar_day: the field is only a day, such as a birthday: moments other than midnight are refused.
    """

    def coerce(value: Any) -> str:
        day = _day_or_moment(value)
        if isinstance(day, datetime):
            if _begins_its_day(day):
                text = f"{day.date().isoformat()}T00:00:00Z"
                day = datetime(day.year, day.month, day.day)
            elif calendar_day or day.tzinfo is not None:
                raise InvalidValue(
                    "must be a date, but this is a moment other than midnight: cast it to a date in the query"
                )
            else:
                text = _without_offset(day)
        else:
            text = day.isoformat()
        if minimum is not None or maximum is not None:
            moment = _instant(day)
            if minimum is not None and moment < minimum:
                raise InvalidValue(f"must not be before {_bound_text(minimum)}")
            if maximum is not None and moment > maximum:
                raise InvalidValue(f"must not be after {_bound_text(maximum)}")
        return text

    return coerce


def bound(text: str | None) -> datetime | None:
    """Read a field's ``minDate`` or ``maxDate`` (UTC ISO 8601); ``None`` if it is absent or unreadable."""
    if not text:
        return None
    try:
        return _instant(_day_or_moment(text))
    except InvalidValue:
        return None


def _bound_text(moment: datetime) -> str:
    return _without_offset(moment) if moment.time() != time() else f"{moment.date().isoformat()}, midnight UTC"


def _day_or_moment(value: Any) -> date:
    if type(value) is date:
        return value
    if type(value) is datetime:
        return value if value.tzinfo is None else _with_offset(value)
    value = plain(value)
    if type(value).__name__ == "datetime64":
        raise InvalidValue(_OUT_OF_RANGE)
    if isinstance(value, datetime):
        if value != value:  # pandas' NaT is a subclass of datetime
            raise InvalidValue("must be a date, not NaT: use None for missing values")
        if not MINYEAR <= value.year <= MAXYEAR:  # a pandas Timestamp may have any year
            raise InvalidValue(_OUT_OF_RANGE)
        return value if value.tzinfo is None else _with_offset(value)
    if isinstance(value, date):
        return value
    if isinstance(value, str):
        return _parsed(value.strip())
    raise InvalidValue(f"must be a date or an ISO 8601 text, not {kind(value)}")


def _parsed(text: str) -> date:
    if not _ISO_DATE.fullmatch(text):
        raise InvalidValue("must be an ISO 8601 date such as 1990-05-17, but this text is not one")
    if len(text) == _DAY_LENGTH:
        try:
            return date.fromisoformat(text)
        except ValueError:
            raise InvalidValue(
                "must be an ISO 8601 date such as 1990-05-17, but this day is not in the calendar"
            ) from None
    try:
        moment = pendulum.parse(text, exact=True, tz=None)
    except (ParserError, ValueError, OverflowError):
        moment = None
    if not isinstance(moment, datetime):
        raise InvalidValue("must be an ISO 8601 date such as 1990-05-17T08:30:00Z, but this text is not one")
    return _with_offset(moment)


def _with_offset(moment: datetime) -> datetime:
    """Return a moment with its time zone; without it if the zone gives no offset, since it is naive to Python, too.

    :raises InvalidValue: the offset is larger than Python allows.
    """
    try:
        return moment if moment.utcoffset() is not None else _bare(moment)
    except ValueError:
        raise InvalidValue("must be a date, but the offset of its time zone is 24 hours or more") from None


def _offset(moment: datetime) -> timedelta:
    """Return the offset in whole minutes: local mean time, before 1900, has seconds, which ISO 8601 does not allow."""
    offset = moment.utcoffset() or timedelta()
    return offset - offset % _MINUTE


def _bare(moment: datetime) -> datetime:
    """Rebuild a datetime from its parts: subclasses (pandas, pendulum) print more digits, or an offset with seconds."""
    return datetime(
        moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second, moment.microsecond
    )


def _without_offset(moment: datetime) -> str:
    return f"{_bare(moment).isoformat()}Z"


def _begins_its_day(moment: datetime) -> bool:
    """Whether a moment is the first of its day in its own time zone: midnight, or later if the clocks skip midnight."""
    if moment.time() == _MIDNIGHT:
        return not getattr(moment, "nanosecond", 0)  # a Timestamp of pandas has it
    if moment.tzinfo is None or moment.hour > _LATEST_BEGINNING:
        return False
    own = _bare(moment).replace(tzinfo=moment.tzinfo, fold=moment.fold)
    try:
        before = (own.astimezone(UTC) - timedelta(microseconds=1)).astimezone(moment.tzinfo)
    except OverflowError:  # the first hours of the calendar
        return False
    return before.date() < own.date()


def _instant(day: date) -> datetime:
    if not isinstance(day, datetime):
        return datetime.combine(day, time(), UTC)
    try:
        return (_bare(day) - _offset(day)).replace(tzinfo=UTC)
    except OverflowError:  # the first or last hours of the calendar
        return _bare(day).replace(tzinfo=UTC)
