"""What the confirm stage writes into a journal, in SQLite; above all where something went wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from airflow_provider_connectif.api.errors import NoResponseError, error_class
from airflow_provider_connectif.contacts.consent import RANKS
from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.contacts.resource import ContactResource
from airflow_provider_connectif.journal.confirmation import Confirmation
from airflow_provider_connectif.journal.differences import Differences
from airflow_provider_connectif.journal.line import Line
from airflow_provider_connectif.journal.properties import Known, PropertyDigester
from airflow_provider_connectif.journal.settings import JournalSettings
from airflow_provider_connectif.journal.store import Journal
from airflow_provider_connectif.records.changes import Digests, Patch, Standing
from airflow_provider_connectif.records.outcomes import JournalError, Outcome, Settled, TakenOver
from airflow_provider_connectif.reporting.verdict import Verdict
from tests.unit.conftest import OpenJournal


def patch(key: str, *, row: str = "row", is_new: bool = False) -> Patch:
    return Patch(1, key, {"_name": "Ana"}, {}, Digests(row, f"patch of {row}", "mapping"), is_new=is_new)


def settled(key: str, outcome: Outcome, status: int = 200, **more: Any) -> Settled:
    error = NoResponseError("no answer") if status == 0 else None if status < 300 else error_class(status)(status)
    return Settled(patch(key), outcome, error, 1, **more)


def confirmation(journal: Journal, *, holds_refusals_back: bool = False) -> Confirmation:
    return Confirmation(journal.lines, ContactResource(ContactMapping()), holds_refusals_back=holds_refusals_back)


def states(journal: Journal, *keys: str) -> dict[str, str | None]:
    """What the journal says of each contact: its state, and whether it holds no row; or ``None``."""
    journal.lines.commit()
    found = journal.lines.differing(dict.fromkeys(keys, "another row"), all_differ=True)
    return {
        key: line and f"{line.state}{'' if line.row_digest or line.refused_digest else ', sent again'}"
        for key, line in found.items()
    }


def test_an_acceptance_is_written_and_of_what_failed_only_its_state(open_journal: OpenJournal) -> None:
    journal = open_journal()
    confirm = confirmation(journal)
    confirm.settle(settled("A", Outcome.CREATED), [], 201)
    confirm.settle(settled("b", Outcome.UPDATED), [], 200)
    confirm.settle(settled("c", Outcome.UNDELIVERED, 503), ["HTTP 503"], 503)
    confirm.settle(settled("d", Outcome.REJECTED, 404), ["HTTP 404"], 404)
    assert states(journal, "a", "b") == {"a": "acknowledged", "b": "acknowledged"}
    assert states(journal, "c", "d") == {"c": "undelivered, sent again", "d": "rejected, sent again"}
    journal.close()


def test_a_refusal_of_the_row_is_held(open_journal: OpenJournal) -> None:
    journal = open_journal()
    is_known = confirmation(journal).settle(settled("a", Outcome.REJECTED, 422, is_remembered=True), ["bad"], 422)
    assert not is_known
    assert states(journal, "a") == {"a": "rejected"}
    journal.close()


def test_a_refusal_that_an_earlier_run_has_met_is_known(open_journal: OpenJournal) -> None:
    first = open_journal("monday")
    confirmation(first).settle(settled("a", Outcome.REJECTED, 422, is_remembered=True), ["bad"], 422)
    first.close(Verdict.FAILED)
    second = open_journal("tuesday")
    confirm = confirmation(second)
    confirm.before_sending([patch("a")])
    assert confirm.settle(settled("a", Outcome.REJECTED, 422, is_remembered=True), ["bad"], 422)
    second.close()


def test_until_the_response_is_here_a_contact_is_in_doubt(open_journal: OpenJournal) -> None:
    first = open_journal("monday")
    confirmation(first).settle(settled("a", Outcome.UPDATED), [], 200)
    first.close(Verdict.SUCCESS)
    second = open_journal("tuesday")
    confirmation(second).begin([patch("a", row="changed")])
    assert set(second.lines.differing({"a": "row"})) == {"a"}  # the row as it was is no longer taken for unchanged
    second.close()


def test_refusals_are_kept_back_until_another_response_shows_that_rows_are_taken_at_all(
    open_journal: OpenJournal,
) -> None:
    journal = open_journal()
    confirm = confirmation(journal, holds_refusals_back=True)
    confirm.settle(settled("a", Outcome.REJECTED, 422, is_remembered=True), ["bad"], 422)
    assert states(journal, "a") == {"a": "rejected, sent again"}
    confirm.settle(settled("b", Outcome.UPDATED), [], 200)
    assert states(journal, "a") == {"a": "rejected"}
    journal.close()


def test_a_run_that_ended_early_holds_no_row_that_was_kept_back(open_journal: OpenJournal) -> None:
    journal = open_journal()
    confirm = confirmation(journal, holds_refusals_back=True)
    confirm.settle(settled("a", Outcome.REJECTED, 422, is_remembered=True), ["bad"], 422)
    confirm.end([], drops_refusals=True)
    assert states(journal, "a") == {"a": "rejected, sent again"}
    confirm.settle(settled("b", Outcome.REJECTED, 422, is_remembered=True), ["bad"], 422)
    confirm.end([], drops_refusals=False)
    assert states(journal, "b") == {"b": "rejected"}
    journal.close()


def test_kept_back_refusals_go_on_to_the_process_that_comes_back(open_journal: OpenJournal) -> None:
    journal = open_journal()
    before, after = (confirmation(journal, holds_refusals_back=True) for _ in range(2))
    before.settle(settled("a", Outcome.REJECTED, 422, is_remembered=True), ["bad"], 422)
    after.restore(before.as_state(), is_alive=True)
    assert states(journal, "a") == {"a": "rejected"}
    journal.close()


def test_a_process_that_lost_its_claim_leaves_doubts_behind_and_stops(open_journal: OpenJournal) -> None:
    first, second = open_journal("monday"), open_journal("monday")  # another attempt of the same task
    confirmation(first).settle(settled("a", Outcome.UPDATED), [], 200)
    with pytest.raises(TakenOver, match="another attempt of this task, has taken over sync 'nightly'"):
        first.lines.commit()
    assert states(second, "a") == {"a": "undelivered, sent again"}
    second.close()


def test_what_was_never_answered_is_a_doubt_where_another_process_took_over(open_journal: OpenJournal) -> None:
    first = open_journal("monday")
    confirmation(first).end([patch("a")], drops_refusals=True)
    second = open_journal("monday")
    with pytest.raises(TakenOver):
        first.close(Verdict.TRY_AGAIN)
    assert states(second, "a") == {"a": "undelivered, sent again"}
    second.close()


# The journal's database fails


def test_a_journal_of_a_newer_version_is_final(open_journal: OpenJournal, path: Path) -> None:
    open_journal().close()
    run_sql(path, "update connectif_journal_meta set value = 99 where name = 'version'")
    with pytest.raises(JournalError, match="has version 99, this provider knows up to") as error:
        open_journal()
    assert error.value.final


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    "table", ["outcomes", "pending", "receipts", "claims", "rejects_files", "plans", "runs", "syncs"]
)
def test_a_table_that_is_gone_is_named_and_final(table: str, open_journal: OpenJournal, path: Path) -> None:
    open_journal().close()
    run_sql(path, f"drop table connectif_journal_{table}")
    with pytest.raises(JournalError, match=f"connectif_journal_{table}") as error:
        open_journal()
    assert error.value.final


def test_a_database_that_cannot_be_opened_is_no_final_end(tmp_path: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path}/nowhere/journal.db")
    journal = Journal(engine, JournalSettings("nightly", "monday", conn_id="crm"))
    with pytest.raises(JournalError, match=r"'crm', cannot be reached or opened .* nothing is sent") as error:
        journal.open(lambda: False, lambda _: None)
    assert not error.value.final


def test_a_database_that_fails_later_says_so_without_a_contact(open_journal: OpenJournal, path: Path) -> None:
    journal = open_journal()
    run_sql(path, "drop table connectif_journal")
    confirmation(journal).settle(settled("secret@example.com", Outcome.UPDATED), [], 200)
    with pytest.raises(JournalError) as error:
        journal.lines.commit()
    assert "secret" not in str(error.value)
    assert error.value.__context__ is None
    run_sql(path, "alter table connectif_journal_meta rename to other")


def test_a_plan_of_another_secret_cannot_be_read(open_journal: OpenJournal) -> None:
    first = open_journal("monday", key_secret=b"one")
    first.plan.add([patch("a")], str.lower)
    first.park({}, until=0.0)
    second = open_journal("monday", comes_back=True, key_secret=b"two")
    second.plan.load()
    with pytest.raises(JournalError, match="since connectif_journal_secret or journal_key was changed") as error:
        list(second.plan.patches())
    assert error.value.final


def run_sql(path: Path, statement: str) -> None:
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.execute(sa.text(statement))
    engine.dispose()


# Consents: what is kept, and what was sent although its row was not


NEWS = "_newsletterSubscriptionStatus"
DIFFERENCES = Differences(ContactResource(ContactMapping()), "mapping", "", None, sends_all=False)


def planned(properties: dict[str, Any], journal: Journal, **more: Any) -> Patch:
    """A change of contact ``a``, by what the journal knows."""
    line = known(journal)
    made = Patch(1, "a", properties, {}, is_new=line is None, was_delivered=line is not None, **more)
    return DIFFERENCES.of(made, "a", Known(line and line.properties), "row").patch


def known(journal: Journal) -> Line | None:
    journal.lines.commit()
    return journal.lines.differing({"a": "another row"}, all_differ=True)["a"]


def standing(journal: Journal) -> Standing:
    line = known(journal)
    assert line is not None
    return PropertyDigester("").standing("a", NEWS, RANKS[NEWS], line.properties or b"")


def test_a_kept_consent_is_marked_and_needs_no_request_again(open_journal: OpenJournal) -> None:
    journal = open_journal()
    row = {"_name": "Ana", NEWS: "subscribed"}
    change = planned(row, journal)._replace(kept=frozenset({NEWS}))
    confirmation(journal).settle(Settled(change, Outcome.UPDATED, None, 1), [], 200)
    assert standing(journal) == Standing(2, is_kept=True)
    again = planned(row, journal)
    assert (again.properties, again.later) == ({}, {})
    journal.close()


def test_what_a_look_up_alone_has_settled_is_confirmed(open_journal: OpenJournal) -> None:
    journal = open_journal()
    change = planned({NEWS: "subscribed"}, journal)
    confirmation(journal).settle(Settled(change, Outcome.UNCHANGED, None, 1), [], 200)
    assert states(journal, "a") == {"a": "acknowledged"}
    assert standing(journal) == Standing(2)
    journal.close()


def test_while_a_consent_waits_for_a_response_its_value_is_in_doubt(open_journal: OpenJournal) -> None:
    journal = open_journal()
    confirm = confirmation(journal)
    change = planned({"_name": "Ana", NEWS: "subscribed"}, journal)
    confirm.settle(Settled(change, Outcome.CREATED, None, 1), [], 201)
    lowered = planned({"_name": "Ana", NEWS: "none"}, journal)
    assert lowered.later == {NEWS: "none"}
    confirm.begin([lowered])
    # Neither what it was nor what it is to be: both are sent again, or looked up.
    assert planned({"_name": "Ana", NEWS: "subscribed"}, journal).later == {NEWS: "subscribed"}
    assert planned({"_name": "Ana", NEWS: "none"}, journal).later == {NEWS: "none"}
    assert standing(journal) == Standing(2, is_unseen=True)
    journal.close()


def test_a_change_that_was_marked_and_not_sent_is_in_no_doubt_when_that_is_taken_back(
    open_journal: OpenJournal,
) -> None:
    journal = open_journal()
    confirm = confirmation(journal)
    confirm.settle(Settled(planned({"_name": "Ana", "tier": "a"}, journal), Outcome.CREATED, None, 1), [], 201)
    accepted = known(journal)
    change = planned({"_name": "Bea", "tier": "a"}, journal)
    confirm.before_sending([change])
    confirm.begin([change])
    assert planned({"_name": "Ana", "tier": "a"}, journal).properties == {"_name": "Ana"}
    confirm.take_back([change])
    assert planned({"_name": "Ana", "tier": "a"}, journal).properties == {}
    line = known(journal)
    assert accepted is not None
    assert line is not None
    assert line.properties == accepted.properties
    assert line.state == "undelivered"
    # What was in doubt before, stays in doubt.
    confirm.begin([change])
    doubtful = planned({"_name": "Ana", "tier": "a"}, journal)
    confirm = confirmation(journal)
    confirm.before_sending([change])
    confirm.take_back([change])
    assert planned({"_name": "Ana", "tier": "a"}, journal).properties == doubtful.properties == {"_name": "Ana"}
    journal.close()


def test_marks_are_written_with_what_has_gathered_and_after_it(open_journal: OpenJournal) -> None:
    journal = open_journal()
    confirm = confirmation(journal)
    confirm.settle(Settled(planned({"_name": "Ana"}, journal), Outcome.CREATED, None, 1), [], 201)
    change = planned({"_name": "Bea"}, journal)
    confirm.settle(Settled(change, Outcome.UPDATED, None, 1), [], 200)
    again = planned({"_name": "Ana"}, journal)
    confirm.settle(settled("b", Outcome.CREATED), [], 201)
    confirm.begin([again])
    assert confirm.unwritten == 0
    assert states(journal, "a", "b") == {"a": "in_doubt, sent again", "b": "acknowledged"}
    journal.close()


def alone(journal: Journal, *, is_accepted: bool) -> Settled:
    """The row of contact ``a`` was rejected; then its withdrawn consent was sent alone."""
    change = planned({"_name": "Ana", NEWS: "unsubscribed"}, journal)
    part = change._replace(properties={NEWS: "unsubscribed"})
    error = error_class(422)(422)
    more = {"is_remembered": True, "alone": part, "is_alone_accepted": is_accepted}
    return Settled(change, Outcome.REJECTED, error, 1, **more)


def test_a_withdrawal_that_was_accepted_without_its_row_is_known_and_the_row_is_held(open_journal: OpenJournal) -> None:
    journal = open_journal()
    confirmation(journal).settle(alone(journal, is_accepted=True), ["bad"], 422)
    line = known(journal)
    assert line is not None
    assert (line.state, line.refused_digest, line.row_digest) == ("rejected", "row", None)
    part = DIFFERENCES.beside(Patch(1, "a", {NEWS: "unsubscribed"}, {}), "a", Known(line.properties), "row")
    assert part is not None
    assert part.is_held
    assert planned({"_name": "Ana"}, journal).properties == {"_name": "Ana"}
    journal.close()


def test_a_withdrawal_that_was_refused_without_its_row_too_is_held_with_it(open_journal: OpenJournal) -> None:
    journal = open_journal()
    confirmation(journal).settle(alone(journal, is_accepted=False), ["bad"], 422)
    line = known(journal)
    assert line is not None
    part = Patch(1, "a", {NEWS: "unsubscribed"}, {})
    assert DIFFERENCES.beside(part, "a", Known(line.properties), "row") is None
    assert DIFFERENCES.beside(part, "a", Known(line.properties), "another row") is not None
    journal.close()


def test_a_withdrawal_beside_an_invalid_row_leaves_the_row_invalid(open_journal: OpenJournal) -> None:
    journal = open_journal()
    confirm = confirmation(journal)
    confirm.settle(Settled(planned({"_name": "Ana", NEWS: "subscribed"}, journal), Outcome.CREATED, None, 1), [], 201)
    assert not journal.lines.meets_invalid("a", "bad row", known(journal))
    part = Patch(1, "a", {NEWS: "unsubscribed"}, {}, was_delivered=True, counted_as="invalid")
    line = known(journal)
    change = DIFFERENCES.beside(part, "a", Known(line and line.properties), "bad row")
    assert change is not None
    confirm.settle(Settled(change.patch, Outcome.UPDATED, None, 1), [], 200)
    # The row that was accepted is not what Connectif holds now.
    assert states(journal, "a") == {"a": "invalid, sent again"}
    line = known(journal)
    assert line is not None
    assert (line.state, line.invalid_digest) == ("invalid", "bad row")
    assert standing(journal) == Standing(0)
    assert planned({"_name": "Ana"}, journal).properties == {}
    journal.close()


@pytest.mark.parametrize("counted_as", [None, "invalid"])
def test_a_mark_survives_a_response_that_is_lost(counted_as: str | None, open_journal: OpenJournal) -> None:
    journal = open_journal()
    confirm = confirmation(journal)
    confirm.settle(Settled(planned({NEWS: "subscribed"}, journal), Outcome.CREATED, None, 1), [], 201)
    change = planned({NEWS: "unsubscribed"}, journal, counted_as=counted_as)._replace(kept=frozenset({NEWS}))
    confirm.begin([change])
    confirm.settle(Settled(change, Outcome.UNDELIVERED, NoResponseError("no answer"), 1), ["no answer"], None)
    assert standing(journal) == Standing(2, is_kept=True, is_unseen=True)
    assert planned({NEWS: "unsubscribed"}, journal).properties == {NEWS: "unsubscribed"}
    journal.close()


def left(change: Patch) -> Patch:
    """A change after a look-up: Connectif shows the person's own decision, so only the other properties are sent."""
    return change.split({"_name": "Ana"}, {NEWS: "subscribed"}, {})._replace(kept=frozenset({NEWS}))


