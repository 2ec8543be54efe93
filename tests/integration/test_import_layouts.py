"""Tables with many columns that may be empty: few files, few requests, each contact counted once."""

from __future__ import annotations

import itertools
import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.import_runs import account, as_contacts, event_of, import_over_deferral, import_rows, rows, uploaded
from tests.support.journals import JournalDatabase, Process, deliver, journal_database, usually
from tests.support.strict_server import StrictServer, until
from tests.support.task_logs import provider_lines
from tests.support.task_runs import run_in_airflow

FULL: dict[str, Callable[[int], Any]] = {
    "_name": lambda n: f"Name {n}",
    "_surname": lambda n: f'Sur"name, {n}',
    "_birthdate": lambda n: f"19{50 + n % 50}-0{1 + n % 9}-11",
    "_mobilePhone": lambda n: f"+346{n:08}",
    "_points": lambda n: n + 1,
    "tier": lambda n: f"tier {n % 5}",
    "spent": lambda n: n / 4,
    "visits": lambda n: n + 1,
    "last_visit": lambda n: "2026-02-03",
    "segment": lambda n: ("new", "regular", "lapsed")[n % 3],
}
FORBIDDEN = {"status": 403, "json": {"detail": "no"}}


def table(count: int, seed: int, fills: tuple[float, ...] = (0.5,)) -> list[dict[str, Any]]:
    """Rows whose columns are empty at random, each as often as one of these shares says."""
    dice = random.Random(seed)
    share = {name: dice.choice(fills) for name in FULL}
    return [
        {
            "email": f"u{n}@example.com",
            **{name: make(n) if dice.random() < share[name] else None for name, make in FULL.items()},
        }
        for n in range(count)
    ]


def optional(source: list[dict[str, Any]]) -> int:
    """Columns that some row does not fill, and some does."""
    return sum(0 < sum(row[name] is not None for row in source) < len(source) for name in FULL)


def without_polls(strict: StrictServer) -> int:
    return sum(not (entry["method"] == "GET" and entry["target"].startswith("/imports/0")) for entry in strict.log)


@pytest.fixture(params=usually("postgres"))
def journal(request: pytest.FixtureRequest, airflow_db: None) -> JournalDatabase:
    return journal_database(request.param, request)


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    ("count", "seed"),
    [
        *((count, seed) for seed, count in enumerate((100, 300, 700) * 2)),
        *(pytest.param(count, count, marks=(pytest.mark.slow, pytest.mark.full_size)) for count in (20_000, 40_000)),
    ],
)
def test_any_pattern_arrives_whole_and_takes_few_requests(
    strict: StrictServer, airflow_db: None, count: int, seed: int
) -> None:
    strict.update(import_run_s=0.1)
    source = table(count, seed, (0.0, 0.01, 0.1, 0.5, 0.9, 1.0))
    run = import_rows(rows=source, poll_interval=0.2, failure_budget=0)
    assert run.state == "success", run.error
    assert strict.contacts == as_contacts(source)
    assert account(run.summary) == run.summary["read"] == len(source)
    definitions = sum(entry["target"].startswith("/contact-fields/") for entry in strict.log)
    assert run.summary["files"] <= optional(source) + 1
    assert without_polls(strict) <= min(len(source), optional(source) + 1) + definitions
    polls: dict[str, list[float]] = {}
    for entry in strict.log:
        if entry["method"] == "GET" and entry["target"].startswith("/imports/0"):
            polls.setdefault(entry["target"], []).append(entry["t"])
    assert all(later - earlier >= 0.19 for at in polls.values() for earlier, later in itertools.pairwise(at))


