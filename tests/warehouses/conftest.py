"""The databases as one fixture, and the table of what was shown of each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import _short_delays, _strict_process, run, strict  # noqa: F401 - fixtures
from tests.warehouses.servers import (  # noqa: F401 - fixtures
    _mariadb,
    bigquery,
    duckdb,
    mysql,
    mysql_connector,
    postgresql,
    redshift,
    snowflake,
    snowflake_chunks,
    sqlite,
    trino,
)
from tests.warehouses.table import Facts, written_table
from tests.warehouses.warehouse import Warehouse

NAMES = ("postgresql", "mysql", "mysql_connector", "sqlite", "duckdb", "snowflake", "bigquery", "redshift", "trino")
_FACTS = Facts()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-table", action="store_true", help="write the table of docs/databases.md")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "shows(what): a column of the table of docs/databases.md")


@pytest.fixture(params=NAMES)
def warehouse(request: pytest.FixtureRequest) -> Warehouse:
    """Each database in turn."""
    found: Warehouse = request.getfixturevalue(request.param)
    return found


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    marker = item.get_closest_marker("shows")
    found = item.funcargs.get("warehouse")  # type: ignore[attr-defined]
    if marker is not None and found is not None and report.when == "call":
        # What a report carries comes from a process of pytest-xdist to the one that writes the table.
        said = [found.name, found.versions, found.how, found.journal, marker.args[0]]
        report.user_properties.append(("shows", said))
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    for name, said in report.user_properties:
        if name == "shows":
            _FACTS.note(*said, report.outcome)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    is_worker = hasattr(session.config, "workerinput")
    if session.config.getoption("--write-table", default=False) and exitstatus == 0 and not is_worker:
        page = Path(session.config.rootpath) / "docs" / "databases.md"
        page.write_text(written_table(page.read_text(encoding="utf-8"), _FACTS), encoding="utf-8")
