"""Definitions of 150 contact fields, and a judge of what they say: the tests' own reading of the API's documents.

No code is shared with the package, its sandbox or the strict server. Sources: API reference, resources
"ContactField", "ContactFieldCreate" (limits) and "ContactPatch"; help centre 360015491240 (what a type holds) and
360014589899 (phones).
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Any

import phonenumbers


def _options(*pairs: tuple[str, str]) -> dict[str, Any]:
    return {"options": [{"id": option, "label": label} for option, label in pairs]}


_TIERS = _options(("gold", "Gold card"), ("silver", "Silver"), ("none", "—"))
_CROSSED = _options(("1", "2"), ("2", "1"), ("3", "Three"), ("x", "Same"), ("y", "same"), ("Z", "z"), ("z", "Zed"))
_AWKWARD = _options(("a|b", "Both"), ('q"u\\o', "Quoted"), ("{x,y}", "Braces"), ("[j]", "Brackets"), (" pad", "Pad"))
_MANY = _options(*((f"opt-{n}", f"Option Nº {n}") for n in range(120)))
_ALWAYS = {"required": True}
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "text": [{}, {"maxLength": 1}, {"maxLength": 12}, {"maxLength": 5000}, _ALWAYS | {"maxLength": 40}],
    "email": [{}],
    "phone": [{"defaultCountryCode": code} for code in ("34", "1", "44", "39", "54", "351", "49", "7")],
    "integer": [
        {},
        {"minValue": 0},
        {"maxValue": 100},
        {"minValue": -5, "maxValue": 5},
        {"minValue": 7, "maxValue": 7},
    ],
    "decimal": [{}, {"minValue": 0}, {"minValue": -0.5, "maxValue": 99.5}, {"maxValue": 12345678.25}],
    "boolean": [_ALWAYS],
    "date": [
        {},
        {"minDate": "1900-01-01T00:00:00.000Z"},
        {"maxDate": "2030-12-31T23:59:59.999Z"},
        {"minDate": "2020-02-29T00:00:00Z", "maxDate": "2020-03-01T12:30:00Z"},
    ],
    "radio": [_TIERS, _CROSSED, _AWKWARD, _MANY],
    "checkbox": [_ALWAYS | _TIERS, _ALWAYS | _CROSSED, _ALWAYS | _AWKWARD, _ALWAYS | _MANY],
}
"""By type, the limits that its fields have, one variant after the other."""


def _field(field_id: str, kind: str, **more: Any) -> dict[str, Any]:
    fixed = {"id": field_id, "name": field_id.strip("_").replace("_", " ").title(), "type": kind}
    return fixed | {"custom": field_id[0] != "_", "readOnly": False, "required": False, "status": "active"} | more


def catalogue(count: int = 150) -> list[dict[str, Any]]:
    """Definitions: the system's, then custom ones of each type by turns, each variant of it in turn."""
    plain = {name: _options(*((option, option.title()) for option in ids.split())) for name, ids in _STATUSES.items()}
    fields = [
        _field("_email", "email", readOnly=True),
        _field("_name", "text"),
        _field("_surname", "text"),
        _field("_birthdate", "date"),
        _field("_mobilePhone", "phone", defaultCountryCode="34"),
        _field("_points", "integer"),
        *(_field(name, "radio", **options) for name, options in plain.items()),
        _field("_createdAt", "date", readOnly=True),
        _field("_clv", "decimal", readOnly=True),
        _field("score", "decimal", readOnly=True),
        _field("loyalty_tier", "radio", **_TIERS),
    ]
    for n in range(count - len(fields)):
        kind = list(VARIANTS)[n % len(VARIANTS)]
        turn = n // len(VARIANTS)
        fields.append(_field(f"{kind}_{turn:02}", kind, **VARIANTS[kind][turn % len(VARIANTS[kind])]))
    return fields


_STATUSES = {
    "_emailStatus": "active bounced paused banned",
    "_mobilePhoneStatus": "active bounced paused",
    "_newsletterSubscriptionStatus": "subscribed unsubscribed none",
    "_smsSubscriptionStatus": "subscribed unsubscribed none",
}

