"""What Connectif knows of a contact's properties: the system fields, their types and allowed values.

Source of the table: API reference, resources "ContactPatch" and "Contact" (``PATCH /contacts/{email}``).
Custom fields are the account's own; their values are sent by the JSON type that the documentation gives for
each kind of custom field (see :mod:`airflow_provider_connectif.contacts.coercion`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

FieldType = Literal["text", "email", "phone", "integer", "date", "radio"]
KeyKind = Literal["email", "external_id"]


@dataclass(frozen=True)
class Field:
    """One property of a contact.

    :param id: the property id, a key of the patch.
    :param type: which rule of coercion applies.
    :param options: the allowed values of a ``radio`` field.
    """

    id: str
    type: FieldType
    options: tuple[str, ...] = ()


_SUBSCRIPTION = ("subscribed", "unsubscribed", "none")

SYSTEM_FIELDS: Mapping[str, Field] = MappingProxyType(
    {
        field.id: field
        for field in (
            Field("_name", "text"),
            Field("_surname", "text"),
            Field("_birthdate", "date"),
            Field("_emailStatus", "radio", ("active", "bounced", "paused", "banned")),
            Field("_mobilePhone", "phone"),
            Field("_mobilePhoneStatus", "radio", ("active", "bounced", "paused")),
            Field("_newsletterSubscriptionStatus", "radio", _SUBSCRIPTION),
            Field("_smsSubscriptionStatus", "radio", _SUBSCRIPTION),
            Field("_points", "integer"),
        )
    }
)
"""Writable whatever the contact key is."""

KEY_FIELDS: Mapping[KeyKind, Mapping[str, Field]] = MappingProxyType(
    {
        "email": MappingProxyType({}),
        "external_id": MappingProxyType({"_email": Field("_email", "email")}),
    }
)
"""Writable with one kind of contact key only. ``_externalId`` is in neither: the body of
``PATCH /contacts/{email}`` does not document it, and in ``PATCH /contacts/external-id/{externalId}`` it is
the path."""

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


def writable_system_fields(key: KeyKind) -> Mapping[str, Field]:
    """The system fields that a patch for this kind of contact key may set."""
    return {**SYSTEM_FIELDS, **KEY_FIELDS[key]}


def why_not_writable(property_id: str, key: KeyKind) -> str | None:
    """Why a property cannot be in a patch, in words, or ``None`` if it can.

    An id without a leading ``_`` is taken for a custom field's.
    """
    if property_id == "_email" and key == "email":
        return "is the contact key here, and cannot be set in a patch by e-mail"
    if property_id == "_externalId":
        return (
            "cannot be set in a patch by e-mail: the API does not document it there"
            if key == "email"
            else "is the contact key here, and cannot be set in a patch by external id"
        )
    if property_id in READ_ONLY:
        return "is read-only"
    if property_id.startswith("_") and property_id not in writable_system_fields(key):
        return "is no property of Connectif's (only system properties start with an underscore)"
    return None if property_id else "is empty"
