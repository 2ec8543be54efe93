"""A delivery gives its worker back while it waits for a window, and each process goes on where the last one stopped.

Here each process is an operator of its own, as the worker makes one from the DAG; a real scheduler and triggerer do
the same in the end-to-end tests.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_connectif.journal import lease
from tests.support.airflow_runs import task_states, xcom
from tests.support.journals import DATABASES, JournalDatabase, Process, deliver, journal_database, unreachable, usually
from tests.support.strict_server import StrictServer, until
from tests.support.task_logs import provider_lines
from tests.support.task_runs import FakeTI, Run

LIMIT, WINDOW_S = 20, 2.0
DEFERRABLE: dict[str, Any] = {"deferrable": True, "defer_after": timedelta(seconds=0.2)}


@pytest.fixture(params=usually("postgres"))
def journal(request: pytest.FixtureRequest, airflow_db: None) -> JournalDatabase:
    return journal_database(request.param, request)


@pytest.fixture(autouse=True)
def small_windows(strict: StrictServer, connection: Callable[..., None]) -> None:
    connection("connectif_default", **strict.connection(timeout=5))
    strict.reset(limit=LIMIT, window_s=WINDOW_S, headers="fraction")


def rows(count: int, visits: int = 0) -> list[dict[str, Any]]:
    return [{"email": f"user{n}@example.com", "visits": visits + n} for n in range(count)]


def wait_as_the_triggerer(run: Run) -> Any:
    """Run the trigger of a deferral as the triggerer does: created from what Airflow's database holds of it.

    :return: the payload of its event, as it comes out of that database.
    """
    try:
        from airflow.sdk.module_loading import import_string
    except ImportError:  # Airflow 2.11
        from airflow.utils.module_loading import import_string

    path, kwargs = run.error.trigger.serialize()  # type: ignore[union-attr]
    trigger = import_string(path)(**json.loads(json.dumps(kwargs)))

    async def wait() -> list[Any]:
        return [event async for event in trigger.run()]

    (event,) = asyncio.run(wait())
    return json.loads(json.dumps(event.payload))


def deliver_to_the_end(
    run_id: str = "night", between: Callable[[int], None] = lambda _: None, **arguments: Any
) -> list[Run]:
    """Deliver over as many deferrals as it takes; the runs of all processes."""
    runs = [deliver(run_id, **(DEFERRABLE | arguments))]
    while runs[-1].state == "deferred":
        assert len(runs) < 20
        between(len(runs))
        wait_as_the_triggerer(runs[-1])
        method = runs[-1].error.method_name  # type: ignore[union-attr]
        # What only the first process may need is taken away from the others.
        later = {"rows": _never(), **{name: value for name, value in arguments.items() if name != "rows"}}
        runs.append(deliver(run_id, method=method, **(DEFERRABLE | later)))
    return runs


def _never() -> Iterator[dict[str, Any]]:
    raise AssertionError("the source was read a second time")
    yield {}


def sent(strict: StrictServer) -> Counter[str]:
    """How often each contact was sent; what a window refused is not counted."""
    return Counter(entry["key"] for entry in strict.log if entry["status"] != 429)


@pytest.mark.slow
def test_each_process_sends_what_the_window_allows_and_the_source_is_read_once(
    journal: JournalDatabase, strict: StrictServer
) -> None:
    pending = []
    runs = deliver_to_the_end(rows=rows(70), between=lambda _: pending.append(journal.pending()))

    assert [run.state for run in runs] == ["deferred"] * 3 + ["success"]
    assert pending == [50, 30, 10]
    assert strict.contacts == {row["email"]: {"visits": row["visits"]} for row in rows(70)}
    assert set(sent(strict).values()) == {1}
    assert strict.requests == 70
    summary = runs[-1].summary
    assert (summary["read"], summary["created"], summary["requests"]) == (70, 70, 70)
    assert summary["deferrals"] == 3
    assert summary["duration_s"] >= 3 * WINDOW_S - 0.5
    assert journal.pending() == 0
    assert journal.query("select count(*) from connectif_journal_plans") == [(0,)]
    assert deliver("next night", rows=rows(70)).summary["unchanged"] == 70


@pytest.mark.slow
def test_a_source_larger_than_what_is_kept_in_memory_is_read_to_its_end_before_the_worker_is_given_back(
    journal: JournalDatabase, strict: StrictServer
) -> None:
    strict.update(window_s=30.0)  # one window is all that this run sees
    run = deliver("night", rows=rows(3000), **DEFERRABLE)

    assert run.state == "deferred"
    assert run.summary["read"] == 3000
    assert run.summary["created"] == LIMIT
    assert journal.pending() == 3000 - LIMIT
    assert len(journal.acknowledged()) == LIMIT


@pytest.mark.slow
def test_few_rows_need_no_deferral(journal: JournalDatabase, strict: StrictServer) -> None:
    (run,) = deliver_to_the_end(rows=rows(LIMIT))
    assert run.state == "success"
    assert run.summary["deferrals"] == 0


@pytest.mark.slow
def test_a_window_that_is_near_is_waited_for(journal: JournalDatabase, strict: StrictServer) -> None:
    (run,) = deliver_to_the_end(rows=rows(50), defer_after=timedelta(seconds=10))
    assert run.state == "success"
    assert run.summary["waited_s"] > WINDOW_S


@pytest.mark.slow
def test_what_is_refused_is_counted_and_written_over_all_processes(
    journal: JournalDatabase, strict: StrictServer, tmp_path: Path
) -> None:
    refused = [f"user{n}@example.com" for n in (3, 30, 55)]
    strict.update(faults=[{"keys": refused, "status": 422}])
    path = tmp_path / "rejects.jsonl"
    source = [*rows(58), {"email": "nobody", "visits": 1}]

    runs = deliver_to_the_end(rows=source, rejects_path=str(path), failure_budget=3)

    summary = runs[-1].summary
    assert (summary["created"], summary["rejected"], summary["invalid"]) == (55, 3, 1)
    assert runs[-1].state == "failed"  # four refused, and three may be
    written = [json.loads(line) for line in path.read_text().splitlines()]
    assert sorted(line["row_number"] for line in written) == [4, 31, 56, 59]
    assert {line["row"]["email"] for line in written} == {*refused, "nobody"}
    assert journal.pending() == 0


@pytest.mark.slow
def test_refusals_in_a_later_window_do_not_look_like_a_wrong_mapping(
    journal: JournalDatabase, strict: StrictServer
) -> None:
    strict.update(faults=[{"keys": [f"user{n}@example.com" for n in range(20, 45)], "status": 422}])
    runs = deliver_to_the_end(rows=rows(60), failure_budget=25)
    assert runs[-1].state == "success"
    assert runs[-1].summary["created"] == 35


@pytest.mark.slow
def test_a_refused_key_in_a_later_window_ends_the_task_and_the_plan(
    journal: JournalDatabase, strict: StrictServer
) -> None:
    runs = deliver_to_the_end(
        rows=rows(60), between=lambda _: strict.update(faults=[{"nth": [21, None], "status": 401}])
    )
    assert [run.state for run in runs] == ["deferred", "failed"]
    assert journal.pending() == 0


@pytest.mark.slow
def test_rows_of_one_contact_keep_their_order(journal: JournalDatabase, strict: StrictServer) -> None:
    source = [row for n in range(25) for row in ({"email": f"u{n}@example.com", "visits": 1},)]
    source += [{"email": f"u{n}@example.com", "visits": 2} for n in range(25)]
    runs = deliver_to_the_end(rows=source)
    assert runs[-1].state == "success"
    assert {contact["visits"] for contact in strict.contacts.values()} == {2}


@pytest.mark.slow
@pytest.mark.versions
def test_a_process_that_is_killed_between_windows_or_in_them_loses_nothing(
    journal: JournalDatabase, strict: StrictServer, tmp_path: Path
) -> None:
    strict.update(delay_s=0.02)
    process = Process(tmp_path, "night", rows=rows(70), **DEFERRABLE)
    assert process.end().state == "deferred"
    wait_until_window_opens(strict)
    second = Process(tmp_path, "night", method="execute_complete", rows=rows(70), **DEFERRABLE)
    until(lambda: strict.received > LIMIT + 3)
    second.kill()

    # Airflow's retry begins again: it reads the source, and the journal has what was acknowledged.
    runs = deliver_to_the_end(rows=rows(70))

    assert runs[-1].state == "success"
    assert len(strict.contacts) == 70
    assert sum(sent(strict).values()) <= 70 + 8 + 50
    assert journal.pending() == 0


@pytest.mark.slow
def test_a_journal_that_is_gone_at_the_return_leaves_the_account_alone(
    journal: JournalDatabase,
    strict: StrictServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    first = deliver("night", rows=rows(30), **DEFERRABLE)
    assert (first.state, first.summary["created"]) == ("deferred", LIMIT)
    wait_as_the_triggerer(first)
    requests = strict.requests

    with monkeypatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_JOURNAL", json.dumps(unreachable(journal)))
        second = Process(tmp_path, "night", method="execute_complete", rows=[], **DEFERRABLE)
        run = second.end()

    assert (run.state, run.summary) == ("up_for_retry", {})  # what was pushed at the deferral stays
    assert provider_lines(second.output()) == [
        "Stopped before this process had loaded the counts; the log before the deferral has them"
    ]
    assert strict.requests == requests
    assert deliver_to_the_end(rows=rows(30))[-1].state == "success"
    assert set(sent(strict).values()) == {1}


def wait_until_window_opens(strict: StrictServer) -> None:
    until(lambda: time.time() > strict.windows[-1]["ends"])


@pytest.mark.slow
def test_a_plan_that_is_gone_is_made_again(journal: JournalDatabase, strict: StrictServer) -> None:
    first = deliver("night", rows=rows(30), **DEFERRABLE)
    assert first.state == "deferred"
    for table in ("connectif_journal_pending", "connectif_journal_plans"):
        journal.query(f"delete from {table}")
    wait_as_the_triggerer(first)

    run = deliver("night", method="execute_complete", rows=rows(30), **DEFERRABLE)

    assert run.state == "success"
    assert set(sent(strict).values()) == {1}


@pytest.mark.slow
def test_a_newer_run_waits_for_a_deferred_one_and_then_takes_the_place_of_its_plan(
    journal: JournalDatabase, strict: StrictServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "PARKED_S", 2.0)
    assert deliver("night", rows=rows(30), **DEFERRABLE).state == "deferred"
    newer = Process(tmp_path, "next night", rows=rows(30, visits=1))
    newer.wait_until_it_says("another run: waiting until it ends\n  Held by: dag/night, task patch\n")
    assert journal.pending() == 10

    assert newer.end().state == "success"  # nobody came back for the other
    assert journal.pending() == 0
    assert {entry["body"]["visits"] - int(entry["key"][4:].partition("@")[0]) for entry in strict.log[20:]} == {1}


@pytest.mark.parametrize("ends_by", ["a stop signal", "an error"])
def test_a_task_that_ends_after_its_plan_was_parked_leaves_no_claim(
    journal: JournalDatabase, strict: StrictServer, monkeypatch: pytest.MonkeyPatch, ends_by: str
) -> None:
    operators: list[Any] = []
    push = FakeTI.xcom_push

    def push_and_end(self: FakeTI, key: str, value: Any) -> None:
        push(self, key, value)
        if key == "summary":
            if ends_by == "an error":
                raise ConnectionError("no XCom")
            operators[0].on_kill()

    monkeypatch.setattr(FakeTI, "xcom_push", push_and_end)
    with suppress(ConnectionError):
        run = deliver("night", before=operators.append, rows=rows(30), **DEFERRABLE)
        assert (ends_by, run.state) == ("a stop signal", "up_for_retry")
    assert journal.query("select * from connectif_journal_claims") == []
    assert journal.pending() == 0
    ((verdict, counts),) = journal.query("select verdict, counts from connectif_journal_runs")
    assert verdict == "try_again"
    expected = "ConnectionError" if ends_by == "an error" else "The task was stopped before every row had an outcome"
    assert json.loads(counts)["cause"].startswith(expected)


@pytest.mark.slow
def test_what_nobody_comes_back_for_is_deleted_after_its_retention(
    journal: JournalDatabase, strict: StrictServer
) -> None:
    run = deliver("night", rows=rows(30), plan_retention=timedelta(seconds=0.1), **DEFERRABLE)
    assert (run.state, journal.pending()) == ("deferred", 10)
    until(lambda: time.time() > strict.windows[-1]["ends"])
    assert deliver("another", sync_id="another", rows=rows(1)).state == "success"
    assert journal.pending() == 0


@pytest.mark.sampled(1)
@pytest.mark.parametrize("kind", DATABASES)
def test_with_sha256_pending_patches_are_encrypted(
    kind: str, request: pytest.FixtureRequest, strict: StrictServer, airflow_db: None
) -> None:
    database = journal_database(kind, request, connectif_journal_secret="a secret & more = 1")
    source = [{"email": f"annabelle{n}@example.com", "_name": f"Zwickenpflug {n}"} for n in range(30)]
    held: list[str] = []
    runs = deliver_to_the_end(rows=source, journal_key="sha256", between=lambda _: held.append(database.text()))

    assert runs[-1].state == "success"
    assert len(strict.contacts) == 30
    assert "pending" not in held[0]
    for personal in ("annabelle", "@", "example", "Zwicken"):
        assert personal not in held[0]
    if kind == "sqlite":
        files = list(request.getfixturevalue("tmp_path").glob("journal.db*"))
        assert files
        assert not any(b"example" in file.read_bytes() for file in files)


@pytest.mark.slow
def test_what_the_task_may_take_is_counted_over_its_deferrals(journal: JournalDatabase, strict: StrictServer) -> None:
    limit = timedelta(seconds=2 * WINDOW_S + 1)
    runs = deliver_to_the_end(rows=rows(200), execution_timeout=limit)
    assert runs[-1].state in ("up_for_retry", "deferred")
    assert all(run.error.timeout <= limit for run in runs if run.state == "deferred")  # type: ignore[union-attr]
    if runs[-1].state == "up_for_retry":
        assert "execution_timeout" in str(runs[-1].error)
    assert strict.requests <= 4 * LIMIT


@pytest.mark.slow
def test_a_plan_is_sent_for_so_long_deferrals_included_and_the_retry_reads_the_source_again(
    journal: JournalDatabase, strict: StrictServer
) -> None:
    too_old = timedelta(seconds=WINDOW_S / 3)  # before the second process begins
    runs = deliver_to_the_end(rows=rows(50), plan_max_age=too_old, max_in_flight=1)

    assert [run.state for run in runs] == ["deferred", "up_for_retry"]
    assert "older than plan_max_age" in str(runs[-1].error)
    assert (runs[-1].summary["created"], runs[-1].summary["undelivered"]) == (LIMIT, 50 - LIMIT)
    assert (journal.pending(), strict.requests) == (0, LIMIT)

    changed = [*rows(LIMIT), *rows(50, visits=1)[LIMIT:]]
    end = deliver_to_the_end(rows=changed, tries_before=1)[-1]
    assert (end.state, end.summary["undelivered"]) == ("success", 0)
    assert strict.contacts == {row["email"]: {"visits": row["visits"]} for row in changed}
    assert set(sent(strict).values()) == {1}


@pytest.mark.slow
def test_a_window_that_others_have_used_up_is_waited_for_before_the_fields_are_read(
    journal: JournalDatabase, strict: StrictServer
) -> None:
    strict.reset(limit=LIMIT, window_s=3 * WINDOW_S, headers="fraction")  # open for longer than a busy machine takes
    others = deliver("others", sync_id="others", rows=rows(LIMIT))
    assert others.state == "success"
    runs = [deliver("night", rows=[{"email": "ana@example.com", "tier": "a"}], fields="live", **DEFERRABLE)]
    assert runs[0].state == "deferred"
    wait_as_the_triggerer(runs[0])
    again = {"rows": [{"email": "ana@example.com", "tier": "a"}], "fields": "live"}
    runs.append(deliver("night", method="execute_complete", **(DEFERRABLE | again)))
    assert runs[1].state in ("success", "deferred")


def test_a_cap_of_the_connection_holds_over_deferrals_too(
    journal: JournalDatabase, strict: StrictServer, connection: Callable[..., None]
) -> None:
    strict.reset(limit=0)
    connection("connectif_default", **strict.connection(requests_per_minute=10, timeout=5))
    first = deliver("night", rows=rows(15), **DEFERRABLE)
    assert (first.state, strict.received) == ("deferred", 10)
    assert first.error.trigger.until > time.time() + 50  # type: ignore[union-attr]
    # A process that is there too early waits as well.
    second = deliver("night", method="execute_complete", rows=rows(15), **DEFERRABLE)
    assert (second.state, strict.received) == ("deferred", 10)


def test_a_cap_that_the_requests_in_flight_have_used_up_is_no_wait_for_ever(
    journal: JournalDatabase, strict: StrictServer, connection: Callable[..., None]
) -> None:
    strict.reset(limit=0, delay_s=1.0)
    connection("connectif_default", **strict.connection(requests_per_minute=1, timeout=5))
    run = deliver("night", rows=rows(3), **DEFERRABLE)
    assert (run.state, strict.received) == ("deferred", 1)
    assert run.error.trigger.until < time.time() + 61  # type: ignore[union-attr]
    assert len(journal.acknowledged()) == 1


@pytest.mark.slow
def test_the_log_tells_what_is_pending_and_how_long_it_takes(
    journal: JournalDatabase, strict: StrictServer, tmp_path: Path
) -> None:
    first = Process(tmp_path, "night", rows=rows(50), **DEFERRABLE)
    assert first.end().state == "deferred"
    wait_until_window_opens(strict)
    second = Process(tmp_path, "night", method="execute_complete", rows=rows(50), **DEFERRABLE)
    assert second.end().state == "deferred"

    first_lines, second_lines = provider_lines(first.output()), provider_lines(second.output())
    assert [line.split(" ")[0] for line in first_lines] == ["Delivering", "The", "Plan:", "Rate"]
    assert re.fullmatch(
        r"Rate limit: the window's requests are used up; deferred until \d\d:\d\d:\d\d UTC\n  "
        r"20 of 50 sent, about 1 min \d s left\n  50 rows read, 20 delivered \(20 created, 0 updated\), 20 requests",
        first_lines[3],
    )
    # A window of 20 requests more than the one that is there, and the wait for the next one.
    assert second_lines[0] == "Continuing after the deferral: 30 contacts pending, about 1 min left"
    assert [line.split(" ")[0] for line in second_lines] == ["Continuing", "Rate"]
    assert re.search(r"40 of 50 sent, about \d+ s left\n  50 rows read, 40 delivered .*, 40 requests$", second_lines[1])


def test_without_a_journal_it_says_what_is_missing() -> None:
    from airflow_provider_connectif.operators.contacts import ContactPatchOperator

    with pytest.raises(ValueError, match="deferrable=True needs journal_conn_id"):
        ContactPatchOperator(task_id="patch", rows=[], deferrable=True)


def test_airflows_own_default_is_no_fault_without_a_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow_provider_connectif.operators.contacts import ContactPatchOperator

    monkeypatch.setenv("AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE", "True")
    assert ContactPatchOperator(task_id="patch", rows=[]).deferrable is True
    assert ContactPatchOperator(task_id="patch", rows=[], deferrable=False).deferrable is False


@pytest.mark.versions
def test_a_dag_run_defers_and_goes_on(
    journal: JournalDatabase, strict: StrictServer, run_dag: Callable[..., Any]
) -> None:
    from airflow.providers.common.compat.sdk import DAG

    from airflow_provider_connectif.operators.contacts import ContactPatchOperator

    with DAG(f"deferrable_{journal.conn_id}_{time.time_ns()}", schedule=None) as dag:
        ContactPatchOperator(task_id="patch", rows=rows(50), fields="builtin", journal_conn_id="journal", **DEFERRABLE)
    dag_run = run_dag(dag)
    assert task_states(dag_run) == {"patch": "success"}
    assert xcom(dag_run, "patch", "summary")["created"] == 50
    assert set(sent(strict).values()) == {1}
