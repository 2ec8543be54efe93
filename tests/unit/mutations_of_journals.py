# ruff: noqa: F821 - names are those of the modules that are mutated
"""The claim, the confirmation and the report, as if nothing could go wrong with them."""

from __future__ import annotations

from tests.support.mutations import Mutations

JOURNALS = Mutations()

# The claim to a sync

_LEASE = "test_lease.py::"
_INTERRUPTED = "test_interruptions.py::"


@JOURNALS.instead_of("journal.lease:Lease.take", _LEASE + "test_another_run_is_held_off_and_tasks_of_one_run_are_not")
def other_runs_are_not_held_off(original, self):
    original(self)


@JOURNALS.instead_of("journal.lease:Lease._renewed", _LEASE + "test_a_claim_is_renewed_for_as_long_as_its_task_lives")
def claims_are_not_renewed(original, self, connection):
    return True


JOURNALS.value(
    "a claim outlives its task",
    "journal.lease:LEASE_S",
    "3600.0",
    _LEASE + "test_the_claim_of_a_task_that_was_killed_ends_after_a_minute",
)


@JOURNALS.instead_of(
    "journal.lease:Lease.park",
    _LEASE + "test_a_parked_claim_outlives_the_moment_at_which_its_task_comes_back",
    _LEASE + "test_a_parked_claim_is_called_so",
)
def claims_are_not_parked(original, self, until):
    self._stop_keeping()


@JOURNALS.instead_of("journal.lease:Lease.hold", _LEASE + "test_a_claim_that_was_taken_away_is_lost")
def nobody_notices_that_a_claim_is_lost(original, self, connection):
    return True


@JOURNALS.instead_of(
    "journal.lease:Lease._renew",
    _LEASE + "test_a_database_that_is_gone_for_a_minute_loses_the_claim_and_a_moment_does_not",
)
def a_database_that_fails_once_loses_the_claim(original, self):
    while not self._ends_within(_RENEW_EVERY_S):
        with self._engine.begin() as connection:
            self._renewed(connection)


@JOURNALS.instead_of("journal.lease:Lease.release", _LEASE + "test_a_released_claim_is_gone")
def claims_are_kept_at_the_end(original, self):
    self._stop_keeping()


@JOURNALS.instead_of("journal.lease:wait_for_claim", _LEASE + "test_a_long_claim_is_waited_for_without_a_worker")
def a_worker_waits_for_every_claim(original, take, stopped, tell, *, may_defer, clock):
    return original(take, stopped, tell, may_defer=False, clock=clock)


@JOURNALS.instead_of(
    "journal.lease:wait_for_claim", _LEASE + "test_a_claim_is_waited_for_on_a_worker_where_the_task_cannot_defer"
)
def every_task_defers(original, take, stopped, tell, *, may_defer, clock):
    return original(take, stopped, tell, may_defer=True, clock=clock)


JOURNALS.value(
    "a claim that ends at once costs a deferral",
    "journal.lease:_LEAST_DEFERRAL_S",
    "0.0",
    _LEASE + "test_a_claim_that_ends_soon_is_waited_for_on_the_worker",
)
JOURNALS.value(
    "who waits says so only once",
    "journal.lease:_TELL_AGAIN_S",
    "1e9",
    _LEASE + "test_who_waits_on_a_worker_says_so_every_ten_minutes",
)
JOURNALS.value(
    "a claim is given up on at the first look",
    "journal.lease:_TRIES_BEFORE_TELLING",
    "1",
    _LEASE + "test_a_claim_that_is_released_within_a_second_is_got_without_a_word",
)
JOURNALS.value(
    "a deferred run looks again when the claim ends",
    "journal.lease:_LOOK_EVERY_S",
    "1e9",
    _LEASE + "test_a_long_claim_is_waited_for_without_a_worker",
)


@JOURNALS.instead_of("journal.lease:wait_for_claim", _LEASE + "test_who_was_told_to_stop_waits_for_no_claim")
def who_was_told_to_stop_waits_for_a_claim(original, take, stopped, tell, *, may_defer, clock):
    return original(take, lambda: False, tell, may_defer=may_defer, clock=clock)


