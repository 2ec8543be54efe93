"""A person is erased by one kind of key, while another sync has her by the other kind."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_connectif.cli.main import main
from airflow_provider_connectif.journal import lease
from tests.integration.test_erasure import ANA, SPELLINGS, by_external_id, deletions, erase, people, receipts, the_sum
from tests.integration.test_erasure_meanwhile import closed, erase_in
from tests.integration.test_import_withdrawals import BAR
from tests.support.import_runs import event_of, import_rows
from tests.support.journals import JournalDatabase, Process, deliver, journal_database, usually
from tests.support.strict_server import StrictServer, until
from tests.support.task_runs import FakeTI

IDS = {"key": "external_id", "journal_conn_id": "journal", "sync_id": "ids"}


@pytest.fixture(params=usually("sqlite"))
def journal(request: pytest.FixtureRequest, airflow_db: None) -> JournalDatabase:
    return journal_database(request.param, request)


@pytest.fixture(autouse=True)
def _quick_renewals(monkeypatch: pytest.MonkeyPatch) -> None:
    """An erasure waits until every run at work has renewed its claim."""
    monkeypatch.setattr(lease, "_RENEW_EVERY_S", 0.2)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("by", [deliver, import_rows])
def test_unchanged_rows_count_as_suppressed(by: Any, strict: StrictServer, journal: JournalDatabase) -> None:
    source = by_external_id()
    assert by("night 1", rows=source, **IDS).state == "success"
    assert erase(SPELLINGS[2]).state == "success"
    strict.change_contacts({"C2": None})
    strict.take_log()
    for number, visits in ((2, 1), (3, 1), (4, 5)):
        night = by(f"night {number}", rows=[{**row, "visits": visits} for row in source], **IDS)
        assert (night.state, night.summary["suppressed"], the_sum(night.summary)) == ("success", 1, 6), night.error
        assert night.summary["unchanged"] == (5 if visits == 1 else 0)
    assert "C2" not in strict.contacts
    # The journal knows nothing of her any more: once she is off the list, the same row is sent.
    main(["journal", "unsuppress", ANA, "--journal-conn-id", "journal"])
    back = by("night 5", rows=[{**row, "visits": 5} for row in source], **IDS)
    assert (back.summary["suppressed"], back.summary["unchanged"]) == (0, 5)
    assert "C2" in strict.contacts


@pytest.mark.slow
def test_what_a_row_names_in_any_spelling_is_found(strict: StrictServer, journal: JournalDatabase) -> None:
    assert erase(SPELLINGS[3].upper()).state == "success"
    spelled = [f"  {spelling} " for spelling in SPELLINGS]
    ids = [{"external_id": f"X{n}", "_email": email} for n, email in enumerate(spelled)]
    run = deliver("ids", rows=ids, **IDS)
    assert (run.state, run.summary["suppressed"]) == ("success", len(spelled)), run.error
    assert strict.contacts == {}


@pytest.mark.slow
@pytest.mark.parametrize("deferrable", [False, True])
def test_an_upload_that_carries_her_under_the_other_key_is_waited_for(
    deferrable: bool, strict: StrictServer, journal: JournalDatabase, tmp_path: Path
) -> None:
    arguments: dict[str, Any] = {"deferrable": deferrable, "patch_leftovers": False, "rows": by_external_id(), **IDS}
    strict.update(import_hold="queued", deletes_nobody_with=404, log_states=True)
    load: Any = None
    if deferrable:
        load = import_rows("load", **arguments)
        assert load.state == "deferred", load.error
    else:
        process = Process(tmp_path, "load", import_rows, **arguments)
        process.wait_until_it_says("Uploaded")
    forget = Process(tmp_path, "forget", erase_in, keys=[SPELLINGS[1]])
    forget.wait_until_it_says("1 import")
    assert deletions(strict) == []
    strict.update(import_hold=None)
    erased = forget.end(60)
    if deferrable:
        method = load.error.method_name
        run = import_rows("load", **arguments, method=method, event=event_of(load))
    else:
        run = process.end()
    assert (erased.state, len(receipts(journal))) == ("success", 1), erased.error
    assert (run.state, run.summary["imported"], the_sum(run.summary)) == ("success", 6, 6), run.error
    log = strict.log
    deleted = [place for place, entry in enumerate(log) if entry["method"] == "DELETE"]
    imported = [place for place, entry in enumerate(log) if entry["method"] == "IMPORT" and entry["key"] == "C2"]
    assert max(imported) < min(deleted)
    assert journal.pending() == 0
    night = deliver("night", rows=by_external_id(), **IDS)
    assert night.summary["suppressed"] == 1, night.error


@pytest.mark.slow
@pytest.mark.parametrize("unfit", [{"_points": "x"}, {"interests": ["a|b"]}])
def test_an_upload_of_a_consent_alone_is_waited_for(
    unfit: dict[str, Any], strict: StrictServer, journal: JournalDatabase, tmp_path: Path
) -> None:
    """The row is invalid, or no file can contain it."""
    source = [{"external_id": "C2", "_email": ANA, "_newsletterSubscriptionStatus": "unsubscribed", **unfit}]
    arguments = {
        "deferrable": True,
        "patch_leftovers": False,
        "failure_budget": 1,
        "fields": BAR,
        "rows": source,
        **IDS,
    }
    strict.update(import_hold="queued", deletes_nobody_with=404)
    load = import_rows("load", **arguments)
    assert load.state == "deferred", load.error
    forget = Process(tmp_path, "forget", erase_in, keys=[SPELLINGS[1]])
    forget.wait_until_it_says("1 import")
    assert deletions(strict) == []
    strict.update(import_hold=None)
    erased = forget.end(60)
    run = import_rows("load", **arguments, method=load.error.method_name, event=event_of(load))
    assert (erased.state, len(receipts(journal))) == ("success", 1), erased.error
    assert (run.state, run.summary["invalid"], the_sum(run.summary)) == ("success", 1, 1), run.error
    assert journal.pending() == 0


@pytest.mark.slow
def test_an_erasure_may_share_the_sync_of_the_task_beside_it(
    strict: StrictServer, journal: JournalDatabase, tmp_path: Path
) -> None:
    """Two tasks of one DAG run with one ``sync_id``: what the other one has under way is waited for, too."""
    gate = tmp_path / "gate"
    strict.update(gate=str(gate), deletes_nobody_with=404)
    rows = sorted(people(), key=lambda row: row["email"] != ANA)
    with closed(gate):
        night = Process(tmp_path, "night", rows=rows, max_in_flight=1)
        until(lambda: strict.in_flight == 1)
        forget = Process(tmp_path, "forget", _beside, keys=[ANA])
        forget.wait_until_it_says("may still write these people")
        assert deletions(strict) == []
    run, erased = night.end(), forget.end()
    assert (run.state, the_sum(run.summary), erased.state) == ("success", 6, "success"), erased.error
    assert receipts(journal) == ["deleted"]
    assert ANA not in strict.contacts


def _beside(run_id: str, before: Any = None, keys: Any = (), **arguments: Any) -> Any:
    """An erasure as another task of the run ``night``."""
    ti = FakeTI()
    ti.task_id = "forget"
    context: Mapping[str, Any] = {"run_id": "night", "dag": SimpleNamespace(dag_id="dag"), "ti": ti}
    return erase(*keys, before=before, sync_id="nightly", context=context, **arguments)
