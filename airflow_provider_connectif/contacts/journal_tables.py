"""The journal's tables, and the statements that dialects spell differently."""

from __future__ import annotations

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

        An older try that comes late with another patch than the newer one's leaves a doubt: it is not known which
        reached Connectif last. Then the digests are cleared, and the next run sends the contact once more.

        :raises ValueError: the dialect is none of PostgreSQL, SQLite, MySQL and MariaDB.
        """
        from sqlalchemy.dialects import mysql, postgresql, sqlite

        if dialect in ("postgresql", "sqlite"):
            insert: Any = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}[dialect](self.lines)
            return insert.on_conflict_do_update(
                index_elements=["sync_id", "contact_key"], set_=self._set(columns, insert.excluded)
            )
        if dialect in ("mysql", "mariadb"):
            insert = mysql.insert(self.lines)
            # MySQL assigns from left to right: what the others are compared with comes last.
            last = ("row_digest", "patch_digest", "generation")
            values = sorted(
                self._set(columns, insert.inserted).items(),
                key=lambda item: last.index(item[0]) if item[0] in last else -1,
            )
            return insert.on_duplicate_key_update(values)
        raise ValueError(f"no journal in a {dialect} database: use PostgreSQL, MySQL, MariaDB or SQLite")

    def _set(self, columns: list[str], new: Any) -> dict[str, Any]:
        old = self.lines.c
        is_newer = old.generation <= new.generation
        values: dict[str, Any] = {c: sa.case((is_newer, new[c]), else_=old[c]) for c in columns}
        if "patch_digest" in columns:
            agree = old.patch_digest == new.patch_digest
            for column in ("row_digest", "patch_digest"):
                values[column] = sa.case((is_newer, new[column]), (agree, old[column]), else_=sa.null())
        return values
