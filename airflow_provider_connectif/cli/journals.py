"""Which journal a command looks at, opened to be read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from airflow.providers.common.compat.sdk import conf

from airflow_provider_connectif.cli.running import CommandFailed, WrongUse
from airflow_provider_connectif.databases.journals import JournalConnection

if TYPE_CHECKING:
    from airflow_provider_connectif.journal.database import JournalDatabase

DEFAULT_TABLE = "connectif_journal"


class JournalPlace(NamedTuple):
    """Where a journal is: a connection, a table and its schema, if not the connection's default."""

    conn_id: str
    table: str = DEFAULT_TABLE
    schema: str | None = None


class OpenJournal(NamedTuple):
    """A journal's database and the version of its tables."""

    place: JournalPlace
    database: JournalDatabase
    version: int


def place_of(text: str) -> JournalPlace:
    """A place as it is written: ``conn_id``, ``conn_id:table`` or ``conn_id:schema.table``."""
    conn_id, _, where = text.strip().partition(":")
    schema, _, table = where.rpartition(".")
    return JournalPlace(conn_id, table or DEFAULT_TABLE, schema or None)


def configured_journals() -> list[JournalPlace]:
    """The journals that ``[connectif] journals`` lists, separated by commas."""
    listed = conf.get("connectif", "journals", fallback="") or ""
    return [place_of(entry) for entry in listed.split(",") if entry.strip()]


def chosen_journal(argument: str | None) -> JournalPlace:
    """The journal that is meant.

    :param argument: ``--journal-conn-id``; where it names a connection only, a table that is configured for it counts.
    :raises WrongUse: none is meant, or it is not known which.
    """
    known = configured_journals()
    if argument:
        place = place_of(argument)
        of_connection = [entry for entry in known if entry.conn_id == place.conn_id]
        return of_connection[0] if ":" not in argument and len(of_connection) == 1 else place
    if len(known) == 1:
        return known[0]
    if known:
        listed = ", ".join(entry.conn_id for entry in known)
        raise WrongUse(f"[connectif] journals lists several ({listed}): choose one with --journal-conn-id")
    raise WrongUse("no journal: give --journal-conn-id, or list the connection in [connectif] journals")


@contextmanager
def opened_journal(argument: str | None) -> Iterator[OpenJournal]:
    """The journal that is meant, open.

    :raises WrongUse: as :func:`chosen_journal`.
    :raises CommandFailed: there is none.
    :raises JournalError: its database cannot be used.
    """
    place = chosen_journal(argument)
    connection = JournalConnection(place.conn_id, "command line", place.table, place.schema, "plain")
    with connection.open({}, read_only=True) as journal:
        assert journal is not None  # noqa: S101 - it has a connection
        database = journal.lines.database
        version = database.create(read_only=True)
        if version is None:
            raise CommandFailed(
                f"connection {place.conn_id!r} has no journal {place.table!r}: its first run creates it, "
                "or it has another name"
            )
        try:
            yield OpenJournal(place, database, version)
        finally:
            database.close()
