# ruff: noqa: F821 - names are those of the modules that are mutated
"""The rate limit, retries and early ends, as if nobody had thought of them."""

from __future__ import annotations

from tests.support.mutations import Mutations

DELIVERY = Mutations()

# Deliver: the rate limit

_QUOTA = "test_quota.py::"


@DELIVERY.instead_of("api.quota:Quota.close", _QUOTA + "test_a_quota_that_is_closed_lets_nothing_go")
def a_closed_quota_lets_requests_go(original, self):
    if self.requests > 1:
        self._closed = True


@DELIVERY.instead_of(
    "api.quota:Quota.acquire",
    _QUOTA + "test_a_request_that_is_about_to_go_when_the_quota_is_closed_does_not_go_and_is_not_counted",
)
def a_signal_comes_between_two_requests_only(original, self):
    if self._closed:
        raise QuotaClosed("")
    self.requests += 1
    return self._clock.monotonic()


@DELIVERY.instead_of(
    "api.window:RequestWindow.refused", _QUOTA + "test_a_429_is_waited_for_as_long_as_it_asks_and_counted"
)
def a_429_waits_for_a_second(original, self, signal, now, jitter=0.0):
    original(self, signal, now, jitter)
    self._blocked_until = now + 1.0


@DELIVERY.instead_of(
    "api.window:RequestWindow._learn", _QUOTA + "test_what_it_waits_for_is_told_while_it_waits_and_not_afterwards"
)
def what_is_left_of_a_window_is_not_believed(original, self, remaining, signal, sent_at, now):
    return None


@DELIVERY.instead_of("api.window:RequestWindow.recall", _QUOTA + "test_a_later_process_goes_on_within_the_same_window")
def a_later_process_knows_nothing_of_the_window(original, self, limit, blocked_until, answered_at):
    return None


@DELIVERY.instead_of("api.window:RequestWindow._pace_leaves_at", _QUOTA + "test_a_cap_leaves_room_for_others")
def there_is_no_cap(original, self, now):
    return now


@DELIVERY.instead_of(
    "api.window:RequestWindow.unanswered", "test_window.py::test_a_probe_without_an_answer_lets_the_next_one_go"
)
def a_probe_without_an_answer_holds_up_all(original, self, now):
    self._ended(now)


DELIVERY.value(
    "a probe that hangs holds up all",
    "api.window:_PROBE_PATIENCE_S",
    "1e9",
    "test_window.py::test_a_probe_that_hangs_does_not_hold_back_the_others_for_long",
)

# Deliver: retries and early ends

_TESTS = "test_delivery.py::"


@DELIVERY.instead_of("delivery.backoff:retry_delay_s", "test_backoff.py::test_a_longer_retry_after_wins")
def a_retry_after_is_not_heeded(original, failures, retry_after_s=None, *, jitter=None):
    return original(failures, None, jitter=jitter)


DELIVERY.value(
    "delays grow without end",
    "delivery.backoff:LONGEST_GROWN_DELAY_S",
    "1e9",
    "test_backoff.py::test_it_doubles_up_to_half_a_minute",
)


@DELIVERY.instead_of("delivery.responses:retry_delay_s", _TESTS + "test_a_retry_waits_for_as_long_as_the_response_asks")
def retries_come_at_once(original, failures, retry_after_s=None):
    return 0.0


@DELIVERY.instead_of(
    "delivery.sending_queue:SendingQueue.put_back",
    _TESTS + "test_a_row_that_the_closed_quota_held_back_is_unsent_and_not_lost",
)
def what_the_quota_held_back_is_lost(original, self, job):
    return None


@DELIVERY.instead_of(
    "delivery.responses:Responses._take_anothers",
    _TESTS + "test_a_response_that_shows_another_key_is_confirmed_on_a_connection_of_its_own",
)
def another_key_is_accepted_at_once(original, self, job, answer):
    job.on_fresh_connection = True
    return original(self, job, answer)


DELIVERY.value(
    "a 421 is retried on the same connection",
    "delivery.responses:_MISDIRECTED",
    "0",
    _TESTS + "test_after_a_421_the_retry_has_a_connection_of_its_own",
)
DELIVERY.value(
    "a server that never answers is asked for every row",
    "delivery.responses:_FAILURES_THAT_STOP",
    "10**9",
    _TESTS + "test_a_server_that_never_answers_ends_the_run",
)


@DELIVERY.instead_of(
    "delivery.delivery:Delivery._end", _TESTS + "test_an_answer_that_ends_the_run_lets_nothing_further_go"
)
def an_end_is_only_noted(original, self, stop):
    if not self._queue.unsettled:
        original(self, stop)


