"""What the demo tells its user: plain text, at most 100 columns."""

from __future__ import annotations

import os
import shutil
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from demo.airflow_home import Run
from demo.checks import Outcome, Result

_WIDTH = max(76, min(100, shutil.get_terminal_size((100, 24)).columns))
_LONGEST_LOG_LINE = 3  # lines of the terminal; the whole of it is in the log
_COLUMNS = ("1 from SQL", "2 from a task", "3 wrong key")
_ROWS: tuple[tuple[str, Callable[[Run], Any]], ...] = (
    ("task ended", lambda run: run.state),
    ("rows read", lambda run: run.summary["read"]),
    ("  created", lambda run: run.summary["created"]),
    ("  updated", lambda run: run.summary["updated"]),
    ("  skipped", lambda run: run.summary["skipped"]),
    ("  invalid, so not sent", lambda run: run.summary["invalid"]),
    ("  rejected by Connectif", lambda run: run.summary["rejected"]),
    ("requests", lambda run: run.summary["requests"]),
    ("  answered 429", lambda run: run.summary["rate_limited"]),
    ("waited for the window", lambda run: f"{run.summary['waited_s']:.1f} s"),
    ("duration", lambda run: f"{run.summary['duration_s']:.1f} s"),
)


class Clock:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds so far."""
        return time.monotonic() - self._started


def opening(facts: Mapping[str, str]) -> None:
    """What is about to happen, and with what."""
    print("Contacts from a warehouse to Connectif, by way of Airflow. Nothing leaves this machine.\n")
    _facts(facts)


def scene(number: int, title: str, command: str) -> None:
    """The beginning of a command."""
    print(f"\n{number}  {title}: {command}", flush=True)


def log_line(clock: Clock, words: str) -> None:
    """A line of the task's log, with the demo's own time."""
    if not words.endswith(":"):  # the list of reasons, which stands in the closing report
        _wrapped(f"  {clock.seconds:4.0f} s  ", words, _LONGEST_LOG_LINE)


def closing(outcome: Outcome, results: Sequence[Result], root: Path) -> None:
    """What became of every row, and whether it is what must have become of it."""
    _table(outcome.runs)
    _reasons(outcome.runs)
    print("\nChecked against the warehouse")
    for result in results:
        _wrapped("  ok  " if result.holds else "  NOT SO: ", result.words)
    rejects = os.path.relpath(outcome.runs[0].summary["rejects_path"], root)
    print("\nTo look at")
    _facts(
        {
            "page": ".demo/sandbox.html: what the sandbox holds, and how it answered",
            "rejects": f"{rejects}: the bad rows of 1, each with its reasons",
            "log": ".demo/airflow.log",
            "DAGs": "example_dags/contacts_from_sql.py and contacts_from_upstream_task.py, as they ran here",
            "sandbox": "python -m airflow_provider_connectif.sandbox starts one for DAGs of your own",
        }
    )


def _table(runs: Sequence[Run]) -> None:
    print(f"\n{'What became of the rows':<26}" + "".join(f"{column:>16}" for column in _COLUMNS))
    for label, value in _ROWS:
        print(f"  {label:<24}" + "".join(f"{value(run):>16}" for run in runs))


def _reasons(runs: Sequence[Run]) -> None:
    for column, run in zip(_COLUMNS[:2], runs, strict=False):
        print(f"\nRows not delivered, by reason ({column})")
        for reason, count in run.summary["reasons"].items():
            _wrapped(f"  {count:3} × ", reason)


def _facts(facts: Mapping[str, str]) -> None:
    for name, words in facts.items():
        _wrapped(f"  {name:<11}", words)


def _wrapped(lead: str, words: str, most_lines: int | None = None) -> None:
    indented = textwrap.fill(
        words,
        _WIDTH,
        initial_indent=lead,
        subsequent_indent=" " * len(lead),
        max_lines=most_lines,
        placeholder=" …",
        break_on_hyphens=False,
    )
    print(indented, flush=True)
