# ruff: noqa: F821 - names are those of the modules that are mutated
"""A run from its begin to its end, as if nothing could go wrong on the way."""

from __future__ import annotations

from tests.support.mutations import Mutations

RUNS = Mutations()

_RUN = "test_run.py::"


@RUNS.instead_of(
    "runs.run:Run._read", _RUN + "test_a_source_that_does_not_end_in_time_ends_the_run_and_nothing_is_sent"
)
def sources_may_take_any_time(original, self, source, resource, preparer):
    self._clock = lambda: 0.0
    original(self, source, resource, preparer)


@RUNS.instead_of(
    "runs.run:Run._read", _RUN + "test_a_source_that_breaks_ends_the_run_and_nothing_is_sent[error1-try_again]"
)
def a_source_that_breaks_has_ended(original, self, source, resource, preparer):
    try:
        original(self, source, resource, preparer)
    except OSError:
        preparer.finish()


@RUNS.instead_of("runs.run:Run._is_to_stop", _RUN + "test_a_time_limit_ends_the_reading")
def nobody_looks_at_the_clock_while_rows_are_read(original, self):
    return self._ending.stop is not None


@RUNS.instead_of("runs.run:Run._is_to_stop", _RUN + "test_a_kill_while_rows_are_read_ends_the_run_after_the_batch")
def a_kill_is_not_noticed_while_rows_are_read(original, self):
    return False


@RUNS.instead_of("runs.run:Run.kill", _RUN + "test_a_kill_while_rows_are_read_ends_the_run_after_the_batch")
def a_kill_does_not_reach_the_run(original, self):
    return self.report.progress.counts_at_stop()


RUNS.value(
    "columns are not checked with the first batch",
    "runs.columns:SourceColumns.look_at",
    "lambda self, columns, batch: batch",
    _RUN + "test_a_column_that_is_missing_ends_the_run_with_the_first_batch",
)
RUNS.value(
    "a mapping is not checked where there is no row",
    "runs.columns:SourceColumns.end",
    "lambda self: None",
    _RUN + "test_a_mapping_is_checked_though_there_is_no_row",
)


@RUNS.instead_of(
    "runs.beginning:Beginning.open",
    _RUN + "test_another_run_is_waited_for_without_a_worker_and_without_a_look_at_the_source",
)
def another_run_is_not_waited_for(original, self, sink, resource, is_to_stop):
    sink.open(is_to_stop)
    return True


@RUNS.instead_of("runs.beginning:Beginning._defer_for", _RUN + "test_a_time_limit_counts_for_the_wait_for_another_run")
def a_wait_for_another_run_takes_no_time(original, self, claim):
    self._ending.stop_for(Stop(StopKind.DEFERRED))
    self.deferral = Deferral(claim.look_again_at, None)


@RUNS.instead_of(
    "runs.beginning:Beginning.settle_earlier",
    _RUN + "test_what_earlier_runs_left_is_settled_before_the_source_is_opened",
)
def earlier_runs_have_left_nothing(original, self, is_to_stop):
    return True


@RUNS.instead_of(
    "runs.ending:Ending.fail_by", _RUN + "test_what_earlier_runs_left_is_settled_before_the_source_is_opened"
)
def what_earlier_runs_left_does_not_matter(original, self, failure, scope=None):
    return None


@RUNS.instead_of("runs.run:Run._work", _RUN + "test_who_comes_back_to_a_whole_plan_reads_nothing")
def every_process_reads_the_source(original, self, open_source):
    self._plan_and_deliver(open_source)


@RUNS.instead_of(
    "runs.run:Run._work",
    _RUN + "test_who_comes_back_to_a_plan_that_is_gone_reads_the_source_and_sends_what_is_left",
)
def a_plan_that_is_gone_was_delivered(original, self, open_source):
    if not self.sink._comes_back:
        original(self, open_source)


@RUNS.instead_of("runs.run:Run._with_definitions", _RUN + "test_a_run_whose_definitions_cannot_be_had_reads_nothing")
def definitions_are_not_asked_for(original, self):
    return self._resource


