"""Brings the tables of a journal from each version to the next."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import sqlalchemy as sa

from airflow_provider_connectif.journal.tables import JournalTables, columns_of


def _from_1_to_2(tables: JournalTables, connection: sa.Connection) -> None:
    """Migrate to a claim for each task, and to stored plans."""
    tables.metadata.create_all(connection, tables=[tables.claims, tables.plans, tables.pending])
    # MySQL commits each of these statements by itself, so a killed process may have carried out some.
    left = {column["name"] for column in sa.inspect(connection).get_columns(tables.syncs.name, tables.syncs.schema)}
    for column in [name for name in ("run_id", "holders", "lease_until") if name in left]:
        connection.execute(sa.DDL(f"ALTER TABLE %(fullname)s DROP COLUMN {column}").against(tables.syncs))


def _from_2_to_3(tables: JournalTables, connection: sa.Connection) -> None:
    """Migrate to lines with digests of single properties, and to records of runs, outcomes and erasures."""
    recorded = [tables.runs, tables.outcomes, tables.suppressed, tables.receipts, tables.rejects_files]
    tables.metadata.create_all(connection, tables=recorded)
    changed = (tables.lines, tables.pending, tables.syncs, tables.runs, tables.meta, tables.claims, tables.plans)
    for table in changed:
        there = columns_of(table, connection)
        for column in table.columns:
            kind = column.type.compile(connection.dialect).replace("%", "%%")
            if column.name not in there:  # on MySQL, a killed process may have added some columns
                connection.execute(sa.DDL(f"ALTER TABLE %(fullname)s ADD COLUMN {column.name} {kind}").against(table))
            elif kind.startswith("LONGTEXT"):  # up to version 2, with the character set of MySQL's database
                kind += "" if column.nullable else " NOT NULL"
                connection.execute(sa.DDL(f"ALTER TABLE %(fullname)s MODIFY {column.name} {kind}").against(table))
    # Up to version 2, "reason" and "status_code" were those of the last rejection, even if other outcomes followed.
    lines = tables.lines.c
    is_to_do = sa.and_(lines.refused_digest.is_not(None), lines.refused_reason.is_(None))
    refusal = {
        "refused_reason": sa.func.coalesce(lines.reason, ""),
        "refused_status": lines.status_code,
        "refused_run": sa.func.coalesce(lines.refused_run, lines.run_id),
    }
    connection.execute(sa.update(tables.lines).where(is_to_do).values(refusal))


MIGRATIONS: Mapping[int, Callable[[JournalTables, sa.Connection], None]] = MappingProxyType(
    {2: _from_1_to_2, 3: _from_2_to_3}
)
"""For each version, the function that migrates tables of the version before it."""
