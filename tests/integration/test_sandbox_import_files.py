"""Files at the sandbox's bulk import: which cells and rows it takes, and what they do to contacts.

Sections are those of docs/connectif-api.md.
"""

from __future__ import annotations

import csv
import io

import pytest

from airflow_provider_connectif.sandbox import SandboxProcess
from tests.support.import_requests import ImportRequests
from tests.support.sandboxes import contact

HEADER = "_email,_name\n"
TWO = HEADER + "a@example.com,Ana\nb@example.com,Bea\n"


COLUMNS = {
    "_name": ('"Ana ""la, roja""\r\nñ 🙂"', 'Ana "la, roja"\r\nñ 🙂'),
    "_birthdate": ("1990-05-17", "1990-05-17"),
    "_mobilePhone": ("+34600111222", "+34600111222"),
    "landline": ("910111222", "+34910111222"),
    "_points": ("7", 7),
    "_newsletterSubscriptionStatus": ("subscribed", "subscribed"),
    "vip": ("true", True),
    "lifetime_value": ("0.25", 0.25),
    "interests": ("music|food", ["music", "food"]),
    "city": ("=1+1", "=1+1"),
    "work_email": ("a@example.org", "a@example.org"),
}


def test_cells_become_values_of_their_field_s_type(sandbox: SandboxProcess, import_requests: ImportRequests) -> None:
    """5.3: the forms of a date, a checkbox, a number, a phone with and without prefix; unknown columns vanish."""
    header, cells = ",".join(COLUMNS), ",".join(cell for cell, _ in COLUMNS.values())
    state = import_requests.imported(f"_email,{header},shoe_size,_createdAt\r\na@example.com,{cells},42,2026-01-01\r\n")
    assert (state["status"], state["success"], state["errors"]) == ("finished", 1, 0)
    found = contact(sandbox)
    assert {name: found[name] for name in COLUMNS} == {name: value for name, (_, value) in COLUMNS.items()}
    assert "shoe_size" not in found
    assert not found["_createdAt"].startswith("2026-01-01")


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("_birthdate", ""),
        ("_birthdate", "17/05/1990"),
        ("_birthdate", "1990-02-30"),
        ("_birthdate", "1990-05-17T00:00:00Z"),
        ("_mobilePhone", ""),
        ("_mobilePhone", "+34 600 111 222"),
        ("_points", ""),
        ("_points", "007"),
        ("_points", "7.0"),
        ("order_count", "-1"),
        ("_points", "9" * 5000),
        ("lifetime_value", "9" * 5000),
        ("lifetime_value", ""),
        ("lifetime_value", '"0,25"'),
        ("_newsletterSubscriptionStatus", ""),
        ("_newsletterSubscriptionStatus", "Subscribed"),
        ("interests", "music,food"),
        ("vip", "TRUE"),
        ("work_email", "nobody"),
        ("city", "x" * 81),
    ],
)
def test_a_cell_that_does_not_fit_refuses_its_row(
    sandbox: SandboxProcess, import_requests: ImportRequests, column: str, cell: str
) -> None:
    """5.3: blanks in typed columns, formats by type. That the whole row is refused is an assumption."""
    state = import_requests.imported(f"_email;{column}\na@example.com;{cell}\n", delimiter=";")
    assert (state["status"], state["total"], state["success"], state["errors"]) == ("finished", 1, 0, 1)
    assert sandbox.contacts() == {}
    (row,) = csv.DictReader(io.StringIO(import_requests.report(state).text), delimiter=";")
    assert (row["line"], row["_email"]) == ("2", "a@example.com")
    assert row["error"].startswith(f"{column}: ")


@pytest.mark.parametrize("row", ["nobody,Ana", ",Ana", "a@example.com", "a@example.com,Ana,5"])
def test_a_row_without_a_key_or_of_another_length_is_refused(import_requests: ImportRequests, row: str) -> None:
    state = import_requests.imported(TWO + row + "\n")
    assert (state["success"], state["errors"]) == (2, 1)


def test_an_external_id_has_priority(sandbox: SandboxProcess, import_requests: ImportRequests) -> None:
    """5.3: both keys are allowed, the external id has priority; an e-mail stays unique."""
    state = import_requests.imported("_email,_externalId\na@example.com,A/1\na@example.com,A/2\n")
    assert (state["success"], state["errors"]) == (1, 1)
    assert contact(sandbox)["_externalId"] == "A/1"
