"""The journal's tables, and the statements that dialects spell differently."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

VERSION = 1
LONGEST_NAME = 250
_LONGEST_KEY = 320
_LONGEST_DIGEST = 32
LONGEST_REASON = 500


def _exact(length: int) -> Any:
    """Text that is compared letter by letter; MySQL's default comparison ignores case and accents."""
    from sqlalchemy.dialects import mysql

    exact = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")
    return sa.String(length).with_variant(exact, "mysql").with_variant(exact, "mariadb")


class JournalTables:
    """The tables of one journal.

    :param name: the name of the table of lines; the others are called after it.
    :param schema: the database schema, if not the connection's default.
    """

    def __init__(self, name: str, schema: str | None) -> None:
        self.metadata = sa.MetaData(schema=schema)
        self.lines = sa.Table(
            name,
            self.metadata,
            sa.Column("sync_id", _exact(LONGEST_NAME), primary_key=True),
            sa.Column("contact_key", _exact(_LONGEST_KEY), primary_key=True),
            sa.Column("state", sa.String(12), nullable=False),
            sa.Column("row_digest", sa.String(_LONGEST_DIGEST)),
            sa.Column("patch_digest", sa.String(_LONGEST_DIGEST)),
            sa.Column("mapping_digest", sa.String(_LONGEST_DIGEST)),
            sa.Column("delivered_at", sa.DateTime(timezone=True)),
            sa.Column("refused_digest", sa.String(_LONGEST_DIGEST)),
            sa.Column("refused_at", sa.DateTime(timezone=True)),
            sa.Column("status_code", sa.Integer),
            sa.Column("reason", sa.String(LONGEST_REASON)),
            sa.Column("run_id", sa.String(LONGEST_NAME), nullable=False),
            sa.Column("generation", sa.Integer, nullable=False),
        )
        self.syncs = sa.Table(
            f"{name}_syncs",
            self.metadata,
            sa.Column("sync_id", _exact(LONGEST_NAME), primary_key=True),
            sa.Column("generation", sa.Integer, nullable=False),
            sa.Column("run_id", sa.String(LONGEST_NAME), nullable=False),
            sa.Column("holders", sa.Integer, nullable=False),
            sa.Column("lease_until", sa.Float, nullable=False),
        )
        self.meta = sa.Table(
            f"{name}_meta",
            self.metadata,
            sa.Column("name", sa.String(20), primary_key=True),
            sa.Column("value", sa.Integer, nullable=False),
        )

    def upsert(self, dialect: str, columns: list[str]) -> Any:
        """Insert lines, or set these columns of existing ones, but never those of a newer generation.

        :raises ValueError: the dialect is none of PostgreSQL, SQLite, MySQL and MariaDB.
        """
        if dialect in ("postgresql", "sqlite"):
            return self._on_conflict(dialect, columns)
        if dialect in ("mysql", "mariadb"):
            return self._on_duplicate_key(columns)
        raise ValueError(f"no journal in a {dialect} database: use PostgreSQL, MySQL, MariaDB or SQLite")

    def _on_conflict(self, dialect: str, columns: list[str]) -> Any:
        from sqlalchemy.dialects import postgresql, sqlite

        insert: Any = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}[dialect](self.lines)
        return insert.on_conflict_do_update(
            index_elements=["sync_id", "contact_key"],
            set_={column: insert.excluded[column] for column in columns},
            where=self.lines.c.generation <= insert.excluded.generation,
        )

    def _on_duplicate_key(self, columns: list[str]) -> Any:
        from sqlalchemy.dialects import mysql

        insert = mysql.insert(self.lines)
        newer = self.lines.c.generation <= insert.inserted.generation
        values: Mapping[str, Any] = {c: sa.func.if_(newer, insert.inserted[c], self.lines.c[c]) for c in columns}
        # MySQL assigns from left to right, so the generation that the others are compared with comes last.
        ordered = sorted(values.items(), key=lambda item: item[0] == "generation")
        return insert.on_duplicate_key_update(ordered)
