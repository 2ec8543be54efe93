"""The parts of an erasure, each with a journal in SQLite: the list, what is forgotten, what is waited for, receipts."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
import sqlalchemy as sa

from airflow_provider_connectif.api.errors import NoResponseError, NotFoundError
from airflow_provider_connectif.contacts.by_import import withdrawn_part
from airflow_provider_connectif.contacts.erasure import ContactErasure
from airflow_provider_connectif.contacts.fields import KeyKind
from airflow_provider_connectif.contacts.identity import FORMS, people_beside_key, people_of, person
from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.contacts.named_people import people_beside, people_named, people_of_row
from airflow_provider_connectif.contacts.resource import ContactResource
from airflow_provider_connectif.journal.database import JournalDatabase
from airflow_provider_connectif.journal.forgetting import Forgetting
from airflow_provider_connectif.journal.import_state import Group, ImportState, SentFile
from airflow_provider_connectif.journal.rejects_files import RejectsFiles
from airflow_provider_connectif.journal.store import Journal
from airflow_provider_connectif.journal.suppression import SuppressionList
from airflow_provider_connectif.operators.rejects_file import remove_file
from airflow_provider_connectif.records.changes import Digests, Patch
from airflow_provider_connectif.records.outcomes import JournalError
from airflow_provider_connectif.records.people import PersonKey
from airflow_provider_connectif.records.rows import RowBatch
from airflow_provider_connectif.reporting.verdict import ImportFailed
from airflow_provider_connectif.runs.erasure_sink import check_number
from airflow_provider_connectif.runs.seen_rows import Seen
from airflow_provider_connectif.runs.suppressed_rows import SuppressedRows
from tests.unit.conftest import OpenJournal

ANA, BEN = person("email", "Ana@Example.com"), person("email", "ben@example.com")
SECRET = b"between us"
NEWS = "_newsletterSubscriptionStatus"
DIGESTS = Digests("row", "patch", "mapping")


def forgetting(journal: Journal, **settings: Any) -> Forgetting:
    """Of an erasure in a run of its own, unless the settings say otherwise."""
    own = {"sync_id": "forget", "run_id": "forget", "task": "forget[-1]"} | settings
    return Forgetting(journal.database, journal.suppressions, journal.settings.__class__(**own), FORMS)


def forget(journal: Journal, *people: PersonKey, waits_for_uploads: bool = False, **settings: Any) -> None:
    it = forgetting(journal, **settings)
    journal.database.write(lambda connection: it.forget(connection, people, waits_for_uploads=waits_for_uploads))


def rows_of(journal: Journal, table: str, columns: str = "*") -> list[Any]:
    return list(journal.database.rows(sa.text(f"select {columns} from connectif_journal{table}")))  # type: ignore[arg-type]


def keys_of(journal: Journal, table: str = "") -> set[str]:
    return {key for (key,) in rows_of(journal, table, "contact_key")}


def patch(number: int, key: str, **properties: Any) -> Patch:
    return Patch(number, key, properties, {}, DIGESTS)


# The suppression list


def test_a_person_is_on_the_list_in_any_spelling_and_as_an_hmac(open_journal: OpenJournal) -> None:
    journal = open_journal()
    assert journal.suppressions.is_empty()
    journal.suppressions.add([ANA], "run")
    for spelling in ("ana@example.com", " ANA@EXAMPLE.COM "):
        assert journal.suppressions.among(people_named(spelling)) == {ANA}
    assert journal.suppressions.among([BEN, PersonKey("external_id", ANA.key)]) == set()
    assert "ana" not in str(rows_of(journal, "_suppressed"))


def test_a_list_of_another_secret_is_not_taken_for_an_empty_one(open_journal: OpenJournal) -> None:
    journal = open_journal(list_secret=SECRET)
    journal.suppressions.add([ANA], "run")
    without = SuppressionList(journal.database, None)
    without.is_there = True
    for ask in (lambda: without.among([BEN]), without.snapshot, lambda: without.add([BEN], "run")):
        with pytest.raises(JournalError, match="written with another secret"):
            ask()


def test_a_snapshot_knows_whom_the_list_knew_then(open_journal: OpenJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = open_journal()
    assert journal.suppressions.snapshot() is None
    journal.suppressions.add([ANA], "run")
    in_memory = journal.suppressions.snapshot()
    monkeypatch.setattr("airflow_provider_connectif.journal.suppression._MOST_IN_MEMORY", 0)
    of_long_list = journal.suppressions.snapshot()
    for snapshot in (in_memory, of_long_list):
        assert snapshot is not None
        assert snapshot([ANA, BEN]) == {ANA}


def test_who_is_taken_off_is_not_found(open_journal: OpenJournal) -> None:
    journal = open_journal()
    journal.suppressions.add([ANA, BEN], "run")
    assert journal.suppressions.unsuppress(people_named("ANA@example.com")) == 1
    assert journal.suppressions.among([ANA, BEN]) == {BEN}


# Whom a row names


def test_a_row_names_people_by_both_keys() -> None:
    mapping = ContactMapping("external_id", properties={"_email": "mail"})
    assert people_of_row(mapping, {"external_id": 42, "mail": " ANA@example.com"}) == [
        PersonKey("external_id", "42"),
        ANA,
    ]
    rows = RowBatch(("external_id", "mail"), [("C1", "Ana@example.com"), ("C2", None), ("C3", "nobody")])
    assert people_beside(mapping, rows) == {0: ANA}


def test_a_typed_key_is_read_by_the_rules_of_rows() -> None:
    assert PersonKey("email", "ana@xn--mnchen-3ya.de") in people_named(" Ana@MÜNCHEN.de ")
    assert PersonKey("external_id", "C2") in people_named("C2 ")


def compared(journal: Journal, rows: Iterable[tuple[str, str]], seen: Iterable[int] = ()) -> set[int]:
    """The places of rows that count as suppressed; all but those that are seen are unchanged."""
    batch = RowBatch(("external_id", "_email"), list(rows))
    resource = ContactResource(ContactMapping("external_id"))
    return SuppressedRows(journal, resource).among(
        batch, [Seen(place, batch.values[place][0], "", None) for place in seen]
    )


@pytest.mark.parametrize("seen", [(), (0,), (0, 1)])
def test_a_row_counts_as_suppressed_whether_or_not_it_has_changed(
    seen: tuple[int, ...], open_journal: OpenJournal
) -> None:
    journal = open_journal()
    for key in ("C1", "C2"):
        journal.lines.acknowledge(key, DIGESTS)
    rows = [("C1", "ANA@example.com"), ("C2", "ben@example.com")]
    assert compared(journal, rows, seen) == set()
    journal.suppressions.add([ANA], "run")
    assert compared(journal, rows, seen) == {0}
    journal.lines.commit()
    assert keys_of(journal) == {"C2"}


# What is forgotten


def acknowledge_suppressed(journal: Journal, *, is_erased: bool) -> None:
    """A request that was under way is accepted after its person was suppressed."""
    journal.lines.person_of = ContactErasure().person_of
    journal.suppressions.add([ANA], "run")
    if is_erased:
        it = forgetting(journal)
        journal.database.write(lambda connection: it.write_receipts(connection, {ANA: "absent"}, "forget", -1))
    journal.lines.acknowledge(ANA.key, DIGESTS, sent="Ana@Example.com")
    journal.lines.commit()


def test_the_spelling_of_a_late_response_stays_until_the_receipt(open_journal: OpenJournal) -> None:
    journal = open_journal()
    acknowledge_suppressed(journal, is_erased=False)
    assert forgetting(journal).sent_keys([ANA]) == {ANA.key: ["Ana@Example.com"]}


@pytest.mark.parametrize("is_erased", [False, True])
def test_a_sync_forgets_the_spelling_of_a_suppressed_person_after_the_receipt_only(
    is_erased: bool, open_journal: OpenJournal
) -> None:
    journal = open_journal()
    journal.lines.acknowledge(ANA.key, DIGESTS, sent="Ana@Example.com")
    journal.lines.commit()
    acknowledge_suppressed(journal, is_erased=is_erased)
    journal.lines.forget([ANA.key])
    journal.lines.commit()
    assert keys_of(journal) == (set() if is_erased else {ANA.key})


def test_a_late_response_after_the_receipt_leaves_no_line(open_journal: OpenJournal) -> None:
    journal = open_journal()
    acknowledge_suppressed(journal, is_erased=True)
    assert keys_of(journal) == set()


def test_lines_and_history_of_every_sync_are_deleted_plain_and_as_digests(open_journal: OpenJournal) -> None:
    journal = open_journal(key_secret=SECRET)
    plain = open_journal(task="other[-1]")
    for each in (journal, plain):
        for key in (ANA.key, BEN.key):
            each.lines.acknowledge(key, DIGESTS)
            assert each.history is not None
            each.history.add("created", key)
        each.lines.commit()
    assert len(keys_of(journal)) == len(keys_of(journal, "_outcomes")) == 4
    forget(journal, ANA, list_secret=SECRET)
    left = {BEN.key, journal.lines.written_key(BEN.key)}
    assert keys_of(journal) == keys_of(journal, "_outcomes") == left


@pytest.mark.parametrize("secret", [None, SECRET])
def test_a_pending_change_that_names_her_is_deleted_and_counted(
    secret: bytes | None, open_journal: OpenJournal
) -> None:
    journal = open_journal(key_secret=secret)
    changes = [patch(1, "C1", _email="ANA@example.com"), patch(2, "C2", _email="ben@example.com")]
    journal.plan.add([*changes, patch(3, ANA.key)], lambda key: key)
    journal.plan.save({})
    forget(journal, ANA, list_secret=secret)
    assert [each.key for batch in journal.plan.patches() for each in batch] == ["C2"]
    assert journal.plan.take_removed() == 2


def test_a_change_that_was_delivered_while_an_erasure_removed_it_is_counted_once(open_journal: OpenJournal) -> None:
    journal = open_journal()
    journal.plan.add([patch(1, ANA.key), patch(2, BEN.key)], lambda key: key)
    journal.plan.save({})
    places = [each.place for batch in journal.plan.patches() for each in batch]
    forget(journal, ANA)
    journal.database.write(lambda connection: journal.plan.settle_counted(connection, places))
    assert (journal.plan.count(), journal.plan.take_removed()) == (0, 0)


def uploaded(journal: Journal, *, is_open: bool = True) -> None:
    """A file with three contacts, whose import has not ended."""
    lines = journal.plan.import_lines
    lines.begin()
    named = {"C1": [ANA], "C2": [BEN]}
    contacts = [patch(number, key) for number, key in enumerate(("C1", "C2", "C3"), 1)]
    lines.add([(each, 0, True) for each in contacts], lambda key: key, lambda each: named.get(each.key, []))
    sent = SentFile(0, 3, since=time.time() if is_open else None, import_id="i1" if is_open else None)
    journal.plan.save(ImportState([sent], [Group([0], 3)]).as_json())


@pytest.mark.parametrize("secret", [None, SECRET])
def test_an_upload_that_carries_her_under_another_key_is_found(secret: bytes | None, open_journal: OpenJournal) -> None:
    journal = open_journal(key_secret=secret)
    uploaded(journal)
    it = forgetting(journal, list_secret=secret)
    assert [upload.import_id for upload in it.open_uploads([ANA])] == ["i1"]
    assert it.open_uploads([person("email", "eva@example.com")]) == []
    assert "ana" not in str(rows_of(journal, "_pending"))


@pytest.mark.slow
def test_what_says_for_which_upload_to_wait_stays_until_it_has_ended(open_journal: OpenJournal) -> None:
    journal = open_journal()
    uploaded(journal)
    forget(journal, ANA, waits_for_uploads=True)
    assert keys_of(journal, "_pending") == {"C1", "C2", "C3"}
    forget(journal, ANA)
    assert keys_of(journal, "_pending") == {"C2", "C3"}


UNFIT = {"external_id": "C1", "_email": " Ana@example.com", "_points": "x", NEWS: "unsubscribed"}
"""A row of which only the withdrawn consent is sent."""


def parts_alone() -> list[Patch]:
    """The consent of an invalid row, and of a row that no file can contain."""
    of_invalid = ContactResource(ContactMapping("external_id")).urgent_part_of_row(1, UNFIT)
    consent = {NEWS: "unsubscribed"}
    of_unfit = withdrawn_part(Patch(2, "C2", {**consent, "_email": "ana@example.com", "x": ["a|b"]}, {}, DIGESTS))
    # The e-mail may be known already, so that it is among the properties that are not sent.
    known = Patch(3, "C3", {**consent, "x": ["a|b"]}, {}, DIGESTS, others={"_email": "ana@example.com"})
    parts = [of_invalid, of_unfit, withdrawn_part(known)]
    assert all(part is not None and part.properties == consent for part in parts)
    return [part._replace(digests=DIGESTS, counted_as="invalid") for part in parts if part is not None]


@pytest.mark.parametrize("secret", [None, SECRET])
def test_a_consent_that_goes_alone_is_found_by_the_other_key_of_its_row(
    secret: bytes | None, open_journal: OpenJournal
) -> None:
    journal = open_journal(key_secret=secret)
    lines = journal.plan.import_lines
    lines.begin()
    lines.add([(part, 0, True) for part in parts_alone()], lambda key: key, people_beside_key)
    sent = SentFile(0, 3, since=time.time(), import_id="i1")
    journal.plan.save(ImportState([sent], [Group([0], 3, counted_as="invalid")]).as_json())
    it = forgetting(journal, list_secret=secret)
    assert [upload.import_id for upload in it.open_uploads([ANA])] == ["i1"]
    forget(journal, ANA, list_secret=secret)
    assert keys_of(journal, "_pending") == set()


def test_so_it_is_in_a_plan_of_requests(open_journal: OpenJournal) -> None:
    journal = open_journal()
    journal.plan.add(parts_alone(), lambda key: key)
    journal.plan.save({})
    assert all(ANA in people_of("external_id", part) for batch in journal.plan.patches() for part in batch)
    forget(journal, ANA)
    assert (keys_of(journal, "_pending"), journal.plan.take_removed()) == (set(), 0)


def test_a_file_that_is_not_uploaded_loses_her_at_once(open_journal: OpenJournal) -> None:
    journal = open_journal()
    uploaded(journal, is_open=False)
    assert forgetting(journal).open_uploads([ANA]) == []
    forget(journal, ANA, waits_for_uploads=True)
    assert keys_of(journal, "_pending") == {"C2", "C3"}


@pytest.mark.parametrize(
    ("own", "is_waited_for"),
    [
        ({}, True),
        ({"sync_id": "nightly"}, True),  # another run with the sync
        ({"sync_id": "nightly", "run_id": "monday"}, True),  # another task of the run
        ({"sync_id": "nightly", "run_id": "monday", "task": "contacts[4]"}, False),  # the task itself, another index
    ],
)
def test_only_the_task_itself_is_not_waited_for(
    own: dict[str, str], is_waited_for: bool, open_journal: OpenJournal
) -> None:
    journal = open_journal(task="contacts[-1]")
    journal.plan.add([patch(1, ANA.key)], lambda key: key)
    journal.plan.save({})
    it = forgetting(journal, **own)
    assert it.runs_at_work_since(it.now() + 60.0) == int(is_waited_for)
    forget(journal, ANA, **own)
    assert journal.plan.count() == int(not is_waited_for)


def test_an_erasure_takes_nobody_out_of_the_plan_of_another_one(open_journal: OpenJournal) -> None:
    journal = open_journal()
    journal.plan.add([patch(1, ANA.key)], lambda key: key)
    journal.plan.save({"erases": True})
    forget(journal, ANA)
    assert (journal.plan.count(), journal.plan.take_removed()) == (1, 0)


# Receipts


def test_a_receipt_is_found_by_the_attempts_of_its_task_only(open_journal: OpenJournal) -> None:
    journal, began_at = open_journal(), time.time() - 1.0
    it = forgetting(journal)
    journal.database.write(lambda connection: it.write_receipts(connection, {ANA: "deleted"}, "forget", 2))
    people = [ANA, BEN]
    assert it.results_of(people, "forget", 2, began_at) == {ANA: "deleted"}
    assert it.results_of(people, "forget", 1, began_at) == {}
    assert it.results_of(people, "another", 2, began_at) == {}
    assert it.results_of(people, "forget", 2, time.time() + 60.0) == {}  # of a run that was cleared since
    assert "ana" not in str(rows_of(journal, "_receipts"))


# What is sent


class Wire:
    """A client whose responses are given."""

    def __init__(self, *responses: bool | Exception) -> None:
        self.responses = list(responses)
        self.keys: list[str] = []

    def delete_contact(self, key: str) -> bool:
        """Delete, or say that there is none."""
        self.keys.append(key)
        response = self.responses.pop(0)
        if isinstance(response, Exception):
            raise response
        return response


def sent(change: Patch, *responses: bool | Exception) -> tuple[list[str], Any]:
    """The keys of the requests, and the outcome."""
    resource, wire, outcome = ContactErasure(), Wire(*responses), None
    while change.properties:
        answer = resource.send(wire, change)  # type: ignore[arg-type]
        step = resource.step(change, answer)
        assert step is not None
        change, outcome = step.patch, step.outcome
    return wire.keys, outcome.value if outcome else None


def test_each_spelling_is_deleted_and_the_common_one_where_none_was_there() -> None:
    erasure = ContactErasure()
    first = erasure.prepare(1, {"email": "Ana@Example.com"})
    both = first._replace(properties=erasure.merged(first.properties, {"1": "ANA@example.com"}))
    assert sent(both, True, False) == (["Ana@Example.com", "ANA@example.com"], "deleted")
    assert sent(both, False, False, False) == (["Ana@Example.com", "ANA@example.com", "ana@example.com"], "absent")
    assert sent(both, False, False, True)[1] == "deleted"


def test_a_plan_is_not_taken_for_one_of_another_operator_or_key() -> None:
    resources = [
        each for key in get_args(KeyKind) for each in (ContactErasure(key), ContactResource(ContactMapping(key)))
    ]
    assert len({resource.plan_kind for resource in resources}) == 4


def test_a_spelling_that_was_sent_already_is_not_added_again() -> None:
    erasure = ContactErasure()
    change = erasure.prepare(1, {"email": "ana@example.com"})._replace(others={"tried": ["ANA@example.com"]})
    more = erasure.with_spellings(change, ["ANA@example.com", "Ana@Example.com", "ana@example.com"])
    assert list(more.properties.values()) == ["ana@example.com", "Ana@Example.com"]


def test_a_404_without_the_error_document_is_no_response() -> None:
    change = ContactErasure().prepare(1, {"email": "ana@example.com"})
    with pytest.raises(NoResponseError):
        sent(change, NotFoundError(404))


def test_one_person_too_many_is_too_many() -> None:
    check_number(100, 100, "contact")
    with pytest.raises(ImportFailed, match="The source has 101 contacts to delete, but max_deleted allows 100"):
        check_number(101, 100, "contact")


# The file of SQLite, and files of refused rows


def test_the_write_ahead_log_has_nothing_of_what_was_deleted(open_journal: OpenJournal, path: Path) -> None:
    journal = open_journal()
    journal.database.execute(sa.text("pragma journal_mode = wal"))
    with journal.database.engine.connect() as reader:
        reader.execute(sa.text("select 1 from connectif_journal")).fetchall()
        reader.rollback()
        journal.lines.acknowledge(ANA.key, DIGESTS)
        journal.lines.commit()
        forget(journal, ANA)
        assert journal.database.overwrite_deleted()
        assert not any(ANA.key.encode() in file.read_bytes() for file in path.parent.iterdir())


@pytest.mark.slow
def test_a_file_that_is_in_use_is_not_called_overwritten(open_journal: OpenJournal, path: Path) -> None:
    open_journal().database.execute(sa.text("pragma journal_mode = wal"))
    impatient = sa.create_engine(f"sqlite:///{path}", connect_args={"timeout": 0.05})
    database = JournalDatabase(impatient, "connectif_journal")
    with impatient.connect() as reader:
        reader.exec_driver_sql("begin")
        reader.exec_driver_sql("select 1 from connectif_journal").fetchall()
        assert not database.overwrite_deleted()
        reader.rollback()
    assert database.overwrite_deleted()
    impatient.dispose()


def test_a_file_of_refused_rows_that_another_task_wrote_is_not_removed(open_journal: OpenJournal) -> None:
    journal = open_journal()
    first, second = (RejectsFiles(journal.database, sync, "dag.task") for sync in ("first", "second"))
    first.note("shared")
    second.note("shared")
    first.note("own")
    removed: list[str] = []
    ago = timedelta(seconds=-1.0)  # all is older than a moment that is to come

    def remove(path: str, begun_at: float, changed_before: float) -> bool | None:
        removed.append(path)
        return True

    assert first.remove_old(ago, remove) == 1
    assert removed == ["own"]
    assert second.remove_old(ago, lambda *_: None) == 0
    assert len(rows_of(journal, "_rejects_files")) == 1


def test_a_file_of_refused_rows_is_removed_only_where_it_is_the_tasks_and_old(tmp_path: Path) -> None:
    path = tmp_path / "rejects.jsonl"
    path.touch()
    now, day = datetime.now(UTC).timestamp(), 86_400.0
    assert remove_file(str(path), now - 2 * day, now + day) is False  # changed long after it was begun
    assert remove_file(str(path), now, now - day) is None  # not old yet
    assert path.exists()
    assert remove_file(str(path), now, now + day) is True
    assert not path.exists()
    assert remove_file(str(path), now, now + day) is False
