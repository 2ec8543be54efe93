"""With a journal only what changed is sent: night after night, judged by what the server received."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import FAST
from tests.support.airflow_runs import task_states, xcom
from tests.support.journals import JournalDatabase, deliver, journal_database, usually
from tests.support.strict_server import StrictServer

pytestmark = pytest.mark.versions


@pytest.fixture(params=usually("sqlite"))
def journal(request: pytest.FixtureRequest, airflow_db: None) -> JournalDatabase:
    return journal_database(request.param, request)


@pytest.fixture(autouse=True)
def one_try(strict: StrictServer, connection: Callable[..., None]) -> None:
    """What fails once is undelivered at once."""
    connection("connectif_default", **strict.connection(requests_per_minute=FAST, timeout=5, retries=1))


def row(name: str, **values: Any) -> dict[str, Any]:
    return {"email": f"{name}@example.com", **values}


def refused(name: str) -> dict[str, Any]:
    return {"keys": [f"{name}@example.com"], "status": 422}


@dataclass
class Night:
    """One run.

    :param rows: the source.
    :param sent: the names, or external ids, that the server gets requests for, in their order.
    :param says: what the summary counts, of the counts that a journal adds and of refusals.
    """

    rows: list[dict[str, Any]]
    sent: list[str]
    says: dict[str, int] = field(default_factory=dict)
    faults: list[dict[str, Any]] = field(default_factory=list)
    state: str = "success"
    options: dict[str, Any] = field(default_factory=dict)


ANA, BEA = row("ana", visits=1), row("bea", visits=1)
ANA2 = row("ana", visits=2)
BUSY = {"keys": ["ana@example.com"], "status": 503}
COUNTS = ("unchanged", "merged", "held", "remapped", "invalid", "rejected")
BY_ID = {"key": "external_id", "key_column": "id"}
SHORT = {"properties": {"tier": "level"}, "fields": {"tier": {"type": "text", "maxLength": 4}}}
LONG = {"properties": {"tier": "level"}, "fields": {"tier": {"type": "text", "maxLength": 9}}}
TWO_COLUMNS = {"properties": {"visits": "v", "tier": "t"}}
HELD = [Night([ANA, BEA], ["ana", "bea"], {"rejected": 1}, [refused("ana")], "failed")]

NIGHTS: dict[str, list[Night]] = {
    "nothing changed": [Night([ANA, BEA], ["ana", "bea"]), Night([BEA, ANA], [], {"unchanged": 2})],
    "one changed": [Night([ANA, BEA], ["ana", "bea"]), Night([ANA2, BEA], ["ana"], {"unchanged": 1})],
    "changed and changed back": [Night([ANA], ["ana"]), Night([ANA2], ["ana"]), Night([ANA], ["ana"])],
    "one is new": [Night([ANA], ["ana"]), Night([ANA, BEA], ["bea"], {"unchanged": 1})],
    "rejected waits": [*HELD, Night([ANA, BEA], [], {"held": 1, "unchanged": 1}, state="failed")],
    "rejected goes when its row is mended": [*HELD, Night([ANA2], ["ana"]), Night([ANA2], [], {"unchanged": 1})],
    "rejected goes when it is asked for": [*HELD, Night([ANA, BEA], ["ana"], options={"retry_rejected": True})],
    "rejected goes when the mapping changes": [
        *HELD,
        Night([ANA], ["ana"], options={"properties": {"_points": "visits"}}),
    ],
    "rejected goes when the definitions change": [
        Night([row("ana", level="gold")], ["ana"], {"rejected": 1}, [refused("ana")], "failed", SHORT),
        Night([row("ana", level="gold")], [], {"held": 1}, state="failed", options=SHORT),
        Night([row("ana", level="gold")], ["ana"], options=LONG),
    ],
    "acknowledged, then refused, then what it was": [
        Night([ANA], ["ana"]),
        Night([ANA2], ["ana"], {"rejected": 1}, [refused("ana")], "failed"),
        Night([ANA2], [], {"held": 1}, state="failed"),
        Night([ANA], [], {"unchanged": 1}),
        Night([ANA2], ["ana"], state="success"),
    ],
    "failed goes next time": [
        Night([ANA, BEA], ["ana", "bea"], faults=[BUSY], state="up_for_retry"),
        Night([ANA, BEA], ["ana"], {"unchanged": 1}),
    ],
    "failed after it was applied, and the row is what it was": [
        Night([ANA], ["ana"]),
        Night(
            [ANA2, BEA], ["ana", "bea"], faults=[{"keys": ["ana@example.com"], "drop": "after"}], state="up_for_retry"
        ),
        Night([ANA, BEA], ["ana"], {"unchanged": 1}),
    ],
    "invalid, then what it was": [
        Night([ANA], ["ana"]),
        Night([row("ana", visits=float("nan"))], [], {"invalid": 1}, state="failed"),
        Night([ANA], [], {"unchanged": 1}),
        Night([ANA2], ["ana"]),
    ],
    "a value that cannot be printed spoils no other row": [
        Night([row("ana", visits=10**5000), BEA], ["bea"], {"invalid": 1}, state="failed"),
    ],
    "a row loses a column": [
        Night([row("bea", v=1, t=None), row("ana", v=1, t=None)], ["ana", "bea"], options=TWO_COLUMNS),
        Night([row("bea", v=1, t=None), row("ana", v=1)], [], {"invalid": 1, "unchanged": 1}, state="failed"),
    ],
    "a mapping of which some rows see nothing": [
        Night(
            [ANA | {"tier": None}, BEA | {"tier": "gold"}], ["ana", "bea"], options={"properties": {"visits": "visits"}}
        ),
        Night(
            [ANA | {"tier": None}, BEA | {"tier": "gold"}],
            ["bea"],
            {"unchanged": 1, "remapped": 1},
            options={"properties": {"visits": "visits", "tier": "tier"}},
        ),
        Night([ANA | {"tier": None}, BEA | {"tier": "gold"}], [], {"unchanged": 2}),
    ],
    "definitions that change no patch": [
        Night([row("ana", level="gold")], ["ana"], options=SHORT),
        Night([row("ana", level="gold")], [], {"unchanged": 1}, options=LONG),
    ],
    "columns in another order, a value in another type": [
        Night([row("ana", visits=1, tier="gold")], ["ana"]),
        Night([row("ana", tier="gold", visits=1.0)], [], {"unchanged": 1}),
    ],
    "each row with columns of its own": [
        Night([ANA, row("bea", tier="gold")], ["ana", "bea"]),
        Night([row("ana", tier="gold"), row("bea", tier="gold")], ["ana"], {"unchanged": 1}),
    ],
    "full refresh": [
        Night([ANA, BEA], ["ana", "bea"]),
        Night([ANA, BEA], ["ana", "bea"], options={"full_refresh": "True"}),
        Night([ANA, BEA], [], {"unchanged": 2}, options={"full_refresh": "False"}),
    ],
    "e-mails in another case": [
        Night([row("Ana", tier="gold")], ["Ana"]),
        Night([row("ana", tier="gold")], [], {"unchanged": 1}),
    ],
    "external ids in another case": [
        Night([{"id": "a1", "visits": 1}, {"id": "A1", "visits": 2}], ["A1", "a1"], options=BY_ID),
        Night([{"id": "a1", "visits": 1}, {"id": "A1", "visits": 3}], ["A1"], {"unchanged": 1}, options=BY_ID),
    ],
    "a key twice with one row": [
        Night([ANA, ANA, ANA], ["ana"], {"merged": 2}),
        Night([ANA, ANA], [], {"unchanged": 1, "merged": 1}),
    ],
    "a key twice: the last row counts": [
        Night([ANA, ANA2], ["ana"]),
        Night([ANA2], [], {"unchanged": 1}),
        Night([ANA], ["ana"]),
    ],
    "there and back in one run": [
        Night([ANA], ["ana"]),
        Night([ANA, ANA2, ANA], [], {"unchanged": 2, "merged": 1}),
        Night([ANA], []),
    ],
    "a key twice, and the answer to its last row is lost": [
        Night(
            [ANA, ANA2],
            ["ana"],
            faults=[{"keys": ["ana@example.com"], "nth": [1, 1], "drop": "after"}],
            state="up_for_retry",
        ),
        Night([ANA], ["ana"]),
    ],
    "two spellings of one key": [
        Night([row("ana", visits=1), {"email": " ANA@example.com ", "visits": 2}], ["ANA"]),
        Night([row("ana", visits=2)], [], {"unchanged": 1}),
        Night([{"email": "Ana@Example.com", "visits": 2}, row("ana", visits=3)], ["ANA"], {"unchanged": 1}),
    ],
    "another sync": [Night([ANA], ["ana"]), Night([ANA], ["ana"], options={"sync_id": "weekly"}), Night([ANA], [])],
    "a check writes nothing": [Night([ANA], [], options={"check_only": True}), Night([ANA], ["ana"])],
    "no rows": [Night([], []), Night([ANA], ["ana"])],
}


@pytest.mark.sampled(1)
@pytest.mark.parametrize("case", NIGHTS)
def test_what_is_sent_night_after_night(case: str, journal: JournalDatabase, strict: StrictServer) -> None:
    options: dict[str, Any] = {}
    for number, night in enumerate(NIGHTS[case], 1):
        options |= night.options
        before = len(strict.log)
        strict.update(faults=night.faults)

        run = deliver(f"night {number}", rows=night.rows, **options)

        sent = [entry["key"].removesuffix("@example.com") for entry in strict.log[before:]]
        assert (number, sorted(sent)) == (number, sorted(night.sent))
        assert (number, run.state) == (number, night.state), run.error
        said = {name: run.summary.get(name) for name in COUNTS if run.summary.get(name) or name in night.says}
        assert (number, said) == (number, night.says) or not night.says
        options = {name: value for name, value in options.items() if name in ("properties", "key", "key_column")}


@pytest.mark.slow
def test_after_all_that_the_server_has_what_the_source_has(journal: JournalDatabase, strict: StrictServer) -> None:
    for night in range(8):
        rows = [row(f"user{n}", visits=(n * night) % 5) for n in range(40)]
        strict.update(faults=[{"keys": [f"user{(7 * night + n) % 40}@example.com" for n in range(9)], "status": 503}])
        deliver(f"night {night}", rows=rows)
    strict.update(faults=[])
    deliver("last night", rows=rows)
    assert strict.contacts == {line["email"]: {"visits": line["visits"]} for line in rows}
    assert deliver("once more", rows=rows).summary["requests"] == 0


@pytest.fixture
def four_quarters(run_dag: Callable[..., Any]) -> Callable[[], Any]:
    """Runs a DAG of four mapped tasks that share one journal."""
    from airflow.providers.common.compat.sdk import DAG

    from airflow_provider_connectif.operators.contacts import ContactPatchOperator

    with DAG("quarters", schedule=None) as dag:
        quarters = [[row(f"user{n}", visits=n) for n in range(first, 100, 4)] for first in range(4)]
        ContactPatchOperator.partial(task_id="patch", journal_conn_id="journal", fields="builtin").expand(rows=quarters)
    return lambda: run_dag(dag)


@pytest.mark.slow
def test_mapped_tasks_of_a_dag_share_a_journal(
    journal: JournalDatabase, strict: StrictServer, four_quarters: Callable[[], Any]
) -> None:
    for requests in (25, 0):
        dag_run = four_quarters()
        assert set(task_states(dag_run).values()) == {"success"}
        assert [xcom(dag_run, "patch", "summary", n)["requests"] for n in range(4)] == [requests] * 4
    assert len(strict.contacts) == 100
    assert journal.query("select distinct sync_id from connectif_journal") == [("quarters.patch",)]


@pytest.mark.slow
def test_what_another_host_has_acknowledged_is_not_taken_for_delivered(
    journal: JournalDatabase, strict: StrictServer, connection: Callable[..., None]
) -> None:
    """A DAG that was tried on a sandbox is pointed at another account: every row is sent there, once."""
    assert deliver("tried", rows=[ANA, BEA]).summary["created"] == 2
    with StrictServer() as production:
        connection("connectif_default", **production.connection(requests_per_minute=FAST))
        assert deliver("first night", rows=[ANA, BEA]).summary["created"] == 2
        assert deliver("second night", rows=[ANA, BEA]).summary["unchanged"] == 2
        assert len(production.contacts) == 2


def test_a_row_that_is_held_is_told_of_by_every_run(
    journal: JournalDatabase, strict: StrictServer, tmp_path: Path
) -> None:
    strict.update(faults=[refused("ana")])
    assert deliver("night", rows=[ANA, BEA]).state == "failed"
    path = tmp_path / "rejects.jsonl"
    run = deliver("next night", rows=[ANA, BEA], rejects_path=str(path))
    assert (run.state, run.summary["held"], run.summary["requests"]) == ("failed", 1, 0)
    (line,) = [json.loads(text) for text in path.read_text().splitlines()]
    assert (line["outcome"], line["status"], line["row_number"]) == ("held", 422, 1)
    assert list(run.summary["reasons"]) == line["reasons"]
    assert line["reasons"][0].startswith("held: HTTP 422")
