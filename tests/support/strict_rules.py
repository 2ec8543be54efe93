"""What the API's documents say of a contact request, read a second time and strictly.

Shares no code with the package or its sandbox: two readings that agree are worth more than one. Sources: API
reference "patch-contact" and the resources "ContactPatch", "ContactPatchByExternalId", "ContactField" and
"HttpUnprocessableEntityError"; help centre 360015491240 (field types) and 360014589899 (phones).
"""

from __future__ import annotations

import datetime
import json
import re
import unicodedata
from typing import Any

from tests.support import catalogue

_PERCENT = re.compile(rb"%([0-9A-Fa-f]{2})")
_UNRESERVED = re.compile(rb"(?:[A-Za-z0-9._~-]|%[0-9A-Fa-f]{2})+")  # RFC 3986, and no character left in doubt
_ATOM = r"[^\s@\"(),:;<>\[\\\]\x00-\x20\x7f]+"
_QUOTED = r'"(?:[^"\\\r\n]|\\.)+"'
_LABEL = r"[^\s@\"(),./:;<>\[\\\]\x00-\x20\x7f]+"  # of a domain: never empty, and no path
_EMAIL = re.compile(rf"(?:{_QUOTED}|{_ATOM})@{_LABEL}(?:\.{_LABEL})+")
# "ISO 8601" without more, so seconds and an offset may be missing; but no week dates and no basic form.
_DATE = re.compile(r"\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:\d\d)?)?", re.ASCII)
_PHONE = re.compile(r"\+[1-9]\d{1,14}", re.ASCII)


def _field(field_id: str, kind: str, options: str = "", **more: Any) -> dict[str, Any]:
    """A definition as the resource "ContactField" documents it."""
    field: dict[str, Any] = {"id": field_id, "name": field_id.strip("_").capitalize(), "type": kind}
    field |= {"custom": not field_id.startswith("_"), "readOnly": False, "required": False}
    if options:
        field["options"] = [{"id": option, "label": option.upper()} for option in options.split()]
    return field | more


FIELDS = [
    _field("_email", "email", readOnly=True),
    _field("_name", "text"),
    _field("_surname", "text"),
    _field("_birthdate", "date"),
    _field("_mobilePhone", "phone", defaultCountryCode="34"),
    _field("_points", "integer"),
    _field("_emailStatus", "radio", "active bounced paused banned"),
    _field("_mobilePhoneStatus", "radio", "active bounced paused"),
    _field("_newsletterSubscriptionStatus", "radio", "subscribed unsubscribed none"),
    _field("_smsSubscriptionStatus", "radio", "subscribed unsubscribed none"),
    _field("_createdAt", "date", readOnly=True),
    _field("tier", "text", maxLength=5000),
    _field("segment", "radio", "new regular lapsed"),
    _field("vip", "boolean", required=True, defaultValue="false"),
    _field("spent", "decimal", minValue=-1e9, maxValue=1e9),
    _field("visits", "integer", minValue=0, maxValue=10_000_000),
    _field("interests", "checkbox", "shoes hats books", required=True, defaultValue="shoes"),
    _field("last_visit", "date"),
    _field("work_email", "email"),
]
"""The account's fields: the system's, some read-only ones, and one custom field of each type."""
_BY_ID = {field["id"]: field for field in FIELDS}
NO_KEY = ""
"""In place of a key that cannot be read."""


def decoded_segment(raw: bytes) -> tuple[str, list[str]]:
    """A path segment decoded exactly once, byte by byte, then as UTF-8."""
    wrong = [] if _UNRESERVED.fullmatch(raw) else ["contact key is not percent-encoded whole"]
    plain = _PERCENT.sub(lambda match: bytes([int(match[1], 16)]), raw)
    try:
        return plain.decode("utf-8"), wrong
    except UnicodeDecodeError:
        return NO_KEY, [*wrong, "contact key is not UTF-8"]


def is_email(key: str) -> bool:
    """Local part (plain or quoted), one @, a domain with a dot, at most 254 characters that can be seen."""
    return len(key) <= 254 and key.isprintable() and _EMAIL.fullmatch(key) is not None


def is_external_id(key: str) -> bool:
    """1 to 50 characters that can be seen, none of them at an end a blank."""
    return 0 < len(key) <= 50 and key.isprintable() and key == key.strip()


