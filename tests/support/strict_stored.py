"""How the strict server may store and show other values than it was sent: what no document rules out.

It shares no code with the package. ``stores`` changes a contact for good, ``shows`` only the response to a PATCH.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from typing import Any

from tests.support import strict_rules as rules

ZONE = datetime.timedelta(hours=2)
"""East of Greenwich: midnight there is 22:00 of the day before."""
PAGE = b"<!doctype html><html><body>Please sign in.</body></html>"
SOMEBODY = "somebody.else@example.com"

Properties = dict[str, Any]

# The bodies "ContactPatch" and "ContactPatchByExternalId"; only the first one has custom fields.
_SYSTEM = {
    *("_name", "_surname", "_birthdate", "_mobilePhone", "_points", "_emailStatus", "_mobilePhoneStatus"),
    *("_newsletterSubscriptionStatus", "_smsSubscriptionStatus"),
}


def stored(stores: str, body: Properties, by: str) -> Properties:
    """What is kept of a patch.

    :param stores: a name in :data:`STORES`.
    :param by: ``email`` or ``external_id``.
    """
    return STORES[stores](body, by)


def shown(shows: str, contact: Properties, by: str) -> tuple[bytes, str]:
    """The body of the response to a PATCH, and its content type.

    :param shows: ``contact``, ``id``, ``nothing``, ``empty`` (``{}``), ``page`` (HTML) or ``another`` contact.
    """
    if shows == "nothing":
        return b"", ""
    if shows == "page":
        return PAGE, "text/html"
    if shows == "another":
        contact = contact | {"_email" if by == "email" else "_externalId": SOMEBODY, "_name": "Somebody"}
    if shows == "id":
        contact = {"id": contact["id"]}
    return json.dumps({} if shows == "empty" else contact).encode(), "application/json; charset=utf-8"


def documented(body: Properties, by: str) -> Properties:
    """Only what the body of this path documents and the account has; the rest is ignored without a word."""
    kept = _SYSTEM | ({field["id"] for field in rules.FIELDS if field["custom"]} if by == "email" else {"_email"})
    return {name: value for name, value in body.items() if name in kept}


def _by_type(changes: dict[str, Callable[[Any], Any]]) -> Callable[[Properties, str], Properties]:
    kinds = {field["id"]: field["type"] for field in rules.FIELDS}

    def change(body: Properties, by: str) -> Properties:
        return {name: changes.get(kinds.get(name, ""), _same)(value) for name, value in body.items()}

    return change


def _same(value: Any) -> Any:
    return value


def _moment(value: str) -> datetime.datetime:
    moment = datetime.datetime.fromisoformat(value)
    return moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)


def _text(moment: datetime.datetime) -> str:
    """As JavaScript writes a moment."""
    return moment.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


STORES: dict[str, Callable[[Properties, str], Properties]] = {
    "as sent": lambda body, by: body,
    "documented": documented,
    "upper case": _by_type({"text": str.upper}),
    "cut": _by_type({"text": lambda value: value[:3]}),
    "day before": _by_type({"date": lambda value: _text(_moment(value) - ZONE)}),
    "other forms": _by_type(
        {
            "date": lambda value: _text(_moment(value)),
            "phone": lambda value: f"{value[:3]} {value[3:6]} {value[6:]}",
            "email": lambda value: value.partition("@")[0] + "@" + value.partition("@")[2].upper(),
            "integer": str,
            "decimal": lambda value: f"{value:.6f}",
            "boolean": int,
            "checkbox": lambda value: "|".join(reversed(value)),
            "radio": lambda value: value.upper(),  # the label
        }
    ),
}
"""``documented`` ignores unknown properties instead of refusing them; ``other forms`` means the same values."""