@JOURNALS.instead_of(
    "journal.lease:Lease._stop_keeping", _INTERRUPTED + "test_a_claim_whose_thread_was_not_started_is_released"
)
def a_thread_that_was_not_started_is_waited_for(original, self):
    if self._keeper is not None:
        self._keeper.join()


# The database


@JOURNALS.instead_of(
    "journal.database:reveal_interruption",
    _INTERRUPTED + "test_a_time_limit_while_the_journal_is_opened_is_no_wrong_setting",
    _INTERRUPTED + "test_a_time_limit_while_the_tables_are_created_does_not_count_as_another_task",
    _INTERRUPTED + "test_a_time_limit_while_the_faults_of_tables_are_searched_ends_the_search",
)
def an_interruption_is_taken_for_an_error_of_the_database(original, action):
    return action()


@JOURNALS.instead_of(
    "journal.interruptions:_interruption_behind",
    _INTERRUPTED + "test_an_error_while_a_time_limit_is_handled_is_an_error_of_the_database",
)
def an_interruption_that_is_being_handled_is_raised_again(original, error, handled):
    return original(error, None)


@JOURNALS.instead_of(
    "journal.interruptions:_interruption_behind",
    _INTERRUPTED + "test_the_end_of_a_generator_is_no_interruption",
)
def the_end_of_a_generator_is_an_interruption(original, error, handled):
    context = error.__context__
    return context if isinstance(context, GeneratorExit) else original(error, handled)


# Confirm

_CONFIRMATION = "test_confirmation.py::"


@JOURNALS.instead_of(
    "journal.run_lines:RunLines.acknowledge",
    _CONFIRMATION + "test_an_acceptance_is_written_and_of_what_failed_only_its_state",
)
def acceptances_are_not_written(original, self, key, digests, **named):
    return None


@JOURNALS.instead_of(
    "journal.confirmation:Confirmation.settle",
    _CONFIRMATION + "test_an_acceptance_is_written_and_of_what_failed_only_its_state",
)
def every_outcome_is_an_acceptance(original, self, settled, reasons, status):
    self._lines.acknowledge(self._same_key(settled.patch.key), settled.patch.digests)
    return False


@JOURNALS.instead_of("journal.run_lines:RunLines.reject", _CONFIRMATION + "test_a_refusal_of_the_row_is_held")
def refusals_are_not_written(original, self, *given, **named):
    return None


@JOURNALS.instead_of(
    "journal.run_lines:RunLines.refused_before",
    _CONFIRMATION + "test_a_refusal_that_an_earlier_run_has_met_is_known",
)
def every_refusal_is_new(original, self, digests, *, is_written=False):
    return set()


@JOURNALS.instead_of(
    "journal.run_lines:RunLines.doubt", _CONFIRMATION + "test_until_the_response_is_here_a_contact_is_in_doubt"
)
def nothing_is_ever_in_doubt(original, self, remaining, **named):
    return None


@JOURNALS.instead_of(
    "journal.held_back:HeldBackRefusals.__init__",
    _CONFIRMATION + "test_refusals_are_kept_back_until_another_response_shows_that_rows_are_taken_at_all",
)
def refusals_are_written_at_once(original, self, lines, *, keeps):
    original(self, lines, keeps=False)


@JOURNALS.instead_of(
    "journal.held_back:HeldBackRefusals.drop",
    _CONFIRMATION + "test_a_run_that_ended_early_holds_no_row_that_was_kept_back",
)
def refusals_of_an_early_end_are_held(original, self):
    self.release()


@JOURNALS.instead_of(
    "journal.held_back:HeldBackRefusals.as_state",
    _CONFIRMATION + "test_kept_back_refusals_go_on_to_the_process_that_comes_back",
)
def kept_back_refusals_are_forgotten_over_a_deferral(original, self):
    return []


@JOURNALS.instead_of(
    "journal.line_writer:LineWriter._write_gathered",
    _CONFIRMATION + "test_a_process_that_lost_its_claim_leaves_doubts_behind_and_stops",
)
def who_lost_the_claim_writes_on(original, self, connection):
    self._gathered.write(connection)