# The first process ends while every import stands still: nobody waits with a worker.
@pytest.mark.sampled(1)
@pytest.mark.versions
@pytest.mark.parametrize("fills", [(0.5,), (0.5, 0.8, 0.95), (0.02, 0.5, 1.0)])
def test_a_realistic_table_holds_no_worker_while_it_waits(
    strict: StrictServer, airflow_db: None, fills: tuple[float, ...]
) -> None:
    strict.update(import_hold="queued", imports_a_page=50)
    source = table(2640, 1, fills)

    arguments: dict[str, Any] = {"deferrable": True, "file_layout": "auto"}
    # While files are uploaded, an import is polled whose interval has passed: a second would pass on a slow machine.
    first = import_rows(rows=source, poll_interval=20, **arguments)
    assert first.state == "deferred"
    assert len(uploaded(strict)) <= 12
    assert not [entry for entry in strict.log if entry["target"].startswith("/imports/0")]  # no poll by a worker
    strict.update(import_hold=None)
    last, again = first, {"rows": iter(()), "method": "execute_complete", "poll_interval": 1, **arguments}
    while last.state == "deferred":  # until the server has processed the last file
        last = import_rows(event=event_of(last), **again)
    assert last.state == "success", last.error
    assert strict.contacts == as_contacts(source)
    assert account(last.summary) == 2640
    assert last.summary["files"] <= 12
    assert strict.requests <= 60


def test_a_new_contact_gets_its_value_and_not_the_default_of_a_field(strict: StrictServer, airflow_db: None) -> None:
    default = {"vip": False, "interests": ["shoes"]}
    strict.update(import_created_with=default)
    strict.change_contacts({"u0@example.com": {"vip": False, "_surname": "There"}})
    filled = {"vip": True, "interests": ["hats"], "_surname": "New", "tier": "gold", "visits": 1}
    source: list[dict[str, Any]] = [
        {"email": f"u{n}@example.com", "_name": "Ana"}
        | {name: None if n >> bit & 1 else value for bit, (name, value) in enumerate(filled.items())}
        for n in range(32)
    ]
    run = import_rows(rows=source, on_existing="fill_empty")
    assert (run.state, run.summary["imported"], run.summary["files"]) == ("success", 32, 7), run.error
    wanted = {key: default | values for key, values in as_contacts(source).items()}
    wanted["u0@example.com"] |= {"vip": False, "_surname": "There"}
    assert strict.contacts == wanted


@pytest.mark.slow
def test_in_airflow_it_defers_with_a_journal(
    strict: StrictServer, journal: JournalDatabase, run_dag: Callable[..., Any]
) -> None:
    source = table(300, 2)
    run = run_in_airflow(
        run_dag,
        rows=source,
        kind="ContactImportOperator",
        deferrable=True,
        poll_interval=0.1,
        fields="live",
        journal_conn_id="journal",
    )
    assert run.state == "success"
    assert (run.summary["imported"], run.summary["files"] <= 11) == (300, True)
    assert strict.contacts == as_contacts(source)
    assert (len(journal.acknowledged()), journal.pending()) == (300, 0)


@pytest.mark.slow
@pytest.mark.parametrize("deferrable", [False, True])
def test_rejected_in_several_files_a_contact_is_rejected_once(
    strict: StrictServer, journal: JournalDatabase, tmp_path: Path, deferrable: bool
) -> None:
    strict.update(import_zero=False)
    path = tmp_path / "rejects.jsonl"
    source = table(60, 3, (0.6,))
    for n in range(0, 12, 3):
        source[n] |= {"visits": 0, "_points": 0}  # in a file each
    source[30] |= {"visits": 0, "_points": None}
    arguments = {"journal_conn_id": "journal", "rejects_path": str(path), "failure_budget": 5, "file_layout": "column"}
    run = (import_over_deferral if deferrable else lambda **more: [import_rows(**more)])(rows=source, **arguments)[-1]
    assert run.state == "success", run.error
    assert (run.summary["imported"], run.summary["rejected"], account(run.summary)) == (55, 5, 60)
    assert len(journal.acknowledged() & {row["email"] for row in source}) == 55
    numbers = [json.loads(line)["row_number"] for line in path.read_text().splitlines()]
    assert sorted(numbers) == [1, 4, 7, 10, 31]
    again = import_rows("next night", rows=source, **arguments)
    assert (again.summary["unchanged"], again.summary["held"], again.summary["imported"]) == (55, 5, 0)


