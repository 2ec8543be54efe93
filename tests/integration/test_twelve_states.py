"""Twelve states of a contact: journal, history, ``explain``, ``explain --live`` and the page say the same of each.

They are asked after a night that brings a contact into its state, and after a process was killed in that night. What
they foretell is then compared with what the next attempt sends.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from airflow_provider_connectif.cli.main import main
from airflow_provider_connectif.journal import lease
from airflow_provider_connectif.versions import has_external_views
from tests.integration.conftest import FAST
from tests.support.histories import assert_agrees
from tests.support.journals import JournalDatabase, Process, deliver, journal_database, usually
from tests.support.page_clients import page_client, text_of
from tests.support.strict_server import StrictServer, until
from tests.support.task_runs import run_operator

NEWS = "_newsletterSubscriptionStatus"
SQL = "select * from people"
SYNC = {
    "kind": "ContactSyncOperator",
    "sql": SQL,
    "sql_conn_id": "source",
    **dict.fromkeys(("max_removed", "max_lowered", "max_raised")),
}
QUERY = ["--sql", SQL, "--sql-conn-id", "source"]
SENDS_NOTHING = "an unchanged row costs no request"
HELD = "the same row is held"


class State(NamedTuple):
    """A state, how a contact comes into it, and what must be said of it.

    ``before``, ``tonight``: the contact's row in the nights; ``None``: there is none. ``fault_before``, ``fault``: what
    the server does to its request. ``meanwhile``: what somebody changes at Connectif during the day.

    ``line``: the state of its line after the night. ``history``: its outcomes, the last one first. ``step``: words of
    what is said of the next run. ``row``: what the query's row comes to in the next run. ``live``: what is said of
    each property; ``None``: Connectif has no such contact.

    ``killed_line``, ``killed_row``, ``killed_live``: likewise after a kill during its request, or, where it has none,
    during that of another contact. ``ends_as``: its outcome in the night that continues.
    """

    name: str
    before: Mapping[str, Any] | None
    tonight: Mapping[str, Any] | None
    line: str | None
    history: Sequence[str]
    step: str
    row: str
    live: Mapping[str, str] | None
    killed_line: str | None
    killed_row: str
    killed_live: Mapping[str, str] | None
    ends_as: Sequence[str]
    fault: Mapping[str, Any] | None = None
    fault_before: Mapping[str, Any] | None = None
    meanwhile: Mapping[str, Any] | None = None
    is_deleted_meanwhile: bool = False

    @property
    def key(self) -> str:
        """Its e-mail."""
        return f"{self.name.replace(' ', '-')}@example.com"

    @property
    def sends(self) -> bool:
        """Whether the night sends a request for it."""
        return bool({"created", "updated", "rejected", "undelivered"}.intersection(self.ends_as))


ONE, TWO = {"visits": 1}, {"visits": 2}
EQUAL, DIFFERS = {"visits": "equal"}, {"visits": "differs"}
STATES = {
    state.name: state
    for state in (
        State("never seen", None, None, None, [], "its whole row is sent", "left", None, None, "left", None, []),
        State(
            *("new", None, ONE),
            *("acknowledged", ["created"], SENDS_NOTHING, "unchanged", EQUAL),
            # A contact without a line has nothing that could be in doubt.
            *(None, "sent", EQUAL, ["updated"]),
        ),
        State(
            *("unchanged", ONE, ONE),
            *("acknowledged", ["created"], SENDS_NOTHING, "unchanged", EQUAL),
            *("acknowledged", "unchanged", EQUAL, []),
        ),
        State(
            *("changed", ONE, TWO),
            *("acknowledged", ["updated", "created"], SENDS_NOTHING, "unchanged", EQUAL),
            *("in_doubt", "sent", EQUAL, ["updated"]),
        ),
        State(
            *("invalid", ONE, {"visits": 1, "_birthdate": "no day"}),
            *("invalid", ["invalid", "created"], "the same row is invalid again", "invalid", EQUAL),
            *("invalid", "invalid", EQUAL, ["invalid"]),
        ),
        State(
            *("rejected", None, ONE),
            *("rejected", ["rejected"], HELD, "held", None),
            *(None, "sent", EQUAL, ["rejected"]),
            fault={"status": 422},
        ),
        State(
            *("held", ONE, ONE),
            *("rejected", ["held", "rejected"], HELD, "held", None),
            *("rejected", "held", None, ["held"]),
            fault={"status": 422},
            fault_before={"status": 422},
        ),
        State(
            *("undelivered", ONE, TWO),
            *("undelivered", ["undelivered", "created"], "has not accepted", "sent", DIFFERS),
            *("in_doubt", "sent", EQUAL, ["undelivered"]),
            fault={"status": 503},
        ),
        State(
            *("in doubt", ONE, TWO),
            *("undelivered", ["undelivered", "created"], "has not accepted", "sent", EQUAL),
            *("in_doubt", "sent", EQUAL, ["undelivered"]),
            fault={"drop": "after"},
        ),
        State(
            *("left", ONE, None),
            *("left", ["created"], "does not have the contact", "left", EQUAL),
            *("left", "left", EQUAL, []),
        ),
        State(
            *("consent kept", ONE, {"visits": 2, NEWS: "subscribed"}),
            *("acknowledged", ["updated", "created"], SENDS_NOTHING, "unchanged", EQUAL | {NEWS: "differs"}),
            *("in_doubt", "sent", EQUAL | {NEWS: "differs"}, ["updated"]),
            meanwhile={NEWS: "unsubscribed"},
        ),
        State(
            *("recreated", {"visits": 1, "_name": "Ana"}, {"visits": 2, "_name": "Ana"}),
            *("acknowledged", ["created", "created"], SENDS_NOTHING, "unchanged", EQUAL | {"_name": "equal"}),
            *("in_doubt", "sent", {"visits": "equal", "_name": "missing"}, ["updated"]),
            is_deleted_meanwhile=True,
        ),
    )
}


class Told(NamedTuple):
    """What is said of a contact. ``data``: by ``explain`` with the query and ``--live``, as JSON."""

    data: dict[str, Any]
    page: str


@pytest.fixture(params=usually("sqlite"))
def journal(
    request: pytest.FixtureRequest, airflow_db: None, monkeypatch: pytest.MonkeyPatch, strict: StrictServer
) -> JournalDatabase:
    monkeypatch.setenv("AIRFLOW__CONNECTIF__JOURNALS", "journal")
    return journal_database(request.param, request)


@pytest.fixture
def fill(tmp_path: Path, connection: Callable[..., None], strict: StrictServer) -> Callable[..., None]:
    """Fills the source with the rows of a night: the name of a field of :class:`State`, and values for all of them."""
    path = tmp_path / "source.db"
    connection("source", conn_type="sqlite", host=str(path))
    # What fails once is undelivered at once.
    connection("connectif_default", **strict.connection(requests_per_minute=FAST, timeout=30, retries=1))

    def make(night: str, **corrected: Any) -> None:
        rows = [(state.key, getattr(state, night)) for state in STATES.values()]
        rows = [(key, row and {**row, **corrected}) for key, row in rows]
        columns = ("visits", "_name", "_birthdate", NEWS)
        with closing(sqlite3.connect(path)) as database, database:
            database.execute("drop table if exists people")
            database.execute(f"create table people (email, {', '.join(columns)})")
            database.executemany(
                "insert into people values (?, ?, ?, ?, ?)",
                [[key, *map(row.get, columns)] for key, row in rows if row is not None],
            )

    return make


@pytest.fixture
def tell(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Told]:
    """Asks the command line and the page about a contact."""

    def ask(key: str) -> Told:
        capfd.readouterr()
        main(["explain", key, "--sync-id", "nightly", "--live", "--fields", "builtin", *QUERY, "--output", "json"])
        data = json.loads(capfd.readouterr().out)
        if not has_external_views():
            return Told(data, "")
        response = page_client(monkeypatch, "dag").post("/contact?dag_id=dag", data={"key": key, "sync_id": "nightly"})
        assert response.status_code == 200
        return Told(data, text_of(response.text))

    return ask


def prepare(strict: StrictServer, fill: Callable[..., None]) -> None:
    """The night before, and what happens at Connectif during the day."""
    fill("before")
    strict.update(faults=faults("fault_before"))
    deliver("before", **SYNC)
    changes: dict[str, Any] = {state.key: state.meanwhile for state in STATES.values() if state.meanwhile}
    strict.change_contacts(changes | {state.key: None for state in STATES.values() if state.is_deleted_meanwhile})
    fill("tonight")
    strict.update(faults=faults("fault"))


def faults(night: str) -> list[dict[str, Any]]:
    return [{"keys": [state.key], **fault} for state in STATES.values() if (fault := getattr(state, night))]


def written(journal: JournalDatabase, key: str) -> tuple[str | None, list[str]]:
    """The state of a contact's line, and its outcomes, the last one first."""
    lines = dict(journal.query("select contact_key, state from connectif_journal"))
    outcomes = journal.query("select contact_key, outcome from connectif_journal_outcomes order by id desc")
    return lines.get(key), [outcome for of, outcome in outcomes if of == key]


