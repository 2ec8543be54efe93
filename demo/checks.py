"""Whether the demo came out as it must. What must be is worked out from the warehouse, not from the provider."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo import warehouse
from demo.airflow_home import Run
from demo.warehouse import Row

# What the sandbox adds to a contact by itself, and the values of required fields that nobody has set.
_ADDED = ("id", "_email", "_isAnonymous", "_createdAt", "_updatedAt")
_DEFAULTS = {"interests": [], "vip": False}


@dataclass(frozen=True)
class Outcome:
    """What there is to check.

    :param runs: the deliveries, in order.
    :param customers: the table of the first run.
    :param answers: the table of the second run.
    :param contacts: what the sandbox holds, by e-mail.
    :param faults_struck: how often each fault came about.
    :param log: Airflow's whole log.
    :param secrets: the secret parts of the API keys, the refused one's too.
    """

    runs: Sequence[Run]
    customers: Sequence[Row]
    answers: Sequence[Row]
    contacts: Mapping[str, Mapping[str, Any]]
    faults_struck: Sequence[int]
    log: str
    secrets: Sequence[str]


@dataclass(frozen=True)
class Result:
    """One thing that must be so, in words, and whether it is."""

    words: str
    holds: bool


def check(outcome: Outcome) -> list[Result]:
    """Everything that must be so."""
    from_sql, from_task, refused = outcome.runs
    customers = counts_of(outcome.customers)
    emails = {row.values["email"].strip() for row in (*outcome.customers, *outcome.answers) if "@" in _email(row)}
    log = outcome.log.casefold()
    return [
        Result(
            f"Connectif holds the good rows, value by value: {len(outcome.contacts)} contacts",
            held(outcome.contacts) == expected(outcome.customers, outcome.answers),
        ),
        Result(
            "every bad row was found: before sending where the provider can tell, else by Connectif",
            _is_accounted(from_sql, outcome.customers) and _is_accounted(from_task, outcome.answers),
        ),
        Result(
            "each invalid row, and each contact that was refused, is in the rejects file of the first run",
            _lines(from_sql) == customers["invalid"] + customers["rejected"],
        ),
        Result(
            "503, dropped connection, 429 and a spent window cost no row",
            all(struck == 1 for struck in outcome.faults_struck) and from_sql.summary["waited_s"] > 0,
        ),
        Result(
            "both tasks are green, as the bad rows are within their failure budgets",
            (from_sql.state, from_task.state) == ("success", "success"),
        ),
        Result(
            f"the refused key failed the task at its first try of {refused.may_try}, and changed no contact",
            (refused.state, refused.tries) == ("failed", 1) and _delivered(refused) == 0 and "401" in refused.failure,
        ),
        Result(
            "no API key and no e-mail address of a contact stands in Airflow's log",
            not any(word.casefold() in log for word in (*outcome.secrets, *emails)),
        ),
    ]


def expected(*tables: Sequence[Row]) -> dict[str, dict[str, Any]]:
    """What the sandbox must hold once the tables are delivered one after the other, in the form of :func:`held`."""
    contacts = warehouse.expected_contacts(*tables)
    return {email: {**_DEFAULTS, **properties} for email, properties in contacts.items()}


def held(contacts: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The sandbox's contacts by e-mail in small letters, less what the sandbox itself adds to a contact."""
    return {
        email.casefold(): {name: value for name, value in contact.items() if name not in _ADDED}
        for email, contact in contacts.items()
    }


def _is_accounted(run: Run, table: Sequence[Row]) -> bool:
    """Whether the counts of a run are those that the table must lead to."""
    counts = counts_of(table)
    delivered = counts.pop("delivered")
    return all(run.summary[name] == count for name, count in counts.items()) and _delivered(run) == delivered


def counts_of(table: Sequence[Row]) -> dict[str, int]:
    """The counts that a table must lead to: of rows where they are invalid or merged, else of contacts."""
    refused = [row for row in table if row.flaw is not None and row.flaw.outcome == "rejected"]
    good = [row for row in table if row.flaw is None]
    return {
        "read": len(table),
        "invalid": len(table) - len(good) - len(refused),
        "rejected": warehouse.contacts(refused),
        "merged": len(good) + len(refused) - warehouse.contacts([*good, *refused]),
        "delivered": warehouse.contacts(good),
    }


def _delivered(run: Run) -> int:
    return int(run.summary["created"] + run.summary["updated"])


def _lines(run: Run) -> int:
    with Path(run.summary["rejects_path"]).open(encoding="utf-8") as rejects:
        return sum(1 for _ in rejects)


def _email(row: Row) -> str:
    return row.values["email"] or ""
