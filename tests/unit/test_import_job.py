"""The work of one import: what is uploaded, what a later process continues with, and when it must read again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_connectif.api.errors import error_class
from airflow_provider_connectif.api.import_record import Import
from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.contacts.resource import ContactResource
from airflow_provider_connectif.imports.context import ImportContext
from airflow_provider_connectif.imports.job import ImportJob
from airflow_provider_connectif.imports.rules import ImportRules
from airflow_provider_connectif.journal.pending import PendingChange, PendingChanges
from airflow_provider_connectif.records.changes import Patch
from airflow_provider_connectif.reporting.rejects import Rejects
from airflow_provider_connectif.reporting.report import Report
from airflow_provider_connectif.reporting.verdict import ImportFailed, Verdict
from tests.support.clock import FakeClock
from tests.unit.test_settlement import Lines
from tests.unit.test_uploads import FULL, Connectif

MAPPING = ContactMapping(properties={"_name": "name"})
ROWS = 2
DONE = {"status": "finished", "total": ROWS, "success": ROWS, "errors": 0}
REFUSED_KEY = error_class(401)(401, is_error_document=True)
TOO_LARGE = error_class(413)(413, is_error_document=True)


class Server(Connectif):
    """Every import has ended well, unless the test says otherwise."""

    def __init__(self, clock: FakeClock, responses: list[Any]) -> None:
        super().__init__(clock, responses)
        self.shown: dict[str, Any] = DONE
        self.polls = 0

    def get_import(self, import_id: str) -> Import:
        self.polls += 1
        return Import.parse({"id": import_id, **self.shown}, import_id)


class NoPatching:
    """The key may not write contacts."""

    def deliver(self, *_: Any) -> None:
        pass


class Process:
    """One process of a task that imports.

    :param responses: to its uploads.
    :param carried: what an earlier process has left with the trigger.
    :param rules: of the import.
    """

    def __init__(self, folder: Path, *responses: Any, carried: Any = None, **rules: Any) -> None:
        self.clock, self.log = FakeClock(), Lines()
        self.server = Server(self.clock, list(responses))
        self.is_stopped = False
        self._folder = folder
        client: Any = self.server
        patching: Any = NoPatching()
        self.report = Report(ContactResource(MAPPING), client.quota, Rejects(None), None, self.log)
        context = ImportContext(
            client, ImportRules(patch_leftovers=False, **rules), self.report, is_to_stop=lambda: self.is_stopped
        )
        self.job = ImportJob(context, MAPPING, patching, carried, self.clock)

    def deliver(self) -> None:
        self.report.tally.read = ROWS
        with PendingChanges(ContactResource(MAPPING)) as changes:
            for n in range(ROWS):
                email = f"user{n}@example.com"
                changes.add([PendingChange(Patch(n, email, {"_name": "x"}, {"email": email}), email)])
            self.job.deliver(self._folder, changes, MAPPING)

    def resume(self) -> bool:
        return self.job.resume(self._folder)

    @property
    def carried(self) -> Any:
        """What the next process gets."""
        return json.loads(json.dumps(self.job.saved_state()))

    @property
    def counts(self) -> dict[str, int]:
        return {outcome.value: count for outcome, count in self.report.tally.outcomes.items() if count}

    @property
    def verdicts(self) -> list[Verdict]:
        return [failure.verdict for failure in self.job.tally.failures]


@pytest.fixture
def deferred(tmp_path: Path) -> Process:
    """A process that has uploaded everything and gives its worker back."""
    process = Process(tmp_path, "a", deferrable=True)
    process.deliver()
    return process


def test_a_plan_is_uploaded_and_its_import_is_waited_for(tmp_path: Path) -> None:
    process = Process(tmp_path, "a")
    process.deliver()
    assert (process.counts, process.verdicts, process.job.is_deferred) == ({"imported": ROWS}, [], False)


def test_a_worker_is_given_back_once_all_is_uploaded(deferred: Process) -> None:
    assert (deferred.job.is_deferred, deferred.server.polls, deferred.counts) == (True, 0, {})


def test_a_later_process_settles_the_imports_and_uploads_nothing(deferred: Process, tmp_path: Path) -> None:
    later = Process(tmp_path, carried=deferred.carried, deferrable=True, comes_back=True)
    assert later.resume()
    assert (later.counts, later.report.tally.read, later.server.uploads) == ({"imported": ROWS}, ROWS, [])
    # It has not polled yet when it begins, so it says nothing about their states.
    assert later.log.all[0] == (
        "Continuing with the imports of an earlier process\n  Imports: a\n"
        "  Nothing is read or uploaded: the task only waits for these imports"
    )


def test_a_later_process_keeps_the_moment_of_the_plan_and_the_end_of_the_time(
    deferred: Process, tmp_path: Path
) -> None:
    later = Process(tmp_path, carried=deferred.carried, deferrable=True, comes_back=True)
    later.clock.sleep(600)
    later.resume()
    kept = ("planned_at", "timeout_at")
    assert [later.carried["run"][name] for name in kept] == [deferred.carried["run"][name] for name in kept]


def test_a_later_process_with_another_kind_of_key_reads_again(deferred: Process, tmp_path: Path) -> None:
    carried = deferred.carried
    carried["run"]["key"] = "external_id"
    later = Process(tmp_path, carried=carried, deferrable=True, comes_back=True)
    assert not later.resume()
    assert later.log.all[0].startswith("The task's operator or key has changed since its changes were stored\n")
    del carried["run"]["key"]  # an older state
    assert Process(tmp_path, carried=carried, deferrable=True, comes_back=True).resume()


def test_requests_of_the_trigger_are_counted(deferred: Process, tmp_path: Path) -> None:
    later = Process(tmp_path, carried=deferred.carried, comes_back=True, trigger_requests=7, trigger_rate_limited=2)
    later.resume()
    assert (later.report.effort.requests, later.report.effort.rate_limited) == (7, 2)


@pytest.mark.parametrize("carried", [None, {}, {"files": "of another version"}])
def test_without_what_was_uploaded_the_source_is_read_again_after_open_imports(carried: Any, tmp_path: Path) -> None:
    process = Process(tmp_path, carried=carried, comes_back=True)
    assert not process.resume()
    assert process.server.lists > 0
    assert any("reading the source again" in line for line in process.log.all)


def test_a_retry_that_remembers_nothing_waits_for_open_imports(tmp_path: Path) -> None:
    first, second = (Process(tmp_path, has_earlier_attempts=earlier) for earlier in (False, True))
    assert [first.resume(), second.resume()] == [False, False]
    assert first.server.lists == 0 < second.server.lists


def test_a_refused_key_ends_the_run_and_nothing_is_waited_for(tmp_path: Path) -> None:
    process = Process(tmp_path, REFUSED_KEY)
    with pytest.raises(ImportFailed):
        process.deliver()
    assert process.server.polls == 0


def test_a_file_that_is_refused_is_a_trouble_and_holds_no_deferral(tmp_path: Path) -> None:
    process = Process(tmp_path, TOO_LARGE, deferrable=True)
    process.deliver()
    assert (process.verdicts, process.job.is_deferred) == ([Verdict.FAILED], False)


def test_without_a_journal_files_are_left_to_nobody(tmp_path: Path) -> None:
    process = Process(tmp_path, FULL, "a", deferrable=True)
    process.deliver()
    assert (len(process.server.uploads), process.job.state.is_complete) == (2, True)


def test_who_was_told_to_stop_waits_for_no_import(tmp_path: Path) -> None:
    process = Process(tmp_path, "a")
    process.server.shown = {"status": "queued"}
    before = process.server.create_import

    def upload(*given: Any, **named: Any) -> Import:
        process.is_stopped = True
        return before(*given, **named)

    process.server.create_import = upload  # type: ignore[method-assign]
    process.deliver()
    assert (process.server.polls, process.counts) == (0, {})


def test_troubles_of_an_earlier_process_stay(deferred: Process, tmp_path: Path) -> None:
    carried = deferred.carried
    carried["run"]["troubles"] = ["import a ended in error"]
    later = Process(tmp_path, carried=carried, comes_back=True)
    later.resume()
    assert later.verdicts == [Verdict.FAILED]
