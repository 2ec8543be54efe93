"""The pending store: one change for each contact, in the order of sending, and gone with its process."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_connectif.api.quota import Quota
from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.contacts.resource import ContactResource
from airflow_provider_connectif.journal.differences import Differences
from airflow_provider_connectif.journal.left_behind import ChangesLeft
from airflow_provider_connectif.journal.pending import PendingChange, PendingChanges, Rank
from airflow_provider_connectif.journal.properties import Known
from airflow_provider_connectif.journal.seen_texts import SeenTexts
from airflow_provider_connectif.records.changes import Patch
from airflow_provider_connectif.records.outcomes import PendingError
from airflow_provider_connectif.records.raw_rows import RawBatch, Texts
from airflow_provider_connectif.runs.check_sink import RequestPreview

CONTACTS = ContactResource(ContactMapping())


DIFFERENCES = Differences(CONTACTS, "mapping", "", None, sends_all=False)


def change(number: int, key: str = "", rank: Rank = Rank.NEW, **properties: Any) -> PendingChange:
    key = key or f"user{number}@example.com"
    patch = Patch(number, key, properties, {"email": key})
    return PendingChange(DIFFERENCES.of(patch, key.lower(), Known(), f"row{number}").patch, key.lower(), rank)


def sent(changes: PendingChanges) -> list[tuple[int, str, dict[str, Any]]]:
    return [(patch.number, patch.key, dict(patch.properties)) for batch in changes.batches() for patch in batch]


@pytest.mark.parametrize("is_new", [True, False])
@pytest.mark.parametrize("rank", Rank)
def test_changes_come_back_as_they_were(rank: Rank, is_new: bool) -> None:
    made = change(1, rank=rank, city="Málaga", tags=["a", "b"], points=3, ratio=0.1, none=None, active=True)
    patch = made.patch._replace(is_new=is_new)
    with PendingChanges(CONTACTS, DIFFERENCES) as changes:
        changes.add([made._replace(patch=patch)])
        ((found,),) = changes.batches()
    assert found == patch


@pytest.mark.parametrize("ranks", [(Rank.CHANGED, Rank.URGENT), (Rank.URGENT, Rank.CHANGED)])
def test_a_change_of_several_rows_has_the_first_of_their_ranks(ranks: tuple[Rank, Rank]) -> None:
    of_ana = [change(number, "ana@example.com", rank) for number, rank in enumerate(ranks, 2)]
    with PendingChanges(CONTACTS, DIFFERENCES) as changes:
        changes.add([change(1, rank=Rank.NEW), *of_ana])
        assert [number for number, _, _ in sent(changes)] == [3, 1]


def test_a_check_counts_the_requests_of_changes_that_wait_one_by_one_and_the_others_at_once() -> None:
    preview = RequestPreview(logging.getLogger(__name__), Quota())
    with PendingChanges(CONTACTS, DIFFERENCES) as changes:
        changes.add([change(number, _name="Ana") for number in range(1, 4)])
        changes.add([change(4, _name="Bea", _newsletterSubscriptionStatus="subscribed")])
        assert [patch.number for patch in changes.waiting()] == [4]
        preview.look(changes, CONTACTS)
    assert preview.valid == 4
    summary = preview.summary()
    assert (summary["requests_least"], summary["requests_most"]) == (4, 5)


class Decoded:
    """Texts of a database that are texts."""

    types: Sequence[int] | None = (25, 25, 25, 25)
    settings = ("UTC",)

    def row(self, raw: Texts) -> Sequence[Any]:
        return [None if text is None else text.decode() for text in raw]

    def column(self, rows: Iterable[Texts], position: int) -> list[Any]:
        return [self.row(row)[position] for row in rows]

    def loader(self, position: int) -> Callable[[bytes], Any]:
        return bytes.decode


class OfAnAuthor(Decoded):
    """Texts that an author's code converts."""

    types = None


COLUMNS = ("email", "city", "tier", "name")
TEXTS = [(b"Ana@example.com", b"Jaen", None, b""), (b"bea@example.com", b"M\xc3\xa1laga", b"gold", b"Bea")]


