"""The demo's warehouse: a few hundred invented customers in SQLite, every eighth of them bad in some way.

The same rows each time. Every row knows what Connectif must hold of it afterwards, worked out here and without
the provider's help, so that the demo and the tests can compare.
"""

from __future__ import annotations

import random
import sqlite3
import unicodedata
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from demo.countries import COUNTRIES, Country
from demo.flaws import ANSWER_FLAWS, CUSTOMER_FLAWS, Flaw

CUSTOMERS = 320
ANSWERS = 48
_ROWS_PER_FLAW = 8
_BY_CUSTOMERS = 20  # each 20th answer is by a customer
_TWICE = 25  # each 25th customer stands in the table once more, with another number of points
_SEED = 20_240_229
_NOT_COMPOSED = str.maketrans("łŁđĐß", "lLdDs")  # letters that Unicode does not take apart

REGIONS = tuple(dict.fromkeys(country.region for country in COUNTRIES))
INTERESTS = ("sports", "music", "travel", "food", "books")

Properties = dict[str, Any]
NEWSLETTER, SUBSCRIPTION = "newsletter", "_newsletterSubscriptionStatus"


@dataclass(frozen=True)
class Row:
    """One row of a table.

    :param values: by column, as SQLite hands them over.
    :param email: the contact key that the values stand for.
    :param properties: what Connectif must hold once the row is delivered.
    :param flaw: what is wrong with it, if anything is; then only a withdrawn subscription of it may arrive.
    """

    values: dict[str, Any]
    email: str
    properties: Properties
    flaw: Flaw | None = None


def customers() -> list[Row]:
    """The rows of the table ``customers``."""
    dice = random.Random(_SEED)
    rows: list[Row] = []
    while len(rows) < CUSTOMERS:
        number = len(rows) + 1
        again = number % _TWICE == 0
        rows.append(_again(dice, number, rows[-9]) if again else _customer(dice, number, dice.choice(COUNTRIES)))
    return _flawed(rows, CUSTOMER_FLAWS, _ROWS_PER_FLAW)


