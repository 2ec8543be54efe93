"""How the imports of a run stand, as far as was seen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from airflow_provider_connectif.api.errors import NotFoundError
from airflow_provider_connectif.api.imports import Import
from airflow_provider_connectif.contacts.imports.memory import SentFile
from airflow_provider_connectif.contacts.imports.requests import ImportRequests
from airflow_provider_connectif.contacts.imports.rules import FATES, Fate, ImportRules, gap_s
from airflow_provider_connectif.contacts.imports.waiting import Waiting
from airflow_provider_connectif.contacts.progress import Log, plural

_MOST_IDS = 20  # in a line of the log


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

    def look(self, import_id: str) -> tuple[Import, Fate]:
        """One import, and what its state means for the run; without an answer that is to wait.

        :raises Trouble: the key is refused.
        """
        try:
            one = self._requests.looked_at(import_id)
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

    def until_over(self, import_ids: Iterable[str]) -> None:
        """Wait until imports are over, however they end."""
        left = list(import_ids)
        while left:
            for import_id in list(left):
                if self.look(import_id)[1] is not Fate.WAIT:
                    left.remove(import_id)
                else:
                    self.pause(len(left))

    def pause(self, open_imports: int) -> None:
        """Between two looks."""
        self._waiting.pause(gap_s(self._rules.poll_interval_s, open_imports))

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