@pytest.mark.parametrize("is_known", [True, False])
@pytest.mark.parametrize("values", [Decoded(), OfAnAuthor()])
def test_changes_of_rows_as_texts_come_back_as_they_were(values: Decoded, is_known: bool) -> None:
    batch = RawBatch(COLUMNS, TEXTS, values)
    made = []
    for number, row in enumerate(batch, 1):
        patch = CONTACTS.prepare(number, row)
        contact = CONTACTS.same_key(patch.key)
        before = DIFFERENCES.of(CONTACTS.prepare(1, {**row, "city": "Rome"}), contact, Known(), "").patch.digests
        assert before is not None
        known = Known(before.properties, before.patch) if is_known else Known()
        patch = DIFFERENCES.of(patch, contact, known, f"row{number}").patch._replace(is_new=not is_known)
        made.append(PendingChange(patch, contact, Rank.CHANGED, known.whole))
    with PendingChanges(CONTACTS, DIFFERENCES) as changes:
        changes.add(made)
        (found,) = changes.batches()
        assert changes.patches_of(["ana@example.com"]) == {"ana@example.com": made[0].patch}
    assert found == [change.patch for change in made]
    assert [list(patch.properties) for patch in found] == [list(change.patch.properties) for change in made]
    assert all(set(patch.properties) == {"city"} for patch in found) is is_known


@pytest.mark.parametrize("columns", [4, 1])
def test_a_change_of_a_row_as_texts_with_nothing_to_send_comes_back_as_it_was(columns: int) -> None:
    """Of a contact with several rows that Connectif holds, and of a new contact that has nothing but its key."""
    (row,) = RawBatch(COLUMNS[:columns], [texts[:columns] for texts in TEXTS[:1]], Decoded())
    patch, contact = CONTACTS.prepare(1, row), "ana@example.com"
    held = DIFFERENCES.of(patch, contact, Known(), "").patch.digests
    assert held is not None
    made = DIFFERENCES.of(patch, contact, Known(held.properties, held.patch) if columns > 1 else Known(), "row").patch
    assert made.properties == {}
    with PendingChanges(CONTACTS, DIFFERENCES) as changes:
        changes.add([PendingChange(made, contact)])
        ((found,),) = changes.batches()
    assert found == made


def test_a_row_as_texts_and_another_of_its_contact_are_one_change() -> None:
    (row,) = RawBatch(COLUMNS, TEXTS[:1], Decoded())
    of_texts = DIFFERENCES.of(CONTACTS.prepare(7, row), "ana@example.com", Known(), "row7").patch
    with PendingChanges(CONTACTS, DIFFERENCES) as changes:
        changes.add([change(1), PendingChange(of_texts, "ana@example.com")])
        changes.add([change(8, "ana@example.com", tier="gold")])
        changes.add([change(9), change(10, "user1@example.com", tier="gold")])
        assert sent(changes) == [
            (10, "user1@example.com", {"tier": "gold"}),
            (8, "ana@example.com", {"city": "Jaen", "name": "", "tier": "gold"}),
            (9, "user9@example.com", {}),
        ]
        assert changes.merged == 2


def test_every_text_that_was_seen_is_found_again() -> None:
    seen, texts = SeenTexts(), [f"user{number}@example.com" for number in range(2000)]
    assert seen.maybe(texts) == []
    assert len(seen.add(texts[:1000])) < 10
    assert seen.maybe(texts[:1000]) == texts[:1000] == seen.add(texts[:1000])
    assert len(seen.maybe(texts[1000:])) < 10


def test_changes_without_digests_have_none_when_they_come_back() -> None:
    with PendingChanges(CONTACTS) as changes:
        changes.add([PendingChange(Patch(1, "ana@example.com", {"city": "Madrid"}, {}), "ana@example.com")])
        ((found,),) = changes.batches()
    assert found.digests is None
    assert found.row == {}


def test_changes_are_sent_by_rank_and_then_by_row() -> None:
    ranks = [Rank.REJECTED_BEFORE, Rank.CHANGED, Rank.NEW, Rank.CHANGED, Rank.URGENT]
    with PendingChanges(CONTACTS, DIFFERENCES) as changes:
        changes.add(change(number, rank=rank) for number, rank in enumerate(ranks, 1))
        assert [number for number, _, _ in sent(changes)] == [5, 3, 2, 4, 1]
        assert changes.count_of(Rank.CHANGED) == 2


