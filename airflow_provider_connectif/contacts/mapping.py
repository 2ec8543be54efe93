"""Maps a row to the patch of one contact, or reports why that is not possible."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, get_args

from airflow_provider_connectif.contacts.column_values import ContactsOfTexts
from airflow_provider_connectif.contacts.consent import RANKS, urgent_part
from airflow_provider_connectif.contacts.fields import Field, FieldTable, KeyKind
from airflow_provider_connectif.contacts.identity import same_contact
from airflow_provider_connectif.contacts.mapping_arguments import (
    MappingError,
    checked_properties,
    checked_region,
    is_region,
)
from airflow_provider_connectif.contacts.mapping_faults import (
    Step,
    column_faults,
    missing_or_double,
    readable,
    row_faults,
)
from airflow_provider_connectif.contacts.rules import Coercer, InvalidValue, addresses, coercer, kind
from airflow_provider_connectif.records.changes import JsonValue, Patch
from airflow_provider_connectif.records.raw_rows import RawRow
from airflow_provider_connectif.records.rows import InvalidRow, Row
from airflow_provider_connectif.records.values import VALUE_ERRORS, UnreadableValue

Nulls = Literal["omit", "clear"]

_KEY_COERCERS: dict[KeyKind, Coercer] = {"email": addresses.email, "external_id": addresses.external_id}
_FAULTS = (InvalidValue, *VALUE_ERRORS)
"""The exceptions for a value that breaks its rule, or that the rule cannot read. A missing column is a KeyError."""
_MOST_PLANS = 1000  # cached sets of columns; each row from JSON may have its own


class ContactMapping:
    """The mapping of columns to properties.

    :param key: the kind of contact key: ``email`` or ``external_id``.
    :param key_column: the column of the key. Default: the column ``email`` or ``external_id``, as the kind of key.
    :param properties: column by property id. ``None``: the name of each column is a property id, except of the columns
        of key and region.
    :param nulls: ``omit`` leaves out a property whose value is ``None`` or an empty list, so that Connectif keeps its
        value; ``clear`` sends ``null`` (except for boolean, checkbox and required fields, which always have a value,
        and for consents) and ``[]``. Connectif's handling of either is not documented.
    :param default_region: two letters, such as ``ES``, for phone numbers without a country code.
    :param region_column: the column with the country of a row's phone numbers, ISO 3166 alpha-2; if empty,
        ``default_region`` applies. It is itself a property only if ``properties`` names it.
    :param definitions: the account's fields. ``None``: custom values are sent by their own type.
    :raises MappingError: an argument has a wrong type or value.
    """

    def __init__(
        self,
        key: KeyKind = "email",
        key_column: str | None = None,
        properties: Mapping[str, str] | None = None,
        nulls: Nulls = "omit",
        *,
        default_region: str | None = None,
        region_column: str | None = None,
        definitions: Iterable[Field] | None = None,
    ) -> None:
        if key not in get_args(KeyKind):
            raise MappingError(f"key must be one of {', '.join(get_args(KeyKind))}, not {key!r}")
        if nulls not in get_args(Nulls):
            raise MappingError(f"nulls must be one of {', '.join(get_args(Nulls))}, not {nulls!r}")
        self.key = key
        self.key_column = key_column or key
        self.properties = checked_properties(properties)
        self.nulls = nulls
        self.default_region = checked_region(default_region)
        self.region_column = region_column
        self.fields = FieldTable(key, definitions)
        self._key_coercer = _KEY_COERCERS[key]
        self._phones: Coercer | None = None
        """The rule for all phone numbers of a row with a value in the region column."""
        self._of_regions: dict[str, ContactMapping] = {}
        self._make_steps()

    def _make_steps(self) -> None:
        self._steps = None if self.properties is None else [self._step(p, c) for p, c in self.properties.items()]
        self._plans: dict[tuple[str, ...], list[Step] | InvalidRow] = {}
        self._of_texts = ContactsOfTexts(self.key_column, self._steps_of, sends_empty_lists=self.nulls == "clear")

    def with_definitions(self, definitions: Iterable[Field]) -> ContactMapping:
        """Return the same mapping with the account's fields, against which it checks rows."""
        return ContactMapping(
            self.key,
            self.key_column,
            self.properties,
            self.nulls,
            default_region=self.default_region,
            region_column=self.region_column,
            definitions=definitions,
        )

    @property
    def needs_definitions(self) -> bool:
        """Whether the mapping needs the account's fields: for custom fields, and for phone numbers without a country
        code.
        """
        if self.properties is None:
            return True
        fields = [self.fields.get(property_id) for property_id in self.properties]
        return any(field is None or (field.type == "phone" and self.default_region is None) for field in fields)

    def check(self, columns: Sequence[Any] | None = None) -> None:
        """Check the mapping before anything is sent.

        :param columns: the columns of the source, if they are known.
        :raises MappingError: properties cannot be set, or columns are missing or occur twice. The text names every
            fault, with a similar known name.
        """
        faults = [
            f"{property_id} {why}" for property_id in self.properties or () if (why := self.fields.fault(property_id))
        ]
        if columns is not None:
            regions = () if self.region_column is None else (self.region_column,)
            needed = dict.fromkeys([self.key_column, *(step.column for step in self._steps or ()), *regions])
            faults += missing_or_double(columns, needed, columns if self._steps is None else needed)
            if self._steps is None:
                faults += column_faults(columns, (self.key_column, self.region_column), self.fields)
        if faults:
            raise MappingError("the mapping does not fit: " + "; ".join(faults))

    def patch(self, number: int, row: Row) -> Patch:
        """Return the patch of one row.

        :param number: the row's number in the source.
        :raises InvalidRow: a value is not valid. The reasons name each column and its rule.
        """
        if type(row) is not RawRow and not isinstance(row, Mapping):  # the first condition is the faster one
            raise InvalidRow([f"the row must be a mapping of columns to values, not {kind(row)}"])
        if self.region_column is not None and self._phones is None:
            value = row.get(self.region_column)
            if value is not None and (not isinstance(value, str) or value.strip()):
                return self._of_region(value).patch(number, row)
        if type(row) is RawRow and row.form.converted.types is not None:
            try:
                read, of_texts = self._of_texts.contact(row)
                return Patch(number, str(self._key_coercer(readable(read))), of_texts, row)
            except _FAULTS:
                raise InvalidRow(self._faults(row, self._steps_of(row))) from None
        steps = self._steps_of(row)
        properties: dict[str, JsonValue] = {}
        try:
            key = self._key_coercer(readable(row[self.key_column]))
            for property_id, column, coerce, clears in steps:
                value = row[column]
                if value is not None:
                    if type(value) is UnreadableValue:
                        raise InvalidValue(value.rule)
                    coerced = coerce(value)
                    if coerced or coerced != [] or self.nulls == "clear":
                        properties[property_id] = coerced
                elif clears:
                    properties[property_id] = None
        except _FAULTS:
            raise InvalidRow(self._faults(row, steps)) from None
        return Patch(number, str(key), properties, row)

    def urgent_part(self, number: int, row: Row) -> Patch | None:
        """Return a patch with only those consents of a row that have their lowest value; other values may be invalid.

        :param number: the row's number in the source.
        :return: ``None``: the row has no such consent, or no valid key.
        """
        if not isinstance(row, Mapping) or (key := self.key_of(row)) is None:
            return None
        try:
            steps = self._steps_of(row)
        except InvalidRow:
            steps = [self._step(property_id, property_id) for property_id in RANKS if property_id in row]
        consents = self._readable(row, [step for step in steps if step.property_id in RANKS])
        lowest = urgent_part({name: value for name, value in consents.items() if value is not None})
        return Patch(number, key, lowest, row) if lowest else None

    def readable_properties(self, row: Row) -> Mapping[str, JsonValue] | None:
        """Return the valid properties of a row, by property id; its key need not be valid.

        A value of ``None`` means that the row has no value of this property.

        :return: ``None``: the row is not a mapping, or its columns cannot be properties.
        """
        if not isinstance(row, Mapping):
            return None
        try:
            return self._readable(row, self._steps_of(row))
        except InvalidRow:
            return None

    def _readable(self, row: Mapping[str, Any], steps: Iterable[Step]) -> dict[str, JsonValue]:
        properties: dict[str, JsonValue] = {}
        for property_id, column, coerce, _ in steps:
            if (value := row.get(column)) is None:
                properties[property_id] = None
                continue
            with contextlib.suppress(*_FAULTS):
                coerced = coerce(readable(value))
                properties[property_id] = None if coerced == [] and self.nulls == "omit" else coerced
        return properties

    def key_of(self, row: Row) -> str | None:
        """Return a row's contact key, or ``None`` if it has no valid key."""
        try:
            return str(self._key_coercer(readable(row[self.key_column])))
        except _FAULTS:
            return None

    def same_contact(self, key: str) -> str:
        """Return one form for all spellings of a key:
        :func:`airflow_provider_connectif.contacts.identity.same_contact`.
        """
        return same_contact(self.key, key)

    @property
    def columns(self) -> Sequence[str] | None:
        """The columns to read, the key's first; ``None``: every column is a property."""
        # The key is included, so that a line never matches the row of another contact that had the same key earlier.
        if self.properties is None:
            return None
        # The region is included, too: with another country the same digits are another phone number.
        return (
            self.key_column,
            *self.properties.values(),
            *(() if self.region_column is None else (self.region_column,)),
        )

    @property
    def property_ids(self) -> Sequence[str]:
        """The ids of the properties that are written; if each column is a property, the ids in the rows so far."""
        if self.properties is not None:
            return tuple(self.properties)
        plans = [plan for each in (self, *self._of_regions.values()) for plan in each._plans.values()]
        steps = [step for plan in plans if not isinstance(plan, InvalidRow) for step in plan]
        return tuple(dict.fromkeys(step.property_id for step in steps))

    @property
    def definition(self) -> tuple[object, ...]:
        """Everything that decides what is sent for a row: the mapping, and the definitions of its fields."""
        ids = self.properties if self.properties is not None else self.fields.ids
        # Without a region column, the result is the same as in earlier versions, so the digests in journals stay valid.
        return (
            *(() if self.region_column is None else ("region", self.region_column)),
            self.key,
            self.key_column,
            None if self.properties is None else list(self.properties.items()),
            self.nulls,
            self.default_region,
            [repr(self.fields.get(property_id)) for property_id in ids],
        )

    rules_version = b"2"
    """To be raised when a rule changes what is sent; every row is then checked again."""

    def column_of(self, property_id: str) -> str | None:
        """Return the column that a property is read from, if the mapping names one."""
        return (self.properties or {}).get(property_id)

    def describe(self) -> str:
        """Describe the mapping in one line, for the log."""
        what = "each column a property" if self.properties is None else ", ".join(self.properties) or "no properties"
        region = "" if self.region_column is None else f'; region of phones from column "{self.region_column}"'
        return f'key {self.key} from column "{self.key_column}"; {what}{region}'

    def _faults(self, row: Row, steps: Sequence[Step]) -> list[str]:
        return row_faults(row, steps, self.key_column, self._key_coercer)

    def _step(self, property_id: str, column: str) -> Step:
        field = self.fields.get(property_id)
        # A missing consent is not a withdrawal.
        clears = self.nulls == "clear" and (field is None or field.can_be_cleared) and property_id not in RANKS
        is_phone = field is not None and field.type == "phone"
        coerce = self._phones if self._phones is not None and is_phone else coercer(field, self.default_region)
        return Step(property_id, column, coerce, clears)

    def _of_region(self, value: Any) -> ContactMapping:
        """Return a mapping for rows of one country, which takes precedence over a field's own country code.

        :param value: the value of the region column, not empty.
        """
        code = value.strip().upper() if isinstance(value, str) else ""
        region = code if is_region(code) else ""
        if region not in self._of_regions:
            rule = (
                f'must begin with + and the country code, since column "{self.region_column}" has no country code '
                "of ISO 3166 (two letters, such as ES)"
            )
            made = copy.copy(self)
            made._phones = addresses.phone(region or None, no_region=rule)
            made._make_steps()
            self._of_regions[region] = made
        return self._of_regions[region]

    def _steps_of(self, columns: Iterable[str]) -> Sequence[Step]:
        return self._steps if self._steps is not None else self._plan(tuple(columns))

    def _plan(self, columns: tuple[str, ...]) -> list[Step]:
        plan = self._plans.get(columns)
        if plan is None:
            faults = column_faults(columns, (self.key_column, self.region_column), self.fields)
            used = [column for column in columns if column not in (self.key_column, self.region_column)]
            plan = InvalidRow(faults) if faults else [self._step(column, column) for column in used]
            if len(self._plans) < _MOST_PLANS:
                self._plans[columns] = plan
        if isinstance(plan, InvalidRow):
            raise InvalidRow(plan.reasons)
        return plan