def assert_told(told: Told, line: str | None, history: Sequence[str], contact: Mapping[str, Any] | None) -> None:
    """Command line and page say what the tables say, and what the server holds."""
    data = told.data
    assert (data["last"] and data["last"]["state"]) == line
    assert [entry["outcome"] for entry in data["history"]] == list(history)
    assert data["live"]["exists"] == (contact is not None)
    for entry in data["properties"]:
        held = (contact or {}).get(entry["property"])
        assert (entry["connectif"] == "missing") == (held is None), entry
    if has_external_views():
        last, step = data["last"], data["next_step"]
        said = [step["words"], step["why"], *(f"{entry['run_id']} {entry['outcome']}" for entry in data["history"])]
        said += [f"State {last['state']}", last["reason"] or "", last["run_id"]] if last else ["State never seen"]
        said += [f"{entry['property']} {entry['journal']}" for entry in data["properties"] if entry["digest"]]
        assert [words for words in said if words not in told.page] == []


def live(told: Told, state: State) -> dict[str, str]:
    """What is said to be at Connectif, of the properties that the nights are about."""
    named = {*(state.before or ()), *(state.tonight or ())} - {"_birthdate"}
    return {entry["property"]: entry["connectif"] for entry in told.data["properties"] if entry["property"] in named}


