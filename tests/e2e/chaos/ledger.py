"""A night's contacts: what is in the warehouse, what must be at Connectif, and what the journal says of it."""

from __future__ import annotations

import hmac
import re
from collections.abc import Collection
from typing import Any

from tests.e2e.chaos.night import KINDS, Night
from tests.e2e.deployment import Connectif, Deployment
from tests.e2e.stage import Stage, held

SECRET = "a secret of the nights"
"""What the journal's connection has as ``connectif_journal_secret``."""
PERSONAL = ("@example.com", "Name ", "no address ")
"""What is in every e-mail and every name of a night's rows, and in no log."""

_INVALID, _REFUSED = "no address ", "refused"


_LISTED = re.compile(r"Imports: (\w+(?:, \w+)*)(?: and ([\d,]+) more)?")
_OF_A_KILLED_ATTEMPT = re.compile(
    r"An earlier attempt did not deliver everything: its imports must finish, then the source is read again"
    r'\W+n?\W*[\d,]+ of ([\d,]+) imports? ([^"]*)'
)


def imports_not_named(log: str, ids: Collection[str]) -> int:
    """How many imports a task knew and its log does not name: a line names three, and says how many there are.

    :param log: each list counts once, also where the next process continues with the same imports.
    :param ids: of the imports; one of the others may be named in another line.
    """
    found = list(_LISTED.finditer(log))
    killed = list(_OF_A_KILLED_ATTEMPT.finditer(log))
    lists = {list_.groups() for list_ in found}
    listed = {import_id for names, _ in lists for import_id in names.split(", ")}
    not_named = sum(_number(more) for _, more in lists if more)
    # Two processes may wait for the imports of one attempt: the first was killed meanwhile, and uploaded nothing.
    named_of: dict[int, set[str]] = {}
    for attempt in killed:
        named_of.setdefault(_number(attempt[1]), set()).update(
            import_id for import_id in ids if import_id in attempt[2]
        )
    listed = listed.union(*named_of.values())
    not_named += sum(number - len(named) for number, named in named_of.items())
    # One of them may have a line of its own later; what was named before the first list is in none.
    after = log[min((match.start() for match in (*found, *killed)), default=len(log)) :]
    return max(0, not_named - sum(import_id in after for import_id in set(ids) - listed))


def _number(text: str) -> int:
    return int(text.replace(",", ""))


