"""The account's window, in every form in which a server may announce it: used up, never exceeded, shared by tasks.

Windows are short here; ``benchmarks/rate_limit.py`` does the same with the real hundred a minute. The runs go in
parallel, each against a server of its own, because almost all of their time is waiting.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest

from tests.support.strict_server import StrictServer
from tests.support.task_runs import Run, run_operator

LIMIT = 20
BUSY_MACHINE_S = 0.6
"""What a window may lie unused beside that: below the second that a client loses that rounds where it need not."""
ATTEMPTS = 3
"""How often a case is measured: a machine may be busy three times in a row, but a client that waits too long always
does."""


@dataclass(frozen=True)
class Case:
    """One account and the tasks that deliver to it.

    :param settings: of the server.
    :param rows: of each task.
    :param told_late_s: how long a new window stays unused because the server's headers are imprecise by that much.
    :param refusals: 429s in one window that are no waste, because nothing could be known before.
    """

    settings: dict[str, Any]
    rows: int = 101
    tasks: int = 1
    told_late_s: float = 0.0
    refusals: int = 1


FIRST = {"limit": LIMIT, "window_s": 1.6}
CLOCK = {"limit": LIMIT, "window_s": 2.0, "window_from": "clock"}
FOUR = {"rows": 48, "tasks": 4, "refusals": 4 * 8}
CASES: dict[str, Case] = {
    "seconds, rounded down": Case(FIRST | {"headers": "floor"}, told_late_s=1.0),
    "seconds, rounded up": Case(FIRST | {"headers": "ceil"}, told_late_s=1.0),
    "seconds with a fraction": Case(FIRST | {"headers": "fraction"}),
    "seconds, on every second answer": Case(
        FIRST | {"headers": "fraction", "headers_every": 2, "retry_after": "seconds"}, told_late_s=1.0
    ),
    "epoch, window on the clock": Case(CLOCK | {"headers": "epoch"}, rows=85),
    "epoch, the server's clock ahead": Case(
        CLOCK | {"headers": "epoch", "clock_ahead_s": 100}, rows=85, told_late_s=1.0
    ),
    "only Retry-After, in seconds": Case(
        FIRST | {"headers": "none", "retry_after": "seconds"}, rows=55, told_late_s=1.0, refusals=8
    ),
    "only Retry-After, as a date": Case(
        FIRST | {"headers": "none", "retry_after": "date"}, rows=55, told_late_s=2.0, refusals=8
    ),
    "four tasks, seconds rounded down": Case(FIRST | {"limit": 2 * LIMIT, "headers": "floor"}, told_late_s=1.0, **FOUR),
    "four tasks, seconds with a fraction": Case(FIRST | {"limit": 2 * LIMIT, "headers": "fraction"}, **FOUR),
    "four tasks, epoch": Case(CLOCK | {"limit": 2 * LIMIT, "headers": "epoch"}, **FOUR),
}


@dataclass(frozen=True)
class Result:
    """What is left of a case when all of its tasks have ended."""

    runs: list[Run]
    contacts: int
    windows: list[dict[str, Any]]
    violations: list[str]


@pytest.fixture(scope="module")
def results(airflow_db: None) -> dict[str, Result]:
    """All cases, run at the same time."""
    return _play(list(CASES))


def _play(names: Sequence[str]) -> dict[str, Result]:
    cases = {name: CASES[name] for name in names}
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(64) as pool:
        servers = {}
        for number, (name, case) in enumerate(cases.items()):
            servers[name] = stack.enter_context(StrictServer(fields_a_page=100, **case.settings))
            patch.setenv(f"AIRFLOW_CONN_CASE{number}", json.dumps(servers[name].connection()))
        runs = {
            name: [pool.submit(_deliver, f"case{number}", task, case.rows) for task in range(case.tasks)]
            for number, (name, case) in enumerate(cases.items())
        }
        return {
            name: Result(
                [run.result() for run in runs[name]],
                len(servers[name].contacts),
                servers[name].windows,
                servers[name].violations,
            )
            for name in cases
        }


def _deliver(conn_id: str, task: int, count: int) -> Run:
    rows = [{"email": f"task{task}-row{n}@example.com", "visits": n} for n in range(count)]
    return run_operator(rows=rows, connectif_conn_id=conn_id)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_no_row_is_lost_and_none_fails_for_the_limit(name: str, results: dict[str, Result]) -> None:
    case, result = CASES[name], results[name]
    assert [run.state for run in result.runs] == ["success"] * case.tasks
    assert result.contacts == case.rows * case.tasks
    assert result.violations == []


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_the_allowance_is_used_and_hardly_ever_overrun(name: str, results: dict[str, Result]) -> None:
    wasted = _wasted(CASES[name], results[name])
    for _ in range(ATTEMPTS - 1):
        if wasted:
            wasted = _wasted(CASES[name], _play([name])[name])
    assert wasted == {}


def _wasted(case: Case, result: Result) -> dict[str, Any]:
    """What was not used well, in figures; nothing where all was."""
    # The last window holds what was left, and one on the clock may be nearly over when the first request comes.
    full = result.windows[case.settings.get("window_from") == "clock" : -1]
    assert len(full) >= 2
    used = sum(window["allowed"] for window in full) / (case.settings["limit"] * len(full))
    refused = max(window["refused"] for window in result.windows)
    idle_s = max(later["starts"] - earlier["ends"] for earlier, later in pairwise(result.windows))
    figures = {
        "used": (used, used >= 0.97),
        "refused": (refused, refused <= case.refusals),
        "idle_s": (idle_s, idle_s <= case.told_late_s + BUSY_MACHINE_S),
    }
    return {name: figure for name, (figure, is_well) in figures.items() if not is_well}


@pytest.mark.parametrize("name", CASES)
def test_the_summary_tells_of_the_waiting(name: str, results: dict[str, Result]) -> None:
    result = results[name]
    refused = sum(window["refused"] for window in result.windows)
    allowed = sum(window["allowed"] for window in result.windows)
    assert sum(run.summary["rate_limited"] for run in result.runs) == refused
    assert sum(run.summary["requests"] for run in result.runs) == allowed + refused
    longest = max(run.summary["duration_s"] for run in result.runs)
    waited = [run.summary["waited_s"] for run in result.runs]  # of several tasks, one may find room in each window
    assert max(waited) > 0
    assert all(seconds <= longest + 1 for seconds in waited)