def bodies(strict: StrictServer, since: int) -> dict[str, list[str]]:
    """The properties of the first request of each contact."""
    found: dict[str, list[str]] = {}
    for entry in strict.log[since:]:
        if entry["method"] == "PATCH":
            found.setdefault(entry["key"], sorted(entry["body"]))
    return found


@pytest.mark.slow
def test_after_the_night(
    journal: JournalDatabase, strict: StrictServer, fill: Callable[..., None], tell: Callable[[str], Told]
) -> None:
    prepare(strict, fill)
    run = deliver("night", **SYNC)
    assert_agrees(journal.query, "dag/night", run.summary)
    assert (run.summary["consent_kept"], run.summary["recreated"]) == (1, 1)
    contacts, foretold = strict.contacts, {}
    for state in STATES.values():
        told = tell(state.key)
        assert (state.name, written(journal, state.key)) == (state.name, (state.line, state.history))
        assert_told(told, state.line, state.history, contacts.get(state.key))
        assert state.step in told.data["next_step"]["words"].lower(), state.name
        assert (state.name, told.data["row"]["outcome"]) == (state.name, state.row)
        assert (state.name, live(told, state)) == (state.name, state.live or live(told, state))
        assert (state.live is None) == (state.key not in contacts), state.name
        foretold[state.key] = told.data["row"]["sent_first"]
    line = "select status_code, reason, run_id, delivered_at from connectif_journal where contact_key = '{}'"
    ((*outcome, delivered_at),) = journal.query(line.format(STATES["undelivered"].key))
    assert (outcome, delivered_at is None) == ([503, "HTTP 503 Service Unavailable", "dag/night"], False)
    assert journal.query(line.format(STATES["rejected"].key))[0][3] is None

    before = len(strict.log)
    strict.update(faults=[])
    run = deliver("next night", **SYNC)
    assert_agrees(journal.query, "dag/next night", run.summary)
    assert bodies(strict, before) == {key: names for key, names in foretold.items() if names}
    writes = "select max(outcome_at) from connectif_journal"
    last = journal.query(writes)
    deliver("quiet night", **SYNC)
    assert journal.query(writes) == last  # unchanged rows cost no write

    fill("tonight", _birthdate=None)
    assert deliver("corrected", retry_rejected=True, **SYNC).state == "success"
    assert {written(journal, key)[0] for key in foretold} == {None, "acknowledged", "left"}


@pytest.mark.slow
@pytest.mark.parametrize("name", STATES)
def test_after_a_kill_in_the_night(
    name: str,
    journal: JournalDatabase,
    strict: StrictServer,
    fill: Callable[..., None],
    tell: Callable[[str], Told],
    tmp_path: Path,
) -> None:
    state = STATES[name]
    prepare(strict, fill)
    # The change is carried out, and its response never comes.
    hanging = state if state.sends else STATES["changed"]
    strict.update(faults=[{"keys": [hanging.key], "hang": "after"}, *faults("fault")])
    before = len(strict.log)
    process = Process(tmp_path, "night", max_in_flight=1, **SYNC)
    until(lambda: hanging.key in bodies(strict, before) or process.has_ended(), within_s=60)
    assert not process.has_ended(), process.output()
    process.kill()

    line, history = written(journal, state.key)
    assert line == state.killed_line
    told = tell(state.key)
    assert_told(told, line, history, strict.contacts.get(state.key))
    assert told.data["row"]["outcome"] == state.killed_row
    assert live(told, state) == (state.killed_live or live(told, state))
    assert (state.killed_live is None) == (state.key not in strict.contacts)
    assert (told.data["last_run"]["run_id"], told.data["last_run"]["ended_at"]) == ("dag/night", None)

    before = len(strict.log)
    strict.update(faults=faults("fault"))
    run = deliver("night", tries_before=1, **SYNC)
    assert bodies(strict, before).get(state.key, []) == told.data["row"]["sent_first"]
    assert_agrees(journal.query, "dag/night", run.summary)
    line, history = written(journal, state.key)
    assert (line, history[: len(history) - (state.before is not None)]) == (state.line, state.ends_as)
    assert_told(tell(state.key), line, history, strict.contacts.get(state.key))


