# ruff: noqa: F821 - names are those of the modules that are mutated
"""The work of one import, over processes: each decision, as if there was no need for it."""

from __future__ import annotations

from tests.support.mutations import Mutations

JOBS = Mutations()

_JOB = "test_import_job.py::"
_CONTINUES = _JOB + "test_a_later_process_settles_the_imports_and_uploads_nothing"
_READS_AGAIN = _JOB + "test_without_what_was_uploaded_the_source_is_read_again_after_open_imports"


@JOBS.instead_of("imports.job:ImportJob._recall", _CONTINUES)
def what_was_uploaded_is_forgotten(original, self):
    self._carried = None
    return original(self)


JOBS.value(
    "a process that comes back never needs a row",
    "imports.job:ImportJob._needs_no_row",
    "property(lambda self: self._rules.comes_back)",
    _READS_AGAIN,
)


JOBS.value(
    "the kind of key is not compared",
    "imports.job:ImportJob._key_of_state",
    "property(lambda self: self._mapping.key)",
    _JOB + "test_a_later_process_with_another_kind_of_key_reads_again",
)


@JOBS.instead_of(
    "imports.job:ImportJob.resume", _READS_AGAIN, _JOB + "test_a_retry_that_remembers_nothing_waits_for_open_imports"
)
def open_imports_are_left_alone_before_a_second_reading(original, self, folder):
    self.watch.until_none_is_open = lambda *given: None
    return original(self, folder)


@JOBS.instead_of("imports.job:ImportJob._wait", _JOB + "test_a_worker_is_given_back_once_all_is_uploaded")
def a_worker_waits_for_imports(original, self, settlement):
    self._or_defer(settlement.settle_all)


@JOBS.instead_of("imports.job:ImportJob._wait", _JOB + "test_a_file_that_is_refused_is_a_trouble_and_holds_no_deferral")
def troubles_are_deferred(original, self, settlement):
    self.is_deferred = self._rules.deferrable
    if not self.is_deferred:
        original(self, settlement)


@JOBS.instead_of("imports.job:ImportJob._wait", _JOB + "test_a_plan_is_uploaded_and_its_import_is_waited_for")
def nobody_waits_for_an_import(original, self, settlement):
    pass


@JOBS.instead_of("imports.job:ImportJob._may_leave_files", _JOB + "test_without_a_journal_files_are_left_to_nobody")
def files_are_left_to_nobody(original, self):
    return self._rules.deferrable


@JOBS.instead_of("imports.job:ImportJob._send", _JOB + "test_a_refused_key_ends_the_run_and_nothing_is_waited_for")
def a_refused_key_is_a_trouble_of_a_file(original, self, settlement, files, *others):
    try:
        original(self, settlement, files, *others)
    except ImportFailed as failure:
        self.account.failures.append(failure)


@JOBS.instead_of("imports.job:ImportJob._send", _JOB + "test_a_file_that_is_refused_is_a_trouble_and_holds_no_deferral")
def a_refused_file_ends_the_run(original, self, settlement, files, *others):
    self._uploads.upload(self.state, files, settlement, self._planned_at, self._may_leave_files, lambda *_: None)


@JOBS.instead_of("imports.job:ImportJob._send", _JOB + "test_who_was_told_to_stop_waits_for_no_import")
def a_stop_is_not_noticed_after_the_uploads(original, self, settlement, files, *others):
    self._uploads.upload(self.state, files, settlement, self._planned_at, self._may_leave_files, lambda *_: None)
    self._context.is_to_stop = lambda: False
    self.watch.look(self.state.files[0].import_id)


@JOBS.instead_of(
    "imports.job:ImportJob._restore",
    _JOB + "test_a_later_process_keeps_the_moment_of_the_plan_and_the_end_of_the_time",
)
def a_plan_is_young_after_each_deferral(original, self):
    original(self)
    self._planned_at += 3600


@JOBS.instead_of(
    "imports.job:ImportJob._restore",
    _JOB + "test_a_later_process_keeps_the_moment_of_the_plan_and_the_end_of_the_time",
)
def the_time_of_an_attempt_begins_with_each_process(original, self):
    original(self)
    self.watch.waiting.begin()


@JOBS.instead_of("imports.job:ImportJob._restore", _JOB + "test_troubles_of_an_earlier_process_stay")
def troubles_of_an_earlier_process_are_forgotten(original, self):
    original(self)
    self.account.failures.clear()


@JOBS.instead_of("imports.job:ImportJob._restore", _JOB + "test_requests_of_the_trigger_are_counted")
def requests_of_the_trigger_are_not_counted(original, self):
    before = self._report.effort.add_requests
    self._report.effort.add_requests = lambda *given: None
    original(self)
    self._report.effort.add_requests = before


@JOBS.instead_of("imports.job:ImportJob._restore", _CONTINUES)
def counts_of_an_earlier_process_are_lost(original, self):
    original(self)
    self._report.tally.read = 0
