"""Fixtures of several unit tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from airflow_provider_connectif.journal.settings import JournalSettings
from airflow_provider_connectif.journal.store import Journal

OpenJournal = Callable[..., Journal]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the journal's SQLite database is."""
    return tmp_path / "journal.db"


@pytest.fixture
def new_journal(path: Path) -> Iterator[OpenJournal]:
    """The journal of a run, which is not open yet: ``new_journal("monday")``."""
    engine = sa.create_engine(f"sqlite:///{path}")
    yield lambda run_id="monday", **settings: Journal(
        engine, JournalSettings("nightly", run_id, conn_id="crm", **settings)
    )
    engine.dispose()


@pytest.fixture
def open_journal(new_journal: OpenJournal) -> OpenJournal:
    """The journal of a run, open: ``open_journal("monday")``."""

    def open_journal(run_id: str = "monday", *, comes_back: bool = False, **settings: Any) -> Journal:
        journal = new_journal(run_id, **settings)
        journal.open(lambda: False, lambda _: None, comes_back=comes_back)
        return journal

    return open_journal
