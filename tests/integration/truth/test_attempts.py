"""Attempts of one run: a retry goes on, a cleared task starts over, and the summary is that of the whole run."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.integration.conftest import FAST
from tests.support.airflow_runs import xcom
from tests.support.journals import JournalDatabase, Process, journal_database, usually
from tests.support.strict_server import StrictServer, until
from tests.support.task_runs import FakeTI, Run

ANA, BEA, CID = ({"email": f"{name}@example.com", "visits": 1} for name in ("ana", "bea", "cid"))
DOCUMENT = {"status": 422, "title": "Unprocessable", "detail": "no"}
REFUSED = {"keys": [ANA["email"]], "status": 422, "json": DOCUMENT}
BUSY = {"keys": [BEA["email"]], "status": 503}


@pytest.fixture(params=usually("postgres"))
def journal(request: pytest.FixtureRequest, airflow_db: None) -> JournalDatabase:
    return journal_database(request.param, request)


@pytest.fixture(autouse=True)
def one_try(strict: StrictServer, connection: Callable[..., None]) -> None:
    """What fails once is undelivered at once."""
    connection("connectif_default", **strict.connection(requests_per_minute=FAST, timeout=5, retries=1))


def attempt(
    number: int = 1,
    max_tries: int = 2,
    *,
    run_id: str = "night",
    retries: int = 2,
    map_index: int = -1,
    kind: str = "ContactPatchOperator",
    before: Callable[[Any], None] | None = None,
    method: str = "execute",
    **arguments: Any,
) -> Run:
    """An attempt as Airflow numbers it: a retry raises ``number``, a Clear also sets ``max_tries``, to the last number
    plus ``retries``."""
    from airflow.providers.common.compat.sdk import (
        AirflowException,
        AirflowFailException,
        AirflowSkipException,
        TaskDeferred,
    )

    from airflow_provider_connectif.operators import contacts

    given = {"journal_conn_id": "journal", "sync_id": "nightly", "fields": "builtin"} | arguments
    operator = getattr(contacts, kind)(task_id="patch", retries=retries, **given)
    if before is not None:
        before(operator)
    ti = FakeTI(map_index, try_number=number, max_tries=max_tries)
    context = {"ti": ti, "task": operator, "run_id": run_id, "dag": SimpleNamespace(dag_id="dag")}
    state, error, returned = "success", None, None
    try:
        returned = getattr(operator, method)(context, **({} if method == "execute" else {"event": None}))
    except TaskDeferred as deferral:
        state, error = "deferred", deferral
    except AirflowFailException as failure:
        state, error = "failed", failure
    except AirflowSkipException as skip:
        state, error = "skipped", skip
    except AirflowException as failure:
        state, error = "up_for_retry", failure
    return Run(state, ti.pushed.get("summary", {}), error, returned)


def in_a_process(run_id: str, before: Callable[[Any], None], **arguments: Any) -> Run:
    return attempt(run_id=run_id, before=before, **arguments)


def sent(strict: StrictServer, since: int) -> list[str]:
    return sorted(entry["key"].removesuffix("@example.com") for entry in strict.log[since:])


# A cleared task that "continues" sends nothing at a full refresh, and counts old refusals that nobody asked again.


@pytest.mark.slow
def test_a_run_that_had_ended_and_is_run_again_in_airflow_sends_everything_again(
    journal: JournalDatabase, strict: StrictServer, run_dag: Callable[..., Any]
) -> None:
    from airflow.providers.common.compat.sdk import DAG

    from airflow_provider_connectif.operators.contacts import ContactPatchOperator

    arguments = {"rows": [ANA, BEA], "journal_conn_id": "journal", "fields": "builtin", "full_refresh": True}
    with DAG(f"again_{journal.kind}", schedule=None) as dag:
        ContactPatchOperator(task_id="patch", **arguments)
    night = datetime(2026, 1, 1, tzinfo=UTC)
    # As each version of Airflow calls what the run's id is made of.
    dates = dict.fromkeys(
        {"execution_date", "logical_date", "run_after"} & inspect.signature(dag.test).parameters.keys(), night
    )
    first = run_dag(dag, **dates)
    again = run_dag(dag, **dates)
    assert again.run_id == first.run_id
    assert (strict.received, xcom(again, "patch", "summary")["tries"]) == (4, 1)


@pytest.mark.slow
def test_a_retry_in_airflow_has_the_totals_of_the_run(
    journal: JournalDatabase, strict: StrictServer, run_dag: Callable[..., Any]
) -> None:
    from airflow.providers.common.compat.sdk import DAG

    from airflow_provider_connectif.operators.contacts import ContactPatchOperator

    strict.update(faults=[BUSY | {"times": 1}])
    arguments = {"rows": [ANA, BEA], "journal_conn_id": "journal", "fields": "builtin", "full_refresh": True}
    with DAG(f"retried_{journal.kind}", schedule=None) as dag:
        ContactPatchOperator(task_id="patch", retries=2, retry_delay=0, **arguments)
    summary = xcom(run_dag(dag), "patch", "summary")
    assert {name: summary[name] for name in ("read", "created", "unchanged", "requests", "tries")} == {
        "read": 2,
        "created": 2,
        "unchanged": 0,
        "requests": 3,
        "tries": 2,
    }


@pytest.mark.slow
@pytest.mark.parametrize("each", [1, 2])
@pytest.mark.parametrize("kind", ["ContactPatchOperator", "ContactImportOperator"])
def test_a_retry_of_a_full_refresh_goes_on_and_a_cleared_one_starts_over(
    kind: str, each: int, journal: JournalDatabase, strict: StrictServer
) -> None:
    """Each contact has one row, or an older one, too."""
    rows = [row | {"visits": n} for n in range(each) for row in (ANA, BEA, CID)]
    attempt(run_id="yesterday", rows=rows)
    strict.update(faults=[BUSY])
    since = strict.received
    assert attempt(1, rows=rows, full_refresh=True).state == "up_for_retry"
    strict.update(faults=[])
    assert sent(strict, since) == ["ana", "bea", "cid"]
    since = strict.received
    assert attempt(2, rows=rows, full_refresh=True).state == "success"
    assert sent(strict, since) == ["bea"]
    since = strict.received
    assert attempt(3, 4, rows=rows, full_refresh=True).state == "success"  # cleared
    assert sent(strict, since) == ["ana", "bea", "cid"]
    since = strict.received
    assert attempt(4, 4, rows=rows, full_refresh=True).state == "success"  # Airflow did not hear of the end
    assert sent(strict, since) == []
    since = strict.received
    # Cleared again; its first attempt died before it came to the journal, so this one is a retry.
    assert attempt(6, 6, rows=rows, full_refresh=True).state == "success"
    assert sent(strict, since) == ["ana", "bea", "cid"]


# How the attempt before ended, the number of the next one and its max_tries, and whether it starts over.
ENDS: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[int, int], bool]] = {
    "success": ({}, {"number": 1}, (2, 3), True),
    "skipped": ({"on_response": {503: "skip_task"}, "faults": [BUSY]}, {"number": 1}, (2, 3), True),
    "failed over the budget": ({"faults": [REFUSED]}, {"number": 1}, (2, 3), True),
    "failed without a retry left": ({"faults": [BUSY]}, {"number": 3}, (4, 5), True),
    "failed with a retry left, and cleared": ({"faults": [BUSY]}, {"number": 1}, (2, 3), False),
    "failed with a retry left, and retried": ({"faults": [BUSY]}, {"number": 1}, (2, 2), False),
}


@pytest.mark.sampled(1)
@pytest.mark.parametrize("end", ENDS)
def test_how_an_attempt_ended_decides_whether_the_next_starts_over(
    end: str, journal: JournalDatabase, strict: StrictServer
) -> None:
    options, first, (number, max_tries), starts_over = ENDS[end]
    options = dict(options)
    strict.update(faults=options.pop("faults", []))
    rows = [CID, ANA, BEA]
    attempt(**first, rows=rows, full_refresh=True, max_in_flight=1, **options)
    strict.update(faults=[])
    since = strict.received
    again = attempt(number, max_tries, rows=rows, full_refresh=True)
    assert again.state == "success"
    assert ("cid" in sent(strict, since)) is starts_over
    assert again.summary["tries"] == (1 if starts_over else 2)


@pytest.mark.slow
def test_a_killed_attempt_continues_in_its_retry_and_starts_over_where_it_was_the_last(
    journal: JournalDatabase, strict: StrictServer, tmp_path: Path
) -> None:
    last = {"email": "last@example.com", "visits": 1}
    strict.update(faults=[{"keys": [last["email"]], "hang": "before"}])
    source = [*({"email": f"user{n}@example.com", "visits": n} for n in range(1000)), last]

    for number, max_tries, next_one, starts_over in ((1, 2, (2, 2), False), (3, 2, (4, 5), True)):
        run_id = f"night {number}"
        since = strict.received
        process = Process(
            tmp_path, run_id, run=in_a_process, number=number, max_tries=max_tries, rows=source, full_refresh=True
        )
        until(lambda since=since: strict.received - since == 1001, within_s=60)
        committed = f"select 1 from connectif_journal where run_id = 'dag/{run_id}' and state = 'acknowledged'"
        until(lambda committed=committed: len(journal.query(committed)) == 1000)
        process.kill()
        journal.query("delete from connectif_journal_claims")  # it would end after a minute
        run = attempt(*next_one, run_id=run_id, rows=source[:-1], full_refresh=True)
        # A run that continues sends the one without a response again.
        assert run.summary["requests"] == (1000 if starts_over else 1001)
        assert (strict.received - since == 2001) is starts_over
        assert (run.summary["created"] + run.summary["updated"], run.summary["unchanged"]) == (1000, 0)


def test_refusals_of_the_earlier_series_are_asked_again_or_held_but_not_counted_without_asking(
    journal: JournalDatabase, strict: StrictServer
) -> None:
    strict.update(faults=[REFUSED])
    assert attempt(1, rows=[ANA, BEA]).summary["rejected"] == 1
    cleared = attempt(2, 3, rows=[ANA, BEA])
    assert (cleared.state, cleared.summary["rejected"], cleared.summary["held"]) == ("failed", 0, 1)
    strict.update(faults=[])
    refreshed = attempt(3, 5, rows=[ANA, BEA], full_refresh=True)
    assert (refreshed.state, refreshed.summary["requests"]) == ("success", 2)


@pytest.mark.slow
def test_mapped_tasks_have_attempts_of_their_own(journal: JournalDatabase, strict: StrictServer) -> None:
    strict.update(faults=[BUSY])
    assert attempt(1, map_index=0, rows=[ANA, BEA], full_refresh=True).state == "up_for_retry"
    assert attempt(1, map_index=1, rows=[CID], full_refresh=True).state == "success"
    strict.update(faults=[])
    since = strict.received
    assert attempt(2, map_index=0, rows=[ANA, BEA], full_refresh=True).summary["tries"] == 2
    assert attempt(2, 3, map_index=1, rows=[CID], full_refresh=True).summary["tries"] == 1
    assert sent(strict, since) == ["bea", "cid"]


def test_two_tasks_of_a_run_with_one_sync_id_refresh_each_their_rows(
    journal: JournalDatabase, strict: StrictServer
) -> None:
    attempt(1, map_index=0, rows=[ANA], full_refresh=True)
    other = attempt(1, map_index=1, rows=[ANA], full_refresh=True)
    assert (other.summary["requests"], other.summary["tries"]) == (1, 1)


# The summary of a run with a retry says "unchanged" of what the run itself has delivered, and forgets its requests.


@pytest.mark.slow
def test_the_summary_is_that_of_the_run(journal: JournalDatabase, strict: StrictServer) -> None:
    attempt(run_id="yesterday", rows=[CID, ANA | {"visits": 0}])
    strict.update(faults=[BUSY])
    first = attempt(1, rows=[ANA, BEA, CID])
    assert (first.summary["updated"], first.summary["unchanged"], first.summary["tries"]) == (1, 1, 1)
    strict.update(faults=[])
    second = attempt(2, rows=[ANA, BEA, CID, ANA])
    counts = ("read", "created", "updated", "unchanged", "requests", "tries")
    assert {name: second.summary[name] for name in counts} == {
        "read": 4,
        "created": 1,
        "updated": 1,
        "unchanged": 2,
        "requests": 3,
        "tries": 2,
    }
    # The journal's record of the first attempt begins once the journal is open.
    assert second.summary["duration_s"] > first.summary["duration_s"] - 0.5
    assert attempt(run_id="next night", rows=[ANA, BEA, CID]).summary["unchanged"] == 3


@pytest.mark.slow
def test_what_was_created_stays_created_though_it_was_confirmed_or_invalid_since(
    journal: JournalDatabase, strict: StrictServer
) -> None:
    attempt(run_id="yesterday", rows=[CID], properties={"visits": "visits"})
    strict.update(faults=[BUSY])
    properties = {"visits": "visits", "tier": "tier"}
    rows = [ANA | {"tier": None}, BEA | {"tier": None}, CID | {"tier": None}]
    first = attempt(1, rows=rows, properties=properties)  # CID's patch is the one of yesterday: confirmed
    assert (first.summary["created"], first.summary["unchanged"]) == (1, 1)
    bad = [ANA | {"visits": float("nan"), "tier": None}, *rows[1:]]
    assert attempt(2, rows=bad, properties=properties).summary["invalid"] == 1
    strict.update(faults=[])
    third = attempt(3, rows=rows, properties=properties)
    assert (third.summary["created"], third.summary["unchanged"], third.summary["tries"]) == (2, 1, 3)


def test_a_source_that_shrank_is_counted_as_it_is_now(journal: JournalDatabase, strict: StrictServer) -> None:
    strict.update(faults=[BUSY])
    assert attempt(1, rows=[ANA, BEA, CID]).state == "up_for_retry"
    second = attempt(2, rows=[CID]).summary
    assert (second["read"], second["created"], second["unchanged"], second["requests"]) == (1, 1, 0, 3)


@pytest.mark.slow
def test_imported_rows_stay_imported_in_a_retry(journal: JournalDatabase, strict: StrictServer) -> None:
    fast = {"poll_interval": timedelta(seconds=0.05), "timeout": timedelta(seconds=20)}
    fields = {"visits": {"type": "integer"}}
    night = {"kind": "ContactImportOperator", "fields": fields, **fast}
    assert attempt(1, rows=[ANA, CID], **night).state == "success"
    # The task was killed before Airflow heard of it.
    second = attempt(2, rows=[ANA, CID], **night)
    assert (second.summary["imported"], second.summary["unchanged"], second.summary["tries"]) == (2, 0, 2)
    assert attempt(run_id="next", rows=[ANA, CID], **night).summary["unchanged"] == 2


@pytest.mark.slow
def test_a_killed_attempts_requests_are_in_the_sum(
    journal: JournalDatabase, strict: StrictServer, tmp_path: Path
) -> None:
    strict.update(delay_s=0.005)
    rows = [{"email": f"user{n}@example.com", "visits": n} for n in range(400)]
    process = Process(tmp_path, "night", run=in_a_process, rows=rows)
    until(lambda: strict.received > 150)
    process.kill()
    journal.query("delete from connectif_journal_claims")
    strict.update(delay_s=0)
    run = attempt(2, rows=rows)
    assert (run.state, run.summary["created"] + run.summary["updated"], run.summary["unchanged"]) == ("success", 400, 0)
    assert strict.received - 58 <= run.summary["requests"] <= strict.received  # in flight, and a batch of 50


@pytest.mark.slow
def test_a_deferral_is_the_same_attempt_and_one_whose_plan_was_swept_forgets_no_request(
    journal: JournalDatabase, strict: StrictServer, connection: Callable[..., None]
) -> None:
    connection("connectif_default", **strict.connection(timeout=5))
    strict.reset(limit=20, window_s=2.0, headers="fraction")
    rows = [{"email": f"user{n}@example.com", "visits": n} for n in range(30)]
    options: dict[str, Any] = {"rows": rows, "deferrable": True, "defer_after": timedelta(seconds=0.5)}
    assert attempt(1, **options).state == "deferred"
    for table in ("plans", "pending"):
        journal.query(f"delete from connectif_journal_{table}")
    until(lambda: time.time() > strict.windows[-1]["ends"])
    run = attempt(1, method="execute_complete", **options)
    counts = ("read", "created", "unchanged", "requests", "tries")
    assert (run.state, [run.summary[name] for name in counts]) == ("success", [30, 30, 0, strict.received, 1])


def test_the_time_limit_of_a_retry_does_not_count_the_attempts_before(
    journal: JournalDatabase, strict: StrictServer
) -> None:
    strict.update(faults=[BUSY])
    options: dict[str, Any] = {"rows": [ANA, BEA], "deferrable": True, "execution_timeout": timedelta(seconds=5)}
    assert attempt(1, **options).state == "up_for_retry"
    strict.update(faults=[])
    journal.query("update connectif_journal_runs set started_at = '2020-01-01 00:00:00'")
    run = attempt(2, **options)
    assert run.state == "success"
    assert run.summary["duration_s"] > 86400


def test_a_journal_that_is_lost_in_the_middle_leaves_a_summary(journal: JournalDatabase, strict: StrictServer) -> None:
    def rows() -> Iterator[dict[str, Any]]:
        yield from ({"email": f"user{n}@example.com", "visits": n} for n in range(1000))
        journal.query("drop table connectif_journal")
        yield ANA

    run = attempt(1, rows=rows())
    assert (run.state, run.summary["undelivered"], run.summary["tries"]) == ("failed", 1001, 1)
    assert "table connectif_journal is missing" in str(run.error)
