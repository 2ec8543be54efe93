"""Fixtures of these tests: a journal, a table of contacts, and a connection with one retry."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.journals import JournalDatabase, journal_database
from tests.support.strict_server import StrictServer
from tests.support.warehouses import Warehouse


@pytest.fixture
def journal(request: pytest.FixtureRequest, airflow_db: None) -> JournalDatabase:
    return journal_database("sqlite", request)


@pytest.fixture
def warehouse(tmp_path: Path, connection: Callable[..., None]) -> Warehouse:
    path = tmp_path / "warehouse.db"
    connection("warehouse", conn_type="sqlite", host=str(path))
    return Warehouse(path, ("name", "consent"))


@pytest.fixture(autouse=True)
def one_retry(strict: StrictServer, connection: Callable[..., None]) -> None:
    connection("connectif_default", **strict.connection(requests_per_minute=10**6, timeout=5, retries=1))
