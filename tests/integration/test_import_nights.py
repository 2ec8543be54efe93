"""Imports met by everything at once: random rows, arguments and faults; what arrives is compared contact by contact."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from tests.support.import_runs import account, as_contacts, import_over_deferral, import_rows
from tests.support.journals import journal_database
from tests.support.strict_server import StrictServer
from tests.support.task_runs import Run

pytestmark = pytest.mark.full_size

ODD = [
    *("=1+1", "+a", "-b", "@c", 'quo"te', '""', "semi;colon", "comma,here", "tab\there", "new\nline", "cr\r\nlf"),
    *(
        "\ufeffmark",
        "a\ufeffb",
        "ñandú",
        "日本",
        "🎉",
        "|pipe|",
        "'single'",
        "e\u0301",
        "\u2028line",
        "null",
        "true",
        "0",
    ),
    *("x" * 900, "\\n", "#hash", "a\u200bb"),
]
"""Beginnings of texts that a reader of CSV, or a spreadsheet, may take for something else."""


def _odd(dice: random.Random) -> str:
    return f"{dice.choice(ODD)}{dice.randrange(100)}"


MAKERS = {
    "_name": _odd,
    "_surname": _odd,
    "_birthdate": lambda dice: f"19{dice.randrange(50, 99)}-0{dice.randrange(1, 10)}-11",
    "_mobilePhone": lambda dice: f"+346{dice.randrange(10**8):08}",
    "_points": lambda dice: dice.randrange(1, 1000),
    "tier": _odd,
    "spent": lambda dice: dice.choice([0.5, 1e-7, 123456.75, -3.25, 1e8]),
    "visits": lambda dice: dice.randrange(1, 10**6),
    "last_visit": lambda dice: f"2026-0{dice.randrange(1, 10)}-03",
    "segment": lambda dice: dice.choice(["new", "regular", "lapsed"]),
}
ADDRESSES = ["u{}", "o'brien{}", "a+b{}", "first.last{}", "x_{}", "=cmd{}", "-d{}"]

UPLOADS: list[dict[str, Any]] = [
    *({"drop": when} for when in ("before", "during", "after")),
    *({"status": status} for status in (413, 422, 502)),
    *({"status": status, "exists": True} for status in (500, 504)),
    {"status": 429, "headers": {"Retry-After": "0"}},
    {"status": 400, "json": {"code": "E0401"}},
    {"times": 3, "status": 400, "json": {"code": "E0301"}},
    *({"end": "error", "at_rows": rows} for rows in (0, 7)),
    {"end": "cancelled", "at_rows": 3},
    {"status": 201, "no_import": True},
    {"status": 200, "text": "<html>ok</html>", "exists": True},
]
OTHERS: list[dict[str, Any]] = [
    *({"on": "GET", "times": times, "status": status} for times, status in ((2, 500), (1, 404), (3, 404), (1, 429))),
    {"on": "GET", "times": 2, "drop": "before"},
    {"on": "LIST", "status": 500},
    {"on": "LIST", "drop": "before"},
    {"on": "REPORT", "status": 403},
    {"on": "REPORT", "times": 9, "status": 500},
    {"on": "REPORT", "text": "<html>"},
]
FAULTS = [{"times": 1} | fault for fault in (*UPLOADS, *OTHERS)]


def make_rows(dice: random.Random, count: int) -> list[dict[str, Any]]:
    share = {name: dice.choice([0.0, 0.02, 0.3, 0.5, 0.9, 1.0, 1.0]) for name in MAKERS}
    return [
        {"email": f"{dice.choice(ADDRESSES).format(n)}@example.com"}
        | {name: make(dice) if dice.random() < share[name] else None for name, make in MAKERS.items()}
        for n in range(count)
    ]


def change(dice: random.Random, source: list[dict[str, Any]]) -> list[dict[str, Any]]:
    changed = [dict(row) for row in source]
    for row in changed:
        if dice.random() < 0.3:
            name = dice.choice(list(MAKERS))
            row[name] = MAKERS[name](dice)
    return changed


def run_import(deferrable: bool, run_id: str, **arguments: Any) -> Run:
    return import_over_deferral(run_id, **arguments)[-1] if deferrable else import_rows(run_id, **arguments)


# Faults for two attempts, then none: whatever has happened, every row that Connectif takes arrives, and is counted.
@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("memory", ["journal", "nothing"])
def test_nights_of_random_faults(
    seed: int, memory: str, strict: StrictServer, airflow_db: None, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    dice = random.Random(f"{seed} {memory}")
    arguments: dict[str, Any] = {
        "file_layout": dice.choice(["auto", "shape", "column"]),
        "delimiter": dice.choice([",", ";", "\t", "|", "'", "#"]),
        "max_file_bytes": dice.choice([4000, 9000, 48_000_000]),
        "patch_leftovers": dice.choice([None, True, False]),
        "poll_interval": dice.choice([0.05, 0.2]),
        "timeout": 30,
        "failure_budget": 1000,
        "rejects_path": str(tmp_path / "rejects.jsonl"),
    }
    if memory == "journal":
        arguments["journal_conn_id"] = journal_database("sqlite", request).conn_id
    deferrable = dice.random() < 0.5
    strict.update(
        import_faults=dice.choices(FAULTS, k=dice.randrange(4)),
        faults=[{"status": 403, "json": {"detail": "no"}}] if dice.random() < 0.3 else [],
        other_imports=[{"from_upload": dice.randrange(3)} for _ in range(dice.randrange(3))],
        imports_a_page=50,
        report_columns=dice.choice(["key", "row", "line", "none"]),
        import_zero=False,
        import_run_s=dice.choice([0, 0.2]),
        import_order=dice.choice(["newest", "oldest"]),
    )
    source = make_rows(dice, dice.choice([1, 2, 20, 150]))
    for night in range(3):
        source = change(dice, source) if night else source
        for row in source:
            if dice.random() < 0.03:
                row["visits"] = 0  # is rejected
        for attempt in range(4):
            if attempt == 2:
                strict.update(import_faults=[], faults=[])
            run = run_import(deferrable, f"night {night}", rows=source, tries_before=attempt, **arguments)
            assert not run.summary or account(run.summary) == run.summary["read"]
            if run.state == "success":
                break
        assert run.state == "success", run.error
        good, contacts = as_contacts([row for row in source if row["visits"] != 0]), strict.contacts
        assert {key: contacts[key] for key in good} == {key: contacts[key] | values for key, values in good.items()}
        assert sum(run.summary.get(name, 0) for name in ("rejected", "held")) <= len(source) - len(good)


@pytest.mark.parametrize("seed", range(40))
def test_contacts_that_exist_are_treated_as_the_author_says(
    seed: int, strict: StrictServer, airflow_db: None, request: pytest.FixtureRequest
) -> None:
    dice = random.Random(f"existing {seed}")
    way = dice.choice(["keep", "fill_empty", "update"])
    arguments: dict[str, Any] = {
        "on_existing": way,
        "file_layout": dice.choice(["auto", "shape"] if way == "keep" else ["auto", "shape", "column"]),
        "delimiter": dice.choice([",", ";", "\t", " ", "@"]),
        "max_file_bytes": dice.choice([5000, 48_000_000]),
        "failure_budget": 1000,
    }
    if dice.random() < 0.5:
        arguments["journal_conn_id"] = journal_database("sqlite", request).conn_id
    source, key = make_rows(dice, dice.choice([0, 1, 5, 60, 150])), "email"
    if dice.random() < 0.3:
        arguments |= {"key": "external_id", "key_column": (key := "id")}
        source = [{"id": row["email"].split("@")[0].replace("'", '"')} | row for row in source]
        for row in source:
            email = row.pop("email")
            row["_email"] = email if dice.random() < 0.5 else None
    source += [{**row, "_name": "of a later row"} for row in dice.sample(source, len(source) // 5)]
    invalid = [{key: "nobody" if key == "email" else "", "_name": "x"} for _ in range(dice.choice([0, 0, 3]))]
    wanted: dict[str, dict[str, Any]] = {}
    for row in source:
        values = {name: value for name, value in row.items() if name != key and value is not None}
        wanted.setdefault(row[key], {}).update(values)
    before = {
        key: {name: make(dice) for name, make in MAKERS.items() if dice.random() < 0.4}
        for key in wanted
        if dice.random() < 0.4
    }
    strict.change_contacts(before)
    strict.update(import_existing=dice.choice(["success", "errors", None]), import_run_s=dice.choice([0, 0.1]))

    run = run_import(dice.random() < 0.5, "night", rows=[*source, *invalid], **arguments)

    assert account(run.summary) == run.summary["read"] == len(source) + len(invalid)
    assert (run.state, run.summary["invalid"]) == ("success", len(invalid)), run.error
    held = {name: before.get(name) for name in wanted}
    assert strict.contacts == {
        name: values if (there := held[name]) is None else _after(way, there, values) for name, values in wanted.items()
    }


def _after(way: str, there: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    return {"keep": there, "fill_empty": values | there, "update": there | values}[way]