@pytest.mark.parametrize("together", [True, False])
def test_several_rows_of_a_contact_are_one_change_with_the_later_values(together: bool) -> None:
    rows = [change(1, "ana@example.com", city="Madrid", name="Ana"), change(9, "ANA@example.com", city="Jaén")]
    with PendingChanges(CONTACTS, DIFFERENCES) as changes:
        for part in [rows] if together else [[row] for row in rows]:
            changes.add(part)
        assert (len(changes), changes.merged) == (1, 1)
        ((patch,),) = changes.batches()
    assert (patch.number, patch.key) == (9, "ANA@example.com")
    assert patch.properties == {"city": "Jaén", "name": "Ana"}
    expected = Patch(9, "ANA@example.com", {"city": "Jaén", "name": "Ana"}, {})
    assert patch.digests == DIFFERENCES.of(expected, "ana@example.com", Known(), "").patch.digests


@pytest.mark.parametrize("values", [("subscribed", "unsubscribed"), ("unsubscribed", "subscribed")])
def test_of_a_consent_in_several_rows_the_lowest_rank_counts(values: tuple[str, str]) -> None:
    with PendingChanges(CONTACTS, DIFFERENCES) as changes:
        for number, value in enumerate(values, 1):
            changes.add([change(number, "ana@example.com", _newsletterSubscriptionStatus=value)])
        assert sent(changes)[0][2] == {"_newsletterSubscriptionStatus": "unsubscribed"}


def test_a_contact_whose_change_was_dropped_may_have_another() -> None:
    with PendingChanges(CONTACTS, DIFFERENCES) as changes:
        changes.add([change(1, "ana@example.com", city="Madrid"), change(2, "bea@example.com", city="Jaén")])
        assert changes.holds(["ana@example.com"])
        changes.drop(["ana@example.com"])
        changes.add([change(3, "ana@example.com", city="Cádiz")])
        assert [patch.number for batch in changes.batches() for patch in batch] == [2, 3]


def test_it_is_known_which_contacts_have_a_change() -> None:
    with PendingChanges(CONTACTS, DIFFERENCES) as changes:
        assert changes.holds(["user1@example.com"]) == set()
        changes.add([change(1), change(2)])
        assert changes.holds(["user1@example.com", "user3@example.com"]) == {"user1@example.com"}


def test_merged_changes_that_connectif_holds_or_has_refused_are_taken_out() -> None:
    with PendingChanges(CONTACTS, DIFFERENCES) as changes:
        for number, key in enumerate(["held@x.org", "held@x.org", "refused@x.org", "refused@x.org", "one@x.org"], 1):
            made = change(number, key, city="Jaén")
            digests = made.patch.digests
            assert digests is not None
            if key == "refused@x.org":
                made = made._replace(refused_digest=digests.patch)
            else:
                digests = digests._replace(before=digests.properties)
            changes.add([made._replace(patch=made.patch._replace(digests=digests))])
        assert len(list(changes.take_acknowledged())) == 1
        assert [refused.contact for refused in changes.take_refused()] == ["refused@x.org"]
        assert [key for _, key, _ in sent(changes)] == ["one@x.org"]  # of one row: looked at when it was read
        assert len(changes) == 1


def test_large_rows_come_in_short_batches() -> None:
    with PendingChanges(CONTACTS) as changes:
        for number in range(30):
            changes.add([change(number, text="x" * 500_000)])
        batches = [len(batch) for batch in changes.batches()]
    assert sum(batches) == 30
    assert max(batches) <= 8


def test_a_source_that_does_not_end_is_an_error_that_names_limit_folder_and_size(tmp_path: Path) -> None:
    with PendingChanges(CONTACTS, folder=tmp_path, limit_bytes=200_000) as changes:

        def never_end() -> None:
            for number in range(10_000):
                changes.add([change(number, text="secret" * 20)])

        with pytest.raises(PendingError, match=r"reach pending_limit, 0\.0002 GB \(197 kB in '.*'\); nothing") as error:
            never_end()
        assert error.value.final
        assert "secret" not in str(error.value)