def answers(count: int = ANSWERS) -> list[Row]:
    """The rows of the table ``survey_answers``: some by customers, most by people not known yet."""
    dice = random.Random(_SEED + 1)
    known = [row.email for row in customers() if row.flaw is None]
    emails = [known[n // 5] if n % _BY_CUSTOMERS == 0 else f"guest{n}@example.net" for n in range(count)]
    return _flawed([_answer(dice, email) for email in emails], ANSWER_FLAWS, count // len(ANSWER_FLAWS))


def expected_contacts(*tables: Iterable[Row]) -> dict[str, Properties]:
    """What Connectif must hold once the tables are delivered one after the other, by e-mail.

    Of a bad row only a withdrawn subscription arrives. "none" is what a contact has of whom nothing was said. It is
    sent only where there is nothing else to create the contact with.
    """
    contacts: dict[str, Properties] = {}
    withdrawn = set()
    for row in (row for table in tables for row in table):
        email = row.email.casefold()
        has_key = row.flaw is None or (row.flaw.column not in ("email", NEWSLETTER))
        if has_key and row.properties.get(SUBSCRIPTION) == "unsubscribed":
            withdrawn.add(email)
        if row.flaw is None:
            contacts.setdefault(email, {}).update(row.properties)
    for contact in contacts.values():
        if contact.get(SUBSCRIPTION) == "none" and len(contact) > 1:
            del contact[SUBSCRIPTION]
    for email in withdrawn:
        contacts.setdefault(email, {})[SUBSCRIPTION] = "unsubscribed"
    return contacts


def flaws(rows: Iterable[Row], outcome: str) -> int:
    """How many rows are bad with this outcome."""
    return sum(row.flaw is not None and row.flaw.outcome == outcome for row in rows)


def contacts(rows: Iterable[Row]) -> int:
    """How many contacts the rows are of; rows of one contact become one change."""
    return len({(row.values["email"] or "").strip().casefold() for row in rows})


def create(path: Path, survey: Sequence[Row] | None = None) -> None:
    """Write the warehouse as an SQLite file.

    :param survey: the rows of ``survey_answers``; by default :func:`answers`.
    """
    with closing(sqlite3.connect(path)) as database, database:
        for table, rows in (("customers", customers()), ("survey_answers", survey or answers())):
            columns = list(rows[0].values)
            # Without types SQLite keeps every value as it comes, as a table that grew over the years would.
            database.execute(f"CREATE TABLE {table} ({', '.join(columns)})")
            places = ", ".join("?" * len(columns))
            database.executemany(f"INSERT INTO {table} VALUES ({places})", [list(row.values.values()) for row in rows])


def _customer(dice: random.Random, number: int, country: Country) -> Row:
    first_name, last_name, city = (dice.choice(x) for x in (country.first_names, country.last_names, country.cities))
    phone = _digits(dice, country.phone)
    postal_code = country.postal_code and _digits(dice, country.postal_code)
    born, birthdate = _moment(dice, date(1950, 1, 1), 20_000)
    bought, last_purchase = _moment(dice, date(2024, 1, 1), 700)
    points, value = dice.randrange(5_000), dice.randrange(90_000) / 100
    newsletter = dice.choice(("subscribed", "unsubscribed", "none", None))
    tier = dice.choice(("bronze", "silver", "gold", None))
    email = _email(dice, first_name, last_name, number)
    # Column, what SQLite hands over, property, and what Connectif must hold.
    cells: tuple[tuple[str, Any, str | None, Any], ...] = (
        ("customer_id", number, None, None),
        ("email", email, None, None),
        ("first_name", first_name, "_name", first_name),
        ("last_name", last_name, "_surname", last_name),
        ("phone", _sometimes(dice, dice.choice((phone, phone, _bare(phone)))), "_mobilePhone", _bare(phone)),
        # Midnight keeps its day of the calendar, wherever it was written down.
        ("birth_date", _sometimes(dice, born), "_birthdate", birthdate),
        (NEWSLETTER, newsletter, SUBSCRIPTION, newsletter),
        ("points", _sometimes(dice, dice.choice((points, float(points), str(points)))), "_points", points),
        ("city", city, "city", city),
        ("country", country.code, "country", country.code),
        ("region", country.region, None, None),
        ("postal_code", _as_number(postal_code), "postal_code", postal_code),
        ("loyalty_tier", tier, "loyalty_tier", tier),
        ("lifetime_value", _sometimes(dice, dice.choice((value, value, str(value)))), "lifetime_value", value),
        ("last_purchase", _sometimes(dice, bought), "last_purchase", last_purchase),
    )
    return Row(
        values={column: held for column, held, _, _ in cells},
        email=email.strip(),
        properties={name: wanted for _, held, name, wanted in cells if name and held is not None},
    )


def _again(dice: random.Random, number: int, earlier: Row) -> Row:
    """A customer's second row: the e-mail in other letters, and more points."""
    points = dice.randrange(5_000, 9_000)
    values = {**earlier.values, "customer_id": number, "email": earlier.email.upper(), "points": points}
    return Row(values, earlier.email.upper(), {**earlier.properties, "_points": points})


def _answer(dice: random.Random, email: str) -> Row:
    interests = dice.sample(INTERESTS, dice.randrange(4))
    vip = dice.random() < 0.2
    values = {"email": email, "interests": "|".join(interests) or None, "vip": int(vip)}
    return Row(values, email, {"interests": interests, "vip": vip})


def _flawed(rows: Sequence[Row], kinds: Sequence[Flaw], every: int) -> list[Row]:
    """The rows, of which each ``every``-th has one of the flaws, in turn."""
    result = list(rows)
    for turn, index in enumerate(range(every // 2, len(rows), every)):
        row, flaw = rows[index], kinds[turn % len(kinds)]
        result[index] = Row({**row.values, flaw.column: flaw.value}, row.email, row.properties, flaw)
    return result


def _email(dice: random.Random, first_name: str, last_name: str, number: int) -> str:
    latin = [_latin(name) for name in (first_name, last_name)]
    name = ".".join(part for part in latin if part) or "customer"
    name += dice.choice(("", "+news", "+shop&more", "_"))
    address = f"{name}{number}@example.{dice.choice(('com', 'org', 'net'))}"
    return dice.choice((address, address, address, address.title(), f" {address} "))


def _latin(name: str) -> str:
    letters = unicodedata.normalize("NFKD", name.translate(_NOT_COMPOSED))
    return letters.encode("ascii", "ignore").decode().replace(" ", "").lower().strip("-'")


def _moment(dice: random.Random, first: date, days: int) -> tuple[str, str]:
    """A date in one of the forms in which SQLite keeps them, and the same as the API wants it."""
    day = (first + timedelta(days=dice.randrange(days))).isoformat()
    return dice.choice(
        (
            (day, day),
            (f"{day} 00:00:00", f"{day}T00:00:00Z"),
            (f"{day} 00:00:00.000000", f"{day}T00:00:00Z"),
            (f"{day}T00:00:00Z", f"{day}T00:00:00Z"),
            (f"{day} 00:00:00+02:00", f"{day}T00:00:00Z"),
        )
    )


def _digits(dice: random.Random, pattern: str) -> str:
    return "".join(str(dice.randrange(10)) if sign == "#" else sign for sign in pattern)


def _as_number(postal_code: str | None) -> str | int | None:
    """A postal code as a column of integers would hold it, where that loses nothing."""
    is_number = postal_code is not None and postal_code.isdigit() and not postal_code.startswith("0")
    return int(postal_code) if postal_code and is_number else postal_code


def _bare(phone: str) -> str:
    return "+" + "".join(sign for sign in phone if sign.isdigit())


def _sometimes(dice: random.Random, value: Any) -> Any:
    """The value, or now and then NULL."""
    return None if dice.random() < 0.1 else value
