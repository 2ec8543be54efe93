"""Contacts of imports that have ended: each is settled once, also if the process dies amid that."""

from __future__ import annotations

import errno
import json
import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowTaskTimeout

from airflow_provider_connectif.imports import report, settlement
from tests.support.histories import assert_agrees
from tests.support.import_runs import as_contacts, event_of, import_over_deferral, import_rows, rows, uploaded
from tests.support.journals import JournalDatabase, Process, journal_database
from tests.support.strict_server import StrictServer, until

BY_JOURNAL = {"journal_conn_id": "journal"}


@pytest.fixture
def journal(request: pytest.FixtureRequest, airflow_db: None) -> JournalDatabase:
    return journal_database("sqlite", request)


def with_zeros(count: int, *zeros: int) -> list[dict[str, Any]]:
    """Rows of which Connectif rejects some."""
    return [{**row, "visits": 0 if n in zeros else row["visits"]} for n, row in enumerate(rows(count))]


@pytest.mark.parametrize("on_existing", ["update", "keep"])
@pytest.mark.parametrize("is_deferred", [False, True], ids=["on its worker", "after a deferral"])
def test_killed_when_the_rejected_contacts_of_a_report_are_recorded(
    is_deferred: bool,
    on_existing: str,
    strict: StrictServer,
    journal: JournalDatabase,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    strict.update(import_zero=False)
    path = tmp_path / "rejects.jsonl"
    arguments = {"rows": with_zeros(30, 3, 5, 7), "failure_budget": 3, "rejects_path": str(path), **BY_JOURNAL}
    arguments |= {"on_existing": on_existing}
    begun: dict[str, Any] = {}
    if is_deferred:
        first = import_rows("night", deferrable=True, **arguments)
        assert first.state == "deferred"
        begun = {"deferrable": True, "method": first.error.method_name, "event": event_of(first)}  # type: ignore[union-attr]
    with monkeypatch.context() as patch:
        patch.setattr(settlement, "settle_files", lambda *_, **__: os._exit(9))
        process = Process(tmp_path, "night", import_rows, **begun, **arguments)
        until(process.has_ended, within_s=20)

    run = import_rows("night", tries_before=1, **arguments)

    assert run.state == "success", run.error
    outcome = "rejected" if on_existing == "update" else "not_taken"
    assert (run.summary["imported"], run.summary[outcome]) == (27, 3)
    assert_agrees(journal.query, "dag/night", run.summary)
    assert len(path.read_text().splitlines()) == 3
    assert len(uploaded(strict)) == 1


def assert_counted_once_by_the_next_attempt(
    strict: StrictServer, journal: JournalDatabase, arguments: dict[str, Any]
) -> None:
    """30 contacts, of which Connectif has rejected three; the next run knows them all."""
    run = import_rows("night", tries_before=1, **arguments)
    assert run.state == "success", run.error
    assert (run.summary["imported"], run.summary["rejected"]) == (27, 3)
    assert_agrees(journal.query, "dag/night", run.summary)
    assert import_rows("next", **arguments).summary["unchanged"] == 27
    assert len(uploaded(strict)) == 1


@pytest.mark.parametrize("name", ["refuse_contacts", "settle_files"])
def test_stopped_between_counting_contacts_and_recording_them(
    name: str, strict: StrictServer, journal: JournalDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By ``execution_timeout``, or by Ctrl-C: the next attempt counts them once."""
    strict.update(import_zero=False)
    arguments = {"rows": with_zeros(30, 3, 5, 7), "failure_budget": 3, **BY_JOURNAL}

    def stopped(*_: object, **__: object) -> None:
        raise AirflowTaskTimeout("the time has passed")

    with monkeypatch.context() as patch:
        patch.setattr(settlement, name, stopped)
        with pytest.raises(AirflowTaskTimeout):
            import_rows("night", **arguments)

    assert_counted_once_by_the_next_attempt(strict, journal, arguments)


@pytest.mark.parametrize("is_deferred", [False, True], ids=["on its worker", "after a deferral"])
def test_a_journal_that_cannot_record_contacts_is_asked_again_by_the_next_attempt(
    is_deferred: bool, strict: StrictServer, journal: JournalDatabase
) -> None:
    strict.update(import_zero=False)
    import_rows("before", rows=rows(1, begin=500), **BY_JOURNAL)
    journal.query(
        "create trigger broken before insert on connectif_journal begin select raise(abort, 'disk I/O error'); end"
    )
    arguments = {"rows": with_zeros(30, 3, 5, 7), "failure_budget": 3, **BY_JOURNAL}
    first = import_over_deferral("night", **arguments)[-1] if is_deferred else import_rows("night", **arguments)
    assert first.state == "up_for_retry"
    journal.query("drop trigger broken")

    assert_counted_once_by_the_next_attempt(strict, journal, arguments)


def test_a_full_disk_of_the_rejects_file_lets_the_next_attempt_count_rejected_contacts_once(
    strict: StrictServer, journal: JournalDatabase, tmp_path: Path
) -> None:
    strict.update(import_zero=False)
    arguments = {"rows": with_zeros(30, 3, 5, 7), "failure_budget": 3, **BY_JOURNAL}
    assert import_rows("night", rejects_path="/dev/full", **arguments).state == "up_for_retry"

    assert_counted_once_by_the_next_attempt(strict, journal, arguments)


def test_a_deferral_that_cannot_be_stored_fails_the_task_and_holds_no_other_run(
    strict: StrictServer, journal: JournalDatabase
) -> None:
    strict.update(import_hold="inProgress")
    import_rows("before", rows=rows(1, begin=500), **BY_JOURNAL)
    journal.query(
        "create trigger broken before update on connectif_journal_claims when new.answered_until is null "
        "begin select raise(abort, 'disk I/O error'); end"
    )
    run = import_rows("night", rows=rows(20), deferrable=True, **BY_JOURNAL)
    journal.query("drop trigger broken")

    assert run.state == "up_for_retry"
    assert "pending" not in run.summary
    assert journal.query("select * from connectif_journal_claims") == []
    of_night = "select verdict, counts from connectif_journal_runs where run_id = 'dag/night'"
    ((verdict, counts),) = journal.query(of_night)
    assert (verdict, json.loads(counts)["cause"]) == ("try_again", str(run.error))

    strict.update(import_hold=None)
    again = import_rows("night", rows=rows(20), tries_before=1, **BY_JOURNAL)
    assert (again.state, again.summary["imported"], len(uploaded(strict))) == ("success", 20, 1)


def test_the_history_distinguishes_rows_of_a_running_import_from_rows_that_were_not_uploaded(
    strict: StrictServer, journal: JournalDatabase
) -> None:
    strict.update(import_hold="inProgress", import_faults=[{"nth": [2, None], "status": 413}])
    run = import_rows("night", rows=rows(600), max_file_bytes=9000, timeout=timedelta(seconds=4), **BY_JOURNAL)
    assert run.state == "failed"
    found = dict(journal.query("select reason, count(*) from connectif_journal_outcomes group by reason"))
    why = "the run ended early"
    assert found.keys() == {f"the result of its import is not known: {why}", f"not sent: {why}"}
    assert sum(found.values()) == 600


NO_PATCH = {"patch_leftovers": False, **BY_JOURNAL}
BLANK = [{**row, "_name": "" if n < 2 else row["_name"]} for n, row in enumerate(rows(5, visits=10))]


def test_a_text_that_becomes_blank_is_left_out_and_the_row_is_not_imported_again(
    strict: StrictServer, journal: JournalDatabase
) -> None:
    """Connectif still holds the earlier text; that is known, so a row that has it again costs nothing either."""
    import_rows("night 1", rows=rows(5), **NO_PATCH)
    assert import_rows("night 2", rows=BLANK, **NO_PATCH).summary["imported"] == 5
    assert len(journal.acknowledged()) == 5
    files = len(uploaded(strict))

    run = import_rows("night 3", rows=BLANK, **NO_PATCH)

    assert run.state == "success", run.error
    assert (run.summary["imported"], run.summary["unchanged"]) == (0, 5)
    assert_agrees(journal.query, "dag/night 3", run.summary)
    assert import_rows("night 4", rows=rows(5, visits=10), **NO_PATCH).summary["unchanged"] == 5
    assert len(uploaded(strict)) == files


def test_a_retry_counts_the_rows_with_blank_texts_that_its_earlier_attempt_imported(
    strict: StrictServer, journal: JournalDatabase
) -> None:
    strict.update(import_faults=[{"nth": [2, 2], "end": "error", "at_rows": 0}])
    failed = import_rows("night", rows=BLANK, **NO_PATCH)
    assert failed.state == "up_for_retry"

    run = import_rows("night", tries_before=1, rows=BLANK, **NO_PATCH)

    assert run.state == "success", run.error
    assert (run.summary["imported"], run.summary["unchanged"]) == (5, 0)
    assert_agrees(journal.query, "dag/night", run.summary)


@pytest.mark.parametrize("is_deferred", [False, True], ids=["on its worker", "after a deferral"])
def test_a_rejected_row_with_a_blank_text_is_held(
    is_deferred: bool, strict: StrictServer, journal: JournalDatabase
) -> None:
    strict.update(import_zero=False)
    arguments = {"rows": [{**row, "visits": row["visits"] * (n > 0)} for n, row in enumerate(BLANK)]}
    arguments |= {"failure_budget": 1, **NO_PATCH}
    runs = import_over_deferral("night 1", **arguments) if is_deferred else [import_rows("night 1", **arguments)]
    assert runs[-1].summary["rejected"] == 1
    assert import_rows("night 2", **arguments).summary["held"] == 1


@pytest.mark.parametrize("fault", ["the name is too long", "a full disk"])
def test_a_report_that_cannot_be_stored_does_not_fail_the_run(
    fault: str,
    strict: StrictServer,
    journal: JournalDatabase,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The path of the rejects is short enough, but not with what is added to it for the report."""
    strict.update(import_zero=False)
    path = tmp_path / f"{'r' * (220 if fault == 'the name is too long' else 1)}.jsonl"
    if fault == "a full disk":

        def copied(*_: Any) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(report.shutil, "copyfileobj", copied)
    arguments = {"rows": with_zeros(10, 3), "failure_budget": 1, "rejects_path": str(path), **BY_JOURNAL}

    run = import_rows("night", **arguments)

    assert run.state == "success", run.error
    assert (run.summary["imported"], run.summary["rejected"]) == (9, 1)
    assert len(path.read_text().splitlines()) == 1
    assert len(journal.acknowledged()) == 9
    logged = capfd.readouterr().out + caplog.text  # Airflow 3 writes to stdout itself, 2 through logging
    assert "its error report could not be stored" in logged


@pytest.mark.parametrize(("poll_interval_s", "again_in_s"), [(1, 60), (300, 300)])
def test_an_earlier_runs_import_is_polled_no_more_often_than_poll_interval(
    poll_interval_s: int, again_in_s: int, strict: StrictServer, journal: JournalDatabase
) -> None:
    strict.update(import_hold="inProgress")
    assert import_rows("night 1", rows=rows(5), timeout=timedelta(seconds=0.3), **BY_JOURNAL).state == "up_for_retry"
    arguments = {"poll_interval": timedelta(seconds=poll_interval_s), "timeout": timedelta(hours=6)}
    began = time.time()

    run = import_rows("night 2", rows=rows(6), deferrable=True, **arguments, **BY_JOURNAL)

    assert run.state == "deferred"
    until = run.error.trigger.serialize()[1]["until"]  # type: ignore[union-attr]
    assert began + again_in_s <= until <= time.time() + again_in_s + 1


@pytest.mark.parametrize("is_deferred", [False, True], ids=["on its worker", "after a deferral"])
def test_the_history_has_a_withdrawn_consent_whose_file_failed_as_undelivered(
    is_deferred: bool, strict: StrictServer, journal: JournalDatabase
) -> None:
    """The row is invalid, so its consent is sent alone; as by PATCH, the row counts as undelivered if that fails."""
    consent = "_newsletterSubscriptionStatus"
    source = [{**row, "_birthdate": None, consent: None} for row in rows(5)]
    source += [{**row, "_birthdate": "no day", consent: "unsubscribed"} for row in rows(1, begin=5)]
    source += [{**row, "_birthdate": "no day", consent: None} for row in rows(1, begin=6)]
    strict.update(import_faults=[{"nth": [1, 1], "end": "error", "at_rows": 0}])
    arguments = {"rows": source, "failure_budget": 5, **NO_PATCH}

    runs = import_over_deferral("night", **arguments) if is_deferred else [import_rows("night", **arguments)]

    assert runs[-1].state == "up_for_retry"
    assert (runs[-1].summary["undelivered"], runs[-1].summary["invalid"]) == (1, 1)
    assert_agrees(journal.query, "dag/night", runs[-1].summary)


def test_a_response_that_names_an_import_of_the_night_before_is_none(
    strict: StrictServer, journal: JournalDatabase
) -> None:
    """As from a proxy that replays an earlier response: the file may have become an import, or not."""
    import_rows("night 1", rows=rows(20), **BY_JOURNAL)
    strict.update(import_faults=[{"times": 1, "same_id": True}])

    run = import_rows("night 2", rows=rows(20, visits=100), **BY_JOURNAL)

    assert run.state == "success", run.error
    assert strict.contacts == as_contacts(rows(20, visits=100))
    assert run.summary["imports"] == [f"{2:024x}"]


def test_a_contact_that_one_of_its_files_rejects_keeps_its_spelling(
    strict: StrictServer, journal: JournalDatabase
) -> None:
    """The other file has created it, and Connectif may distinguish upper and lower case."""
    strict.update(import_zero=False)
    source = [{**row, "visits": row["visits"] if n % 2 else None} for n, row in enumerate(rows(6))]
    source.append({"email": "Ana@example.com", "_name": "Ana", "visits": 0})
    arguments = {"file_layout": "column", "failure_budget": 1, **NO_PATCH}
    run = import_rows("night 1", rows=source, **arguments)
    assert (run.state, run.summary["rejected"]) == ("success", 1)
    import_rows("night 2", rows=[*source[:-1], {"email": "ana@example.com", "_name": "Ana", "visits": 5}], **arguments)

    anas = {key: held.get("visits") for key, held in strict.contacts.items() if key.lower() == "ana@example.com"}
    assert anas == {"Ana@example.com": 5}
