"""Describes every fault of a row that is known to be invalid, and of the columns of a source."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

from airflow_provider_connectif.contacts.fields import FieldTable, did_you_mean
from airflow_provider_connectif.contacts.rules import Coercer, InvalidValue, kind
from airflow_provider_connectif.contacts.rules.base import is_missing
from airflow_provider_connectif.records.rows import Row
from airflow_provider_connectif.records.samples import some_of
from airflow_provider_connectif.records.values import VALUE_ERRORS, UnreadableValue

_COLUMNS_NAMED = 8
_LONGEST_ID = 150  # API reference, resource "ContactFieldCreate"

# No field's id has an @ or begins with a digit. Rows that map e-mail addresses or phone numbers have such columns.
_LIKE_A_PERSON = re.compile(r".*(?:@|%40).*|\+?\d(?:[\s.()/-]*\d){4,}[\s.()/-]*", re.DOTALL)
_BLANK = "is blank text: use NULL where there is no value"


class Step(NamedTuple):
    """One property of a patch, with the column and the rule of its value.

    ``coerce``: converts a value to its JSON form, or raises :class:`InvalidValue`. ``clears``: whether NULL is sent as
    ``null``, which clears the property; otherwise it is left out.
    """

    property_id: str
    column: str
    coerce: Coercer
    clears: bool

    @property
    def place(self) -> str:
        """The column, and the property if it has another name, for a message."""
        return f'column "{self.column}"' + ("" if self.column == self.property_id else f" ({self.property_id})")


def row_faults(row: Row, steps: Sequence[Step], key_column: str, coerce_key: Coercer) -> list[str]:
    """Return every rule that a row breaks, each with its column; at least one reason.

    :param steps: the steps of the properties that the row would set.
    :param key_column: the column of the contact key.
    :param coerce_key: the rule of the contact key.
    """
    faults = []
    if key_column not in row:
        faults.append(f'column "{key_column}" is missing, and it is the contact key')
    elif row[key_column] is None:
        faults.append(f'column "{key_column}" is empty, and it is the contact key')
    elif rule := _broken_rule(coerce_key, row[key_column]):
        if rule == _BLANK:
            rule = "is blank text, and it is the contact key"
        faults.append(f'column "{key_column}" {rule}')
    for step in steps:
        if step.column not in row:
            faults.append(f"{step.place} is missing")
        elif row[step.column] is not None and (rule := _broken_rule(step.coerce, row[step.column])):
            faults.append(f"{step.place} {rule}")
    # A value may break a rule at the first check only, such as an object that reads a file.
    return faults or ["a value cannot be read the same way twice: cast it to text, a number or a date"]


def missing_or_double(columns: Sequence[Any], needed: Collection[str], used: Collection[Any]) -> list[str]:
    """Return the faults of columns that are missing from a source, or occur more than once.

    :param columns: the columns of the source.
    :param needed: columns without which no row can be sent.
    :param used: columns that are read if they exist.
    """
    missing = [column for column in needed if column not in columns]
    return ([_missing(missing, columns)] if missing else []) + [
        f'column "{"***" if _is_like_a_person(column) else column}" is {columns.count(column)} times in the result: '
        "give each its own name"
        for column in dict.fromkeys(used)
        if columns.count(column) > 1
    ]


def _missing(missing: Sequence[str], columns: Sequence[Any]) -> str:
    """Return the fault of missing columns, with the columns that the source has."""
    known = [column for column in dict.fromkeys(columns) if not _is_like_a_person(column)]
    shown = [column for column in known if isinstance(column, str) and _can_be_id(column)]
    has = f"; it has: {some_of(shown, _COLUMNS_NAMED)}" if shown else ""
    names = [f'"{column}"{did_you_mean(column, known)}' for column in missing]
    return f"the source has no column {some_of(names, _COLUMNS_NAMED)}{has}"


def _can_be_id(column: str) -> bool:
    return len(column) <= _LONGEST_ID and column.isprintable()


def column_faults(columns: Iterable[Any], no_properties: Collection[str | None], fields: FieldTable) -> list[str]:
    """Return the faults of column names that cannot be property ids, for a mapping where each column is a property.

    :param no_properties: columns that need not be properties: the key's and the region's.
    :param fields: the definitions of the account's fields.
    """
    faults = []
    for column in columns:
        if not isinstance(column, str):
            faults.append("a column's name is not text")
        elif column in no_properties:
            continue
        elif _is_like_a_person(column):
            faults.append(
                "a column's name is like an e-mail address or a phone number: each row must map columns to values, "
                "with the contact's key in a column"
            )
        elif not _can_be_id(column):
            faults.append(f"a column's name has unprintable characters, or more than {_LONGEST_ID}")
        elif why := fields.fault(column):
            faults.append(f'column "{column}" {why}')
    return list(dict.fromkeys(faults))


def _is_like_a_person(column: Any) -> bool:
    return isinstance(column, str) and _LIKE_A_PERSON.fullmatch(column) is not None


def readable(value: Any) -> Any:
    """Return a value unchanged, unless the driver could not read it.

    Some rules use the text of any value. They must not use the text of an :class:`UnreadableValue`.

    :raises InvalidValue: the driver could not read it.
    """
    if type(value) is UnreadableValue:
        raise InvalidValue(value.rule)
    return value


def _broken_rule(coerce: Coercer, value: Any) -> str | None:
    try:
        coerce(readable(value))
    except InvalidValue as broken:
        rule = str(broken)
    except VALUE_ERRORS as error:  # their text may quote the value
        return f"cannot be read: {kind(value)} raises {type(error).__name__}. Cast it to text, a number or a date"
    else:
        return None
    with contextlib.suppress(*VALUE_ERRORS):
        if is_missing(value):
            return "is NaN, a missing value: use None (df.astype(object).where(df.notna(), None))"
        if isinstance(value, str) and not value.strip():
            return _BLANK
    return rule
