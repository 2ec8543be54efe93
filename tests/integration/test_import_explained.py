"""What ``explain`` says about contacts whose import has no result yet."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_connectif.cli.main import main
from tests.support.import_runs import import_rows, rows
from tests.support.journals import JournalDatabase, journal_database
from tests.support.strict_server import StrictServer

ARGUMENTS: dict[str, Any] = {"journal_conn_id": "journal", "patch_leftovers": False}
SOON: dict[str, Any] = {"timeout": timedelta(seconds=2)}  # time for the uploads on any machine


@pytest.fixture
def journal(request: pytest.FixtureRequest, airflow_db: None, monkeypatch: pytest.MonkeyPatch) -> JournalDatabase:
    monkeypatch.setenv("AIRFLOW__CONNECTIF__JOURNALS", "journal")
    return journal_database("sqlite", request)


def explained(capfd: pytest.CaptureFixture[str], key: str, *more: str) -> dict[str, Any]:
    capfd.readouterr()
    main(["explain", key, "--sync-id", "nightly", "-o", "json", *more])
    found: dict[str, Any] = json.loads(capfd.readouterr().out)
    return found


def test_a_contact_in_an_import_that_no_task_waits_for(
    strict: StrictServer, journal: JournalDatabase, capfd: pytest.CaptureFixture[str]
) -> None:
    """No task is deferred: the next attempt or run waits for the import."""
    strict.update(import_hold="inProgress")
    assert import_rows("night", rows=rows(3), **SOON, **ARGUMENTS).state == "up_for_retry"

    found = explained(capfd, "user1@example.com")

    assert (found["is_pending"], found["is_in_import"]) == (False, True)
    assert "waits for the contact's import" in found["next_step"]["words"]
    assert not explained(capfd, "user5@example.com")["is_in_import"]


@pytest.mark.parametrize("on_existing", ["fill_empty", "keep"])
def test_a_row_of_which_only_a_blank_text_differs_is_unchanged(
    on_existing: str,
    strict: StrictServer,
    journal: JournalDatabase,
    connection: Callable[..., None],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    connection("source", conn_type="sqlite", host=str(tmp_path / "source.db"))
    source = [{"email": f"{name}@example.com", "_name": "Ana", "visits": 1} for name in ("ana", "bea")]
    import_rows("night", rows=source, on_existing=on_existing, **ARGUMENTS)
    names = "select 'ana@example.com' as email, ' ' as _name, 1 as visits"
    query = f"{names} union select 'bea@example.com', ' ', 2 union select 'cai@example.com', ' ', 1"

    def planned(name: str) -> tuple[str, list[str]]:
        more = ("--sql", query, "--sql-conn-id", "source", "--on-existing", on_existing)
        row = explained(capfd, f"{name}@example.com", *more)["row"]
        return row["outcome"], row["sent_first"]

    assert planned("ana") == ("unchanged", [])
    assert (planned("bea"), planned("cai")) == (("sent", ["visits"]), ("sent", ["visits"]))
    more = {"sql": query, "sql_conn_id": "source", "on_existing": on_existing}
    run = import_rows("next night", **more, **ARGUMENTS)
    assert (run.summary["read"], run.summary["unchanged"]) == (3, 1)


def test_a_rejected_contact_waits_for_no_other_file(
    strict: StrictServer, journal: JournalDatabase, capfd: pytest.CaptureFixture[str]
) -> None:
    strict.update(import_zero=False, import_faults=[{"nth": [2, 9], "hold": "inProgress"}])
    source = [{**row, "tier": "a" if n % 2 else None, "visits": n} for n, row in enumerate(rows(6), -3)]
    run = import_rows("night", rows=source, file_layout="column", failure_budget=1, **SOON, **ARGUMENTS)
    assert run.state == "up_for_retry"

    rejected, others = explained(capfd, "user3@example.com"), explained(capfd, "user4@example.com")

    assert (rejected["is_pending"], rejected["is_in_import"]) == (False, False)
    assert (rejected["last"]["state"], rejected["next_step"]["action"]) == ("rejected", "hold")
    assert others["is_in_import"]