def test_after_a_failed_write_nothing_is_read_any_more(tmp_path: Path) -> None:
    with PendingChanges(CONTACTS, folder=tmp_path, limit_bytes=200_000) as changes:
        changes.add([change(1)])
        with pytest.raises(PendingError, match="reach pending_limit") as first:
            changes.add([change(number, text="x" * 200) for number in range(2, 2_000)])
        uses: list[Callable[[], Any]] = [
            lambda: list(changes.batches()),
            lambda: list(changes.contacts()),
            lambda: changes.count_of(Rank.NEW),
            lambda: changes.spread(1),
            lambda: changes.add([change(3_000)]),
        ]
        for use in uses:
            with pytest.raises(PendingError) as later:
                use()
            assert (str(later.value), later.value.final) == (str(first.value), True)
        assert changes.size_bytes > 0


def truncate_file_of(folder: Path) -> None:
    """Cut off most of the file without a name, as a full disk does while SQLite writes without a journal."""
    for link in Path("/proc/self/fd").iterdir():
        if os.path.realpath(link).startswith(str(folder)):
            os.truncate(link, 24_576)


def test_a_torn_file_is_an_error_and_a_run_that_has_failed_ends_without_its_list(tmp_path: Path) -> None:
    with PendingChanges(CONTACTS, folder=tmp_path) as changes:
        changes.add([change(number, text="secret" * 300) for number in range(100)])
        changes._database.execute("pragma shrink_memory")  # else SQLite would read its own memory
        truncate_file_of(tmp_path)
        with pytest.raises(PendingError, match=r"cannot be read \(.*malformed; \d+ kB in '.*'\); nothing") as error:
            list(changes.batches())
        assert not error.value.final
        assert "secret" not in str(error.value)
        no_journal: Any = None  # nothing is written, since no change can be read
        ChangesLeft(changes.batches, str).note(no_journal, no_journal, "the run failed")


def test_once_changes_may_have_been_sent_no_error_says_otherwise(tmp_path: Path) -> None:
    with PendingChanges(CONTACTS, folder=tmp_path, limit_bytes=200_000) as changes:
        changes.begin_sending()
        with pytest.raises(PendingError, match="reach pending_limit") as error:
            changes.add([change(number, text="x" * 200) for number in range(2_000)])
        assert "nothing was sent" not in str(error.value)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    words = r"cannot be stored in '.*nowhere' \(No such file or directory\); nothing was sent. Check that"
    with pytest.raises(PendingError, match=words):
        PendingChanges(CONTACTS, folder=tmp_path / "nowhere")


@pytest.mark.slow
def test_a_full_disk_is_an_error_that_another_attempt_may_not_meet(tmp_path: Path) -> None:
    code = (
        "import resource, signal; from pathlib import Path\n"
        "from airflow_provider_connectif.contacts.mapping import ContactMapping\n"
        "from airflow_provider_connectif.contacts.resource import ContactResource\n"
        "from airflow_provider_connectif.journal.pending import PendingChange, PendingChanges\n"
        "from airflow_provider_connectif.records.changes import Patch\n"
        "from airflow_provider_connectif.records.outcomes import PendingError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"changes = PendingChanges(ContactResource(ContactMapping()), folder=Path({str(tmp_path)!r}))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))\n"
        "try:\n"
        "    changes.add(PendingChange(Patch(n, str(n), {'text': 'x' * 100_000}, {}), str(n)) for n in range(600))\n"
        "except PendingError as error: print(error.final, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("False the disk is full: the pending changes take "), done.stderr
    assert f"in {str(tmp_path)!r} so far; nothing was sent. Free space there, or set [conn" in done.stdout


@pytest.mark.slow
def test_no_file_is_left_behind_by_a_process_that_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path\n"
        "from airflow_provider_connectif.contacts.mapping import ContactMapping\n"
        "from airflow_provider_connectif.contacts.resource import ContactResource\n"
        "from airflow_provider_connectif.journal.pending import PendingChange, PendingChanges\n"
        "from airflow_provider_connectif.records.changes import Patch\n"
        f"changes = PendingChanges(ContactResource(ContactMapping()), folder=Path({str(tmp_path)!r}))\n"
        "changes.add(PendingChange(Patch(n, str(n), {'text': 'x' * 100_000}, {}), str(n)) for n in range(600))\n"
        "print(changes.size_bytes, flush=True); time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert int(process.stdout.readline()) > 50_000_000  # far more than is kept in memory
        assert list(tmp_path.iterdir()) == []
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert list(tmp_path.iterdir()) == []
