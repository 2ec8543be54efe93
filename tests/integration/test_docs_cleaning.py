"""The statements of the page on cleaning run as they stand, and their rows are delivered."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.doc_blocks import BLOCKS, Block
from tests.support.strict_server import StrictServer
from tests.support.task_runs import run_operator

PAGE = "docs/howto/cleaning.md"
STATEMENTS = [block for block in BLOCKS if block.page == PAGE and block.language == "sql"]
COLUMNS = ("email", "name", "spent", "birthday", "tier", "mobile", "country", "updated_at")
FIELDS = {"spent": "decimal", "tier": {"type": "radio", "options": [{"id": "gold"}, {"id": "silver"}]}}
PROPERTIES = {"birthday": "_birthdate", "name": "_name"}

# What Connectif holds of the two customers after a statement.
HELD: dict[str, list[dict[str, Any]]] = {
    "spent": [{"spent": 1300.0}, {"spent": 80}],
    "birthday": [{"_birthdate": "1990-05-17"}, {}],
    "tier": [{"tier": "gold"}, {"tier": "silver"}],
    "name": [{"_name": "Ana Maria"}, {"_name": "bea"}],
    "newest": [{"_name": "ANA MARIA"}, {"_name": "bea"}],
}


def customers() -> list[tuple[str, ...]]:
    """The rows of the table on the page."""
    page = (Path(__file__).parents[2] / PAGE).read_text(encoding="utf-8")
    lines = [line for line in page.splitlines() if line.startswith("| `")]
    return [tuple(re.findall(r"`([^`]*)`", line)) for line in lines]


def subject_of(block: Block) -> str:
    found = re.match(r"-- cleaning(?: on PostgreSQL)?: (\w+)\n", block.text)
    assert found, f"{block.place} does not say what it cleans"
    return found[1]


def runs() -> list[Any]:
    """Each statement on each database that the page names for it."""
    found = []
    for block in STATEMENTS:
        databases = ["postgres"] if "on PostgreSQL" in block.text else ["sqlite", "postgres"]
        found += [pytest.param(block, name, id=f"{subject_of(block)}, {name}") for name in databases]
    return found


@pytest.mark.parametrize(("block", "database"), runs())
def test_a_cleaned_table_is_delivered(
    block: Block,
    database: str,
    strict: StrictServer,
    connection: Callable[..., None],
    request: pytest.FixtureRequest,
    tmp_path: Path,
    airflow_db: None,
) -> None:
    columns = ", ".join(f"{name} text" for name in COLUMNS)
    if database == "sqlite":
        connection("sqlite", conn_type="sqlite", host=str(tmp_path / "shop.db"))
        with closing(sqlite3.connect(tmp_path / "shop.db")) as shop, shop:
            shop.execute(f"create table customers ({columns})")
            shop.executemany(f"insert into customers values ({', '.join('?' * 8)})", customers())
    else:
        shop = request.getfixturevalue("postgres")
        shop.execute(f"create table customers ({columns})")
        shop.cursor().executemany(f"insert into customers values ({', '.join(['%s'] * 8)})", customers())
    subject = subject_of(block)
    ids = {property_id for held in HELD[subject] for property_id in held}
    names = [name for name in COLUMNS if PROPERTIES.get(name, name) in ids]
    run = run_operator(
        sql=block.text,
        sql_conn_id=database,
        properties={PROPERTIES.get(name, name): name for name in names},
        fields=FIELDS,
    )
    assert (run.state, run.summary["invalid"]) == ("success", 0), run.error
    held = {key.lower(): contact for key, contact in strict.contacts.items()}
    assert [held["ana@example.com"], held["bea@example.com"]] == HELD[subject]
    assert run.summary["merged"] == (0 if subject == "newest" else 1)


def test_the_table_as_it_stands_is_refused(strict: StrictServer) -> None:
    source = [dict(zip(COLUMNS, row, strict=True)) for row in customers()]
    for name in ("spent", "birthday", "tier"):
        rows = [{"email": row["email"], name: row[name]} for row in source]
        run = run_operator(rows=rows, properties={PROPERTIES.get(name, name): name}, fields=FIELDS)
        assert (name, run.state, run.summary["invalid"] >= 2) == (name, "failed", True)


def test_every_subject_of_the_page_is_tested() -> None:
    assert {subject_of(block) for block in STATEMENTS} == HELD.keys()
    assert len(customers()) == 3
