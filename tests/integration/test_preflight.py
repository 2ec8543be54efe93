"""The check before the first run: every row read and judged, no contact sent, and the same verdict as the run's."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_connectif.operators.contacts import ContactPatchOperator
from tests.support.airflow_runs import task_states, xcom
from tests.support.catalogue_fixtures import CatalogueAccount
from tests.support.spellings import FIELDS, SPELLINGS, spellings
from tests.support.strict_server import API_KEY
from tests.support.task_runs import run_in_airflow, run_operator

ROOT = Path(__file__).parents[2]
PAGES = 16
ALL_TYPES = [case for kind in SPELLINGS for case in spellings(kind, 40)]
ROWS = [{"email": f"{n}@example.com", field["id"]: raw} for n, (field, raw, _) in enumerate(ALL_TYPES)]


def test_a_check_says_what_the_run_will_do(account: CatalogueAccount, tmp_path: Path) -> None:
    """The same rows invalid for the same reasons, in the summary and the rejects file; as many requests as logged."""
    paths = [tmp_path / "checked", tmp_path / "run"]
    checked = run_operator(rows=iter(ROWS), check_only=True, rejects_path=str(paths[0]), failure_budget=1.0)
    report = account.report()
    assert (report["patches"], report["contacts"], len(report["pages"])) == (0, {}, PAGES)
    done = run_operator(rows=iter(ROWS), rejects_path=str(paths[1]), failure_budget=1.0)
    same = ("read", "invalid")
    assert [checked.summary[name] for name in same] == [done.summary[name] for name in same]
    # Fewer reasons fit into the summary of a check, which has more counts.
    checked_reasons, reasons = (list(run.summary["reasons"].items())[:10] for run in (checked, done))
    assert checked_reasons == reasons
    assert paths[0].read_text() == paths[1].read_text() != ""
    assert checked.summary["run_requests"] == checked.summary["valid"] == account.report()["patches"] > len(ROWS) / 2
    assert checked.summary["check_only"] is True
    assert "check_only" not in done.summary
    assert len(json.dumps(checked.summary)) < 2048


def test_the_log_names_reasons_rows_and_masked_patches(account: CatalogueAccount, said: Callable[[], str]) -> None:
    rows: list[dict[str, Any]] = [
        {"email": "ana.secret@example.com", "_name": "Ána 7", "_mobilePhone": "+34600123456", "decimal_00": 12.5},
        {"email": "ANA.secret@example.com ", "_name": "Zoë_é", "checkbox_00": ["gold", "Silver"]},
        *({"email": f"{n}@example.com", "_points": "Topsecret"} for n in range(5)),
        {"email": "no address", "_name": "Li", "_birthdate": "1990-05-17"},
        {"email": "eva@example.com", "boolean_00": True, "_name": "प्रिया 🎉"},
        {"email": "bea@example.com", "_name": None},
    ]
    done = run_operator(rows=iter(rows), check_only=True)
    log = said()
    assert done.state == "failed"
    assert "Rows that would not be delivered, by reason:" in log
    counts = {"read": 10, "valid": 3, "invalid": 6, "merged": 1, "duplicates": 1, "run_requests": 3}
    counts |= {"created": 0, "updated": 0}
    assert {name: done.summary[name] for name in counts} == counts
    assert re.search(r'5 . column "_points" must be a whole number.* \(rows 3, 4, 5, \.\.\.\)', log)
    assert re.search(r'1 . column "email" must be an e-mail address.* \(row 8\)', log)
    examples = re.findall(r"row (\d+), values masked:\n  (\{.*?\})(?= \[|$)", log, re.MULTILINE)
    assert [(int(number), json.loads(patch)) for number, patch in examples] == [
        (
            2,  # and row 1: they are one contact
            {"_name": "xxx_x", "_mobilePhone": "+99999999999", "decimal_00": "99.9", "checkbox_00": ["xxxx", "xxxxxx"]},
        ),
        (9, {"boolean_00": "xxxx", "_name": "xxxxxx x"}),
        (10, {}),
    ]
    for secret in ("secret", "Ána", "600123456", "Zoë", "no address", "Li", "1990-05", "bea", "प्र", "🎉"):
        assert secret not in log + json.dumps(done.summary) + str(done.error)


def test_every_reason_of_a_check_is_in_the_log(account: CatalogueAccount, said: Callable[[], str]) -> None:
    columns = [field["id"] for field in FIELDS if field["type"] in ("integer", "decimal", "date", "radio")][-40:]
    rows = ({"email": f"{n}@example.com", column: b"x"} for n in range(4) for column in columns)
    assert run_operator(rows=rows, check_only=True).state == "failed"
    log = said()
    for n, column in enumerate(columns, 1):
        where = f"(rows {n}, {n + len(columns)}, {n + 2 * len(columns)}, ...)"
        assert re.search(rf'4 . column "{column}" must be .*{re.escape(where)}', log)


@pytest.mark.parametrize(
    ("headers", "valid", "duration_s"),
    [
        ({}, 100, 0),
        ({}, 101, 60),
        ({}, 650, 360),
        ({"RateLimit-Limit": "40", "RateLimit-Remaining": "9", "RateLimit-Reset": "1"}, 81, 120),
        ({"X-RateLimit-Limit": "300", "X-RateLimit-Remaining": "250", "X-RateLimit-Reset": "1"}, 650, 120),
    ],
)
def test_it_tells_how_long_a_run_takes_at_the_account_s_window(
    account: CatalogueAccount, connection: Callable[..., None], headers: dict[str, str], valid: int, duration_s: float
) -> None:
    account.reset(response_headers=headers, fields_a_page=200)
    connection("connectif_default", conn_type="connectif", host=account.url, password=API_KEY)
    rows = ({"email": f"{n}@example.com", "text_00": "x"} for n in range(valid))
    summary = run_operator(rows=rows, check_only=True).summary
    assert (summary["run_requests"], summary["run_duration_s"]) == (valid, duration_s)


@pytest.mark.parametrize(
    ("key", "keys", "duplicates"),
    [
        ("email", ["a@example.com", " A@Example.COM", "b@example.com", "a@example.com", "a"], 2),
        ("email", ["ana@exämple.com", "ana@xn--exmple-cua.com"], 1),
        ("external_id", ["a1", "A1", " a1 ", 7, "7"], 2),
    ],
)
def test_duplicates_are_rows_whose_key_stood_before(
    account: CatalogueAccount, key: Any, keys: list[Any], duplicates: int
) -> None:
    summary = run_operator(
        rows=({key: k, "_name": "x"} for k in keys), key=key, check_only=True, failure_budget=1
    ).summary
    assert summary["duplicates"] == summary["merged"] == duplicates


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ("aaaabbccd", "4 to send, 5 merged with another row of their contact, 0 invalid"),
        ("aab", "2 to send, 1 merged with another row of their contact, 0 invalid"),
        ("ab", "2 to send, 0 invalid"),
    ],
)
def test_rows_of_one_contact_are_told_as_merged_beside_what_is_sent(
    account: CatalogueAccount, said: Callable[[], str], keys: str, words: str
) -> None:
    run_operator(rows=[{"email": f"{key}@example.com", "_name": "x"} for key in keys], check_only=True)
    assert f" no contact sent: {words}" in said()


def test_a_check_that_ends_early_does_not_say_how_many_would_be_sent(
    account: CatalogueAccount, said: Callable[[], str]
) -> None:
    def rows() -> Iterator[dict[str, Any]]:
        yield {"email": "a@example.com", "_name": "x"}
        raise ConnectionError("the source is gone")

    with pytest.raises(ConnectionError):
        run_operator(rows=rows(), check_only=True)
    assert ", no contact sent: 0 invalid" in said()


FAULTY = {"_name": "frst_name", "loyalty_teir": "tier", "score": "score", "text_01": "text_1", "_surname": "surname"}
COLUMNS = ["email", "first_name", "tier", "score", "text_1", "text_1", "surname"]
FAULTS = (
    'loyalty_teir is not a field of this account (did you mean "loyalty_tier"?)',
    "score is read-only",
    'the source has no column "frst_name" (did you mean "first_name"?); '
    "it has: email, first_name, tier, score, text_1, surname",
    'column "text_1" is 2 times in the result: give each its own name',
)


@pytest.mark.parametrize("check_only", [True, False])
def test_all_that_is_wrong_with_the_mapping_is_one_message(
    account: CatalogueAccount, sqlite_warehouse: Callable[..., None], check_only: bool
) -> None:
    sqlite_warehouse(["email", "first_name", "tier", "score", "text_1", "surname"], [["a@example.com", *"abcde"]])
    sql = f"select {', '.join(COLUMNS)} from contacts"
    done = run_operator(sql=sql, sql_conn_id="warehouse", properties=FAULTY, check_only=check_only)
    assert done.state == "failed"
    assert str(done.error) == "the mapping does not fit: " + "; ".join(FAULTS)
    assert (account.report()["patches"], done.summary["read"]) == (0, 0)


def test_a_wrong_column_of_an_upstream_task_s_rows_is_one_message_too(account: CatalogueAccount) -> None:
    rows = ({"email": f"{n}@example.com", "first_name": "Ana"} for n in range(2000))
    done = run_operator(rows=rows, properties={"_name": "frst_name"}, check_only=True)
    assert 'no column "frst_name" (did you mean "first_name"?); it has: email, first_name' in str(done.error)
    assert done.summary["read"] == 0


def test_what_is_known_at_parse_is_said_at_parse() -> None:
    properties = {"_surnme": "s", "_clv": "c", "_email": "e", "_name": "n"}
    with pytest.raises(ValueError) as fault:
        ContactPatchOperator(task_id="patch", rows=[], properties=properties)
    words = ("_surnme is no property", '(did you mean "_surname"?)', "_clv is read-only", "_email is the contact key")
    assert all(word in str(fault.value) for word in words)


def test_without_the_scope_the_run_works_warns_once_and_says_what_is_not_checked(
    account: CatalogueAccount, said: Callable[[], str]
) -> None:
    account.reset(fields_fault={"status": 403})
    rows = [{"email": "a@example.com", "_name": 5, "loyalty_tier": "gold", "boolean_00": True}, {"email": "nobody"}]
    done = run_operator(rows=rows, failure_budget=1)
    report, log = account.report(), said()
    assert (done.state, done.summary["created"], done.summary["invalid"]) == ("success", 1, 1)
    assert report["contacts"] == {"a@example.com": {"_name": "5", "loyalty_tier": "gold", "boolean_00": True}}
    assert len(report["pages"]) == 1
    warning = (
        "The field definitions cannot be read (403)\n"
        "  Either the API key does not have the scope Contact fields: Read, or the account is blocked\n"
        "  Consequence: custom fields are not checked; a text is sent as text, a number as a number\n"
        "  Give the key this scope, or give the operator your own definitions (fields=)"
    )
    assert log.count(warning) == log.count("Contact fields: Read") == 1


@pytest.mark.slow
def test_in_a_dag_the_check_gates_the_run(account: CatalogueAccount, run_dag: Callable[..., Any]) -> None:
    from airflow.providers.common.compat.sdk import DAG

    with DAG("checked_first", schedule=None) as dag:
        rows = [{"email": "a@example.com", "integer_02": 101}]
        check = ContactPatchOperator(task_id="check", rows=rows, check_only=True)
        check >> ContactPatchOperator(task_id="send", rows=rows)
    dag_run = run_dag(dag)
    assert task_states(dag_run) == {"check": "failed", "send": "upstream_failed"}
    assert xcom(dag_run, "check", "summary")["reasons"] == {'column "integer_02" must be at most 100': 1}
    assert account.report()["patches"] == 0


@pytest.mark.slow
def test_a_check_succeeds_in_airflow_and_its_summary_is_the_return_value(
    account: CatalogueAccount, run_dag: Callable[..., Any]
) -> None:
    done = run_in_airflow(run_dag, rows=[{"email": "a@example.com", "text_00": "x"}], check_only=True)
    assert (done.state, done.returned["check_only"], done.returned["valid"]) == ("success", True, 1)
    assert done.returned == done.summary


def test_a_dry_run_checks_and_sends_nothing(account: CatalogueAccount, said: Callable[[], str]) -> None:
    ContactPatchOperator(task_id="patch", rows=[{"email": "a@example.com", "text_00": "x"}]).dry_run()
    assert account.report()["patches"] == 0
    assert "no contact sent: 1 to send, 0 invalid" in said()


PROBE = """
import os, resource, sys
from tests.support.task_runs import run_operator
from tests.integration.test_preflight import many
os.environ["AIRFLOW_CONN_CONNECTIF_DEFAULT"] = sys.argv[2]
done = run_operator(rows=many(int(sys.argv[1])), properties={"_name": "n", "_mobilePhone": "p", "integer_02": "i"},
                    check_only=True, failure_budget=1.0)
print("PROBE", done.summary["read"], done.summary["invalid"], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def many(count: int) -> Iterator[dict[str, Any]]:
    """Rows of which every 50th is invalid."""
    for n in range(count):
        yield {"email": f"{n}@example.com", "n": f"Ana {n}", "p": f"+346{n:08}", "i": 101 if n % 50 == 0 else 7}


@pytest.mark.slow
def test_a_check_of_100_000_rows_sends_nothing_and_takes_no_more_memory(account: CatalogueAccount) -> None:
    megabytes = []
    for count in (2_000, 100_000):
        command = [sys.executable, "-c", PROBE, str(count), os.environ["AIRFLOW_CONN_CONNECTIF_DEFAULT"]]
        output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        _, read, invalid, used = output.partition("PROBE")[2].split(" ")
        assert (int(read), int(invalid)) == (count, count / 50)
        megabytes.append(float(used))
    assert account.report()["statuses"] == {200: 2 * PAGES}
    assert PAGES <= 30
    assert megabytes[1] - megabytes[0] <= 25, megabytes
