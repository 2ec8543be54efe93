"""Polls the imports of a run, interprets their states, and decides when each import may be polled again."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Container, Iterable, Sequence

from airflow_provider_connectif.api.clock import SYSTEM_CLOCK, Clock
from airflow_provider_connectif.api.errors import (
    ConnectifHttpError,
    MalformedResponseError,
    NoResponseError,
    NotFoundError,
    TooManyRequestsError,
)
from airflow_provider_connectif.api.import_record import Import
from airflow_provider_connectif.delivery.backoff import retry_delay_s
from airflow_provider_connectif.delivery.response_policy import Action, ResponsePolicy
from airflow_provider_connectif.imports.context import ImportContext
from airflow_provider_connectif.imports.rules import (
    CLOCK_TOLERANCE_S,
    FATES,
    SHORTEST_POLL_DELAY_S,
    Fate,
    numbers_of,
    spare_delay_s,
)
from airflow_provider_connectif.imports.waiting import Waiting
from airflow_provider_connectif.journal.import_state import ImportState, SentFile
from airflow_provider_connectif.reporting import wording
from airflow_provider_connectif.reporting.formats import plural
from airflow_provider_connectif.reporting.verdict import ImportFailed, Verdict

FAILURES = (ConnectifHttpError, NoResponseError, MalformedResponseError)
"""Errors of a request that was sent but has no usable response. After a 429, the run waits instead."""
Failure = ConnectifHttpError | NoResponseError | MalformedResponseError

_MOST_IDS = 3  # in a line of the log
_LOOKS = 3
_LONGEST_BETWEEN_LOOKS_S = 20.0


class Watch:
    """Polls imports, each not more often than once in ``poll_interval``.

    ``waiting``: waits between two polls, and raises an error if the run must end.

    :param context: the context of the run.
    :param clock: measures the delays.
    :param waiting: the value of ``waiting``. Default: a new object.
    """

    def __init__(self, context: ImportContext, clock: Clock = SYSTEM_CLOCK, waiting: Waiting | None = None) -> None:
        self._context = context
        self._clock = clock
        self.waiting = waiting or Waiting(context, clock)
        self._failed_polls = 0  # in a row
        self._retry_after_s: float | None = None
        self._seen: dict[str, Import] = {}
        self._polled_at: dict[str, float] = {}
        self._last_poll_at = -math.inf
        self._undocumented: set[str] = set()
        self._doubtful: dict[str, tuple[object, int]] = {}
        self._first_poll_at = math.inf
        self.polls_left: int | None = None
        """Number of polls that may still be sent, those of a trigger included; ``None``: there is no limit."""
        self.was_away = False
        """Whether there were no polls for some time. An import may have finished long before the poll that shows it."""

    def due_in(self, import_id: str, began_at: float = 0.0) -> float:
        """Return the seconds until an import may be polled.

        :param began_at: start of the import's upload, in seconds since the epoch. 0: the first poll may be at once.
        """
        interval, now = self._context.rules.poll_interval_s, self._clock.monotonic()
        polled_at = self._polled_at.get(import_id, now - (self._clock.now() - began_at) if began_at else -math.inf)
        delay = retry_delay_s(self._failed_polls, self._retry_after_s) if self._failed_polls else 0.0
        spare = spare_delay_s(max(0.0, now - self._first_poll_at), self.polls_left)
        gap = max(min(SHORTEST_POLL_DELAY_S, interval), delay, spare)
        return max(polled_at + interval, self._last_poll_at + gap) - now

    def queued(self, files: Sequence[SentFile]) -> list[str]:
        """Return the ids of the imports of some files that may still be queued, as far as polls have shown.

        :param files: the files in the order of their uploads. As far as is known, Connectif processes imports in order.
        """
        queued: list[str] = []
        for sent in files:
            if sent.import_id is None:
                continue  # settled without an import, since all its contacts are suppressed, or not uploaded yet
            seen = self._seen.get(sent.import_id)
            if sent.is_settled or (seen is not None and seen.status != "queued"):
                queued.clear()
            else:
                queued.append(sent.import_id)
        return queued

    def next_of(self, import_ids: Iterable[str]) -> str:
        """Wait until one of these imports may be polled, and return its id.

        :raises ImportFailed: the time of the run has passed, or Connectif asks for a longer delay than a worker may
            wait.
        """
        next_one = min(import_ids, key=self.due_in)
        if self._failed_polls:
            self.waiting.check_length(self._retry_after_s or 0.0)
        self.waiting.pause(max(0.0, self.due_in(next_one)))
        return next_one

    def poll(self, sent: SentFile) -> tuple[Import, Fate]:
        """Poll the import of a file; return the import, and the meaning of its state for the run.

        An end that does not account for all rows of the file counts only if three polls in a row show the same. The
        numbers of a finished import may be older than its state, and a gateway may respond 404.

        :raises ImportFailed: Connectif refuses the API key.
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

    def is_doubtful(self, import_id: str) -> bool:
        """Whether an import has shown an end that is not confirmed yet."""
        return import_id in self._doubtful

    def look(self, import_id: str) -> tuple[Import, Fate]:
        """Request an import; return it, and the meaning of its state for the run.

        Without a usable response, the meaning is ``Fate.WAIT``.

        :raises ImportFailed: Connectif refuses the API key.
        """
        one = Import(import_id)
        try:
            one = self._context.client.get_import(import_id)
        except TooManyRequestsError:
            return one, Fate.WAIT
        except NotFoundError:
            self._failed_polls = 0
            return one, Fate.GONE
        except FAILURES as error:
            if action_for(error) is Action.FAIL:
                raise ImportFailed(Verdict.FAILED, "", http_error(error)) from None
            self._context.report.effort.add_failure(str(error))
            self._failed_polls += 1
            self._retry_after_s = retry_after_s(error)
            return one, Fate.WAIT
        finally:
            self._polled_at[import_id] = self._last_poll_at = self._clock.monotonic()
            self._first_poll_at = min(self._first_poll_at, self._last_poll_at)
            if self.polls_left is not None:
                self.polls_left -= 1
        self._failed_polls = 0
        self._seen[import_id] = one
        if one.status not in FATES and import_id not in self._undocumented:
            self._undocumented.add(import_id)
            self._context.log.warning(wording.UNKNOWN_STATE, import_id, _shown(one.status))
        return one, FATES.get(one.status, Fate.WAIT)

    def open_imports(self, since: float, ours: Container[str]) -> list[str]:
        """Return the ids of open imports that an upload without a response may have begun.

        :param since: start of the upload, in seconds since the epoch. 0: it is not known.
        :param ours: the ids of imports that are from other uploads of the run; these are left out.
        :raises ImportFailed: the list cannot be read.
        """
        client, failures = self._context.client, 0
        while True:
            self.waiting.check()
            try:
                return [one.id for one in client.list_imports() if one.id not in ours and _may_be(one, since)]
            except TooManyRequestsError:
                continue
            except FAILURES as error:
                failure: Failure = error
            failures += 1
            words = f"The list of imports cannot be read: {failure}"
            if action_for(failure) is not Action.RETRY:
                raise ImportFailed(Verdict.FAILED, words, http_error(failure))
            if failures >= client.tries:
                raise ImportFailed(Verdict.TRY_AGAIN, words)
            self._context.report.effort.add_failure(str(failure))
            self.waiting.before_retry(failures, retry_after_s(failure))

    def until_none_is_open(self, since: float, ours: Container[str]) -> None:
        """Wait for every import that an upload without a response may have begun; their results are not used.

        It is not known which import is from that upload. That does no harm: a file may be imported twice, as long as no
        older file is imported after it. The list is read three times, since an import may appear in it a moment later.

        :param since: as in :meth:`open_imports`.
        :param ours: as in :meth:`open_imports`.
        :raises ImportFailed: the time of the run has passed, Connectif refuses the API key, or the list cannot be read.
        :raises WaitTooLong: Connectif asks for a longer pause than a worker may wait.
        :raises RunStopped: the run must stop.
        """
        left = list[str]()

        def describe_wait(describe: Callable[[], str]) -> str:
            awaited = f"; {plural(len(left), 'open import')} may be from an earlier upload: {listed(left)}"
            return describe() + (awaited if left else "")

        with self.waiting.described(describe_wait):
            for look in range(_LOOKS):
                if look:
                    self.waiting.pause(min(self._context.rules.poll_interval_s, _LONGEST_BETWEEN_LOOKS_S))
                left[:] = self.open_imports(since, ours)
                if left:
                    self._context.log.warning(
                        wording.WAITING_FOR_LOST_UPLOAD, plural(len(left), "open import"), listed(left)
                    )
                while left:
                    import_id = self.next_of(left)
                    if self.look(import_id)[1] is not Fate.WAIT:
                        left.remove(import_id)

    def wait_for_lost(self, state: ImportState) -> None:
        """Wait for every import that a run's uploads without a response may have begun.

        :param state: the state of that run.
        """
        if (since := state.lost_since) is not None:
            self.until_none_is_open(since, state.known_ids)

    def times_of(self, one: Import, sent: SentFile) -> tuple[float | None, float | None]:
        """Return the start and the end of a finished import, in seconds since the epoch, by one clock.

        If the response has both times, they are Connectif's. Otherwise they are the times of the upload and of the last
        poll. Both are ``None`` if the import was not polled for some time.
        """
        if one.created_at is not None and one.finished_at is not None and one.finished_at >= one.created_at:
            return one.created_at.timestamp(), one.finished_at.timestamp()
        if self.was_away or sent.since is None:
            return None, None
        return sent.since, max(sent.since, self._clock.now())

    def describe(self, files: Sequence[SentFile]) -> str:
        """Describe the state of these files and their imports in words."""
        if not files:
            return "no file is uploaded"
        with_import = [sent for sent in files if sent.import_id is not None]
        running = [str(sent.import_id) for sent in with_import if not sent.is_settled]
        words = f"{len(with_import) - len(running)} of {plural(len(with_import), 'import')} ended"
        if all(sent.import_id in self._seen for sent in with_import if sent.is_settled):  # by polls of this process
            seen = [self._seen[sent.import_id] for sent in with_import if sent.import_id in self._seen]
            done = sum((one.success or 0) + (one.errors or 0) for one in seen)
            words += f", {done:,} of {plural(sum(sent.rows for sent in files), 'row')} processed"
        if len(with_import) < len(files):
            words += f"; {plural(len(files) - len(with_import), 'file')} not uploaded"
        if running:
            states = [f"{i} ({_shown(self._seen[i].status) if i in self._seen else 'uploaded'})" for i in running]
            words += f"; still running: {listed(states)}"
        return words


