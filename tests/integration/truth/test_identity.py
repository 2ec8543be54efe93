"""Two people are two contacts, and one person is one, however the addresses are spelled."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_connectif.sandbox import SandboxProcess
from tests.support.journals import JournalDatabase, deliver, journal_database, usually
from tests.support.strict_server import StrictServer
from tests.support.task_runs import Run, run_in_airflow, run_operator


@pytest.fixture(params=usually("sqlite"))
def journal(request: pytest.FixtureRequest, airflow_db: None) -> JournalDatabase:
    return journal_database(request.param, request)


QUICK = timedelta(seconds=0.05)
MAPPED: dict[str, Any] = {"properties": {"tier": "tier"}}


def row(name: str, **values: Any) -> dict[str, Any]:
    return {"email": f"{name}@example.com", "tier": "gold", **values}


# Kind of fault: a fold of cases that makes one of two letters, so that the second person's row looks delivered. Greek
# and Turkish letters, ligatures and the long s are folded as well as the German one.
PAIRS = [
    ("groß", "gross"),
    ("gross", "groß"),
    ("lonſ", "lons"),
    ("oﬃce", "office"),
    ("ŉa", "ʼna"),
    ("νικος", "νικοσ"),
    ("ırmak", "irmak"),
]


@pytest.mark.sampled(1)
@pytest.mark.parametrize(("one", "other"), PAIRS[:2])
def test_two_people_are_delivered_by_a_dag(
    one: str, other: str, journal: JournalDatabase, strict: StrictServer, run_dag: Callable[..., Any]
) -> None:
    people: list[dict[str, Any]] = [row(one), row(other)]
    arguments: dict[str, Any] = {"journal_conn_id": "journal", "fields": "builtin"}
    done = run_in_airflow(run_dag, rows=people, **arguments)
    assert (done.state, done.summary["created"], done.summary["unchanged"]) == ("success", 2, 0)
    assert set(strict.contacts) == {f"{one}@example.com", f"{other}@example.com"}


@pytest.mark.sampled(1)
@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_two_people_are_two_lines_of_the_journal(
    one: str, other: str, journal: JournalDatabase, strict: StrictServer
) -> None:
    people = [row(one), row(other)]
    assert deliver("first", rows=people).summary["created"] == 2
    assert len(journal.acknowledged()) == 2
    assert deliver("second", rows=people).summary["unchanged"] == 2
    assert deliver("third", rows=[row(one, tier="silver"), row(other)]).summary["updated"] == 1
    assert {key: contact["tier"] for key, contact in strict.contacts.items()} == {
        f"{one}@example.com": "silver",
        f"{other}@example.com": "gold",
    }


@pytest.mark.sampled(3)
@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_two_people_are_imported(one: str, other: str, strict: StrictServer, airflow_db: None) -> None:
    done = run_operator(kind="ContactImportOperator", rows=[row(one), row(other)], poll_interval=QUICK)
    assert (done.state, done.summary["imported"], done.summary["duplicates"]) == ("success", 2, 0)
    assert set(strict.contacts) == {f"{one}@example.com", f"{other}@example.com"}


def test_a_check_counts_two_people(strict: StrictServer, airflow_db: None) -> None:
    done = run_operator(rows=[row("groß"), row("gross"), row("GROSS")], check_only=True)
    assert (done.summary["valid"], done.summary["merged"], done.summary["duplicates"]) == (2, 1, 1)


# Kind of fault: a server of ours that folds as the package did, and so never shows that somebody is missing.
def test_the_sandbox_keeps_two_people_apart(sandbox: SandboxProcess, airflow_db: None) -> None:
    for names in (("groß", "gross", "GROSS"), ("e\u0301va", "\u00c9va", "eva")):
        done = run_operator(rows=[{"email": f"{name}@example.com", "_name": name} for name in names])
        assert (done.summary["created"], done.summary["merged"]) == (2, 1), names


# Kind of fault: a journal of the old rule, in which gross@ may be what was written for groß@, and makes another
# person's row look unchanged. Rows whose key can be nobody else's stay unchanged.
def old_line(server: StrictServer, name: str, run_id: str, **properties: Any) -> str:
    """A line as the version before wrote it: its digest of the patch names no contact."""
    way = hashlib.blake2b(f" {server.url}".encode(), digest_size=16).hexdigest()
    text = json.dumps(properties, sort_keys=True, separators=(",", ":"))
    patch = hashlib.blake2b(text.encode(), key=way.encode(), digest_size=16).hexdigest()
    columns = "sync_id, contact_key, state, row_digest, patch_digest, mapping_digest, run_id, generation"
    values = f"'nightly', '{name}@example.com', 'acknowledged', '{'0' * 32}', '{patch}', '{'1' * 32}', '{run_id}', 0"
    return f"insert into connectif_journal ({columns}) values ({values})"


def test_an_old_line_is_nobody_else_s(journal: JournalDatabase, strict: StrictServer) -> None:
    deliver("tables", rows=[])
    for name in ("ana", "person", "gross", "lons"):
        journal.query(old_line(strict, name, "dag/before", tier="gold"))
    rows = [row("ana"), row("person"), row("gross"), row("lons"), row("lonſ")]
    done = deliver("night", rows=rows)
    assert (done.summary["unchanged"], done.summary["created"]) == (2, 3)
    assert set(strict.contacts) == {"gross@example.com", "lons@example.com", "lonſ@example.com"}
    assert deliver("next night", rows=rows).summary["unchanged"] == 5


def test_a_line_that_was_written_for_another_person_does_not_match(
    journal: JournalDatabase, strict: StrictServer
) -> None:
    deliver("first", rows=[row("groß")], **MAPPED)
    journal.query("update connectif_journal set contact_key = 'gross@example.com'")
    assert deliver("second", rows=[row("gross")], **MAPPED).summary["created"] == 1
    assert "gross@example.com" in strict.contacts


def test_a_refusal_of_another_person_holds_nobody(journal: JournalDatabase, strict: StrictServer) -> None:
    strict.update(faults=[{"keys": ["groß@example.com"], "status": 422}])
    assert deliver("first", rows=[row("groß")], failure_budget=1, **MAPPED).summary["rejected"] == 1
    journal.query("update connectif_journal set contact_key = 'gross@example.com'")
    assert deliver("second", rows=[row("gross")], **MAPPED).summary["created"] == 1


# Kind of fault: one person under two compositions of an accent. The path of the request had the one that the source
# had that night, and Connectif may take the two for two contacts.
def test_an_accent_is_sent_composed(journal: JournalDatabase, strict: StrictServer) -> None:
    deliver("first", rows=[row("jose\u0301")])
    assert deliver("second", rows=[row("jos\u00e9", tier="silver")]).summary["updated"] == 1
    assert strict.contacts == {"jos\u00e9@example.com": {"tier": "silver"}}


# Kind of fault: an external id that was a float on its way ("17.0", "1.23457E+15") names a contact that nobody has.
@pytest.mark.parametrize("left", ["17.0", "9007199254740992.00", "1.23457E+15", "1e+21", 2.0**53, 1e17])
def test_an_external_id_that_was_a_float_is_no_other_contact_s(
    left: Any, strict: StrictServer, run: Callable[..., Run], tmp_path: Path
) -> None:
    rejects = tmp_path / "rejects.jsonl"
    done = run(
        rows=[{"external_id": left, "_name": "Ana"}, {"external_id": 17, "_name": "Bea"}],
        key="external_id",
        failure_budget=1,
        rejects_path=str(rejects),
    )
    assert (done.state, done.summary["invalid"], done.summary["created"]) == ("success", 1, 1)
    assert set(strict.contacts) == {"17"}
    assert "cast it" in (told := rejects.read_text()) or "looks like a float" in told
