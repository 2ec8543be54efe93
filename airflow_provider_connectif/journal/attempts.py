"""Records the attempts of a task of a run, groups them into series, and adds up their counts.

A *series* is a task and its retries. Later attempts do not send again what the series has delivered or what was
rejected in it. A task that is cleared after its end begins a new series.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

import sqlalchemy as sa

from airflow_provider_connectif.journal.history import History
from airflow_provider_connectif.journal.record_tables import RUN_COUNTS, RUN_FACTS
from airflow_provider_connectif.journal.states import ACKNOWLEDGED, UNDELIVERED
from airflow_provider_connectif.journal.tables import JournalTables
from airflow_provider_connectif.reporting.verdict import Verdict

_ENDED_FOR_GOOD = (Verdict.SUCCESS, Verdict.SKIPPED, Verdict.FAILED)
_KEPT_S = 90 * 86400.0


class Counted(Protocol):
    """Interface: returns the counts of a run, as :class:`airflow_provider_connectif.reporting.report.Report` does."""

    def as_counts(self) -> Mapping[str, Any]:
        """Return the counts, JSON-ready and without personal data."""

    def as_columns(self) -> Mapping[str, Any]:
        """Return the counts and facts that have a column of their own in the table of runs, by column.

        The columns are in :func:`airflow_provider_connectif.journal.record_tables.run_columns`.
        """


@dataclass(frozen=True)
class AttemptNumbers:
    """Airflow's numbers of an attempt. A number is ``None`` if it is not known, for example outside a task.

    :param try_number: number of this attempt among all attempts of the task in this run, from 1. A process after a
        deferral belongs to the same attempt.
    :param max_tries: the try number of the last retry, less 1. Clearing the task sets it to the last try number plus
        ``retries`` (``airflow.models.taskinstance.clear_task_instances``, Airflow 2.11 to 3.3).
    :param retries: the task's argument ``retries``.
    :param comes_back: whether the process continues after a deferral.
    """

    try_number: int | None = None
    max_tries: int | None = None
    retries: int | None = None
    comes_back: bool = False

    @property
    def first_try_number(self) -> int | None:
        """The number of the first attempt since the task was last cleared, or since the run began."""
        if self.max_tries is None or self.retries is None:
            return None
        return self.max_tries - self.retries + 1

    @property
    def is_retry(self) -> bool:
        """Whether Airflow itself has started this attempt as a retry, or after a deferral: nobody cleared the task."""
        first = self.first_try_number
        return self.comes_back or (first is not None and self.try_number is not None and self.try_number > first)

    def continues(self, last: Any) -> bool:
        """Whether this attempt belongs to the series of the last one.

        :param last: the record of the last attempt: ``verdict``, ``try_number``, ``max_tries``.
        """
        if self.comes_back:
            return True
        is_other = self.try_number != last.try_number
        is_last_one = None not in (last.try_number, last.max_tries) and last.try_number > last.max_tries
        if last.verdict not in _ENDED_FOR_GOOD and not (is_last_one and is_other):
            return True
        # If Airflow did not notice the end of that attempt, it retries, although nobody has cleared the task.
        first = self.first_try_number
        return (
            first is not None
            and None not in (self.try_number, last.try_number)
            and bool(self.try_number > last.try_number >= first)
        )


@dataclass
class Series:
    """The series that an attempt belongs to.

    :param generation: the generation of this process, from :class:`airflow_provider_connectif.journal.lease.Lease`.
    :param earlier: the generations of the earlier processes of the series.
    :param tries: number of attempts in the series, including this one.
    :param started_at: start of the first attempt, in seconds since the epoch.
    :param counts: the counts of the earlier processes together; empty for the first process.
    :param keyless_before: number of rows without a valid key in the previous run; 0 if it is not known.
    :param run_id: the run of the earlier attempts, if the journal has no record of them; otherwise ``None``.
    :param attempt: the generation that marks the run's lines in the history; ``None`` if it has none.
    """

    generation: int = 0
    earlier: frozenset[int] = frozenset()
    tries: int = 1
    started_at: float = 0.0
    counts: Mapping[str, Any] = field(default_factory=dict)
    keyless_before: int = 0
    run_id: str | None = None
    attempt: int | None = None

    @property
    def has_earlier(self) -> bool:
        """Whether earlier processes of the series may have delivered or refused rows."""
        return bool(self.earlier or self.run_id)

    def delivered_earlier(self, line: Any) -> bool:
        """Whether the last delivery of a line's contact is from an earlier process of the series."""
        if line.delivered_generation is None:  # written before version 3
            return self.run_id is not None and line.run_id == self.run_id and line.state == ACKNOWLEDGED
        return line.delivered_generation in self.earlier

    def has_met(self, line: Any) -> bool:
        """Whether the last outcome of a line is from a process of the series, and is not ``undelivered``."""
        if line.generation is None or line.state == UNDELIVERED:
            return False
        is_unrecorded = self.run_id is not None and line.run_id == self.run_id
        return line.generation == self.generation or line.generation in self.earlier or is_unrecorded


