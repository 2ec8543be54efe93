"""What is wrong with the bad rows of the demo's warehouse: each kind once, as warehouses know it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal


def _refusal(key: str, status: int, title: str, detail: str) -> dict[str, Any]:
    body = json.dumps({"status": status, "title": title, "detail": detail})
    return {
        "action": {"status": status, "body": body, "headers": {"Content-Type": "application/json"}},
        "match": {"method": "PATCH", "key": key},
    }


@dataclass(frozen=True)
class Flaw:
    """One way for a row to be bad.

    :param kind: in words.
    :param column: the one that holds it.
    :param value: what it holds.
    :param outcome: ``invalid`` where the provider finds out before sending, ``rejected`` where Connectif does.
    """

    kind: str
    column: str
    value: Any
    outcome: Literal["invalid", "rejected"]


CUSTOMER_FLAWS = (
    Flaw("no e-mail", "email", None, "invalid"),
    Flaw("platinum is no loyalty tier", "loyalty_tier", "platinum", "invalid"),
    Flaw("blank e-mail", "email", "   ", "invalid"),
    Flaw("phone without its country code", "phone", "07700 900123", "invalid"),
    Flaw("city longer than the field takes", "city", "Llanfair" + "pwllgwyngyll" * 7, "invalid"),
    Flaw("e-mail without @", "email", "begona.nunez.example.com", "invalid"),
    Flaw("30 February", "birth_date", "1990-02-30", "invalid"),
    Flaw("asked Connectif to be forgotten", "email", "erased@example.com", "rejected"),
    Flaw("day first, with slashes", "birth_date", "17/05/1990", "invalid"),
    Flaw("e-mail with a space", "email", "mary lou@example.com", "invalid"),
    Flaw("no amount", "lifetime_value", "n/a", "invalid"),
    Flaw("yes is no subscription status", "newsletter", "yes", "invalid"),
    Flaw("half a point", "points", 12.5, "invalid"),
    Flaw("e-mail at a bare host name", "email", "root@intranet", "invalid"),
    Flaw("points that are NaN", "points", "NaN", "invalid"),
    Flaw("address of a role", "email", "postmaster@example.com", "rejected"),
    Flaw("blank phone", "phone", " ", "invalid"),
    Flaw("a word for a date", "last_purchase", "yesterday", "invalid"),
    Flaw("infinite amount", "lifetime_value", float("inf"), "invalid"),
)

ANSWER_FLAWS = (
    Flaw("e-mail without @", "email", "wiremu.example.org", "invalid"),
    Flaw("crypto is no interest", "interests", "sports|crypto", "invalid"),
)

REFUSALS: tuple[dict[str, Any], ...] = (
    _refusal("^erased@", 422, "Unprocessable Entity", "The contact has asked to be forgotten"),
    _refusal("^postmaster@", 400, "Bad Request", "Addresses of roles are not accepted"),
)
"""What only Connectif can know: faults for the sandbox, so that it refuses the rows whose outcome is ``rejected``."""
