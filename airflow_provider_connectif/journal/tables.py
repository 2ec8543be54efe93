"""The journal's tables, and the statements about its lines."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from airflow_provider_connectif.journal.dialects import LINE_KEY, dialect_named, exact_text, long_text, moment
from airflow_provider_connectif.journal.record_tables import (
    LONGEST_DIGEST,
    LONGEST_KEY,
    LONGEST_NAME,
    LONGEST_REASON,
    outcomes_table,
    receipts_table,
    rejects_files_table,
    run_columns,
    suppressed_table,
)
from airflow_provider_connectif.journal.states import ACKNOWLEDGED

VERSION = 3
"""The version of the tables that this package makes; :data:`migrations.MIGRATIONS` leads there."""
RECORDS_SINCE = 3
"""The first version whose lines know single properties, and that records runs, outcomes and erasures."""
SPELLING = "spelling"
_DIGESTS = ("row_digest", "patch_digest", "mapping_digest", "properties")


class JournalTables:
    """The tables of one journal.

    :param name: the name of the table of lines; the names of the other tables begin with it.
    :param schema: the schema of the tables, if not the connection's default.
    """

    def __init__(self, name: str, schema: str | None) -> None:
        self.metadata = sa.MetaData(schema=schema)
        self.has_spellings = True
        """Whether the table of lines has the column ``spelling`` in the database. A run that writes adds it."""
        self._statements: dict[Hashable, Any] = {}  # building a statement takes as long as several requests
        self.lines = sa.Table(
            name,
            self.metadata,
            sa.Column("sync_id", exact_text(LONGEST_NAME), primary_key=True),
            sa.Column("contact_key", exact_text(LONGEST_KEY), primary_key=True),
            sa.Column("state", sa.String(12), nullable=False),
            sa.Column("row_digest", sa.String(LONGEST_DIGEST)),
            sa.Column("patch_digest", sa.String(LONGEST_DIGEST)),
            sa.Column("mapping_digest", sa.String(LONGEST_DIGEST)),
            sa.Column("delivered_at", moment()),
            sa.Column("refused_digest", sa.String(LONGEST_DIGEST)),
            sa.Column("refused_at", moment()),
            sa.Column("status_code", sa.Integer),
            sa.Column("reason", exact_text(LONGEST_REASON)),
            sa.Column("run_id", exact_text(LONGEST_NAME), nullable=False),
            sa.Column("generation", sa.Integer, nullable=False),
            # Since version 3. NULL in lines that were written before.
            sa.Column("delivered_as", sa.String(12)),
            sa.Column("delivered_generation", sa.Integer),
            sa.Column("refused_run", exact_text(LONGEST_NAME)),
            # The invalid rows of the contact: see the module "invalid_rows".
            sa.Column("invalid_digest", sa.String(LONGEST_DIGEST)),
            sa.Column("invalid_run", exact_text(LONGEST_NAME)),
            # Digests of the properties that Connectif has accepted: see the module "properties". NULL: they are not
            # known one by one.
            sa.Column("properties", sa.LargeBinary),
            # Time of the state; "status_code" and "reason" belong to that outcome, too.
            sa.Column("outcome_at", moment()),
            # The status and the reason of the rejection that "refused_digest" belongs to.
            sa.Column("refused_status", sa.Integer),
            sa.Column("refused_reason", exact_text(LONGEST_REASON)),
            # The key as it was sent last: see the module "spellings". Tables of development versions do not have it.
            sa.Column(SPELLING, exact_text(LONGEST_KEY)),
        )
        self.syncs = sa.Table(
            f"{name}_syncs",
            self.metadata,
            sa.Column("sync_id", exact_text(LONGEST_NAME), primary_key=True),
            sa.Column("generation", sa.Integer, nullable=False),
            # Since version 3: the properties that only one sync should write, as JSON. See the module "owners".
            sa.Column("owned", long_text()),
            # JSON: the question of the last reads, and the numbers of the last complete one. See module "last_read".
            sa.Column("last_read", long_text()),
        )
        # The tasks that are working on a sync, or are deferred.
        self.claims = sa.Table(
            f"{name}_claims",
            self.metadata,
            sa.Column("holder", sa.String(LONGEST_DIGEST), primary_key=True),
            sa.Column("sync_id", exact_text(LONGEST_NAME), nullable=False),
            sa.Column("run_id", exact_text(LONGEST_NAME), nullable=False),
            sa.Column("task", exact_text(LONGEST_NAME), nullable=False),
            sa.Column("lease_until", sa.Float(53), nullable=False),
            # Since version 3: all requests that began before this moment have had their responses. NULL: no request can
            # be running.
            sa.Column("answered_until", sa.Float(53)),
        )
        self.meta = sa.Table(
            f"{name}_meta",
            self.metadata,
            sa.Column("name", sa.String(20), primary_key=True),
            sa.Column("value", sa.Integer, nullable=False),
            sa.Column("text", sa.String(64)),
        )

        # A line for each task of each run: the end of its last attempt, and the counts of all attempts.
        self.runs = sa.Table(
            f"{name}_runs",
            self.metadata,
            sa.Column("sync_id", exact_text(LONGEST_NAME), primary_key=True),
            sa.Column("run_key", sa.String(LONGEST_DIGEST), primary_key=True),
            sa.Column("run_id", exact_text(LONGEST_NAME), nullable=False),
            sa.Column("task", exact_text(LONGEST_NAME), nullable=False),
            sa.Column("tries", sa.Integer, nullable=False),
            sa.Column("try_number", sa.Integer),
            sa.Column("max_tries", sa.Integer),
            sa.Column("verdict", sa.String(12)),
            sa.Column("started_at", moment(), nullable=False),
            sa.Column("ended_at", moment()),
            sa.Column("generation", sa.Integer, nullable=False),
            sa.Column("generations", long_text(), nullable=False),
            sa.Column("keyless", sa.Integer),
            sa.Column("counts", long_text(), nullable=False),
            *run_columns(),
        )
        self.outcomes = outcomes_table(name, self.metadata)
        self.suppressed = suppressed_table(name, self.metadata)
        self.receipts = receipts_table(name, self.metadata)
        self.rejects_files = rejects_files_table(name, self.metadata)

        # The remaining changes of deferred runs.
        self.plans = sa.Table(
            f"{name}_plans",
            self.metadata,
            sa.Column("plan_id", sa.String(LONGEST_DIGEST), primary_key=True),
            sa.Column("sync_id", exact_text(LONGEST_NAME), nullable=False),
            sa.Column("run_id", exact_text(LONGEST_NAME), nullable=False),
            sa.Column("task", exact_text(LONGEST_NAME), nullable=False),
            sa.Column("kept_until", sa.Float(53), nullable=False),
            sa.Column("state", long_text(), nullable=False),
            # Since version 3: rows that an erasure has removed and that are not counted yet.
            sa.Column("removed", sa.Integer),
        )
        self.pending = sa.Table(
            f"{name}_pending",
            self.metadata,
            sa.Column("plan_id", sa.String(LONGEST_DIGEST), primary_key=True),
            # For a change: its place in the order of sending. For a contact in an import file: the number of its row.
            sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
            sa.Column("file", sa.Integer),
            sa.Column("contact_key", exact_text(LONGEST_KEY), nullable=False),
            sa.Column("row_digest", sa.String(LONGEST_DIGEST)),
            sa.Column("patch_digest", sa.String(LONGEST_DIGEST)),
            sa.Column("mapping_digest", sa.String(LONGEST_DIGEST)),
            sa.Column("payload", long_text()),
            sa.Column("properties", sa.LargeBinary),
            sa.Column(SPELLING, exact_text(LONGEST_KEY)),
        )
        for table in self.metadata.sorted_tables:
            # Tables of a server's default kind may not support transactions.
            table.dialect_kwargs["mysql_engine"] = table.dialect_kwargs["mariadb_engine"] = "InnoDB"

    def upsert(self, dialect: str, columns: list[str], source: Any = None, *, is_late: bool = False) -> Any:
        """Return a statement that inserts lines, or sets some columns of existing lines.

        Lines of a newer generation keep their values. But if an older process writes another patch than the newer one,
        it is not known which patch reached Connectif last. Then the digests are cleared, and the next run sends the
        contact once more.

        :param columns: the columns to set.
        :param source: a SELECT of ``sync_id``, ``contact_key`` and the columns. Default: the statement has parameters,
            which are lines with these values, packed by the dialect.
        :param is_late: set the columns of lines of a newer generation, too.
        :raises ValueError: the dialect is not PostgreSQL, SQLite, MySQL or MariaDB.
        """
        if source is None:
            return self._kept(
                ("upsert", dialect, tuple(columns), is_late),
                lambda: self._upsert(dialect, columns, self._packed(dialect, columns), is_late),
            )
        return self._upsert(dialect, columns, source, is_late)

    def update_properties(self, more: Sequence[str], *, is_doubt: bool) -> Any:
        """Return a statement that sets the digests of properties in a line, unless a newer process has written it.

        The parameters of the statement have the names of the columns, after ``of_``.

        :param more: further columns to set.
        :param is_doubt: whether a patch is about to be sent; then the digests of the row and the patch are cleared.
        """
        columns = ("properties", *more)
        return self._kept(("update properties", columns, is_doubt), lambda: self._update_properties(columns, is_doubt))

    def acknowledge_pending(
        self, dialect: str, which: Any, columns: list[str], values: Mapping[str, Any], *, are_whole: bool = True
    ) -> Any:
        """Return one statement that inserts or sets the lines of the contacts of pending rows, as :meth:`upsert` does.

        :param which: the condition for the pending rows, which must be of different contacts.
        :param columns: the columns to set. Digests and spellings come from the pending rows.
        :param values: the values of the other columns, and of ``sync_id``. Columns without a value become ``NULL``.
        :param are_whole: whether the lines get row digests and patch digests; ``False`` clears these.
        """
        lines, pending = self.lines.c, self.pending.c

        def selected(column: str) -> Any:
            if not are_whole and column in ("row_digest", "patch_digest"):
                return sa.cast(sa.null(), lines[column].type)
            if column == "row_digest":  # empty for a change of several rows: they are compared each time
                return sa.func.nullif(pending[column], "")
            if column in _DIGESTS or column == SPELLING:
                return pending[column]
            known = column in values
            return sa.literal(values[column], lines[column].type) if known else sa.cast(sa.null(), lines[column].type)

        source = sa.select(selected("sync_id"), pending.contact_key, *map(selected, columns)).where(which)
        # In the same order everywhere, so that two tasks never block each other.
        return self.upsert(dialect, columns, source.order_by(pending.contact_key))

    @property
    def spelling(self) -> Any:
        """The column ``spelling`` for a query; NULL if the table of lines does not have it."""
        return self.lines.c[SPELLING] if self.has_spellings else sa.null().label(SPELLING)

    @property
    def digest_if_acknowledged(self) -> Any:
        """The digest of the acknowledged row for a query. NULL if the last outcome is another one: then the contact is
        compared.
        """
        lines = self.lines.c
        return sa.case((lines.state == ACKNOWLEDGED, lines.row_digest), else_=sa.null())

    def lines_of(self, dialect: str, columns: Sequence[Any]) -> Any:
        """Return a query for lines. Its parameters are ``sync_id`` and ``keys``, which the dialect packs."""
        lines = self.lines.c
        among = dialect_named(dialect).among_keys(lines.contact_key)
        return sa.select(*(lines[column] if isinstance(column, str) else column for column in columns)).where(
            lines.sync_id == sa.bindparam("sync_id", type_=sa.String), among
        )

    def _kept(self, name: Hashable, build: Callable[[], Any]) -> Any:
        """Return a statement, which is built at first use and stored by its name."""
        if name not in self._statements:
            self._statements[name] = build()
        return self._statements[name]

    def _packed(self, dialect: str, columns: list[str]) -> Any:
        packed = dialect_named(dialect).select_packed(self.lines, [*LINE_KEY, *columns])
        return None if packed is None else packed.order_by("contact_key")

    def _upsert(self, dialect: str, columns: list[str], source: Any, is_late: bool) -> Any:
        return dialect_named(dialect).insert_or_set(
            self.lines,
            lambda insert: insert if source is None else insert.from_select([*LINE_KEY, *columns], source),
            lambda new: self._set(columns, new, is_late),
        )

    def _update_properties(self, columns: Sequence[str], is_doubt: bool) -> Any:
        lines = self.lines
        of_this = sa.and_(
            lines.c.sync_id == sa.bindparam("of_sync_id"),
            lines.c.contact_key == sa.bindparam("of_contact_key"),
            lines.c.generation <= sa.bindparam("of_generation"),
        )
        new = {name: sa.bindparam(f"of_{name}", type_=lines.c[name].type) for name in columns}
        statement = sa.update(lines).where(of_this).values(**new)
        return statement.values(row_digest=None, patch_digest=None) if is_doubt else statement

    def _set(self, columns: list[str], new: Any, is_late: bool) -> dict[str, Any]:
        if is_late:
            return {column: new[column] for column in columns}
        old = self.lines.c
        is_newer = old.generation <= new.generation
        values: dict[str, Any] = {c: sa.case((is_newer, new[c]), else_=old[c]) for c in columns}
        if "refused_run" in columns and "refused_digest" in columns:
            # If the same row is rejected again, the first run that met it stays.
            is_same = sa.and_(old.refused_digest.is_not(None), old.refused_digest == new.refused_digest)
            first = sa.func.coalesce(old.refused_run, old.run_id)
            values["refused_run"] = sa.case(
                (sa.not_(is_newer), old.refused_run), (is_same, first), else_=new.refused_run
            )
        if "patch_digest" in columns:
            agree = old.patch_digest == new.patch_digest
            for column in {"properties", "row_digest", "patch_digest"}.intersection(columns):
                values[column] = sa.case((is_newer, new[column]), (agree, old[column]), else_=sa.null())
        return values


def journal_tables(name: str, schema: str | None) -> JournalTables:
    """Return the tables of one journal. A process has only one description of them.

    SQLAlchemy compiles a statement once for each engine and each description of its tables. New descriptions for each
    page of the UI, and for each task of a ``dag.test``, would take tens of milliseconds each time.

    :param name: the name of the table of lines; the names of the other tables begin with it.
    :param schema: the schema of the tables, if not the connection's default.
    """
    return copy.copy(_described(name, schema))  # a copy, since "has_spellings" belongs to one database


_described = functools.lru_cache(maxsize=16)(JournalTables)


def columns_of(table: sa.Table, connection: sa.Connection | sa.Engine) -> set[str]:
    """Return the names of the columns that a table has in the database."""
    return {column["name"] for column in sa.inspect(connection).get_columns(table.name, table.schema)}