@RUNS.instead_of("runs.run:Run._plan_and_deliver", _RUN + "test_a_run_whose_definitions_cannot_be_had_reads_nothing")
def rows_are_read_without_definitions(original, self, open_source):
    open_source()
    original(self, open_source)


@RUNS.instead_of("runs.ending:Ending.break_off", _RUN + "test_a_source_that_breaks_ends_the_run_and_nothing_is_sent")
def every_exception_may_pass(original, self, error):
    original(self, OSError())


@RUNS.instead_of("runs.run:Run.run", _RUN + "test_a_source_without_rows_is_warned_about")
def a_source_without_rows_is_usual(original, self, open_source, before_end):
    self.report.log.warning = lambda *_: None
    original(self, open_source, before_end)


@RUNS.instead_of("runs.beginning:Beginning.open", _RUN + "test_a_retry_says_at_its_beginning_that_it_is_one")
def a_retry_begins_like_a_first_attempt(original, self, *arguments):
    told = self._report.log.info
    self._report.log.info = lambda words, *values: None if words == wording.NEXT_ATTEMPT else told(words, *values)
    return original(self, *arguments)


@RUNS.instead_of(
    "runs.ending:Ending.break_off", "test_ending.py::test_a_cause_of_failure_has_no_text_that_may_quote_values"
)
def the_text_of_any_exception_is_recorded(original, self, error):
    original(self, error)
    self._broken_by = str(error)


@RUNS.instead_of("runs.ending:Ending.end", "test_ending.py::test_the_end_of_a_task_that_fails_is_a_warning")
def every_end_is_good_news(original, self, attempts):
    return original(self, attempts)._replace(is_failure=False)


@RUNS.instead_of(
    "delivery.request_sink:RequestSink.log_end",
    _RUN + "test_a_source_that_breaks_ends_the_run_and_nothing_is_sent",
)
def a_failed_run_logs_no_end(original, self, end):
    return None


@RUNS.instead_of("runs.run:Run.end_parked", _RUN + "test_a_deferral_that_does_not_follow_is_recorded_with_its_cause")
def a_deferral_that_does_not_follow_has_no_cause(original, self, error):
    if self._journal is not None:
        self._journal.end_parked(Verdict.TRY_AGAIN)


RUNS.value(
    "an early end hides a failed import",
    "runs.ending:_STRICTEST_FIRST",
    "original[::-1]",
    "test_ending.py::test_an_early_end_hides_no_failed_import",
)


_LAST = "test_errors_at_the_end.py::"


@RUNS.instead_of(
    "operators.rejects_file:RejectsFile.__exit__",
    _LAST + "test_an_error_of_the_block_comes_before_one_of_closing_the_file",
)
def an_error_of_closing_the_rejects_file_replaces_that_of_the_run(original, self, kind, error, *rest):
    self.close()


@RUNS.instead_of(
    "reporting.report:Report.close_rejects",
    _LAST + "test_the_warning_about_the_file_comes_before_the_end_of_the_run",
)
def an_error_of_the_rejects_file_ends_a_run_that_has_another_error(original, self, error):
    original(self)


@RUNS.instead_of(
    "reporting.report:Report.close_rejects",
    _LAST + "test_a_file_that_cannot_be_closed_ends_a_run_without_another_error",
)
def a_rejects_file_that_cannot_be_closed_is_only_logged(original, self, error=None):
    original(self, error or OSError())


@RUNS.instead_of(
    "operators.base:SyncOperator._push_summary",
    _LAST + "test_the_failure_of_a_run_comes_before_a_summary_that_cannot_be_pushed",
)
def an_error_of_xcom_replaces_that_of_the_run(original, self, start, summary, ended_by):
    start.context["ti"].xcom_push(key=SUMMARY_KEY, value=summary)


RUNS.value(
    "an error of XCom replaces the verdict on a run",
    "operators.base:SyncOperator._has_failed",
    "property(lambda self: False)",
    _LAST + "test_the_failure_of_a_run_comes_before_a_summary_that_cannot_be_pushed",
)
