"""Compares a value that was sent with the one that a response shows, by the type of the field.

The form of values in responses is documented for only a few types. A value in an unknown form counts as the same: it
would be worse to report a false difference every night than to miss one.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from airflow_provider_connectif.contacts.fields import Field, FieldType
from airflow_provider_connectif.contacts.rules import InvalidValue
from airflow_provider_connectif.contacts.rules.addresses import email
from airflow_provider_connectif.contacts.rules.numbers import boolean, numeric_text
from airflow_provider_connectif.contacts.shown_dates import compare_dates, moment_of
from airflow_provider_connectif.contacts.shown_difference import Difference
from airflow_provider_connectif.records.changes import JsonValue

_PRECISION = 1e-6  # relative, for fractions: single precision holds seven digits
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_LIKE_AN_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_LEAST_NATIONAL_DIGITS = 6
_HALF_CHARACTER = re.compile("[\ud800-\udbff\ufffd]\\Z")  # the rest of an emoji that was cut in two


Compare = Callable[[Any, Any, Field | None], Difference | None]
"""Returns the difference between the sent value and the shown one, for a field; ``None`` if they are the same."""


def difference(sent: JsonValue, shown: Any, field: Field | None) -> Difference | None:
    """Return the difference between a shown value and the sent one; ``None`` if there is none, or the form is not
    known.

    :param sent: the value in the request.
    :param shown: any JSON; ``None`` also if the property is not shown.
    :param field: the definition. With ``None`` or an unknown type, the types of both values decide.
    """
    if sent == shown and type(sent) is type(shown):  # nearly always; 1 and true are equal, too
        return None
    if is_empty(sent):
        return None if is_empty(shown) else Difference.OTHER_VALUE
    if is_empty(shown):
        return Difference.MISSING
    known = COMPARISONS.get(field.type) if field is not None else None
    compare = known or COMPARISONS[_type_of(sent, shown)]
    return compare(sent, shown, field)


def is_empty(value: Any) -> bool:
    """Whether a value means absence: ``null``, an empty list, or a text without a visible character."""
    return value is None or value == [] or (isinstance(value, str) and not value.strip())


def _type_of(sent: JsonValue, shown: Any) -> FieldType:
    """Return the field type by which to compare two values of a field whose type is not known here.

    Connectif knows the type: it may show a sent text as the number, boolean or list that the text contains.
    """
    value = shown if isinstance(sent, str) and isinstance(shown, (bool, int, float, list)) else sent
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "decimal"
    if not isinstance(value, str):
        return "checkbox"
    if moment_of(value) is not None:
        return "date"
    if _E164.fullmatch(value):
        return "phone"
    return "email" if _LIKE_AN_EMAIL.fullmatch(value) else "text"


# Texts


def _compare_texts(sent: Any, shown: Any, field: Field | None) -> Difference | None:
    """Compare texts; white space and the composition of accents do not count."""
    sent_text, shown_text = _as_text(sent), _as_text(shown)
    if sent_text is None or shown_text is None:
        return None
    return _text_difference(_spaced(sent_text), _spaced(shown_text))


def _text_difference(sent: str, shown: str) -> Difference | None:
    if sent == shown:
        return None
    if sent.casefold() == shown.casefold() or sent.upper() == shown.upper():
        return Difference.OTHER_CASE
    return Difference.SHORTENED if _is_beginning(shown, sent) else Difference.OTHER_VALUE


def _is_beginning(shown: str, sent: str) -> bool:
    return sent.startswith(_HALF_CHARACTER.sub("", shown).rstrip())


def _as_text(value: Any) -> str | None:
    """Return a scalar's text in JSON; ``None`` for lists and objects."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, int) and value.bit_length() < 1024:  # Python refuses to print more digits
        return str(value)
    return None


def _spaced(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())


def _compare_emails(sent: Any, shown: Any, field: Field | None) -> Difference | None:
    """Compare e-mail addresses; the case of the domain does not count."""
    if not isinstance(sent, str) or not isinstance(shown, str):
        return None
    return _text_difference(_address(sent), _address(shown))


def _address(text: str) -> str:
    try:
        address = str(email(text))
    except InvalidValue:
        address = _spaced(text)
    local, at, domain = address.rpartition("@")
    return f"{local}{at}{domain.lower()}" if at else address


