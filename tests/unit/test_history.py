"""The lines of the history, in SQLite: bounds, what replaces what, and what a run leaves behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import sqlalchemy as sa

from airflow_provider_connectif.journal import history_retention
from airflow_provider_connectif.journal.history import History
from airflow_provider_connectif.journal.history_retention import delete_in_pieces, delete_older
from airflow_provider_connectif.journal.left_behind import ChangesLeft
from airflow_provider_connectif.journal.store import Journal
from airflow_provider_connectif.records.changes import Patch
from airflow_provider_connectif.records.outcomes import JournalError
from airflow_provider_connectif.reporting.verdict import Verdict
from tests.unit.conftest import OpenJournal


def history_of(journal: Journal) -> History:
    assert journal.history is not None
    return journal.history


def lines(journal: Journal, columns: str = "contact_key, outcome") -> list[tuple[Any, ...]]:
    sql = f"select {columns} from connectif_journal_outcomes order by id"
    return [tuple(line) for line in journal.lines.database.rows(sa.text(sql))]  # type: ignore[arg-type]


def attempt(open_journal: OpenJournal, run_id: str = "monday") -> Journal:
    """An attempt that has begun to read its source."""
    journal = open_journal(run_id)
    journal.begin_reading()
    return journal


def test_lines_are_bounded_for_each_outcome(open_journal: OpenJournal) -> None:
    journal = open_journal(history_lines=2)
    history = history_of(journal)
    assert [history.add("created", f"user{n}") for n in range(3)] == [True, True, False]
    assert history.add("rejected", None)
    history.add_many("undelivered", 5)
    journal.close(Verdict.SUCCESS)
    created = [("user0", "created"), ("user1", "created")]
    assert lines(journal) == [*created, (None, "rejected"), (None, "undelivered"), (None, "undelivered")]


def test_lines_that_are_withdrawn_are_not_written_and_leave_room(open_journal: OpenJournal) -> None:
    journal = open_journal(history_lines=2)
    history = history_of(journal)
    history.add("created", "ana")
    place = history.place
    history.add("created", "bea")
    history.correct("created", "undelivered", "ana")
    history.back_to(place)
    assert history.add("created", "cleo")
    journal.close(Verdict.SUCCESS)
    assert lines(journal) == [("ana", "created"), ("cleo", "created")]


def test_what_was_to_be_written_with_the_lines_is_not_written_after_it_has_failed(open_journal: OpenJournal) -> None:
    journal, calls = open_journal(), []

    def write(_: sa.Connection) -> None:
        calls.append(1)
        raise sa.exc.OperationalError("", None, Exception())

    with pytest.raises(JournalError):
        journal.lines.commit_with(write)
    journal.close(Verdict.TRY_AGAIN)
    assert calls == [1]


def test_a_line_has_the_names_of_properties_and_no_value(open_journal: OpenJournal) -> None:
    journal = open_journal()
    history_of(journal).add("rejected", "ana", properties=("tier", "_name"), status=422, reason="x" * 900)
    journal.close(Verdict.FAILED)
    ((properties, status, reason),) = lines(journal, "properties, status_code, reason")
    assert (properties, status, reason) == ('["_name", "tier"]', 422, "x" * 500)


def test_what_a_retry_says_of_a_contact_replaces_what_was_said_and_what_it_kept_stays(
    open_journal: OpenJournal,
) -> None:
    first = attempt(open_journal)
    for outcome, key in (("created", "ana"), ("undelivered", "bea"), ("rejected", "cleo"), ("invalid", None)):
        history_of(first).add(outcome, key)
    first.close(Verdict.TRY_AGAIN, keyless=1)

    second = attempt(open_journal)
    history_of(second).add("created", "bea")
    history_of(second).keep("created", "ana")
    second.lines.commit()
    assert sorted(lines(second), key=str) == [
        ("ana", "created"),
        ("bea", "created"),
        ("cleo", "rejected"),
        (None, "invalid"),
    ]
    second.close(Verdict.SUCCESS, keyless=0)  # it has read its source to the end
    assert sorted(lines(second)) == [("ana", "created"), ("bea", "created")]


def test_what_is_written_of_another_row_before_does_not_replace_what_a_retry_keeps(open_journal: OpenJournal) -> None:
    """Both rows of a contact are read, but their lines are written one after the other."""
    first = attempt(open_journal)
    for outcome, sent in (("updated", ("_name",)), ("merged", ()), ("invalid", ())):
        history_of(first).add(outcome, "ana", properties=sent)
    first.close(Verdict.TRY_AGAIN, keyless=0)
    second = attempt(open_journal)
    for outcome in ("merged", "invalid"):
        history_of(second).add(outcome, "ana")
        second.lines.commit()
    history_of(second).keep("updated", "ana")
    second.close(Verdict.SUCCESS, keyless=0)
    assert sorted(lines(second)) == [("ana", "invalid"), ("ana", "merged"), ("ana", "updated")]


@pytest.mark.slow
def test_an_attempt_that_did_not_read_its_source_to_the_end_leaves_the_lines_before_it(
    open_journal: OpenJournal,
) -> None:
    first = attempt(open_journal)
    history_of(first).add("undelivered", "ana")
    first.close(Verdict.TRY_AGAIN, keyless=0)
    attempt(open_journal).close(Verdict.TRY_AGAIN)
    third = attempt(open_journal)
    assert lines(third) == [("ana", "undelivered")]
    third.close(Verdict.SUCCESS, keyless=0)
    assert lines(third) == []


def test_a_process_that_comes_back_adds_to_the_lines_of_its_attempt(open_journal: OpenJournal) -> None:
    first = open_journal(history_lines=2)
    first.begin_reading()
    history_of(first).add("created", "ana")
    first.park({}, 0.0)
    second = open_journal(comes_back=True, history_lines=2)
    assert [history_of(second).add("created", key) for key in ("bea", "cleo")] == [True, False]
    second.close(Verdict.SUCCESS, keyless=0)
    assert lines(second) == [("ana", "created"), ("bea", "created")]


def test_one_line_of_a_contact_is_corrected(open_journal: OpenJournal) -> None:
    journal = open_journal()
    for _ in range(2):  # two rows of one contact
        history_of(journal).add("invalid", "ana")
    journal.lines.commit()
    history_of(journal).correct("invalid", "undelivered", "ana", status=503, reason="HTTP 503")
    journal.close(Verdict.TRY_AGAIN)
    assert lines(journal, "outcome, status_code") == [("invalid", None), ("undelivered", 503)]


def test_old_lines_go_in_pieces_and_not_all_at_once(open_journal: OpenJournal, monkeypatch: Any) -> None:
    monkeypatch.setattr(history_retention, "LINES_AT_ONCE", 3)
    monkeypatch.setattr(history_retention, "PIECES_AT_MOST", 2)
    journal = open_journal()
    for number in range(8):
        history_of(journal).add("created", f"user{number}")
    journal.lines.commit()
    database = journal.lines.database
    assert delete_older(database, "nightly", 3600.0, now=0.0) == 0
    assert delete_older(database, "another", 0.0, now=4e9) == 0
    assert delete_older(database, "nightly", 3600.0, now=4e9) == 6
    assert delete_in_pieces(database, history_of(journal).of_run) == 2
    journal.close()


def patches(count: int) -> list[Patch]:
    return [Patch(number, f"User{number}", {"_name": "Ana"}, {}) for number in range(count)]


def left_of(
    batches: Sequence[Sequence[Patch]], seconds_each: float = 0.0, same_key: Callable[[str], str] = str.lower
) -> ChangesLeft:
    now = 0.0

    def one_after_the_other() -> Iterator[Sequence[Patch]]:
        nonlocal now
        for batch in batches:
            now += seconds_each
            yield batch

    return ChangesLeft(one_after_the_other, same_key, clock=lambda: now)


def test_what_was_not_sent_is_undelivered_once_for_each_contact(open_journal: OpenJournal) -> None:
    journal = open_journal()
    beside = Patch(9, "user9", {"_name": "Ana"}, {}, counted_as="invalid")  # its row has an outcome
    left_of([patches(2), [*patches(3), beside]]).note(journal.lines, history_of(journal), "killed")
    assert lines(journal) == [(f"user{number}", "undelivered") for number in range(3)]
    found = journal.lines.differing(dict.fromkeys(["user0", "user9"], "row"), all_differ=True)
    assert found["user9"] is None
    assert found["user0"] is not None
    assert (found["user0"].state, found["user0"].reason) == ("undelivered", "not sent: killed")
    assert found["user0"].says_nothing
    journal.close()


def test_a_key_that_its_resource_cannot_read_is_not_listed(open_journal: OpenJournal) -> None:
    def same_key(key: str) -> str:
        if key == "User1":
            raise ValueError(key)
        return key.lower()

    journal = open_journal()
    left_of([patches(3)], same_key=same_key).note(journal.lines, history_of(journal), "killed")
    assert lines(journal) == [("user0", "undelivered"), ("user2", "undelivered")]
    journal.close()


def test_a_run_that_was_told_to_stop_lists_what_is_left_for_five_seconds(open_journal: OpenJournal) -> None:
    journal = open_journal()
    batches = [patches(20)[start : start + 2] for start in range(0, 20, 2)]
    left_of(batches, seconds_each=3.0).note(journal.lines, history_of(journal), "killed")
    assert len(lines(journal)) == 4
    journal.close()


def test_no_more_is_left_behind_than_the_history_takes(open_journal: OpenJournal) -> None:
    journal = open_journal(history_lines=3)
    left_of([patches(9)]).note(journal.lines, history_of(journal), "killed")
    assert len(lines(journal)) == 3
    journal.close()
