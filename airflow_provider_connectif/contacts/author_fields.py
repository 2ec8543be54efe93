"""Field definitions from the operator's argument ``fields``, instead of those of the account."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, get_args

from airflow_provider_connectif.contacts.fields import Field, FieldType, did_you_mean


def fields_of_author(fields: Mapping[str, Any]) -> list[Field]:
    """Return the field definitions that the argument ``fields`` describes.

    It maps the id of a field to the name of its type, or to a dict in the form of the API's ``ContactField``, such as
    ``{"tier": {"type": "radio", "options": [{"id": "gold", "label": "Gold"}]}, "city": "text"}``. ``options`` may also
    be a list of ids, or a dict of labels by id.

    :raises ValueError: a definition is not valid, or has an unknown part. The text names all of them.
    """
    made, faults = [], []
    for field_id, definition in fields.items():
        shape = {"type": definition} if isinstance(definition, str) else definition
        if not isinstance(field_id, str) or not field_id:
            faults.append(f"{field_id!r} is not a property id")
        elif not isinstance(shape, Mapping) or shape.get("type") not in get_args(FieldType):
            faults.append(f"{field_id!r} needs a type, one of {', '.join(get_args(FieldType))}")
        else:
            field = Field.from_api({**shape, "id": field_id})
            faults += [f"{field_id!r}: {fault}" for fault in _misunderstood(shape, field)]
            made.append(field)
    if faults:
        raise ValueError("fields: " + "; ".join(faults))
    return made


_PARTS: Mapping[str, str] = MappingProxyType(
    {
        "options": "options",
        "maxLength": "max_length",
        "minValue": "min_value",
        "maxValue": "max_value",
        "minDate": "min_date",
        "maxDate": "max_date",
        "defaultCountryCode": "calling_code",
    }
)
_OTHER_PARTS = ("id", "name", "type", "custom", "readOnly", "required", "defaultValue", "status")


def _misunderstood(shape: Mapping[str, Any], field: Field) -> list[str]:
    """Return a message for each part of a definition that would be ignored, and one for missing options."""
    known = (*_PARTS, *_OTHER_PARTS)
    faults = [
        f"{part!r} is not a part of a definition{did_you_mean(str(part), known)}" for part in shape if part not in known
    ]
    for part, attribute in _PARTS.items():
        if shape.get(part) is not None and getattr(field, attribute) in (None, ()):
            faults.append(f"{part} cannot be read")
    if field.type in ("radio", "checkbox") and not field.options:
        faults.append("options are missing")
    return faults