@DELIVERY.instead_of(
    "delivery.rejection_watch:RejectionWatch._begin_sample",
    _TESTS + "test_twenty_refusals_from_the_start_end_the_run",
    _TESTS + "test_five_pages_of_a_firewall_in_a_row_end_the_run_and_three_do_not",
)
def rejections_never_stop_a_run(original, self, rule):
    return None


@DELIVERY.instead_of(
    "delivery.delivery:Delivery.stop", _TESTS + "test_a_kill_ends_the_run_within_a_moment_though_requests_hang"
)
def a_kill_is_no_stop(original, self):
    return self._stop


@DELIVERY.instead_of(
    "delivery.delivery:Delivery._work", _TESTS + "test_a_fault_of_ours_ends_the_run_instead_of_hanging_it"
)
def a_fault_ends_a_thread_and_not_the_run(original, self):
    while (job := self._next()) is not None:
        self._attempt(job)


@DELIVERY.instead_of(
    "delivery.delivery:Delivery._is_behind_with_writing",
    _TESTS + "test_no_further_request_goes_while_answers_are_not_written_down",
)
def any_number_of_answers_may_be_unwritten(original, self):
    return False


@DELIVERY.instead_of(
    "delivery.sending_queue:SendingQueue.sent_before",
    _TESTS + "test_a_row_that_waits_for_its_retry_is_without_an_answer_when_the_run_ends",
)
def rows_that_wait_for_a_retry_were_never_sent(original, self):
    return []


@DELIVERY.instead_of(
    "delivery.sending_queue:SendingQueue._may_fresh_go", _TESTS + "test_a_server_that_never_answers_ends_the_run"
)
def every_row_is_tried_while_nothing_gets_through(original, self):
    return True


# Deliver: changes that must not be sent twice

_DOUBTS = "test_doubts.py::"


@DELIVERY.instead_of(
    "delivery.doubts:DoubtGate.wait",
    _DOUBTS + "test_what_may_have_been_carried_out_is_sent_once",
    _DOUBTS + "test_a_stop_before_it_is_written_down_lets_nothing_go",
)
def nobody_waits_until_it_is_written_down(original, self, job, poll_s):
    self._quota.reserve()


@DELIVERY.instead_of(
    "delivery.doubts:DoubtGate.put_off", _DOUBTS + "test_what_was_not_carried_out_is_withdrawn_and_sent_again"
)
def what_was_not_carried_out_stays_in_doubt(original, self, job):
    return None


@DELIVERY.instead_of(
    "delivery.doubts:DoubtGate._is_over", _DOUBTS + "test_a_stop_before_it_is_written_down_lets_nothing_go"
)
def a_stop_is_not_noticed_at_the_gate(original, self):
    return False


@DELIVERY.instead_of("api.quota:Quota.reserve", _DOUBTS + "test_a_change_that_waits_for_a_window_is_not_written_down")
def changes_are_written_down_before_their_window(original, self):
    return None


@DELIVERY.instead_of(
    "delivery.responses:Responses._retry", _DOUBTS + "test_what_may_have_been_carried_out_is_sent_once"
)
def what_may_have_been_carried_out_is_sent_again(original, self, rule, job, error):
    return original(self, rule._replace(leaves_doubt=False), job, error)


@DELIVERY.instead_of("delivery.responses:Responses._retry", _DOUBTS + "test_an_author_may_have_it_sent_again")
def every_retry_is_in_doubt(original, self, rule, job, error):
    return original(self, rule._replace(leaves_doubt=True), job, error)


@DELIVERY.instead_of(
    "delivery.responses:Responses._take_anothers", _DOUBTS + "test_what_may_have_been_carried_out_is_sent_once"
)
def a_response_with_another_key_is_confirmed_by_a_second_request(original, self, job, answer):
    self._is_idempotent = True
    return original(self, job, answer)


DELIVERY.value(
    "a connection that was refused may have carried the change out",
    "api.errors:NoAnswerError.__init__",
    "lambda self, what, *given, **named: original(self, what)",
    _DOUBTS + "test_what_was_not_carried_out_is_withdrawn_and_sent_again",
)


@DELIVERY.instead_of(
    "delivery.delivery:Delivery.unanswered",
    _DOUBTS + "test_what_waits_for_a_retry_is_in_no_doubt_when_the_run_ends",
)
def what_waits_for_a_retry_was_never_answered(original, self):
    return [*original(self), *self._queue.sent_before()]


_SENDER = "test_sender.py::"


@DELIVERY.instead_of("delivery.sender:RequestSender.time_left_s", _SENDER + "test_a_time_limit_that_is_over_ends_it")
def there_is_always_time(original, self):
    return None