def run_key(run_id: str, task: str) -> str:
    """Return a digest that identifies a task of a run in the tables. Both names are too long for a key of MySQL."""
    return hashlib.blake2b(f"{run_id}\n{task}".encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


class Attempts:
    """Writes and reads the record of one task of one run.

    :param tables: the tables of the journal.
    :param sync_id: the id of the sync.
    :param run_id: the run.
    :param task: the id of the task, with its map index.
    :param of_airflow: ``dag_id``, ``task_id`` and ``map_index``, for queries by people.
    :param history: the history of the run; ``None``, the default: the run writes none.
    """

    def __init__(
        self,
        tables: JournalTables,
        sync_id: str,
        run_id: str,
        task: str,
        of_airflow: Mapping[str, Any] | None = None,
        history: History | None = None,
    ) -> None:
        self._of_airflow = of_airflow or {}
        self._history = history
        self._runs, self._lines = tables.runs, tables.lines
        self._sync_id, self._run_id, self._task = sync_id, run_id, task
        self.series = Series(tries=0)
        """The series of this attempt, once the transaction of :meth:`begin` is committed."""
        self.counted: Counted | None = None
        """Returns the counts that :meth:`note` records."""
        self._key = run_key(run_id, task)
        runs = self._runs.c
        self._update = sa.update(self._runs).where(
            runs.sync_id == sa.bindparam("of_sync"),
            runs.run_key == sa.bindparam("of_run"),
            runs.generation == sa.bindparam("of_generation"),
        )

    def begin(self, connection: sa.Connection, numbers: AttemptNumbers, generation: int) -> Series:
        """Record that an attempt begins, or continues after a deferral.

        :param generation: the generation of this process.
        :return: the series of the attempt.
        """
        runs, now = self._runs.c, datetime.now(UTC)
        last = connection.execute(sa.select(self._runs).where(self._is_mine)).first()
        series = Series(generation, started_at=now.timestamp(), keyless_before=self.keyless_before(connection))
        values: dict[str, Any] = {"started_at": now, "counts": "{}"}
        if last is not None and numbers.continues(last):
            started_at = last.started_at if last.started_at.tzinfo else last.started_at.replace(tzinfo=UTC)
            series.earlier = frozenset(json.loads(last.generations))
            series.tries = last.tries + (not numbers.comes_back)
            series.started_at = min(started_at.timestamp(), now.timestamp())
            series.counts = json.loads(last.counts)
            values = {}
        elif last is None and numbers.is_retry:
            series.run_id = self._run_id
        values |= {
            "tries": series.tries,
            "try_number": numbers.try_number,
            "max_tries": numbers.max_tries,
            "verdict": None,
            "ended_at": None,
            "generation": generation,
            "generations": json.dumps(sorted({*series.earlier, generation})),
        }
        series.attempt = None if last is None else last.attempt
        if last is not None:
            connection.execute(sa.update(self._runs).where(self._is_mine).values(**values))
            return series
        old = sa.and_(
            runs.sync_id == self._sync_id, runs.started_at < datetime.fromtimestamp(now.timestamp() - _KEPT_S, UTC)
        )
        connection.execute(sa.delete(self._runs).where(old))
        names = {"sync_id": self._sync_id, "run_key": self._key, "run_id": self._run_id, "task": self._task}
        connection.execute(sa.insert(self._runs), {**names, **self._of_airflow, **values})
        return series

    def note(self, connection: sa.Connection, **values: Any) -> None:
        """Record the counts of the attempt so far, or its end; do nothing if a newer attempt has begun.

        :param values: values of the columns ``verdict``, ``keyless`` and ``ended_at``, at the end of the attempt.
        """
        if self._history is not None:
            values["attempt"] = self._history.attempt
        counts = {} if self.counted is None else self.counted.as_counts()
        if self.counted is not None:
            columns = self.counted.as_columns()
            values |= {name: columns.get(name, 0) for name in RUN_COUNTS}
            values |= {name: columns.get(name) for name in RUN_FACTS}
        # Only this process's line: a newer attempt has another generation.
        mine = {"of_sync": self._sync_id, "of_run": self._key, "of_generation": self.series.generation}
        connection.execute(self._update, {**mine, "counts": json.dumps(counts), **values})

    def keyless_before(self, connection: sa.Connection) -> int:
        """Return the number of rows without a valid key in the last other run that has read its source to the end.

        A run whose source had no row does not count: one empty night must not make known rows new.

        If the same task had no such run, that of another task of the sync counts which is not mapped. An example is a
        DAG for the first load.
        """
        runs = self._runs.c
        is_mine = runs.task == self._task
        others = sa.and_(
            runs.sync_id == self._sync_id,
            sa.or_(is_mine, runs.task.endswith("[-1]", autoescape=True)),
            runs.run_id != self._run_id,
            runs.keyless.is_not(None),
            sa.func.coalesce(runs.rows_read, 1) > 0,  # not known of runs of earlier versions
        )
        mine_first = sa.case((is_mine, 0), else_=1)
        query = sa.select(runs.keyless).where(others).order_by(mine_first, runs.generation.desc()).limit(1)
        return int(connection.execute(query).scalar() or 0)

    @property
    def _is_mine(self) -> Any:
        return sa.and_(self._runs.c.sync_id == self._sync_id, self._runs.c.run_key == self._key)
