"""The history: one line for the outcome of each row of a run, except unchanged rows. It is written with the lines.

A line of the history has the contact's key, the outcome, and the ids of properties, but never a value. An attempt's
line of a contact replaces those of earlier attempts. So, at the end, a run has the lines of its last attempt that has
read the source to its end, and these add up to the run's summary.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from airflow_provider_connectif.journal.dialects import dialect_named
from airflow_provider_connectif.journal.record_tables import LONGEST_REASON
from airflow_provider_connectif.journal.tables import JournalTables

_KEYS_AT_ONCE = 500
_DELIVERED = ("created", "updated", "imported", "removed")
LEFT_BEHIND = 0
"""The number in the column ``attempt`` of lines for rows without an outcome. Lines of any attempt replace them."""


class History:
    """Writes the history of one task of one run.

    :param tables: the tables of the journal.
    :param sync_id: the id of the sync.
    :param run_id: the run.
    :param run_key: identifies the task of the run in the tables.
    :param written_key: returns a contact key in the form of the tables.
    :param most_lines: largest number of lines for each outcome. Further rows are only counted in the table of runs.
    """

    def __init__(
        self,
        tables: JournalTables,
        sync_id: str,
        run_id: str,
        run_key: str,
        written_key: Callable[[str], str],
        most_lines: int,
    ) -> None:
        self._outcomes = tables.outcomes
        self._insert: Any = None  # built once, since each transaction needs it
        self._names = {"sync_id": sync_id, "run_id": run_id, "run_key": run_key}
        self._written_key = written_key
        self._most_lines = most_lines
        self._counts: Counter[str] = Counter()
        self._new: list[dict[str, Any]] = []
        self._keys: dict[str, str] = {}
        self._kept: list[str] = []
        self._corrected: list[dict[str, Any]] = []
        self._may_replace = False
        self._has_replaced_nameless = False
        self._since: float | None = None
        self.attempt = 0
        """The generation of the process that began to read the source. It distinguishes the lines of attempts."""

    @property
    def of_run(self) -> Any:
        """The condition for the lines of this task of the run."""
        outcomes = self._outcomes.c
        return sa.and_(
            outcomes.sync_id == self._names["sync_id"],
            outcomes.run_key == self._names["run_key"],
        )

    @property
    def of_earlier_attempts(self) -> Any:
        """The condition for lines that this attempt replaces."""
        return sa.and_(self.of_run, self._outcomes.c.attempt != self.attempt)

    @property
    def waits_since(self) -> float | None:
        """The time since which a line waits to be written, by ``time.monotonic``; ``None`` if no line waits."""
        return self._since

    @property
    def waiting(self) -> int:
        """Number of lines that wait to be written."""
        return len(self._new) + len(self._kept) + len(self._corrected)

    @property
    def place(self) -> tuple[int, int]:
        """The place in the waiting lines, for :meth:`back_to`."""
        return len(self._new), len(self._corrected)

    def back_to(self, place: tuple[int, int]) -> None:
        """Withdraw the lines that were added since :attr:`place` had a value and are not written yet."""
        new, corrected = place
        self._counts.subtract(line["outcome"] for line in self._new[new:])
        del self._new[new:], self._corrected[corrected:]

    def continue_attempt(self, connection: sa.Connection, attempt: int) -> None:
        """Continue an attempt that another process has begun: add lines to those of that process.

        :param attempt: the generation of the process that began to read the source.
        """
        self.attempt, self._may_replace = attempt, True
        outcomes = self._outcomes.c
        mine = sa.and_(self.of_run, outcomes.attempt == attempt)
        query = sa.select(outcomes.outcome, sa.func.count()).where(mine).group_by(outcomes.outcome)
        self._counts = Counter({outcome: int(count) for outcome, count in connection.execute(query)})

    def begin_attempt(self, attempt: int, *, is_first: bool) -> None:
        """Begin to read the source from its first row: new lines replace those of earlier attempts.

        :param attempt: the generation of this process.
        :param is_first: whether the run has no lines yet.
        """
        self.attempt, self._may_replace = attempt, not is_first
        self._counts.clear()

    def add(
        self,
        outcome: str,
        key: str | None,
        *,
        properties: Collection[str] = (),
        status: int | None = None,
        reason: str = "",
        is_written: bool = False,
        is_left_behind: bool = False,
    ) -> bool:
        """Add the outcome of a row.

        :param key: the key of the row's contact in the journal's form; ``None`` if it is not valid or not known.
        :param properties: ids of the properties that were sent or planned.
        :param status: the HTTP status of the response; ``None`` if no response decided.
        :param reason: the reason, without personal data; empty if there is none.
        :param is_written: whether the key has the form of the tables.
        :param is_left_behind: whether the run ended before the row had an outcome.
        :return: ``False`` if the limit of lines for this outcome is reached.
        """
        if self._counts[outcome] >= self._most_lines:
            return False
        self._counts[outcome] += 1
        self._note_wait()
        written = key if key is None or is_written else self._written_key(key)
        if key is not None and written is not None:
            self._keys[written] = key
        self._new.append(
            {
                **self._names,
                "attempt": LEFT_BEHIND if is_left_behind else self.attempt,
                "contact_key": written,
                "outcome": outcome,
                "properties": _as_json(tuple(properties)) if properties else None,
                "status_code": status,
                "reason": reason[:LONGEST_REASON] or None,
                "at": datetime.now(UTC),
            }
        )
        return True

    def add_many(self, outcome: str, rows: int, reason: str = "") -> None:
        """Add the same outcome for several rows. The lines have no key, since it is not known which rows these are."""
        for _ in range(rows):
            if not self.add(outcome, None, reason=reason):
                return

    def fill_up(self, outcome: str, rows: int) -> None:
        """Add lines without a key until the run has so many lines with an outcome.

        :param rows: the number of lines that the outcome shall have.
        """
        self.add_many(outcome, rows - self._counts[outcome])

    def keep(self, outcome: str, key: str) -> None:
        """Keep the line of a row that an earlier attempt of the run delivered; count it for this attempt.

        :param outcome: the outcome in that line.
        :param key: the key of the contact in the journal's form.
        """
        if self._counts[outcome] < self._most_lines:
            self._counts[outcome] += 1
            self._note_wait()
            self._kept.append(self._written_key(key))

    def correct(
        self,
        earlier: str,
        outcome: str,
        key: str,
        *,
        status: int | None = None,
        reason: str = "",
        is_written: bool = False,
    ) -> None:
        """Replace the outcome of a row that was added before.

        :param earlier: the outcome that was added.
        :param outcome: the outcome that replaces it.
        :param key: as in :meth:`add`, like ``status``, ``reason`` and ``is_written``.
        """
        self._note_wait()
        self._corrected.append(
            {
                "of_key": key if is_written else self._written_key(key),
                "of_outcome": earlier,
                "outcome": outcome,
                "status_code": status,
                "reason": reason[:LONGEST_REASON] or None,
                "at": datetime.now(UTC),
            }
        )

    def write(self, connection: sa.Connection) -> None:
        """Write the waiting lines, in the transaction of the journal's lines. The transaction may be repeated."""
        if self._kept:
            is_delivered = self._outcomes.c.outcome.in_(_DELIVERED)
            for some in _parts(self._kept):
                mine = sa.and_(self.of_earlier_attempts, self._outcomes.c.contact_key.in_(some), is_delivered)
                connection.execute(sa.update(self._outcomes).where(mine).values(attempt=self.attempt))
        if self._may_replace:
            named = [line for line in self._new if line["contact_key"] is not None]
            keys = {line["contact_key"] for line in named if line["properties"] is not None}
            # Contacts of rows that were not sent. An earlier attempt may have delivered another row of such a contact.
            not_sent = {line["contact_key"] for line in named} - keys
            self._replace(connection, keys, not_sent, has_nameless=len(named) < len(self._new))
        if self._new:
            dialect = dialect_named(connection.dialect.name)
            if self._insert is None:
                self._insert = dialect.insert_lines(self._outcomes, list(self._new[0]))
            connection.execute(self._insert, dialect.pack_lines(self._new))
        for correction in self._corrected:
            self._correct(connection, dict(correction))

    def write_group(
        self,
        connection: sa.Connection,
        outcome: str,
        source: Any,
        rows: int,
        reason: str = "",
        *,
        is_left_behind: bool = False,
    ) -> None:
        """Write one outcome for many contacts whose keys are in another table, by one statement.

        :param source: a query for the keys, in the form of the tables, as its only column.
        :param rows: number of the keys.
        :param is_left_behind: as in :meth:`add`.
        """
        outcomes, room = self._outcomes.c, self._most_lines - self._counts[outcome]
        if room <= 0:
            return
        if self._may_replace:
            keys = source.subquery()
            among = outcomes.contact_key.in_(sa.select(keys.c[0]))
            connection.execute(sa.delete(self._outcomes).where(self.of_earlier_attempts, among))
        constants: dict[str, Any] = {
            **self._names,
            "attempt": LEFT_BEHIND if is_left_behind else self.attempt,
            "outcome": outcome,
            "reason": reason[:LONGEST_REASON] or None,
            "at": datetime.now(UTC),
        }
        literals = [sa.literal(value, outcomes[name].type) for name, value in constants.items()]
        selected = source.limit(room) if rows > room else source
        filled = selected.add_columns(*literals)
        connection.execute(sa.insert(self._outcomes).from_select(["contact_key", *constants], filled))

    def note_group(self, outcome: str, rows: int) -> None:
        """Note that the transaction of :meth:`write_group` is committed."""
        self._counts[outcome] = min(self._most_lines, self._counts[outcome] + rows)

    @property
    def keys(self) -> set[str]:
        """The keys of the new lines that wait to be written, as :meth:`add` got them."""
        return set(self._keys.values())

    def forget(self, keys: Collection[str]) -> None:
        """Remove the keys of erased contacts from the waiting lines.

        :param keys: the keys in the journal's form.
        """
        for line in self._new:
            if self._keys.get(line["contact_key"] or "") in keys:
                line["contact_key"] = None

    def clear(self) -> None:
        """Note that the waiting lines are written."""
        self._has_replaced_nameless |= self._may_replace and any(line["contact_key"] is None for line in self._new)
        self._new.clear()
        self._keys.clear()
        self._kept.clear()
        self._corrected.clear()
        self._since = None

    def _replace(
        self, connection: sa.Connection, keys: Collection[str], not_sent: Collection[str], *, has_nameless: bool
    ) -> None:
        """Delete the lines of earlier attempts for some contacts, and once those without a key.

        :param keys: contacts whose earlier lines are all deleted.
        :param not_sent: contacts with new lines only for rows that were not sent; lines about deliveries stay.
        :param has_nameless: whether there are new lines without a key.
        """
        outcomes = self._outcomes.c
        for contacts, which in ((keys, sa.true()), (not_sent, outcomes.outcome.not_in(_DELIVERED))):
            for some in _parts(sorted(contacts)):
                earlier = sa.and_(self.of_earlier_attempts, outcomes.contact_key.in_(some), which)
                connection.execute(sa.delete(self._outcomes).where(earlier))
        if has_nameless and not self._has_replaced_nameless:
            nameless = sa.and_(self.of_earlier_attempts, outcomes.contact_key.is_(None))
            connection.execute(sa.delete(self._outcomes).where(nameless))

    def _correct(self, connection: sa.Connection, correction: dict[str, Any]) -> None:
        """Correct the last line of a contact with an outcome. Another row of the contact may have the same outcome."""
        outcomes = self._outcomes.c
        of_contact = sa.and_(
            self.of_run,
            outcomes.contact_key == correction.pop("of_key"),
            outcomes.outcome == correction.pop("of_outcome"),
        )
        line_id = connection.execute(sa.select(sa.func.max(outcomes.id)).where(of_contact)).scalar()
        if line_id is not None:
            connection.execute(sa.update(self._outcomes).where(outcomes.id == line_id).values(**correction))

    def _note_wait(self) -> None:
        if self._since is None:
            self._since = time.monotonic()


@lru_cache(maxsize=1024)
def _as_json(properties: tuple[str, ...]) -> str:
    """Encode property ids. The result is cached, since most changes of a run set the same few properties."""
    return json.dumps(sorted(properties), ensure_ascii=False)


def _parts(keys: Collection[str]) -> Iterable[list[str]]:
    listed = list(keys)
    return (listed[first : first + _KEYS_AT_ONCE] for first in range(0, len(listed), _KEYS_AT_ONCE))
