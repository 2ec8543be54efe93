"""The contacts of the strict server, in a file: a million of them are not in anybody's memory."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.support.strict_rules import one_spelling

Properties = dict[str, Any]
Change = Callable[[Properties | None, Properties], Properties | None]
"""From the contact there is (or None) and the new properties to the contact there shall be; None: leave it."""

KEY_PROPERTIES = {"email": "_email", "external_id": "_externalId"}
_OTHER = {"email": "external_id", "external_id": "email"}


class TakenError(Exception):
    """A contact was to get a key that another one has; the text is the property."""


class Contacts:
    """Properties by contact key: the one with which the contact was created, in the spelling of then.

    The properties may hold a second key, of the other kind. ``by`` is ``email`` or ``external_id``.
    """

    def __init__(self, folder: Path, account: Any) -> None:
        self._account = account
        self._database = sqlite3.connect(folder / "contacts.db", isolation_level=None)
        self._database.executescript(
            "pragma journal_mode = off; pragma synchronous = off; pragma cache_size = -16000;"
            "create table contacts (key text primary key, properties text) without rowid"
        )
        self._ids: dict[str, str] = {}  # of those that have changed their place
        self._places: dict[str, str] = {}  # the key in the table, by a second key or by an e-mail in plain spelling

    def get(self, key: str, by: str = "email") -> Properties | None:
        return self._at(self._place(key, by))

    def shown(self, key: str, by: str) -> Properties:
        """A contact that is there, as the API shows it: with an id and its keys."""
        place = self._place(key, by)
        created_with, kind = _key_at(place)
        held = {name: value for name, value in (self._at(place) or {}).items() if value is not None}
        return {"id": self._ids.get(place) or id_of(place), **held, KEY_PROPERTIES[kind]: created_with}

    def __len__(self) -> int:
        return int(self._database.execute("select count(*) from contacts").fetchone()[0])

    def items(self) -> Iterator[tuple[str, Properties]]:
        """In the order of the keys' bytes, e-mails first."""
        for place, properties in self._database.execute("select key, properties from contacts order by key"):
            yield _key_at(place)[0], json.loads(properties)

    def change(self, rows: Sequence[tuple[str, Properties]], change: Change, by: str = "email") -> list[bool]:
        """Change contacts, in order; whether there was one already.

        :raises TakenError: a second key is another contact's; nothing is changed if this is the only row.
        """
        places = [self._place(key, by) for key, _ in rows]
        asked = "select key, properties from contacts where key in (select value from json_each(?))"
        there = dict(self._database.execute(asked, (json.dumps(places),)))
        existed = []
        left = set()
        for key, properties in rows:
            place = self._place(key, by)
            existed.append(place in there)
            before = json.loads(there[place]) if place in there else None
            after = change(before, properties)
            if after is None:
                continue
            self._refuse_taken(after, place, before is not None)
            if before is None:
                place = _place_of(key, by)
            else:
                self._forget(place, before)
                left.add(place)
                del there[place]
            if before is not None:
                place, after = self._moved(place, after, properties)
            there[place] = json.dumps(after)
            left.discard(place)
            self._remember(place, after)
        self._database.execute("begin")
        self._database.executemany("delete from contacts where key = ?", ((place,) for place in left))
        self._database.executemany("insert or replace into contacts values (?, ?)", there.items())
        self._database.execute("commit")
        return existed

    def replace(self, changes: Mapping[str, Properties | None]) -> None:
        """Change contacts from outside: properties over those there are, ``None`` for what goes."""
        for key, changed in changes.items():
            by = "email" if "@" in key and self.get(key, "external_id") is None else "external_id"
            if changed is None:
                self.delete(key, by)
            else:
                self.change([(key, changed)], _overwrite_or_remove, by)

    def delete(self, key: str, by: str) -> None:
        place = self._place(key, by)
        held = self._at(place)
        if held is not None:
            self._forget(place, held)
            self._database.execute("delete from contacts where key = ?", (place,))

    def dump(self, path: Path) -> int:
        """Write ``[key, properties]`` as a JSON line for each contact; how many."""
        count = 0
        with path.open("w", encoding="ascii") as lines:
            for place, properties in self._database.execute("select key, properties from contacts order by key"):
                lines.write(f"[{json.dumps(_key_at(place)[0])}, {properties}]\n")
                count += 1
        return count

    def close(self) -> None:
        self._database.close()

    def _at(self, place: str) -> Properties | None:
        row = self._database.execute("select properties from contacts where key = ?", (place,)).fetchone()
        return None if row is None else json.loads(row[0])

    def _place(self, key: str, by: str) -> str:
        plain = self._plain(key, by)
        return self._places.get(plain, plain)

    def _plain(self, key: str, by: str) -> str:
        return _place_of(key if self._account.email_case else one_spelling(key, by), by)

    def _refuse_taken(self, after: Properties, place: str, exists: bool) -> None:
        """``after`` must not have a key that leads to another contact."""
        for kind, name in KEY_PROPERTIES.items():
            key = after.get(name)
            if not isinstance(key, str):
                continue
            owner = self._place(key, kind)
            if not (exists and owner == place) and self._at(owner) is not None:
                raise TakenError(name)

    def _moved(self, place: str, after: Properties, properties: Properties) -> tuple[str, Properties]:
        """Where a contact stands that may have got another key for that with which it was created, or lost it."""
        kind = _key_at(place)[1]
        name, second = KEY_PROPERTIES[kind], KEY_PROPERTIES[_OTHER[kind]]
        if name not in properties:
            return place, after
        taken, by = (second, _OTHER[kind]) if properties[name] is None else (name, kind)
        moved = _place_of(after[taken], by)
        self._ids[moved] = self._ids.pop(place, id_of(place))
        return moved, {key: value for key, value in after.items() if key != taken}

    def _names(self, place: str, properties: Properties) -> Iterator[str]:
        """All that leads to a contact."""
        key, kind = _key_at(place)
        yield self._plain(key, kind)
        second = properties.get(KEY_PROPERTIES[_OTHER[kind]])
        if isinstance(second, str):
            yield self._plain(second, _OTHER[kind])

    def _remember(self, place: str, properties: Properties) -> None:
        self._places.update((name, place) for name in self._names(place, properties) if name != place)

    def _forget(self, place: str, properties: Properties) -> None:
        for name in self._names(place, properties):
            self._places.pop(name, None)


def overwrite(before: Properties | None, properties: Properties) -> Properties:
    """What a PATCH does, and an import with ``overrideExisting``."""
    return (before or {}) | properties


def _overwrite_or_remove(before: Properties | None, properties: Properties) -> Properties:
    return {name: value for name, value in overwrite(before, properties).items() if value is not None}


def fill(before: Properties | None, properties: Properties) -> Properties:
    """What an import with ``updateOnlyEmptyFields`` does."""
    there = {name: value for name, value in (before or {}).items() if value not in (None, "", [])}
    return (before or {}) | properties | there


def keep(before: Properties | None, properties: Properties) -> Properties | None:
    """What an import without ``overrideExisting`` does."""
    return properties if before is None else None


def id_of(place: str) -> str:
    """24 hexadecimal digits, the same ones for a contact each time."""
    return f"5f{zlib.crc32(place.encode()):022x}"


def _place_of(key: str, by: str) -> str:
    # As JSON, in ASCII: whatever a key is, also one that SQLite would not give back as it came. An external id may read
    # like an e-mail and is another key then.
    return json.dumps(key) if by == "email" else json.dumps([key])


def _key_at(place: str) -> tuple[str, str]:
    content = json.loads(place)
    return (content, "email") if isinstance(content, str) else (content[0], "external_id")