def _compare_phones(sent: Any, shown: Any, field: Field | None) -> Difference | None:
    """Compare phone numbers; only digits count, and a national form counts as the same number."""
    sent_text, shown_text = _as_text(sent), _as_text(shown)
    if sent_text is None or shown_text is None:
        return None
    sent_digits, shown_digits = _digits(sent_text), _digits(shown_text)
    if not sent_digits or not shown_digits or sent_digits == shown_digits:
        return None
    if _is_national_form(shown_digits, sent_digits):
        return None
    return Difference.SHORTENED if sent_digits.startswith(shown_digits) else Difference.OTHER_VALUE


def _is_national_form(shown: str, sent: str) -> bool:
    return len(shown) >= _LEAST_NATIONAL_DIGITS and sent.endswith(shown)


def _digits(text: str) -> str:
    """Return the digits of a number without a leading ``00`` and without a national ``0``, also as ``(0)``."""
    return re.sub(r"\(0\)|[^0-9]", "", text).lstrip("0")


# Numbers


def _compare_numbers(sent: Any, shown: Any, field: Field | None) -> Difference | None:
    """Compare numbers by value, in any spelling."""
    sent_number, shown_number = _number(sent), _number(shown)
    if sent_number is None or shown_number is None or _are_equal(sent_number, shown_number):
        return None
    return Difference.OTHER_VALUE


def _number(value: Any) -> int | float | Decimal | None:
    if isinstance(value, (int, float)):
        return value
    if not isinstance(value, str):
        return None
    try:
        return numeric_text(value, "a number")
    except InvalidValue:
        return None


def _are_equal(sent: float | Decimal, shown: float | Decimal) -> bool:
    """Whether two numbers are equal as doubles. Fractions may differ a little, since they may have lost digits."""
    try:
        one, other = float(sent), float(shown)
    except OverflowError:
        return sent == shown
    if one.is_integer() and other.is_integer():
        return one == other
    return math.isclose(one, other, rel_tol=_PRECISION)


def _compare_booleans(sent: Any, shown: Any, field: Field | None) -> Difference | None:
    """Compare booleans; 0, 1 and the words for true and false count as booleans."""
    try:
        return None if boolean(sent) == boolean(shown) else Difference.OTHER_VALUE
    except InvalidValue:
        return None


# Options


def _compare_options(sent: Any, shown: Any, field: Field | None) -> Difference | None:
    """Compare options as sets; a label counts as its option."""
    sent_options, shown_options = _options(sent, field), _options(shown, field)
    if sent_options is None or shown_options is None or sent_options == shown_options:
        return None
    if not shown_options:
        return Difference.MISSING
    if len(sent_options) == len(shown_options) == 1:
        return _text_difference(*sent_options, *shown_options)
    if {option.casefold() for option in sent_options} == {option.casefold() for option in shown_options}:
        return Difference.OTHER_CASE
    return Difference.SHORTENED if shown_options < sent_options else Difference.OTHER_VALUE


def _options(value: Any, field: Field | None) -> frozenset[str] | None:
    """Return options from a list, from texts joined by ``|``, or from a single text; ``None`` for any other form."""
    ids = {} if field is None else {option_id: option_id for option_id, _ in field.options}
    labels = {} if field is None else {label: option_id for option_id, label in field.options if label}
    known = {**labels, **ids}
    if isinstance(value, str) and value.strip() not in known:
        value = value.split("|")
    given = value if isinstance(value, list) else [value]
    texts = [_as_text(item.get("id") if isinstance(item, Mapping) else item) for item in given]
    if None in texts:
        return None
    options = [_spaced(text) for text in texts if text is not None]
    return frozenset(known.get(option, option) for option in options if option)


COMPARISONS: Mapping[str, Compare] = MappingProxyType(
    {
        "text": _compare_texts,
        "email": _compare_emails,
        "phone": _compare_phones,
        "integer": _compare_numbers,
        "decimal": _compare_numbers,
        "boolean": _compare_booleans,
        "date": compare_dates,
        "radio": _compare_options,
        "checkbox": _compare_options,
    }
)
"""The comparison for each field type."""
