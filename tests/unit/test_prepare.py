"""Which rows become changes, and what becomes of the others: map, check, compare with a journal in SQLite."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

import pytest

from airflow_provider_connectif.api.quota import Quota
from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.contacts.resource import ContactResource
from airflow_provider_connectif.journal import digests as digests_of
from airflow_provider_connectif.journal.pending import PendingChanges, Rank
from airflow_provider_connectif.journal.properties import only
from airflow_provider_connectif.journal.shown_keys import ShownKeys
from airflow_provider_connectif.journal.states import ACKNOWLEDGED, INVALID, LEFT, UNDELIVERED
from airflow_provider_connectif.journal.store import Journal
from airflow_provider_connectif.records.changes import Patch
from airflow_provider_connectif.records.outcomes import Outcome
from airflow_provider_connectif.records.raw_rows import RawBatch
from airflow_provider_connectif.records.rows import RowBatch
from airflow_provider_connectif.reporting.rejects import Rejects
from airflow_provider_connectif.reporting.report import Report
from airflow_provider_connectif.reporting.verdict import Verdict
from airflow_provider_connectif.runs.comparison import Comparison
from airflow_provider_connectif.runs.prepare import Preparer
from airflow_provider_connectif.runs.row_errors import RowFailed
from tests.unit.conftest import OpenJournal
from tests.unit.test_raw_rows import Decoded

Row = dict[str, Any]
ANA, BEA, NOBODY = "ana@example.com", "bea@example.com", "nobody"
CONTACTS = ContactResource(ContactMapping())


class NoLog:
    def debug(self, message: str, /, *args: Any) -> None: ...

    def info(self, message: str, /, *args: Any) -> None: ...

    def warning(self, message: str, /, *args: Any) -> None: ...


class Planned:
    """What rows came to: the changes with their ranks, and the counts."""

    def __init__(self, changes: PendingChanges, report: Report) -> None:
        self.patches = [patch for batch in changes.batches() for patch in batch]
        self.ranks = {rank.name: changes.count_of(rank) for rank in Rank if changes.count_of(rank)}
        self.tally = report.tally

    @property
    def sent(self) -> dict[str, Mapping[str, Any]]:
        return {patch.key: patch.properties for patch in self.patches}

    @property
    def counts(self) -> dict[str, int]:
        return {outcome.value: count for outcome, count in self.tally.outcomes.items() if count}

    @property
    def new_reasons(self) -> list[str]:
        return [reason for reason, count in self.tally.reasons.items() if count > self.tally.known_reasons[reason]]


def plan(
    journal: Journal | None,
    *batches: list[Row] | RowBatch | RawBatch,
    resource: ContactResource = CONTACTS,
    full_refresh: bool = False,
    retry_rejected: bool = False,
    way: str = "",
) -> Planned:
    """Prepare the batches of a source as a run does."""
    report = Report(resource, Quota(), Rejects(None), None, NoLog())
    comparison = None
    if journal is not None:
        comparison = Comparison(
            journal,
            resource,
            report.tally,
            full_refresh=full_refresh,
            retry_rejected=retry_rejected,
            way=way,
            keys=ShownKeys(),  # few, so that no file is to be closed
        )
    with PendingChanges(resource, None if comparison is None else comparison.differences) as changes:
        preparer = Preparer(resource, comparison, changes, report)
        for batch in batches:
            preparer.prepare(batch)
        preparer.finish()
        planned = Planned(changes, report)
    rows = sum(patch.counted_as is None for patch in planned.patches)
    assert report.tally.read == sum(map(len, batches)) == report.tally.accounted + rows
    return planned


def of(email: Any, **properties: Any) -> Row:
    return {"email": email, **properties}


def acknowledge(journal: Journal, planned: Planned, delivered_as: str = "updated") -> None:
    for patch in planned.patches:
        assert patch.digests is not None
        journal.lines.acknowledge(CONTACTS.same_key(patch.key), patch.digests, delivered_as=delivered_as)


def reject(journal: Journal, patch: Patch, status: int | None = 422, reason: str = "no such city") -> None:
    assert patch.digests is not None
    digest = patch.digests.row or patch.digests.patch
    journal.lines.reject(CONTACTS.same_key(patch.key), digest, status, reason)


Night = Callable[..., Journal]


@pytest.fixture
def delivered(open_journal: OpenJournal) -> Night:
    """Rows were delivered on Monday; the open journal of another run."""

    def deliver(*rows: Row, resource: ContactResource = CONTACTS) -> Journal:
        journal = open_journal("monday")
        acknowledge(journal, plan(journal, list(rows), resource=resource))
        journal.close(Verdict.SUCCESS)
        return open_journal("tuesday")

    return deliver


@pytest.fixture
def rejected(open_journal: OpenJournal) -> Night:
    """Rows were rejected on Monday; the open journal of another run, or of the next attempt."""

    def refuse(*rows: Row, run_id: str = "tuesday", status: int | None = 422) -> Journal:
        journal = open_journal("monday")
        for patch in plan(journal, list(rows)).patches:
            reject(journal, patch, status)
        journal.close(Verdict.TRY_AGAIN if run_id == "monday" else Verdict.FAILED)
        return open_journal(run_id)

    return refuse


# Without a journal


def test_without_a_journal_every_valid_row_is_sent() -> None:
    planned = plan(None, [of(ANA, _name="Ana"), of(NOBODY)], [of(BEA, _name="Bea"), of(NOBODY)])
    assert planned.sent == {ANA: {"_name": "Ana"}, BEA: {"_name": "Bea"}}
    assert planned.counts == {"invalid": 2}
    assert planned.tally.examples == {reason: [2, 4] for reason in planned.tally.reasons}


def test_rows_of_one_contact_are_one_change_and_the_others_are_merged() -> None:
    planned = plan(None, [of(ANA, _name="Ana"), of(ANA, _name="Anna")], [of(ANA.upper(), _surname="Ruiz")])
    assert planned.sent == {ANA.upper(): {"_name": "Anna", "_surname": "Ruiz"}}
    assert planned.counts == {"merged": 2}


# What the journal knows


def test_only_rows_that_are_new_or_changed_are_sent(delivered: Night) -> None:
    journal = delivered(of(ANA, _name="Ana"), of(BEA, _name="Bea"))
    planned = plan(journal, [of(ANA, _name="Ana"), of(BEA, _name="Beatriz"), of("new@example.com", _name="New")])
    assert planned.sent == {"new@example.com": {"_name": "New"}, BEA: {"_name": "Beatriz"}}
    assert planned.ranks == {"NEW": 1, "CHANGED": 1}
    assert [patch.is_new for patch in planned.patches] == [True, False]
    assert planned.counts == {"unchanged": 1}
    journal.close()


def test_a_batch_of_a_database_is_compared_like_a_list(delivered: Night) -> None:
    journal = delivered(of(ANA, _name="Ana"), of(BEA, _name="Bea"))
    planned = plan(journal, RowBatch(("email", "_name"), [(ANA, "Ana"), (BEA, "Beatriz")]))
    assert (planned.sent, planned.counts) == ({BEA: {"_name": "Beatriz"}}, {"unchanged": 1})
    journal.close()


def test_another_row_for_the_same_patch_is_unchanged_and_from_then_on_at_a_glance(delivered: Night) -> None:
    journal = delivered(of(ANA, visits=7))
    planned = plan(journal, [of(ANA, visits=7.0)])
    assert (planned.sent, planned.counts) == ({}, {"unchanged": 1})
    digest = digests_of.RowDigester(CONTACTS)(of(ANA, visits=7.0))
    assert journal.lines.differing({ANA: digest}) == {ANA: journal.lines.differing({ANA: ""}, all_differ=True)[ANA]}
    journal.lines.commit()
    assert journal.lines.differing({ANA: digest}) == {}
    journal.close()


def test_a_key_in_another_spelling_is_the_same_contact(delivered: Night) -> None:
    journal = delivered(of(ANA, _name="Ana"))
    planned = plan(journal, [of(f" {ANA.upper()} ", _name="Ana"), of(f" {BEA} ", _name="Bea")])
    assert (planned.sent, planned.counts) == ({BEA: {"_name": "Bea"}}, {"unchanged": 1})
    journal.close()


def test_a_full_refresh_sends_what_is_unchanged_and_what_is_held(delivered: Night, open_journal: OpenJournal) -> None:
    journal = delivered(of(ANA, _name="Ana"), of(BEA, _name="Bea"))
    rows = [of(ANA, _name="Ana"), of(BEA, _name="Beatriz")]
    for patch in plan(journal, rows).patches:
        reject(journal, patch)
    journal.close(Verdict.FAILED)
    journal = open_journal("wednesday")
    assert plan(journal, rows).counts == {"unchanged": 1, "held": 1}
    assert plan(journal, rows, full_refresh=True).sent == {ANA: {"_name": "Ana"}, BEA: {"_name": "Beatriz"}}
    journal.close()


def test_a_full_refresh_sends_nothing_twice_in_one_series_of_attempts(open_journal: OpenJournal) -> None:
    first = open_journal("monday")
    acknowledge(first, plan(first, [of(ANA, _name="Ana")], full_refresh=True), "created")
    first.close(Verdict.TRY_AGAIN)
    second = open_journal("monday")
    planned = plan(second, [of(ANA, _name="Ana"), of(BEA, _name="Bea")], full_refresh=True)
    assert (list(planned.sent), planned.counts) == ([BEA], {"created": 1})
    second.close()


def test_what_an_earlier_attempt_has_delivered_is_counted_as_that_once(open_journal: OpenJournal) -> None:
    first = open_journal("monday")
    acknowledge(first, plan(first, [of(ANA, _name="Ana")]), "created")
    first.close(Verdict.TRY_AGAIN)
    second = open_journal("monday")
    planned = plan(second, [of(ANA, _name="Ana"), of(ANA, _name="Ana")])
    assert (planned.sent, planned.counts) == ({}, {"created": 1, "unchanged": 1})
    second.close()


def test_a_changed_mapping_sends_what_differs_by_it_and_counts_that(delivered: Night) -> None:
    before, after = (
        ContactResource(ContactMapping(properties={target: "city", "visits": "visits"})) for target in ("city", "_name")
    )
    journal = delivered(of(ANA, city="Jaén", visits=1), of(BEA, city=None, visits=2), resource=before)
    planned = plan(journal, [of(ANA, city="Jaén", visits=1), of(BEA, city=None, visits=2)], resource=after)
    assert planned.sent == {ANA: {"_name": "Jaén"}}
    assert (planned.counts, planned.tally.remapped) == ({"unchanged": 1}, 1)
    journal.close()


def test_what_another_host_has_acknowledged_is_sent(delivered: Night) -> None:
    journal = delivered(of(ANA, _name="Ana"))
    assert list(plan(journal, [of(ANA, _name="Ana")], way=digests_of.digest_salt("http://localhost:8080")).sent) == [
        ANA
    ]
    journal.close()


def test_a_line_of_an_earlier_version_is_believed(open_journal: OpenJournal) -> None:
    journal = open_journal("monday")
    (patch,) = plan(journal, [of(ANA, visits=7)]).patches
    assert patch.digests is not None
    # Its digest of a patch did not name the contact, and its digest of a row was another one.
    before = patch.digests._replace(patch=digests_of.patch_digest({"visits": 7}), row="another", properties=None)
    journal.lines.acknowledge(ANA, before)
    planned = plan(journal, [of(ANA, visits=7)])
    assert (planned.sent, planned.counts) == ({}, {"unchanged": 1})
    journal.close()


class Hidden:
    """A value that does not say what it is."""

    def __repr__(self) -> str:
        raise ValueError("not for you")


@pytest.mark.slow
def test_a_row_whose_values_cannot_be_digested_is_looked_at_and_the_others_are_compared(delivered: Night) -> None:
    journal = delivered(of(ANA, _name="Ana"))
    names, values = ("email", "_name"), [(ANA, "Ana"), (BEA, Hidden())]
    for batch in ([of(ANA, _name="Ana"), of(BEA, _name=Hidden())], RowBatch(names, values)):
        planned = plan(journal, batch)
        assert (planned.sent, planned.counts) == ({}, {"unchanged": 1, "invalid": 1})
    journal.close()


# Several rows of a contact


@pytest.mark.parametrize("is_together", [True, False])
def test_a_row_as_acknowledged_counts_where_another_row_of_its_contact_differs(
    is_together: bool, delivered: Night
) -> None:
    journal = delivered(of(ANA, _name="Ana"))
    rows = [of(ANA, _name="Anna", _surname="Ruiz"), of(ANA, _name="Ana")]
    planned = plan(journal, *([rows] if is_together else [[row] for row in rows]))
    assert planned.sent == {ANA: {"_surname": "Ruiz"}}
    assert planned.counts == {"merged": 1}
    journal.close()


def test_a_row_as_patched_counts_where_another_row_of_its_contact_differs(delivered: Night) -> None:
    journal = delivered(of(ANA, visits=7))
    planned = plan(journal, [of(ANA, visits=8)], [of(ANA, visits=7.0)])
    # Together they come to what Connectif holds.
    assert (planned.sent, planned.counts) == ({}, {"merged": 1, "unchanged": 1})
    journal.close()


def test_several_rows_that_were_refused_together_are_held(open_journal: OpenJournal) -> None:
    rows = [of(ANA, _name="Ana"), of(ANA, _surname="Ruiz")]
    first = open_journal("monday")
    (patch,) = plan(first, rows).patches
    reject(first, patch)
    first.close(Verdict.FAILED)
    second = open_journal("tuesday")
    planned = plan(second, rows)
    assert (planned.sent, planned.counts) == ({}, {"merged": 1, "held": 1})
    assert (planned.tally.known_refusals, list(planned.tally.reasons)) == (1, ["held: no such city"])
    second.close()


# Refused rows


def test_a_row_that_an_earlier_run_saw_rejected_is_held_and_known(rejected: Night) -> None:
    journal = rejected(of(ANA, _name="Ana"))
    planned = plan(journal, [of(ANA, _name="Ana")])
    assert (planned.sent, planned.counts, planned.new_reasons) == ({}, {"held": 1}, [])
    assert list(planned.tally.reasons) == ["held: no such city"]
    journal.close()


def test_a_row_that_an_earlier_attempt_saw_rejected_is_a_rejection_of_this_run(rejected: Night) -> None:
    journal = rejected(of(ANA, _name="Ana"), run_id="monday")
    planned = plan(journal, [of(ANA, _name="Ana")])
    assert (planned.sent, planned.counts, planned.new_reasons) == ({}, {"rejected": 1}, ["no such city"])
    journal.close()


@pytest.mark.parametrize(
    ("row", "settings"),
    [
        (of(ANA, _name="Anna"), {}),
        (of(ANA, _name="Ana"), {"retry_rejected": True}),
        (of(ANA, _name="Ana"), {"full_refresh": True}),
    ],
)
def test_a_rejected_row_is_sent_last_where_it_changed_or_an_author_says_so(
    row: Row, settings: dict[str, bool], rejected: Night
) -> None:
    journal = rejected(of(ANA, _name="Ana"))
    planned = plan(journal, [row, of(BEA, _name="Bea")], **settings)
    assert planned.ranks == {"NEW": 1, "REJECTED_BEFORE": 1}
    assert list(planned.sent) == [BEA, ANA]
    journal.close()


@pytest.mark.sampled(2)
@pytest.mark.parametrize(("status", "is_held"), [(400, True), (422, True), (None, True), (404, False), (413, False)])
def test_a_refusal_is_held_only_where_it_is_about_the_row(status: int | None, is_held: bool, rejected: Night) -> None:
    journal = rejected(of(ANA, _name="Ana"), status=status)
    assert plan(journal, [of(ANA, _name="Ana")]).counts == ({"held": 1} if is_held else {})
    journal.close()


@pytest.mark.parametrize("value", [lambda: "yesterday", object, lambda: {object()}, lambda: memoryview(b"x")])
def test_an_invalid_row_is_new_once_and_known_from_the_next_run_on(value: Any, open_journal: OpenJournal) -> None:
    birthdates = [value(), value()]
    for run_id, known in (("monday", 0), ("tuesday", 1)):
        journal = open_journal(run_id)
        planned = plan(journal, [of(ANA, _birthdate=birthdates[known])])
        assert (planned.counts, planned.tally.known_refusals) == ({"invalid": 1}, known)
        journal.close(Verdict.FAILED)


@pytest.mark.parametrize("is_one_batch", [True, False])
def test_different_invalid_rows_of_one_contact_are_new_once(is_one_batch: bool, open_journal: OpenJournal) -> None:
    bad = [of(ANA, _birthdate=value) for value in ("yesterday", "today")]
    worse = [*bad, of(ANA, _birthdate="tomorrow")]
    for run_id, rows, known in (
        ("monday", bad, 0),
        ("tuesday", bad, 2),
        ("wednesday", worse, 2),
        ("thursday", worse, 3),
    ):
        journal = open_journal(run_id)
        planned = plan(journal, *([rows] if is_one_batch else [[row] for row in rows]))
        assert (run_id, planned.counts) == (run_id, {"invalid": len(rows)})
        assert (run_id, planned.tally.known_refusals) == (run_id, known)
        journal.close(Verdict.FAILED)


def test_an_invalid_row_stays_known_after_the_line_was_written_for_another_one(open_journal: OpenJournal) -> None:
    old, new = of(ANA, _birthdate="yesterday"), of(ANA, _birthdate="today")
    plan(journal := open_journal("monday"), [old])
    journal.close(Verdict.FAILED)
    for attempt in (1, 2):
        journal = open_journal("tuesday", comes_back=attempt > 1)
        planned = plan(journal, [new], [old])
        journal.lines.commit()
        assert planned.tally.known_refusals == 1
        assert plan(journal, [old], [new]).tally.known_refusals == 1
        journal.close(Verdict.FAILED)


def test_of_rows_without_a_key_as_many_as_before_are_known(open_journal: OpenJournal) -> None:
    for run_id, nameless, known in (("monday", 2, 0), ("tuesday", 3, 2)):
        journal = open_journal(run_id)
        planned = plan(journal, [of(NOBODY)] * nameless)
        assert (planned.counts, planned.tally.keyless) == ({"invalid": nameless}, nameless)
        assert planned.tally.known_refusals == known
        journal.close(Verdict.FAILED, keyless=planned.tally.keyless)


@pytest.fixture
def invalid_since(open_journal: OpenJournal) -> Callable[[Journal], Journal]:
    """A row that the journal knows was invalid on another night."""

    def meet(journal: Journal) -> Journal:
        assert plan(journal, [of(ANA, _name="Ana", _birthdate="yesterday")]).counts == {"invalid": 1}
        journal.close(Verdict.FAILED)
        return open_journal("wednesday")

    return meet


def state_of(journal: Journal, key: str) -> str | None:
    line = journal.lines.differing({key: ""}, all_differ=True)[key]
    return line and line.state


def test_a_row_that_is_again_as_acknowledged_is_unchanged_after_an_invalid_one(
    delivered: Night, invalid_since: Callable[[Journal], Journal]
) -> None:
    journal = invalid_since(delivered(of(ANA, _name="Ana")))
    assert state_of(journal, ANA) == "invalid"
    assert plan(journal, [of(ANA, _name="Ana")]).counts == {Outcome.UNCHANGED: 1}
    assert state_of(journal, ANA) == "acknowledged"
    journal.close()


def test_a_row_that_is_again_as_rejected_is_held_after_an_invalid_one(
    rejected: Night, invalid_since: Callable[[Journal], Journal]
) -> None:
    journal = invalid_since(rejected(of(ANA, _name="Ana")))
    assert plan(journal, [of(ANA, _name="Ana")]).counts == {Outcome.HELD: 1}
    assert state_of(journal, ANA) == "rejected"
    journal.close()


def test_a_change_that_is_in_doubt_is_held_in_its_own_run_too(open_journal: OpenJournal) -> None:
    journal = open_journal("monday")
    (patch,) = plan(journal, [of(ANA, _name="Ana")]).patches
    assert patch.digests is not None
    journal.lines.begin_doubts({ANA: patch.digests.row}, "in doubt: it may have arrived")
    planned = plan(journal, [of(ANA, _name="Ana")])
    assert (planned.sent, planned.counts) == ({}, {"held": 1})
    journal.close()


NEWS = "_newsletterSubscriptionStatus"
OUT = {NEWS: "unsubscribed"}


@pytest.mark.parametrize("has_journal", [True, False])
def test_a_withdrawal_of_a_row_that_is_not_sent_is_planned_beside_it(
    has_journal: bool, open_journal: OpenJournal
) -> None:
    journal = open_journal() if has_journal else None
    bad = {"_points": "many"}
    planned = plan(journal, [of(ANA, **OUT, **bad), of(BEA, **bad, **{NEWS: "subscribed"}), of(NOBODY, **OUT)])
    assert planned.sent == {ANA: OUT}
    assert planned.ranks == {"BESIDE": 1}
    assert [patch.counted_as for patch in planned.patches] == ["invalid"]
    assert planned.counts == {"invalid": 3}
    if journal is not None:
        journal.close()


def test_a_withdrawal_of_a_held_row_is_planned_until_it_is_delivered(rejected: Night) -> None:
    """Journals of before have rows that were rejected with their withdrawals."""
    row = of(ANA, _name="X", **OUT)
    journal = rejected(row)
    planned = plan(journal, [row])
    assert (planned.sent, planned.counts) == ({ANA: OUT}, {"held": 1})
    (patch,) = planned.patches
    assert patch.digests is not None
    journal.lines.acknowledge_part(ANA, patch.digests._replace(before=patch.digests.properties))
    assert plan(journal, [row]).sent == {}
    journal.close()


def test_a_withdrawal_and_another_row_of_the_contact_are_one_change_of_that_row(open_journal: OpenJournal) -> None:
    journal = open_journal()
    rows = [of(ANA, _points="many", **OUT), of(ANA, _name="Ana", **{NEWS: "subscribed"})]
    for order in (rows, rows[::-1]):
        planned = plan(journal, order)
        assert planned.sent == {ANA: {"_name": "Ana", **OUT}}
        assert planned.ranks == {"URGENT": 1}
        assert planned.counts == {"invalid": 1}
        assert [patch.counted_as for patch in planned.patches] == [None]
    journal.close()


@pytest.mark.slow
def test_a_large_batch_is_compared_as_its_rows_one_by_one(delivered: Night) -> None:
    """Rows are compared in groups; a group ends before the second row of a contact."""
    numbers = random.Random(5)
    journal = delivered(*(of(f"p{n}@example.com", _name="Ana") for n in range(300)))
    names = ("Ana", "Bea", "Cid")
    rows = [of(f"p{numbers.randrange(400)}@example.com", _name=numbers.choice(names)) for _ in range(900)]
    last = {row["email"]: {"_name": row["_name"]} for row in rows}
    planned = plan(journal, rows)
    assert planned.sent == {
        email: properties
        for email, properties in last.items()
        if properties != {"_name": "Ana"} or int(email[1 : email.index("@")]) >= 300
    }
    assert plan(journal, *([row] for row in rows)).sent == planned.sent
    journal.close()


def test_an_invalid_row_does_not_hide_that_a_later_batch_has_the_acknowledged_one(delivered: Night) -> None:
    """The invalid row's mark is not in the database yet when the later row is compared."""
    row = of(ANA, _name="Ana", visits=1)
    journal = delivered(row)
    planned = plan(journal, [of(ANA, _name=Hidden())], [row])
    assert (planned.sent, planned.counts) == ({}, {"invalid": 1, "unchanged": 1})
    journal.close()