def is_phone(text: str) -> bool:
    """E.164 with its plus: at most 15 digits; no document names a least number."""
    return _PHONE.fullmatch(text) is not None


def one_spelling(key: str, by: str) -> str:
    """What two spellings of one contact key have in common: an e-mail's case and the composition of its accents.

    Nothing else, as a fold of cases would have it: strasse and straße are two people.
    """
    if by != "email":
        return key
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", key).lower())


def parsed_object(content: bytes) -> tuple[dict[str, Any] | None, list[str]]:
    """A JSON object as RFC 8259 has it: UTF-8, no NaN, no name twice."""
    wrong: list[str] = []

    def constant(name: str) -> None:
        wrong.append(f"body holds {name}, which is not JSON")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in pairs}) != len(pairs):
            wrong.append("body names a property twice")
        return dict(pairs)

    try:
        body = json.loads(content.decode("utf-8"), parse_constant=constant, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        return None, [f"body is not JSON in UTF-8: {type(error).__name__}"]
    if not isinstance(body, dict):
        return None, [*wrong, f"body is no JSON object but {type(body).__name__}"]
    return body, wrong


def property_errors(body: dict[str, Any], by: str, fields: list[dict[str, Any]] | None) -> list[dict[str, str]]:
    """``validationErrors`` of a patch.

    :param by: ``email``, ``newer_email`` (``/contacts/email/``) or ``external_id``: the newer two set the other key.
    :param fields: of the account, if they are not :data:`FIELDS`.
    """
    errors = []
    by_id = None if fields is None else {field["id"]: field for field in fields}
    for name, value in body.items():
        reason = _refusal(name, value, by) if by_id is None else _refusal_of_a_catalogue(by_id, name, value, by)
        if reason:
            errors.append({"name": name, "path": "/" + name.replace("~", "~0").replace("/", "~1"), "reason": reason})
    return errors


def _refusal(name: str, value: Any, by: str) -> str | None:
    if name == "_externalId" and _may_be_set(name, by):
        return None if value is None else _refusal_of_an_id(value)
    field = _BY_ID.get(name)
    if field is None:
        return "is not a property of a contact"
    if field["readOnly"] and not _may_be_set(name, by):
        return "is read-only"
    if value is None:  # no document says what it does: as an assumption, it empties what may be empty
        return "is never null" if field["required"] or field["type"] in ("boolean", "checkbox") else None
    return None if _has_type(value, field["type"]) and _is_within(value, field) else f"must be {field['type']}"


def _refusal_of_a_catalogue(by_id: dict[str, dict[str, Any]], name: str, value: Any, by: str) -> str | None:
    if _may_be_set(name, by) and value is not None:
        if by == "newer_email":
            return _refusal_of_an_id(value)
        return None if catalogue.is_email(value) else "no e-mail address"
    if _may_be_set(name, by):
        return None
    return catalogue.refusal(by_id.get(name), value)


def _may_be_set(name: str, by: str) -> bool:
    """Whether a patch may set it, although the list of fields calls it read-only."""
    return (name, by) in (("_email", "external_id"), ("_externalId", "newer_email"))


def _refusal_of_an_id(value: Any) -> str | None:
    return None if isinstance(value, str) and is_external_id(value) else "is no external id"


def _has_type(value: Any, kind: str) -> bool:
    if kind == "boolean":
        return isinstance(value, bool)
    if kind == "integer":  # 1.0 is no integer to a reader that keeps the two apart
        return isinstance(value, int) and not isinstance(value, bool)
    if kind == "decimal":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind == "checkbox":
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    if not isinstance(value, str) or "\0" in value:  # a text with NUL is none to a database, nor to a CSV
        return False
    if kind == "date":
        return _is_date(value)
    if kind == "email":
        return is_email(value)
    return is_phone(value) if kind == "phone" else True


def _is_within(value: Any, field: dict[str, Any]) -> bool:
    if "options" in field:
        chosen = value if isinstance(value, list) else [value]
        return len(set(chosen)) == len(chosen) and set(chosen) <= {option["id"] for option in field["options"]}
    if "minValue" in field:
        return field["minValue"] <= value <= field["maxValue"]
    return len(value) <= field["maxLength"] if "maxLength" in field else True


def _is_date(value: str) -> bool:
    match = _DATE.fullmatch(value)
    try:
        return match is not None and bool(datetime.datetime.fromisoformat(value))
    except ValueError:
        return False
