"""PATCH or import: the table of the choice, what an import of a plan takes, and what the history says of its speed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from airflow_provider_connectif.api.import_record import Import
from airflow_provider_connectif.api.quota import Quota
from airflow_provider_connectif.api.window import Allowance
from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.contacts.resource import ContactResource
from airflow_provider_connectif.imports.context import ImportContext
from airflow_provider_connectif.imports.cost import ImportCosts, why_not_by_import
from airflow_provider_connectif.imports.rules import ImportRules, spare_delay_s
from airflow_provider_connectif.imports.watch import Watch
from airflow_provider_connectif.journal.database import JournalDatabase
from airflow_provider_connectif.journal.import_state import ImportState, SentFile
from airflow_provider_connectif.journal.past_imports import PastImports
from airflow_provider_connectif.journal.pending import PendingChange, PendingChanges, Rank
from airflow_provider_connectif.records.changes import Patch
from airflow_provider_connectif.reporting.rejects import Rejects
from airflow_provider_connectif.reporting.report import Report
from airflow_provider_connectif.reporting.requests import Cost, Imported, Requests
from airflow_provider_connectif.runs.choosing import choose_way, may_import
from tests.support.clock import FakeClock

AFTER_S = 1800.0
PATCH = Cost(Requests(6000, 6600), 0, 3600.0, "patch", "")
IMPORT = Cost(Requests(4, 100), 2, 600.0, "import", "")
NEWS = "_newsletterSubscriptionStatus"
RESOURCE = ContactResource(ContactMapping(properties={"_name": "name", NEWS: NEWS}))
MIDNIGHT = datetime(2026, 1, 1, tzinfo=UTC)


def way(
    via: Any = "auto", patch: Cost = PATCH, by_import: Cost | None = IMPORT, reason_against: str = ""
) -> tuple[str, str]:
    chosen = choose_way(via, AFTER_S, patch, by_import, reason_against)
    assert chosen.was_chosen
    assert (chosen.requests, chosen.seconds) in [(cost.requests, cost.seconds) for cost in (patch, by_import) if cost]
    return chosen.way, chosen.reason


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ("import", "PATCH takes about 1 h, an import about 10 min")),
        # Not before import_after, at the limit and beyond.
        (
            {"patch": PATCH._replace(seconds=AFTER_S), "by_import": None},
            ("patch", "PATCH takes about 30 min, and import_after is 30 min"),
        ),
        (
            {"patch": PATCH._replace(seconds=AFTER_S + 60)},
            ("import", "PATCH takes about 31 min, an import about 10 min"),
        ),
        (
            {"patch": PATCH._replace(seconds=0.0), "by_import": None},
            ("patch", "PATCH takes less than a minute, and import_after is 30 min"),
        ),
        # What an import cannot do.
        ({"by_import": None, "reason_against": "an import cannot X"}, ("patch", "an import cannot X")),
        # Not sooner.
        (
            {"by_import": IMPORT._replace(seconds=3600.0)},
            ("patch", "PATCH takes about 1 h, an import about 1 h"),
        ),
        (
            {"by_import": IMPORT._replace(seconds=7200.0)},
            ("patch", "PATCH takes about 1 h, an import about 2 h"),
        ),
        # Its end is unknown.
        (
            {"by_import": IMPORT._replace(seconds=None)},
            ("import", "PATCH takes about 1 h, and import_after is 30 min"),
        ),
        # Never more requests, at the limit and beyond.
        (
            {"by_import": IMPORT._replace(requests=Requests(4, 6000))},
            ("import", "PATCH takes about 1 h, an import about 10 min"),
        ),
        (
            {"by_import": IMPORT._replace(requests=Requests(4, 6001), seconds=None)},
            ("patch", "an import may take 6,001 requests, and PATCH takes fewer"),
        ),
        ({"by_import": IMPORT._replace(files=0)}, ("patch", "an import would send all of it by PATCH, too")),
        # The author has decided.
        ({"via": "patch", "by_import": None}, ("patch", 'via="patch"')),
        (
            {"via": "import", "patch": PATCH._replace(seconds=0.0), "by_import": IMPORT._replace(seconds=None)},
            ("import", 'via="import"'),
        ),
    ],
)
def test_the_table(changes: dict[str, Any], expected: tuple[str, str]) -> None:
    assert way(**changes) == expected


def test_every_combination_keeps_to_the_rules() -> None:
    for via, patch_s, import_s, most, files, reason_against in itertools.product(
        ("auto", "patch", "import"),
        (0.0, AFTER_S, AFTER_S + 1, 7200.0),
        (None, 60.0, 7200.0, 7201.0),
        (5999, 6000, 6001),
        (0, 1),
        ("", "an import cannot X"),
    ):
        patch = PATCH._replace(seconds=patch_s)
        looked = (
            None
            if reason_against or not may_import(via, AFTER_S, patch)
            else Cost(Requests(2, most), files, import_s, "import", "")
        )
        chosen = choose_way(via, AFTER_S, patch, looked, reason_against)
        if via != "auto":
            assert chosen.way == (via if looked is not None else "patch")
            continue
        is_wanted = patch_s > AFTER_S and (import_s is None or import_s < patch_s)
        assert (chosen.way == "import") is (is_wanted and most <= 6000 and files > 0 and not reason_against)


def changes_of(count: int, **more: Any) -> PendingChanges:
    """Contacts with a name each, of whom every second one has a consent, too."""
    changes = PendingChanges(RESOURCE)
    for n in range(count):
        email = f"user{n}@example.com"
        changes.add([PendingChange(Patch(n + 1, email, {"_name": "x"}, {}, **more), email)])
    return changes


def removal(number: int, kind: Any, properties: dict[str, Any]) -> PendingChange:
    key = f"left{number}@example.com"
    patch = Patch(0, key, properties, {}, was_delivered=True, looks_up=kind == "patch", removal=kind)
    return PendingChange(patch, key, Rank.URGENT if RESOURCE.is_urgent(properties) else Rank.REMOVED)


def cost(
    changes: PendingChanges, speed: float | None = None, most: int | None = None, **rules: Any
) -> tuple[Cost, ImportCosts]:
    quota = Quota()
    quota.expect(Allowance(100, 20.0))
    costs = ImportCosts(ImportRules(**rules), quota, lambda rows: None if speed is None else speed)
    with changes:
        return costs.cost(changes, RESOURCE, most), costs


def test_what_an_import_takes() -> None:
    unknown, _ = cost(changes_of(1000))
    assert unknown == Cost(Requests(2, 2), 1, None, "import", "the operator imports")
    known, costs = cost(changes_of(1000), speed=10.0, poll_interval_s=1.0)
    assert (known.files, known.requests) == (1, Requests(2, 2 + 100))
    assert known.seconds == pytest.approx(100, rel=0.02)
    assert costs.seconds == known.seconds
    # A poll shows the end only after its interval.
    assert cost(changes_of(1000), speed=100.0, poll_interval_s=40.0)[0].seconds == 40.0


def test_polls_of_a_chosen_import_stay_within_the_requests_by_patch() -> None:
    unknown, costs = cost(changes_of(1000), most=1000)
    assert (unknown.requests, costs.most_polls) == (Requests(2, 1000), 999)
    slow, costs = cost(changes_of(1000), speed=0.01, most=1000)
    assert (slow.requests.most, costs.most_polls) == (1000, 999)
    quick, _ = cost(changes_of(1000), speed=1000.0, most=1000)
    assert quick.requests == Requests(2, 3)


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    ("kind", "properties", "each", "is_first"),
    [
        ("delete", {}, (1, 1), False),
        ("patch", {"visits": 0}, (1, 2), False),
        ("patch", {NEWS: "unsubscribed"}, (1, 2), True),
    ],
)
def test_who_left_costs_requests_and_is_in_no_file(
    kind: Any, properties: dict[str, Any], each: tuple[int, int], is_first: bool
) -> None:
    changes = changes_of(1000)
    changes.add([removal(n, kind, properties) for n in range(300)])
    costs = ImportCosts(ImportRules(), Quota(), lambda rows: 1000.0)
    with changes:
        found = costs.cost(changes, RESOURCE)
        split = costs.split
        assert split is not None
        in_files = [patch for batch in split.by_file() for patch in batch]
        first, last = list(split.by_patch()), [patch for batch in split.removals() for patch in batch]
        assert (len(in_files), split.lines) == (1000, 1000)
        assert (len(first), len(last)) == ((300, 0) if is_first else (0, 300))
        assert {patch.removal for patch in in_files} == {None}
        split.patch_nothing()  # the key may not write contacts: it is asked last, so that the files are uploaded
        assert (list(split.by_patch()), len([patch for batch in split.removals() for patch in batch])) == ([], 300)
    assert found.requests.least == 2 + 300 * each[0]
    assert found.requests.most >= 2 + 300 * each[1]


@pytest.mark.parametrize(
    ("resource", "why"),
    [
        (RESOURCE, ""),
        (ContactResource(ContactMapping(properties={"_name": "n"}, nulls="clear")), "clear properties"),
        (
            ContactResource(ContactMapping(properties={"_name": "n"}), write_modes={"_name": "on_create"}),
            "'_name' on_create",
        ),
        (ContactResource(ContactMapping(properties={"_name": "n"}), write_modes={"_name": "if_empty"}), ""),
        (ContactResource(ContactMapping(properties={NEWS: "n"}), resubscribe="always"), "raise consents"),
        (ContactResource(ContactMapping(properties={"_name": "n"}), resubscribe="always"), ""),
        (ContactResource(ContactMapping(properties={"tier": "n"})), "tier is not a known field"),
        (ContactResource(ContactMapping("external_id", "id", {"_name": "n"})), ""),
    ],
)
def test_what_an_import_cannot_do(resource: ContactResource, why: str) -> None:
    said = why_not_by_import(resource, None)
    assert (why in said) if why else said == ""


def test_polls_get_rarer_so_that_they_last() -> None:
    assert spare_delay_s(1000.0, None) == 0.0
    for polls, interval_s in ((30, 20.0), (140, 0.05), (2990, 20.0)):
        left, waited = polls, 0.0
        while left:
            waited += max(interval_s, spare_delay_s(waited, left))
            left -= 1
            if left == polls // 2 + 1:
                assert waited == pytest.approx(interval_s * (polls - left))  # the first half keeps its pace
        assert waited >= polls * polls * interval_s / 4


def file_of(rows: int, began: float | None, ended: float | None, **more: Any) -> SentFile:
    return SentFile(0, rows, is_settled=True, is_finished=True, began_at=began, ended_at=ended, **more)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ([], None),
        ([file_of(10, 5.0, 9.0)], Imported(10, 4.0)),
        ([file_of(10, 5.0, 9.0), file_of(30, 6.0, 20.0)], Imported(40, 15.0)),
        ([file_of(10, 5.0, 9.0), file_of(0, None, None)], Imported(10, 4.0)),  # all its people were erased
        ([file_of(10, 5.0, 9.0), file_of(30, None, None)], None),
        ([file_of(10, 5.0, 5.0)], Imported(10, 0.001)),
        ([SentFile(0, 10, is_settled=True, is_failed=True)], None),
    ],
)
def test_how_long_the_imports_of_a_run_took(files: list[SentFile], expected: Imported | None) -> None:
    assert ImportState(files).imported_in == expected


@pytest.mark.parametrize(
    ("shown", "was_away", "expected"),
    [
        ({"createdAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:00:30Z"}, True, (0.0, 30.0)),
        ({"createdAt": "2026-01-01T00:00:00Z"}, False, (7.0, 100.0)),
        ({"createdAt": "2026-01-01T00:01:00Z", "finishedAt": "2026-01-01T00:00:30Z"}, False, (7.0, 100.0)),
        ({}, True, (None, None)),
    ],
)
def test_when_an_import_began_and_ended(shown: dict[str, str], was_away: bool, expected: Any) -> None:
    clock = FakeClock()
    report = Report(RESOURCE, Quota(), Rejects(None), None, None)  # type: ignore[arg-type]  # nothing is logged
    watch = Watch(ImportContext(None, ImportRules(), report), clock)  # type: ignore[arg-type]  # nothing is sent
    watch.was_away = was_away
    now = clock.now()
    times = watch.times_of(Import.parse({"id": "1", **shown}), SentFile(0, 1, since=now - 93.0))
    base = MIDNIGHT.timestamp() if expected[1] == 30.0 else now - 100.0
    assert [at if at is None else round(at - base, 3) for at in times] == list(expected)


@pytest.fixture
def database() -> Iterator[JournalDatabase]:
    engine = sa.create_engine("sqlite://", poolclass=sa.pool.StaticPool)
    made = JournalDatabase(engine, "journal")
    made.create(read_only=False)
    yield made
    made.close()
    engine.dispose()


def note_runs(database: JournalDatabase, *runs: dict[str, Any]) -> None:
    """Runs of the sync ``s``, one a night."""
    for night, run in enumerate(runs):
        names = {"sync_id": "s", "run_key": f"{night}", "run_id": f"{night}", "task": "t", "tries": 1}
        more = {
            "started_at": MIDNIGHT + timedelta(days=night),
            "generation": night,
            "generations": "[]",
            "counts": "{}",
        }
        values = names | more | run
        database.write(lambda connection, values=values: connection.execute(sa.insert(database.tables.runs), values))


def test_the_speed_is_that_of_the_last_imports(database: JournalDatabase) -> None:
    past = PastImports(database, "s")
    assert past.rows_per_second(1000) is None
    rates = [1.0, *(float(rate) for rate in (100, 90, 110, 105, 95))]
    note_runs(
        database,
        *({"import_rows": 1000, "import_seconds": 1000 / rate} for rate in rates),
        {},
        {"sync_id": "another", "import_rows": 1000, "import_seconds": 1.0},
    )
    assert past.rows_per_second(1000) == pytest.approx(100)  # the median of the last five
    assert past.rows_per_second(10_000) == pytest.approx(100)
    assert past.rows_per_second(10_001) is None  # a small import says nothing of one that is ten times as large


def test_the_window_is_the_last_one_that_was_seen(database: JournalDatabase) -> None:
    past = PastImports(database, "s")
    assert past.window() is None
    note_runs(
        database, {"window_requests": 200, "window_seconds": 60.0}, {"window_requests": 100, "window_seconds": 20.5}, {}
    )
    assert past.window() == Allowance(100, 20.5)
    past.is_there = False
    assert (past.window(), past.rows_per_second(1)) == (None, None)
