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
from airflow_provider_connectif.journal.lines import NOT_BEFORE_3, REFUSAL_BEFORE_3, Line
from airflow_provider_connectif.journal.states import ACKNOWLEDGED
from airflow_provider_connectif.journal.tables import VERSION


class LineReader:
    """Looks up the lines of one sync.

    :param database: the journal's.
    :param sync_id: which sync.
    :param key_secret: with which keys are written; ``None``: as they are.
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
        """Adapt to the version of the tables; only a run that writes brings them up to date.

        :param version: ``None``: there are none.
        """
        self._is_there = version is not None
        if version is not None and version < VERSION:
            columns = [_as_before_3(name) for name in Line._fields]
            self._select = self._database.tables.lines_of(self._database.dialect, ["contact_key", *columns])

    def differing(
        self, digests: Mapping[str, str], series: Series, *, looks_closely: bool, all_differ: bool
    ) -> dict[str, Line | None]:
        """The contacts whose acknowledged row is another one, each with its line if it has one.

        A glance at keys and digests finds them, since most rows are unchanged on most nights; a second query has the
        lines. Where most contacts of the last look differed, one query has all lines. With them are contacts that an
        earlier attempt has delivered, and those whose last outcome was another than ``acknowledged``.

        :param digests: of the rows as they are now, by contact key.
        :param series: the attempts that this one belongs to.
        :param looks_closely: there are earlier attempts, so that a glance is not enough.
        :param all_differ: none of the digests is that of a row.
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
        """The lines of contacts whose keys are as they stand in the tables."""
        return {key: _line(values) for key, *values in self._found(self._select, keys)} if keys else {}

    def _seen(self, keys: Collection[str]) -> dict[str, str | None]:
        """Digests by contact."""
        return dict(self._found(self._glance, keys))

    def _found(self, query: Any, keys: Collection[str]) -> Sequence[Any]:
        """The driver's own rows, since SQLAlchemy's take as long as the look-up's other work."""
        parameters = {"sync_id": self._sync_id, "keys": dialect_named(self._database.dialect).pack_keys(keys)}

        def fetch(connection: sa.Connection) -> Sequence[Any]:
            with closing(connection.execute(query, parameters)) as result:
                found: Sequence[Any] = result.cursor.fetchall()
                return found

        return self._database.read(fetch)


def _as_before_3(name: str) -> Any:
    """A field of a line as tables of an older version have it."""
    if name in REFUSAL_BEFORE_3:
        return REFUSAL_BEFORE_3[name]
    return sa.null() if name in NOT_BEFORE_3 else name


def _line(values: Sequence[Any]) -> Line:
    """The line of the values that a driver gives, some for bytes a view of them."""
    line = Line(*values)
    digests = line.properties
    return line if digests is None or type(digests) is bytes else line._replace(properties=bytes(digests))