class Ledger:
    """What must be, independently of the package's own account.

    :param deployment: where the warehouse and the journal are.
    :param connectif: what is compared with them.
    :param night: which rows there are.
    """

    def __init__(self, deployment: Deployment, connectif: Connectif, night: Night) -> None:
        self._deployment = deployment
        self._connectif = connectif
        self._night = night
        self._before = self._reads_before = 0
        self._imports_before: set[str] = set()
        self._mended = 0
        self._written: dict[str, str] = {}
        self.untrue: set[str] = set()
        """What the journal called acknowledged and Connectif did not hold at that moment, in words."""

    @property
    def sync_id(self) -> str:
        """Of the operator, by its default."""
        return f"{self._night.name}.contacts"

    def write_yesterday(self, stage: Stage) -> None:
        """Fill the table with what the run of the evening before delivers."""
        stage.fill(self._night.yesterday)

    def write_tonight(self) -> None:
        """Change, add and spoil rows."""
        night, table = self._night, self._night.name
        old, last = night.yesterday, night.yesterday + night.added
        self._deployment.warehouse(
            f"update {table} set first_name = 'Name ' || id || ' anew', points = points + 100000 where id <= %s",
            (night.changed,),
        )
        spoiled = (
            f"insert into {table} select n, case when n <= %(good)s then 'user' || n || '@example.com' "
            f"when n <= %(good)s + %(refused)s then '{_REFUSED}' || n || '@example.com' else '{_INVALID}' || n end, "
            "'Name ' || n, n, date '2026-01-01' from generate_series(%(first)s::int, %(last)s::int) n"
        )
        self._deployment.warehouse(
            spoiled, {"first": old + 1, "good": last, "refused": night.refused, "last": last + night.bad}
        )
        self._before = self._accepted()
        self._reads_before = self._connectif.reads_of_definitions()
        self._imports_before = {one["id"] for one in self._connectif.imports()}
        self._read_keys()

    def mend(self) -> None:
        """Put right what is wrong with the rows, as a person would in the morning."""
        self._deployment.warehouse(
            f"update {self._night.name} set email = 'mended' || id || '@example.com' "
            f"where starts_with(email, '{_INVALID}') or starts_with(email, '{_REFUSED}')"
        )
        self._mended = self._night.bad
        self._read_keys()

    def source(self) -> dict[str, dict[str, Any]]:
        """What Connectif has to hold: every good row."""
        rows = self._deployment.warehouse(f"select email, first_name, points from {self._night.name}")
        return {
            email: {"_name": name, "_points": points}
            for email, name, points in rows
            if not email.startswith((_INVALID, _REFUSED))
        }

    def accepted_tonight(self) -> int:
        """Contacts that Connectif has accepted since the evening, each as often as it was."""
        return self._accepted() - self._before

    def reads_of_definitions(self) -> int:
        """Return the reads of definitions since the evening, if :meth:`accepted_tonight` counts those with 200, too."""
        if KINDS[self._night.kind].written_at_once is None:
            return 0  # the contacts of imports are counted
        return self._connectif.reads_of_definitions() - self._reads_before

    def of_lost_uploads(self, log: str) -> list[int]:
        """How many contacts Connectif has accepted of each import since the evening whose id the task never had.

        The response to the upload was lost, or the task died before it wrote the id down.

        :param log: of the task, all runs and tries.
        """
        tonight = {one["id"]: one["success"] for one in self._connectif.imports()}
        tonight = {id_: accepted for id_, accepted in tonight.items() if id_ not in self._imports_before}
        unnamed = [accepted for id_, accepted in tonight.items() if id_ not in log]
        return sorted(unnamed, reverse=True)[: max(0, len(unnamed) - imports_not_named(log, tonight))]

    @property
    def needed(self) -> int:
        """Contacts that Connectif has had to accept since the evening, including those that were corrected."""
        return self._night.needed + self._mended

    def compare(self, run_id: str) -> None:
        """Look whether Connectif holds all that the journal says this run has delivered; keeps what is untrue.

        The journal first: what is accepted in between does no harm then.
        """
        acknowledged = self._acknowledged(run_id)
        at_connectif = held(self._connectif)
        for written in acknowledged:
            email = self._written.get(written)
            if email is None:
                self.untrue.add("the journal has a contact that no row has")
            elif at_connectif.get(email) != self._wanted[email]:
                self.untrue.add(f"the journal has {email} as acknowledged, and Connectif does not hold it")

    def unacknowledged(self) -> int:
        """Good rows that no line of the journal calls delivered as they are."""
        sql = (
            "select contact_key from connectif_journal "
            "where sync_id = %s and state = 'acknowledged' and row_digest is not null"
        )
        lines = {key for (key,) in self._deployment.journal(sql, (self.sync_id,))}
        return len(self._written.keys() - lines)

    def history(self, run_id: str) -> dict[str, int]:
        """The rows of a run by outcome, as the journal's history lists them."""
        sql = (
            "select outcome, count(*) from connectif_journal_outcomes"
            " where sync_id = %s and run_id = %s group by outcome"
        )
        found = self._deployment.journal(sql, (self.sync_id, f"{self._night.name}/{run_id}"))
        return {outcome: int(count) for outcome, count in found}

    def left_over(self) -> dict[str, int]:
        """Rows of the journal's other tables that should have gone with the run, by table."""
        plans, mine = "connectif_journal_plans", "sync_id = %(sync)s or sync_id is null"
        counts = {
            "pending": f"select count(*) from connectif_journal_pending left join {plans} using (plan_id) where {mine}",
            "plans": f"select count(*) from {plans} where sync_id = %(sync)s",
            "claims": "select count(*) from connectif_journal_claims where sync_id = %(sync)s",
        }
        found = {name: self._deployment.journal(sql, {"sync": self.sync_id})[0][0] for name, sql in counts.items()}
        return {name: count for name, count in found.items() if count}

    def _acknowledged(self, run_id: str) -> list[str]:
        tables = "select 1 from information_schema.tables where table_name = 'connectif_journal'"
        if not self._deployment.journal(tables):
            return []  # the first night's first moments
        sql = (
            "select contact_key from connectif_journal where sync_id = %s and run_id = %s "
            "and state = 'acknowledged' and row_digest is not null"
        )
        return [key for (key,) in self._deployment.journal(sql, (self.sync_id, f"{self._night.name}/{run_id}"))]

    def _read_keys(self) -> None:
        """The e-mail by the form in which the journal has it."""
        self._wanted = self.source()
        self._written = {self._as_written(email): email for email in self._wanted}

    def _as_written(self, email: str) -> str:
        if self._night.journal_key == "plain":
            return email
        return hmac.new(SECRET.encode(), email.encode(), "sha256").hexdigest()

    def _accepted(self) -> int:
        return KINDS[self._night.kind].accepted(self._connectif)
