"""A phone number is its owner's, or its row is invalid."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import phonenumbers
import pytest

from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.records.rows import InvalidRow
from tests.support.strict_server import StrictServer
from tests.support.task_runs import Run, run_in_airflow


# Kind of fault: digits that do not belong to the number (the decimal of a float, a second number, an extension) become
# part of it, and somebody else gets the messages.
@pytest.mark.slow
def test_digits_that_are_not_the_number_s_are_not_dialled(
    strict: StrictServer, run_dag: Callable[..., Any], sqlite_warehouse: Callable[..., None]
) -> None:
    texts = [
        "+491701234567.0",
        "+491701234567.00",
        "491701234567.0",
        "030 123456 / 0170 1234567",
        "030 123456/78",
        "030/123456",
    ]
    sqlite_warehouse(("email", "phone"), [(f"{n}@example.com", text) for n, text in enumerate(texts)])
    done = run_in_airflow(
        run_dag,
        sql="select * from contacts",
        sql_conn_id="warehouse",
        properties={"_mobilePhone": "phone"},
        default_region="DE",
        failure_budget=3,
    )
    # Without its +, the third may also be a number of the town of Leer.
    assert (done.state, done.summary["invalid"]) == ("success", 3)
    sent = {key: contact["_mobilePhone"] for key, contact in strict.contacts.items()}
    assert sent == {"0@example.com": "+491701234567", "1@example.com": "+491701234567", "5@example.com": "+4930123456"}


WRONG = {
    "HU": ["06 1234567/8", "06 1 234 5678/79", "06 1 234 5678, 79", "06 1 234 5678;06 1 234 5679", "+36 1 234 5678-9"],
    "DE": [
        *("030 123456/7", "030 123456 / 0170 1234567", "030 123456 or 0170 1234567", "030 123456\n0170 1234567"),
        *("030 12345 030 54321", "030 12345 - 030 54321", "030 123456 (0170 12345)", "+49 30 123456 / +49 170 1234567"),
        *("0049 30 123456 / 0049 170 1234567", "030 123456 x5", "030 123456 ext. 5", "030 123456 DW 12"),
        *("4.91701E+11", "4,91701E+11", "491701234567,0", "+49.1701234567.0", "+491701234567.5"),
        *("+49.170.1234567.00", "0170.1234567.00", "+49.170.1234567. 00", "0170 1234567-8", "0170-1234567 \u2013 8"),
    ],
    "AT": ["+43.1.5123456.00", "01.5123456.000"],
    "IT": ["06.1234567.00", "+39.06.1234567.00"],
    "ES": ["600 123 456 / 7", "600123456/600654321", "600123456 600654321", "914 454 454 (5)"],
    "US": ["212-555-0123 / 4567", "212-555-0123/4", "(212) 555-0123 (917) 555-0123", "212-555-0123 x5"],
}


@pytest.mark.parametrize("region", WRONG)
def test_two_numbers_in_a_cell_are_refused(region: str, strict: StrictServer, run: Callable[..., Run]) -> None:
    rows = [{"email": f"{n}@example.com", "_mobilePhone": text} for n, text in enumerate(WRONG[region])]
    done = run(rows=rows, default_region=region)
    assert (done.summary["invalid"], strict.contacts) == (len(rows), {})


# Spellings of a decimal that other programs and scripts print, and extensions, which belong to their number.
@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("+491701234567. 0", "+491701234567"),
        ("+491701234567.\u0660", "+491701234567"),
        ("030 123456-78", "+493012345678"),
        ("0176 12345-678", "+4917612345678"),
    ],
)
def test_zeros_are_removed_and_extensions_stay(
    text: str, sent: str, strict: StrictServer, run: Callable[..., Run]
) -> None:
    assert run(rows=[{"email": "a@example.com", "_mobilePhone": text}], default_region="DE").state == "success"
    assert strict.contacts == {"a@example.com": {"_mobilePhone": sent}}


def read(text: str, region: str) -> Any:
    mapping = ContactMapping(properties={"_mobilePhone": "phone"}, default_region=region)
    try:
        return mapping.patch(1, {"email": "a@example.com", "phone": text}).properties["_mobilePhone"]
    except InvalidRow:
        return None


EXAMPLES = [
    (region, number)
    for region in sorted(phonenumbers.SUPPORTED_REGIONS)
    for kind in (0, 1)
    if (number := phonenumbers.example_number_for_type(region, kind)) is not None
]


@pytest.mark.slow
def test_the_numbers_of_all_regions_arrive_in_their_usual_spellings_and_only_once() -> None:
    """With slashes, dots and brackets; as a float; and never with a second number or an extension behind them."""
    faults = []
    for region, number in EXAMPLES:
        e164 = phonenumbers.format_number(number, 0)
        national = phonenumbers.format_number(number, 2)
        first, _, rest = national.partition(" ")
        good = [e164, national, f"{first}/{rest}", f"{first} / {rest}", f"({first}) {rest}"] if rest else [e164]
        good += [national.replace(" ", mark) for mark in (".", "-", "\u00a0")]
        expected = e164 if read(e164, region) == e164 == read(national, region) else None
        if expected is None:  # the library itself reads it as another one
            continue
        faults += [(region, text, read(text, region)) for text in good if read(text, region) != expected]
        for text in (f"{e164}.0", f"{e164}.00"):
            faults += [(region, text, read(text, region))] if read(text, region) not in (expected, None) else []
        for behind in ("/8", " / 8", "/78", f" / {national}", f", {national}", f"; {national}", " ext. 5", " x5"):
            text = f"{national}{behind}"
            faults += [(region, text, read(text, region))] if read(text, region) is not None else []
    assert faults == []