@pytest.mark.slow
@pytest.mark.parametrize("end", ["error", "cancelled"])
def test_a_file_that_fails_leaves_its_contacts_undelivered_and_no_others(
    strict: StrictServer, journal: JournalDatabase, end: str
) -> None:
    source = table(80, 4, (0.5,))
    # The second upload is the column that most contacts fill.
    strict.update(import_faults=[{"nth": [2, 2], "end": end, "at_rows": 0}])
    run = import_rows(rows=source, file_layout="column", journal_conn_id="journal")
    assert run.state == ("up_for_retry" if end == "error" else "failed")
    failed = strict.uploads[1]["total"]
    assert (run.summary["imported"], run.summary["undelivered"]) == (80 - failed, failed)
    assert len(journal.acknowledged()) == 80 - failed
    again = import_rows("next night", rows=source, file_layout="column", journal_conn_id="journal")
    assert (again.state, again.summary["unchanged"], again.summary["imported"]) == ("success", 80 - failed, failed)
    assert strict.contacts == as_contacts(source)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("with_journal", [True, False])
def test_rejections_that_no_report_names_are_counted_and_nothing_of_their_files_is_acknowledged(
    strict: StrictServer, journal: JournalDatabase, with_journal: bool
) -> None:
    strict.update(import_zero=False, report_columns="none")
    source = table(80, 5, (0.5,))
    zeros = [row for row in source if row["visits"] is not None][:3]
    for row in zeros:
        row["visits"] = 0
    more = {"journal_conn_id": "journal"} if with_journal else {}
    run = import_rows(rows=source, file_layout="column", failure_budget=3, **more)
    assert (run.state, run.summary["imported"], run.summary["rejected"]) == ("success", 77, 3), run.error
    if with_journal:
        assert journal.acknowledged() == {row["email"] for row in source if row["visits"] is None}
        assert journal.pending() == 0


# A file whose rows nobody can account for must not hide what another one says.
@pytest.mark.slow
def test_numbers_that_do_not_add_up_in_one_of_several_files(strict: StrictServer, journal: JournalDatabase) -> None:
    source = table(80, 6, (0.5,))
    strict.update(import_faults=[{"on": "GET", "nth": [1, 1000], "json": {"total": 1}}])
    run = import_rows(rows=source, file_layout="column", journal_conn_id="journal")
    assert run.state == "failed"
    assert "could not be accounted for" in str(run.error)
    assert run.summary["imported"] == 0
    assert journal.acknowledged() == set()


def singles() -> list[dict[str, Any]]:
    """A hundred rows of one shape, and two with a shape of their own."""
    return [*rows(100), {"email": "x@example.com", "tier": "a"}, {"email": "y@example.com", "spent": 1.5}]


def test_a_group_goes_by_patch_where_that_takes_fewer_requests(strict: StrictServer, journal: JournalDatabase) -> None:
    run = import_rows(rows=singles(), file_layout="shape", journal_conn_id="journal")
    assert (run.state, run.summary["imported"], run.summary["created"]) == ("success", 100, 2), run.error
    assert len(strict.uploads) == 1
    assert sum(entry["method"] == "PATCH" for entry in strict.log) == 2
    assert strict.contacts == as_contacts(singles())
    assert len(journal.acknowledged()) == 102


def test_a_key_that_may_not_write_contacts_imports_all_of_them(
    strict: StrictServer, journal: JournalDatabase, capfd: pytest.CaptureFixture[str]
) -> None:
    strict.update(faults=[FORBIDDEN])
    run = import_rows(rows=singles(), file_layout="shape", journal_conn_id="journal")
    assert (run.state, run.summary["imported"], account(run.summary)) == ("success", 102, 102), run.error
    assert sum(entry["method"] == "PATCH" for entry in strict.log) == 1  # the first one shows it
    assert len(strict.uploads) == 3
    assert strict.contacts == as_contacts(singles())
    assert len(journal.acknowledged()) == 102
    assert "cannot write contacts (403)" in "".join(provider_lines("".join(capfd.readouterr())))


@pytest.mark.parametrize(
    ("fault", "state"),
    [
        ({"times": 1, "status": 502}, "success"),  # sent again, like any other
        ({"times": 1, "status": 429, "headers": {"Retry-After": "1"}}, "success"),
        ({"status": 401}, "failed"),
        ({"times": 1, "status": 422, "json": {"detail": "no"}}, "failed"),  # the row's own fault
        ({"times": 1, "status": 403, "text": "<html>firewall</html>"}, "failed"),  # not Connectif's word on the key
    ],
)
def test_other_responses_to_the_first_patch_mean_what_they_always_mean(
    strict: StrictServer, airflow_db: None, fault: dict[str, Any], state: str
) -> None:
    strict.update(faults=[fault])
    run = import_rows(rows=singles(), file_layout="shape")
    assert run.state == state, run.error
    assert account(run.summary) == 102
    if state == "success":
        assert strict.contacts == as_contacts(singles())


