"""Which files of a run are at Connectif already, and how the others get there: each of them once."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from airflow_provider_connectif.contacts.imports.import_file import ImportFile
from airflow_provider_connectif.contacts.imports.memory import ImportState, Memory, SentFile
from airflow_provider_connectif.contacts.imports.requests import ImportRequests
from airflow_provider_connectif.contacts.imports.rules import ImportRules
from airflow_provider_connectif.contacts.imports.search import Search
from airflow_provider_connectif.contacts.imports.watch import Watch
from airflow_provider_connectif.contacts.progress import Log, plural

if TYPE_CHECKING:
    from airflow_provider_connectif.contacts.journal import Journal


_NEXT_TRY = "The next try waits for the same imports and uploads nothing"
_NEXT_TRY_READS = " if the rows are the same"  # only a journal holds what makes it needless to read them again


class Uploads:
    """The uploads of one run.

    ``state``: of its files, those of an earlier process at first. ``on_disk``: the files of this process by number.

    :param requests: to the API.
    :param search: for imports whose ids are not known.
    :param watch: over imports.
    :param rules: of the run.
    :param memory: where states are kept.
    :param journal: whose database also holds the rows of the files.
    :param log: where uploads are told.
    """

    def __init__(
        self,
        requests: ImportRequests,
        search: Search,
        watch: Watch,
        rules: ImportRules,
        memory: Memory,
        journal: Journal | None,
        log: Log,
    ) -> None:
        self._requests = requests
        self._search = search
        self._watch = watch
        self._rules = rules
        self._memory = memory
        self._journal = journal
        self._log = log
        self.state = ImportState()
        self.on_disk: dict[int, ImportFile] = {}

    def recall(self) -> None:
        """Take over what an earlier process has saved."""
        saved = self._memory.load()
        state = ImportState.from_json(saved)
        if saved is not None and state is None:
            self._memory.drop()  # another version's, or another operator's
        self.state = state or ImportState()

    def forget(self) -> None:
        """Begin anew."""
        self._memory.drop()
        self.state = ImportState()

    def describe_next_try(self) -> str:
        """What another try of the task does while the imports are open, as a sentence; empty where nobody can tell."""
        is_open = any(sent.is_open for sent in self.state.files)
        if not (self._memory.remembers and self.state.is_complete and is_open):
            return ""
        return _NEXT_TRY + ("" if self._journal is not None else _NEXT_TRY_READS)

    def find_unanswered(self) -> None:
        """Look for the imports of uploads that were not answered."""
        for sent in self.state.files:
            if sent.is_open and sent.import_id is None:
                found = self._search.unanswered(sent, self.state)
                sent.import_id, sent.is_settled = (None, True) if found is None else (found.id, False)

    def identify(self, files: Sequence[ImportFile]) -> None:
        """Find out which of the files are at Connectif already, and wait for what else an earlier try has there."""
        # What is over counts for the tries of one end; what a user clears after it is done again.
        is_retry = self._rules.is_retry
        earlier = {f.digest: f for f in self.state.files if f.is_open or (is_retry and f.is_at_connectif)}
        self.on_disk = dict(enumerate(files))
        mine = [SentFile(number, file.digest(), file.rows) for number, file in self.on_disk.items()]
        for sent in mine:
            if theirs := earlier.pop(sent.digest, None):
                sent.since, sent.import_id = theirs.since, theirs.import_id
                if sent.import_id is not None:
                    place = f"{sent.file + 1} of {len(mine)}"
                    self._log.info("Import %s: file %s, uploaded by an earlier try", sent.import_id, place)
        others = [sent for sent in earlier.values() if sent.is_open]
        state = ImportState(mine, known=self.state.known)
        for sent in (*mine, *others):
            if sent.import_id is None and sent.since is not None:
                found = self._search.unanswered(sent, state)
                sent.import_id = None if found is None else found.id
                sent.since = None if found is None else sent.since
        left = [sent.import_id for sent in others if sent.import_id is not None]
        if left:
            self._log.warning("The rows have changed since an earlier try; waiting for its imports %s", ", ".join(left))
            self._watch.until_over(left)
        if self._rules.is_retry and not self._memory.remembers:
            self._search.of_earlier_tries(mine)
        self.state = state

    def upload(self, save: Callable[[], None]) -> None:
        """Upload what is not there yet, one file after the other.

        :param save: writes down ``state``.
        :raises Trouble: Connectif does not take a file.
        """
        if not self.state.files:
            return
        missing = [sent for sent in self.state.files if sent.import_id is None]
        if missing:
            like_ours = self._requests.like([sent.rows for sent in missing], time.time())
            self.state.known = sorted({*self.state.known, *(one.id for one in like_ours)})
        if self._journal is not None:
            for sent in self.state.files:
                self._journal.plan.add_file(sent.file, self.on_disk[sent.file].ledger)
        for sent in missing:
            file = self.on_disk[sent.file]
            # An import that is found although its upload was not answered is ours like any other.
            one = self._requests.upload(file, sent, save, partial(self._search.unanswered, sent, self.state))
            sent.import_id = one.id
            self.state.is_all_sent = all(file.import_id is not None for file in self.state.files)
            save()
            place = f"{sent.file + 1} of {len(self.state.files)}"
            self._log.info("Import %s: file %s, %s, %.1f MB", one.id, place, plural(sent.rows, "row"), file.size / 1e6)
        if not missing:
            self.state.is_all_sent = True
            save()
