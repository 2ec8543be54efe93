"""Which files of a run are at Connectif already, and how the others get there: each of them once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from airflow_provider_connectif.imports.import_file import ImportFile
from airflow_provider_connectif.imports.memory import Memory
from airflow_provider_connectif.imports.requests import ImportRequests
from airflow_provider_connectif.imports.rules import ImportRules
from airflow_provider_connectif.imports.watch import Watch
from airflow_provider_connectif.journal.import_state import ImportState, SentFile
from airflow_provider_connectif.reporting.progress import Log, plural

if TYPE_CHECKING:
    from airflow_provider_connectif.journal.store import Journal


_NEXT_ATTEMPT = "The next attempt waits for the same imports and uploads nothing"
_NEXT_ATTEMPT_READS = " if the rows are the same"  # only a journal holds what makes it needless to read them again


class Uploads:
    """The uploads of one run.

    ``state``: of its files, those of an earlier process at first. ``on_disk``: the files of this process by number.

    :param requests: to the API.
    :param watch: over imports.
    :param rules: of the run.
    :param memory: where states are kept.
    :param journal: whose database also holds the rows of the files.
    :param log: where uploads are told.
    """

    def __init__(
        self,
        requests: ImportRequests,
        watch: Watch,
        rules: ImportRules,
        memory: Memory,
        journal: Journal | None,
        log: Log,
    ) -> None:
        self._requests = requests
        self._watch = watch
        self._rules = rules
        self._memory = memory
        self._journal = journal
        self._log = log
        self.state = ImportState()
        self.on_disk: dict[int, ImportFile] = {}
        self._has_loaded = False

    def recall(self) -> None:
        """Take over what an earlier process has saved."""
        saved = self._memory.load()
        state = ImportState.from_json(saved)
        if saved is not None and state is None:
            self._memory.drop()  # another version's, or another operator's
        self._has_loaded = state is not None
        self.state = state or ImportState()

    def forget(self) -> None:
        """Begin anew."""
        self._memory.drop()
        self.state = ImportState()

    def describe_next_try(self) -> str:
        """What the next attempt does while the imports are open, as a sentence; empty where that is not known."""
        is_open = any(sent.is_open for sent in self.state.files)
        if not (self._memory.remembers and self.state.is_complete and is_open):
            return ""
        return _NEXT_ATTEMPT + ("" if self._journal is not None else _NEXT_ATTEMPT_READS)

    def wait_for_lost(self) -> None:
        """Wait for whatever uploads without a response may have begun, and call them not uploaded."""
        lost = [sent for sent in self.state.files if sent.is_open and sent.import_id is None]
        if lost:
            self._wait_for_lost(min(sent.since or 0.0 for sent in lost))
        for sent in lost:
            sent.since = None

    def identify(self, files: Sequence[ImportFile]) -> None:
        """Find out which of the files are at Connectif already, and wait for what else an earlier attempt has there."""
        # What has finished counts for the retries of one end; what a user clears after it is done again.
        is_retry = self._rules.is_retry
        earlier = {f.digest: f for f in self.state.files if f.is_open or (is_retry and f.is_at_connectif)}
        self.on_disk = dict(enumerate(files))
        mine = [SentFile(number, file.digest(), file.rows) for number, file in self.on_disk.items()]
        for sent in mine:
            theirs = earlier.get(sent.digest)
            if theirs is not None and theirs.import_id is not None:
                del earlier[sent.digest]
                sent.since, sent.import_id = theirs.since, theirs.import_id
                place = f"{sent.file + 1} of {len(mine)}"
                self._log.info("Import %s: file %s, uploaded by an earlier attempt", sent.import_id, place)
        self._wait_for_earlier([sent for sent in earlier.values() if sent.is_open])
        self.state = ImportState(mine)

    def _wait_for_earlier(self, others: Sequence[SentFile]) -> None:
        """Older rows must not come after those of this attempt."""
        left = [sent.import_id for sent in others if sent.import_id is not None]
        if left:
            self._log.warning(
                "The rows have changed since an earlier attempt; waiting for its imports %s", ", ".join(left)
            )
            self._watch.until_finished(left)
        if any(sent.import_id is None for sent in others):
            self.wait_for_lost()
        if self._is_forgetful:
            self._wait_for_lost(0.0)

    @property
    def _is_forgetful(self) -> bool:
        """Whether an earlier process of the task may have uploaded files that are not remembered."""
        if self._has_loaded:
            return False
        return self._rules.comes_back or (self._rules.has_earlier_attempts and not self._memory.remembers)

    def _wait_for_lost(self, since: float) -> None:
        self._watch.until_none_is_open(since, self._held_ids)

    @property
    def _held_ids(self) -> set[str]:
        return {sent.import_id for sent in self.state.files if sent.import_id is not None}

    def upload(self, save: Callable[[], None]) -> None:
        """Upload what is not there yet, one file after the other.

        :param save: writes down ``state``.
        :raises Trouble: Connectif does not take a file.
        """
        if not self.state.files:
            return
        missing = [sent for sent in self.state.files if sent.import_id is None]
        if self._journal is not None:
            for sent in self.state.files:
                self._journal.plan.add_file(sent.file, self.on_disk[sent.file].ledger)
        for sent in missing:
            file = self.on_disk[sent.file]
            one = self._requests.upload(file, sent, save, self._held_ids, self._wait_for_lost)
            sent.import_id = one.id
            self.state.is_all_sent = all(file.import_id is not None for file in self.state.files)
            save()
            place = f"{sent.file + 1} of {len(self.state.files)}"
            self._log.info("Import %s: file %s, %s, %.1f MB", one.id, place, plural(sent.rows, "row"), file.size / 1e6)
        if not missing:
            self.state.is_all_sent = True
            save()
