"""The page and the commands that only read leave a SQLite database as it is, and create none."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_connectif.cli.main import main
from airflow_provider_connectif.versions import has_external_views
from tests.support.journal_records import RecordedJournal

pytestmark = pytest.mark.versions

COMMANDS = (
    ["journal", "runs"],
    ["journal", "purge", "--yes"],
    ["journal", "unsuppress", "ana@example.com"],
    ["explain", "ana@example.com", "--sync-id", "nightly"],
)


@pytest.fixture
def path(tmp_path: Path, connection: Callable[..., None], monkeypatch: pytest.MonkeyPatch, airflow_db: None) -> Path:
    """The file of the listed journal; it is not there."""
    path = tmp_path / "ware house?#%.db"
    connection("warehouse", conn_type="sqlite", host=str(path))
    monkeypatch.setenv("AIRFLOW__CONNECTIF__JOURNALS", "warehouse")
    return path


def failed(command: list[str]) -> bool:
    try:
        main(command)
    except SystemExit as end:
        return end.code != 0
    return False


@pytest.mark.parametrize("is_there", [True, False])
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command[:2]))
def test_a_command_finds_no_journal_and_changes_nothing(
    command: list[str], is_there: bool, path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    if is_there:
        with closing(sqlite3.connect(path)) as database, database:
            database.execute("create table people (email)")
    before = path.read_bytes() if is_there else b""
    assert failed(command)
    assert "connection 'warehouse' has no journal 'connectif_journal'" in capfd.readouterr().err
    assert [file.name for file in path.parent.glob("ware*")] == [path.name] * is_there
    assert not is_there or path.read_bytes() == before


@pytest.mark.skipif(not has_external_views(), reason="Airflow has no pages of plugins before 3.1")
def test_the_page_changes_nothing_and_sees_a_file_that_appears(path: Path, client: Callable[..., Any]) -> None:
    browser = client("nightly")
    assert "its tables are not there yet" in browser.get("/").text
    assert not path.exists()
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("create table people (email)")
    before = path.read_bytes()
    assert "its tables are not there yet" in browser.get("/").text
    assert path.read_bytes() == before


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_journal_is_read_and_changed_in_either_mode(
    mode: str, page_journal: RecordedJournal, airflow_db: None, capfd: pytest.CaptureFixture[str]
) -> None:
    page_journal.add_run(rows_read=1)
    page_journal.suppress("ana@example.com", "gdpr/manual__1", b"pepper")
    with page_journal.engine.connect() as database:
        database.exec_driver_sql(f"pragma journal_mode = {mode}")
    main(["journal", "runs"])
    assert "scheduled__1" in capfd.readouterr().out
    main(["journal", "unsuppress", "ana@example.com", "-o", "json"])
    assert '"removed": 1' in capfd.readouterr().out
    with page_journal.engine.connect() as database:
        assert database.exec_driver_sql("pragma journal_mode").scalar() == mode


def test_a_folder_without_a_right_to_write_is_named(
    page_journal: RecordedJournal,
    airflow_db: None,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with page_journal.engine.connect() as database:
        database.exec_driver_sql("pragma journal_mode = wal")
    page_journal.engine.dispose()
    monkeypatch.setattr("airflow_provider_connectif.databases.engines.os.access", lambda *_: False)
    assert failed(["journal", "runs"])
    assert "SQLite cannot create the files '-wal' and '-shm' in" in capfd.readouterr().err
