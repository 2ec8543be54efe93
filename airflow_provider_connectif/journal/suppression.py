"""The suppression list: people who must not be sent again, by the HMAC of a key.

The secret of the HMAC is that of the journal's connection. Without one, a random secret is created at first use and
stored in the journal's table ``meta``. Each secret that was ever used has a line in this table, named by its
fingerprint. So a list that cannot be read stops a run, instead of looking empty.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from airflow_provider_connectif.journal.database import JournalDatabase
from airflow_provider_connectif.journal.dialects import dialect_named
from airflow_provider_connectif.records.outcomes import JournalError
from airflow_provider_connectif.records.people import PersonKey

Among = Callable[[Iterable[PersonKey]], set[PersonKey]]
"""Returns those of some people who are suppressed."""

_KEYS_AT_ONCE = 1000
_MOST_IN_MEMORY = 100_000
_PREFIX = "suppression_"  # of the lines of secrets in the table "meta"
_FINGERPRINT_DIGITS = 8


class SuppressionList:
    """The list of suppressed people.

    :param database: the journal's database.
    :param secret: the secret of the HMAC; ``None``: the secret in the journal's tables.
    :param conn_id: the id of the journal's connection, for messages.
    :param setting: the name of the extra with the secret, for messages.
    """

    def __init__(
        self,
        database: JournalDatabase,
        secret: bytes | None,
        *,
        conn_id: str = "",
        setting: str = "connectif_journal_secret",
    ) -> None:
        self._database = database
        self._tables = database.tables
        self._given = secret
        self._conn_id = conn_id
        self._setting = setting
        self.is_there = False
        """Whether the journal has the table of the list. Journals of earlier versions do not."""
        self._select = sa.select(self._tables.suppressed.c.key_hmac).where(
            dialect_named(database.dialect).among_keys(self._tables.suppressed.c.key_hmac)
        )
        meta = self._tables.meta.c
        self._select_secrets = sa.select(meta.name, meta.text).where(meta.name.like(f"{_PREFIX}%"))

    def is_empty(self) -> bool:
        """Return whether nobody was ever suppressed. This takes one small query."""
        return not (self.is_there and self._database.rows(self._select_secrets))

    def is_empty_in(self, connection: sa.Connection) -> bool:
        """Do the same as :meth:`is_empty`, within a transaction."""
        return not (self.is_there and connection.execute(self._select_secrets).first())

    def among(self, people: Iterable[PersonKey]) -> set[PersonKey]:
        """Return those of some people who are suppressed now.

        :raises JournalError: the database failed, or the list was written with a secret that is not known here.
        """
        if not self.is_there:
            return set()
        return self._database.read(lambda connection: self._among(connection, set(people)))

    def entries(self, people: Collection[PersonKey]) -> Sequence[Any]:
        """Return the entries of some people, each with ``key_kind``, ``at`` and ``run_id``, in the order of ``at``.

        :raises JournalError: the database failed, or the list was written with a secret that is not known here.
        """
        if not self.is_there or not people:
            return ()

        def look(connection: sa.Connection) -> Sequence[Any]:
            digests = [_hmac(secret, person) for secret in self._secrets(connection) for person in people]
            suppressed = self._tables.suppressed
            query = sa.select(suppressed).where(suppressed.c.key_hmac.in_(digests)).order_by(suppressed.c.at)
            return connection.execute(query).fetchall()

        return self._database.read(look)

    def among_in(self, connection: sa.Connection, people: Collection[PersonKey]) -> set[PersonKey]:
        """Do the same as :meth:`among`, within a transaction."""
        return self._among(connection, set(people)) if self.is_there else set()

    def erased_in(self, connection: sa.Connection, people: Collection[PersonKey]) -> set[PersonKey]:
        """Return those of some suppressed people who have a receipt that is not older than their suppression."""
        by_digest = {_hmac(secret, person): person for secret in self._secrets(connection) for person in people}
        asked, found = list(by_digest), set[PersonKey]()
        suppressed, receipts = self._tables.suppressed.c, self._tables.receipts.c
        for first in range(0, len(asked), _KEYS_AT_ONCE):
            query = sa.select(suppressed.key_hmac).where(
                suppressed.key_hmac.in_(asked[first : first + _KEYS_AT_ONCE]),
                receipts.key_hmac == suppressed.key_hmac,
                receipts.at >= suppressed.at,
            )
            found.update(by_digest[digest] for digest in connection.execute(query).scalars())
        return found

    def snapshot(self) -> Among | None:
        """Return a function for checks of a million people. If the list is short, the function keeps it in memory.

        :return: a function like :meth:`among`; ``None`` if the list is empty.
        :raises JournalError: as :meth:`among`.
        """
        if self.is_empty():
            return None
        query = sa.select(self._tables.suppressed.c.key_hmac).limit(_MOST_IN_MEMORY + 1)
        listed = frozenset(self._database.read(lambda connection: connection.execute(query).scalars().all()))
        if len(listed) > _MOST_IN_MEMORY:
            return self.among
        if not listed:
            return None
        known = self._database.read(self._secrets)
        return lambda people: {person for person in people if any(_hmac(secret, person) in listed for secret in known)}

    def stamp(self) -> object:
        """Return a value that changes whenever somebody is suppressed; ``None`` if the list is empty."""
        if self.is_empty():
            return None
        suppressed = self._tables.suppressed.c
        columns: list[Any] = [sa.func.count(), sa.func.max(suppressed.at)]
        return tuple(self._database.rows(sa.select(*columns))[0])

    def add(self, people: Iterable[PersonKey], run_id: str) -> dict[PersonKey, str]:
        """Suppress people, from now on and in every sync of the journal; existing entries stay.

        :param run_id: the run that suppresses them.
        :return: the HMAC of each person.
        :raises JournalError: the database failed.
        """
        return self._database.write(lambda connection: self._add(connection, list(people), run_id))

    def hmacs(self, connection: sa.Connection, people: Iterable[PersonKey]) -> dict[PersonKey, str]:
        """Return the HMAC of each person with the current secret. The secret is created if there is none."""
        secret = self._secret_in_use(connection)
        return {person: _hmac(secret, person) for person in people}

    def unsuppress(self, people: Collection[PersonKey]) -> int:
        """Remove people from the list, so that the next run may send them again.

        :param people: every kind of key that may name a person.
        :return: number of removed entries.
        :raises JournalError: the database failed, or the list was written with another secret.
        """
        return self._database.write(lambda connection: self._remove(connection, people))

    def _remove(self, connection: sa.Connection, people: Collection[PersonKey]) -> int:
        digests = [_hmac(secret, person) for secret in self._secrets(connection) for person in people]
        suppressed = self._tables.suppressed
        return connection.execute(sa.delete(suppressed).where(suppressed.c.key_hmac.in_(digests))).rowcount

    def _among(self, connection: sa.Connection, people: Collection[PersonKey]) -> set[PersonKey]:
        known = self._secrets(connection) if people else []
        by_digest = {_hmac(secret, person): person for secret in known for person in people}
        return {by_digest[digest] for digest in self._found(connection, by_digest)}

    def _found(self, connection: sa.Connection, digests: Mapping[str, Any]) -> set[str]:
        asked, found = list(digests), set[str]()
        for first in range(0, len(asked), _KEYS_AT_ONCE):
            packed = dialect_named(self._database.dialect).pack_keys(asked[first : first + _KEYS_AT_ONCE])
            found.update(connection.execute(self._select, {"keys": packed}).scalars())
        return found

    def _add(self, connection: sa.Connection, people: Collection[PersonKey], run_id: str) -> dict[PersonKey, str]:
        digests = self.hmacs(connection, people)
        there = self._found(connection, dict.fromkeys(digests.values()))
        now = datetime.now(UTC)
        lines = [
            {"key_hmac": digest, "key_kind": person.kind, "at": now, "run_id": run_id}
            for person, digest in sorted(digests.items(), key=lambda item: item[1])
            if digest not in there
        ]
        if lines:  # another task may insert the same line first
            connection.execute(dialect_named(connection.dialect.name).insert_if_absent(self._tables.suppressed), lines)
        return digests

    def _secrets(self, connection: sa.Connection) -> list[bytes]:
        """Return every secret with which the list may have been written.

        :raises JournalError: one of these secrets is not known here, and the list is not empty.
        """
        known, is_missing = [], False
        own = None if self._given is None else _fingerprint(self._given)
        for name, text in connection.execute(self._select_secrets):
            if text:
                known.append(bytes.fromhex(text))
            elif name == own and self._given is not None:
                known.append(self._given)
            else:
                is_missing = True
        if is_missing and connection.execute(sa.select(self._tables.suppressed.c.key_hmac).limit(1)).first():
            raise JournalError(
                "the journal's suppression list was written with another secret, so nothing is sent: restore the "
                f"earlier {self._setting} in the extra of connection {self._conn_id!r}",
                final=True,
            )
        return known

    def _secret_in_use(self, connection: sa.Connection) -> bytes:
        known = self._secrets(connection)
        secret = self._given or next(iter(known), None) or secrets.token_bytes(32)
        if secret not in known:
            text = None if self._given is not None else secret.hex()
            insert = dialect_named(connection.dialect.name).insert_if_absent(self._tables.meta)
            connection.execute(insert, {"name": _fingerprint(secret), "value": 0, "text": text})
        return secret


def _fingerprint(secret: bytes) -> str:
    return _PREFIX + hmac.digest(secret, b"connectif suppression list", "sha256").hex()[:_FINGERPRINT_DIGITS]


def _hmac(secret: bytes, person: PersonKey) -> str:
    # With the kind of key, since an external id may look like an e-mail.
    text = f"{person.kind}\n{person.key}".encode("utf-8", "surrogatepass")
    return hmac.digest(secret, text, "sha256").hex()
