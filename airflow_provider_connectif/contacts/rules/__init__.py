"""The rules of the nine field types, one row each: accepted, sent and refused values.

The types and their limits: API reference, resources "ContactField" and "ContactPatch". The table in
``docs/field-types.md`` is generated from :data:`RULES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import cast

from airflow_provider_connectif.contacts.fields import SYSTEM_FIELDS, Field, FieldType
from airflow_provider_connectif.contacts.rules import addresses, dates, numbers, options, texts
from airflow_provider_connectif.contacts.rules.base import Coercer, InvalidValue, kind
from airflow_provider_connectif.records.changes import JsonValue

__all__ = ["RULES", "Coercer", "InvalidValue", "JsonValue", "Rule", "coercer", "kind"]


def _phone(field: Field, region: str | None) -> Coercer:
    """Return the phone rule of a field.

    For a number without a country code, a custom field uses its own code first, and a system field the region.
    """
    if region is not None and field.id in SYSTEM_FIELDS:
        return addresses.phone(region)
    return addresses.phone(region, field.calling_code)


@dataclass(frozen=True)
class Rule:
    """The rule of one field type.

    :param accepted: the values that a column may have.
    :param sent: the JSON that is sent.
    :param refused: the values that make a row invalid.
    :param make: returns the coercer of a field, given the operator's ``default_region``.
    """

    accepted: str
    sent: str
    refused: str
    make: Callable[[Field, str | None], Coercer]


RULES: Mapping[FieldType, Rule] = MappingProxyType(
    {
        "text": Rule(
            "text; numbers, UUIDs and IP addresses; structures of a database, such as a STRUCT or an object of JSON",
            "the text without blanks at its end, which `CHAR(n)` adds; a number's shortest exact text, without an "
            "exponent; a structure as JSON",
            "more than `maxLength` characters, or 100,000 if there is none; blank if the field is required; "
            "lone surrogates and NUL; whole floats of 2^53 and more, which are not exact (single precision: 2^24, "
            "MySQL's `FLOAT`: 10^6)",
            lambda field, _: texts.text(field.max_length, required=field.required),
        ),
        "email": Rule(
            "text",
            "trimmed, including byte order marks and invisible marks; accents composed; an internationalised "
            "domain in its ASCII form",
            "texts that are not an address by syntax; more than 254 characters",
            lambda field, _: addresses.email,
        ),
        "phone": Rule(
            "text: digits, and `+`, spaces, dots, dashes, slashes, brackets",
            "E.164, such as `+34600123456`; without the `.0` of a number that was a float",
            "a length that the country does not use; letters and extensions; digits after a complete number, such as "
            "`06 1234567/8` or `06.12.34.56.78.00`; decimals other than `.0` and `.00`; a national number without a "
            "region (`region_column`, the field's `defaultCountryCode`, or `default_region`)",
            _phone,
        ),
        "integer": Rule(
            "whole numbers: int, float, Decimal, numeric text",
            "integer",
            "decimals; bool; whole floats of 2^53 and more, which are not exact (single precision: 2^24, MySQL's "
            "`FLOAT`: 10^6); text that ends in `.0`, from 2^53 on; text with an exponent, from 10^11 on; beyond "
            "`minValue`, `maxValue` or 64 bits",
            lambda field, _: numbers.integer(field.min_value, field.max_value),
        ),
        "decimal": Rule(
            "int, float, Decimal, numeric text whose decimals follow a dot",
            "number; the nearest double if it has more digits than a double holds",
            "NaN, infinity, bool; beyond `minValue` or `maxValue`",
            lambda field, _: numbers.decimal(field.min_value, field.max_value),
        ),
        "boolean": Rule(
            "bool; 0 and 1, also as the one byte of MySQL's `BIT(1)`; `true` `false` `t` `f` `yes` `no` `y` `n` `1` "
            "`0` in any case",
            "boolean",
            "anything else",
            lambda field, _: numbers.boolean,
        ),
        "date": Rule(
            "date; datetime without a time zone, or at midnight of its own zone; ISO 8601 text of these",
            "`YYYY-MM-DD`; a datetime as `YYYY-MM-DDThh:mm:ssZ` with its own day and time, whatever its time zone",
            "a moment other than midnight that has a time zone, for `_birthdate` also without one: cast it to a date "
            "in the query; other texts, such as `17/05/1990`; before `minDate` or after `maxDate`",
            lambda field, _: dates.iso_date(
                dates.bound(field.min_date), dates.bound(field.max_date), calendar_day=field.id == "_birthdate"
            ),
        ),
        "radio": Rule(
            "an option's id; its label in any case, if only one option has it",
            "the option's id",
            "anything else; an id in another case, unless it is also the label",
            lambda field, _: options.radio(field.options),
        ),
        "checkbox": Rule(
            "list, tuple, set; a JSON or PostgreSQL array as text; ids or labels joined by `|`",
            "array of option ids, each once, in the order of the value (of a set: of the field)",
            "options that the field does not have; blank text",
            lambda field, _: options.checkbox(field.options),
        ),
    }
)


def coercer(field: Field | None, default_region: str | None = None) -> Coercer:
    """Return the function that converts values to a field's form.

    :param field: the definition; with ``None`` or an unknown type, the value's own type decides.
    :param default_region: two letters, such as ``ES``, for phone numbers without a country code.
    """
    if field is None or field.type not in RULES:
        return texts.by_value
    return RULES[cast(FieldType, field.type)].make(field, default_region)