@JOURNALS.instead_of(
    "journal.run_lines:RunLines.leave_in_doubt",
    _CONFIRMATION + "test_what_was_never_answered_is_a_doubt_where_another_process_took_over",
)
def what_was_never_answered_leaves_no_doubt(original, self, keys):
    return None


# The journal's database fails

JOURNALS.value(
    "tables of a newer version will do",
    "journal.database:VERSION",
    "1000",
    _CONFIRMATION + "test_a_journal_of_a_newer_version_is_final",
)


@JOURNALS.instead_of(
    "journal.database:JournalDatabase._check", _CONFIRMATION + "test_a_table_that_is_gone_is_named_and_final"
)
def tables_are_not_asked_for(original, self, version, read_only):
    return None


@JOURNALS.instead_of(
    "journal.database:JournalDatabase.guarded",
    _CONFIRMATION + "test_a_database_that_cannot_be_opened_is_no_final_end",
    _CONFIRMATION + "test_a_database_that_fails_later_says_so_without_a_contact",
)
def errors_of_the_database_are_passed_on(original, self, action, final_kinds=()):
    return action()


@JOURNALS.instead_of(
    "journal.database:_fault_of_file",
    "test_journal_waits.py::test_a_full_disk_under_a_journal_of_sqlite_is_named_when_the_run_writes",
)
def faults_of_a_file_are_not_named(original, cause):
    return ""


@JOURNALS.instead_of(
    "journal.payloads:Payloads.unpacked", _CONFIRMATION + "test_a_plan_of_another_secret_cannot_be_read"
)
def a_plan_that_cannot_be_read_is_empty(original, self, line):
    try:
        return original(self, line)
    except JournalError:
        return None


# How a run ends

_ENDING = "test_ending.py::"


@JOURNALS.instead_of(
    "runs.ending:Ending.break_off", _ENDING + "test_an_exception_says_itself_whether_another_attempt_may_help"
)
def no_exception_is_final(original, self, error):
    original(self, RunFailed(""))


JOURNALS.value(
    "every failure of a run is final",
    "api.errors:RunFailed.final",
    "True",
    _ENDING + "test_a_failure_is_final_only_where_it_says_so",
)


@JOURNALS.instead_of(
    "runs.ending:Ending.recorded", _ENDING + "test_an_exception_says_itself_whether_another_attempt_may_help"
)
def an_exception_is_recorded_as_if_there_was_none(original, self):
    return self._ended()[0]


@JOURNALS.instead_of("runs.ending:Ending.left_behind", _ENDING + "test_what_an_early_end_leaves_is_undelivered")
def what_an_early_end_leaves_is_in_no_count(original, self):
    return 0


@JOURNALS.instead_of("runs.ending:Ending.stop", _ENDING + "test_a_kill_wins_over_every_other_end")
def another_end_wins_over_a_kill(original, self):
    return self._own_stop or self._sink.stop or original(self)


@JOURNALS.instead_of("runs.ending:Ending.fail_by", _ENDING + "test_what_earlier_runs_left_fails_by_its_own_scope")
def a_key_that_may_not_see_earlier_imports_is_a_trouble_like_others(original, self, failure, scope=None):
    self._troubles.append(failure)


# Report

_SUMMARY = "test_summary.py::"


@JOURNALS.instead_of(
    "reporting.failure_budget:FailureBudget._exceeded",
    _SUMMARY + "test_the_failure_budget_counts_invalid_and_rejected",
)
def every_budget_is_kept(original, self, tally):
    return []


@JOURNALS.instead_of("reporting.failure_budget:FailureBudget.__post_init__", _SUMMARY + "test_what_is_no_budget")
def everything_is_a_budget(original, self):
    return None


@JOURNALS.instead_of(
    "reporting.verdict:unaccounted_verdict", "test_stop_verdicts.py::test_outcomes_that_do_not_add_up_are_no_success"
)
def rows_that_are_lost_are_no_failure(original, read, unaccounted):
    return Verdict.SUCCESS, ""


