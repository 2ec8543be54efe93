"""The table of docs/databases.md: what was shown of each database, by the tests that have just run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

NAMES = (
    "PostgreSQL",
    "MariaDB",
    "MariaDB, MySQL's connector",
    "SQLite",
    "DuckDB",
    "Snowflake",
    "BigQuery",
    "Redshift",
    "Trino",
)
COLUMNS = ("source", "memory", "types", "names", "errors", "lost connection")
BEGIN, END = "<!-- table: written by make test-warehouses -->", "<!-- end of the table -->"
READING = "by reading"
# No test runs these, but for the look-up of the hook: what is said of them, and whether they hold a journal.
_UNTRIED: Mapping[str, tuple[str, str]] = {
    "MySQL 8": ("its drivers are tried on MariaDB", "yes"),
    "Databricks": ("its hook for SQL is found", "refused"),
    "SQL Server": ("", "refused"),
    "Oracle": ("", "refused"),
    "Athena": ("", "refused"),
}


@dataclass
class _Tried:
    versions: str
    how: str
    journal: str
    outcomes: dict[str, set[str]] = field(default_factory=dict)

    def cell(self, what: str) -> str:
        if self.how == "run" and self.outcomes.get(what) == {"skipped"}:
            return "-"  # it has nothing of the kind
        return self.how if self._has_passed(what) else READING

    def journal_cell(self) -> str:
        return self.journal if self._has_passed("journal") else READING

    def _has_passed(self, what: str) -> bool:
        return self.outcomes.get(what) == {"passed"}


class Facts:
    """What tests have shown, by database."""

    def __init__(self) -> None:
        self._tried: dict[str, _Tried] = {}

    def note(self, name: str, versions: str, how: str, journal: str, what: str, outcome: str) -> None:
        """The outcome of a test.

        :param what: the column of the table that it is for.
        """
        tried = self._tried.setdefault(name, _Tried(versions, how, journal))
        tried.outcomes.setdefault(what, set()).add(outcome)

    def rows(self) -> list[list[str]]:
        """Of the table, without its head: in the order of :data:`NAMES`."""
        rows = []
        for name in NAMES:
            tried = self._tried.get(name)
            if tried is None:
                rows.append([name, "", *[READING] * (len(COLUMNS) + 1)])
            else:
                rows.append([name, tried.versions, *map(tried.cell, COLUMNS), tried.journal_cell()])
        for name, (said, journal) in _UNTRIED.items():
            rows.append([name, said, *[READING] * len(COLUMNS), f"{journal}, {READING}"])
        return rows


def written_table(page: str, facts: Facts) -> str:
    """The page with this table in the place of its own."""
    head = ["database", "versions", *COLUMNS, "journal"]
    lines = [head, ["---"] * len(head), *facts.rows()]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table}\n\n{END}{after}"
