"""Field definitions: types and limits of a contact's properties.

The system fields and their types are built in. Custom fields, and the account's own limits for system fields, are read
from the account (``GET /contact-fields/``), or given by the operator's argument ``fields``. Source of the built-in
definitions: API reference, resources "ContactPatch" and "Contact". Source of the form of a definition: resource
"ContactField".
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Literal

FieldType = Literal["text", "email", "phone", "integer", "decimal", "boolean", "date", "radio", "checkbox"]
KeyKind = Literal["email", "external_id"]

Option = tuple[str, str | None]
_LONGEST_CALLING_CODE = 3


@dataclass(frozen=True)
class Field:
    """One property of a contact.

    :param id: the property id, a key of the patch.
    :param type: the name of its type, which selects the rule. If the name is not a :data:`FieldType`, the type of each
        value selects the rule.
    :param options: id and label of each option (radio, checkbox).
    :param max_length: the largest number of characters (text).
    :param min_value: smallest number (integer, decimal).
    :param max_value: largest number.
    :param min_date: earliest date, UTC ISO 8601 (date).
    :param max_date: latest date.
    :param calling_code: digits of the country code for national numbers, such as ``34`` (phone).
    :param read_only: its value cannot be set.
    :param required: it always has a value; never cleared.
    :param custom: made by the account, not a system field.
    """

    id: str
    type: str
    options: tuple[Option, ...] = ()
    max_length: int | None = None
    min_value: float | None = None
    max_value: float | None = None
    min_date: str | None = None
    max_date: str | None = None
    calling_code: str | None = None
    read_only: bool = False
    required: bool = False
    custom: bool = False

    @property
    def can_be_cleared(self) -> bool:
        """Whether ``null`` may be sent: boolean, checkbox and required fields always have a value."""
        return not self.required and self.type not in ("boolean", "checkbox")

    @classmethod
    def from_api(cls, definition: Mapping[str, Any]) -> Field:
        """Read a ``ContactField`` of the API; every part except ``id`` and ``type`` may be missing.

        :raises ValueError: the definition has no id or no type.
        """
        field_id, kind = definition.get("id"), definition.get("type")
        if not isinstance(field_id, str) or not field_id or not isinstance(kind, str):
            raise ValueError("a field definition needs an id and a type, both text")
        return cls(
            id=field_id,
            type=kind,
            options=_options(definition.get("options")),
            max_length=_whole(definition.get("maxLength")),
            min_value=_number(definition.get("minValue")),
            max_value=_number(definition.get("maxValue")),
            min_date=_date(definition.get("minDate")),
            max_date=_date(definition.get("maxDate")),
            calling_code=_digits(definition.get("defaultCountryCode")),
            read_only=definition.get("readOnly") is True,
            required=definition.get("required") is True,
            custom=definition.get("custom") is True,
        )


def _plain_options(*ids: str) -> tuple[Option, ...]:
    return tuple((option_id, None) for option_id in ids)


_SUBSCRIPTION = _plain_options("subscribed", "unsubscribed", "none")

SYSTEM_FIELDS: Mapping[str, Field] = MappingProxyType(
    {
        field.id: field
        for field in (
            Field("_name", "text"),
            Field("_surname", "text"),
            Field("_birthdate", "date"),
            Field("_emailStatus", "radio", _plain_options("active", "bounced", "paused", "banned")),
            Field("_mobilePhone", "phone"),
            Field("_mobilePhoneStatus", "radio", _plain_options("active", "bounced", "paused")),
            Field("_newsletterSubscriptionStatus", "radio", _SUBSCRIPTION),
            Field("_smsSubscriptionStatus", "radio", _SUBSCRIPTION),
            Field("_points", "integer"),
        )
    }
)
"""The system fields that can be set with either kind of contact key, by id."""

KEY_FIELDS: Mapping[KeyKind, Mapping[str, Field]] = MappingProxyType(
    {
        "email": MappingProxyType({}),
        "external_id": MappingProxyType({"_email": Field("_email", "email")}),
    }
)
"""The system fields that can be set with only one kind of contact key, by this kind. ``_externalId`` is not among them:
it is not documented for the body of ``PATCH /contacts/{email}``, and in ``PATCH /contacts/external-id/{externalId}`` it
is a part of the path."""

BUILT_IN_IDS = (*SYSTEM_FIELDS, *KEY_FIELDS["external_id"])
"""The ids of the fields that can be set in every account."""

READ_ONLY = frozenset(
    {
        "id",
        "_isAnonymous",
        "_createdAt",
        "_updatedAt",
        "_hasPushSubscriptions",
        "_emailBouncedReason",
        "_emailLastBouncedDate",
        "_emailLastSoftBounceDate",
        "_emailSoftBounces",
        "_emailLastUnsubscribedDate",
        "_emailLastUnsubscribedIp",
        "_firstPurchaseDate",
        "_lastPurchaseDate",
        "_totalPurchases",
        "_totalPurchasesAmount",
        "_averagePurchasesAmount",
        "_rfm",
        "_recency",
        "_frequency",
        "_monetary",
        "_clv",
        "_pAlive",
        "_churnRate",
        "_expectedPurchases",
    }
)


class FieldTable:
    """The field definitions against which a run checks its mapping and its values.

    :param key: the kind of contact key; it decides whether ``_email`` can be set.
    :param definitions: the account's fields. ``None``: the custom fields are not known. Then every id without a leading
        underscore counts as a custom field, and its values are sent by their own type.
    """

    def __init__(self, key: KeyKind, definitions: Iterable[Field] | None = None) -> None:
        self._key = key
        self.knows_custom_fields = definitions is not None
        fields = {**SYSTEM_FIELDS, **KEY_FIELDS[key]}
        for field in definitions or ():
            built_in = SYSTEM_FIELDS.get(field.id)
            if built_in is not None:
                # The API reference documents the types and the values of a status. The account adds its limits.
                field = replace(field, type=built_in.type, options=field.options or built_in.options)
            elif field.id in KEY_FIELDS[key]:
                field = KEY_FIELDS[key][field.id]  # read-only with the other kind of key
            fields[field.id] = field
        self._fields = fields

    def get(self, property_id: str) -> Field | None:
        """Return a property's definition; ``None`` if it is not known."""
        return self._fields.get(property_id)

    @property
    def ids(self) -> list[str]:
        """Return the ids of all known fields."""
        return sorted(self._fields)

    def fault(self, property_id: str) -> str | None:
        """Return why a property cannot be set, with a similar id that can be set; ``None`` if it can be set."""
        if property_id == "_email" and self._key == "email":
            return "is the contact key here, and cannot be set in a patch by e-mail"
        if property_id == "_externalId":
            return (
                "cannot be set in a patch by e-mail: the API does not document it there"
                if self._key == "email"
                else "is the contact key here, and cannot be set in a patch by external id"
            )
        field = self._fields.get(property_id)
        if property_id in READ_ONLY or (field is not None and field.read_only):
            return "is read-only"
        if field is None and (property_id.startswith("_") or not property_id):
            known = "no property of Connectif's (only system properties start with an underscore)"
            return f"is {known}{did_you_mean(property_id, self._writable())}"
        if field is None and self.knows_custom_fields:
            return f"is not a field of this account{did_you_mean(property_id, self._writable())}"
        return None

    def _writable(self) -> list[str]:
        return [f.id for f in self._fields.values() if not f.read_only and f.id not in READ_ONLY]


