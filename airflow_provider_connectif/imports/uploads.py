"""Uploads files, one after another, and settles imports that have ended in the meantime."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from typing import NamedTuple

from airflow_provider_connectif.api.errors import (
    ConnectifHttpError,
    MalformedResponseError,
    RunStopped,
    TooManyRequestsError,
)
from airflow_provider_connectif.api.import_record import Import
from airflow_provider_connectif.delivery.response_policy import Action
from airflow_provider_connectif.imports.context import ImportContext
from airflow_provider_connectif.imports.files import ImportFile
from airflow_provider_connectif.imports.limits import QUEUE_LENGTH
from airflow_provider_connectif.imports.rules import ON_EXISTING, OTHER_UPLOAD_S, SHORTEST_POLL_DELAY_S
from airflow_provider_connectif.imports.settlement import Settlement
from airflow_provider_connectif.imports.watch import (
    FAILURES,
    Failure,
    Watch,
    action_for,
    http_error,
    listed,
    retry_after_s,
)
from airflow_provider_connectif.journal.import_state import ImportState, SentFile
from airflow_provider_connectif.records.outcomes import Stop, StopKind
from airflow_provider_connectif.reporting import wording
from airflow_provider_connectif.reporting.formats import describe_bytes, plural
from airflow_provider_connectif.reporting.verdict import ImportFailed, ImportForbidden, Verdict, stop_verdict

_QUEUE_FULL = frozenset({"E0301", "E0401"})

TakeOut = Callable[[SentFile, ImportFile], None]
"""Removes suppressed people from a file."""


class _QueueFull(NamedTuple):
    """The result of an upload that has begun no import, since Connectif's queue is full.

    ``retry_after_s``: seconds that ``Retry-After`` asks for; ``None`` without it.
    """

    retry_after_s: float | None


class Uploads:
    """Uploads the files of one run.

    :param context: the context of the run.
    :param watch: polls imports.
    :param save: stores the state of the run.
    """

    def __init__(self, context: ImportContext, watch: Watch, save: Callable[[], None]) -> None:
        self._context = context
        self._watch = watch
        self._save = save
        self._is_full_logged = False
        self._past_ids: Set[str] = frozenset()  # of the imports of earlier runs

    def upload(
        self,
        state: ImportState,
        files: Mapping[int, ImportFile],
        settlement: Settlement,
        planned_at: float,
        may_give_back: Callable[[], bool],
        take_out: TakeOut,
    ) -> bool:
        """Upload the files that are not uploaded yet; return whether all are uploaded.

        :param files: the files on disk, by number.
        :param planned_at: when the source was read, in seconds since the epoch.
        :param may_give_back: returns whether to stop when the queue is full, instead of waiting with a worker.
        :param take_out: removes suppressed people from a file.
        :raises ImportFailed: Connectif rejects a file, all attempts of an upload failed, or the plan is too old.
        """
        rules, log, is_one_new = self._context.rules, self._context.log, False
        if self._context.journal is not None:
            self._past_ids = self._context.journal.past_imports.ids()
        for place, sent in enumerate(state.files, 1):
            while sent.import_id is None and not sent.is_settled:
                settlement.settle_due()
                if time.time() - planned_at > rules.plan_max_age_s:
                    raise ImportFailed(*stop_verdict(Stop(StopKind.PLAN_TOO_OLD), ""))
                if not self._has_room(state, settlement, may_wait=not may_give_back()):
                    if may_give_back():
                        return False
                    self._log_full()
                    continue
                one = self._upload(files[sent.file], sent, state.known_ids, take_out, f"{place} of {len(state.files)}")
                if one is None:
                    settlement.settle_empty(sent)
                    continue
                if isinstance(one, _QueueFull):
                    if may_give_back():
                        return False
                    self._log_full()
                    self._watch.waiting.before_retry(1, one.retry_after_s, rules.poll_interval_s)
                    continue
                sent.import_id = one.id
                self._context.report.import_ids.append(one.id)
                state.is_all_sent = all(other.is_sent for other in state.files)
                self._save()
                log.debug(
                    wording.UPLOADED,
                    one.id,
                    place,
                    len(state.files),
                    plural(sent.rows, "row"),
                    describe_bytes(files[sent.file].size),
                    listed(files[sent.file].columns) or "the key only",  # such a file only creates contacts
                    ", only where they are empty" if sent.only_empty else "",
                )
                is_one_new = True
        if is_one_new:
            ids = [sent.import_id for sent in state.files if sent.import_id is not None]
            log.info(
                wording.ALL_UPLOADED,
                plural(len(ids), "file"),
                plural(sum(sent.rows for sent in state.files), "line"),
                plural(sum(group.rows for group in state.groups), "contact"),
                listed(ids),
            )
        return True

    def _has_room(self, state: ImportState, settlement: Settlement, *, may_wait: bool) -> bool:
        """Return whether the queue may have room.

        If the imports of this run may fill the queue, one of them is polled first. An upload to a full queue would cost
        a request and the time to send a whole file.

        :param may_wait: whether to wait until that import may be polled.
        """
        queued = self._watch.queued(state.files)
        if len(queued) >= QUEUE_LENGTH:
            middle = queued[len(queued) // 2]  # once that is in progress, there is room for several files
            if may_wait or self._watch.due_in(middle) <= SHORTEST_POLL_DELAY_S:
                settlement.settle_next([middle])
        return len(self._watch.queued(state.files)) < QUEUE_LENGTH

    def _log_full(self) -> None:
        if not self._is_full_logged:
            self._context.log.info(wording.QUEUE_FULL)
            self._is_full_logged = True

    def _upload(
        self, file: ImportFile, sent: SentFile, ours: set[str], take_out: TakeOut, place: str
    ) -> Import | _QueueFull | None:
        """Upload a file, in several attempts if needed.

        An upload without a response may have begun an import, but the list of imports does not show which one. So the
        file is uploaded again after every import that the upload may have begun has finished.

        :param ours: the ids of the run's earlier imports. A response with one of these ids is not about this upload.
        :param place: which file of how many it is, in words.
        :return: the import; ``None`` if all contacts of the file are suppressed, and nothing was uploaded.
        :raises RunStopped: the run must stop; the upload has begun no import.
        """
        client, rules, waiting, failures = self._context.client, self._context.rules, self._watch.waiting, 0
        while True:
            waiting.check()
            sent.since = began_at = time.time()
            self._save()  # an erasure that begins from now on waits for this upload
            take_out(sent, file)
            if not sent.rows:
                return None
            try:
                flags = ON_EXISTING["fill_empty"] if sent.only_empty else rules.flags
                one = client.create_import(file.path, **flags._asdict(), delimiter=rules.delimiter)
                if one.id not in ours and not self._is_of_earlier_run(one, began_at):
                    return one
                failure: Failure = MalformedResponseError("the response names an earlier import")
            except TooManyRequestsError:
                self._forget(sent)
                continue  # the next request waits for the window
            except (RunStopped, ImportFailed):  # before the file was sent
                self._forget(sent)
                raise
            except FAILURES as error:
                failure = error
            if isinstance(failure, ConnectifHttpError) and failure.code in _QUEUE_FULL:
                self._forget(sent)
                return _QueueFull(failure.retry_after)
            failures += 1
            if action_for(failure) is not Action.RETRY:
                self._forget(sent)
                is_first = failures == 1 and not ours
                kind = ImportForbidden if is_first and _says_forbidden(failure) else ImportFailed
                words = f"Connectif rejected file {place}: {failure}; another attempt does not help"
                raise kind(Verdict.FAILED, words, http_error(failure))
            is_last = failures >= client.tries
            again = wording.NEXT_UPLOAD.format(next=failures + 1, tries=client.tries)
            self._context.log.warning(wording.UPLOAD_FAILED, place, failure, wording.LAST_UPLOAD if is_last else again)
            if is_last:
                raise ImportFailed(Verdict.TRY_AGAIN, f"A file could not be uploaded in {failures} attempts: {failure}")
            self._context.report.effort.add_failure(str(failure))
            waiting.before_retry(failures, retry_after_s(failure))
            self._watch.until_none_is_open(began_at, ours)

    def _is_of_earlier_run(self, one: Import, began_at: float) -> bool:
        """Whether the response to an upload shows an import that cannot be from this upload.

        :param began_at: start of the upload, in seconds since the epoch.
        """
        if one.created_at is not None and one.created_at.timestamp() < began_at - OTHER_UPLOAD_S:
            return True
        return one.id in self._past_ids

    def _forget(self, sent: SentFile) -> None:
        """Store that an upload has begun no import."""
        sent.since = None
        self._save()


def what_is_left(files: Sequence[SentFile]) -> Iterator[str]:
    """Describe the imports whose results are missing, and the number of files that are not uploaded, if there are any.

    Without such files, the last line says that the task only waits. The states of the imports are not known yet.
    """
    ids = [sent.import_id for sent in files if not sent.is_settled]
    if uploaded := [str(one) for one in ids if one is not None]:
        yield f"Imports: {listed(uploaded)}"
    if to_upload := ids.count(None):
        yield f"{plural(to_upload, 'file')} not uploaded"
    elif uploaded:
        yield wording.ONLY_WAITING


def _says_forbidden(failure: Failure) -> bool:
    """Whether Connectif itself forbids the request; a gateway's 403 has no error document."""
    return isinstance(failure, ConnectifHttpError) and failure.status == 403 and failure.is_error_document
