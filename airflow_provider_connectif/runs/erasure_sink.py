"""A sink that deletes people: it suppresses them, waits for work that may create them again, and deletes them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

from airflow_provider_connectif.api.errors import RunStopped
from airflow_provider_connectif.api.quota import Quota, Wait
from airflow_provider_connectif.api.window import Cause
from airflow_provider_connectif.delivery.request_sink import PLAN_MAX_AGE_S, RequestSink
from airflow_provider_connectif.delivery.sender import RequestSender, Spread, nothing_more
from airflow_provider_connectif.imports.context import ImportContext
from airflow_provider_connectif.imports.rules import Fate
from airflow_provider_connectif.imports.waiting import Waiting
from airflow_provider_connectif.imports.watch import Watch
from airflow_provider_connectif.journal.confirmation import Confirmation
from airflow_provider_connectif.journal.forgetting import ERASES, Forgetting
from airflow_provider_connectif.journal.line_writer import COMMIT_EVERY_S
from airflow_provider_connectif.journal.open_uploads import OpenUpload
from airflow_provider_connectif.journal.pending import PendingChange, PendingChanges
from airflow_provider_connectif.journal.store import Journal
from airflow_provider_connectif.records.changes import Patch
from airflow_provider_connectif.records.outcomes import Outcome
from airflow_provider_connectif.records.people import PersonKey
from airflow_provider_connectif.records.resource import Resource
from airflow_provider_connectif.reporting import wording
from airflow_provider_connectif.reporting.folding import Log
from airflow_provider_connectif.reporting.formats import clock, plural
from airflow_provider_connectif.reporting.report import Report
from airflow_provider_connectif.reporting.requests import Cost
from airflow_provider_connectif.reporting.verdict import End, ImportFailed, Verdict
from airflow_provider_connectif.runs.check_sink import RequestPreview
from airflow_provider_connectif.runs.plan import ERASE

_LOOK_EVERY_S = 0.5
_LONG_S = 60.0  # within this time each run renews its claim
_WRITTEN_AFTER_S = COMMIT_EVERY_S + 0.5  # after a response, for the journal to get the sent spelling of the key
_LOOKS_AT_ONE_THAT_IS_GONE = 3
_LOOK_WITHOUT_WORKER_S = 60.0


def check_number(people: int, most: int, noun: str) -> None:
    """Refuse to delete more people than ``max_deleted`` allows.

    :raises ImportFailed: final; nothing was deleted or suppressed.
    """
    if people > most:
        raise ImportFailed(
            Verdict.FAILED,
            f"The source has {plural(people, noun)} to delete, but max_deleted allows {most:,}: nobody was deleted or "
            "suppressed. Check the WHERE clause of the statement, or raise max_deleted",
        )


class ErasureSink(RequestSink):
    """Deletes the people of a plan.

    1. It writes them to the suppression list, and removes them from every sync of the journal.
    2. It waits for requests that other runs had in flight at this time, and for uploads that contain these people.
    3. It deletes them at Connectif, and writes a receipt for each.

    :param resource: the resource of the erasure.
    :param sender: sends the deletions.
    :param quota: the rate limit of the client.
    :param report: the report of the run.
    :param journal: the journal, which has the suppression list.
    :param confirmation: writes the receipts.
    :param forgetting: removes people from the journal.
    :param imports: polls imports.
    :param most: the most people that a plan may have; a plan with more is refused, and nobody is deleted.
    :param suppresses: whether to write people to the suppression list.
    :param map_index: the map index of the task instance; an attempt skips people who have a receipt of this task.
    :param may_defer: whether the task is deferred while it waits for uploads.
    :param comes_back: as in :class:`RequestSink`.
    :param plan_max_age_s: as in :class:`RequestSink`.
    """

    def __init__(
        self,
        resource: Resource,
        sender: RequestSender,
        quota: Quota,
        report: Report,
        journal: Journal,
        confirmation: Confirmation | None,
        *,
        forgetting: Forgetting,
        imports: ImportContext,
        most: int,
        suppresses: bool,
        map_index: int,
        may_defer: bool,
        comes_back: bool = False,
        plan_max_age_s: float = PLAN_MAX_AGE_S,
    ) -> None:
        super().__init__(
            resource,
            sender,
            quota,
            report,
            journal,
            confirmation,
            comes_back=comes_back,
            plan_max_age_s=plan_max_age_s,
        )
        report.way = ERASE
        self._of_journal = journal
        self._forgetting = forgetting
        self._imports = imports
        self._watch = Watch(imports, waiting=Waiting(imports, describe=self._describe_wait))
        self._most = most
        self._suppresses = suppresses
        self._map_index = map_index
        self._may_defer = may_defer
        self._people: list[PersonKey] = []
        self._is_put_off = False
        self._ended: set[str] = set()
        self._gone: Counter[str] = Counter()
        self._awaited = "other runs"

    def open(self, is_to_stop: Callable[[], bool]) -> None:
        """Open the journal."""
        self._imports.is_to_stop = is_to_stop
        super().open(is_to_stop)

    def cost(self, changes: PendingChanges, resource: Resource) -> Cost:
        """Return the cost: one request for each spelling of a person's key, so at least one for each person."""
        _add_sent_keys(changes, resource, self._forgetting)
        return _by_deletion(super().cost(changes, resource))

    def deliver(self, changes: PendingChanges, resource: Resource) -> None:
        """Delete the people of a plan, as far as possible.

        :raises ImportFailed: the plan has too many people; nothing was deleted.
        """
        check_number(len(changes), self._most, resource.noun)
        journal = self._of_journal
        for batch in changes.batches():
            people = [person for patch in batch for person in resource.people_of(patch)]
            self._people += people
            if self._suppresses:
                journal.suppressions.add(people, journal.settings.run_id)
            self._forget(people)
        super().deliver(changes, resource)

    def summary(self) -> dict[str, Any]:
        """Return ``deleted`` and ``absent``, and the entries of every run."""
        outcomes = self._report.tally.outcomes
        erased = {outcome.value: outcomes[outcome] for outcome in (Outcome.DELETED, Outcome.ABSENT)}
        return {**super().summary(), **erased}

    def close(self, verdict: Verdict, keyless: int | None) -> None:
        """Close the journal, after removing lines that another run may have written about these people since then."""
        try:
            if self._people:
                self._forget(self._people)
                self._forget(self._with_receipts(self._people), keeps_spellings=False)
        finally:
            super().close(verdict, keyless)
        if self._people and self.deferral is None and not self._of_journal.database.overwrite_deleted():
            self._report.log.warning(wording.NOT_OVERWRITTEN)

    def log_end(self, end: End) -> None:
        """Log the end of the run, or the deferral."""
        if self._is_put_off and self.deferral is not None:
            until = clock(self.deferral.until)
            self._report.log.info("Imports that contain these people have not finished: next check at %s", until)
        else:
            super().log_end(end)

    def _forget(self, people: Collection[PersonKey], *, keeps_spellings: bool = True) -> None:
        how = {"waits_for_uploads": True, "keeps_spellings": keeps_spellings}
        self._of_journal.database.write(lambda connection: self._forgetting.forget(connection, people, **how))

    def _with_receipts(self, people: Collection[PersonKey]) -> dict[PersonKey, str]:
        """Return the results in this task's receipts for these people, by person."""
        journal = self._of_journal
        return self._forgetting.results_of(
            set(people), journal.settings.run_id, self._map_index, journal.series.started_at
        )

    def _send(
        self, batches: Iterator[Sequence[Patch]], spread: Spread = nothing_more, resource: Resource | None = None
    ) -> None:
        self._of_journal.left_behind = None  # a list of changes that are left would name people
        left = self._with_sent_keys(self._without_done(batches))
        if self._wait_for_others(left):
            super()._send(left, resource=resource)

    def _state(self, until: float) -> dict[str, Any]:
        return {**super()._state(until), ERASES: True}

    def _window_opens_at(self, until: float) -> float:
        return time.time() if self._is_put_off else until  # it waits for an import, not for a window

    def _without_done(self, batches: Iterator[Sequence[Patch]]) -> Iterator[Sequence[Patch]]:
        """Yield the deletions without a receipt of an earlier attempt."""
        journal = self._of_journal
        for batch in batches:
            people = {place: self._resource.people_of(patch)[0] for place, patch in enumerate(batch)}
            found = self._with_receipts(people.values())
            for place, person in people.items():
                if person in found:
                    self._report.tally.count(Outcome(found[person]), batch[place].number)
                    if (planned := batch[place].place) is not None:
                        journal.lines.settle_planned(planned)
            yield [patch for place, patch in enumerate(batch) if people[place] not in found]

    def _with_sent_keys(self, batches: Iterator[Sequence[Patch]]) -> Iterator[Sequence[Patch]]:
        """Add the spellings that other runs have sent.

        To be iterated after the wait for these runs: only then does the journal have all spellings.
        """
        resource = self._resource
        for batch in batches:
            sent = self._forgetting.sent_keys([person for patch in batch for person in resource.people_of(patch)])
            yield [resource.with_spellings(patch, sent.get(resource.same_key(patch.key), ())) for patch in batch]

    def _wait_for_others(self, left: Iterator[Sequence[Patch]]) -> bool:
        """Wait for requests and uploads that other runs began before these people were suppressed.

        :param left: the deletions to send afterwards.
        :return: whether all of them have ended; ``False``: the run is deferred or must stop.
        """
        if not self._people:  # an earlier process, which was deferred, has suppressed them
            self._people = [person for batch in self._kept() for person in batch]
        try:
            if not self._is_alone(self._forgetting.now(), left):
                return False
            if self._forgetting.runs_at_work_since(self._forgetting.now() + _LONG_S):
                self._watch.waiting.pause(_WRITTEN_AFTER_S)
            return True
        except RunStopped:
            return False

    def _is_alone(self, suppressed_at: float, left: Iterator[Sequence[Patch]]) -> bool:
        while True:
            at_work = self._forgetting.runs_at_work_since(suppressed_at)
            uploads = [] if at_work else self._open_uploads()
            if not at_work and not uploads:
                return True
            what = plural(at_work, "run") if at_work else plural(len(uploads), "import")
            if what != self._awaited:
                self._awaited = what
                self._report.log.info(wording.WAITING_FOR_IMPORTS, self._describe_wait(), "")
            if uploads and self._may_defer:
                self._is_put_off = True
                self._sender.put_off(left, Wait(time.time() + _LOOK_WITHOUT_WORKER_S, Cause.USED_UP))
                return False
            self._watch.waiting.pause(_LOOK_EVERY_S)

    def _describe_wait(self) -> str:
        return f"{self._awaited} may still write these people"

    def _kept(self) -> Iterator[list[PersonKey]]:
        for batch in self._of_journal.plan.patches():
            yield [person for patch in batch for person in self._resource.people_of(patch)]

    def _open_uploads(self) -> list[OpenUpload]:
        """Return the uploads that contain these people and have not ended."""
        left = []
        for upload in self._forgetting.open_uploads(self._people):
            if upload.import_id is not None:
                if upload.import_id not in self._ended and not self._has_ended(upload.import_id):
                    left.append(upload)
            elif upload.is_at_work:
                left.append(upload)
            else:  # its process died before the upload had a response
                self._watch.until_none_is_open(upload.since, upload.known_ids)
        return left

    def _has_ended(self, import_id: str) -> bool:
        if self._watch.due_in(import_id) > 0:
            return False
        fate = self._watch.look(import_id)[1]
        self._gone[import_id] += fate is Fate.GONE
        # A single 404 may come from a gateway.
        if fate not in (Fate.WAIT, Fate.GONE) or self._gone[import_id] >= _LOOKS_AT_ONE_THAT_IS_GONE:
            self._ended.add(import_id)
        return import_id in self._ended


