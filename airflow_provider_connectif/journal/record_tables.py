"""The journal's tables that people query, except the table of lines: outcomes, erasures, and the columns of a run.

No table has a column for a value of a row.
"""

from __future__ import annotations

import sqlalchemy as sa

from airflow_provider_connectif.journal.dialects import exact_text, long_text, moment

LONGEST_NAME = 250
LONGEST_KEY = 320
LONGEST_DIGEST = 32
LONGEST_REASON = 500

# An identity column, so that writing to the table needs no right to a sequence. SQLite numbers only plain integers.
_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

RUN_COUNTS = (
    *("rows_read", "created", "updated", "imported", "not_taken", "unchanged", "skipped", "invalid", "rejected"),
    *("held", "suppressed", "merged", "undelivered", "deleted", "absent"),
    *("recreated", "consent_kept", "unconfirmed", "stored_differently", "drifted", "removed", "new_refusals"),
    *("requests", "rate_limited"),
)
"""The counts of a run. Each has a column. ``rows_read`` is the sum of the other counts in the first two lines."""

RUN_FACTS = (
    *("waited_s", "mapping_digest", "way", "plan", "reasons"),
    *("import_rows", "import_seconds", "window_requests", "window_seconds"),
)
"""The columns of a run that the report of the run fills, besides its counts."""


def run_columns() -> list[sa.Column[object]]:
    """Return columns of the table of runs: the task's identity, the counts and the cost."""
    return [
        sa.Column("dag_id", exact_text(LONGEST_NAME)),
        sa.Column("task_id", exact_text(LONGEST_NAME)),
        sa.Column("map_index", sa.Integer),
        *(sa.Column(name, sa.BigInteger) for name in RUN_COUNTS),
        sa.Column("waited_s", sa.Float(53)),
        sa.Column("mapping_digest", sa.String(LONGEST_DIGEST)),
        # The generation that marks the run's lines in the history: see the module "history".
        sa.Column("attempt", sa.Integer),
        # "patch", "import" or "erase".
        sa.Column("way", sa.String(12)),
        # JSON: the numbers of the plan, by name.
        sa.Column("plan", long_text()),
        # JSON: rows by reason, the commonest first.
        sa.Column("reasons", long_text()),
        # Lines of the run's files, and the seconds from the first upload to the end of the last import. NULL: the run
        # did not import, or not all of its imports have finished.
        sa.Column("import_rows", sa.BigInteger),
        sa.Column("import_seconds", sa.Float(53)),
        # The account's window of the rate limit, if the run has met two windows in a row.
        sa.Column("window_requests", sa.Integer),
        sa.Column("window_seconds", sa.Float(53)),
    ]


def outcomes_table(name: str, metadata: sa.MetaData) -> sa.Table:
    """Return the table of outcomes: a line for each row of a run except unchanged ones, up to ``history_lines``."""
    return sa.Table(
        f"{name}_outcomes",
        metadata,
        sa.Column("id", _NUMBER, sa.Identity(), primary_key=True),
        sa.Column("sync_id", exact_text(LONGEST_NAME), nullable=False),
        sa.Column("run_id", exact_text(LONGEST_NAME), nullable=False),
        sa.Column("run_key", sa.String(LONGEST_DIGEST), nullable=False),
        # Distinguishes the attempts of the run: see the module "history".
        sa.Column("attempt", sa.Integer, nullable=False),
        # NULL: the row has no valid key, or it is not known which contacts have the outcome.
        sa.Column("contact_key", exact_text(LONGEST_KEY)),
        sa.Column("outcome", sa.String(12), nullable=False),
        # JSON: the ids of the properties that were sent or planned.
        sa.Column("properties", long_text()),
        sa.Column("status_code", sa.Integer),
        sa.Column("reason", exact_text(LONGEST_REASON)),
        sa.Column("at", moment(), nullable=False),
        sa.Index(f"{name}_outcomes_of_key", "sync_id", "contact_key"),
        sa.Index(f"{name}_outcomes_of_run", "sync_id", "run_key"),
        sa.Index(f"{name}_outcomes_at", "sync_id", "at"),
    )


def suppressed_table(name: str, metadata: sa.MetaData) -> sa.Table:
    """Return the table of suppressed people, by the HMAC of a normalised key."""
    return sa.Table(
        f"{name}_suppressed",
        metadata,
        sa.Column("key_hmac", sa.String(64), primary_key=True),
        # "email" or "external_id".
        sa.Column("key_kind", sa.String(12), nullable=False),
        sa.Column("at", moment(), nullable=False),
        sa.Column("run_id", exact_text(LONGEST_NAME), nullable=False),
    )


def receipts_table(name: str, metadata: sa.MetaData) -> sa.Table:
    """Return the table of receipts: the result of each erasure."""
    return sa.Table(
        f"{name}_receipts",
        metadata,
        sa.Column("id", _NUMBER, sa.Identity(), primary_key=True),
        sa.Column("key_hmac", sa.String(64), nullable=False),
        sa.Column("key_kind", sa.String(12), nullable=False),
        sa.Column("at", moment(), nullable=False),
        sa.Column("sync_id", exact_text(LONGEST_NAME), nullable=False),
        sa.Column("run_id", exact_text(LONGEST_NAME), nullable=False),
        sa.Column("map_index", sa.Integer),
        # "deleted" or "absent".
        sa.Column("result", sa.String(12), nullable=False),
        sa.Index(f"{name}_receipts_of_key", "key_hmac"),
    )


def rejects_files_table(name: str, metadata: sa.MetaData) -> sa.Table:
    """Return the table of rejects files that tasks have written. Tasks remove old files by this table."""
    return sa.Table(
        f"{name}_rejects_files",
        metadata,
        sa.Column("id", _NUMBER, sa.Identity(), primary_key=True),
        sa.Column("sync_id", exact_text(LONGEST_NAME), nullable=False),
        sa.Column("task", exact_text(LONGEST_NAME), nullable=False),
        sa.Column("path", long_text(), nullable=False),
        sa.Column("at", moment(), nullable=False),
        sa.Index(f"{name}_rejects_files_of", "sync_id", "at"),
    )
