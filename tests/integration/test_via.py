"""A sync chooses between PATCH and import, says why, and stays with its choice over deferrals, retries and kills."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_connectif.sandbox import SandboxProcess
from tests.integration.test_sync import SQL, requests, states
from tests.integration.test_sync import sync as sync_of_sql
from tests.support.import_runs import event_of
from tests.support.journals import JournalDatabase, Process, deliver, journal_database, usually
from tests.support.strict_server import StrictServer, until
from tests.support.task_logs import provider_lines
from tests.support.task_runs import Run
from tests.support.warehouses import Warehouse

NEWS = "_newsletterSubscriptionStatus"
COUNT = 150  # by PATCH more than a window takes
KEYS = [f"user{number:03}@example.com" for number in range(COUNT)]
SQL_OF_CONSENTS = "select email, name, consent from contacts"
CONSENTS = {"_name": "name", NEWS: "consent"}
full_size = pytest.mark.full_size
FORBIDDEN = {"status": 403, "json": {"detail": "no"}}


@pytest.fixture(params=usually("sqlite"))
def journal(request: pytest.FixtureRequest, airflow_db: None) -> JournalDatabase:
    return journal_database(request.param, request)


@pytest.fixture
def warehouse(tmp_path: Path, connection: Callable[..., None], strict: StrictServer) -> Warehouse:
    # By PATCH a plan of so many contacts takes a minute, and an import does not have to wait.
    connection("connectif_default", **strict.connection(requests_per_minute=100, timeout=5))
    path = tmp_path / "warehouse.db"
    connection("warehouse", conn_type="sqlite", host=str(path))
    return Warehouse(path, ("name", "consent"))


def sync(run_id: str, sql: str = SQL, **arguments: Any) -> Run:
    """One night that imports whatever takes a second window by PATCH."""
    quick = {"import_after": timedelta(0), "poll_interval": 0.05, "timeout": 20.0}
    return sync_of_sql(run_id, sql, **{**quick, **arguments})


def fill(warehouse: Warehouse, keys: Sequence[str], name: str, consent: str = "subscribed") -> None:
    warehouse.fill_rows([(key, name, consent) for key in keys])


def kinds(strict: StrictServer) -> list[str]:
    """The kinds of requests in their order, each once in a row, without polls and look-ups."""
    found: list[str] = []
    for entry in strict.take_log():
        if entry["method"] != "GET" and found[-1:] != [entry["method"]]:
            found.append(entry["method"])
    return found


def kept_import(journal: JournalDatabase, run_id: str) -> tuple[Any, ...]:
    query = f"select way, import_rows, import_seconds from connectif_journal_runs where run_id like '%{run_id}'"
    (line,) = journal.query(query)
    return line


def test_the_first_import_ends_nobody_knows_when_and_the_next_ones_do(
    journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(warehouse, KEYS, "Ana")
    first = sync("load")
    assert (first.state, first.summary["imported"], first.summary["created"]) == ("success", COUNT, 0), first.error
    assert (first.plan["way"], first.plan["files"], first.plan["minutes"]) == ("import", 1, None)
    assert first.plan["way_reason"] == "PATCH takes about 1 min, and import_after is 0.0 s"
    log = "\n".join(provider_lines(capsys.readouterr().out))
    assert "by import: 1 file" in log
    assert "duration unknown: no similar import is known yet" in log
    way, rows, seconds = kept_import(journal, "load")
    assert (way, rows) == ("import", COUNT)
    assert 0 < seconds < 20
    assert kinds(strict) == ["POST"]

    fill(warehouse, KEYS, "Eva")
    second = sync("next")
    assert (second.state, second.plan["way"]) == ("success", "import")
    assert 0 <= second.plan["minutes"] < 0.5
    assert second.plan["way_reason"].startswith("PATCH takes about 1 min, an import about ")
    made = len([entry for entry in strict.take_log() if entry["method"] in ("GET", "POST")])
    assert second.plan["requests_least"] <= made <= second.plan["requests_most"] < COUNT

    warehouse.fill_rows([(key, "Eva" if place else "Ida", "subscribed") for place, key in enumerate(KEYS)])
    third = sync("small")
    assert (third.plan["way"], third.summary["updated"]) == ("patch", 1)
    assert kept_import(journal, "small") == ("patch", None, None)
    assert requests(strict) == [("PATCH", KEYS[0])]


def test_a_plan_that_is_short_by_patch_goes_by_patch(
    journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(warehouse, KEYS[:20], "Ana")
    run = sync("load", import_after=timedelta(minutes=30))
    assert (run.state, run.summary["created"]) == ("success", 20)
    assert run.plan["way_reason"] == "PATCH takes less than a minute, and import_after is 30 min"
    assert "PATCH is chosen: it takes less than a minute, and import_after is 30 min" in "\n".join(
        provider_lines(capsys.readouterr().out)
    )
    assert kinds(strict) == ["PATCH"]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"nulls": "clear"}, "an import cannot clear properties (nulls='clear')"),
        ({"write_modes": {"_name": "on_create"}}, "an import cannot write '_name' on_create"),
        (
            {"properties": {"_name": "name", "tier": "name"}},
            "the mapping does not fit an import: tier is not a known field of this account",
        ),
        ({"import_after": timedelta(minutes=1)}, "PATCH takes about 1 min, and import_after is 1 min"),
        ({"via": "patch"}, "the operator sends by PATCH"),
    ],
)
def test_a_check_says_the_way_and_sends_nothing(
    arguments: dict[str, Any], why: str, journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer
) -> None:
    fill(warehouse, KEYS, "Ana")
    by_import = sync("check", check_only=True)
    assert (by_import.state, by_import.plan["way"], by_import.summary["files"]) == ("success", "import", 1)
    run = sync("check", check_only=True, **arguments)
    assert (run.state, run.plan["way"], run.summary["valid"]) == ("success", "patch", COUNT), run.error
    assert run.plan["way_reason"].startswith(why)
    assert strict.requests == 0


@full_size
def test_the_author_may_say_import_where_patch_is_quicker(
    journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer
) -> None:
    fill(warehouse, KEYS[:20], "Ana")
    run = sync("load", via="import")
    assert (run.state, run.summary["imported"], run.plan["way_reason"]) == ("success", 20, 'via="import"'), run.error
    assert kinds(strict) == ["POST"]


@pytest.mark.parametrize("arguments", [{"nulls": "clear"}, {"write_modes": {"_name": "on_create"}}])
def test_what_no_import_can_do_is_refused_where_only_an_import_may_be_chosen(
    arguments: dict[str, Any], journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer
) -> None:
    with pytest.raises(ValueError, match=r"nulls='omit'|on_create"):
        sync("load", via="import", **arguments)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("on_removed", "order"),
    [
        ("delete", ["POST", "DELETE"]),
        ({NEWS: "unsubscribed"}, ["PATCH", "POST"]),
        pytest.param({"visits": 0}, ["POST", "PATCH"], marks=full_size),
    ],
)
def test_who_left_is_followed_by_request_beside_an_import(
    on_removed: Any, order: list[str], journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer
) -> None:
    fill(warehouse, KEYS, "Ana")
    sync("load", on_removed=on_removed)
    fill(warehouse, KEYS[3:], "Eva")
    strict.take_log()
    run = sync("next", on_removed=on_removed)
    assert (run.state, run.summary["imported"], run.summary["removed"]) == ("success", COUNT - 3, 3), run.error
    assert (run.plan["way"], run.plan["removed"]) == ("import", 3)
    log = strict.take_log()
    assert run.plan["requests_least"] <= len(log) <= run.plan["requests_most"]
    seen = [entry["method"] for entry in log if entry["method"] != "GET"]
    assert list(dict.fromkeys(seen)) == order
    assert sorted(entry["key"] for entry in log if entry["method"] in ("PATCH", "DELETE")) == KEYS[:3]
    assert {key for key, state in states(journal).items() if state == "removed"} == set(KEYS[:3])
    assert (KEYS[0] in strict.contacts) is (on_removed != "delete")
    assert {contact["_name"] for key, contact in strict.contacts.items() if key in KEYS[3:]} == {"Eva"}
    assert sync("last", on_removed=on_removed).summary["removed"] == 0
    assert requests(strict) == []


def test_a_lowered_consent_goes_by_patch_before_an_import(
    journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer
) -> None:
    fill(warehouse, KEYS, "Ana")
    sync("load", SQL_OF_CONSENTS, properties=CONSENTS)
    warehouse.fill_rows([(key, "Eva", "subscribed" if place else "unsubscribed") for place, key in enumerate(KEYS)])
    strict.take_log()
    run = sync("next", SQL_OF_CONSENTS, properties=CONSENTS)
    assert (run.state, run.summary["imported"], run.summary["updated"]) == ("success", COUNT - 1, 1), run.error
    sent = [entry for entry in strict.take_log() if entry["method"] in ("PATCH", "POST")]
    assert [entry["method"] for entry in sent] == ["PATCH", "POST"]
    assert sent[0]["key"] == KEYS[0]
    assert strict.contacts[KEYS[0]][NEWS] == "unsubscribed"


def to_the_end(run: Run, run_id: str, **arguments: Any) -> Run:
    """Carry a deferred run on as Airflow does, without its source."""
    for _ in range(20):
        if run.state != "deferred":
            return run
        method, carried = run.error.method_name, run.error.kwargs  # type: ignore[union-attr]
        run = sync(run_id, method=method, event=event_of(run), carried=carried, deferrable=True, **arguments)
    raise AssertionError("deferred again and again")


@pytest.mark.slow
def test_a_deferred_import_goes_on_with_its_imports(
    journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer
) -> None:
    fill(warehouse, KEYS, "Ana")
    sync("load", on_removed="delete")
    fill(warehouse, KEYS[2:], "Eva")
    strict.update(import_run_s=0.3)
    run = sync("next", on_removed="delete", deferrable=True)
    assert (run.state, run.summary["pending"]) == ("deferred", COUNT - 2), run.error
    assert run.summary["predicted_end"] is not None
    fill(warehouse, [], "")  # whoever reads the source now finds nobody
    run = to_the_end(run, "next", on_removed="delete")
    assert (run.state, run.summary["imported"], run.summary["removed"]) == ("success", COUNT - 2, 2), run.error
    assert len(strict.uploads) == 2
    way, rows, seconds = kept_import(journal, "next")
    assert (way, rows) == ("import", COUNT - 2)
    assert seconds >= 0.3
    fill(warehouse, KEYS[2:], "Eva")
    assert sync("last", on_removed="delete").summary["removed"] == 0  # the read of "next" is complete


@full_size
def test_a_deferred_import_ends_where_its_author_has_changed_the_way(
    journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer
) -> None:
    fill(warehouse, KEYS, "Ana")
    run = sync("load", deferrable=True)
    assert run.state == "deferred"
    run = to_the_end(run, "load", via="patch")
    assert (run.state, len(strict.uploads)) == ("success", 1), run.error
    assert requests(strict) == []


@pytest.mark.slow
def test_a_deferred_patch_goes_on_by_patch(
    journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer, connection: Callable[..., None]
) -> None:
    connection("connectif_default", **strict.connection(timeout=5))
    strict.reset(limit=20, window_s=1.0, headers="fraction")
    fill(warehouse, KEYS[:50], "Ana")
    quick = {"defer_after": timedelta(seconds=0.1), "import_after": timedelta(minutes=30)}
    run = sync("load", deferrable=True, **quick)
    assert run.state == "deferred"
    fill(warehouse, [], "")
    run = to_the_end(run, "load", **{**quick, "import_after": timedelta(0)})
    assert (run.state, run.summary["created"], strict.uploads) == ("success", 50, []), run.error


def in_a_process(run_id: str, before: Callable[[Any], None], **arguments: Any) -> Run:
    return sync(run_id, before=before, **arguments)


@pytest.mark.slow
@pytest.mark.parametrize(
    "stage", [pytest.param("upload", marks=full_size), "processing", pytest.param("removals", marks=full_size)]
)
def test_a_killed_import_is_found_again(
    stage: str, journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer, tmp_path: Path
) -> None:
    fill(warehouse, KEYS, "Ana")
    sync("load", on_removed="delete")
    fill(warehouse, KEYS[5:], "Eva")
    strict.take_log()
    strict.update(import_hold="inProgress")
    if stage == "removals":
        strict.update(faults=[{"method": "DELETE", "nth": [3, None], "hang": "before"}])
    if stage == "upload":
        strict.update(import_faults=[{"drop": "after", "nth": [2, 2]}])
    process = Process(tmp_path, "next", in_a_process, on_removed="delete", max_in_flight=1, poll_interval=0.5)
    if stage == "upload":
        until(lambda: any(entry["target"] == "/imports/" for entry in strict.log if "target" in entry))
    elif stage == "removals":
        process.wait_until_it_says("Carrying out on_removed for the contacts that left")
        until(lambda: [entry["method"] for entry in strict.log].count("DELETE") > 2)
    else:
        until(lambda: len([entry for entry in strict.log if entry.get("target", "").startswith("/imports/0")]) > 0)
    process.kill()
    strict.update(import_hold=None, faults=[], import_faults=[])
    again = sync("next", on_removed="delete", tries_before=1)
    assert (again.state, again.summary["read"]) == ("success", COUNT - 5), again.error
    assert sum(again.summary[name] for name in ("imported", "updated", "unchanged")) == COUNT - 5
    assert len([upload for upload in strict.uploads if "import_id" in upload]) <= (2 if stage == "upload" else 1)
    deleted = [entry["key"] for entry in strict.log if entry["method"] == "DELETE"]
    assert set(deleted) == set(KEYS[:5])
    assert strict.contacts.keys() == set(KEYS[5:])
    assert {contact["_name"] for contact in strict.contacts.values()} == {"Eva"}
    strict.take_log()
    assert sync("last", on_removed="delete").summary["unchanged"] == COUNT - 5
    assert requests(strict) == []


@full_size
@pytest.mark.parametrize("seed", range(16))
def test_an_import_that_is_killed_at_any_moment_delivers_all_and_follows_everybody_once(
    seed: int, journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer, tmp_path: Path
) -> None:
    chance = random.Random(seed)
    on_removed: Any = "delete" if seed % 2 else {NEWS: "unsubscribed"}
    arguments = {"on_removed": on_removed, "properties": CONSENTS, "max_in_flight": 2}
    fill(warehouse, KEYS, "Ana")
    assert sync("0", SQL_OF_CONSENTS, **arguments).state == "success"
    left = set(chance.sample(KEYS, 6))
    lowered = set(chance.sample(sorted(set(KEYS) - left), 4))
    warehouse.fill_rows(
        [(key, "Eva", "unsubscribed" if key in lowered else "subscribed") for key in KEYS if key not in left]
    )
    strict.take_log()
    strict.update(delay_s=0.03, import_run_s=0.5)
    at = strict.requests + chance.randrange(32)
    process = Process(tmp_path, "1", in_a_process, sql=SQL_OF_CONSENTS, poll_interval=0.1, **arguments)
    until(lambda: strict.requests >= at or process.has_ended())
    process.kill()
    strict.update(delay_s=0.0)
    again = sync("1", SQL_OF_CONSENTS, tries_before=1, **arguments)
    assert again.state == "success", again.error
    assert again.summary["imported"] + again.summary["updated"] + again.summary["unchanged"] == COUNT - 6
    # Only an upload whose response was lost is repeated.
    assert len(strict.uploads) <= 3
    followed = Counter(
        entry["key"] for entry in strict.log if entry["method"] in ("PATCH", "DELETE") and entry["key"] in left
    )
    assert followed.keys() == left
    assert max(followed.values()) <= 2  # a kill loses the responses of two seconds
    for key in KEYS:
        if key in left:
            assert strict.contacts.get(key, {}).get(NEWS) == (None if on_removed == "delete" else "unsubscribed")
        else:
            consent = "unsubscribed" if key in lowered else "subscribed"
            assert (strict.contacts[key]["_name"], strict.contacts[key][NEWS]) == ("Eva", consent)
    strict.take_log()
    last = sync("2", SQL_OF_CONSENTS, **arguments)
    assert (last.state, last.summary["unchanged"], last.summary["removed"]) == ("success", COUNT - 6, 0)
    assert requests(strict) == []


@full_size
def test_a_killed_patch_is_retried_by_patch(
    journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer, tmp_path: Path
) -> None:
    fill(warehouse, KEYS[:60], "Ana")
    strict.update(delay_s=0.05)
    process = Process(tmp_path, "load", in_a_process, max_in_flight=2)
    until(lambda: strict.received > 5)
    process.kill()
    strict.update(delay_s=0.0)
    again = sync("load", tries_before=1)
    assert (again.state, again.summary["created"] + again.summary["updated"]) == ("success", 60), again.error
    assert (again.plan["way"], strict.uploads) == ("patch", [])
    assert strict.contacts.keys() == set(KEYS[:60])


@pytest.fixture
def short_windows(
    journal: JournalDatabase, strict: StrictServer, connection: Callable[..., None], warehouse: Warehouse
) -> None:
    """Windows of half a second, as a run by PATCH has seen."""
    connection("connectif_default", **strict.connection(timeout=5))
    strict.reset(limit=60, window_s=0.5, headers="fraction")
    fill(warehouse, KEYS, "Ana")
    assert sync("seen", via="patch", properties=CONSENTS, sql=SQL_OF_CONSENTS).state == "success"
    strict.take_log()


@pytest.mark.slow
def test_a_plan_goes_by_patch_where_connectif_forbids_the_import(
    short_windows: None,
    journal: JournalDatabase,
    warehouse: Warehouse,
    strict: StrictServer,
    capsys: pytest.CaptureFixture[str],
) -> None:
    strict.update(import_faults=[FORBIDDEN])
    lowered = KEYS[5:8]
    rows = [(key, "Eva", "unsubscribed" if key in lowered else "subscribed") for key in KEYS[3:]]
    warehouse.fill_rows([*rows, (KEYS[9], "Ida", "subscribed"), ("new@example.com", "Eva", "perhaps")])
    arguments = {"on_removed": "delete", "properties": CONSENTS, "sql": SQL_OF_CONSENTS, "failure_budget": 1}
    run = sync("next", **arguments)
    assert (run.state, run.plan["way"], run.summary["removed"]) == ("success", "import", 3), run.error
    counts = ("updated", "imported", "invalid", "merged", "undelivered")
    assert [run.summary.get(name, 0) for name in counts] == [COUNT - 3, 0, 1, 1, 0]
    log = "\n".join(provider_lines(capsys.readouterr().out))
    assert "The API key cannot import (403), so the plan goes by PATCH: about " in log
    sent = Counter((entry["method"], entry["key"]) for entry in strict.take_log() if "key" in entry)
    assert (
        sent
        == Counter(
            [
                *(("GET", key) for key in (*lowered, *KEYS[:3])),  # before a withdrawal, and before a deletion
                *(("PATCH", key) for key in KEYS[3:]),
                *(("DELETE", key) for key in KEYS[:3]),
            ]
        )
    )
    assert kept_import(journal, "next") == ("patch", None, None)
    again = sync("again", **arguments)
    assert (again.state, again.summary["unchanged"]) == ("success", COUNT - 3), again.error
    assert {entry["method"] for entry in strict.take_log() if "key" in entry} <= {"GET"}


@pytest.mark.slow
def test_where_the_import_is_forbidden_a_row_that_no_file_can_contain_withdraws_its_consent_by_patch(
    short_windows: None, journal: JournalDatabase, strict: StrictServer
) -> None:
    strict.update(import_faults=[FORBIDDEN])
    fields: dict[str, Any] = {"interests": {"type": "checkbox", "options": ["hats", "a|b"]}}
    rows = [{"email": key, NEWS: "unsubscribed", "interests": ["hats"]} for key in KEYS]
    rows[2]["interests"] = ["a|b"]
    arguments: dict[str, Any] = {"kind": "ContactSyncOperator", "sync_id": "other", "fields": fields, "rows": rows}
    run = deliver("next", failure_budget=1, import_after=timedelta(0), **arguments)
    counts = (run.state, run.plan["way"], run.summary["invalid"], run.summary["updated"], run.summary["lowered_alone"])
    assert counts == ("success", "import", 1, COUNT - 1, 1), run.error
    assert {contact[NEWS] for contact in strict.contacts.values()} == {"unsubscribed"}
    rows[2]["interests"] = ["hats"]
    assert deliver("again", **arguments).summary["updated"] == 1
    assert strict.contacts[KEYS[2]]["interests"] == ["hats"]


@pytest.mark.slow
def test_a_plan_that_goes_by_patch_after_all_is_deferred_like_any_other(
    short_windows: None, journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer
) -> None:
    strict.update(import_faults=[FORBIDDEN], limit=40, window_s=1.0)
    fill(warehouse, KEYS, "Eva")
    arguments = {"properties": CONSENTS, "sql": SQL_OF_CONSENTS, "defer_after": timedelta(seconds=0.1)}
    run = sync("next", deferrable=True, **arguments)
    assert run.state == "deferred"
    fill(warehouse, [], "")
    run = to_the_end(run, "next", **arguments)
    assert (run.state, run.summary["updated"], run.summary["undelivered"]) == ("success", COUNT, 0), run.error


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    ("fault", "via"),
    [
        (FORBIDDEN, "import"),
        ({"status": 403, "text": "<html>no</html>", "content_type": "text/html"}, "auto"),  # a gateway
        ({**FORBIDDEN, "nth": [2, 2]}, "auto"),  # Connectif has a file already
    ],
)
def test_a_key_that_may_not_import_is_told_what_it_needs(
    fault: dict[str, Any], via: str, journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer
) -> None:
    fill(warehouse, KEYS, "Ana")
    strict.update(import_faults=[fault])
    run = sync("load", via=via, max_file_bytes=2000)
    assert run.state == "failed"
    assert 'does not have the scope Imports: Write or Imports: Read (via="patch" needs neither)' in str(run.error)
    assert requests(strict) == []
    strict.update(import_faults=[])
    last = sync("next", max_file_bytes=2000)
    assert (last.state, len(strict.contacts)) == ("success", COUNT), last.error


@pytest.mark.slow
def test_a_key_that_may_not_write_contacts_imports_and_follows_nobody(
    journal: JournalDatabase, warehouse: Warehouse, strict: StrictServer
) -> None:
    fill(warehouse, KEYS, "Ana")
    sync("load", on_removed="delete")
    fill(warehouse, KEYS[2:], "Eva")
    strict.update(may_delete_contacts=False)
    run = sync("next", on_removed="delete")
    assert run.state == "failed"
    assert "Contacts: Delete for contacts that left the source" in str(run.error)
    assert strict.contacts[KEYS[5]]["_name"] == "Eva"
    strict.update(may_delete_contacts=True)
    again = sync("again", on_removed="delete")
    assert (again.state, again.summary["removed"], again.summary["unchanged"]) == ("success", 2, COUNT - 2)
    assert strict.contacts.keys() == set(KEYS[2:])


@full_size
def test_the_predicted_end_is_what_happens(
    journal: JournalDatabase, tmp_path: Path, connection: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    """From the second import on, within a fifth: with windows of 20 seconds and 200 rows of a file a second."""
    path = tmp_path / "warehouse.db"
    connection("warehouse", conn_type="sqlite", host=str(path))
    warehouse = Warehouse(path, ("name", "consent"))
    everybody = [f"user{number:05}@example.com" for number in range(8000)]
    nights = [
        (everybody[:2000], "Ana", "import"),  # its end is unknown
        (everybody[:6000], "Eva", "import"),
        (everybody[150:8000], "Ida", "import"),  # beside it 150 contacts are deleted, over two windows
        (everybody[150:8000], "Ida", "patch"),
    ]
    arguments = {"import_after": timedelta(minutes=1), "poll_interval": 2.0, "timeout": 600.0, "on_removed": "delete"}
    with SandboxProcess(window_seconds=20.0, import_rows_per_second=200, import_queue_seconds=1.0) as sandbox:
        connection("connectif_default", conn_type="connectif", host=sandbox.url, password=sandbox.api_key)
        for night, (keys, name, expected) in enumerate(nights):
            changed = 250 if expected == "patch" else 0
            warehouse.fill_rows([(key, "Eve" if place < changed else name, "none") for place, key in enumerate(keys)])
            run = sync(f"{night}", **arguments)
            assert (run.state, run.plan["way"]) == ("success", expected), run.error
            planned_at, ended_at = (moment(line) for line in plan_and_end(capsys.readouterr().out))
            assert (run.plan["minutes"] is None) is (night == 0)
            if night:
                took_s = (ended_at - planned_at).total_seconds()
                assert 60 * run.plan["minutes"] == pytest.approx(took_s, rel=0.2), f"night {night}"


def plan_and_end(output: str) -> tuple[str, str]:
    """The lines of a task's output that begin its plan and its end."""
    lines = output.splitlines()
    return next(line for line in lines if "Plan: " in line), next(line for line in lines if "Done: " in line)


def moment(line: str) -> datetime:
    (found,) = re.findall(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", line)
    return datetime.fromisoformat(found)