@pytest.mark.sampled(1)
@pytest.mark.parametrize("state", [ACKNOWLEDGED, LEFT, UNDELIVERED, INVALID])
@pytest.mark.parametrize("together", [True, False])
def test_rows_of_a_contact_are_compared_together_whatever_its_last_outcome(
    together: bool, state: str, delivered: Night
) -> None:
    rows = [of(ANA, _name="Ana", **OUT), of(ANA, _name="Ana", **{NEWS: "subscribed"})]
    journal = delivered(*rows)
    journal.lines.note(ANA, state)
    journal.lines.commit()
    planned = plan(journal, *([rows] if together else [[row] for row in rows]))
    assert (planned.sent, planned.counts) == ({}, {"merged": 1, "unchanged": 1})
    journal.close()


@pytest.mark.sampled(1)
@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("order", [1, -1])
def test_the_withdrawal_of_an_invalid_row_lets_no_other_row_raise_it_on_later_nights_either(
    order: int, together: bool, open_journal: OpenJournal
) -> None:
    rows = [of(ANA, _points="many", **OUT), of(ANA, _name="Ana", **{NEWS: "subscribed"})][::order]
    batches = [rows] if together else [[row] for row in rows]
    monday = open_journal("monday")
    acknowledge(monday, plan(monday, *batches))
    monday.close(Verdict.SUCCESS)
    tuesday = open_journal("tuesday")
    planned = plan(tuesday, *batches)
    assert (planned.sent, planned.counts) == ({}, {"invalid": 1, "unchanged": 1})
    tuesday.close()