JOURNALS.value(
    "a response never says what to mend",
    "reporting.verdict:_STATUS_WORDS",
    "{}",
    "test_stop_verdicts.py::test_a_response_that_ends_a_run_says_what_to_mend",
)


# The digests of rows that are texts of a database

_TEXTS = "test_raw_rows.py::"
_SHARED = _TEXTS + "test_rows_of_other_texts_never_share_a_digest"

JOURNALS.value(
    "a NULL is an empty text",
    "journal.digests:packed",
    'lambda texts: b"\\0".join([text or b"" for text in texts])',
    _SHARED,
)
JOURNALS.value(
    "the places of NULLs run into the texts",
    "journal.digests:packed",
    'lambda texts: original(texts).replace(b"\\0\\0[", b"[")',
    _SHARED,
)


@JOURNALS.instead_of(
    "journal.digests:RowDigester._of_texts",
    _TEXTS + "test_what_makes_another_value_of_the_same_text_makes_another_digest",
)
def the_type_of_a_text_does_not_matter(original, self, batch, types):
    return original(self, batch, [0] * len(types))


@JOURNALS.instead_of(
    "journal.digests:RowDigester.former_of_texts", _TEXTS + "test_the_digest_of_an_earlier_version_is_known"
)
def rows_refused_by_an_earlier_version_are_forgotten(original, self, row):
    return None


@JOURNALS.instead_of(
    "journal.digests:RowDigester.of_batch",
    _TEXTS + "test_where_an_author_s_code_converts_the_values_are_digested",
)
def what_an_author_converts_is_compared_as_text(original, self, batch):
    return self._of_texts(batch, batch.converted.types or [0] * len(batch.columns))


# The history

_HISTORY = "test_history.py::"


@JOURNALS.instead_of(
    "journal.history:History._replace",
    _HISTORY + "test_what_a_retry_says_of_a_contact_replaces_what_was_said_and_what_it_kept_stays",
)
def a_retry_lists_its_rows_twice(original, self, *given, **named):
    return None


@JOURNALS.instead_of(
    "journal.history:History.keep",
    _HISTORY + "test_what_a_retry_says_of_a_contact_replaces_what_was_said_and_what_it_kept_stays",
)
def what_an_earlier_attempt_delivered_is_not_listed(original, self, outcome, key):
    return None


@JOURNALS.instead_of(
    "journal.history:History.continue_attempt",
    _HISTORY + "test_a_process_that_comes_back_adds_to_the_lines_of_its_attempt",
)
def a_process_that_comes_back_counts_from_none(original, self, connection, attempt):
    original(self, connection, attempt)
    self._counts.clear()


@JOURNALS.instead_of(
    "journal.left_behind:ChangesLeft.note", _HISTORY + "test_what_was_not_sent_is_undelivered_once_for_each_contact"
)
def what_was_not_sent_is_not_listed(original, self, lines, history, reason):
    return None


@JOURNALS.instead_of(
    "journal.left_behind:ChangesLeft._key_of", _HISTORY + "test_a_key_that_its_resource_cannot_read_is_not_listed"
)
def every_key_can_be_read(original, self, patch):
    return self._same_key(patch.key)


@JOURNALS.instead_of(
    "runs.ending:Ending.verdict",
    _ENDING + "test_an_exception_comes_before_refused_rows_and_not_before_a_refused_key",
)
def refused_rows_take_the_retry_from_a_run_that_failed(original, self):
    return self._ended()


@JOURNALS.instead_of(
    "runs.ending:Ending.verdict",
    _ENDING + "test_an_exception_comes_before_refused_rows_and_not_before_a_refused_key",
)
def an_exception_wins_over_every_other_end(original, self):
    return (self._breaks_as, self._broken_by) if self._is_broken else original(self)


@JOURNALS.instead_of(
    "runs.ending:Ending._ended",
    _ENDING + "test_a_refused_removal_takes_no_retry_from_rows_that_were_not_delivered",
)
def a_refused_removal_comes_first(original, self):
    return removals_verdict(self._report.tally.removals) or original(self)