@pytest.mark.slow
@pytest.mark.parametrize("journal_key", ["plain", "sha256"])
@pytest.mark.parametrize("key", ["email", "external_id"])
def test_an_erased_contact_is_called_suppressed(
    key: str,
    journal_key: str,
    journal: JournalDatabase,
    strict: StrictServer,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """In a sync that has met her and in one that has not; until she is taken off the list."""
    monkeypatch.setattr(lease, "_RENEW_EVERY_S", 0.2)
    journal_database(journal.kind, request, connectif_journal_secret="sesame")
    ana = {"email": "Ana@example.com", "external_id": "C-1"}[key]
    rows = [{key: ana, "visits": 1}, {key: ana.replace("a", "e").replace("1", "2"), "visits": 1}]
    keys = {"key": key, "journal_key": journal_key}
    deliver("night", rows=rows, **keys)
    deliver("another", rows=rows[1:], sync_id="another", **keys)
    erase = {"kind": "ContactDeleteOperator", "journal_conn_id": "journal", "sync_id": "forget"}
    run_operator(**erase, rows=rows[:1], key=key, context={"run_id": "forget", "dag": SimpleNamespace(dag_id="dag")})
    word = {"email": "e-mail", "external_id": "external id"}[key]
    for sync_id in ("nightly", "another"):
        capfd.readouterr()
        main(["explain", ana, "--sync-id", sync_id, "--key", key, "--output", "json"])
        data = json.loads(capfd.readouterr().out)
        assert [(entry["kind"], entry["run_id"]) for entry in data["suppressed"]] == [(key, "dag/forget")]
        assert (data["last"], data["history"], data["next_step"]["action"]) == (None, [], "nothing")
        assert "erased" in data["next_step"]["why"]
        main(["explain", ana, "--sync-id", sync_id, "--key", key])
        table = capfd.readouterr().out
        assert f"suppressed by its {word}" in table
        if has_external_views():
            form = {"key": ana.upper() if key == "email" else ana, "sync_id": sync_id}
            page = page_client(monkeypatch, "dag").post("/contact?dag_id=dag", data=form)
            said = text_of(page.text)
            assert "State suppressed" in said
            assert f"Suppressed by its {word}" in said
            assert data["next_step"]["words"] in said

    main(["journal", "unsuppress", ana])
    deliver("next night", rows=rows, **keys)
    capfd.readouterr()
    main(["explain", ana, "--sync-id", "nightly", "--key", key, "--output", "json"])
    data = json.loads(capfd.readouterr().out)
    assert (data["suppressed"], data["last"]["state"]) == ([], "acknowledged")


@pytest.mark.slow
def test_what_holds_a_row_is_told_apart_from_the_last_outcome(
    journal: JournalDatabase, strict: StrictServer, fill: Callable[..., None], capfd: pytest.CaptureFixture[str]
) -> None:
    def explained(**row: Any) -> dict[str, Any]:
        deliver(str(row), rows=[{"email": "ana@example.com", **row}])
        capfd.readouterr()
        main(["explain", "ana@example.com", "--sync-id", "nightly", "--output", "json"])
        data: dict[str, Any] = json.loads(capfd.readouterr().out)
        main(["explain", "ana@example.com", "--sync-id", "nightly", "--output", "plain"])
        data["table"] = capfd.readouterr().out
        return data

    def kind(data: dict[str, Any]) -> tuple[str, str, bool]:
        return data["last"]["state"], data["next_step"]["action"], "held row" in data["table"]

    assert kind(explained(visits=1)) == ("acknowledged", "compare", False)
    strict.update(faults=[{"status": 422}])
    refused = explained(visits=2)
    assert kind(refused) == ("rejected", "hold", True)
    assert ": HTTP 422 Unprocessable Entity" in refused["table"]
    assert "HTTP 422: HTTP 422" not in refused["table"]
    # Another row is the last outcome; the row that was rejected is still held where it comes back.
    assert kind(explained(visits=3, _birthdate="no day")) == ("invalid", "hold", True)
    strict.update(faults=[{"status": 503}])
    assert kind(explained(visits=4)) == ("undelivered", "compare", True)
    strict.update(faults=[{"status": 404}])
    # Rejected, but not as a fault of the row: it is sent again, and the other one is still held.
    assert kind(explained(visits=5)) == ("rejected", "send", True)
    received = strict.received
    assert kind(explained(visits=2)) == ("rejected", "hold", True)
    assert strict.received == received
    strict.update(faults=[])
    assert kind(explained(visits=6)) == ("acknowledged", "compare", False)
