"""Over random nights no consent is raised by accident, and every withdrawal arrives: over HTTP, with real journals.

People change their consent at Connectif and the source changes it, too; one night the source lowers everybody, the next
one it raises everybody. Mappings change, responses are lost, runs are killed. ``tests/support/consent_judge.py`` judges
by what the server logged; ``tests/unit/test_consent_judge.py`` shows that it notices each kind of violation.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.integration.conftest import FAST
from tests.support.consent_judge import ConsentJudge
from tests.support.consent_ranks import RANKS
from tests.support.histories import assert_agrees
from tests.support.import_runs import FAST as IMPORT
from tests.support.journals import JournalDatabase, Process, deliver, journal_database
from tests.support.people import Night, People
from tests.support.strict_server import StrictServer, until
from tests.support.task_runs import Run

IMPORTS = True
"""Whether some nights import."""


class Size(NamedTuple):
    """How many people there are, requests at once, and whether Connectif fills the consent of new contacts."""

    people: int
    max_in_flight: int
    fills: bool

    @classmethod
    def of(cls, people: int, seed: int) -> Size:
        return cls(people, 1 + seed % 2 * 3, seed % 3 == 2)


SMALL, FULL = 20, 2000  # 50 seeds of so many take about half an hour on two cores
FILLED = {"_newsletterSubscriptionStatus": "none", "_emailStatus": "active"}
FULL_SIZE = (pytest.mark.full_size, pytest.mark.slow, pytest.mark.timeout(900))
CASES = [
    *(pytest.param("sqlite", seed, Size.of(SMALL, seed), id=f"seed {seed}") for seed in (1, 2)),
    pytest.param("postgres", 7, Size.of(SMALL, 7), id="seed 7, postgres"),
    *(
        pytest.param("sqlite", seed, Size.of(FULL, seed), id=f"seed {seed}, full size", marks=FULL_SIZE)
        for seed in range(100, 150)
    ),
]


@pytest.fixture
def journal(kind: str, request: pytest.FixtureRequest, airflow_db: None) -> JournalDatabase:
    return journal_database(kind, request)


@pytest.fixture(autouse=True)
def one_try(strict: StrictServer, connection: Callable[..., None]) -> None:
    """What fails once is undelivered at once."""
    strict.update(log_states=True)
    connection("connectif_default", **strict.connection(requests_per_minute=FAST, timeout=5, retries=1))


class Nights:
    """Runs the nights of a seed, each judged at once."""

    def __init__(self, people: People, size: Size, strict: StrictServer, journal: JournalDatabase, path: Path) -> None:
        self.people = people
        self.strict = strict
        self.journal = journal
        self.path = path
        # What somebody filled may be kept, so that not even a quiet person must hold what the source says.
        self.judge = ConsentJudge([] if size.fills else people.quiet)
        strict.update(created_with=FILLED if size.fills else {})
        self.arguments: dict[str, Any] = {"max_in_flight": size.max_in_flight, "failure_budget": 1.0}
        self.ends: Counter[str] = Counter()
        self._history: defaultdict[str, list[str]] = defaultdict(list)

    def play(self, night: Night) -> None:
        self.strict.change_contacts(night.changes)
        self.strict.update(faults=night.faults)
        run = self._killed(night) if night.killed_after else self._run(night)
        log = self.strict.take_log()
        is_broken = run is None or any(entry["status"] == 401 for entry in log)
        self.ends["killed" if run is None else "broken off" if is_broken else run.state] += 1
        if run is not None and not is_broken:
            self._look_at_the_sum(night, log, run)
        if run is not None and run.summary.get("tries"):
            assert_agrees(self.journal.query, f"dag/night {night.number}", run.summary)
        self._remember(night, log, is_broken)
        self.judge.look(
            night.number, log, night.facts, self.strict.contacts, is_broken=is_broken, by_import=night.by_import
        )

    def _run(self, night: Night) -> Run:
        arguments = self.arguments | night.arguments
        if night.by_import:
            del arguments["max_in_flight"]
            # So few people would go by PATCH otherwise.
            arguments = {**IMPORT, "journal_conn_id": "journal", "patch_leftovers": False, **arguments}
        return deliver(f"night {night.number}", rows=night.rows, **arguments)

    def _killed(self, night: Night) -> Run | None:
        """Kill a run in the middle; it may have had less to do than that."""
        goal = self.strict.received + (night.killed_after or 0)
        run_id = f"night {night.number}"
        process = Process(self.path, run_id, rows=night.rows, **(self.arguments | night.arguments))
        until(lambda: self.strict.received >= goal or process.has_ended(), within_s=60)
        if process.has_ended():
            return process.end()
        process.kill()
        until(lambda: not self.strict.in_flight)
        self.journal.query("update connectif_journal_claims set lease_until = 0")
        return None

    def _remember(self, night: Night, log: list[dict[str, Any]], is_broken: bool) -> None:
        for key, changed in night.changes.items():
            self._history[key].append(f"  Connectif: {changed}")
        for key, row in night.facts.items():
            how = f"{row.fate}{', broken off' if is_broken else ''}{', import' if night.by_import else ''}"
            self._history[key].append(f"night {night.number} ({how}): {dict(row.consents)}")
        for entry in log:
            if "key" in entry:
                held = {name: value for name, value in (entry.get("before") or {}).items() if name in RANKS}
                sent = f"{entry['method']} {entry.get('body', '')} -> {entry['status']}, held {held}"
                self._history[entry["key"]].append(f"  {sent}")

    def explain(self) -> str:
        """What happened to the first contact of each kind of violation."""
        first = {violation.kind: violation for violation in reversed(self.judge.violations)}
        return "\n".join("\n".join([str(one), *self._history[one.key]]) for one in first.values())

    def _look_at_the_sum(self, night: Night, log: list[dict[str, Any]], run: Run) -> None:
        """A run that was not broken off has tried every row: the judge may rely on it."""
        assert run.summary["read"] == len(night.rows), run.error
        unlucky = {entry["key"] for entry in log if entry["status"] in (0, 503)}
        assert run.summary["undelivered"] <= len(unlucky), run.error


@pytest.mark.sampled(1)
@pytest.mark.parametrize(("kind", "seed", "size"), CASES)
def test_no_consent_is_raised_by_accident_and_every_withdrawal_arrives(
    seed: int, size: Size, strict: StrictServer, journal: JournalDatabase, tmp_path: Path
) -> None:
    people = People(seed, size.people, kills=2 if size.people == SMALL else 1, imports=IMPORTS)
    nights = Nights(people, size, strict, journal, tmp_path)
    for number in range(people.nights):
        nights.play(people.night(number))
    found = Counter(violation.kind for violation in nights.judge.violations)
    counts = nights.judge.counts
    print(f"seed {seed}, {size.people} people: {dict(counts)}, {strict.received} requests, {dict(nights.ends)}")
    assert not found, f"{dict(found)}\n{nights.explain()}"
    assert min(counts["raised"], counts["lowered"]) > size.people
    assert min(counts["unsubscribed"], counts["kept"]) or size.people == SMALL  # of few people not in every seed
    assert (counts["quiet"] > size.people) != size.fills
