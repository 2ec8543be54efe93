"""Removes people from every sync of a journal for an erasure, and writes the receipts."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from airflow_provider_connectif.journal.database import JournalDatabase
from airflow_provider_connectif.journal.dialects import dialect_named
from airflow_provider_connectif.journal.digests import key_digester
from airflow_provider_connectif.journal.open_uploads import OpenUpload, group_of, open_files_by_group, uploads_of
from airflow_provider_connectif.journal.payloads import Payloads, names_people
from airflow_provider_connectif.journal.settings import JournalSettings
from airflow_provider_connectif.journal.spellings import sent_key
from airflow_provider_connectif.journal.suppression import SuppressionList
from airflow_provider_connectif.records.outcomes import JournalError
from airflow_provider_connectif.records.people import PersonKey

ERASES = "erases"
"""Name of an entry in the state of an erasure's plan. It marks that the plan's pending rows are deletions."""
_LINES_AT_ONCE = 500
_PROPERTIES = {"_email": "email", "_externalId": "external_id"}


class _Line(NamedTuple):
    """A pending row about some people.

    ``number``: its number in the plan. ``file``: the stored number of its group in an import; ``None`` without an
    import. ``is_beside``: whether its row already has an outcome.
    """

    number: int
    file: int | None
    is_beside: bool


class Forgetting:
    """Removes people from every sync of a journal.

    Keys are found in every form that the journal may have: plain, and as HMAC if the connection has a secret. The
    values of pending rows are searched, too. Another sync may have the same person under another key, with the person's
    e-mail among the properties.

    The pending rows of erasures are lists of deletions, and stay until these are done. That holds for this erasure, for
    the other instances of its mapped task, and for other erasures, which may be for another account.

    :param database: the journal's database.
    :param suppressions: returns the HMACs for receipts.
    :param settings: the settings of the erasure's journal. They have the identity of this task, and the secret with
        which keys and pending rows may be stored.
    :param same_key: by kind of key, a function that returns one form for all spellings of a key.
    """

    def __init__(
        self,
        database: JournalDatabase,
        suppressions: SuppressionList,
        settings: JournalSettings,
        same_key: Mapping[str, Any],
    ) -> None:
        key_secret = settings.list_secret
        self._database = database
        self._tables = database.tables
        self._suppressions = suppressions
        self._sync_id = settings.sync_id
        self._me = _erasure(settings.sync_id, settings.run_id, settings.task)
        self._same_key = same_key
        self._digesters = [key_digester(None), *([] if key_secret is None else [key_digester(key_secret)])]
        self._payloads = [Payloads(None, keeps_rows=False)]
        if key_secret is not None:
            self._payloads.insert(0, Payloads(key_secret, keeps_rows=False))

    def written_keys(self, people: Collection[PersonKey]) -> set[str]:
        """Return the keys of people in every form that the journal's tables may have."""
        return {written(person.key) for person in people for written in self._digesters}

    def sent_keys(self, people: Collection[PersonKey]) -> dict[str, list[str]]:
        """Return the spellings in which any sync has sent the keys of people, as far as the journal knows them.

        :return: the spellings of each key, by the key in the journal's form.
        """
        lines, found = self._tables.lines.c, dict[str, set[str]]()
        # Only e-mails have spellings. An external id may look like one.
        is_there = self._tables.has_spellings
        keys = {person.key for person in people if person.has_spellings} if is_there else set()
        key_of = {written(key): key for key in keys for written in self._digesters}
        forms = sorted(key_of)
        for first in range(0, len(forms), _LINES_AT_ONCE):
            of_these = lines.contact_key.in_(forms[first : first + _LINES_AT_ONCE])
            for form, spelling in self._database.rows(sa.select(lines.contact_key, lines.spelling).where(of_these)):
                if (sent := sent_key(key_of[form], spelling)) is not None:
                    found.setdefault(key_of[form], set()).add(sent)
        return {key: sorted(spellings) for key, spellings in found.items()}

    def forget(
        self,
        connection: sa.Connection,
        people: Collection[PersonKey],
        *,
        waits_for_uploads: bool,
        keeps_spellings: bool = False,
    ) -> None:
        """Delete the journal's data of people, within a transaction.

        :param waits_for_uploads: keep pending rows in files that are or may be at Connectif. An erasure must wait for
            these files.
        :param keeps_spellings: keep the lines that :meth:`sent_keys` needs, since another attempt may need them.
        """
        if not people:
            return
        written = self.written_keys(people)
        self._wait_for_writers(connection)
        which = self._tables.lines.c.spelling.is_(None) if keeps_spellings else sa.true()
        self._delete_keys(connection, self._tables.lines, written, which)
        self._delete_keys(connection, self._tables.outcomes, written, sa.true())
        plans = self._tables.plans.c
        query = sa.select(plans.plan_id, plans.state, plans.sync_id, plans.run_id, plans.task).order_by(plans.plan_id)
        for plan in connection.execute(query).fetchall():
            state = json.loads(plan.state)
            if not (self._is_mine(plan) or state.get(ERASES)):
                self._forget_in_plan(connection, plan.plan_id, state, people, written, waits_for_uploads)

    def open_uploads(self, people: Collection[PersonKey]) -> list[OpenUpload]:
        """Return the uploads that contain or may contain these people."""
        return self._database.write(lambda connection: list(self._open_uploads(connection, people)))

    def runs_at_work_since(self, moment: float) -> int:
        """Return the number of other tasks that may have a running request from before a moment.

        :param moment: the moment by the database's clock, see :meth:`now`.
        """
        claims = self._tables.claims.c
        query = sa.select(claims.sync_id, claims.run_id, claims.task).where(
            claims.answered_until <= moment, claims.lease_until > self.now()
        )
        return sum(not self._is_mine(claim) for claim in self._database.rows(query))

    def now(self) -> float:
        """Return the seconds since the epoch by the database's clock."""
        return self._database.now()

    def write_receipts(
        self, connection: sa.Connection, results: Mapping[PersonKey, str], run_id: str, map_index: int
    ) -> None:
        """Write the results of deletions, within a transaction.

        :param results: ``deleted`` or ``absent`` by person.
        """
        hmacs, now = self._suppressions.hmacs(connection, results), datetime.now(UTC)
        of_run = {"at": now, "sync_id": self._sync_id, "run_id": run_id, "map_index": map_index}
        lines = [
            {**of_run, "key_hmac": hmacs[person], "key_kind": person.kind, "result": result}
            for person, result in results.items()
        ]
        if lines:
            connection.execute(sa.insert(self._tables.receipts), lines)

    def results_of(
        self, people: Collection[PersonKey], run_id: str, map_index: int, since: float
    ) -> dict[PersonKey, str]:
        """Return the results in the receipts of a task's earlier attempts.

        :param since: start of the first of these attempts, in seconds since the epoch.
        """
        receipts = self._tables.receipts.c

        def look(connection: sa.Connection) -> dict[PersonKey, str]:
            hmacs = self._suppressions.hmacs(connection, people)
            by_hmac = {digest: person for person, digest in hmacs.items()}
            is_ours = sa.and_(
                receipts.sync_id == self._sync_id,
                receipts.run_id == run_id,
                receipts.map_index == map_index,
                receipts.at >= datetime.fromtimestamp(since, UTC),
                receipts.key_hmac.in_(list(by_hmac)),
            )
            found = connection.execute(sa.select(receipts.key_hmac, receipts.result).where(is_ours))
            return {by_hmac[digest]: result for digest, result in found}

        return self._database.write(look) if people else {}

    def _wait_for_writers(self, connection: sa.Connection) -> None:
        """Lock every claim, and so wait for the processes that are writing lines.

        A process locks its own claim while it writes. So its lines are there when this transaction deletes lines.
        """
        claims = self._tables.claims
        query = sa.select(claims.c.holder, claims.c.sync_id, claims.c.run_id, claims.c.task).order_by(claims.c.holder)
        for claim in connection.execute(query).fetchall():
            if not self._is_mine(claim):
                of_holder = sa.update(claims).where(claims.c.holder == claim.holder)
                connection.execute(of_holder.values(lease_until=claims.c.lease_until))

    def _is_mine(self, line: Any) -> bool:
        """Whether a claim or a plan belongs to this task, or to another instance of this mapped task."""
        return _erasure(line.sync_id, line.run_id, line.task) == self._me

    def _delete_keys(self, connection: sa.Connection, table: sa.Table, written: Collection[str], which: Any) -> None:
        keys = sorted(written)  # the same order everywhere, so that two tasks never block each other
        for first in range(0, len(keys), _LINES_AT_ONCE):
            of_these = table.c.contact_key.in_(keys[first : first + _LINES_AT_ONCE])
            connection.execute(sa.delete(table).where(of_these, which))

    def _forget_in_plan(
        self,
        connection: sa.Connection,
        plan_id: str,
        state: dict[str, Any],
        people: Collection[PersonKey],
        written: Collection[str],
        waits_for_uploads: bool,
    ) -> None:
        open_groups = set(open_files_by_group(state)) if waits_for_uploads else set[int]()
        lines = list(self._lines_of(connection, plan_id, people, written))
        numbers = [line.number for line in lines if group_of(line.file) not in open_groups]
        pending, plans = self._tables.pending, self._tables.plans
        for first in range(0, len(numbers), _LINES_AT_ONCE):
            of_these = pending.c.number.in_(numbers[first : first + _LINES_AT_ONCE])
            connection.execute(sa.delete(pending).where(pending.c.plan_id == plan_id, of_these))
        rows = sum(line.number in set(numbers) and not line.is_beside for line in lines)
        values: dict[str, Any] = {}
        if rows:
            values["removed"] = sa.func.coalesce(plans.c.removed, 0) + rows
        if any(refusal[0] in written for refusal in state.get("held_back", ())):
            kept = [refusal for refusal in state["held_back"] if refusal[0] not in written]
            values["state"] = json.dumps({**state, "held_back": kept})
        if values:
            connection.execute(sa.update(plans).where(plans.c.plan_id == plan_id).values(**values))

    def _lines_of(
        self, connection: sa.Connection, plan_id: str, people: Collection[PersonKey], written: Collection[str]
    ) -> Iterator[_Line]:
        """Return the pending rows of a plan that are about these people."""
        pending, last = self._tables.pending.c, -1
        while True:
            may_be = sa.or_(pending.contact_key.in_(sorted(written)), pending.payload.is_not(None))
            after = sa.and_(pending.plan_id == plan_id, pending.number > last, may_be)
            query = sa.select(self._tables.pending).where(after).order_by(pending.number).limit(_LINES_AT_ONCE)
            lines = connection.execute(query).fetchall()
            if not lines:
                return
            last = lines[-1].number
            for line in lines:
                about, is_beside = self._read(line, people)
                if line.contact_key in written or not about.isdisjoint(people):
                    yield _Line(line.number, line.file, is_beside)

    def _read(self, line: Any, people: Collection[PersonKey]) -> tuple[set[PersonKey], bool]:
        """Return those of some people whom a pending row names, and whether the row in it already has an outcome."""
        if line.payload is None:
            return set(), False
        if names_people(line.payload):
            return set().union(*(payloads.named_in(line.payload, people) for payloads in self._payloads)), False
        for payloads in self._payloads:
            try:
                patch = payloads.unpacked(line)
            except (JournalError, json.JSONDecodeError):
                continue  # the row is stored with another secret, or without one
            found = {
                PersonKey(kind, self._same_key[kind](value))
                for name, kind in _PROPERTIES.items()
                if isinstance(value := patch.naming.get(name), str)
            }
            found |= {PersonKey("email", self._same_key["email"](patch.key))} if "@" in patch.key else set()
            return found, patch.counted_as is not None
        return set(), False

    def _open_uploads(self, connection: sa.Connection, people: Collection[PersonKey]) -> Iterator[OpenUpload]:
        written, plans = self.written_keys(people), self._tables.plans.c
        query = sa.select(plans.plan_id, plans.sync_id, plans.run_id, plans.task, plans.state)
        for plan in connection.execute(query).fetchall():
            state = {} if self._is_mine(plan) else json.loads(plan.state)
            groups = open_files_by_group(state)
            if not groups:
                continue
            lines = self._lines_of(connection, plan.plan_id, people, written)
            files = {number for line in lines for number in groups.get(group_of(line.file), ())}
            if files:
                yield from uploads_of(plan.plan_id, state, files, is_at_work=self._is_at_work(connection, plan))

    def _is_at_work(self, connection: sa.Connection, plan: Any) -> bool:
        """Whether a process of the plan's task holds its claim and is not deferred."""
        claims = self._tables.claims.c
        now = float(connection.execute(dialect_named(connection.dialect.name).clock).scalar_one())
        of_task = sa.and_(claims.sync_id == plan.sync_id, claims.run_id == plan.run_id, claims.task == plan.task)
        query = sa.select(sa.func.count()).where(of_task, claims.lease_until > now, claims.answered_until.is_not(None))
        return bool(connection.execute(query).scalar_one())


def _erasure(sync_id: str, run_id: str, task: str) -> tuple[str, str, str]:
    """Return the identity that all instances of a mapped task share.

    :param task: the id of the task, followed by the map index in brackets.
    """
    return sync_id, run_id, task.rpartition("[")[0]