@DELIVERY.instead_of(
    "delivery.sender:RequestSender.leave_alone",
    _SENDER + "test_a_window_that_opens_late_ends_it_where_it_cannot_be_deferred",
    _SENDER + "test_a_response_that_asks_for_more_than_a_worker_waits_ends_it",
    _SENDER + "test_a_response_that_asks_for_a_long_pause_defers_it_too",
)
def every_pause_is_waited_for(original, self, error, asked_s):
    return None


@DELIVERY.instead_of(
    "delivery.sender:RequestSender._defer_for",
    _SENDER + "test_a_long_wait_for_a_window_defers_it_where_that_is_possible",
)
def a_worker_waits_for_every_window(original, self, wait):
    return None


@DELIVERY.instead_of(
    "delivery.sender:RequestSender.restore", _SENDER + "test_a_server_that_only_ever_puts_off_is_not_there"
)
def deferrals_in_a_row_are_forgotten(original, self, asked_deferrals):
    return None


@DELIVERY.instead_of("delivery.sender:RequestSender.kill", _SENDER + "test_a_kill_is_a_stop_and_closes_the_quota")
def a_kill_is_not_passed_on(original, self):
    return None


@DELIVERY.instead_of(
    "delivery.sender:RequestSender.end", _SENDER + "test_what_ends_it_from_outside_lets_nothing_further_go"
)
def an_end_from_outside_is_not_passed_on(original, self, stop):
    return None


# Deliver: the sink, its plan and what another process continues with

_SINK = "test_request_sink.py::"


@DELIVERY.instead_of(
    "delivery.sender:RequestSender.unsent",
    _SINK + "test_a_window_that_opens_late_parks_what_is_left",
    _SINK + "test_the_process_that_comes_back_sends_what_is_left_and_counts_all",
)
def what_is_left_is_not_parked(original, self):
    return iter(())


@DELIVERY.instead_of("journal.plan:Plan.add", _SINK + "test_what_was_put_off_twice_is_not_written_twice")
def what_is_in_the_plan_is_not_known(original, self, patches, same_contact):
    original(self, patches, same_contact)
    original(self, patches, same_contact)


@DELIVERY.instead_of("journal.plan:Plan.settle", _SINK + "test_what_was_put_off_twice_is_not_written_twice")
def what_is_settled_stays_in_the_plan(original, self, connection, places):
    return None


@DELIVERY.instead_of(
    "delivery.request_sink:RequestSink.close",
    _SINK + "test_a_kill_after_the_decision_to_defer_is_no_deferral",
)
def a_killed_run_is_parked(original, self, verdict, keyless):
    if self._journal is not None and self._sender.wait is not None:
        self._park(self._journal, self._sender.wait.until)
    else:
        original(self, verdict, keyless)


@DELIVERY.instead_of(
    "delivery.request_sink:RequestSink.close",
    _SINK + "test_a_plan_that_cannot_be_parked_fails_the_run_and_leaves_the_sync",
)
def a_plan_that_cannot_be_parked_holds_the_sync(original, self, verdict, keyless):
    if (deferral := self.deferral) is not None:
        self._park(self._journal, deferral.until)
        self._is_parked = True
    else:
        original(self, verdict, keyless)


@DELIVERY.instead_of(
    "delivery.request_sink:RequestSink.close",
    _SINK + "test_without_a_window_all_is_sent_and_the_journal_is_left",
)
def the_journal_stays_open(original, self, verdict, keyless):
    return None


DELIVERY.value(
    "a kill after the decision to defer defers",
    "delivery.request_sink:RequestSink.deferral",
    "property(lambda self: self._sender.wait and Deferral(self._sender.wait.until, self._sender.time_left_s))",
    _SINK + "test_a_kill_after_the_decision_to_defer_is_no_deferral",
)
DELIVERY.value(
    "a deferred task may take any time",
    "delivery.request_sink:RequestSink.deferral",
    "property(lambda self: (found := original.fget(self)) and Deferral(found.until, None))",
    _SINK + "test_a_window_that_opens_late_parks_what_is_left",
)


@DELIVERY.instead_of(
    "delivery.request_sink:RequestSink.open", _SINK + "test_what_must_not_be_sent_twice_needs_a_journal"
)
def things_are_sent_twice_without_a_journal(original, self, is_to_stop):
    if self._journal is not None:
        original(self, is_to_stop)


@DELIVERY.instead_of("delivery.request_sink:RequestSink.resume", _SINK + "test_a_plan_that_is_gone_is_made_again")
def a_plan_that_is_gone_is_an_empty_one(original, self):
    original(self)
    return True


@DELIVERY.instead_of(
    "delivery.request_sink:RequestSink.resume",
    _SINK + "test_the_process_that_comes_back_sends_what_is_left_and_counts_all",
    _SINK + "test_a_run_that_was_deferred_before_it_had_read_keeps_its_effort_and_reads",
    _SINK + "test_a_plan_that_is_gone_is_made_again",
)
def who_comes_back_knows_of_no_plan(original, self):
    self._comes_back = False
    return original(self)


