"""Looks up lines of the journal, for thousands of contacts by two queries."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from typing import Any

import sqlalchemy as sa

from airflow_provider_connectif.journal.attempts import Series
from airflow_provider_connectif.journal.database import JournalDatabase
from airflow_provider_connectif.journal.dialects import dialect_named
from airflow_provider_connectif.journal.digests import key_digester
from airflow_provider_connectif.journal.line import NOT_BEFORE_3, REFUSAL_BEFORE_3, Line
from airflow_provider_connectif.journal.states import ACKNOWLEDGED
from airflow_provider_connectif.journal.tables import RECORDS_SINCE, SPELLING


class LineReader:
    """Looks up the lines of one sync.

    :param database: the journal's database.
    :param sync_id: the id of the sync.
    :param key_secret: the secret with which keys are stored; ``None``: they are stored unchanged.
    """

    def __init__(self, database: JournalDatabase, sync_id: str, key_secret: bytes | None) -> None:
        self._database = database
        self._sync_id = sync_id
        self._are_keys_written_as_digests = key_secret is not None
        self._written_key = key_digester(key_secret)
        self._is_there = True
        self._do_most_differ = False
        tables = database.tables
        self._glance = tables.lines_of(database.dialect, ["contact_key", tables.digest_if_acknowledged])
        self._select = tables.lines_of(database.dialect, ["contact_key", *Line._fields])

    def open(self, version: int | None) -> None:
        """Adapt the queries to the version of the tables, which a run that only reads does not migrate.

        :param version: the version of the tables; ``None`` if there are no tables.
        """
        self._is_there = version is not None
        if version is not None and version < RECORDS_SINCE:
            columns = [_as_before_3(name) for name in Line._fields]
            self._select = self._database.tables.lines_of(self._database.dialect, ["contact_key", *columns])
        elif not self._database.tables.has_spellings:
            columns = [sa.null() if name == SPELLING else name for name in Line._fields]
            self._select = self._database.tables.lines_of(self._database.dialect, ["contact_key", *columns])

    def is_empty(self, connection: sa.Connection) -> bool:
        """Whether the sync has no line."""
        lines = self._database.tables.lines.c
        of_sync = sa.select(lines.contact_key).where(lines.sync_id == self._sync_id).limit(1)
        return not self._is_there or connection.execute(of_sync).first() is None

    def differing(
        self, digests: Mapping[str, str], series: Series, *, looks_closely: bool, all_differ: bool
    ) -> dict[str, Line | None]:
        """Return the contacts whose row differs from the acknowledged one, each with its line; ``None`` without a line.

        The result also has contacts that an earlier attempt has delivered, and contacts whose last outcome was not
        ``acknowledged``.

        In most runs, most rows are unchanged. So a first query reads only keys and digests, and a second query reads
        the lines of contacts that differ. If most contacts of the last call differed, one query reads all lines.

        :param digests: the digests of the current rows, by contact key.
        :param series: the series of this attempt.
        :param looks_closely: read all lines with one query, since earlier attempts may have delivered contacts.
        :param all_differ: return every contact, whatever its digest.
        """
        if not digests or not self._is_there:
            return dict.fromkeys(digests)
        asked: Mapping[str, str] = digests
        keys: dict[str, str] | None = None
        if self._are_keys_written_as_digests:
            keys = {self._written_key(key): key for key in digests}
            asked = {written: digests[key] for written, key in keys.items()}
        lines: dict[str, Line | None]
        if looks_closely or all_differ or self._do_most_differ:
            found = self.lines_of(asked)
            same = {
                key
                for key, line in found.items()
                if line.row_digest == asked[key] and line.state == ACKNOWLEDGED and not series.delivered_earlier(line)
            }
            lines = {key: found.get(key) for key in asked if key not in same}
        else:
            seen = self._seen(asked)
            lines = {} if seen == asked else dict.fromkeys(key for key, _ in asked.items() - seen.items())
            if lines:
                lines |= self.lines_of([key for key in seen if key in lines])
        if not all_differ:
            self._do_most_differ = 2 * len(lines) > len(asked)
        return lines if keys is None else {keys[written]: line for written, line in lines.items()}

    def lines_of(self, keys: Collection[str]) -> dict[str, Line]:
        """Return the lines of contacts, by contact. All keys have the form of the tables."""
        return {values[0]: _line(values[1:]) for values in self._found(self._select, keys)} if keys else {}

    def _seen(self, keys: Collection[str]) -> dict[str, str | None]:
        """Return the digests of acknowledged rows by contact; ``None`` for another last outcome."""
        return dict(self._found(self._glance, keys))

    def _found(self, query: Any, keys: Collection[str]) -> Sequence[Any]:
        """Run a query for some keys. The result has the driver's own rows, which takes half the time."""
        parameters = {"sync_id": self._sync_id, "keys": dialect_named(self._database.dialect).pack_keys(keys)}

        def fetch(connection: sa.Connection) -> Sequence[Any]:
            with closing(connection.execute(query, parameters)) as result:
                found: Sequence[Any] = result.cursor.fetchall()
                return found

        return self._database.read(fetch)


def _as_before_3(name: str) -> Any:
    """Return the expression that reads a field of a line from tables of an older version."""
    if name in REFUSAL_BEFORE_3:
        return REFUSAL_BEFORE_3[name]
    return sa.null() if name in NOT_BEFORE_3 else name


def _line(values: Sequence[Any]) -> Line:
    """Return a line from the values of a driver. Some drivers return a memoryview for bytes."""
    line = Line._make(values)
    digests = line.properties
    return line if digests is None or type(digests) is bytes else line._replace(properties=bytes(digests))