@pytest.mark.parametrize("patch_leftovers", [False, True])
def test_nothing_is_patched_where_the_author_says_so_or_the_queue_takes_all(
    strict: StrictServer, airflow_db: None, patch_leftovers: bool
) -> None:
    run = import_rows(rows=singles(), file_layout="shape", patch_leftovers=patch_leftovers)
    assert (run.state, run.summary["imported"], len(strict.uploads)) == ("success", 102, 3)


# The queue has room for ten: the worker is given back with files that are not uploaded yet, and the process that
# continues has neither rows nor field definitions.
@pytest.mark.slow
def test_a_full_queue_gives_the_worker_back(strict: StrictServer, journal: JournalDatabase) -> None:
    strict.update(import_hold="queued", imports_a_page=50)
    source = table(600, 7, (0.5,))
    arguments = {"journal_conn_id": "journal", "file_layout": "shape", "timeout": 300}
    shapes = {tuple(name for name in FULL if row[name] is not None) for row in source[:16]}
    source = [row for row in source if tuple(name for name in FULL if row[name] is not None) in shapes]
    runs = import_over_deferral(
        rows=source, patch_leftovers=False, between=lambda _: strict.update(import_hold=None), **arguments
    )
    assert runs[-1].state == "success", runs[-1].error
    assert (len(runs[0].summary["imports"]), runs[0].summary["files"]) == (10, len(shapes))
    assert len(uploaded(strict)) == len(set(uploaded(strict))) == runs[-1].summary["files"] == len(shapes) > 10
    assert strict.contacts == as_contacts(source)
    assert account(runs[-1].summary) == runs[-1].summary["imported"] == len(source)
    assert (len(journal.acknowledged()), journal.pending()) == (len(source), 0)


@pytest.mark.slow
def test_a_queue_that_others_fill_is_waited_for_without_a_worker(
    strict: StrictServer, journal: JournalDatabase, capfd: pytest.CaptureFixture[str]
) -> None:
    strict.update(foreign_imports=10)
    path = {"journal_conn_id": "journal", "deferrable": True}
    first = import_rows(rows=rows(20), **path)
    assert first.state == "deferred"
    assert uploaded(strict) == []
    event = event_of(first)
    assert not isinstance(event, dict)  # nothing to poll: a moment that is waited for
    again = import_rows(rows=iter(()), method="execute_complete", event=event, **path)
    assert again.state == "deferred"
    strict.update(foreign_imports=0)
    runs = [again]
    while runs[-1].state == "deferred":
        runs.append(import_rows(rows=iter(()), method="execute_complete", event=event_of(runs[-1]), **path))
    assert (runs[-1].state, runs[-1].summary["imported"]) == ("success", 20), runs[-1].error
    assert strict.contacts == as_contacts(rows(20))


@pytest.mark.slow
def test_killed_while_files_were_left_the_next_attempt_reads_again(
    strict: StrictServer, journal: JournalDatabase, tmp_path: Path
) -> None:
    strict.update(import_hold="queued", imports_a_page=50)
    source = table(300, 8, (0.5,))
    arguments = {"journal_conn_id": "journal", "file_layout": "column", "max_file_bytes": 1500}
    first = import_rows(rows=source, deferrable=True, timeout=60, **arguments)
    assert first.state == "deferred"
    assert len(uploaded(strict)) == 10
    newer = [{**row, "_name": "newer"} if n % 7 == 0 else row for n, row in enumerate(source)]
    process = Process(tmp_path, "night", import_rows, rows=newer, tries_before=1, timeout=60, **arguments)
    process.wait_until_it_says("An earlier attempt did not deliver everything")
    strict.update(import_hold=None, import_workers=1)
    run = process.end(120)
    assert run.state == "success", run.error
    assert strict.contacts == as_contacts(source) | as_contacts(newer)
    assert account(run.summary) == run.summary["read"] == 300
    assert (len(journal.acknowledged()), journal.pending()) == (300, 0)


