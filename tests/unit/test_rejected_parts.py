"""The consent of an invalid or held row, sent alone in an import that rejects it: the journal's part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import sqlalchemy as sa

from airflow_provider_connectif.contacts.consent import RANKS
from airflow_provider_connectif.imports.rules import ImportRules
from airflow_provider_connectif.imports.writing import add_withdrawn_part
from airflow_provider_connectif.journal.import_settlement import refuse_contacts, settle_files
from airflow_provider_connectif.journal.patch_columns import accepted, refused_before, remaining
from airflow_provider_connectif.journal.properties import (
    Mark,
    PropertyDigester,
    marked_kept,
    refused_marks,
    updated,
    value_digest,
)
from airflow_provider_connectif.journal.store import Journal
from airflow_provider_connectif.records.changes import Digests, Patch
from tests.unit.conftest import OpenJournal

NEWS, SMS = "_newsletterSubscriptionStatus", "_smsSubscriptionStatus"
DIGESTER = PropertyDigester("")


def column(key: str, **properties: str) -> bytes:
    return b"".join(DIGESTER.entries(key, properties))


def part(number: int, row: str, counted_as: str, before: bytes | None = None, **more: Any) -> Patch:
    key, consent = f"C{number}", {NEWS: "unsubscribed"}
    return Patch(
        number,
        key,
        consent,
        {},
        Digests(row, "patch", "mapping", column(key, **consent), before),
        counted_as=counted_as,
        **more,
    )


def line_of(journal: Journal, key: str) -> Any:
    text = "select state, properties, row_digest, delivered_at from connectif_journal where contact_key = :key"
    (line,) = journal.database.rows(sa.text(text).bindparams(key=key))  # type: ignore[arg-type]
    return line


def rejected(journal: Journal, parts: Sequence[Patch], numbers: Sequence[int]) -> None:
    """Import these parts; some are rejected."""
    for each in parts:
        if (before := remaining(each)) is not None:
            known = column(each.key, _name="Old", **{NEWS: "subscribed"})
            journal.lines.acknowledge(each.key, Digests("old", "old", "mapping", known))
            journal.lines.doubt({each.key: before}, are_rows=False)
    groups = {each.counted_as: place for place, each in enumerate(parts)}
    of_files = journal.plan.import_lines
    of_files.begin()
    sent = [(each._replace(digests=accepted(each)), groups[each.counted_as], True) for each in parts]
    of_files.add(sent, lambda key: key)
    journal.plan.save({})
    alone = {each.counted_as or "": [each.number] for each in parts if each.number in numbers}
    refuse_contacts(journal.lines, numbers, {}, alone=alone, ranked=RANKS)
    settle_files(journal.lines, {counted_as: [group] for counted_as, group in groups.items()}, [], {})


def again(journal: Journal, sent: Patch, row: str) -> set[str]:
    """The consents that the next night does not send."""
    digests = Digests(row, "patch", "mapping", b"", line_of(journal, sent.key).properties)
    return refused_before(sent._replace(digests=digests))


@pytest.mark.parametrize("is_there", [False, True])
def test_a_part_that_was_rejected_waits_for_another_row(is_there: bool, open_journal: OpenJournal) -> None:
    journal = open_journal()
    before = column("C1", _name="Old", **{NEWS: "subscribed"}) if is_there else None
    sent = part(1, "row", "invalid", before)
    rejected(journal, [sent], [1])
    line = line_of(journal, "C1")
    assert (line.state, line.row_digest) == ("invalid", None)
    assert (again(journal, sent, "row"), again(journal, sent, "another")) == ({NEWS}, set())
    # Which value Connectif holds is not known, so that another row's consent is sent.
    assert value_digest(line.properties, NEWS) is None
    assert value_digest(line.properties, SMS, Mark.REFUSED) is None
    assert (value_digest(line.properties, "_name") is not None) == is_there


def test_other_parts_of_the_file_are_acknowledged(open_journal: OpenJournal) -> None:
    journal = open_journal()
    parts = [part(1, "row 1", "held"), part(2, "row 2", "invalid")]
    rejected(journal, parts, [1])
    assert (again(journal, parts[0], "row 1"), again(journal, parts[1], "row 2")) == ({NEWS}, set())
    assert [line_of(journal, key).state for key in ("C1", "C2")] == ["rejected", "invalid"]
    assert value_digest(line_of(journal, "C2").properties, NEWS) is not None
    assert line_of(journal, "C1").delivered_at is None


def test_a_consent_that_became_the_persons_own_stays_so(open_journal: OpenJournal) -> None:
    journal = open_journal()
    rejected(journal, [part(1, "row", "invalid", kept=frozenset({NEWS}))], [1])
    assert marked_kept(line_of(journal, "C1").properties, [NEWS])


class _Files:
    """Files that take everything."""

    def add(self, patch: Patch) -> tuple[int, bool]:
        return 0, True


@pytest.mark.parametrize("row", ["row", "another"])
def test_the_part_of_a_row_that_no_file_can_contain_waits_too(row: str) -> None:
    consents = {NEWS: "unsubscribed", SMS: "unsubscribed"}
    before = updated(column("C1", _name="Old"), refused_marks([NEWS], "row"))
    digests = Digests(row, "patch", "mapping", column("C1", **consents), before)
    patch = Patch(1, "C1", {**consents, "interests": ["a|b"]}, {}, digests)
    ((part, *_),) = add_withdrawn_part(_Files(), patch, ImportRules())  # type: ignore[arg-type]
    assert part.properties.keys() == ({SMS} if row == "row" else {NEWS, SMS})
    is_all = patch._replace(properties={NEWS: "unsubscribed", "interests": ["a|b"]})
    assert len(add_withdrawn_part(_Files(), is_all, ImportRules())) == (row != "row")  # type: ignore[arg-type]
