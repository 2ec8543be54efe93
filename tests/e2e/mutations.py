"""Break the package on purpose, one way at a time, and see that a scenario notices: ``make e2e-mutations``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "airflow_provider_connectif"


class Mutation(NamedTuple):
    """One way to break it.

    :param name: what is broken.
    :param path: the file in the package.
    :param old: the text, found there once.
    :param new: what stands there instead.
    :param scenario: the test that must fail, or ``SEED=14``: the night that must not be as it should be.
    """

    name: str
    path: str
    old: str
    new: str
    scenario: str


MUTATIONS = (
    Mutation(
        "acknowledged before it is sent",
        "journal/confirmation.py",
        "            self._journal.doubt(digests)\n",
        "            for patch in patches:\n"
        "                if patch.digests:\n"
        "                    self._journal.acknowledge(self._same_key(patch.key), patch.digests)\n",
        "test_kill_of_the_task_process",
    ),
    Mutation(
        "acknowledgements are not written down",
        "journal/confirmation.py",
        "            self._journal.acknowledge(key, patch.digests, delivered_as=settled.outcome.value)\n",
        "            pass\n",
        "test_clearing_a_failed_task",
    ),
    Mutation(
        "over the failure budget Airflow may try again",
        "operators/base.py",
        "            raise AirflowFailException(words)",
        "            raise AirflowException(words)",
        "test_over_the_failure_budget",
    ),
    Mutation(
        "skip_task fails",
        "operators/base.py",
        "            raise AirflowSkipException(words)",
        "            raise AirflowFailException(words)",
        "test_skipped_on_a_blocked_account",
    ),
    Mutation(
        "the query is not rendered",
        "operators/sync_arguments.py",
        '        "sql",\n        "parameters",',
        '        "parameters",',
        "test_catch_up_over_three_intervals",
    ),
    Mutation(
        "tasks of one run shut one another out",
        "journal/lease.py",
        "        of_another_run = sa.and_(of_sync, claims.run_id != self._run_id)",
        "        is_other = sa.or_(claims.run_id != self._run_id, claims.task != self._task)\n"
        "        of_another_run = sa.and_(of_sync, is_other)",
        "test_four_partitions_with_one_journal",
    ),
    Mutation(
        "a retry forgets what an earlier try was refused",
        "runs/comparison.py",
        "return Outcome.REJECTED if is_of_this_run else Outcome.HELD",
        "return Outcome.HELD",
        "SEED=190",
    ),
    Mutation(
        "a journal that fails is no failure",
        "operators/base.py",
        "            return failure\n        return None",
        "            return failure if failure.final else None\n        return None",
        "SEED=14",
    ),
    Mutation(
        "the claim to a sync is kept at the end",
        "journal/store.py",
        "                self._database.guarded(self._lease.release)",
        "                pass",
        "SEED=16",
    ),
)


_SEED = "SEED="


def main() -> int:
    """Try the mutations, or those whose line has the first argument in it; 0 if every one was noticed."""
    word = sys.argv[1] if sys.argv[1:] else ""
    wanted = [mutation for mutation in MUTATIONS if word in f"{mutation.name} ({mutation.scenario})"]
    missed = 0
    for mutation in wanted:
        begun = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="connectif-mutation-") as folder:
            copy = _copy(Path(folder))
            _apply(mutation, copy / PACKAGE / mutation.path)
            look = _verdict_of_a_night if mutation.scenario.startswith(_SEED) else _verdict
            verdict = look(copy, mutation.scenario)
        missed += verdict != "noticed"
        line = f"{verdict:<12} {time.monotonic() - begun:5.0f} s  {mutation.name} ({mutation.scenario})"
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


def _apply(mutation: Mutation, path: Path) -> None:
    text = path.read_text("utf-8")
    if text.count(mutation.old) != 1:
        raise SystemExit(f"{mutation.name}: {mutation.path} has its text {text.count(mutation.old)} times")
    path.write_text(text.replace(mutation.old, mutation.new), "utf-8")


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
