"""The places of journals, from ``[connectif] journals``."""

from __future__ import annotations

from typing import NamedTuple

from airflow.providers.common.compat.sdk import conf

DEFAULT_TABLE = "connectif_journal"


class JournalPlace(NamedTuple):
    """The place of a journal: a connection, a table, and its schema if it is not the connection's default."""

    conn_id: str
    table: str = DEFAULT_TABLE
    schema: str | None = None

    @property
    def name(self) -> str:
        """The place in the form of ``[connectif] journals``."""
        table = f"{self.schema}.{self.table}" if self.schema else self.table
        return self.conn_id if table == DEFAULT_TABLE else f"{self.conn_id}:{table}"


def place_of(text: str) -> JournalPlace:
    """Return the place that a text names: ``conn_id``, ``conn_id:table`` or ``conn_id:schema.table``."""
    conn_id, _, where = text.strip().partition(":")
    schema, _, table = where.rpartition(".")
    return JournalPlace(conn_id, table or DEFAULT_TABLE, schema or None)


def configured_journals() -> list[JournalPlace]:
    """Return the journals that ``[connectif] journals`` lists, separated by commas; each of them once."""
    listed = conf.get("connectif", "journals", fallback="") or ""
    return list(dict.fromkeys(place_of(entry) for entry in listed.split(",") if entry.strip()))
