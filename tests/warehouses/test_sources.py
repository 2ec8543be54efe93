"""What holds for a query on every database."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_connectif.contacts.author_fields import fields_of_author
from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.databases.hooks import sql_hook
from airflow_provider_connectif.databases.sql_source import SqlSource
from airflow_provider_connectif.records.rows import InvalidRow, Row
from airflow_provider_connectif.runs.column_names import other_case
from airflow_provider_connectif.runs.prepare import Preparer
from tests.support.strict_server import StrictServer
from tests.support.task_runs import Run
from tests.warehouses.conftest import NAMES
from tests.warehouses.warehouse import VALUE, Refused, Warehouse

MAPPED = {"_points": "visits"}
_FEW, _MANY, _MB_MORE = 3_000, 300_000, 40
# fakesnow holds a result in the process of the test, and sends it whole.
STREAMING = ["snowflake_chunks" if name == "snowflake" else name for name in NAMES]


@pytest.mark.shows("source")
def test_every_row_is_delivered(warehouse: Warehouse, strict: StrictServer, run: Callable[..., Run]) -> None:
    end = run(sql=warehouse.big(30), sql_conn_id=warehouse.conn_id, properties=MAPPED)
    assert end.state == "success"
    assert strict.contacts == {f"user{n}@example.com": {"_points": n} for n in range(1, 31)}


@pytest.mark.shows("names")
def test_the_mapping_s_names_are_found_in_lower_case(
    warehouse: Warehouse, strict: StrictServer, run: Callable[..., Run]
) -> None:
    end = run(sql=warehouse.big(1), sql_conn_id=warehouse.conn_id, properties={"_points": "Visits"})
    assert end.state == "success"
    assert strict.contacts == {"user1@example.com": {"_points": 1}}


@pytest.mark.shows("memory")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("warehouse", STREAMING, indirect=True)
def test_many_rows_take_no_more_memory_than_a_few(warehouse: Warehouse, airflow_db: None) -> None:
    few = _peak_mb(warehouse, _FEW)
    assert _peak_mb(warehouse, _MANY) - few < _MB_MORE


def _peak_mb(warehouse: Warehouse, rows: int) -> float:
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins again
    source = SqlSource(sql_hook(warehouse.conn_id), warehouse.conn_id, warehouse.big(rows))
    assert sum(len(batch) for batch in source) == rows
    (peak,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(peak.split()[1]) / 1024


@pytest.mark.shows("types")
def test_values_are_sent_as_the_docs_say(warehouse: Warehouse, airflow_db: None) -> None:
    sent = {name: wanted for name, (_, _, wanted) in warehouse.types.items() if not isinstance(wanted, Refused)}
    mapping, row = _typed(warehouse, list(sent))
    assert mapping.patch(1, row).properties == sent


@pytest.mark.shows("types")
def test_values_that_no_field_takes_are_refused_with_a_reason(warehouse: Warehouse, airflow_db: None) -> None:
    for name, (_, _, wanted) in warehouse.types.items():
        if isinstance(wanted, Refused):
            mapping, row = _typed(warehouse, [name])
            with pytest.raises(InvalidRow) as refusal:
                mapping.patch(1, row)
            assert wanted.words in str(refusal.value), name


def _typed(warehouse: Warehouse, names: Sequence[str]) -> tuple[ContactMapping, Row]:
    """The one row with these columns, and a mapping to fields of their types."""
    definitions = fields_of_author({name: _definition(warehouse.types[name][1]) for name in names})
    mapping = ContactMapping(properties={name: name for name in names}, definitions=definitions)
    source = SqlSource(sql_hook(warehouse.conn_id), warehouse.conn_id, warehouse.typed(names))
    (row,) = (row for batch in source for row in batch)
    found = other_case(mapping.columns or (), source.columns or ())
    return mapping, {found.get(column, column): value for column, value in row.items()}


def _definition(field: Any) -> Any:
    return field if isinstance(field, str) else dict(field)


@pytest.mark.shows("errors")
@pytest.mark.parametrize("mistake", ["statement", "table", "column", "placeholder"])
def test_a_mistake_in_the_statement_is_final_and_explained(
    mistake: str, warehouse: Warehouse, strict: StrictServer, run: Callable[..., Run]
) -> None:
    sql, parameters, words = warehouse.wrong[mistake]
    end = run(sql=sql, parameters=parameters, sql_conn_id=warehouse.conn_id, properties=MAPPED)
    assert (end.state, strict.received) == ("failed", 0), end.error
    assert words.lower() in str(end.error).lower()


@pytest.mark.shows("errors")
def test_a_value_in_the_driver_s_error_is_shown_nowhere(
    warehouse: Warehouse, strict: StrictServer, run: Callable[..., Run], caplog: Any, capfd: Any
) -> None:
    with caplog.at_level(logging.INFO):
        end = run(sql=warehouse.of_a_row, sql_conn_id=warehouse.conn_id, properties=MAPPED)
    assert (end.state, strict.received) == ("up_for_retry", 0)
    error: BaseException | None = end.error
    seen = [str(end.summary), caplog.text, *capfd.readouterr()]
    while error is not None:
        seen.append(repr(error))
        error = error.__cause__ or error.__context__
    assert not [text for text in seen if VALUE in text]


@pytest.mark.shows("lost connection")
@pytest.mark.parametrize("warehouse", STREAMING, indirect=True)
def test_a_connection_that_is_lost_half_way_sends_nothing_and_is_retried(
    warehouse: Warehouse, strict: StrictServer, run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    if warehouse.cut is None and "lost" not in warehouse.more:
        pytest.skip("it has no connection that could be lost")
    prepare, batches = Preparer.prepare, []

    def lose(self: Preparer, batch: Sequence[Row]) -> None:
        prepare(self, batch)
        batches.append(len(batch))
        if warehouse.cut is not None and len(batches) == 2:
            warehouse.cut()

    monkeypatch.setattr(Preparer, "prepare", lose)
    sql = warehouse.more.get("lost") or warehouse.big(_MANY)
    end = run(sql=sql, sql_conn_id=warehouse.conn_id, properties=MAPPED)
    assert (end.state, strict.received) == ("up_for_retry", 0), end.error
    assert 0 < end.summary["read"] < _MANY
    assert "reading from" in str(end.error)


def test_a_semicolon_at_the_end_does_no_harm(
    warehouse: Warehouse, strict: StrictServer, run: Callable[..., Run]
) -> None:
    sql = warehouse.big(2)
    if warehouse.name != "BigQuery":  # whose stub knows statements by their exact text
        sql = f"{sql.rstrip(';')};"
    assert run(sql=sql, sql_conn_id=warehouse.conn_id, properties=MAPPED).state == "success"
    assert len(strict.contacts) == 2


@pytest.mark.shows("journal")
def test_a_journal_is_kept_or_refused_before_the_first_request(
    warehouse: Warehouse, strict: StrictServer, run: Callable[..., Run]
) -> None:
    rows = [{"email": VALUE, "_name": "Ana"}]
    end = run(rows=rows, journal_conn_id=warehouse.conn_id, sync_id="nightly")
    if warehouse.journal == "yes":
        assert (end.state, end.summary["created"]) == ("success", 1)
        return
    assert (end.state, strict.received) == ("failed", 0), end.error
    assert "journal" in str(end.error)
