"""Validates the properties of a PATCH. A table has one check for each field type.

A check returns the reason of a refusal, for ``validationErrors``; None: the value is valid.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from airflow_provider_connectif.sandbox.catalogue import ContactField, parse_iso_8601

KEY_PROPERTIES = frozenset({"_email", "_externalId"})
"""The two properties that identify a contact."""

EXTERNAL_ID_MAX_LENGTH = 50
_EMAIL_MAX_LENGTH = 254  # assumption: the limit of RFC 5321, because the API documents none

_EMAIL = re.compile(
    r'(?:"(?:\\[^\x00-\x1f]|[^"\\\x00-\x1f])+"|[^\s@"(),:;<>\[\\\]\x00-\x1f]+)'
    r'@[^\s@"(),./:;<>\[\\\]\x00-\x1f]+(?:\.[^\s@"(),./:;<>\[\\\]\x00-\x1f]+)+'
)
_E164 = re.compile(r"\+[1-9][0-9]{1,14}")
_CUSTOM_FIELD_ID = re.compile(r"[A-Za-z][A-Za-z0-9_\-\[\]()]{0,149}")

_UNKNOWN = "unknown property"
_READ_ONLY = "read-only property"
# Assumption: NUL is refused. Most databases refuse it, and a CSV file cannot have it either.
_NUL = "must not have a NUL character"


@dataclass(frozen=True, slots=True)
class PatchRules:
    """The rules of one endpoint of one account.

    ``fields``: the definitions by id. ``body_key``: the key property that the body may set; None: it may set none.
    ``any_fields``: whether custom ids without a definition are accepted. ``custom_fields``: whether custom fields are
    accepted at all. ``null_clears``: whether null empties a property; otherwise null is refused.
    """

    fields: Mapping[str, ContactField]
    body_key: str | None
    any_fields: bool
    custom_fields: bool
    null_clears: bool


def validation_errors(patch: Mapping[str, object], rules: PatchRules) -> list[dict[str, str]]:
    """Return ``[{name, path, reason}]``, an entry for each refused property; ``path`` is a JSON pointer."""
    refused = ((name, _refusal(name, value, rules)) for name, value in patch.items())
    return [validation_error(name, reason) for name, reason in refused if reason is not None]


def validation_error(name: str, reason: str) -> dict[str, str]:
    """Return one entry of ``validationErrors`` for a property of the body."""
    return {"name": name, "path": "/" + name.replace("~", "~0").replace("/", "~1"), "reason": reason}


def is_email(text: str) -> bool:
    """Return whether ``text`` is a full e-mail address.

    The exact rules of Connectif are not known. Assumptions: a quoted local part and letters of any script are valid; a
    domain without a dot, and characters that cannot be seen, are not.
    """
    return len(text) <= _EMAIL_MAX_LENGTH and text.isprintable() and _EMAIL.fullmatch(text) is not None


def is_external_id(text: str) -> bool:
    """Return whether ``text`` can be an external id: 1 to 50 characters.

    Assumption: an id with characters that cannot be seen, or with a blank at an end, is refused, because a reader would
    not see the difference from another id.
    """
    return 0 < len(text) <= EXTERNAL_ID_MAX_LENGTH and text.isprintable() and text == text.strip()


def _refusal(name: str, value: object, rules: PatchRules) -> str | None:
    if name in KEY_PROPERTIES and name != rules.body_key:
        return "cannot be set through this endpoint"
    if name == "id":
        return _READ_ONLY
    contact_field = rules.fields.get(name)
    if contact_field is None:
        return _undefined_refusal(name, value, rules)
    if contact_field.read_only:
        return _READ_ONLY
    if contact_field.custom and not rules.custom_fields:
        return "custom fields are not accepted by this endpoint"
    if value is None:
        return _null_refusal(contact_field, rules)
    if name == "_externalId" and isinstance(value, str) and not is_external_id(value):
        return f"must have 1 to {EXTERNAL_ID_MAX_LENGTH} visible characters, and no blank at an end"
    return CHECKS[contact_field.type](contact_field, value)


def _undefined_refusal(name: str, value: object, rules: PatchRules) -> str | None:
    if not rules.any_fields or not rules.custom_fields or not _CUSTOM_FIELD_ID.fullmatch(name):
        return _UNKNOWN
    if isinstance(value, float):
        return None if math.isfinite(value) else "must be a finite number"
    if any("\0" in text for text in (value if isinstance(value, list) else [value]) if isinstance(text, str)):
        return _NUL
    if value is None or isinstance(value, str | int) or _is_text_list(value):
        return None
    return "must be a text, a number, a boolean or a list of texts"


def _null_refusal(contact_field: ContactField, rules: PatchRules) -> str | None:
    # Assumption: null clears a property, unless the help centre says that the property always has a value.
    if contact_field.required or contact_field.type in ("boolean", "checkbox"):
        return "must not be null, the field is required"
    return None if rules.null_clears else "must not be null"


def _check_text(contact_field: ContactField, value: object) -> str | None:
    if not isinstance(value, str):
        return "must be a text"
    if "\0" in value:
        return _NUL
    if not value and contact_field.required:
        return "must not be empty, the field is required"
    if contact_field.max_length is not None and len(value) > contact_field.max_length:
        return f"must have at most {contact_field.max_length} characters"
    return None


def _check_email(contact_field: ContactField, value: object) -> str | None:
    if isinstance(value, str) and is_email(value):
        return None
    return "must be an e-mail address"


def _check_phone(contact_field: ContactField, value: object) -> str | None:
    # Assumption: a national number is refused even with a defaultCountryCode. That prefix is documented only for
    # imports and the user interface.
    if isinstance(value, str) and _E164.fullmatch(value):
        return None
    return "must be a phone number in E.164 format"


def _check_integer(contact_field: ContactField, value: object) -> str | None:
    # Assumption: 5.0 is not an integer, since the documentation asks for a JSON integer.
    if isinstance(value, bool) or not isinstance(value, int):
        return "must be an integer"
    return _range_refusal(contact_field, value)


def _check_decimal(contact_field: ContactField, value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "must be a number"
    if isinstance(value, float) and not math.isfinite(value):
        return "must be a finite number"
    return _range_refusal(contact_field, value)


def _range_refusal(contact_field: ContactField, value: float) -> str | None:
    if contact_field.min_value is not None and value < contact_field.min_value:
        return f"must be at least {contact_field.min_value:g}"
    if contact_field.max_value is not None and value > contact_field.max_value:
        return f"must be at most {contact_field.max_value:g}"
    return None


def _check_boolean(contact_field: ContactField, value: object) -> str | None:
    return None if isinstance(value, bool) else "must be a boolean"


def _check_date(contact_field: ContactField, value: object) -> str | None:
    moment = parse_iso_8601(value) if isinstance(value, str) else None
    if moment is None:
        return "must be an ISO 8601 date"
    if contact_field.min_date is not None and moment < contact_field.min_date:
        return f"must not be before {contact_field.definition['minDate']}"
    if contact_field.max_date is not None and moment > contact_field.max_date:
        return f"must not be after {contact_field.definition['maxDate']}"
    return None


def _check_radio(contact_field: ContactField, value: object) -> str | None:
    if isinstance(value, str) and value in contact_field.option_ids:
        return None
    return f"must be one of {', '.join(sorted(contact_field.option_ids))}"


def _check_checkbox(contact_field: ContactField, value: object) -> str | None:
    if not isinstance(value, list) or not _is_text_list(value):
        return "must be a list of option ids"
    if not contact_field.option_ids.issuperset(value):
        return f"must hold only {', '.join(sorted(contact_field.option_ids))}"
    # Documented for a field's default value only, so for a contact it is an assumption.
    return None if len(set(value)) == len(value) else "must hold each option once"


def _is_text_list(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


CHECKS: Mapping[str, Callable[[ContactField, object], str | None]] = {
    "text": _check_text,
    "email": _check_email,
    "phone": _check_phone,
    "integer": _check_integer,
    "decimal": _check_decimal,
    "boolean": _check_boolean,
    "date": _check_date,
    "radio": _check_radio,
    "checkbox": _check_checkbox,
}
"""The check of a value that is not null, by the field's type."""
