"""What Connectif has acknowledged, contact by contact, in a SQL database.

A line a sync and contact. Its digest of the row moves only when Connectif has acknowledged the patch. So rows
that did not change cost no request, a killed task goes on where it stopped, what failed is sent again by itself,
and what was rejected waits until it changes. No value is kept, only digests.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from airflow_provider_connectif.contacts.digests import key_digester
from airflow_provider_connectif.contacts.journal_tables import LONGEST_REASON, VERSION, JournalTables
from airflow_provider_connectif.contacts.mapping import Digests
from airflow_provider_connectif.contacts.outcomes import JournalError

COMMIT_LINES = 50
COMMIT_EVERY_S = 2.0
LEASE_S = 60.0
_RENEW_EVERY_S = 15.0
_TRIES_TO_CREATE = 5
_MOST_CONFIRMED = 1000  # there is no answer to lose, so these may gather

_ACKNOWLEDGED = (
    *("state", "row_digest", "patch_digest", "mapping_digest", "delivered_at", "refused_digest", "refused_at"),
    *("status_code", "reason", "run_id", "generation"),
)
_CONFIRMED = (
    *("state", "row_digest", "mapping_digest", "refused_digest", "refused_at"),
    *("status_code", "reason", "run_id", "generation"),
)
_REJECTED = ("state", "refused_digest", "refused_at", "status_code", "reason", "run_id", "generation")


class Line(NamedTuple):
    """What the journal knows of one contact."""

    row_digest: str | None
    patch_digest: str | None
    mapping_digest: str | None
    refused_digest: str | None


@dataclass(frozen=True)
class JournalSettings:
    """Where a journal is and how it is kept.

    :param sync_id: names one stream of rows to one account; lines of different syncs do not touch.
    :param run_id: the run that writes; another run of the same sync waits until this one has ended.
    :param table: the name of the table; two more are called after it.
    :param schema: its schema, if not the connection's default.
    :param key_secret: write keys as HMAC-SHA256 with this secret; ``None`` writes them as they are.
    """

    sync_id: str
    run_id: str
    table: str = "connectif_journal"
    schema: str | None = None
    key_secret: bytes | None = None


class Journal:
    """The lines of one sync.

    Lines are written in small batches, after the answer and never before; :meth:`close` writes the rest.

    :param engine: a SQLAlchemy engine of PostgreSQL, SQLite, MySQL or MariaDB.
    :param settings: where and how.
    :param read_only: look, but write nothing and hold up nobody.
    """

    def __init__(self, engine: sa.Engine, settings: JournalSettings, *, read_only: bool = False) -> None:
        self._engine = engine
        self._settings = settings
        self._read_only = read_only
        self._tables = JournalTables(settings.table, settings.schema)
        self._written_key = key_digester(settings.key_secret)
        self._generation = 0
        self._acknowledged: dict[str, dict[str, Any]] = {}
        self._confirmed: dict[str, dict[str, Any]] = {}
        self._rejected: dict[str, dict[str, Any]] = {}
        self._oldest_at: float | None = None
        self._renewed_at = 0.0
        self._holds_lease = False
        lines = self._tables.lines
        self._select = sa.select(
            lines.c.contact_key,
            lines.c.row_digest,
            lines.c.patch_digest,
            lines.c.mapping_digest,
            lines.c.refused_digest,
        ).where(lines.c.sync_id == settings.sync_id, lines.c.contact_key.in_(sa.bindparam("keys", expanding=True)))

    def open(self, stopped: Callable[[], bool], tell: Callable[[str], None]) -> None:
        """Create the tables at first use, and wait until no other run of this sync is under way.

        :param stopped: whether the run was told to stop while it waits.
        :param tell: is told, once, that it waits.
        :raises JournalError: the database failed, or the tables were made by a newer version.
        """
        self._guarded(self._create)
        if self._read_only:
            return
        told = False
        while not stopped() and not self._guarded(self._take_lease):
            if not told:
                tell(f"Another run of sync {self._settings.sync_id!r} is under way: waiting until it ends")
                told = True
            time.sleep(1.0)  # a look a second at one row; the other run may take hours

    def lines(self, keys: Iterable[str]) -> dict[str, Line]:
        """The lines of these contacts, by key; contacts without one are left out."""
        by_written = {self._written_key(key): key for key in keys}
        if not by_written:
            return {}

        def read() -> dict[str, Line]:
            with self._engine.connect() as connection:
                found = connection.execute(self._select, {"keys": list(by_written)})
                return {by_written[row[0]]: Line(*row[1:]) for row in found}

        lines: dict[str, Line] = self._guarded(read)
        for key in by_written.values():
            self._overlay_gathered(lines, key)
        return lines

    def acknowledge(self, key: str, digests: Digests) -> None:
        """Connectif has accepted a patch, or holds the same already."""
        self._write(
            self._acknowledged,
            key,
            state="acknowledged",
            row_digest=digests.row,
            patch_digest=digests.patch,
            mapping_digest=digests.mapping,
            delivered_at=datetime.now(UTC),
            refused_digest=None,
            refused_at=None,
            status_code=None,
            reason=None,
        )
        self._rejected.pop(key, None)

    def confirm(self, key: str, digests: Digests) -> None:
        """Connectif holds just this patch, though it comes from another row or by another mapping."""
        self._write(
            self._confirmed,
            key,
            state="acknowledged",
            row_digest=digests.row,
            mapping_digest=digests.mapping,
            refused_digest=None,
            refused_at=None,
            status_code=None,
            reason=None,
        )

    def reject(self, key: str, row_digest: str, status: int | None, reason: str) -> None:
        """Connectif has refused a row; what it had acknowledged before still stands."""
        self._write(
            self._rejected,
            key,
            state="rejected",
            refused_digest=row_digest,
            refused_at=datetime.now(UTC),
            status_code=status,
            reason=reason[:LONGEST_REASON],
        )

    def commit_if_due(self) -> None:
        """Write what has gathered, when it is enough or old enough."""
        gathered = len(self._acknowledged) + len(self._rejected)
        age = time.monotonic() - self._oldest_at if self._oldest_at is not None else 0.0
        if gathered >= COMMIT_LINES or len(self._confirmed) >= _MOST_CONFIRMED or age >= COMMIT_EVERY_S:
            self.commit()
        if self._holds_lease and time.monotonic() - self._renewed_at >= _RENEW_EVERY_S:
            self._guarded(self._renew_lease)

    def commit(self) -> None:
        """Write what has gathered.

        :raises JournalError: the database failed; the contacts are sent again by the next try.
        """
        if self._oldest_at is not None:
            self._guarded(self._write_gathered)
        for gathered in (self._acknowledged, self._confirmed, self._rejected):
            gathered.clear()
        self._oldest_at = None

    def close(self) -> None:
        """Write what has gathered and let the next run begin."""
        self.commit()
        if self._holds_lease:
            self._holds_lease = False
            self._guarded(self._release_lease)

    def _overlay_gathered(self, lines: dict[str, Line], key: str) -> None:
        """What is not written yet is newer than what the database has."""
        line = lines.get(key, Line(None, None, None, None))
        for gathered in (self._confirmed, self._acknowledged, self._rejected):
            if key in gathered:
                known = {name: value for name, value in gathered[key].items() if name in Line._fields}
                line = line._replace(**known)
                lines[key] = line

    def _write(self, gathered: dict[str, dict[str, Any]], key: str, **values: Any) -> None:
        if self._read_only:
            return
        gathered[key] = {
            "sync_id": self._settings.sync_id,
            "contact_key": self._written_key(key),
            "run_id": self._settings.run_id,
            "generation": self._generation,
            **values,
        }
        if self._oldest_at is None:
            self._oldest_at = time.monotonic()

    def _write_gathered(self) -> None:
        dialect = self._engine.dialect.name
        with self._engine.begin() as connection:
            for gathered, columns in (
                (self._confirmed, _CONFIRMED),
                (self._acknowledged, _ACKNOWLEDGED),
                (self._rejected, _REJECTED),
            ):
                if gathered:
                    # In one order everywhere, so that two tasks never lock each other out.
                    ordered = sorted(gathered.values(), key=lambda line: str(line["contact_key"]))
                    connection.execute(self._tables.upsert(dialect, list(columns)), ordered)

    def _create(self) -> None:
        meta = self._tables.meta
        version = VERSION
        for attempt in range(_TRIES_TO_CREATE):
            try:
                self._tables.upsert(self._engine.dialect.name, ["state"])
                self._tables.metadata.create_all(self._engine)
                with self._engine.begin() as connection:
                    found = connection.execute(sa.select(meta.c.value).where(meta.c.name == "version")).scalar()
                    if found is None:
                        connection.execute(meta.insert().values(name="version", value=VERSION))
                    version = VERSION if found is None else int(found)
                break
            except sa.exc.DBAPIError:  # a task beside this one was creating them at the same moment
                if attempt == _TRIES_TO_CREATE - 1:
                    raise
                time.sleep(0.2 * (attempt + 1))
        if version > VERSION:
            raise JournalError(
                f"the journal {self._settings.table!r} has version {version}, this provider knows up to {VERSION}: "
                "update the provider, or name another table",
                final=True,
            )

    def _take_lease(self) -> bool:
        syncs, now = self._tables.syncs, time.time()
        mine = syncs.c.sync_id == self._settings.sync_id
        same_run = syncs.c.run_id == self._settings.run_id
        is_free = sa.or_(same_run, syncs.c.holders <= 0, syncs.c.lease_until < now)
        taken: Mapping[str, Any] = {
            "generation": syncs.c.generation + 1,
            "holders": sa.case((same_run, syncs.c.holders + 1), else_=1),
            "run_id": self._settings.run_id,
            "lease_until": now + LEASE_S,
        }
        first = {"sync_id": self._settings.sync_id, "generation": 0, "run_id": "", "holders": 0, "lease_until": 0.0}
        with self._engine.begin() as connection:
            # MySQL assigns from left to right: holders are counted before the run is overwritten.
            update = sa.update(syncs).where(mine, is_free).ordered_values(*taken.items())
            if not connection.execute(update).rowcount:
                if connection.execute(sa.select(syncs.c.sync_id).where(mine)).first() is not None:
                    return False
                try:
                    connection.execute(syncs.insert().values(**first))
                except sa.exc.IntegrityError:  # a task beside this one was first
                    return False
                connection.execute(update)
            self._generation = connection.execute(sa.select(syncs.c.generation).where(mine)).scalar_one()
        self._holds_lease = True
        self._renewed_at = time.monotonic()
        return True

    def _renew_lease(self) -> None:
        syncs = self._tables.syncs
        mine = sa.and_(syncs.c.sync_id == self._settings.sync_id, syncs.c.run_id == self._settings.run_id)
        with self._engine.begin() as connection:
            update = sa.update(syncs).where(mine).values(lease_until=time.time() + LEASE_S)
            renewed = connection.execute(update).rowcount
        if not renewed:
            raise JournalError(f"another run has taken over sync {self._settings.sync_id!r}: this one stops")
        self._renewed_at = time.monotonic()

    def _release_lease(self) -> None:
        syncs = self._tables.syncs
        mine = sa.and_(syncs.c.sync_id == self._settings.sync_id, syncs.c.run_id == self._settings.run_id)
        with self._engine.begin() as connection:
            connection.execute(sa.update(syncs).where(mine).values(holders=syncs.c.holders - 1))

    def _guarded(self, action: Callable[[], Any]) -> Any:
        """Do something with the database; its errors quote parameters, and those are contact keys."""
        words = ""
        try:
            return action()
        except sa.exc.SQLAlchemyError as error:
            cause = getattr(error, "orig", None)
            state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
            words = type(cause or error).__name__ + (f", SQLSTATE {state}" if state else "")
        except ValueError as fault:
            raise JournalError(str(fault), final=True) from None
        raise JournalError(f"the journal's database failed ({words}): what it did not take in is sent again")
