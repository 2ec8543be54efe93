"""Checks of the demo's outcome. What is expected is computed from the warehouse, not taken from the provider."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo import nights, warehouse
from demo.airflow_home import Run
from demo.warehouse import SUBSCRIPTION, Row

# What the sandbox adds to a contact by itself, and the values of required fields that nobody has set.
_ADDED = ("id", "_email", "_isAnonymous", "_createdAt", "_updatedAt")
_DEFAULTS = {"interests": [], "vip": False}
MOST_SENT_TWICE = 8 + 50
"""After a kill: the requests in flight, and one batch of the journal (docs/journal.md)."""
_FEW_REQUESTS = 20

Contacts = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Outcome:
    """What there is to check.

    :param first: the first night.
    :param resumed: the second attempt of the night in which the task was killed.
    :param quiet: the night with six changed rows.
    :param wedding: the night after the subscriber's wedding.
    :param imported: the import.
    :param refused: the run with the wrong key.
    :param patches: by act, how many PATCH requests the sandbox has counted: ``killed``, ``resumed``, ``quiet``,
        ``wedding``, ``imported``.
    :param customers: the table of the first night.
    :param customers_at_end: the table of the last one.
    :param answers: the survey.
    :param after_kill: what the sandbox held when the task had been killed and its last requests were carried out, by
        e-mail.
    :param after_resume: what it held once the task had run again.
    :param contacts: what it holds at the end.
    :param faults_struck: how often each fault came about.
    :param log: Airflow's whole log.
    :param secrets: the secret parts of the API keys, the refused one's too.
    """

    first: Run
    resumed: Run
    quiet: Run
    wedding: Run
    imported: Run
    refused: Run
    patches: Mapping[str, int]
    customers: Sequence[Row]
    customers_at_end: Sequence[Row]
    answers: Sequence[Row]
    after_kill: Contacts
    after_resume: Contacts
    contacts: Contacts
    faults_struck: Sequence[int]
    log: str
    secrets: Sequence[str]

    @property
    def green(self) -> Sequence[Run]:
        """The runs that must succeed."""
        return (self.first, self.resumed, self.quiet, self.wedding, self.imported)

    @property
    def arrived_before_kill(self) -> int:
        """How many contacts had the campaign's points before the second attempt."""
        return with_campaign_points(self.after_kill)

    @property
    def sent_twice(self) -> int:
        """How many requests of the night with the kill were for contacts that had already arrived."""
        return self.patches["killed"] + self.patches["resumed"] - nights.CAMPAIGN


@dataclass(frozen=True)
class Result:
    """One check: what is expected, in words, and whether it holds."""

    words: str
    holds: bool


def check(outcome: Outcome) -> list[Result]:
    """All checks."""
    return [
        Result(
            f"Connectif holds the good rows of all nights, value by value: {len(outcome.contacts):,} contacts",
            held(outcome.contacts) == expected_at_end(outcome.customers_at_end, outcome.answers),
        ),
        *_first_night(outcome),
        *_killed_night(outcome),
        *_journal(outcome),
        *_others(outcome),
    ]


def _first_night(outcome: Outcome) -> list[Result]:
    counts = counts_of(outcome.customers)
    return [
        Result(
            "every bad row was refused: by the provider before it was sent, or by Connectif",
            _is_accounted(outcome.first, outcome.customers) and _is_accounted(outcome.imported, outcome.answers),
        ),
        Result(
            "each invalid row, and each contact that was rejected, is in the rejects file of the first night",
            _lines(outcome.first) == counts["invalid"] + counts["rejected"],
        ),
        Result(
            "a 503, a dropped connection, a 429 and a used-up window cost no row",
            all(struck == 1 for struck in outcome.faults_struck) and outcome.first.summary["waited_s"] > 0,
        ),
    ]