@DELIVERY.instead_of(
    "journal.plan:Plan.load",
    _SINK + "test_a_run_that_was_deferred_before_it_had_read_keeps_its_effort_and_reads",
)
def every_plan_is_whole(original, self):
    state = original(self)
    return state and {**state, "is_read": True}


@DELIVERY.instead_of(
    "delivery.request_sink:RequestSink.resume",
    _SINK + "test_a_process_that_does_not_come_back_says_nothing_of_a_plan",
)
def everybody_comes_back(original, self):
    self._comes_back = True
    return original(self)


@DELIVERY.instead_of(
    "reporting.report:Report.restore", _SINK + "test_the_process_that_comes_back_sends_what_is_left_and_counts_all"
)
def counts_begin_again_after_a_deferral(original, self, state):
    return None


@DELIVERY.instead_of(
    "reporting.effort:Effort.go_on",
    _SINK + "test_the_process_that_comes_back_sends_what_is_left_and_counts_all",
    _SINK + "test_a_run_that_was_deferred_before_it_had_read_keeps_its_effort_and_reads",
)
def effort_begins_again_after_a_deferral(original, self, state, window_opens_at=None):
    return None


@DELIVERY.instead_of("api.quota:Quota.recall", _SINK + "test_the_process_that_comes_back_knows_the_window")
def the_window_is_forgotten_over_a_deferral(original, self, remembered):
    return None


@DELIVERY.instead_of(
    "delivery.sender:RequestSender.restore",
    _SINK + "test_a_server_that_only_ever_puts_off_is_given_up_after_so_many_deferrals",
)
def every_deferral_is_the_first(original, self, asked_deferrals):
    original(self, 0)


DELIVERY.value(
    "deferrals in a row are not parked",
    "delivery.sender:RequestSender.asked_deferrals",
    "property(lambda self: 0)",
    _SINK + "test_a_server_that_only_ever_puts_off_is_given_up_after_so_many_deferrals",
)


@DELIVERY.instead_of(
    "journal.confirmation:Confirmation.restore", _SINK + "test_refusals_that_were_kept_back_go_on_with_the_plan"
)
def kept_back_refusals_do_not_come_back(original, self, *given, **named):
    return None


@DELIVERY.instead_of(
    "delivery.request_sink:RequestSink._while_young",
    _SINK + "test_a_plan_that_is_too_old_is_not_sent",
    _SINK + "test_the_age_of_a_plan_counts_over_its_deferrals",
)
def plans_do_not_age(original, self, batches):
    return batches


@DELIVERY.instead_of(
    "delivery.request_sink:RequestSink._while_young", _SINK + "test_the_age_of_a_plan_counts_over_its_deferrals"
)
def a_deferral_makes_a_plan_young(original, self, batches):
    self._planned_at = time.time()
    return original(self, batches)


@DELIVERY.instead_of(
    "delivery.request_sink:RequestSink._while_young", _SINK + "test_a_plan_that_is_too_old_is_not_sent"
)
def an_old_plan_ends_as_if_all_was_sent(original, self, batches):
    for batch in batches:
        if time.time() - self._planned_at > self._max_age_s:
            return
        yield batch


@DELIVERY.instead_of(
    "delivery.request_sink:RequestSink.look_at_the_clock", _SINK + "test_an_end_by_the_clock_is_passed_on"
)
def nobody_looks_at_the_clock(original, self):
    return None


DELIVERY.value(
    "the sink names no pause",
    "delivery.request_sink:RequestSink.longest_pause_s",
    "property(lambda self: 1e9)",
    _SINK + "test_an_end_by_the_clock_is_passed_on",
)


@DELIVERY.instead_of(
    "delivery.request_sink:RequestSink.leave_alone",
    _SINK + "test_a_run_that_was_deferred_before_it_had_read_keeps_its_effort_and_reads",
)
def a_pause_that_is_asked_for_is_not_passed_on(original, self, error, asked_s):
    return None


@DELIVERY.instead_of(
    "delivery.request_sink:RequestSink.summary",
    _SINK + "test_what_counts_as_delivered_though_the_response_showed_another_is_in_the_summary",
    _SINK + "test_the_process_that_comes_back_sends_what_is_left_and_counts_all",
)
def the_summary_has_nothing_of_the_sinks(original, self):
    return {}


@DELIVERY.instead_of(
    "delivery.request_sink:RequestSink.log_end", _SINK + "test_a_window_that_opens_late_parks_what_is_left"
)
def a_deferral_is_logged_as_an_end(original, self, how, notes, reasons_in_exception):
    self._report.progress.log_end(how, notes, reasons_in_exception)
