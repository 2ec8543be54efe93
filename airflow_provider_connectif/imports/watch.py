"""How the imports of a run stand, as far as was seen."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence

from airflow_provider_connectif.api.errors import NotFoundError
from airflow_provider_connectif.api.imports import Import
from airflow_provider_connectif.imports.account import numbers_of
from airflow_provider_connectif.imports.requests import ImportRequests
from airflow_provider_connectif.imports.rules import FATES, Fate, ImportRules, poll_delay_s
from airflow_provider_connectif.imports.waiting import Waiting
from airflow_provider_connectif.journal.import_state import SentFile
from airflow_provider_connectif.reporting.progress import Log, plural

_MOST_IDS = 20  # in a line of the log
_LOOKS = 3
_LONGEST_BETWEEN_LOOKS_S = 20.0


class Watch:
    """Looks at imports.

    :param requests: to the API.
    :param rules: of the run.
    :param waiting: between two looks.
    :param log: where it is told, once for each, if a state is not documented.
    """

    def __init__(self, requests: ImportRequests, rules: ImportRules, waiting: Waiting, log: Log) -> None:
        self._requests = requests
        self._rules = rules
        self._waiting = waiting
        self._log = log
        self._seen: dict[str, Import] = {}
        self._strange: set[str] = set()
        self._doubtful: dict[str, tuple[object, int]] = {}

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
            one = self._requests.get_import(import_id)
        except NotFoundError:
            return Import(import_id), Fate.GONE
        if one is None:
            return Import(import_id), Fate.WAIT
        self._seen[import_id] = one
        if one.status not in FATES and import_id not in self._strange:
            self._strange.add(import_id)
            self._log.warning(
                "Import %s: its state is none of the documented ones (%s); waiting on", import_id, _shown(one.status)
            )
        return one, FATES.get(one.status, Fate.WAIT)

    def until_finished(self, import_ids: Iterable[str]) -> None:
        """Wait until imports have finished, however they end."""
        left = list(import_ids)
        while left:
            for import_id in list(left):
                if self.look(import_id)[1] is not Fate.WAIT:
                    left.remove(import_id)
                else:
                    self.pause(len(left))

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
                self._waiting.pause(min(self._rules.poll_interval_s, _LONGEST_BETWEEN_LOOKS_S))
            found = self._requests.open_imports(since, ours)
            if found:
                shown = ", ".join(found[:_MOST_IDS]) + (", ..." if len(found) > _MOST_IDS else "")
                self._log.warning(
                    "Waiting for %s of this account: an earlier upload may have begun one of them (%s)",
                    plural(len(found), "open import"),
                    shown,
                )
                self.until_finished(found)

    def pause(self, open_imports: int) -> None:
        """Between two polls; longer after a request that failed."""
        gap = poll_delay_s(self._rules.poll_interval_s, open_imports)
        failures, retry_after_s = self._requests.failed_polls
        if failures:
            self._waiting.before_retry(failures, retry_after_s, gap)
        else:
            self._waiting.pause(gap)

    def describe(self, files: Sequence[SentFile]) -> str:
        """How the imports of these files stand, in words."""
        with_import = [sent for sent in files if sent.import_id is not None]
        not_over = [str(sent.import_id) for sent in with_import if not sent.is_settled]
        seen = [self._seen[sent.import_id] for sent in with_import if sent.import_id in self._seen]
        done = sum((one.success or 0) + (one.errors or 0) for one in seen)
        words = (
            f"{len(with_import) - len(not_over)} of {plural(len(with_import), 'import')} over, {done:,} of "
            f"{plural(sum(sent.rows for sent in files), 'row')} worked off"
        )
        if len(with_import) < len(files):
            words += f"; {plural(len(files) - len(with_import), 'file')} not uploaded"
        if not_over:
            shown = [f"{i} ({_shown(self._seen[i].status) if i in self._seen else 'uploaded'})" for i in not_over]
            words += f"; not over: {', '.join(shown[:_MOST_IDS])}" + (", ..." if len(shown) > _MOST_IDS else "")
        return words


def _shown(status: str | None) -> str:
    """A state that may be any text of the server's."""
    return status[:30] if status and status.isascii() and status.isalnum() else "unreadable"
