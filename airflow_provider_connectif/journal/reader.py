"""Looks up lines of a journal: thousands of contacts by two queries."""

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
from airflow_provider_connectif.journal.tables import SPELLING, VERSION


class LineReader:
    """Looks up the lines of one sync.

    :param database: the journal's.
    :param sync_id: which sync.
    :param key_secret: with which keys are stored; ``None``: they are stored unchanged.
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
        """Adapt to the version of the tables; only a run that writes migrates them.

        :param version: ``None`` if there are none.
        """
        self._is_there = version is not None
        if version is not None and version < VERSION:
            columns = [_as_before_3(name) for name in Line._fields]
            self._select = self._database.tables.lines_of(self._database.dialect, ["contact_key", *columns])
        elif not self._database.tables.has_spellings:
            columns = [sa.null() if name == SPELLING else name for name in Line._fields]
            self._select = self._database.tables.lines_of(self._database.dialect, ["contact_key", *columns])

    def differing(
        self, digests: Mapping[str, str], series: Series, *, looks_closely: bool, all_differ: bool
    ) -> dict[str, Line | None]:
        """Return the contacts whose acknowledged row differs, each with its line if it has one.

        A first query compares only keys and digests, since most rows are unchanged on most nights; a second query reads
        the lines. If most contacts of the last call differed, one query reads all lines. The result also has contacts
        that an earlier attempt has delivered, and those whose last outcome was not ``acknowledged``.

        :param digests: of the current rows, by contact key.
        :param series: the attempts that this one belongs to.
        :param looks_closely: whether there are earlier attempts, so that the first query is not sufficient.
        :param all_differ: count every contact as differing, whatever its digest.
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
        """Return the lines of contacts, whose keys have the form of the tables."""
        return {values[0]: _line(values[1:]) for values in self._found(self._select, keys)} if keys else {}

    def _seen(self, keys: Collection[str]) -> dict[str, str | None]:
        """Return digests by contact."""
        return dict(self._found(self._glance, keys))

    def _found(self, query: Any, keys: Collection[str]) -> Sequence[Any]:
        """Return the driver's own rows; SQLAlchemy's rows would double the time of the look-up."""
        parameters = {"sync_id": self._sync_id, "keys": dialect_named(self._database.dialect).pack_keys(keys)}

        def fetch(connection: sa.Connection) -> Sequence[Any]:
            with closing(connection.execute(query, parameters)) as result:
                found: Sequence[Any] = result.cursor.fetchall()
                return found

        return self._database.read(fetch)


def _as_before_3(name: str) -> Any:
    """Return the expression for a field of a line in tables of an older version."""
    if name in REFUSAL_BEFORE_3:
        return REFUSAL_BEFORE_3[name]
    return sa.null() if name in NOT_BEFORE_3 else name


def _line(values: Sequence[Any]) -> Line:
    """Return the line of a driver's values; some drivers return a memoryview for bytes."""
    line = Line._make(values)
    digests = line.properties
    return line if digests is None or type(digests) is bytes else line._replace(properties=bytes(digests))
