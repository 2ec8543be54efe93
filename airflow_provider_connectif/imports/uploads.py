"""Brings files to Connectif, one after the other, and notices meanwhile which imports have ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from airflow_provider_connectif.imports.files import ImportFile
from airflow_provider_connectif.imports.layout import Columns
from airflow_provider_connectif.imports.requests import QueueFull
from airflow_provider_connectif.imports.rules import ImportRules
from airflow_provider_connectif.imports.settlement import Settlement
from airflow_provider_connectif.imports.watch import Watch
from airflow_provider_connectif.journal.import_state import ImportState
from airflow_provider_connectif.records.outcomes import Stop, StopKind
from airflow_provider_connectif.reporting.progress import Log, describe_bytes, plural
from airflow_provider_connectif.reporting.verdict import Trouble, stop_verdict

_COLUMNS_NAMED = 3


class Uploads:
    """The uploads of one run.

    :param watch: polls imports.
    :param rules: of the run.
    :param save: writes down how far the run is.
    :param log: of the task.
    """

    def __init__(
        self,
        watch: Watch,
        rules: ImportRules,
        save: Callable[[], None],
        log: Log,
    ) -> None:
        self._watch = watch
        self._rules = rules
        self._save = save
        self._log = log
        self._is_full_logged = False

    def upload(
        self,
        state: ImportState,
        files: Mapping[int, ImportFile],
        settlement: Settlement,
        planned_at: float,
        may_give_back: Callable[[], bool],
    ) -> bool:
        """Upload what is not there yet; whether that was all.

        :param files: on disk, by number.
        :param planned_at: when the source was read, in seconds since the epoch.
        :param may_give_back: whether to stop where the queue is full, rather than to wait with a worker.
        :raises Trouble: Connectif does not take a file, or the plan is too old.
        """
        for place, sent in enumerate(state.files):
            while sent.import_id is None:
                settlement.settle_due()
                if time.time() - planned_at > self._rules.plan_max_age_s:
                    raise Trouble(*stop_verdict(Stop(StopKind.PLAN_TOO_OLD), ""))
                file, wait_for_lost = files[sent.file], self._watch.until_none_is_open
                try:
                    one = self._watch.requests.upload(file.path, sent, self._save, state.known_ids, wait_for_lost)
                except QueueFull as full:
                    if may_give_back():
                        return False
                    if not self._is_full_logged:
                        self._log.info("The queue of imports is full; those of the app count too. Waiting for room")
                        self._is_full_logged = True
                    self._watch.waiting.before_retry(1, full.retry_after_s, self._rules.poll_interval_s)
                    continue
                sent.import_id = one.id
                state.is_all_sent = all(other.import_id is not None for other in state.files)
                self._save()
                self._log.info(
                    "Import %s: file %d of %d, %s, %s, columns: %s",
                    one.id,
                    place + 1,
                    len(state.files),
                    plural(sent.rows, "row"),
                    describe_bytes(file.size),
                    _described(file.columns),
                )
        return True


def _described(columns: Columns) -> str:
    """Columns in few words; without any, a file creates contacts that have nothing but a key."""
    if not columns:
        return "the key only"
    more = len(columns) - _COLUMNS_NAMED
    return ", ".join(columns[:_COLUMNS_NAMED]) + (f" and {more:,} more" if more > 0 else "")