def _killed_night(outcome: Outcome) -> list[Result]:
    arrived, twice = outcome.arrived_before_kill, outcome.sent_twice
    return [
        Result(
            f"{arrived} of {nights.CAMPAIGN} changes arrived by the process that was killed; the second attempt lost "
            "none",
            0 < arrived < nights.CAMPAIGN
            and with_campaign_points(outcome.after_resume) == nights.CAMPAIGN
            and outcome.resumed.summary["tries"] == 2,
        ),
        Result(
            f"after the kill {twice} requests were sent again; the journal promises at most {MOST_SENT_TWICE}",
            0 <= twice <= MOST_SENT_TWICE and outcome.patches["resumed"] < nights.CAMPAIGN,
        ),
    ]


def _journal(outcome: Outcome) -> list[Result]:
    quiet, wedding = outcome.quiet, outcome.wedding
    her = outcome.contacts.get(nights.subscriber(outcome.customers).email, {})
    return [
        Result(
            f"the quiet night sent {nights.MOVED} requests for {nights.MOVED} changed rows, and none for the others",
            outcome.patches["quiet"] == nights.MOVED and quiet.summary["updated"] == nights.MOVED,
        ),
        Result(
            f"{nights.SUBSCRIBER} has her new surname, and stays unsubscribed",
            (her.get("_surname"), her.get(SUBSCRIPTION)) == (nights.NEW_SURNAME, "unsubscribed")
            and wedding.summary["consent_kept"] == 1
            and outcome.patches["wedding"] == 1,
        ),
    ]


def _others(outcome: Outcome) -> list[Result]:
    imported, refused = outcome.imported, outcome.refused
    emails = {row.values["email"].strip() for row in (*outcome.customers, *outcome.answers) if "@" in _email(row)}
    log = outcome.log.casefold()
    return [
        Result(
            f"the import brought {imported.summary['imported']} contacts in {imported.summary['requests']} requests",
            imported.summary["imported"] == counts_of(outcome.answers)["delivered"]
            and imported.summary["requests"] <= _FEW_REQUESTS
            and outcome.patches["imported"] == 0,
        ),
        Result(
            "all runs with the right key are green: the bad rows are within the failure budgets",
            all(run.state == "success" for run in outcome.green),
        ),
        Result(
            f"the wrong key failed the task at attempt 1 of {refused.may_try}, and changed no contact",
            (refused.state, refused.tries) == ("failed", 1) and _delivered(refused) == 0 and "401" in refused.failure,
        ),
        Result(
            "Airflow's log has no API key and no contact's e-mail address",
            not any(word.casefold() in log for word in (*outcome.secrets, *emails)),
        ),
    ]


def expected(*tables: Sequence[Row]) -> dict[str, dict[str, Any]]:
    """What the sandbox must hold once the tables are delivered one after the other, in the form of :func:`held`."""
    contacts = warehouse.expected_contacts(*tables)
    return {email: {**_DEFAULTS, **properties} for email, properties in contacts.items()}


def expected_at_end(customers: Sequence[Row], answers: Sequence[Row]) -> dict[str, dict[str, Any]]:
    """What the sandbox must hold at the end: as the tables have it, and one person has unsubscribed."""
    contacts = expected(customers, answers)
    contacts[nights.subscriber(customers).email.casefold()][SUBSCRIPTION] = "unsubscribed"
    return contacts


def held(contacts: Contacts) -> dict[str, dict[str, Any]]:
    """The sandbox's contacts by e-mail in small letters, less what the sandbox itself adds to a contact."""
    return {
        email.casefold(): {name: value for name, value in contact.items() if name not in _ADDED}
        for email, contact in contacts.items()
    }


def with_campaign_points(contacts: Contacts) -> int:
    """How many contacts have the points of the campaign."""
    return sum(contact.get("_points", 0) >= nights.CAMPAIGN_POINTS for contact in contacts.values())


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
    return int(run.summary["created"] + run.summary["updated"] + run.summary.get("imported", 0))


def _lines(run: Run) -> int:
    with Path(run.summary["rejects_path"]).open(encoding="utf-8") as rejects:
        return sum(1 for _ in rejects)


def _email(row: Row) -> str:
    return row.values["email"] or ""