def did_you_mean(name: str, known: Iterable[Any]) -> str:
    """Return a question with the most similar known name; an empty text if none is similar.

    A name with unprintable characters is left out. Names come from servers and databases, and a line break in one could
    forge a line of the log.
    """
    by_folded = {str(candidate).casefold(): str(candidate) for candidate in known if str(candidate).isprintable()}
    close = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.7)
    return f' (did you mean "{by_folded[close[0]]}"?)' if close else ""


def _options(value: Any) -> tuple[Option, ...]:
    if isinstance(value, Mapping):
        return tuple((str(option_id), _text(label)) for option_id, label in value.items())
    if not isinstance(value, (list, tuple)):
        return ()
    given = [option if isinstance(option, Mapping) else {"id": option} for option in value]
    return tuple((str(option["id"]), _text(option.get("label"))) for option in given if option.get("id") is not None)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _date(value: Any) -> str | None:
    return value.isoformat() if isinstance(value, date) else _text(value)


def _number(value: Any) -> float | None:
    """Return a finite number, also if it is written as text; ``None`` for any other value."""
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal, str)):
        return None
    try:
        number = value if isinstance(value, int) else float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _whole(value: Any) -> int | None:
    number = _number(value)
    return int(number) if number is not None and number >= 0 else None


def _digits(value: Any) -> str | None:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = str(int(value)) if 0 < value < 1000 else ""
    digits = value.strip().lstrip("+").removeprefix("00") if isinstance(value, str) else ""
    return digits if digits.isascii() and digits.isdigit() and len(digits) <= _LONGEST_CALLING_CODE else None
