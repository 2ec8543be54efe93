"""Several tries of one run: what an earlier one has met is neither sent again nor forgotten."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import FAST
from tests.support.journals import JournalDatabase, deliver, journal_database, usually
from tests.support.strict_server import StrictServer

ANA, BEA = {"email": "ana@example.com", "visits": 1}, {"email": "bea@example.com", "visits": 1}
WRONG = {"validationErrors": [{"path": "/visits", "reason": "is not to be"}]}
REFUSED = {"keys": ["ana@example.com"], "status": 422, "json": WRONG}
BUSY = {"keys": ["bea@example.com"], "status": 503}


@pytest.fixture(params=usually("sqlite"))
def journal(request: pytest.FixtureRequest, airflow_db: None) -> JournalDatabase:
    return journal_database(request.param, request)


@pytest.fixture(autouse=True)
def one_try(strict: StrictServer, connection: Callable[..., None]) -> None:
    """What fails once is undelivered at once."""
    connection("connectif_default", **strict.connection(requests_per_minute=FAST, timeout=5, retries=1))


def test_what_was_refused_before_a_try_failed_is_a_refusal_in_the_next_try_too(
    journal: JournalDatabase, strict: StrictServer, tmp_path: Path
) -> None:
    strict.update(faults=[REFUSED, BUSY])
    path = tmp_path / "rejects.jsonl"
    arguments: dict[str, Any] = {"rows": [ANA, BEA], "rejects_path": str(path)}
    assert deliver("night", **arguments).state == "up_for_retry"
    strict.update(faults=[])
    before = strict.received

    run = deliver("night", **arguments)

    assert strict.received - before == 1  # what was refused is not asked again
    assert (run.state, run.summary["rejected"], run.summary["held"]) == ("failed", 1, 0)
    assert run.summary["reasons"] == {"HTTP 422 visits: is not to be": 1}
    (line,) = [json.loads(line) for line in path.read_text().splitlines()]
    assert (line["row_number"], line["key"], line["status"], line["row"]) == (1, "ana@example.com", 422, ANA)
    assert deliver("next night", **arguments).summary["held"] == 1


@pytest.mark.parametrize("changes", [{"failure_budget": 1}, {"retry_rejected": True}])
def test_such_a_refusal_is_counted_against_the_budget_and_sent_again_where_it_is_asked_for(
    changes: dict[str, Any], journal: JournalDatabase, strict: StrictServer
) -> None:
    strict.update(faults=[REFUSED, BUSY])
    assert deliver("night", rows=[ANA, BEA]).state == "up_for_retry"
    strict.update(faults=[])
    run = deliver("night", rows=[ANA, BEA], **changes)
    assert run.state == "success"
    assert run.summary["rejected"] == ("failure_budget" in changes)


def test_a_full_refresh_that_failed_goes_on_in_its_next_try(journal: JournalDatabase, strict: StrictServer) -> None:
    assert deliver("yesterday", rows=[ANA, BEA]).state == "success"
    strict.update(faults=[BUSY])
    before = strict.received
    assert deliver("night", rows=[ANA, BEA], full_refresh=True).state == "up_for_retry"
    strict.update(faults=[])
    assert deliver("night", rows=[ANA, BEA], full_refresh=True).state == "success"
    assert [entry["key"][:3] for entry in strict.log[before:]].count("ana") == 1
    assert strict.received - before == 3


def test_a_task_whose_name_is_too_long_for_the_journal_is_refused_in_words(
    journal: JournalDatabase, strict: StrictServer
) -> None:
    run = deliver("n" * 251, rows=[ANA])
    assert (run.state, strict.received) == ("failed", 0)
    assert str(run.error) == ("the journal stores names of at most 250 characters; dag_id/run_id has 255")


def test_a_table_whose_name_is_too_long_is_refused_in_words(
    request: pytest.FixtureRequest, strict: StrictServer, airflow_db: None
) -> None:
    journal_database("postgres", request)
    run = deliver("night", rows=[ANA], journal_table="j" * 60)
    assert (run.state, strict.received) == ("failed", 0)
    assert "j" * 60 in str(run.error)