# Other systems' imports of the same size, type and minute in the list, and a kill wherever an upload can be.
@pytest.mark.slow
@pytest.mark.parametrize("kill", ["before", "after", "response"])
@pytest.mark.parametrize("nth", [3, *(pytest.param(nth, marks=pytest.mark.full_size) for nth in (1, 10))])
@pytest.mark.parametrize("with_journal", [True, False])
def test_killed_among_files_by_column_beside_another_system(
    strict: StrictServer, journal: JournalDatabase, tmp_path: Path, kill: str, nth: int, with_journal: bool
) -> None:
    fault = {"drop": "after"} if kill == "response" else {"hang": kill}
    strict.update(
        import_faults=[{"nth": [nth, nth], "times": 1, **fault}],
        other_imports=[{"from_upload": 1}, {"from_upload": nth}],
        import_run_s=0.2,
    )
    source = table(100, 9, (0.5,))
    arguments: dict[str, Any] = {"file_layout": "column", "timeout": 60}
    arguments |= {"journal_conn_id": "journal"} if with_journal else {}
    process = Process(tmp_path, "night", import_rows, rows=source, **arguments)
    until(lambda: len(strict.uploads) >= nth)
    process.kill()
    newer = [{**row, "visits": 999} for row in source]
    run = import_rows("night", rows=newer, tries_before=1, **arguments)
    assert run.state == "success", run.error
    assert strict.contacts == as_contacts(source) | as_contacts(newer)
    assert account(run.summary) == run.summary["read"] == 100
    assert set(run.summary["imports"]) <= {upload.get("import_id") for upload in strict.uploads}


# Every file is uploaded, some imports have ended and are written down, the others stand still.
@pytest.mark.slow
@pytest.mark.parametrize("deferrable", [True, False])
def test_killed_while_some_imports_by_column_have_ended(
    strict: StrictServer, journal: JournalDatabase, tmp_path: Path, deferrable: bool
) -> None:
    strict.update(import_faults=[{"nth": [6, 20], "hold": "inProgress"}], other_imports=[{"from_upload": 1}])
    source = table(100, 9, (0.5,))
    arguments: dict[str, Any] = {"file_layout": "column", "timeout": 60, "journal_conn_id": "journal"}
    process = Process(tmp_path, "night", import_rows, rows=source, **arguments)
    process.wait_until_it_says("Uploaded 10 files")  # the id of each is written down
    until(lambda: '"is_settled": true' in str(journal.query("select state from connectif_journal_plans")))
    process.kill()
    before = len(strict.uploads)

    def release(*_: Any) -> None:
        strict.update(import_faults_hold=False)

    arguments |= {"rows": source, "tries_before": 1}
    if deferrable:
        runs = import_over_deferral(between=release, **arguments)
        assert [run.state for run in runs[:-1]] == ["deferred"]
    else:
        release()
        runs = [import_rows(**arguments)]
    assert runs[-1].state == "success", runs[-1].error
    assert len(strict.uploads) == before  # their ids are known: nothing is uploaded again
    assert strict.contacts == as_contacts(source)
    assert account(runs[-1].summary) == runs[-1].summary["imported"] == 100


def test_what_has_finished_is_noticed_while_files_are_uploaded(strict: StrictServer, airflow_db: None) -> None:
    strict.update(import_faults=[{"nth": [4, 4], "status": 429, "headers": {"Retry-After": "1"}}])
    source = table(200, 10, (0.5,))
    assert import_rows(rows=source, file_layout="column", timeout=60).state == "success"
    first = str(strict.uploads[0]["import_id"])
    polled = next(n for n, entry in enumerate(strict.log) if entry["method"] == "GET" and first in entry["target"])
    assert any(entry["method"] == "POST" for entry in strict.log[polled:])


@pytest.mark.slow
def test_lines_name_three_imports_at_most(
    strict: StrictServer, airflow_db: None, capfd: pytest.CaptureFixture[str]
) -> None:
    strict.update(import_hold="inProgress")
    run = import_rows(rows=table(100, 11, (0.5,)), file_layout="column", timeout=3)
    assert run.state == "up_for_retry"
    assert "0 of " in str(run.error)
    assert " more" in str(run.error)
    for line in [*provider_lines("".join(capfd.readouterr())), str(run.error)]:
        assert len(re.findall("[0-9a-f]{24}", line)) <= 3, line


