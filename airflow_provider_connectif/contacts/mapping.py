"""From a row to the patch of one contact, or to the reasons why it cannot be one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from airflow_provider_connectif.contacts import coercion
from airflow_provider_connectif.contacts.coercion import Coercer, JsonValue, Unfit
from airflow_provider_connectif.contacts.fields import KeyKind, why_not_writable, writable_system_fields

Nulls = Literal["omit", "clear"]
Row = Mapping[str, Any]

_KEY_COERCERS: dict[KeyKind, Coercer] = {"email": coercion.email, "external_id": coercion.external_id}
_MOST_PLANS = 1000  # sets of columns remembered; rows out of JSON may have a set each


class MappingError(ValueError):
    """The mapping itself is wrong, whatever the rows hold; names every fault that was found."""


class InvalidRow(Exception):
    """A row that cannot be sent; ``reasons`` name column and rule, never a value."""

    def __init__(self, reasons: Sequence[str]) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = tuple(reasons)


@dataclass(frozen=True)
class Patch:
    """The properties to set for one contact.

    :param number: the row's number in the source, from 1.
    :param key: the contact key, e-mail or external id.
    :param properties: JSON-ready values by property id.
    :param row: the row as it came.
    """

    number: int
    key: str
    properties: Mapping[str, JsonValue]
    row: Row


@dataclass(frozen=True)
class _Step:
    """One property of a patch: where its value comes from and how it gets its form."""

    property_id: str
    column: str
    coerce: Coercer

    @property
    def place(self) -> str:
        return f'column "{self.column}"' + ("" if self.column == self.property_id else f" ({self.property_id})")


class ContactMapping:
    """How columns become properties.

    :param key: what identifies a contact: ``email`` or ``external_id``.
    :param key_column: the column of the key; by default the one named like it.
    :param properties: column by property id. ``None``: every column but the key's is a property id itself.
    :param nulls: ``omit`` leaves out a property whose value is ``None``, so that Connectif keeps what it has;
        ``clear`` sends ``null``. What Connectif does with ``null`` is not documented.
    :raises MappingError: a property that no patch can set, or an argument of a wrong kind.
    """

    def __init__(
        self,
        key: KeyKind = "email",
        key_column: str | None = None,
        properties: Mapping[str, str] | None = None,
        nulls: Nulls = "omit",
    ) -> None:
        if key not in get_args(KeyKind):
            raise MappingError(f"key must be one of {', '.join(get_args(KeyKind))}, not {key!r}")
        if nulls not in get_args(Nulls):
            raise MappingError(f"nulls must be one of {', '.join(get_args(Nulls))}, not {nulls!r}")
        self.key = key
        self.key_column = key_column or key
        self.properties = _checked_properties(properties, key)
        self.nulls = nulls
        self._key_coercer = _KEY_COERCERS[key]
        self._fields = writable_system_fields(key)
        self._steps = None if self.properties is None else [self._step(p, c) for p, c in self.properties.items()]
        self._plans: dict[tuple[str, ...], list[_Step] | InvalidRow] = {}

    def check_columns(self, columns: Sequence[str]) -> None:
        """Check the columns of a source before anything of it is sent.

        :raises MappingError: columns that are missing, stand twice, or are no writable property; names them all.
        """
        needed = [self.key_column, *(step.column for step in self._steps or ())]
        faults = [
            f'column "{column}" is missing{_nearest(column, columns)}'
            for column in dict.fromkeys(needed)
            if column not in columns
        ]
        used = columns if self._steps is None else needed
        faults += [
            f'column "{column}" stands {columns.count(column)} times in the result: give each its own name'
            for column in dict.fromkeys(used)
            if columns.count(column) > 1
        ]
        if self._steps is None:
            faults += self._column_faults(columns)
        if faults:
            raise MappingError(_all_of("the columns do not fit the mapping", faults))

    def patch(self, number: int, row: Row) -> Patch:
        """Map one row.

        :raises InvalidRow: values that do not fit, each with column and rule.
        """
        if not isinstance(row, Mapping):
            raise InvalidRow([f"the row is no mapping of columns to values but {coercion.kind(row)}"])
        steps = self._steps if self._steps is not None else self._plan(tuple(row))
        reasons: list[str] = []
        key = ""
        try:
            value = row[self.key_column]
            if value is None:
                raise Unfit("is empty, and it is the contact key")
            key = str(self._key_coercer(value))
        except KeyError:
            reasons.append(f'column "{self.key_column}" is missing, and it is the contact key')
        except Unfit as unfit:
            reasons.append(f'column "{self.key_column}" {unfit}')
        properties: dict[str, JsonValue] = {}
        for step in steps:
            try:
                value = row[step.column]
                if value is not None:
                    properties[step.property_id] = step.coerce(value)
                elif self.nulls == "clear":
                    properties[step.property_id] = None
            except KeyError:
                reasons.append(f"{step.place} is missing")
            except Unfit as unfit:
                reasons.append(f"{step.place} {unfit}")
        if reasons:
            raise InvalidRow(reasons)
        return Patch(number, key, properties, row)

    def column_of(self, property_id: str) -> str | None:
        """The column that a property is read from, if the mapping names one."""
        return (self.properties or {}).get(property_id)

    def describe(self) -> str:
        """The mapping in one line, for the log."""
        what = "each column a property" if self.properties is None else ", ".join(self.properties) or "no properties"
        return f'key {self.key} from column "{self.key_column}"; {what}'

    def _step(self, property_id: str, column: str) -> _Step:
        field = self._fields.get(property_id)
        return _Step(property_id, column, coercion.custom if field is None else coercion.coercer(field))

    def _plan(self, columns: tuple[str, ...]) -> list[_Step]:
        plan = self._plans.get(columns)
        if plan is None:
            faults = self._column_faults(columns)
            plan = InvalidRow(faults) if faults else [self._step(c, c) for c in columns if c != self.key_column]
            if len(self._plans) < _MOST_PLANS:
                self._plans[columns] = plan
        if isinstance(plan, InvalidRow):
            raise InvalidRow(plan.reasons)
        return plan

    def _column_faults(self, columns: Iterable[Any]) -> list[str]:
        faults = []
        for column in columns:
            if not isinstance(column, str):
                faults.append("a column's name is not text")
            elif column != self.key_column and (why := why_not_writable(column, self.key)):
                faults.append(f'column "{column}" {why}{_nearest(column, self._fields)}')
        return faults


def _checked_properties(properties: Any, key: KeyKind) -> dict[str, str] | None:
    if properties is None:
        return None
    if not isinstance(properties, Mapping):
        raise MappingError('properties must be a dict of column by property id, such as {"_name": "first_name"}')
    faults = []
    for property_id, column in properties.items():
        if not isinstance(property_id, str) or not isinstance(column, str) or not column:
            faults.append(f"{property_id!r}: property id and column must both be text")
        elif why := why_not_writable(property_id, key):
            faults.append(f"{property_id} {why}{_nearest(property_id, writable_system_fields(key))}")
    if faults:
        raise MappingError(_all_of("properties cannot be sent", faults))
    return dict(properties)


def _nearest(name: str, known: Iterable[Any]) -> str:
    by_folded = {str(candidate).casefold(): str(candidate) for candidate in known}
    close = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.7)
    return f' (did you mean "{by_folded[close[0]]}"?)' if close else ""


def _all_of(title: str, faults: Sequence[str]) -> str:
    return f"{title}: " + "; ".join(faults)
