# ruff: noqa: F821 - names are those of the modules that are mutated
"""Break the package on purpose, one way at a time, and see that a scenario notices: ``make e2e-mutations``.

``caught_by`` is the scenario that must fail, or ``SEED=14``: the night that must not be as it should be.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from tests.support.mutations import Mutations, apply
from tests.support.prepared_python import PACKAGE, ROOT

MUTATIONS = Mutations()


@MUTATIONS.instead_of("journal.confirmation:Confirmation.before_sending", "test_kill_of_the_task_process")
def acknowledged_before_it_is_sent(original, self, patches):
    for patch in patches:
        if patch.digests:
            self._lines.acknowledge(self._same_key(patch.key), patch.digests)


@MUTATIONS.instead_of("journal.run_lines:RunLines.acknowledge", "test_clearing_a_failed_task")
def acknowledgements_are_not_written_down(original, self, key, digests, **named):
    return None


@MUTATIONS.instead_of("operators.endings:raise_end", "test_over_the_failure_budget")
def over_the_failure_budget_Airflow_may_try_again(original, run, failure):
    try:
        original(run, failure)
    except AirflowFailException as end:
        if failure is not None:
            raise
        raise AirflowException(str(end)) from None


@MUTATIONS.instead_of("operators.endings:raise_end", "test_skipped_on_a_blocked_account")
def skip_task_fails(original, run, failure):
    try:
        original(run, failure)
    except AirflowSkipException as skip:
        raise AirflowFailException(str(skip)) from None


MUTATIONS.value(
    "the query is not rendered",
    "operators.arguments:ContactsArguments.template_fields",
    'tuple(name for name in original if name != "sql")',
    "test_catch_up_over_three_intervals",
)


@MUTATIONS.instead_of("journal.lease:Lease.__init__", "test_four_partitions_with_one_journal")
def tasks_of_one_run_shut_one_another_out(original, self, engine, tables, sync_id, run_id, task, **named):
    original(self, engine, tables, sync_id, f"{run_id} {task}", task, **named)


@MUTATIONS.instead_of("runs.comparison:Comparison.outcome", "SEED=190")
def a_retry_forgets_what_an_earlier_try_was_refused(original, self, seen):
    outcome = original(self, seen)
    return Outcome.HELD if outcome is Outcome.REJECTED else outcome


@MUTATIONS.instead_of("operators.base:SyncOperator._carry_out", "SEED=14")
def a_journal_that_fails_is_no_failure(original, self, start, *, check_only):
    failure = original(self, start, check_only=check_only)
    return failure if failure is not None and failure.final else None


@MUTATIONS.instead_of("journal.lease:Lease.release", "SEED=16")
def the_claim_to_a_sync_is_kept_at_the_end(original, self):
    return None


_SEED = "SEED="


def main() -> int:
    """Try the mutations, or those whose line has the first argument in it; 0 if every one was noticed."""
    word = sys.argv[1] if sys.argv[1:] else ""
    wanted = [mutation for mutation in MUTATIONS if word in f"{mutation.name} ({mutation.caught_by})"]
    missed = 0
    for mutation in wanted:
        begun = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="connectif-mutation-") as folder:
            copy = _copy(Path(folder))
            apply(mutation, copy / PACKAGE)
            look = _verdict_of_a_night if mutation.caught_by.startswith(_SEED) else _verdict
            verdict = look(copy, mutation.caught_by)
        missed += verdict != "noticed"
        line = f"{verdict:<12} {time.monotonic() - begun:5.0f} s  {mutation.name} ({mutation.caught_by})"
        print(line, flush=True)
    print(f"{len(wanted) - missed} of {len(wanted)} mutations noticed")
    return 1 if missed else 0


def _copy(folder: Path) -> Path:
    """A copy of what git knows here."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    copy = folder / "repository"
    for name in filter(None, listed.stdout.split("\0")):
        target = copy / name
        if not (ROOT / name).is_file():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)
    return copy


def _verdict(copy: Path, scenario: str) -> str:
    """``noticed`` when the scenario failed, ``missed`` when it passed, ``not tried`` when it did not come to run."""
    result = copy / "result.xml"
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "tests/e2e", "-k", scenario, f"--junitxml={result}"],
        cwd=copy,
        env=_environment(copy),
        stdout=subprocess.DEVNULL,
        check=False,
    )
    suite = ElementTree.parse(result).getroot().find("testsuite") if result.exists() else None
    if suite is None or suite.attrib["tests"] != "1" or suite.attrib["errors"] != "0":
        return "not tried"
    return "noticed" if suite.attrib["failures"] == "1" else "missed"


def _verdict_of_a_night(copy: Path, scenario: str) -> str:
    """The same of a night of ``make chaos``."""
    command = [sys.executable, "-m", "tests.e2e.chaos", "--seed", scenario.removeprefix(_SEED)]
    done = subprocess.run(
        command, cwd=copy, env=_environment(copy), stdout=subprocess.PIPE, text=True, errors="replace", check=False
    )
    if "nights as they should be" not in done.stdout:
        return "not tried"
    return "noticed" if done.returncode else "missed"


def _environment(copy: Path) -> dict[str, str]:
    # Not the virtual environment that other runs use: a broken wheel is installed in this one.
    venvs = {"CONNECTIF_E2E_VENVS": str(ROOT / ".venv-e2e" / "mutations"), "CONNECTIF_E2E_LENT": "1"}
    return {**os.environ, "PYTHONPATH": str(copy), **venvs}


if __name__ == "__main__":
    sys.exit(main())
