"""Finds digits in phone texts that do not belong to the number: decimals of a float, a second number, an extension."""

from __future__ import annotations

import re

from airflow_provider_connectif.contacts.rules.base import InvalidValue

_LEAST_DIGITS = 7  # fewer before a dot are an area code
_MOST_ZEROS = 2
_LEAST_COMPLETE = 6  # digits; fewer before a slash are an area code, even where a country has such numbers
_LONGEST_EXTENSION = 2
_ONLY_DECIMALS = re.compile(r"([^.]*)\.\s*(\d+)")
_LAST_DECIMAL = re.compile(r"(.*)\.\s*\d", re.DOTALL)
_LAST_GROUP = re.compile(r"(.*)\.\s*(\d{2,})", re.DOTALL)
# Separators between two numbers. A closing bracket is not one: it ends an area code.
_BETWEEN = re.compile(r"\s*([/(\[{])\s*|\s+[-\u2010-\u2015\u2212]\s+|\s+")
_BETWEEN_GROUPS = re.compile(r"\s*([-\u2010-\u2015\u2212])\s*|\s+")


def without_decimals(text: str, region: str | None) -> str:
    """Return a number without the ``.0`` or ``.00`` of a float.

    A float has lost the ``+`` of an international number. It is added again if the digits are valid with it, and not a
    valid number of the region.

    :param region: two letters, for numbers without a country code.
    :raises InvalidValue: the text has other decimals, or is a valid number with and without a ``+``. Or it has several
        dots, and ends with a dot and one digit, or with a dot and zeros after a complete number: the meaning is not
        known.
    """
    decimals = _ONLY_DECIMALS.fullmatch(text)
    if decimals and _digits(decimals[1]) >= _LEAST_DIGITS:
        is_zero = not int(decimals[2])
        if is_zero and len(decimals[2]) <= _MOST_ZEROS:
            whole = decimals[1]
            foreign = _valid(f"+{whole}", None) if region is not None and whole.isdigit() else None
            if foreign is None:
                return whole
            if _valid(whole, region) not in (foreign, None):
                raise InvalidValue(
                    "must be a phone number, but this float is a valid one with or without a +: cast it to text"
                )
            return foreign
        if is_zero or len(decimals[2]) == 1:
            raise InvalidValue(
                "must be a phone number, but this text is a number with decimals: cast it to text in the query"
            )
    elif (last := _LAST_DECIMAL.fullmatch(text)) and _digits(last[1]) >= _LEAST_DIGITS:
        raise InvalidValue(
            "must be a phone number, but ends with a dot and a digit: remove dots or decimals in the query"
        )
    elif (last := _LAST_GROUP.fullmatch(text)) and not int(last[2]) and _valid(last[1], region):
        raise InvalidValue(
            "must be a phone number, but ends with a dot and zeros: remove dots or decimals in the query"
        )
    return text


def holds_two_numbers(text: str, region: str | None) -> bool:
    """Whether digits follow a complete number: a second number, its last digits, or an extension.

    ``06 1234567/8`` and ``030 123456 / 0170 1234567`` are two numbers; ``030/123456`` is one with its area code. After
    a hyphen, an extension counts only behind a mobile number: ``030 123456-78`` is one number.

    :param region: two letters, for numbers without a country code; ``None``: there is none.
    """
    for between in _BETWEEN.finditer(text):
        before, after = text[: between.start()], text[between.end() :]
        digits_after = _digits(after)
        is_long = _digits(before) >= _LEAST_COMPLETE
        ends_shortly = between[1] == "/" and digits_after <= _LONGEST_EXTENSION and text.count("/") == 1
        if digits_after and is_long and ends_shortly:
            return True
        starts_anew = is_long and after.startswith("0") and digits_after >= _LEAST_DIGITS
        is_apart = between[1] and (is_long or ends_shortly or _valid(after, region))
        if digits_after and (is_apart or starts_anew) and _valid(before, region):
            return True
    return _goes_on(text, region)


def _goes_on(text: str, region: str | None) -> bool:
    """Whether digits follow a complete number: the whole text is not valid, or is a mobile number with an extension.

    ``+36 1 234 5678-9`` is a number and the end of another one; ``030 123456-78`` is one with its extension.
    """
    is_whole = _valid(text, region) is not None
    for between in _BETWEEN_GROUPS.finditer(text):
        before, digits_after = text[: between.start()], _digits(text[between.end() :])
        is_extension = between[1] is not None and digits_after <= _LONGEST_EXTENSION
        if not digits_after or _digits(before) < _LEAST_COMPLETE or (is_whole and not is_extension):
            continue
        if _valid(before, region) and (not is_whole or _is_mobile(before, region)):
            return True
    return False


def _digits(text: str) -> int:
    return sum(character.isdigit() for character in text)


def _valid(text: str, region: str | None) -> str | None:
    """Return the number in E.164; ``None`` if it is not valid in its country.

    :param region: two letters, for a number without a country code; ``None``: the text must begin with a ``+``.
    """
    import phonenumbers

    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    e164 = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    return str(e164) if phonenumbers.is_valid_number(number) else None


def _is_mobile(text: str, region: str | None) -> bool:
    """Whether a valid number is a mobile's, which has no extensions."""
    import phonenumbers

    return bool(phonenumbers.number_type(phonenumbers.parse(text, region)) == phonenumbers.PhoneNumberType.MOBILE)
