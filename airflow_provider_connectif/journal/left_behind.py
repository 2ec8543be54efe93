"""Records changes as undelivered if a run ended before they had an outcome: in the lines and in the history."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

import sqlalchemy as sa

from airflow_provider_connectif.journal.history import History
from airflow_provider_connectif.journal.import_lines import ImportLines
from airflow_provider_connectif.journal.import_state import ImportState
from airflow_provider_connectif.journal.lines import NOTED
from airflow_provider_connectif.journal.run_lines import RunLines
from airflow_provider_connectif.journal.states import UNDELIVERED, outcome_columns
from airflow_provider_connectif.records.changes import Patch
from airflow_provider_connectif.records.outcomes import PendingError

_NOT_SENT = "not sent: {reason}"
_NO_RESULT = "the result of its import is not known: {reason}"
_WITHIN_S = 5.0  # a task that must stop has to end


class LeftBehind(Protocol):
    """Interface: records the changes of a run that have no outcome."""

    def note(self, lines: RunLines, history: History, reason: str) -> None:
        """Record the changes as undelivered.

        The history may list only a part of them. The count in the table of runs is exact.

        :param reason: why the run ended early. What is recorded says before it how far the changes came.
        """


class ChangesLeft:
    """Records changes whose patches are at hand.

    It stops at the history's limit of lines for an outcome, after five seconds, or if the changes cannot be read.

    :param batches: yields the changes that were not sent, or whose response did not arrive.
    :param same_key: returns one form for all spellings of a contact key.
    :param clock: returns a time in seconds.
    """

    def __init__(
        self,
        batches: Callable[[], Iterable[Sequence[Patch]]],
        same_key: Callable[[str], str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._batches = batches
        self._same_key = same_key
        self._clock = clock

    def note(self, lines: RunLines, history: History, reason: str) -> None:
        """See :meth:`LeftBehind.note`."""
        # The run has ended with the error of their file: its end must be recorded, also without the list.
        with suppress(PendingError):
            self._note(lines, history, _NOT_SENT.format(reason=reason))

    def _note(self, lines: RunLines, history: History, reason: str) -> None:
        until, seen = self._clock() + _WITHIN_S, set()
        for batch in self._batches():
            for patch in batch:
                if patch.counted_as is not None or patch.removal is not None:
                    continue
                key = self._key_of(patch)
                if key is None or key in seen:
                    continue
                seen.add(key)
                sent = (*patch.properties, *patch.later)
                if not history.add(UNDELIVERED, key, properties=sent, reason=reason, is_left_behind=True):
                    lines.commit()
                    return
                lines.note(key, UNDELIVERED, None, reason)
            lines.commit()
            if self._clock() > until:
                return

    def _key_of(self, patch: Patch) -> str | None:
        try:
            return self._same_key(patch.key)
        except Exception:  # noqa: BLE001 - a resource may raise anything; if it does, the run has ended with that error
            return None


class ContactsOfFilesLeft:
    """Records the contacts of files that were not uploaded, or whose imports have not ended.

    :param import_lines: the contacts of the run's files in the journal's database.
    :param state: the state of the run's imports.
    """

    def __init__(self, import_lines: ImportLines, state: Callable[[], ImportState]) -> None:
        self._import_lines = import_lines
        self._state = state

    def note(self, lines: RunLines, history: History, reason: str) -> None:
        """See :meth:`LeftBehind.note`. One statement writes all lines of a reason, and one the history."""
        rows, uploaded = self._state().rows_left, self._state().groups_uploaded
        for words, is_uploaded in ((_NO_RESULT, True), (_NOT_SENT, False)):
            some = {number: count for number, count in rows.items() if (number in uploaded) is is_uploaded}
            if some:
                self._note(lines, history, some, words.format(reason=reason))

    def _note(self, lines: RunLines, history: History, rows: Mapping[int, int], reason: str) -> None:
        database = lines.database
        names = {"sync_id": lines.sync_id, "run_id": lines.run_id, "generation": lines.generation}
        values = {**names, **outcome_columns(UNDELIVERED, None, reason)}
        which = self._import_lines.rows_of(list(rows))
        statement = database.tables.acknowledge_pending(database.dialect, which, list(NOTED), values)
        keys = self._import_lines.keys_of(list(rows))

        def write(connection: sa.Connection) -> None:
            connection.execute(statement)
            history.write_group(connection, UNDELIVERED, keys, sum(rows.values()), reason, is_left_behind=True)

        database.write(write)
