"""Opens the journal that a command is about."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_connectif.cli.running import CommandFailed, WrongUse
from airflow_provider_connectif.databases.journal_places import JournalPlace, configured_journals, place_of
from airflow_provider_connectif.databases.journals import engine_of_existing
from airflow_provider_connectif.databases.read_errors import broken_setting

if TYPE_CHECKING:
    from airflow_provider_connectif.journal.database import JournalDatabase


class OpenJournal(NamedTuple):
    """A journal's database and the version of its tables."""

    place: JournalPlace
    database: JournalDatabase
    version: int


def chosen_journal(argument: str | None) -> JournalPlace:
    """Return the place of the command's journal.

    :param argument: the option ``--journal-conn-id``. If it names only a connection, and ``[connectif] journals`` lists
        one table on this connection, that table is used.
    :raises WrongUse: no journal is named, or several are possible.
    """
    known = configured_journals()
    if argument:
        place = place_of(argument)
        of_connection = [entry for entry in known if entry.conn_id == place.conn_id]
        return of_connection[0] if ":" not in argument and len(of_connection) == 1 else place
    if len(known) == 1:
        return known[0]
    if known:
        listed = ", ".join(repr(entry.conn_id) for entry in known)
        raise WrongUse(f"[connectif] journals lists several ({listed}): choose one with --journal-conn-id")
    raise WrongUse("no journal: give --journal-conn-id, or list the connection in [connectif] journals")


@contextmanager
def opened_journal(argument: str | None, *, writes: bool = False) -> Iterator[OpenJournal]:
    """Open the command's journal.

    :param argument: the option ``--journal-conn-id``.
    :param writes: whether the command may change the journal.
    :raises WrongUse: no journal is named, or several are possible.
    :raises CommandFailed: the journal does not exist.
    :raises JournalError: the journal's database cannot be used.
    """
    place = chosen_journal(argument)
    # SQLAlchemy is loaded only if a journal is used.
    from airflow_provider_connectif.journal.database import JournalDatabase

    engine = engine_of_existing(place.conn_id, named_by="journal_conn_id", writes=writes)
    database = JournalDatabase(engine, place.table, place.schema, place.conn_id, broken_setting)
    try:
        version = database.create(read_only=True)
        if version is None:
            raise CommandFailed(
                f"connection {place.conn_id!r} has no journal {place.table!r}: the first run of a sync creates it; "
                "if its table has another name or schema, give CONN_ID:SCHEMA.TABLE"
            )
        yield OpenJournal(place, database, version)
    finally:
        database.close()
        engine.dispose()
