"""Rows a second through mapping and checking, and the ratio to calling the libraries for each value.

Ten properties, one phone and one e-mail among them, all clean. Prints both rates and their ratio, from one run.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import phonenumbers
from email_validator import validate_email

from airflow_provider_connectif.contacts.author_fields import fields_of_author
from airflow_provider_connectif.contacts.mapping import ContactMapping

ROWS = 40_000
ROUNDS = 3
PROPERTIES = {
    "_name": "name",
    "_surname": "surname",
    "_birthdate": "birthdate",
    "_mobilePhone": "mobile",
    "_points": "points",
    "_newsletterSubscriptionStatus": "newsletter",
    "work_email": "work_email",
    "lifetime_value": "lifetime_value",
    "vip": "vip",
    "tier": "tier",
}
DEFINITIONS = fields_of_author(
    {
        "work_email": "email",
        "lifetime_value": {"type": "decimal", "minValue": 0},
        "vip": "boolean",
        "tier": {"type": "radio", "options": [{"id": "gold", "label": "Gold"}, {"id": "silver", "label": "Silver"}]},
    }
)
MAPPING = ContactMapping(properties=PROPERTIES, definitions=DEFINITIONS)


def rows(count: int = ROWS) -> list[dict[str, Any]]:
    return [
        {
            "email": f"person.{n}@example.com",
            "name": "Ana María" if n % 3 else "Ana",
            "surname": f"García {n}",
            "birthdate": date(1950 + n % 50, 1 + n % 12, 1 + n % 28),
            "mobile": f"+34{600000000 + n}",
            "points": n,
            "newsletter": "subscribed",
            "work_email": f"work.{n}@example.org",
            "lifetime_value": Decimal(n) / 100,
            "vip": n % 2 == 0,
            "tier": "gold",
        }
        for n in range(count)
    ]


def with_the_libraries(number: int, row: dict[str, Any]) -> Any:
    """The same, but each e-mail and phone goes through its library."""
    patch = MAPPING.patch(number, row)
    for column in ("email", "work_email"):
        validate_email(row[column], check_deliverability=False)
    phone = phonenumbers.parse(row["mobile"], None)
    if not phonenumbers.is_possible_number(phone):
        raise ValueError
    phonenumbers.format_number(phone, phonenumbers.PhoneNumberFormat.E164)
    return patch


def rate(function: Callable[[int, dict[str, Any]], Any], sample: list[dict[str, Any]]) -> float:
    best = 0.0
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for number, row in enumerate(sample, 1):
            function(number, row)
        best = max(best, len(sample) / (time.perf_counter() - started))
    return best


def main() -> int:
    sample = rows()
    ours = rate(MAPPING.patch, sample)
    libraries = rate(with_the_libraries, sample[: ROWS // 8])
    print(f"mapping and checking: {ours:,.0f} rows/s; libraries called for each value: {libraries:,.0f} rows/s")
    print(f"ratio {ours / libraries:.1f} (goals: 40,000 rows/s, ratio 3)")
    return 0 if ours >= 40_000 and ours >= 3 * libraries else 1


if __name__ == "__main__":
    sys.exit(main())
