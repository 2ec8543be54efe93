"""Stores the remaining changes of a deferred task in the journal's database, in the order of sending.

Patches are personal data. A plan contains them only while they are pending: the transaction that records a change's
outcome deletes its line, and a plan is deleted with its task, by a newer run of its sync, or after its retention.
"""

from __future__ import annotations

import copy
import json
import time
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from airflow_provider_connectif.journal.database import JournalDatabase
from airflow_provider_connectif.journal.digests import key_digester
from airflow_provider_connectif.journal.import_lines import ImportLines
from airflow_provider_connectif.journal.import_state import has_open_files
from airflow_provider_connectif.journal.payloads import Payloads
from airflow_provider_connectif.records.changes import Digests, Patch
from airflow_provider_connectif.records.outcomes import taken_over
from airflow_provider_connectif.records.rows import BATCH_BYTES

_LINES_AT_ONCE = 1000
_FIRST_LINES = 100  # lines in the first batch; the size of a line is not known before


class Plan:
    """The pending patches of one task of one run, in the journal's database.

    :param database: the journal's database.
    :param sync_id: the id of the sync.
    :param run_id: the run.
    :param task: distinguishes the tasks of a run.
    :param key_secret: the secret if the journal stores no plain keys. Patches are then encrypted with a key that is
        derived from it.
    :param keeps_rows: whether rows are stored with their patches, for the rejects file.
    :param retention_s: seconds after which any run may delete a plan that no process has continued.
    """

    def __init__(
        self,
        database: JournalDatabase,
        sync_id: str,
        run_id: str,
        task: str,
        *,
        key_secret: bytes | None,
        keeps_rows: bool,
        retention_s: float,
    ) -> None:
        self._database = database
        self._plans, self._pending = database.tables.plans, database.tables.pending
        self._sync_id, self.run_id, self._task = sync_id, run_id, task
        self._written_key = key_digester(key_secret)
        self._payloads = Payloads(key_secret, keeps_rows=keeps_rows)
        self._retention_s = retention_s
        self._last_place = 0
        self._gathered: list[dict[str, Any]] = []
        self._gathered_bytes = 0
        self._plan_id: str | None = None

    @property
    def _is_mine(self) -> Any:
        plans = self._plans.c
        return sa.and_(plans.sync_id == self._sync_id, plans.run_id == self.run_id, plans.task == self._task)

    def load(self) -> dict[str, Any] | None:
        """Return the state that the previous process stored; ``None`` if there is no plan.

        After that, :meth:`add` numbers patches from the last number of the stored patches on.
        """
        query = sa.select(self._plans.c.plan_id, self._plans.c.state).where(self._is_mine)
        found = self._database.read(lambda connection: connection.execute(query).first())
        if found is None:
            return None
        self._plan_id = found.plan_id
        last = sa.select(sa.func.max(self._pending.c.number)).where(self._pending.c.plan_id == self._plan_id)
        self._last_place = self._database.read(lambda connection: connection.execute(last).scalar()) or 0
        state: dict[str, Any] = json.loads(found.state)
        return state

    def sweep(self, *, keeps_mine: bool = False) -> None:
        """Delete plans of earlier attempts of this task and of other runs of the sync, and all plans that are too old.

        Plans with open imports stay until they are too old: see :meth:`with_open_imports`.

        :param keeps_mine: keep the plan of this task.
        """
        plans = self._plans.c
        kept = [plan._plan_id for plan, _ in self.with_open_imports(includes_mine=True)]
        is_left = self._is_of_another_run if keeps_mine else sa.or_(self._is_of_another_run, self._is_mine)
        is_to_go = sa.or_(sa.and_(is_left, plans.plan_id.not_in(kept)), plans.kept_until < time.time())
        self._delete(sa.and_(is_to_go, sa.not_(self._is_mine)) if keeps_mine else is_to_go)
        self._plan_id = None

    @property
    def _is_of_another_run(self) -> Any:
        return sa.and_(self._plans.c.sync_id == self._sync_id, self._plans.c.run_id != self.run_id)

    def with_open_imports(self, *, includes_mine: bool = False) -> list[tuple[Plan, dict[str, Any]]]:
        """Return the plans of other runs of the sync that have open imports, each with its state; the oldest first.

        This process must have the claim to the sync. Then these runs are no longer running.

        :param includes_mine: whether to return the plan of an earlier attempt of this task, too.
        """
        plans = self._plans.c
        is_earlier = sa.or_(self._is_of_another_run, self._is_mine) if includes_mine else self._is_of_another_run
        query = sa.select(plans.plan_id, plans.run_id, plans.task, plans.state).where(
            is_earlier, plans.kept_until >= time.time()
        )
        found = []
        for line in self._database.rows(query.order_by(plans.kept_until)):
            state = json.loads(line.state)
            if has_open_files(state):
                plan = copy.copy(self)
                plan._plan_id, plan.run_id, plan._task, plan._gathered = line.plan_id, line.run_id, line.task, []
                found.append((plan, state))
        return found

    def add(self, patches: Iterable[Patch], same_contact: Any) -> None:
        """Store patches, in the order of sending.

        The patches are written in blocks of a thousand. :meth:`save` writes the rest.

        :param same_contact: returns the journal's form of a contact key.
        """
        for patch in patches:
            row, sent, mapping, properties, _ = patch.digests or Digests("", "", "")
            self._last_place += 1
            self._gathered.append(
                {
                    "number": self._last_place,
                    "contact_key": self._written_key(same_contact(patch.key)),
                    "row_digest": row,
                    "patch_digest": sent,
                    "mapping_digest": mapping,
                    "properties": properties,
                    "payload": self._payloads.packed(patch),
                }
            )
            self._gathered_bytes += len(self._gathered[-1]["payload"])
            if len(self._gathered) >= _LINES_AT_ONCE or self._gathered_bytes >= BATCH_BYTES:
                self._write_gathered()

    def save(self, state: Mapping[str, Any]) -> None:
        """Store the remaining patches and the state of the run.

        :raises JournalError: another attempt has taken over the sync and this plan.
        """
        self._write_gathered(state=json.dumps(state))

    @property
    def import_lines(self) -> ImportLines:
        """The contacts of the run's import files. A plan is created if there is none yet."""
        return ImportLines(self._database, self._pending, self._made(), self._written_key, self._payloads)

    def save_in(self, connection: sa.Connection, state: Mapping[str, Any]) -> None:
        """Store the state of the run, within a transaction."""
        self._keep(connection, state=json.dumps(state))

    def count(self) -> int:
        """Return the number of pending patches."""
        self._write_gathered()
        if self._plan_id is None:
            return 0
        query = sa.select(sa.func.count()).where(self._pending.c.plan_id == self._plan_id)
        return int(self._database.read(lambda connection: connection.execute(query).scalar_one()))

    def patches(self) -> Iterator[Sequence[Patch]]:
        """Yield the pending patches in the order in which they were added, in batches.

        :raises JournalError: another attempt has taken over the sync and this plan.
        """
        self._write_gathered()
        pending, last, at_once = self._pending.c, 0, _FIRST_LINES
        while self._plan_id is not None:
            after = sa.and_(pending.plan_id == self._plan_id, pending.number > last)
            query = sa.select(self._pending).where(after).order_by(pending.number).limit(at_once)
            lines = self._database.rows(query)
            # After the query: if another attempt has deleted the plan, this raises an error. Otherwise an empty result
            # would look like the end of the plan.
            self._database.write(self._keep)
            if not lines:
                return
            last = lines[-1].number
            weight = sum(len(line.payload) for line in lines)
            at_once = max(1, min(_LINES_AT_ONCE, 4 * len(lines), BATCH_BYTES * len(lines) // max(1, weight)))
            yield [self._payloads.unpacked(line) for line in lines]

    def settle(self, connection: sa.Connection, places: Sequence[int]) -> int:
        """Remove changes from the plan, in the transaction that records their outcomes.

        :param places: the places of the changes in the plan.
        :return: number of removed changes.
        """
        pending = self._pending.c
        of_these = sa.and_(pending.plan_id == self._plan_id, pending.number.in_(places))
        return connection.execute(sa.delete(self._pending).where(of_these)).rowcount

    def settle_counted(self, connection: sa.Connection, places: Collection[int]) -> None:
        """Remove changes whose outcomes are counted, in the transaction that records these outcomes.

        An erasure may have removed some of the changes while their requests were running, and has counted them as
        removed. That count is reduced by these changes, so that each row has one outcome.

        :param places: the places of the changes in the plan.
        """
        missing = len(set(places)) - self.settle(connection, sorted(set(places)))
        if missing:
            removed = sa.func.coalesce(self._plans.c.removed, 0)
            left = sa.case((removed > missing, removed - missing), else_=0)
            of_plan = self._plans.c.plan_id == self._plan_id
            connection.execute(sa.update(self._plans).where(of_plan).values(removed=left))

    def take_removed(self) -> int:
        """Return the number of rows that erasures have removed since the last call.

        Changes without a row of their own do not count.
        """
        if self._plan_id is None:
            return 0
        of_plan = self._plans.c.plan_id == self._plan_id

        def take(connection: sa.Connection) -> int:
            # This locks the line, so that no erasure changes it before it is set to 0.
            connection.execute(sa.update(self._plans).where(of_plan).values(removed=self._plans.c.removed))
            found = connection.execute(sa.select(self._plans.c.removed).where(of_plan)).scalar() or 0
            if found:
                connection.execute(sa.update(self._plans).where(of_plan).values(removed=0))
            return int(found)

        return self._database.write(take)

    def drop(self) -> None:
        """Delete the whole plan, since the task has ended."""
        self._gathered.clear()
        if self._plan_id is not None:
            self._delete(self._plans.c.plan_id == self._plan_id)
            self._plan_id = None

    def _keep(self, connection: sa.Connection, **values: Any) -> None:
        """Renew the plan's retention. Until the transaction ends, no other process can delete the plan.

        :param values: values of further columns of the plan.
        :raises JournalError: another process has deleted the plan.
        """
        kept = sa.update(self._plans).where(self._plans.c.plan_id == self._plan_id)
        if not connection.execute(kept.values(kept_until=time.time() + self._retention_s, **values)).rowcount:
            raise taken_over(self._sync_id)

    def _made(self) -> str:
        """Return the plan's id; create the plan if there is none.

        Each attempt gets a new id, so a leftover process of an earlier attempt cannot write to the plan.
        """
        if self._plan_id is None:
            made = uuid.uuid4().hex
            values: dict[str, Any] = {
                "plan_id": made,
                "sync_id": self._sync_id,
                "run_id": self.run_id,
                "task": self._task,
            }
            values |= {"kept_until": time.time() + self._retention_s, "state": "{}"}
            self._database.write(lambda connection: connection.execute(sa.insert(self._plans), values))
            self._plan_id = made
        return self._plan_id

    def _write_gathered(self, **values: Any) -> None:
        """Write the collected patches, and values of the plan's columns in the same transaction."""
        if not (self._gathered or values):
            return
        plan_id = self._made()
        lines = [{"plan_id": plan_id, **line} for line in self._gathered]

        def write(connection: sa.Connection) -> None:
            self._keep(connection, **values)  # a line without its plan would never be deleted
            if lines:
                connection.execute(sa.insert(self._pending), lines)

        self._database.write(write)
        self._gathered.clear()
        self._gathered_bytes = 0

    def _delete(self, which: Any) -> None:
        def delete(connection: sa.Connection) -> None:
            ids = [row.plan_id for row in connection.execute(sa.select(self._plans.c.plan_id).where(which))]
            if ids:
                # The plans first. This waits for processes that are writing lines of these plans.
                connection.execute(sa.delete(self._plans).where(self._plans.c.plan_id.in_(ids)))
                connection.execute(sa.delete(self._pending).where(self._pending.c.plan_id.in_(ids)))

        self._database.write(delete)