class ErasurePreview(RequestPreview):
    """The preview of an erasure, for a check.

    :param log: the log of the task.
    :param quota: knows the account's allowance.
    :param most: the most people to delete.
    :param forgetting: knows the spellings in which the people were sent.
    """

    def __init__(self, log: Log, quota: Quota, most: int, forgetting: Forgetting) -> None:
        super().__init__(log, quota)
        self._most = most
        self._forgetting = forgetting

    def look(self, changes: PendingChanges, resource: Resource) -> None:
        """Count the people, and refuse what a run would refuse."""
        check_number(len(changes), self._most, resource.noun)
        _add_sent_keys(changes, resource, self._forgetting)
        super().look(changes, resource)
        self._cost = _by_deletion(self._cost)

    def describe(self) -> str:
        """Describe the number of people to delete."""
        return f"{self.valid or 0:,} to delete"


def _add_sent_keys(changes: PendingChanges, resource: Resource, forgetting: Forgetting) -> None:
    """Add to the changes the spellings of the people's keys that other runs have sent."""
    for batch in changes.batches():
        people = {resource.same_key(patch.key): patch for patch in batch}
        sent = forgetting.sent_keys([person for patch in batch for person in resource.people_of(patch)])
        changes.add(
            PendingChange(people[key]._replace(properties={"1": spelling}), key)
            for key, spellings in sent.items()
            for spelling in spellings
            if key in people and spelling not in people[key].properties.values()
        )


def _by_deletion(cost: Cost) -> Cost:
    return cost._replace(way=ERASE, reason="the operator deletes")