def action_for(failure: Failure) -> Action:
    """Return the action after a failed request about an import. The argument ``on_response`` has no effect here."""
    # A 2xx without the JSON of an import comes from a server between the worker and Connectif.
    return Action.RETRY if isinstance(failure, MalformedResponseError) else ResponsePolicy().for_error(failure)


def http_error(failure: Failure) -> ConnectifHttpError | None:
    """Return the response of a failed request, if there was one."""
    return failure if isinstance(failure, ConnectifHttpError) else None


def retry_after_s(failure: Failure) -> float | None:
    """Return the seconds that ``Retry-After`` asks for; ``None`` without it."""
    return failure.retry_after if isinstance(failure, ConnectifHttpError) else None


def listed(names: Collection[str]) -> str:
    """List some names, and the number of the others."""
    more = f" and {len(names) - _MOST_IDS:,} more" if len(names) > _MOST_IDS else ""
    return ", ".join(list(names)[:_MOST_IDS]) + more


def _may_be(one: Import, since: float) -> bool:
    """Whether an upload may have begun an import that is still open. An import of the app is from no upload.

    :param since: start of the upload, in seconds since the epoch.
    """
    is_open = FATES.get(one.status, Fate.WAIT) is Fate.WAIT
    is_older = one.created_at is not None and one.created_at.timestamp() < since - CLOCK_TOLERANCE_S
    return is_open and one.type in ("contacts", None) and one.origin != "app" and not is_older


def _shown(status: str | None) -> str:
    """Return the state of an import for messages; the server may send any text."""
    return status[:30] if status and status.isascii() and status.isalnum() else "unreadable"
