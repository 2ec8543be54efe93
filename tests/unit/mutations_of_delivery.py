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
        raise RunStopped("")
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
def a_later_process_knows_nothing_of_the_window(original, self, *given):
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
def retries_come_at_once(original, failures, *given, **named):
    return 0.0


_WOKEN = _TESTS + "test_the_submitting_thread_is_woken_for_several_responses_and_whenever_sending_waits_for_it"


@DELIVERY.instead_of("delivery.delivery:Delivery._is_urgent", _WOKEN)
def sending_waits_for_eight_responses_that_do_not_come(original, self):
    return False


@DELIVERY.instead_of("delivery.delivery:Delivery._is_urgent", _WOKEN)
def each_response_wakes_the_submitting_thread(original, self):
    return True


@DELIVERY.instead_of(
    "delivery.sending_queue:SendingQueue.put_back",
    _TESTS + "test_a_row_that_the_closed_quota_held_back_is_unsent_and_not_lost",
)
def what_the_quota_held_back_is_lost(original, self, job):
    return None


@DELIVERY.instead_of(
    "delivery.responses:Responses._take_response_of_another_key",
    _TESTS + "test_a_response_that_shows_another_key_is_confirmed_on_a_connection_of_its_own",
)
def another_key_is_accepted_at_once(original, self, job, response):
    job.on_fresh_connection = True
    return original(self, job, response)


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
    "delivery.sending_threads:SendingThreads._work", _TESTS + "test_a_fault_of_ours_ends_the_run_instead_of_hanging_it"
)
def a_fault_ends_a_thread_and_not_the_run(original, self):
    while (job := self._take()) is not None:
        self._send(job)


@DELIVERY.instead_of(
    "delivery.open_requests:OpenRequests.is_behind_with_writing",
    _TESTS + "test_no_further_request_goes_while_answers_are_not_written_down",
)
def any_number_of_answers_may_be_unwritten(original, self, settled):
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
def nobody_waits_until_it_is_written_down(original, self, job, poll_s, **named):
    self._quota.reserve()


@DELIVERY.instead_of(
    "delivery.doubts:DoubtGate._ahead",
    _DOUBTS + "test_changes_that_go_next_are_written_down_together_and_not_too_many",
)
def each_change_is_written_down_alone(original, self, waiting):
    return []


@DELIVERY.instead_of(
    "delivery.doubts:DoubtGate._ahead",
    _DOUBTS + "test_changes_that_go_next_are_written_down_together_and_not_too_many",
)
def changes_are_written_ahead_at_each_request(original, self, waiting):
    return original(self, [type("Waiting", (), {"must_be_recorded": True})])


_ASKED = _DOUBTS + "test_the_suppression_list_is_asked_of_many_changes_at_once_and_of_each_just_before_it_goes"
DELIVERY.value(
    "an erasure does not wait for changes that the list was asked of, and that have not gone",
    "delivery.doubts:DoubtGate.busy_since",
    "lambda self: None",
    _ASKED,
)
DELIVERY.value(
    "the suppression list is asked of a change once, however long it waits after that",
    "delivery.doubts:DoubtGate._is_recent",
    "lambda self, asked_at: asked_at is not None",
    _ASKED,
)
DELIVERY.value(
    "each request asks the suppression list",
    "delivery.doubts:DoubtGate._is_recent",
    "lambda self, asked_at: False",
    _ASKED,
)
DELIVERY.value(
    "more is written ahead than the window has left",
    "api.window:RequestWindow.free",
    "lambda self, now: 1000",
    _DOUBTS + "test_no_more_is_written_ahead_than_the_window_has_left_and_what_is_not_sent_is_named",
)
DELIVERY.value(
    "what was only written down stays in doubt",
    "journal.confirmation:Confirmation.take_back",
    "lambda self, unsent: None",
    "test_confirmation.py::test_a_change_that_was_marked_and_not_sent_is_in_no_doubt_when_that_is_taken_back",
)


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
    "delivery.responses:Responses._take_response_of_another_key",
    _DOUBTS + "test_what_may_have_been_carried_out_is_sent_once",
)
def a_response_with_another_key_is_confirmed_by_a_second_request(original, self, job, response):
    self._is_idempotent = True
    return original(self, job, response)


DELIVERY.value(
    "a connection that was refused may have carried the change out",
    "api.errors:NoResponseError.__init__",
    "lambda self, what, *given, **named: original(self, what)",
    _DOUBTS + "test_what_was_not_carried_out_is_withdrawn_and_sent_again",
)


@DELIVERY.instead_of(
    "delivery.unfinished:Unfinished.unanswered",
    _DOUBTS + "test_what_waits_for_a_retry_is_in_no_doubt_when_the_run_ends",
)
def what_waits_for_a_retry_was_never_answered(original, self):
    return [*original(self), *self._queue.sent_before()]


_SENDER = "test_sender.py::"


@DELIVERY.instead_of(
    "delivery.sender:RequestSender.check_time_limits",
    _SENDER + "test_a_plan_becomes_too_old_while_the_server_has_it_wait",
)
def only_a_batch_can_be_too_old(original, self):
    self._is_too_old = bool
    return original(self)


@DELIVERY.instead_of("delivery.waits:Waits.time_left_s", _SENDER + "test_a_time_limit_that_is_over_ends_it")
def there_is_always_time(original, self):
    return None


@DELIVERY.instead_of(
    "delivery.waits:Waits.stop_for_pause",
    _SENDER + "test_a_window_that_opens_late_ends_it_where_it_cannot_be_deferred",
    _SENDER + "test_a_response_that_asks_for_more_than_a_worker_waits_ends_it",
    _SENDER + "test_a_response_that_asks_for_a_long_pause_defers_it_too",
)
def every_pause_is_waited_for(original, self, error, asked_s):
    return None


@DELIVERY.instead_of(
    "delivery.waits:Waits._deferred_for",
    _SENDER + "test_a_long_wait_for_a_window_defers_it_where_that_is_possible",
)
def a_worker_waits_for_every_window(original, self, wait):
    return None


@DELIVERY.instead_of(
    "delivery.sender:RequestSender.restore", _SENDER + "test_a_server_that_only_ever_puts_off_is_not_there"
)
def deferrals_in_a_row_are_forgotten(original, self, asked_deferrals, *state):
    return None


@DELIVERY.instead_of("delivery.delivery:Delivery.restore", _SENDER + "test_attempts_are_counted_over_deferrals")
def a_deferral_forgets_attempts(original, self, accepted, rejected, state):
    original(self, accepted, rejected, {**state, "tries": []})


@DELIVERY.instead_of(
    "delivery.rejection_watch:RejectionWatch.restore", _SENDER + "test_a_sample_goes_on_after_a_deferral"
)
def a_deferral_begins_another_sample(original, self, accepted, rejected, state):
    original(self, accepted, rejected, {})


@DELIVERY.instead_of("delivery.sender:RequestSender.kill", _SENDER + "test_a_kill_is_a_stop_and_closes_the_quota")
def a_kill_is_not_passed_on(original, self):
    return None


@DELIVERY.instead_of(
    "delivery.sender:RequestSender.end", _SENDER + "test_what_ends_it_from_outside_lets_nothing_further_go"
)
def an_end_from_outside_is_not_passed_on(original, self, stop):
    return None