def test_a_plan_that_is_too_old_is_not_uploaded(strict: StrictServer, journal: JournalDatabase) -> None:
    from datetime import timedelta

    strict.update(foreign_imports=10)
    arguments = {"journal_conn_id": "journal", "plan_max_age": timedelta(seconds=1), "timeout": 60}
    run = import_rows(rows=rows(20), **arguments)
    assert run.state == "up_for_retry"
    assert "older than plan_max_age" in str(run.error)
    assert (run.summary["undelivered"], account(run.summary)) == (20, 20)
    assert uploaded(strict) == []


@pytest.mark.parametrize("value", [20, 0.5])
def test_durations_may_be_seconds(strict: StrictServer, airflow_db: None, value: float) -> None:
    assert import_rows(rows=rows(10), poll_interval=value, timeout=value + 20).state == "success"


# A table of few rows is quicker by PATCH, one of many is not.
@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    ("count", "on_existing", "is_warned_of"),
    [(50, "update", True), (50, "fill_empty", False), (2640, "update", False)],  # a PATCH overwrites what is there
)
def test_a_check_states_what_both_ways_take(
    strict: StrictServer,
    airflow_db: None,
    connection: Callable[..., None],
    capfd: pytest.CaptureFixture[str],
    count: int,
    on_existing: str,
    is_warned_of: bool,
) -> None:
    connection("connectif_default", **strict.connection())
    run = import_rows(rows=table(count, 12, (0.5,)), check_only=True, poll_interval=20, on_existing=on_existing)
    assert run.state == "success", run.error
    summary = run.summary
    assert (summary["valid"], summary["patch_requests"]) == (count, count)
    assert 10 <= summary["files"] <= 11
    assert summary["run_requests"] == 2 * summary["files"]
    assert summary["patch_duration_s"] == (count - 1) // 100 * 60
    # Polls of all imports together keep three seconds between them: ten at once take longer than poll_interval.
    assert summary["run_duration_s"] == {10: 30.0, 11: 50.0}[summary["files"]]
    lines = provider_lines("".join(capfd.readouterr()))
    assert any(line.startswith(f"By import: {summary['files']} files, at least ") for line in lines)
    assert any(
        line.startswith(f"By PATCH: {count:,} requests; at 100 requests a minute, this takes ") for line in lines
    )
    assert any("PATCH would be faster" in line for line in lines) == is_warned_of
    assert strict.uploads == []


def test_a_check_with_nothing_to_send_states_no_cost(
    strict: StrictServer, airflow_db: None, connection: Callable[..., None], capfd: pytest.CaptureFixture[str]
) -> None:
    connection("connectif_default", **strict.connection())
    run = import_rows(rows=[{"email": "nobody", "_name": "Ana"}], check_only=True)
    assert (run.summary["valid"], run.summary["files"]) == (0, 0)
    lines = provider_lines("".join(capfd.readouterr()))
    assert any("nothing to send" in line for line in lines)
    assert not any(line.startswith(("By import: ", "By PATCH: ")) for line in lines)


@pytest.mark.slow
def test_a_later_patch_run_settles_an_import_by_column(
    strict: StrictServer, journal: JournalDatabase, tmp_path: Path
) -> None:
    strict.update(import_hold="queued")
    source = [
        {**row, "tier": "a" if n % 2 else None, "spent": 1.5 if n % 3 else None} for n, row in enumerate(rows(50))
    ]
    first = import_rows("first night", rows=source, file_layout="column", timeout=4, journal_conn_id="journal")
    assert (first.state, len(uploaded(strict))) == ("up_for_retry", 3)
    process = Process(tmp_path, "second night", deliver, rows=source, fields="live", max_in_flight=1)
    process.wait_until_it_says("until the imports of an earlier run")
    strict.update(import_hold=None)
    run = process.end(60)
    assert (run.state, run.summary["unchanged"]) == ("success", 50), run.error
    assert strict.contacts == as_contacts(source)
    assert journal.pending() == 0
