"""What arrives of rows: sparse ones, wide ones, hostile ones, and those that no file carries."""

from __future__ import annotations

import csv
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_connectif.contacts.author_fields import fields_of_author
from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.imports.files import ImportFiles
from tests.support import rfc4180
from tests.support.import_runs import account, as_contacts, import_rows
from tests.support.strict_server import StrictServer
from tests.support.task_runs import Run

TYPED = ("_birthdate", "_mobilePhone", "_points", "segment", "spent", "last_visit")
HOSTILE = (
    'a "quoted" word',
    '"',
    "line\nbreak",
    "carriage\r\nreturn",
    "lone\rreturn",
    "comma, semicolon; pipe| tab\t.",
    "=1+1",
    "+CMD|' /C calc'!A0",
    "-2",
    "@SUM(A1)",
    "😀 Ünï ﷽ 漢字",
    " leading and trailing",
    "\ufeffbom",
    "\\N",
    "null",
    "'",
)


def sparse(count: int) -> list[dict[str, Any]]:
    """Rows of six typed columns, any of which is empty at random."""
    dice = random.Random(5)
    full = [
        {
            "_birthdate": f"19{50 + n % 50}-0{1 + n % 9}-11",
            "_mobilePhone": f"+346{n:08}",
            "_points": n + 1,
            "segment": "regular",
            "spent": n / 4,
            "last_visit": "2026-02-03",
        }
        for n in range(count)
    ]
    return [
        {"email": f"u{n}@example.com", **{name: row[name] if dice.random() < 0.5 else None for name in TYPED}}
        for n, row in enumerate(full)
    ]


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    ("arguments", "files"),
    [
        ({}, 7),  # the key alone, and each of the six columns
        ({"file_layout": "shape", "patch_leftovers": False}, 64),  # each set of filled columns
        ({"file_layout": "shape", "patch_leftovers": True}, 10),
    ],
)
def test_sparse_rows_are_never_refused_for_a_blank(
    strict: StrictServer, airflow_db: None, arguments: dict[str, Any], files: int
) -> None:
    strict.update(import_workers=2, import_queue_s=0.2)
    source = sparse(1500)
    run = import_rows(rows=source, **arguments)
    assert run.state == "success", run.error
    assert strict.contacts == as_contacts(source)
    assert account(run.summary) == run.summary["read"] == 1500
    assert run.summary["rejected"] == 0
    assert run.summary["files"] == files
    assert bool(run.summary["created"]) == (files == 10)
    assert len(run.summary["imports"]) == min(20, files)


def test_hostile_values_arrive_as_they_are(strict: StrictServer, airflow_db: None) -> None:
    source = [
        {"email": f"u{n}@example.com", "_name": value, "_surname": "x" * (n % 3), "tier": value * 3, "visits": n + 1}
        for n, value in enumerate(HOSTILE)
    ]
    for delimiter in (",", ";", "\t", "|"):
        strict.reset()
        run = import_rows(rows=source, delimiter=delimiter)
        assert run.state == "success", run.error
        expected = as_contacts(source)
        for contact in expected.values():
            if not contact["_surname"]:
                del contact["_surname"]
        assert strict.contacts == expected


@pytest.mark.parametrize(
    ("value", "why"),
    [("with \0 NUL", "NUL"), ("a lone \ud800 surrogate", "surrogate")],
)
def test_what_no_file_carries_is_refused_with_a_reason(
    strict: StrictServer, airflow_db: None, value: str, why: str
) -> None:
    source = [
        {"email": "a@example.com", "_name": value, "visits": 1},
        {"email": "b@example.com", "_name": "good", "visits": 2},
    ]
    run = import_rows(rows=source, failure_budget=1, patch_leftovers=False)
    assert run.state == "success"
    assert (run.summary["imported"], run.summary["invalid"]) == (1, 1)
    assert why in next(iter(run.summary["reasons"]))
    assert strict.contacts == {"b@example.com": {"_name": "good", "visits": 2}}


@pytest.mark.parametrize(
    "column", [{"tierr": "x"}, {"_createdAt": "2026-01-01"}, {"_externalId": "7"}], ids=["unknown", "read-only", "key"]
)
def test_a_column_that_the_account_has_not_ends_the_task_before_anything_is_sent(
    strict: StrictServer, airflow_db: None, column: dict[str, str]
) -> None:
    run = import_rows(rows=[{"email": "a@example.com", **column}])
    assert run.state == "failed"
    assert next(iter(column)) in str(run.error)
    assert strict.uploads == []


def test_a_custom_column_that_nobody_knows_of_is_no_guess(strict: StrictServer, airflow_db: None) -> None:
    run = import_rows(rows=[{"email": "a@example.com", "tier": "x"}], fields="builtin")
    assert run.state == "failed"
    assert "an import ignores unknown columns without an error" in "".join(run.summary["reasons"])
    assert strict.uploads == []


def test_the_last_row_of_a_contact_counts(strict: StrictServer, airflow_db: None) -> None:
    source = [
        {"email": "Ana@example.com", "_name": "first", "visits": 1},
        {"email": "b@example.com", "_name": "b", "visits": None},
        {"email": "ana@Example.com", "_name": None, "visits": 2},
        {"email": "ana@example.com", "_name": "not a number", "visits": "x"},
    ]
    run = import_rows(rows=source, failure_budget=1, patch_leftovers=False)
    assert (run.summary["imported"], run.summary["duplicates"], run.summary["invalid"]) == (2, 1, 1)
    assert {key.lower(): contact for key, contact in strict.contacts.items()} == {
        "ana@example.com": {"_name": "first", "visits": 2},  # as by PATCH: later values over earlier ones
        "b@example.com": {"_name": "b"},
    }