def lost(confirm: Confirmation, change: Patch) -> None:
    confirm.settle(Settled(left(change), Outcome.UNDELIVERED, NoResponseError("no answer"), 1), ["no answer"], None)


def rejected(confirm: Confirmation, change: Patch) -> None:
    confirm.settle(Settled(left(change), Outcome.REJECTED, error_class(422)(422), 1, is_remembered=True), ["bad"], 422)


def not_sent(confirm: Confirmation, change: Patch) -> None:
    confirm.take_back([left(change)])


@pytest.mark.parametrize("end", [lost, rejected, not_sent])
def test_a_raise_that_did_not_arrive_and_is_taken_back_by_the_source_is_lowered(
    end: Callable[[Confirmation, Patch], None], open_journal: OpenJournal
) -> None:
    """Connectif may hold more by now than it accepted from this sync: the person has a right to the withdrawal."""
    journal = open_journal()
    confirm = confirmation(journal)
    before = planned({NEWS: "unsubscribed", "_points": 1}, journal)
    confirm.settle(Settled(before, Outcome.CREATED, None, 1), [], 201)
    change = planned({NEWS: "subscribed", "_points": 1, "_name": "Ana"}, journal)
    confirm.before_sending([change])
    confirm.begin([change])
    end(confirm, change)
    assert standing(journal).rank == 0
    assert planned({NEWS: "unsubscribed", "_points": 1}, journal).properties == {NEWS: "unsubscribed"}
    still_raised = planned({NEWS: "subscribed", "_points": 1}, journal)
    assert (still_raised.properties, still_raised.later) == ({}, {NEWS: "subscribed"})
    journal.close()
