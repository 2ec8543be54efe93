"""The contacts of the strict server, in a file: a million of them are not in anybody's memory."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

Properties = dict[str, Any]
Change = Callable[[Properties | None, Properties], Properties | None]
"""From the contact there is (or None) and the new properties to the contact there shall be; None: leave it."""


class Contacts:
    """Properties by contact key."""

    def __init__(self, folder: Path) -> None:
        self._database = sqlite3.connect(folder / "contacts.db", isolation_level=None)
        self._database.executescript(
            "pragma journal_mode = off; pragma synchronous = off; pragma cache_size = -16000;"
            "create table contacts (key text primary key, properties text) without rowid"
        )

    def __contains__(self, key: str) -> bool:
        return self._database.execute("select 1 from contacts where key = ?", (_safe(key),)).fetchone() is not None

    def get(self, key: str) -> Properties | None:
        row = self._database.execute("select properties from contacts where key = ?", (_safe(key),)).fetchone()
        return None if row is None else json.loads(row[0])

    def __len__(self) -> int:
        return int(self._database.execute("select count(*) from contacts").fetchone()[0])

    def items(self) -> Iterator[tuple[str, Properties]]:
        """In the order of the keys' bytes."""
        for key, properties in self._database.execute("select key, properties from contacts order by key"):
            yield json.loads(key), json.loads(properties)

    def change(self, rows: Sequence[tuple[str, Properties]], change: Change) -> list[bool]:
        """Change contacts, in order; whether there was one already."""
        keys = [_safe(key) for key, _ in rows]
        asked = "select key, properties from contacts where key in (select value from json_each(?))"
        there = dict(self._database.execute(asked, (json.dumps(keys),)))
        existed = []
        for key, (_, properties) in zip(keys, rows, strict=True):
            existed.append(key in there)
            before = json.loads(there[key]) if key in there else None
            after = change(before, properties)
            if after is not None:
                there[key] = json.dumps(after)
        self._database.execute("begin")
        written = ((key, there[key]) for key in dict.fromkeys(keys) if key in there)
        self._database.executemany("insert or replace into contacts values (?, ?)", written)
        self._database.execute("commit")
        return existed

    def replace(self, changes: Mapping[str, Properties | None]) -> None:
        """Change contacts from outside: properties over those there are, ``None`` for what goes."""
        self._database.execute("begin")
        for key, changed in changes.items():
            if changed is None:
                self._database.execute("delete from contacts where key = ?", (_safe(key),))
                continue
            whole = (self.get(key) or {}) | changed
            left = {name: value for name, value in whole.items() if value is not None}
            self._database.execute("insert or replace into contacts values (?, ?)", (_safe(key), json.dumps(left)))
        self._database.execute("commit")

    def dump(self, path: Path) -> int:
        """Write ``[key, properties]`` as a JSON line for each contact; how many."""
        count = 0
        with path.open("w", encoding="ascii") as lines:
            for key, properties in self._database.execute("select key, properties from contacts order by key"):
                lines.write(f"[{key}, {properties}]\n")
                count += 1
        return count

    def close(self) -> None:
        self._database.close()


def overwrite(before: Properties | None, properties: Properties) -> Properties:
    """What a PATCH does, and an import with ``overrideExisting``."""
    return (before or {}) | properties


def fill(before: Properties | None, properties: Properties) -> Properties:
    """What an import with ``updateOnlyEmptyFields`` does."""
    there = {name: value for name, value in (before or {}).items() if value not in (None, "", [])}
    return (before or {}) | properties | there


def keep(before: Properties | None, properties: Properties) -> Properties | None:
    """What an import without ``overrideExisting`` does."""
    return properties if before is None else None


def _safe(key: str) -> str:
    # As JSON, in ASCII: whatever a key is, also one that SQLite would not give back as it came.
    return json.dumps(key)
