"""Uploads that were not answered, and imports of earlier tries: looked for in the list, and taken only for sure.

The list tells of an import its number of rows, its options, its origin and its time: not what is in it. So whatever
looks like a file of ours need not be it. To import a file twice, one after the other, leaves the contacts as they
should be; to take another's import for ours would lose rows. In doubt a file is uploaded again, but only once
everything that looks like it is over.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from airflow_provider_connectif.api.imports import Import
from airflow_provider_connectif.contacts.imports.memory import ImportState, SentFile
from airflow_provider_connectif.contacts.imports.requests import ImportRequests
from airflow_provider_connectif.contacts.imports.rules import FATES, Fate, ImportRules
from airflow_provider_connectif.contacts.progress import Log

_FAILED = (Fate.BROKEN, Fate.CANCELLED)  # such an import does not count as an upload of the file


class Search:
    """Looks for imports of one run.

    :param requests: to the API.
    :param rules: of the run.
    :param wait_until_over: waits until imports are over, by their ids.
    :param log: where it is told what was found.
    """

    def __init__(
        self,
        requests: ImportRequests,
        rules: ImportRules,
        wait_until_over: Callable[[Iterable[str]], None],
        log: Log,
    ) -> None:
        self._requests = requests
        self._rules = rules
        self._wait_until_over = wait_until_over
        self._log = log

    def unanswered(self, sent: SentFile, state: ImportState) -> Import | None:
        """The import of an upload that was not answered; ``None``: there is none, or nobody can tell which.

        :param state: of the run; what is not ours gets known to it.
        """
        for _ in self._requests.looks():
            ours = {file.import_id for file in state.files}
            found = [
                one
                for one in self._requests.like([sent.rows], sent.since or 0.0)
                if one.id not in ours and one.id not in state.known and FATES.get(one.status) not in _FAILED
            ]
            if len(found) == 1 and not self._rules.is_mapped:
                self._log.info("Import %s: its upload was not answered; found in the list", found[0].id)
                return found[0]
            if found:
                self._doubt(found)
                state.known += [one.id for one in found]
                return None
        return None

    def of_earlier_tries(self, files: Sequence[SentFile]) -> None:
        """Where nothing could be remembered: the imports that earlier tries of the task have made of these files.

        Files are uploaded in one order, so of several with as many rows the first ones are there.
        """
        found = [
            one
            for one in self._requests.like([file.rows for file in files], self._rules.since)
            if FATES.get(one.status) not in _FAILED
        ]
        wanted = Counter(file.rows for file in files)
        doubtful = [one for one in found if self._rules.is_mapped or _count(found, one) > wanted[one.total or 0]]
        self._doubt(doubtful)
        for file in files:
            same = [one for one in found if one.total == file.rows and one not in doubtful]
            if same:
                file.import_id = same[0].id
                file.since = self._rules.since
                found.remove(same[0])
                self._log.info("Import %s: found in the list, of an earlier try", same[0].id)

    def _doubt(self, found: Sequence[Import]) -> None:
        if not found:
            return
        self._log.warning(
            "Import%s %s may be of this task or of another: waiting for the end, then the file is uploaded (again)",
            "" if len(found) == 1 else "s",
            ", ".join(one.id for one in found),
        )
        self._wait_until_over([one.id for one in found])


def _count(found: Sequence[Import], like: Import) -> int:
    return sum(one.total == like.total for one in found)
