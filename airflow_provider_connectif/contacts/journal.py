"""What Connectif has acknowledged, contact by contact, in a SQL database.

A line a sync and contact. Its digest of the row moves only when Connectif has acknowledged the patch. So rows
that did not change cost no request, a killed task goes on where it stopped, what failed is sent again by itself,
and what was rejected waits until it changes. No value is kept, only digests.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from airflow_provider_connectif.contacts.digests import key_digester
from airflow_provider_connectif.contacts.journal_tables import LONGEST_REASON, VERSION, JournalTables
from airflow_provider_connectif.contacts.lease import Lease
from airflow_provider_connectif.contacts.mapping import Digests
from airflow_provider_connectif.contacts.outcomes import JournalError

COMMIT_LINES = 50
COMMIT_EVERY_S = 2.0
_TRIES_TO_CREATE = 5
_TRIES_BEFORE_TELLING = 10
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
    run_id: str | None


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
        self.read_only = read_only
        self.run_id = settings.run_id
        self._tables = JournalTables(settings.table, settings.schema)
        self._written_key = key_digester(settings.key_secret)
        self._lease = Lease(engine, self._tables.syncs, settings.sync_id, settings.run_id)
        self._is_there = True
        self._acknowledged: dict[str, dict[str, Any]] = {}
        self._confirmed: dict[str, dict[str, Any]] = {}
        self._rejected: dict[str, dict[str, Any]] = {}
        self._oldest_at: float | None = None
        lines = self._tables.lines
        self._select = sa.select(
            lines.c.contact_key,
            lines.c.row_digest,
            lines.c.patch_digest,
            lines.c.mapping_digest,
            lines.c.refused_digest,
            lines.c.run_id,
        ).where(lines.c.sync_id == settings.sync_id, lines.c.contact_key.in_(sa.bindparam("keys", expanding=True)))

    def open(self, stopped: Callable[[], bool], tell: Callable[[str], None]) -> None:
        """Create the tables at first use, and wait until no other run of this sync is under way.

        :param stopped: whether the run was told to stop while it waits.
        :param tell: is told, once, that it waits.
        :raises JournalError: the database failed, or the tables were made by a newer version.
        """
        self._guarded(self._create, final_kind=sa.exc.ProgrammingError)
        if self.read_only:
            return
        tries = 0
        while not stopped() and not self._guarded(self._lease.take):
            tries += 1
            if tries == _TRIES_BEFORE_TELLING:
                tell(
                    f"Another run of sync {self._settings.sync_id!r} is under way, or was killed less than a minute "
                    "ago: waiting until it ends"
                )
            time.sleep(0.1 if tries < _TRIES_BEFORE_TELLING else 1.0)  # a look at one row; a run may take hours

    def lines(self, keys: Iterable[str]) -> dict[str, Line]:
        """The lines of these contacts, by key; contacts without one are left out."""
        by_written = {self._written_key(key): key for key in keys}
        if not by_written or not self._is_there:
            return {}

        def read() -> dict[str, Line]:
            with self._engine.connect() as connection:
                found = connection.execute(self._select, {"keys": list(by_written)})
                return {by_written[row[0]]: Line(*row[1:]) for row in found if row[0] in by_written}

        lines: dict[str, Line] = self._guarded(read)
        for key in by_written.values():
            self._overlay_gathered(lines, key)
        return lines

    def doubt(self, keys: Iterable[str]) -> None:
        """Patches of these contacts are about to be sent: until the answer is here, what Connectif holds is not known.

        Without this mark a row that changes, whose answer is lost, and that changes back would be taken for unchanged.
        """
        lines = self._tables.lines
        written = [self._written_key(key) for key in keys]
        if not written or self.read_only:
            return
        of_these = sa.and_(lines.c.sync_id == self._settings.sync_id, lines.c.contact_key.in_(written))

        def clear() -> None:
            with self._engine.begin() as connection:
                connection.execute(
                    sa.update(lines)
                    .where(of_these, lines.c.generation <= self._lease.generation)
                    .values(row_digest=None, patch_digest=None)
                )

        self.commit()
        self._guarded(clear)

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
        """Connectif has refused a row."""
        self._write(
            self._rejected,
            key,
            state="rejected",
            refused_digest=row_digest,
            refused_at=datetime.now(UTC),
            status_code=status,
            reason=reason[:LONGEST_REASON],
        )

    @property
    def commit_lines(self) -> int:
        """Answers that are written at once."""
        return COMMIT_LINES

    @property
    def unwritten(self) -> int:
        """Answers that are not written yet."""
        return len(self._acknowledged) + len(self._rejected)

    def commit_if_due(self) -> None:
        """Write what has gathered, when it is enough or old enough."""
        age = time.monotonic() - self._oldest_at if self._oldest_at is not None else 0.0
        if self.unwritten >= COMMIT_LINES or len(self._confirmed) >= _MOST_CONFIRMED or age >= COMMIT_EVERY_S:
            self.commit()

    def commit(self) -> None:
        """Write what has gathered.

        :raises JournalError: the database failed; the contacts are sent again by the next try.
        """
        if self._lease.is_lost:
            raise JournalError(f"another run has taken over sync {self._settings.sync_id!r}: this one stops")
        if self._oldest_at is not None:
            self._guarded(self._write_gathered)
        for gathered in (self._acknowledged, self._confirmed, self._rejected):
            gathered.clear()
        self._oldest_at = None

    def close(self) -> None:
        """Write what has gathered and let the next run begin."""
        try:
            self.commit()
        finally:
            self._guarded(self._lease.release)

    def _overlay_gathered(self, lines: dict[str, Line], key: str) -> None:
        """What is not written yet is newer than what the database has."""
        line = lines.get(key, Line(None, None, None, None, None))
        for gathered in (self._confirmed, self._acknowledged, self._rejected):
            if key in gathered:
                known = {name: value for name, value in gathered[key].items() if name in Line._fields}
                line = line._replace(**known)
                lines[key] = line

    def _write(self, gathered: dict[str, dict[str, Any]], key: str, **values: Any) -> None:
        if self.read_only:
            return
        gathered[key] = {
            "sync_id": self._settings.sync_id,
            "contact_key": self._written_key(key),
            "run_id": self._settings.run_id,
            "generation": self._lease.generation,
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
        version = self._version()
        if version is None and self.read_only:
            self._is_there = False
            return
        for attempt in range(_TRIES_TO_CREATE):
            if version is not None:
                break
            try:
                self._tables.metadata.create_all(self._engine)
                with self._engine.begin() as connection:
                    connection.execute(self._tables.meta.insert().values(name="version", value=VERSION))
            except (sa.exc.IntegrityError, sa.exc.OperationalError, sa.exc.ProgrammingError):
                # A task beside this one may be creating them at the same moment; what stays is told.
                if attempt == _TRIES_TO_CREATE - 1:
                    raise
                time.sleep(0.2 * (attempt + 1))
            version = self._version()
        if version is not None and version > VERSION:
            raise JournalError(
                f"the journal {self._settings.table!r} has version {version}, this provider knows up to {VERSION}: "
                "update the provider, or name another table",
                final=True,
            )

    def _version(self) -> int | None:
        """The version of the tables, ``None`` where there are none yet."""
        self._tables.upsert(self._engine.dialect.name, ["state"])  # raises for a dialect that is not known
        meta = self._tables.meta
        if not sa.inspect(self._engine).has_table(meta.name, schema=meta.schema):
            return None
        with self._engine.connect() as connection:
            found = connection.execute(sa.select(meta.c.value).where(meta.c.name == "version")).scalar()
        return None if found is None else int(found)

    def _guarded(self, action: Callable[[], Any], final_kind: type[Exception] | None = None) -> Any:
        """Do something with the database; its errors quote parameters, and those are contact keys.

        :param final_kind: errors that another try would meet again.
        """
        try:
            return action()
        except sa.exc.SQLAlchemyError as error:
            cause = getattr(error, "orig", None)
            state = getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
            words = type(cause or error).__name__ + (f", SQLSTATE {state}" if state else "")
            is_final = final_kind is not None and isinstance(error, final_kind)
        except ValueError as fault:
            words, is_final = str(fault), True
        if is_final:
            where = f"{self._settings.schema}.{self._settings.table}" if self._settings.schema else self._settings.table
            raise JournalError(f"the journal {where!r} cannot be used or created ({words})", final=True)
        raise JournalError(f"the journal's database failed ({words}): what it did not take in is sent again")
