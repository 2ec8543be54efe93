"""Definitions of contact fields, for ``GET /contact-fields/`` and for the checks of a PATCH."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

FIELD_TYPES = frozenset({"text", "email", "phone", "integer", "decimal", "boolean", "date", "radio", "checkbox"})

# Date, or date and time with optional seconds, fraction and offset. The documentation says only "ISO 8601"; leaving out
# the week, ordinal and basic forms is an assumption.
_ISO_8601 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(?:T[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?(?:Z|[+-][0-9]{2}:[0-9]{2})?)?"
)
_MICROSECOND_DIGITS = re.compile(r"(\.[0-9]{6})[0-9]+")


class CatalogueError(ValueError):
    """A field definition, or a file with definitions, cannot be used. The message says which one, and why."""


@dataclass(frozen=True, slots=True)
class ContactField:
    """One property of a contact.

    ``definition`` is the JSON object that the API returns. The other attributes are for checking values. A limit is
    None if the definition does not have it. ``min_date`` and ``max_date`` are aware datetimes.
    """

    id: str
    type: str
    custom: bool
    read_only: bool
    required: bool
    definition: Mapping[str, object] = field(repr=False)
    option_ids: frozenset[str] = frozenset()
    max_length: int | None = None
    min_value: float | None = None
    max_value: float | None = None
    min_date: datetime | None = None
    max_date: datetime | None = None

    @classmethod
    def from_definition(cls, definition: Mapping[str, object]) -> ContactField:
        """Read a ``ContactField`` object of the API (``id``, ``type``, ``readOnly``, ``options``...).

        Only ``id`` and ``type`` are required. Unknown keys stay in ``definition``.
        Raises CatalogueError.
        """
        field_id, field_type = definition.get("id"), definition.get("type")
        if not isinstance(field_id, str) or not field_id:
            raise CatalogueError(f"a contact field needs a text id, not {field_id!r}")
        if not isinstance(field_type, str) or field_type not in FIELD_TYPES:
            known = ", ".join(sorted(FIELD_TYPES))
            raise CatalogueError(f"contact field {field_id}: type {field_type!r} is not one of {known}")
        return cls(
            id=field_id,
            type=field_type,
            custom=bool(definition.get("custom", not field_id.startswith("_"))),
            read_only=bool(definition.get("readOnly", False)),
            required=bool(definition.get("required", False)),
            definition=definition,
            option_ids=_option_ids(field_id, definition.get("options")),
            max_length=_whole_number(field_id, definition, "maxLength"),
            min_value=_number(field_id, definition, "minValue"),
            max_value=_number(field_id, definition, "maxValue"),
            min_date=_date(field_id, definition, "minDate"),
            max_date=_date(field_id, definition, "maxDate"),
        )

    @property
    def default_value(self) -> object:
        """The value that a new contact gets if the field is required; None: the definition has no such value."""
        return self.definition.get("defaultValue")


def parse_iso_8601(text: str) -> datetime | None:
    """Return the aware datetime that ``text`` names, or None if it is not an ISO 8601 date or date-time.

    A value without an offset counts as UTC (assumption; it only matters with ``minDate`` and ``maxDate``).
    """
    if not _ISO_8601.fullmatch(text):
        return None
    try:
        moment = datetime.fromisoformat(_MICROSECOND_DIGITS.sub(r"\1", text))
    except ValueError:  # the right form, but the day or hour does not exist: 2024-02-30
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def catalogue_of(*groups: Iterable[Mapping[str, object]]) -> dict[str, ContactField]:
    """Return the fields of all groups by id, in order; a later definition of an id replaces an earlier one.

    Raises CatalogueError.
    """
    fields = (ContactField.from_definition(definition) for group in groups for definition in group)
    return {contact_field.id: contact_field for contact_field in fields}


def read_definitions(path: Path) -> list[Mapping[str, object]]:
    """Read a JSON file that holds a list of ``ContactField`` objects.

    Raises CatalogueError, also when there is no such file.
    """
    try:
        content: object = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CatalogueError(f"cannot read contact fields from {path}: {error}") from error
    if not isinstance(content, list) or not all(isinstance(item, dict) for item in content):
        raise CatalogueError(f"{path} must hold a JSON list of contact field objects")
    return content


def _option_ids(field_id: str, options: object) -> frozenset[str]:
    if options is None:
        return frozenset()
    if not isinstance(options, list) or not all(
        isinstance(option, dict) and isinstance(option.get("id"), str) for option in options
    ):
        raise CatalogueError(f"contact field {field_id}: options must be a list of objects with a text id")
    return frozenset(option["id"] for option in options)


def _number(field_id: str, definition: Mapping[str, object], name: str) -> float | None:
    value = definition.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise CatalogueError(f"contact field {field_id}: {name} must be a number, not {value!r}")
    return value


def _whole_number(field_id: str, definition: Mapping[str, object], name: str) -> int | None:
    value = _number(field_id, definition, name)
    return None if value is None else int(value)


def _date(field_id: str, definition: Mapping[str, object], name: str) -> datetime | None:
    value = definition.get(name)
    if value is None:
        return None
    moment = parse_iso_8601(value) if isinstance(value, str) else None
    if moment is None:
        raise CatalogueError(f"contact field {field_id}: {name} must be an ISO 8601 date, not {value!r}")
    return moment