_LOCAL = r"[^\s@\"(),:;<>\[\\\]\x00-\x20\x7f]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_EMAIL = re.compile(rf'(?:"(?:[^"\\\r\n]|\\.)+"|(?!\.)(?!.*\.\.){_LOCAL}(?<!\.))@(?:{_LABEL}\.)+[A-Za-z][A-Za-z0-9-]*')
_DAY = r"(\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01]))"
_CLOCK = r"(?:T((?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,6})?)(Z|[+-](?:[01]\d|2[0-3]):[0-5]\d))?"
_DATE = re.compile(_DAY + _CLOCK, re.ASCII)
_PHONE = re.compile(r"\+[1-9]\d{6,14}", re.ASCII)


def is_email(text: Any) -> bool:
    """Something of 254 characters at most, with one @ and a domain of ASCII labels that names no number."""
    return isinstance(text, str) and len(text) <= 254 and _EMAIL.fullmatch(text) is not None


def is_phone(text: Any) -> bool:
    """E.164, and of a length that its country uses for whole numbers."""
    if not isinstance(text, str) or not _PHONE.fullmatch(text):
        return False
    try:
        number = phonenumbers.parse(text)
    except phonenumbers.NumberParseException:
        return False
    whole = phonenumbers.is_possible_number_with_reason(number) == phonenumbers.ValidationResult.IS_POSSIBLE
    return whole and phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164) == text


def moment(text: Any) -> float | None:
    """Seconds since the year 1, of a day (its midnight in UTC) or a moment with its offset."""
    match = _DATE.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        return None
    day, clock, zone = match.groups()
    try:
        wall = datetime.fromisoformat(f"{day}T{clock or '00:00:00'}+00:00")
    except ValueError:
        return None
    offset = 0 if zone in (None, "Z") else int(zone[0] + "1") * (int(zone[1:3]) * 3600 + int(zone[4:]) * 60)
    return (wall - datetime(1, 1, 1, tzinfo=UTC)).total_seconds() - offset


def refusal(field: dict[str, Any] | None, value: Any) -> str | None:
    """Why a field does not take a JSON value; ``None`` if it does."""
    if field is None:
        return "no such property"
    if field["readOnly"]:
        return "read-only"
    kind = field["type"]
    if value is None:
        return "never null" if field["required"] or kind in ("boolean", "checkbox") else None
    if kind not in VARIANTS:  # a type that no document names: any JSON that the resource "ContactPatch" has
        texts = isinstance(value, list) and all(isinstance(item, str) for item in value)
        return None if texts or isinstance(value, (str, int, float)) else "no value of a contact"
    if kind == "boolean":
        return None if isinstance(value, bool) else "no boolean"
    if kind in ("integer", "decimal"):
        allowed = int if kind == "integer" else (int, float)
        if isinstance(value, bool) or not isinstance(value, allowed) or not math.isfinite(value):
            return f"no {kind}"
        if isinstance(value, int) and abs(value) >= 2**63:
            return "beyond 64 bits"
        fits = field.get("minValue", -math.inf) <= value <= field.get("maxValue", math.inf)
        return None if fits else "out of bounds"
    options = {option["id"] for option in field.get("options", ())}
    if kind == "checkbox":
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            return "no array of texts"
        return None if len(set(value)) == len(value) and set(value) <= options else "not its options, each once"
    if not isinstance(value, str) or any(c == "\0" or "\ud800" <= c <= "\udfff" for c in value):
        return "no text"
    if kind == "radio":
        return None if value in options else "none of its options"
    if kind == "email":
        return None if is_email(value) else "no e-mail address"
    if kind == "phone":
        return None if is_phone(value) else "no phone number in E.164"
    if kind == "date":
        at = moment(value)
        if at is None:
            return "no ISO 8601 date"
        if "+" in value or "-" in value[10:]:
            return "a moment with an offset, which is another day elsewhere"
        late = "maxDate" in field and at > moment(field["maxDate"])
        return "out of bounds" if late or ("minDate" in field and at < moment(field["minDate"])) else None
    if field["required"] and not value:
        return "required and empty"
    return None if len(value) <= field.get("maxLength", math.inf) else "too long"
