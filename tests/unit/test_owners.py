"""Which syncs write the properties that only one should write."""

from __future__ import annotations

import json
import time

import sqlalchemy as sa

from airflow_provider_connectif.journal.store import Journal
from airflow_provider_connectif.runs.columns import warn_of_other_owners
from tests.unit.conftest import OpenJournal

NEWS, STATUS = "_newsletterSubscriptionStatus", "_emailStatus"


def noted(journal: Journal, sync_id: str, way: str, properties: list[str], days_ago: float = 0.0) -> None:
    """Another sync has written these properties."""
    syncs = journal._database.tables.syncs
    owned = json.dumps({"way": way, "at": time.time() - days_ago * 86_400, "properties": properties})
    line = {"sync_id": sync_id, "generation": 1, "owned": owned}
    journal._database.write(lambda connection: connection.execute(sa.insert(syncs), line))


def test_only_another_sync_of_the_same_way_that_still_runs_is_named(open_journal: OpenJournal) -> None:
    journal = open_journal()
    noted(journal, "hourly", "", [STATUS, NEWS, "other"])
    noted(journal, "sandbox", "elsewhere", [NEWS])
    noted(journal, "gone", "", [NEWS], days_ago=31)
    assert journal.other_owners("", {NEWS}) == {"hourly": [NEWS]}
    assert journal.other_owners("elsewhere", {NEWS}) == {"sandbox": [NEWS]}
    assert journal.other_owners("", {"_name"}) == {}
    assert journal.other_owners("", ()) == {}
    journal.close()


class Warnings(list[str]):
    """A log that keeps its warnings."""

    def warning(self, message: str, *words: object) -> None:
        self.append(message % words)


def test_all_other_syncs_are_one_warning(open_journal: OpenJournal) -> None:
    journal, log = open_journal(), Warnings()
    for number in range(10):
        noted(journal, f"sync {number}", "", [NEWS] if number else [STATUS, NEWS])
    warn_of_other_owners(journal, "", {NEWS, STATUS}, log)  # type: ignore[arg-type]
    (words,) = log
    syncs = ", ".join(f"'sync {number}'" for number in range(8))
    assert words.split("\n") == [
        "Other syncs of this journal have also written consents of this sync in the last 30 days",
        f"  {STATUS}: 'sync 0'",
        f"  {NEWS}: {syncs} and 2 more",
        "  Each sync takes the other's value for the person's own decision, and may not raise it again",
        "  Map a consent in one sync only; ignore this if the other sync no longer runs, or has another account",
    ]
    warn_of_other_owners(journal, "", {"_name"}, log)  # type: ignore[arg-type]
    assert len(log) == 1
    journal.close()


def test_a_sync_is_known_to_the_next_one_until_it_writes_the_property_no_longer(open_journal: OpenJournal) -> None:
    journal = open_journal()
    noted(journal, "hourly", "", [])
    syncs = journal._database.tables.syncs
    query = sa.select(syncs.c.owned).where(syncs.c.sync_id == "nightly")
    for owned in ([NEWS], []):
        journal.other_owners("", owned)
        (line,) = journal._database.rows(query)
        assert json.loads(line.owned)["properties"] == owned
    journal.close()
