"""What a consent costs and in which requests it goes: each row of the table "Consent", as the server sees it.

The cases are in ``tests/support/consent_table.py``.
``tests/integration/test_consent_nights.py`` judges what happens to many.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_connectif.operators.contacts import ContactImportOperator, ContactPatchOperator
from tests.integration.conftest import FAST
from tests.integration.test_deferral import wait_as_the_triggerer
from tests.support.consent_table import (
    CASES,
    GET,
    HELD_LOW,
    KEY,
    SUBSCRIBED,
    SUBSCRIBER,
    UNDECIDED,
    UNSUBSCRIBED,
    WITHDRAWN,
    N,
    Night,
    Request,
    name,
    news,
)
from tests.support.journals import JournalDatabase, deliver, journal_database, usually
from tests.support.strict_server import StrictServer
from tests.support.task_logs import provider_lines, provider_records


@pytest.fixture(params=usually("sqlite"))
def journal(request: pytest.FixtureRequest, airflow_db: None) -> JournalDatabase:
    return journal_database(request.param, request)


@pytest.fixture(autouse=True)
def one_try(strict: StrictServer, connection: Callable[..., None]) -> None:
    """What fails once is undelivered at once."""
    connection("connectif_default", **strict.connection(requests_per_minute=FAST, timeout=5, retries=1))


def requests(log: list[dict[str, Any]]) -> list[Request]:
    """Requests for contacts, in their order."""
    return [GET if entry["method"] == GET else entry["body"] for entry in log if "key" in entry]


def play(number: int, night: Night, strict: StrictServer) -> None:
    """Run one night of a case and compare."""
    strict.update(**{"faults": [], "shows": "contact", "may_read_contacts": True, "created_with": {}} | night.server)
    strict.change_contacts({KEY: night.held} if night.held != {} else {})
    arguments = {"properties": {column: column for column in night.row}, "failure_budget": 1.0, **night.options}
    run = deliver(f"night {number}", rows=[{"email": KEY, **night.row}], **arguments)
    assert (number, requests(strict.take_log())) == (number, night.requests), run.error
    counts = {name: run.summary.get(name, 0) for name in night.counts}
    assert (number, counts) == (number, night.counts)


@pytest.mark.sampled(24)
@pytest.mark.parametrize("case", CASES)
def test_what_is_sent_for_a_row_of_the_table(case: str, journal: JournalDatabase, strict: StrictServer) -> None:
    for number, night in enumerate(CASES[case], 1):
        play(number, night, strict)


COUNT = 30
KEYS = [f"user{number}@example.com" for number in range(COUNT)]


def many(run_id: str, strict: StrictServer, **values: Any) -> list[list[Request]]:
    """One run over so many contacts with the same values; the requests of each."""
    rows = [{"email": key, **values} for key in KEYS]
    run = deliver(run_id, rows=rows, properties={column: column for column in values}, max_in_flight=1)
    assert run.state == "success", run.error
    log = strict.take_log()
    return [requests([entry for entry in log if entry.get("key") == key]) for key in KEYS]


def test_dropping_a_property_costs_nothing_and_adding_one_a_request_a_contact(
    journal: JournalDatabase, strict: StrictServer
) -> None:
    assert many("first", strict, _name="Ana", visits=1) == COUNT * [[{"_name": "Ana", "visits": 1}]]
    assert many("dropped", strict, _name="Ana") == COUNT * [[]]
    assert many("back", strict, _name="Ana", visits=1) == COUNT * [[]]
    assert many("added", strict, _name="Ana", visits=1, tier="gold") == COUNT * [[{"tier": "gold"}]]


def test_dropping_a_consent_costs_nothing(journal: JournalDatabase, strict: StrictServer) -> None:
    many("first", strict, **SUBSCRIBER)
    assert many("dropped", strict, _name="Ana") == COUNT * [[]]
    assert many("back", strict, **SUBSCRIBER) == COUNT * [[]]


def test_a_first_load_takes_two_requests_only_for_who_has_a_consent_to_raise(
    journal: JournalDatabase, strict: StrictServer
) -> None:
    held: list[dict[str, Any]] = [{"_name": "Eva"}, news(SUBSCRIBED), news(UNSUBSCRIBED)]
    strict.change_contacts({key: held[number % 4] for number, key in enumerate(KEYS) if number % 4 < len(held)})
    sent = many("first", strict, **SUBSCRIBER)
    two, one = [name(), news(SUBSCRIBED)], [name()]
    assert sent == [two if number % 4 in (0, 3) else one for number in range(COUNT)]
    assert many("second", strict, **SUBSCRIBER) == COUNT * [[]]


@pytest.mark.sampled(1)
@pytest.mark.parametrize("shows", ["nothing", "empty", "id"])
def test_where_responses_show_no_contact_a_first_load_looks_up_first(
    shows: str, journal: JournalDatabase, strict: StrictServer
) -> None:
    strict.update(shows=shows)
    strict.change_contacts({key: {"_name": "Eva"} for key in KEYS})
    first, *others = many("first", strict, **SUBSCRIBER)
    assert first == [name(), GET, news(SUBSCRIBED)]  # after which it is known
    assert others == (COUNT - 1) * [[GET, SUBSCRIBER]]
    assert many("second", strict, **SUBSCRIBER) == COUNT * [[]]


def test_a_kept_consent_costs_nothing_on_later_nights(journal: JournalDatabase, strict: StrictServer) -> None:
    strict.change_contacts(dict.fromkeys(KEYS, HELD_LOW))
    assert many("first", strict, **SUBSCRIBER) == COUNT * [[name()]]
    for night in ("second", "third"):
        assert many(night, strict, **SUBSCRIBER) == COUNT * [[]]


@pytest.mark.parametrize(
    ("body", "state", "kept"),
    [
        ({"status": "open"}, "up_for_retry", 0),  # and the title of an error, but nothing of a contact
        ({"_email": KEY, N: [UNSUBSCRIBED]}, "success", 1),
    ],
)
def test_a_look_up_that_does_not_show_the_consent_raises_none(
    body: dict[str, Any], state: str, kept: int, journal: JournalDatabase, strict: StrictServer
) -> None:
    strict.change_contacts({KEY: news(UNSUBSCRIBED)})
    strict.update(shows="nothing", faults=[{"method": "GET", "keys": [KEY], "status": 200, "json": body}])
    run = deliver("night", rows=[{"email": KEY, **SUBSCRIBER}])
    assert (run.state, run.summary.get("consent_kept", 0)) == (state, kept)
    assert strict.contacts[KEY] == name(**news(UNSUBSCRIBED))


def test_the_history_has_the_properties_of_all_requests_of_a_contact(
    journal: JournalDatabase, strict: StrictServer
) -> None:
    strict.change_contacts({KEY: name()})
    deliver("first", rows=[{"email": KEY, **SUBSCRIBER}, {"email": "new@example.com", **SUBSCRIBER}])
    assert requests(strict.take_log()).count(news(SUBSCRIBED)) == 2
    lines = journal.query("select contact_key, properties from connectif_journal_outcomes")
    assert {key: json.loads(ids) for key, ids in lines} == dict.fromkeys((KEY, "new@example.com"), sorted(SUBSCRIBER))


def test_the_log_names_consents_that_were_kept_and_withdrawn_ones_of_refused_rows(
    journal: JournalDatabase,
    strict: StrictServer,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    strict.change_contacts(dict.fromkeys(KEYS[:2], HELD_LOW))
    refused = {"email": KEYS[2], **WITHDRAWN, "_birthdate": "yesterday"}
    caplog.set_level("INFO")
    run = deliver("first", rows=[*({"email": key, **SUBSCRIBER} for key in KEYS[:2]), refused], failure_budget=1)
    assert (run.summary["consent_kept"], run.summary["lowered_alone"]) == (2, 1)
    lines = provider_lines(capfd.readouterr().out) or provider_records(caplog.records)
    assert "Withdrawn consents of refused rows were sent: 1 row" in lines
    assert "Not raised, since the consent belongs to the person: 2 consents (consent_kept)" in lines


@pytest.mark.slow
def test_a_lowered_consent_takes_one_look_up(journal: JournalDatabase, strict: StrictServer) -> None:
    many("first", strict, **SUBSCRIBER)
    assert many("second", strict, **WITHDRAWN) == COUNT * [[GET, news(UNSUBSCRIBED)]]
    assert many("third", strict, **WITHDRAWN) == COUNT * [[]]


@pytest.mark.slow
def test_a_key_that_may_not_read_contacts_is_warned_about_once(
    journal: JournalDatabase,
    strict: StrictServer,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    many("first", strict, **name())
    strict.update(may_read_contacts=False)
    capfd.readouterr()
    caplog.clear()
    rows = [{"email": key, **SUBSCRIBER} for key in KEYS]
    run = deliver("second", rows=rows)
    assert (run.state, run.summary["consent_kept"]) == ("success", COUNT)
    assert {GET} >= set(map(str, requests(strict.take_log())))
    warnings = provider_lines(capfd.readouterr().out, level="warning")
    warnings = warnings or provider_records(caplog.records, level="warning")
    assert len([line for line in warnings if "Contacts: Read" in line]) == 1
    assert not any(key in line for line in warnings for key in KEYS)
    assert deliver("third", rows=rows).summary["requests"] == 0


LIMIT, WINDOW_S = 6, 2.0


def test_a_rise_in_a_plan_that_is_older_than_an_hour_is_decided_by_the_contact(
    journal: JournalDatabase, strict: StrictServer, connection: Callable[..., None]
) -> None:
    stays, leaves = "stays@example.com", "leaves@example.com"
    deliver("first", rows=[{"email": key, **WITHDRAWN} for key in (stays, leaves)])
    deliver("second", rows=[{"email": key, **UNDECIDED} for key in (stays, leaves)])
    connection("connectif_default", **strict.connection(timeout=5))
    strict.update(limit=LIMIT, window_s=WINDOW_S, headers="fraction")
    strict.take_log()
    rows = [{"email": key, **UNDECIDED} for key in KEYS[:LIMIT]]  # new contacts go first
    rows += [{"email": key, **SUBSCRIBER} for key in (stays, leaves)]
    arguments: dict[str, Any] = {"deferrable": True, "defer_after": timedelta(seconds=0.2), "max_in_flight": 1}

    runs = [deliver("third", rows=rows, **arguments)]
    assert {stays, leaves}.isdisjoint(entry["key"] for entry in strict.log)
    _make_the_plan_older(journal, hours=2)
    strict.change_contacts({leaves: news(UNSUBSCRIBED)})
    while runs[-1].state == "deferred":
        wait_as_the_triggerer(runs[-1])
        runs.append(deliver("third", method="execute_complete", rows=rows, **arguments))

    log = [entry for entry in strict.take_log() if entry["status"] != 429]
    assert requests([entry for entry in log if entry["key"] == stays]) == [GET, news(SUBSCRIBED)]
    assert requests([entry for entry in log if entry["key"] == leaves]) == [GET]
    assert (runs[-1].state, runs[-1].summary["consent_kept"]) == ("success", 1)


def _make_the_plan_older(journal: JournalDatabase, hours: int) -> None:
    ((plan_id, text),) = journal.query("select plan_id, state from connectif_journal_plans")

    def older(state: Any) -> Any:
        if not isinstance(state, dict):
            return state
        changed = {"planned_at": state["planned_at"] - hours * 3600} if state.get("planned_at") else {}
        return {key: older(value) for key, value in state.items()} | changed

    state = older(json.loads(text))
    assert state != json.loads(text)
    quoted = json.dumps(state).replace("'", "''")
    journal.query(f"update connectif_journal_plans set state = '{quoted}' where plan_id = '{plan_id}'")


MAPPED: dict[str, Any] = {"task_id": "patch", "rows": [], "properties": {"tier": "tier", N: "news"}}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"write_modes": {N: "if_empty"}}, N),
        ({"write_modes": {N: "always"}}, N),
        ({"write_modes": {"tier": "sometimes"}}, "sometimes"),
        ({"write_modes": {"visits": "if_empty"}}, "visits"),
        ({"resubscribe": "perhaps"}, "resubscribe"),
    ],
)
@pytest.mark.parametrize("kind", [ContactPatchOperator, ContactImportOperator])
def test_what_cannot_work_is_an_error_when_the_dag_is_parsed(kind: type, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        kind(**MAPPED, **arguments)


def test_an_import_refuses_on_create(airflow_db: None) -> None:
    with pytest.raises(ValueError, match="on_create"):
        ContactImportOperator(**MAPPED, write_modes={"tier": "on_create"})
    ContactPatchOperator(**MAPPED, write_modes={"tier": "on_create"}, resubscribe="never")
