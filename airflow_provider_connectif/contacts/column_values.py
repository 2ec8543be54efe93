"""Converts a database's texts to JSON values column by column, without a conversion for each row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from airflow_provider_connectif.contacts.rules import Coercer, InvalidValue
from airflow_provider_connectif.records.changes import JsonValue
from airflow_provider_connectif.records.raw_rows import RawRow, RowForm
from airflow_provider_connectif.records.values import UnreadableValue

_MOST = 1000  # cached texts of one column
_LONGEST = 100  # bytes; longer texts are not cached


class ColumnValues(dict[bytes, JsonValue]):
    """A cache of one property's JSON values, by the texts of its column.

    Many columns have few different values, such as a tier, a day, or yes and no. Each of them is then converted and
    checked once.

    :param load: converts a text to a value.
    :param coerce: converts a value to its JSON form.
    """

    def __init__(self, load: Callable[[bytes], Any], coerce: Coercer) -> None:
        super().__init__()
        self._load = load
        self._coerce = coerce

    def __missing__(self, text: bytes) -> JsonValue:
        """Convert a text that is not cached; the text of JSON's ``null`` becomes ``None``.

        :raises InvalidValue: the value breaks a rule of the property, or could not be read.
        """
        value = self._load(text)
        if type(value) is UnreadableValue:
            raise InvalidValue(value.rule)
        coerced = None if value is None else self._coerce(value)
        if len(text) <= _LONGEST and type(coerced) is not list:  # each patch needs its own lists
            if len(self) >= _MOST:
                self.clear()
            self[text] = coerced
        return coerced


class _Columns(NamedTuple):
    """The places of a contact's values in rows of one form, and their conversions.

    ``key_place``: the index of the key's text. ``load_key``: converts this text. ``properties``: for each property its
    id, the index of its text, its values, and whether NULL clears it.
    """

    key_place: int
    load_key: Callable[[bytes], Any]
    properties: Sequence[tuple[str, int, ColumnValues, bool]]


class ContactsOfTexts:
    """Reads keys and properties from rows that are still the database's texts. The result is the same as from values.

    :param key_column: the column of the key.
    :param steps_of: takes the columns of a row. Returns for each property its id, its column, its rule, and whether
        NULL clears it.
    :param sends_empty_lists: whether an empty list is sent as a value.
    """

    def __init__(
        self,
        key_column: str,
        steps_of: Callable[[Iterable[str]], Iterable[tuple[str, str, Coercer, bool]]],
        *,
        sends_empty_lists: bool,
    ) -> None:
        self._key_column = key_column
        self._steps_of = steps_of
        self._sends_empty_lists = sends_empty_lists
        self._known: tuple[RowForm, _Columns] | None = None

    def contact(self, row: RawRow) -> tuple[Any, dict[str, JsonValue]]:
        """Return the unchecked key of a row, and its properties.

        :raises KeyError: a column is missing.
        :raises InvalidValue: a value breaks a rule of its property.
        :raises InvalidRow: the name of a column cannot be a property id.
        """
        form, texts = row.form, row.texts
        known = self._known
        if known is None or known[0] is not form:  # each batch has its own form, and all forms of a result are equal
            known = self._known = form, known[1] if known is not None and known[0] == form else self._columns(form)
        key_place, load_key, columns = known[1]
        properties: dict[str, JsonValue] = {}
        for property_id, place, values, clears in columns:
            text = texts[place]
            if text is not None and (coerced := values[text]) is not None:
                if coerced or coerced != [] or self._sends_empty_lists:
                    properties[property_id] = coerced
            elif clears:
                properties[property_id] = None
        key = texts[key_place]
        return None if key is None else load_key(key), properties

    def _columns(self, form: RowForm) -> _Columns:
        columns = []
        for property_id, column, coerce, clears in self._steps_of(form.columns):
            place = form.place_of(column)
            columns.append((property_id, place, ColumnValues(form.converted.loader(place), coerce), clears))
        key_place = form.place_of(self._key_column)
        return _Columns(key_place, form.converted.loader(key_place), columns)
