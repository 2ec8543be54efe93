"""The journal's lines of contacts that left the source: which are marked, and which count as known; in SQLite."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_connectif.api.errors import error_class
from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.contacts.resource import ContactResource
from airflow_provider_connectif.journal.confirmation import Confirmation
from airflow_provider_connectif.journal.shown_keys import ShownKeys
from airflow_provider_connectif.journal.store import Journal
from airflow_provider_connectif.records.changes import Digests, Patch
from airflow_provider_connectif.records.outcomes import Outcome, Settled
from airflow_provider_connectif.records.reads import Keyless
from tests.unit.conftest import OpenJournal

MARKED, REJECTED, NEITHER = (True, False), (False, True), (False, False)


def change(key: str, *, is_removal: bool = True) -> Patch:
    patch = Patch(1, key, {"tier": "left"}, {"tier": "left"}, Digests("row", "patch", "mapping", b"", b""))
    return patch._replace(removal="patch", was_delivered=True) if is_removal else patch


def settle(journal: Journal, patch: Patch, outcome: Outcome, status: int = 200, reasons: tuple[str, ...] = ()) -> None:
    confirmation = Confirmation(journal.lines, ContactResource(ContactMapping()), holds_refusals_back=False)
    error = None if status < 300 else error_class(status)(status)
    confirmation.settle(Settled(patch, outcome, error, 1), reasons, None if error is None else status)
    journal.lines.commit()


@pytest.fixture
def journal(open_journal: OpenJournal) -> Journal:
    """The journal of a sync that has delivered five contacts."""
    journal = open_journal()
    for key in "abcde":
        settle(journal, change(key, is_removal=False), Outcome.CREATED)
    return journal


def line(journal: Journal, key: str) -> tuple[str | None, int | None, str | None]:
    found = journal.lines.differing({key: "another row"}, all_differ=True)[key]
    assert found is not None
    return found.state, found.status_code, found.reason


@pytest.mark.parametrize(
    ("outcome", "status", "reasons", "written"),
    [
        (Outcome.REJECTED, 422, ("HTTP 422: tier", "size"), ("left", 422, "HTTP 422: tier; size")),
        (Outcome.REJECTED, 200, (), ("left", None, "rejected by on_response")),
        (Outcome.UNDELIVERED, 503, ("HTTP 503",), ("undelivered", 503, "HTTP 503")),
        (Outcome.SUPPRESSED, 200, (), ("acknowledged", None, None)),  # an erasure deletes the line
        (Outcome.UPDATED, 200, (), ("removed", None, None)),
        (Outcome.UPDATED, 404, ("HTTP 404",), ("removed", None, None)),  # a deleted contact counts as carried out
        (Outcome.SKIPPED, 409, ("HTTP 409",), ("removed", 409, "HTTP 409")),
    ],
)
def test_the_line_of_a_removal_says_what_happened(
    outcome: Outcome,
    status: int,
    reasons: tuple[str, ...],
    written: tuple[str, int | None, str | None],
    journal: Journal,
) -> None:
    settle(journal, change("a"), outcome, status, reasons)
    assert line(journal, "a") == written
    journal.close()


def known(journal: Journal) -> int:
    """Number of contacts of which a share is one, after a complete read."""
    asked = {"identity": {}, "rows": 1, "keyless": Keyless(), "seen": journal.reads.seen, "is_same": False}
    journal.reads.save(run_id="monday", generation=journal.generation, **asked)  # type: ignore[arg-type]
    assert journal.reads.last is not None
    return journal.reads.last.contacts


def marks(journal: Journal, folder: Path) -> dict[str, tuple[bool, bool]]:
    """For each contact that left: whether it is marked, and whether its removal was rejected."""
    batches = journal.left.missing(ShownKeys(folder))
    return {left.key: (left.is_marked, left.is_rejected) for batch in batches for left in batch}


def test_a_rejected_removal_counts_as_known_until_a_read_only_counts_its_contact(
    journal: Journal, tmp_path: Path
) -> None:
    settle(journal, change("a"), Outcome.UPDATED)
    settle(journal, change("b"), Outcome.REJECTED, 422, ("HTTP 422",))
    settle(journal, change("c"), Outcome.UNDELIVERED, 503, ("HTTP 503",))
    journal.left.mark(["d"])
    assert marks(journal, tmp_path) == {"b": REJECTED, "c": NEITHER, "d": MARKED, "e": NEITHER}
    assert known(journal) == 3  # b, c and e
    journal.left.mark(["b"])
    assert (marks(journal, tmp_path)["b"], line(journal, "b")) == (MARKED, ("left", None, None))
    assert known(journal) == 2
    journal.close()
