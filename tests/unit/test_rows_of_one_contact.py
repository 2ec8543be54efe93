"""Random nights of a few contacts with several rows each, valid, invalid and rejected; some nights end early."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from airflow_provider_connectif.api.errors import error_class
from airflow_provider_connectif.api.quota import Quota
from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.contacts.resource import ContactResource
from airflow_provider_connectif.journal.confirmation import Confirmation
from airflow_provider_connectif.journal.pending import PendingChanges
from airflow_provider_connectif.journal.shown_keys import ShownKeys
from airflow_provider_connectif.journal.store import Journal
from airflow_provider_connectif.records.changes import Patch
from airflow_provider_connectif.records.outcomes import Outcome, Settled
from airflow_provider_connectif.records.raw_rows import RawBatch
from airflow_provider_connectif.records.rows import RowBatch
from airflow_provider_connectif.reporting.rejects import Rejects
from airflow_provider_connectif.reporting.report import Report
from airflow_provider_connectif.reporting.verdict import Verdict
from airflow_provider_connectif.runs.comparison import Comparison
from airflow_provider_connectif.runs.prepare import Preparer
from tests.unit.conftest import OpenJournal
from tests.unit.test_pending import Decoded
from tests.unit.test_prepare import NoLog

NEWS = "_newsletterSubscriptionStatus"
RANKS = ("unsubscribed", "none", "subscribed")
KEYS = tuple(f"user{number}@example.com" for number in range(3))
INVALID, REJECTED = "many", "Rejected"
CONTACTS = ContactResource(ContactMapping())
COLUMNS = ("email", "_name", "_points", NEWS)
Row = tuple[str, str, str, str]
Account = dict[str, dict[str, Any]]
"""Properties by contact."""


class Nights:
    """A source that changes from night to night, and the account to which it is delivered."""

    def __init__(self, seed: int, *, has_rejected: bool) -> None:
        self._random = random.Random(seed)
        self._names = ("Ana", "Bea", *([REJECTED] if has_rejected else []))
        self._are_texts = self._random.random() < 0.5
        self.rows = [self._row() for _ in range(self._random.randint(1, 5))]
        self.account: Account = {}

    def change_rows(self) -> None:
        chance, rows = self._random, self.rows
        for _ in range(chance.randint(0, 3)):
            what = chance.choice(["add", "add", "remove", "move", "change"])
            if what == "add" and len(rows) < 7:
                rows.insert(chance.randint(0, len(rows)), self._row())
            elif what == "remove" and len(rows) > 1:
                rows.pop(chance.randrange(len(rows)))
            elif what == "move":
                chance.shuffle(rows)
            elif what == "change":
                place = chance.randrange(len(rows))
                rows[place] = (rows[place][0], *self._row()[1:])

    def share(self) -> float:
        """Return the share of a plan that is delivered before a night ends."""
        return self._random.choice([1.0, 1.0, 0.5, 0.0])

    def deliver(self, journal: Journal, share: float = 1.0) -> int:
        """Plan, and deliver a share of the plan; return the number of changes."""
        report = Report(CONTACTS, Quota(), Rejects(None), None, NoLog())
        with closing(ShownKeys()) as keys:
            comparison = Comparison(
                journal, CONTACTS, report.tally, full_refresh=False, retry_rejected=False, keys=keys
            )
            with PendingChanges(CONTACTS, comparison.differences) as changes:
                preparer = Preparer(CONTACTS, comparison, changes, report)
                for batch in self._batches():
                    preparer.prepare(batch)
                preparer.finish()
                journal.lines.commit()
                patches = [patch for batch in changes.batches() for patch in batch]
        unsettled = sum(patch.counted_as is None for patch in patches)
        assert report.tally.read == len(self.rows) == report.tally.accounted + unsettled
        going = [patch for patch in patches if self._random.random() < share]
        confirmation = Confirmation(journal.lines, CONTACTS, holds_refusals_back=False)
        confirmation.before_sending(going)
        confirmation.begin(going)
        for patch in going:
            settled = self._sent(patch._replace(properties={**patch.later, **patch.properties}, later={}))
            confirmation.settle(settled, ["rejected"], settled.error and 422)
        journal.lines.commit()
        return len(patches)

    def rows_of(self, key: str) -> list[Row]:
        return [row for row in self.rows if row[0] == key]

    def _sent(self, patch: Patch) -> Settled:
        key = CONTACTS.same_key(patch.key)
        outcome = Outcome.UPDATED if key in self.account else Outcome.CREATED
        if patch.properties.get("_name") != REJECTED:
            self.account.setdefault(key, {}).update(patch.properties)
            return Settled(patch, outcome, None, 1)
        alone = CONTACTS.urgent_part(patch)
        if alone is not None:
            self.account.setdefault(key, {}).update(alone.properties)
        more = {"alone": alone, "is_alone_accepted": alone is not None}
        return Settled(patch, Outcome.REJECTED, error_class(422)(422), 1, is_remembered=True, **more)

    def _row(self) -> Row:
        choose = self._random.choice
        return choose(KEYS), choose(self._names), choose(["1", "2", "3", INVALID]), choose(RANKS)

    def _batches(self) -> Iterator[RowBatch | list[dict[str, str]]]:
        size = self._random.choice([1, 2, 50])
        for first in range(0, len(self.rows), size):
            part = self.rows[first : first + size]
            if self._are_texts:
                yield RawBatch(COLUMNS, [tuple(value.encode() for value in row) for row in part], Decoded())
            else:
                yield [dict(zip(COLUMNS, row, strict=True)) for row in part]


@pytest.mark.slow
@pytest.mark.parametrize("has_rejected", [False, True])
@pytest.mark.parametrize("seed", range(10))
def test_the_lowest_consent_of_all_rows_and_the_last_of_other_values_arrive_and_nothing_is_sent_twice(
    seed: int, has_rejected: bool, open_journal: OpenJournal
) -> None:
    nights = Nights(seed, has_rejected=has_rejected)
    sent = 0
    for number in range(11):
        share = 1.0
        if number < 8:
            nights.change_rows()
            share = nights.share()
        journal = open_journal(f"night {number}")
        sent = nights.deliver(journal, share)
        journal.close(Verdict.SUCCESS if share == 1.0 else Verdict.FAILED)
        for key, contact in nights.account.items():
            values = [row[3] for row in nights.rows_of(key)]
            if share == 1.0 and RANKS[0] in values:
                assert contact[NEWS] == RANKS[0], number
    assert sent == 0
    for key in KEYS if not has_rejected else ():
        rows = nights.rows_of(key)
        valid = [row for row in rows if row[2] != INVALID]
        if valid:
            lowest = min([RANKS.index(row[3]) for row in valid] + [0 for row in rows if row[3] == RANKS[0]])
            last = {"_name": valid[-1][1], "_points": int(valid[-1][2]), NEWS: RANKS[lowest]}
            assert nights.account[key] == last