def test_by_external_id(strict: StrictServer, airflow_db: None) -> None:
    source = [{"external_id": f"C/{n} é", "_email": f"u{n}@example.com", "_name": "N"} for n in range(20)]
    run = import_rows(rows=source, key="external_id")
    assert run.state == "success", run.error
    assert strict.contacts == {row["external_id"]: {"_email": row["_email"], "_name": row["_name"]} for row in source}


def test_an_arguments_fault_is_told_when_the_dag_is_parsed() -> None:
    from datetime import timedelta

    from airflow_provider_connectif.operators.imports import ContactImportOperator

    def make(**arguments: Any) -> Callable[[], Any]:
        return lambda: ContactImportOperator(task_id="load", rows=[], **arguments)

    for arguments in (
        {"on_existing": "replace"},
        {"delimiter": ",,"},
        {"delimiter": '"'},
        {"poll_interval": timedelta()},
        {"poll_interval": 0},
        {"poll_interval": "20"},
        {"poll_interval": True},
        {"timeout": float("inf")},
        {"timeout": float("nan")},
        {"file_layout": "row"},
        {"file_layout": "column", "on_existing": "keep"},
        {"timeout": timedelta(seconds=-1)},
        {"max_file_bytes": 60_000_000},
        {"max_file_bytes": True},
        {"patch_leftovers": True, "on_existing": "keep"},
    ):
        with pytest.raises(ValueError):
            make(**arguments)()
    with pytest.raises(Exception, match="nulls"):
        make(nulls="clear")()


def test_a_thousand_columns(tmp_path: Path) -> None:
    """More fields than the strict server has; so the file is read back, by two readers that are not ours."""
    ids = [f'field "{n}", of many' if n % 7 == 0 else f"field_{n}" for n in range(1000)]
    mapping = ContactMapping(definitions=fields_of_author(dict.fromkeys(ids, "text")))
    rows = [
        {
            "email": f"u{n}@example.com",
            **{name: f"{HOSTILE[(n + at) % len(HOSTILE)]}{at}" for at, name in enumerate(ids)},
        }
        for n in range(len(HOSTILE))
    ]
    with ImportFiles(tmp_path / "files", mapping) as files:
        for number, row in enumerate(rows, 1):
            files.add(mapping.patch(number, row))
        (file,) = files.close()
        text = file.path.read_bytes().decode()
        records = rfc4180.parse(text, ",")
        with file.path.open(encoding="utf-8", newline="") as stream:
            assert list(csv.reader(stream, strict=True)) == records
        read = [dict(zip(records[0], record, strict=True)) for record in records[1:]]
    assert [{**row, "_email": row["email"]} for row in rows] == [{**row, "email": row["_email"]} for row in read]


@pytest.mark.sampled(1)
@pytest.mark.versions
@pytest.mark.parametrize("deferrable", [False, True])
def test_a_dag_run_imports_and_defers_in_airflow_itself(
    strict: StrictServer, run_dag: Callable[..., Any], deferrable: bool
) -> None:
    """A stuck import, a timeout, and the next attempt: without a journal nothing holds the id, so it uploads again.

    The import ends after the first try has failed, however long Airflow takes from one step to the next: a try that
    exceeds its timeout polls once more, and would rightly find an import that ended in the meantime.
    """
    from datetime import timedelta

    from airflow import __version__ as airflow_version
    from airflow.providers.common.compat.sdk import DAG

    from airflow_provider_connectif.operators.contacts import ContactImportOperator
    from tests.support.airflow_runs import task_states, xcom

    strict.update(import_hold="inProgress")
    with DAG(f"import_deferrable_{deferrable}", schedule=None) as dag:
        ContactImportOperator(
            task_id="load",
            rows=[{"email": f"u{n}@example.com", "_name": f"N{n}"} for n in range(50)],
            poll_interval=timedelta(seconds=0.1),
            timeout=timedelta(seconds=1),
            deferrable=deferrable,
            retries=3,
            retry_delay=timedelta(seconds=0.1),
            on_retry_callback=lambda _: strict.update(import_hold=None),
        )
    dag_run = run_dag(dag)
    assert task_states(dag_run) == {"load": "success"}
    assert xcom(dag_run, "load")["imported"] == 50
    (ti,) = dag_run.get_task_instances()
    assert ti.try_number > 1
    # Of Airflow 3.0 the next attempt is begun with the deferral of the first. The operator knows by the deferral's
    # keyword arguments that it is another one, and dag.test loses them.
    goes_on = deferrable and airflow_version.startswith("3.0.")
    assert len(strict.uploads) == (1 if goes_on else 2)


def test_nothing_personal_is_told(
    strict: StrictServer, airflow_db: None, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    strict.update(import_zero=False)
    source = [{"email": f"secret{n}@example.com", "_name": "Zwölfkirchen", "visits": n} for n in range(5)]
    run: Run = import_rows(rows=[*source, {"email": "no mail", "_name": "Zwölfkirchen", "visits": 1}])
    assert run.state == "failed"
    told = "".join((*capfd.readouterr(), caplog.text, str(run.error), repr(run.summary)))
    assert "Uploaded " in told
    for personal in ("secret", "Zwölf", "no mail", "strict-key"):
        assert personal not in told
