"""Polls the imports of a run: what each one's state means, and when it may be polled again."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterable, Sequence

from airflow_provider_connectif.api.clock import SYSTEM_CLOCK, Clock
from airflow_provider_connectif.api.errors import NotFoundError
from airflow_provider_connectif.api.imports import Import
from airflow_provider_connectif.delivery.backoff import retry_delay_s
from airflow_provider_connectif.delivery.response_policy import ResponsePolicy
from airflow_provider_connectif.imports.requests import ImportRequests
from airflow_provider_connectif.imports.rules import FATES, SHORTEST_POLL_DELAY_S, Fate, ImportRules, numbers_of
from airflow_provider_connectif.imports.waiting import Waiting
from airflow_provider_connectif.journal.import_state import SentFile
from airflow_provider_connectif.records.protocols import Client
from airflow_provider_connectif.reporting.effort import Effort
from airflow_provider_connectif.reporting.progress import Log, plural

_MOST_IDS = 3  # in a line of the log
_LOOKS = 3
_LONGEST_BETWEEN_LOOKS_S = 20.0


class Watch:
    """Polls imports: each at most once in ``poll_interval``.

    ``waiting``: between two polls; ends with the run. ``requests``: to the API; the author's ``on_response`` is about
    contacts only, and decides about none of them.

    :param client: of the API.
    :param rules: of the run.
    :param effort: of the run.
    :param is_stopped: whether the run was told to stop.
    :param log: gets a warning, once for each import, where a state is not documented.
    :param clock: of the delays.
    """

    def __init__(
        self,
        client: Client,
        rules: ImportRules,
        effort: Effort,
        is_stopped: Callable[[], bool],
        log: Log,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._clock = clock
        self._rules = rules
        self._log = log
        self.waiting = Waiting(rules, effort, is_stopped, log, client.longest_wait_s, clock)
        self.requests = ImportRequests(client, rules, ResponsePolicy(), self.waiting, log, effort.add_failure)
        self._seen: dict[str, Import] = {}
        self._polled_at: dict[str, float] = {}
        self._last_poll_at = -math.inf
        self._strange: set[str] = set()
        self._doubtful: dict[str, tuple[object, int]] = {}

    def due_in(self, import_id: str, began_at: float = 0.0) -> float:
        """Seconds until an import may be polled.

        :param began_at: when its upload began, in seconds since the epoch; 0: it is polled at once the first time.
        """
        interval, now = self._rules.poll_interval_s, self._clock.monotonic()
        polled_at = self._polled_at.get(import_id, now - (self._clock.now() - began_at) if began_at else -math.inf)
        failures, retry_after_s = self.requests.failed_polls
        gap = max(min(SHORTEST_POLL_DELAY_S, interval), retry_delay_s(failures, retry_after_s) if failures else 0.0)
        return max(polled_at + interval, self._last_poll_at + gap) - now

    def next_of(self, files: Sequence[SentFile]) -> SentFile:
        """The file whose import is to be polled next, once that may be done.

        :raises Trouble: the time of the run has ended, or Connectif asks for a longer delay than a worker may wait.
        """
        sent = min(files, key=lambda sent: self.due_in(str(sent.import_id)))
        failures, retry_after_s = self.requests.failed_polls
        if failures:
            self.waiting.check_length(retry_after_s or 0.0)
        self.waiting.pause(max(0.0, self.due_in(str(sent.import_id))))
        return sent

    def poll(self, sent: SentFile) -> tuple[Import, Fate]:
        """The import of a file of ours, and what its state means for the run.

        An end that does not account for the file's rows counts only when three polls in a row show the same: the
        numbers of a finished import may be behind its state, and a gateway may respond 404.

        :raises Trouble: the key is refused.
        """
        import_id = str(sent.import_id)
        one, fate = self.look(import_id)
        if fate is not Fate.GONE and (fate is not Fate.FINISHED or numbers_of(one, sent.rows).is_whole):
            self._doubtful.pop(import_id, None)
            return one, fate
        shown = (fate, one.total, one.success, one.errors)
        before, times = self._doubtful.get(import_id, (None, 0))
        times = times + 1 if before == shown else 1
        self._doubtful[import_id] = (shown, times)
        return one, fate if times >= _LOOKS else Fate.WAIT

    def look(self, import_id: str) -> tuple[Import, Fate]:
        """One import as it is shown now; without a response that is to wait.

        :raises Trouble: the key is refused.
        """
        try:
            one = self.requests.get_import(import_id)
        except NotFoundError:
            return Import(import_id), Fate.GONE
        finally:
            self._polled_at[import_id] = self._last_poll_at = self._clock.monotonic()
        if one is None:
            return Import(import_id), Fate.WAIT
        self._seen[import_id] = one
        if one.status not in FATES and import_id not in self._strange:
            self._strange.add(import_id)
            self._log.warning(
                "Import %s: its state is not documented (%s); waiting for another one", import_id, _shown(one.status)
            )
        return one, FATES.get(one.status, Fate.WAIT)

    def settled(self, import_id: str) -> None:
        """An import is not polled any more."""
        self._polled_at.pop(import_id, None)

    def until_finished(self, import_ids: Iterable[str]) -> None:
        """Wait until imports have finished, however they end."""
        left = [SentFile(0, 0, import_id=import_id) for import_id in import_ids]
        while left:
            sent = self.next_of(left)
            if self.look(str(sent.import_id))[1] is not Fate.WAIT:
                left.remove(sent)
                self.settled(str(sent.import_id))

    def until_none_is_open(self, since: float, ours: Container[str]) -> None:
        """Wait for every import that an upload without a response may have begun.

        Which of them is ours cannot be known, and need not be: a file that is imported twice leaves the contacts as
        they should be, as long as nothing older comes after it. The list is read three times, since an import may
        stand there a moment later.

        :param since: when the upload began, in seconds since the epoch; 0: at an unknown time.
        :param ours: imports whose ids are known.
        """
        for look in range(_LOOKS):
            if look:
                self.waiting.pause(min(self._rules.poll_interval_s, _LONGEST_BETWEEN_LOOKS_S))
            found = self.requests.open_imports(since, ours)
            if found:
                self._log.warning(
                    "Waiting for %s of this account: an earlier upload may have begun one of them (%s)",
                    plural(len(found), "open import"),
                    listed(found),
                )
                self.until_finished(found)

    def describe(self, files: Sequence[SentFile]) -> str:
        """How the imports of these files stand, in words."""
        with_import = [sent for sent in files if sent.import_id is not None]
        running = [str(sent.import_id) for sent in with_import if not sent.is_settled]
        seen = [self._seen[sent.import_id] for sent in with_import if sent.import_id in self._seen]
        done = sum((one.success or 0) + (one.errors or 0) for one in seen)
        words = (
            f"{len(with_import) - len(running)} of {plural(len(with_import), 'import')} finished, {done:,} of "
            f"{plural(sum(sent.rows for sent in files), 'row')} processed"
        )
        if len(with_import) < len(files):
            words += f"; {plural(len(files) - len(with_import), 'file')} not uploaded"
        if running:
            states = [f"{i} ({_shown(self._seen[i].status) if i in self._seen else 'uploaded'})" for i in running]
            words += f"; still running: {listed(states)}"
        return words


def listed(names: Sequence[str]) -> str:
    """Some names, and how many more there are."""
    return ", ".join(names[:_MOST_IDS]) + (f" and {len(names) - _MOST_IDS:,} more" if len(names) > _MOST_IDS else "")


def _shown(status: str | None) -> str:
    """A state that may be any text of the server's."""
    return status[:30] if status and status.isascii() and status.isalnum() else "unreadable"
