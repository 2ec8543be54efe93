"""What names, keys and a look into the database could try. Each test fails without its defence: ``mutations.py``."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa

from airflow_provider_connectif.journal.store import Journal, JournalSettings
from airflow_provider_connectif.records.changes import Digests, Patch
from airflow_provider_connectif.records.outcomes import JournalError
from tests.security.hostile import EMAIL

ROW = {"email": EMAIL, "name": "Zacharias"}
PATCH = Patch(1, EMAIL, {"_name": "Zacharias"}, ROW, Digests("row", "patch", "mapping"))
# Statements that would be carried out where a name is put into a statement as it is.
EVIL_NAMES = ['loot" as select * from secrets /*', "loot as select * from secrets /*", "x'; drop table secrets; --"]
EVIL_KEYS = ["x' or '1'='1", "x'); drop table secrets; --", 'x" or 1=1 --', "'"]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "journal.db"
    with sqlite3.connect(path) as connection:
        connection.execute("create table secrets (secret)")
        connection.execute("insert into secrets values ('sesame')")
    return path


def journal(database: Path, sync_id: str = "sync", **settings: object) -> Journal:
    engine = sa.create_engine(f"sqlite:///{database}", connect_args={"check_same_thread": False})
    opened = Journal(engine, JournalSettings(sync_id, "run", **settings))  # type: ignore[arg-type]
    opened.open(lambda: False, lambda _: None)
    return opened


def secrets(database: Path) -> list[tuple[str]]:
    with sqlite3.connect(database) as connection:
        return connection.execute("select secret from secrets").fetchall()


def dump(database: Path) -> str:
    with sqlite3.connect(database) as connection:
        return "\n".join(connection.iterdump())


@pytest.mark.parametrize("evil", EVIL_KEYS)
def test_a_contact_key_is_no_part_of_a_statement(database: Path, evil: str) -> None:
    one = journal(database)
    one.lines.acknowledge(EMAIL, Digests("row", "patch", "mapping"))
    one.lines.commit()
    assert one.lines.differing({evil: "row"}) == {evil: None}
    one.lines.acknowledge(evil, Digests("other", "patch", "mapping"))
    one.lines.commit()
    assert one.lines.differing({evil: "other", EMAIL: "row"}) == {}
    one.close()
    assert secrets(database) == [("sesame",)]


@pytest.mark.parametrize("evil", EVIL_KEYS)
def test_a_sync_id_is_no_part_of_a_statement(database: Path, evil: str) -> None:
    one = journal(database)
    one.lines.acknowledge(EMAIL, Digests("row", "patch", "mapping"))
    one.close()
    other = journal(database, sync_id=evil)
    assert other.lines.differing({EMAIL: "row"}) == {EMAIL: None}
    other.close()


@pytest.mark.sampled(1)
@pytest.mark.parametrize("evil", EVIL_NAMES)
def test_the_name_of_a_table_is_no_part_of_a_statement(database: Path, evil: str) -> None:
    one = journal(database, table=evil)
    one.lines.acknowledge(EMAIL, Digests("row", "patch", "mapping"))
    one.close()
    with sqlite3.connect(database) as connection:
        names = {name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")}
    assert names - {"secrets"} == {
        evil,
        *(f"{evil}_{part}" for part in ("syncs", "claims", "meta", "runs", "plans", "pending")),
        *(f"{evil}_{part}" for part in ("outcomes", "suppressed", "receipts", "rejects_files")),
    }
    assert secrets(database) == [("sesame",)]


@pytest.mark.sampled(1)
@pytest.mark.parametrize("evil", ["main.loot as select * from secrets /*", 'main".loot as select * from secrets /*'])
def test_the_name_of_a_schema_is_no_part_of_a_statement(database: Path, evil: str) -> None:
    with pytest.raises(JournalError):
        journal(database, schema=evil)
    assert dump(database).count("sesame") == 1
    assert "loot" not in dump(database)


def test_pending_patches_are_encrypted_where_keys_are_digests(database: Path) -> None:
    one = journal(database, key_secret=b"pepper", keeps_rows=True)
    one.plan.add([PATCH], str)
    one.plan.save({})
    assert [patch for batch in one.plan.patches() for patch in batch] == [PATCH._replace(place=1)]
    kept = dump(database).casefold()
    assert "_pending" in kept
    assert not [word for word in ("quittenbaum", "zacharias") if word in kept]
    one.close()


def test_keys_are_digests_with_a_secret(database: Path) -> None:
    one = journal(database, key_secret=b"pepper")
    one.lines.acknowledge(EMAIL, Digests("row", "patch", "mapping"))
    one.close()
    assert "quittenbaum" not in dump(database)


def test_pending_patches_go_with_their_task(database: Path) -> None:
    one = journal(database)
    one.plan.add([PATCH], str)
    one.plan.save({})
    assert "Zacharias" in dump(database)
    one.close()
    assert "Zacharias" not in dump(database)


def test_an_error_of_the_database_quotes_no_key(database: Path) -> None:
    one = journal(database)
    one.lines.acknowledge(EMAIL, Digests("row", "patch", "mapping"))
    with sqlite3.connect(database) as connection:
        connection.execute("drop table connectif_journal")
    with pytest.raises(JournalError) as caught:
        one.lines.commit()
    assert "quittenbaum" not in str(caught.value)
    assert caught.value.__context__ is None