@pytest.mark.parametrize("order", [1, -1])
def test_a_row_that_was_rejected_with_the_withdrawal_of_an_invalid_one_is_held_with_it(
    order: int, open_journal: OpenJournal
) -> None:
    rows = [of(ANA, _points="many", **OUT), of(ANA, _name="X", **OUT)][::order]
    monday = open_journal("monday")
    (patch,) = plan(monday, rows).patches
    assert patch.digests is not None
    accepted = patch.digests._replace(before=only(patch.digests.properties or b"", OUT))
    monday.lines.acknowledge_part(ANA, accepted)
    reject(monday, patch)
    monday.close(Verdict.SUCCESS)
    tuesday = open_journal("tuesday")
    planned = plan(tuesday, rows)
    assert (planned.sent, planned.counts) == ({}, {"invalid": 1, "held": 1})
    tuesday.close()


@pytest.mark.parametrize("together", [True, False])
def test_what_joins_an_unchanged_row_is_not_written_down_before_it_is_sent(together: bool, delivered: Night) -> None:
    old, new = of(ANA, _name="Ana", **OUT), of(ANA, _name="Eva", **{NEWS: "subscribed"})
    batches = [[old, new]] if together else [[old], [new]]
    journal = delivered(old)
    assert plan(journal, *batches).sent == {ANA: {"_name": "Eva"}}
    journal.lines.commit()
    planned = plan(journal, *batches)
    assert planned.sent == {ANA: {"_name": "Eva"}}
    acknowledge(journal, planned)
    journal.lines.commit()
    assert plan(journal, *batches).sent == {}
    journal.close()


