"""The rules of text, and of custom values whose field is not known."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from airflow_provider_connectif.contacts.rules.base import (
    Coercer,
    InvalidValue,
    is_time_of_numpy,
    kind,
    plain,
    valid_text,
)
from airflow_provider_connectif.contacts.rules.dates import iso_date
from airflow_provider_connectif.contacts.rules.numbers import bit, certain_number, json_number, shortest_text
from airflow_provider_connectif.records.changes import JsonValue

# The API allows at most 5,000 for a custom field; for a system field no limit is documented. Connectif or a proxy would
# refuse a request with a text of megabytes.
_LONGEST_TEXT = 100_000

_MANY_DIGITS = re.compile(r"[0-9]{8}|e\+")  # in every whole number that a float cannot hold

_iso_date = iso_date()


def text(max_length: int | None = None, *, required: bool = False) -> Coercer:
    """Return a rule for text. Numbers, UUIDs and IP addresses become their shortest exact text.

    Blanks at the end are removed: a column of type CHAR(n) adds blanks, which cannot be distinguished from others.

    :param max_length: the largest number of characters.
    :param required: the field must not be empty.
    """
    longest = _LONGEST_TEXT if max_length is None else max_length

    def coerce(value: Any) -> str:
        if isinstance(value, str):
            is_plain = type(value) is str and value.isascii() and "\0" not in value
            exact = value if is_plain else valid_text(value)
            if exact.endswith(" ") and len(exact) <= _LONGEST_TEXT:
                exact = exact.rstrip(" ")
        else:
            written = json_text(value) if isinstance(value, Mapping) else shortest_text(value)
            if written is None:
                raise InvalidValue(f"must be text or a number, not {kind(value)}")
            exact = written
        if len(exact) > longest:
            raise InvalidValue(f"must be at most {longest:,} characters long")
        if required and not exact:
            raise InvalidValue("must not be blank: the field is required")
        return exact

    return coerce


_any_text = text()


def json_text(value: Mapping[Any, Any]) -> str:
    """Return the JSON of a database's structure, such as a STRUCT; values without a JSON form become text.

    A driver reads the numbers of JSON as doubles. Those that may have lost digits are refused, as in other columns.
    """
    try:
        written = json.dumps(value, ensure_ascii=False, default=_json_form, allow_nan=False)
    # NaN, keys or objects without a text, a structure that contains itself
    except (ValueError, TypeError, RecursionError):
        raise InvalidValue("cannot be written as JSON") from None
    if _MANY_DIGITS.search(written):
        _check_exact(value)
    return valid_text(written)


def _json_form(value: Any) -> Any:
    """Return a JSON form of a value that is the same in every process: another form would be sent in each run."""
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=repr)
    text = str(value)
    if text.startswith("<") and " at 0x" in text:
        raise TypeError("the object's text has its memory address, which differs in each process")
    return text


def _check_exact(value: Any) -> None:
    if isinstance(value, float):
        certain_number(value)
    elif isinstance(value, Mapping):
        for item in value.values():
            _check_exact(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _check_exact(item)


def by_value(value: Any) -> JsonValue:
    """Convert a custom field's value by the type of the value, if the field's own type is not known.

    bool, BIT(1) → boolean · int → integer · float, Decimal → number · str, UUID, IP address → string · date, datetime
    → ISO 8601 string · list, tuple, set of str → array. Source: API reference, resource "ContactPatch", ``<key>``.
    """
    exact_type = type(value)  # asked before the abstract classes, which take ten times as long
    if exact_type is str:
        return _any_text(value)
    if exact_type is bool:
        return bool(value)
    if exact_type is int or (exact_type is Decimal and value.is_finite()):
        return json_number(value)
    if exact_type is date or exact_type is datetime:
        return _iso_date(value)
    if isinstance(value, str):
        return _any_text(value)
    number = certain_number(value)  # before plain(), which turns a small float into a double
    value = plain(value)
    if isinstance(value, bool):
        return value
    if number is not None:
        return json_number(number)
    if (truth := bit(value)) is not None:
        return truth
    if isinstance(value, date) or is_time_of_numpy(value):  # also datetime, its subclass
        return _iso_date(value)
    if isinstance(value, (list, tuple)):
        return [_option(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(_option(item) for item in value)
    written = shortest_text(value)
    if written is None:
        raise InvalidValue(f"must be text, a number, a boolean, a date or a list of text, not {kind(value)}")
    return written


def _option(item: Any) -> str:
    if not isinstance(item, str):
        raise InvalidValue(f"must be a list of text, but has {kind(item)} in it")
    return valid_text(item).rstrip(" ")
