"""The default fields of the sandbox's account: the documented system fields and a custom set.

The ids of the system properties, which of them are read-only, and the values of the status properties are documented.
The labels are an assumption, and so are the types of the read-only properties and of ``_externalId``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def _options(*ids: str) -> list[dict[str, str]]:
    return [{"id": option_id, "label": option_id.capitalize()} for option_id in ids]


_CHANNEL_STATUSES = _options("active", "bounced", "paused")
_SUBSCRIPTION_STATUSES = _options("subscribed", "unsubscribed", "none")

_WRITABLE_SYSTEM: tuple[tuple[str, str, str, Mapping[str, object]], ...] = (
    ("_email", "Email", "email", {}),
    ("_externalId", "External ID", "text", {"maxLength": 50}),
    ("_name", "Name", "text", {}),
    ("_surname", "Surname", "text", {}),
    ("_birthdate", "Birthdate", "date", {}),
    ("_mobilePhone", "Mobile phone", "phone", {}),
    ("_points", "Points", "integer", {}),
    ("_emailStatus", "Email status", "radio", {"options": [*_CHANNEL_STATUSES, *_options("banned")]}),
    ("_mobilePhoneStatus", "Mobile phone status", "radio", {"options": _CHANNEL_STATUSES}),
    ("_newsletterSubscriptionStatus", "Newsletter status", "radio", {"options": _SUBSCRIPTION_STATUSES}),
    ("_smsSubscriptionStatus", "SMS status", "radio", {"options": _SUBSCRIPTION_STATUSES}),
)

_READ_ONLY_SYSTEM: tuple[tuple[str, str, str], ...] = (
    ("_isAnonymous", "Is anonymous", "boolean"),
    ("_createdAt", "Created at", "date"),
    ("_updatedAt", "Updated at", "date"),
    ("_hasPushSubscriptions", "Has push subscriptions", "boolean"),
    ("_emailBouncedReason", "Email bounced reason", "text"),
    ("_emailLastBouncedDate", "Email last bounced date", "date"),
    ("_emailLastSoftBounceDate", "Email last soft bounce date", "date"),
    ("_emailSoftBounces", "Email soft bounces", "integer"),
    ("_emailLastUnsubscribedDate", "Email last unsubscribed date", "date"),
    ("_emailLastUnsubscribedIp", "Email last unsubscribed IP", "text"),
    ("_firstPurchaseDate", "First purchase date", "date"),
    ("_lastPurchaseDate", "Last purchase date", "date"),
    ("_totalPurchases", "Total purchases", "integer"),
    ("_totalPurchasesAmount", "Total purchases amount", "decimal"),
    ("_averagePurchasesAmount", "Average purchases amount", "decimal"),
    ("_rfm", "RFM", "text"),
    ("_recency", "Recency", "integer"),
    ("_frequency", "Frequency", "integer"),
    ("_monetary", "Monetary", "integer"),
    ("_clv", "CLV", "decimal"),
    ("_pAlive", "Probability of being alive", "decimal"),
    ("_churnRate", "Churn rate", "decimal"),
    ("_expectedPurchases", "Expected purchases", "decimal"),
)

# At least one field of each type. Boolean and checkbox fields are always required, and a required field has a default.
_CUSTOM: tuple[tuple[str, str, str, Mapping[str, object]], ...] = (
    ("city", "City", "text", {"maxLength": 80}),
    ("country", "Country", "text", {}),
    ("postal_code", "Postal code", "text", {"maxLength": 20}),
    ("company", "Company", "text", {"maxLength": 200}),
    ("loyalty_tier", "Loyalty tier", "radio", {"options": _options("bronze", "silver", "gold")}),
    (
        "interests",
        "Interests",
        "checkbox",
        {
            "required": True,
            "defaultValue": [],
            "options": _options("sports", "music", "travel", "food", "books"),
        },
    ),
    ("vip", "VIP", "boolean", {"required": True, "defaultValue": False}),
    ("lifetime_value", "Lifetime value", "decimal", {}),
    ("order_count", "Order count", "integer", {"minValue": 0}),
    ("last_purchase", "Last purchase", "date", {}),
    ("work_email", "Work email", "email", {}),
    ("landline", "Landline", "phone", {"defaultCountryCode": "34"}),
)


def _definition(
    field_id: str, name: str, field_type: str, *, custom: bool, read_only: bool, extra: Mapping[str, object]
) -> dict[str, object]:
    return {
        "id": field_id,
        "name": name,
        "type": field_type,
        "custom": custom,
        "readOnly": read_only,
        "required": False,
        **extra,
    }


def _definitions(
    rows: Iterable[tuple[str, str, str, Mapping[str, object]]], *, custom: bool
) -> list[Mapping[str, object]]:
    return [_definition(*row[:3], custom=custom, read_only=False, extra=row[3]) for row in rows]


SYSTEM_FIELDS: list[Mapping[str, object]] = [
    *_definitions(_WRITABLE_SYSTEM, custom=False),
    *(_definition(*row, custom=False, read_only=True, extra={}) for row in _READ_ONLY_SYSTEM),
]
"""``ContactField`` objects that every account of the sandbox has."""

CUSTOM_FIELDS: list[Mapping[str, object]] = _definitions(_CUSTOM, custom=True)
"""``ContactField`` objects of the default custom fields. A file of fields replaces them."""