# Resources of any author


class Faulty(ContactResource):
    """Has a fault that Ana's row meets, in one of its methods."""

    def __init__(self, where: str) -> None:
        super().__init__(ContactMapping())
        self._where = where

    def _meet(self, where: str, key: str) -> None:
        if where == self._where and key == ANA:
            raise KeyError(key)

    def unconverted_keys(self, values: Any) -> list[str | None]:
        return [None] * len(values)

    def key_of(self, row: Any) -> str | None:
        self._meet("key_of", row["email"])
        return {"no key": None, "NUL": "a\0b"}.get(self._where, super().key_of(row))

    def prepare(self, number: int, row: Any) -> Patch:
        self._meet("prepare", row["email"])
        patch = super().prepare(number, row)
        is_odd = self._where == "a type" and patch.key == ANA
        return patch._replace(properties={"since": date(2026, 1, 1)}) if is_odd else patch  # type: ignore[dict-item]

    def arrange(self, change: Patch, differing: Any) -> Patch:
        self._meet("arrange", change.key)
        return super().arrange(change, differing)


def _as_texts(rows: list[Row]) -> RawBatch:
    return RawBatch(("email", "a", "b"), [(row["email"].encode(), b"1", b"2") for row in rows], Decoded())


@pytest.mark.parametrize("where", ["prepare", "arrange", "a type"])
@pytest.mark.parametrize("has_journal", [True, False])
@pytest.mark.parametrize("form", [list, _as_texts])
def test_an_error_of_a_resource_names_the_row_and_the_place_and_no_value(
    open_journal: OpenJournal, where: str, has_journal: bool, form: Callable[[list[Row]], Any]
) -> None:
    journal = open_journal() if has_journal else None
    batches = [of(BEA), of("cleo@example.com")], [of("dora@example.com"), of(ANA), of("eva@example.com")]
    rows = map(form, batches)
    place = "a property has a type" if where == "a type" else r"in _meet\(\) at line \d+ of test_prepare.py"
    with pytest.raises(RowFailed, match=rf"preparing row 4 as a contact failed with \w+Error.*{place}") as failure:
        plan(journal, *rows, resource=Faulty(where))
    assert isinstance(failure.value.__cause__, (KeyError, TypeError))
    assert ANA not in str(failure.value)
    assert not failure.value.final


def test_an_error_for_a_key_names_the_row(open_journal: OpenJournal) -> None:
    with pytest.raises(RowFailed, match=re.escape("preparing row 3 as a contact failed with KeyError")):
        plan(open_journal(), [of(BEA)], [of("cleo@example.com"), of(ANA)], resource=Faulty("key_of"))


@pytest.mark.parametrize("where", ["no key", "NUL"])
def test_a_row_without_a_key_for_the_journal_is_invalid_though_it_can_be_prepared(
    open_journal: OpenJournal, where: str
) -> None:
    planned = plan(open_journal(), [of(BEA), of(ANA)], resource=Faulty(where))
    assert (planned.sent, planned.counts) == ({}, {"invalid": 2})
