"""The nights of `make chaos`, and the ways to break the package: what is looked at without a deployment."""

from __future__ import annotations

import ast

from tests.e2e.chaos.ledger import imports_not_named
from tests.e2e.chaos.night import KINDS, night_of
from tests.e2e.chaos.victims import VICTIMS
from tests.e2e.mutations import MUTATIONS
from tests.support.mutations import faults_of

CI_SEEDS = range(1, 11)
MANY_SEEDS = range(1, 51)


def test_a_seed_is_always_the_same_night() -> None:
    assert [night_of(seed) for seed in MANY_SEEDS] == [night_of(seed) for seed in MANY_SEEDS]
    assert len({str(night_of(seed)) for seed in MANY_SEEDS}) > len(MANY_SEEDS) / 2


def test_ten_seeds_have_every_victim_in_them() -> None:
    assert {strike.victim for seed in CI_SEEDS for strike in night_of(seed).strikes} == set(VICTIMS)


def test_fifty_seeds_have_every_sort_of_night_in_them() -> None:
    nights = [night_of(seed) for seed in MANY_SEEDS]
    assert {night.kind for night in nights} == set(KINDS)
    assert {night.journal_key for night in nights} == {"plain", "sha256"}
    for question in ("is_over_budget", "changed", "added", "invalid", "refused"):
        assert any(getattr(night, question) for night in nights), question
    assert {bool(night.yesterday) for night in nights} == {True, False}
    assert {night.ignore_held for night in nights} == {True, False}


def test_a_night_is_possible() -> None:
    for night in map(night_of, MANY_SEEDS):
        assert night.needed > 0
        assert night.changed <= night.yesterday
        assert [strike.at_share for strike in night.strikes] == sorted(strike.at_share for strike in night.strikes)
        [call] = ast.parse(night.tasks()).body
        assert isinstance(call, ast.Expr)


def test_imports_that_a_log_only_counts_are_known_to_the_task() -> None:
    uploaded = r"Uploaded 5 files: 300 lines for 150 contacts\n  Imports: 01, 02, 03 and 2 more"
    continued = r"Continuing with the imports of an earlier process\n  Imports: %s, 2 files not uploaded"
    ids = [f"{number:02}" for number in range(1, 10)]
    log = "\n".join([uploaded, continued % "01, 02, 03 and 2 more", continued % "06, 07"])
    assert imports_not_named(log, ids) == 2
    # The process of the second list died before it had uploaded its last file, and wrote no line of its own.
    assert imports_not_named("\n".join([uploaded, continued % "06, 07, 08 and 1 more"]), ids) == 3
    # One of those that the list only counts has a line of its own; then the others are fewer.
    assert imports_not_named("\n".join([uploaded, "Waiting for import 05"]), ids) == 1
    # A process was killed while it uploaded; the next one says how many it had uploaded.
    killed = r"An earlier attempt did not deliver everything: its imports must finish, then the source is read again\n"
    killed += r"  0 of %s ended, 0 of 9 rows processed;"
    killed += r"\n      still running: 01 (uploaded), 02 (uploaded), 03 (uploaded) and 5 more"
    assert imports_not_named(killed % "8 imports", ids) == 5
    assert imports_not_named((killed % "1 import").replace(", 02 (uploaded), 03 (uploaded) and 5 more", '"'), ids) == 0
    assert imports_not_named("\n".join([killed % "8 imports", "Waiting for import 05"]), ids) == 4
    # The process that waits for these imports was killed, too, and the third one says the same.
    third = (killed % "8 imports").replace("01 (uploaded), 02 (uploaded)", "04 (uploaded), 02 (uploaded)")
    assert imports_not_named("\n".join([killed % "8 imports", killed % "8 imports"]), ids) == 5
    assert imports_not_named("\n".join([killed % "8 imports", third]), ids) == 4
    # The attempt before has uploaded another file.
    assert imports_not_named("\n".join(["still running: 09 (uploaded)", uploaded]), ids) == 2


def test_what_a_mutation_replaces_is_there() -> None:
    """Whoever moves it changes the mutation too; `make e2e-mutations` would break nothing, and wonder."""
    assert [fault for mutation in MUTATIONS for fault in faults_of(mutation)] == []
    assert len({mutation.name for mutation in MUTATIONS}) == 9
