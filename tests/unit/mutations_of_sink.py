# ruff: noqa: F821 - names are those of the modules that are mutated
"""The sink by request, its plan and what another process continues with, as if no task was ever deferred."""

from __future__ import annotations

from tests.support.mutations import Mutations

SINK = Mutations()

_TESTS = "test_request_sink.py::"


@SINK.instead_of(
    "delivery.sender:RequestSender.unsent",
    _TESTS + "test_a_window_that_opens_late_parks_what_is_left",
    _TESTS + "test_the_process_that_comes_back_sends_what_is_left_and_counts_all",
)
def what_is_left_is_not_parked(original, self):
    return iter(())


@SINK.instead_of("journal.plan:Plan.add", _TESTS + "test_what_was_put_off_twice_is_not_written_twice")
def what_is_in_the_plan_is_not_known(original, self, patches, same_contact):
    original(self, patches, same_contact)
    original(self, patches, same_contact)


@SINK.instead_of(
    "delivery.request_sink:RequestSink._is_ours",
    _TESTS + "test_a_plan_of_another_kind_is_dropped_and_made_again",
    _TESTS + "test_a_plan_without_a_state_is_not_added_to",
)
def every_plan_is_ours(original, self, state):
    return True


@SINK.instead_of("journal.plan:Plan.load", _TESTS + "test_a_plan_that_is_continued_continues_its_numbers")
def a_continued_plan_begins_at_one_again(original, self):
    state = original(self)
    self._last_place = 0
    return state


@SINK.instead_of("journal.plan:Plan.settle", _TESTS + "test_what_was_put_off_twice_is_not_written_twice")
def what_is_settled_stays_in_the_plan(original, self, connection, places):
    return None


@SINK.instead_of(
    "delivery.request_sink:RequestSink.close",
    _TESTS + "test_a_kill_after_the_decision_to_defer_is_no_deferral",
)
def a_killed_run_is_parked(original, self, verdict, keyless):
    if self._journal is not None and (wait := self._sender.waits.deferred) is not None:
        self._park(self._journal, wait.until)
    else:
        original(self, verdict, keyless)


@SINK.instead_of(
    "delivery.request_sink:RequestSink.close",
    _TESTS + "test_a_plan_that_cannot_be_parked_fails_the_run_and_leaves_the_sync",
)
def a_plan_that_cannot_be_parked_holds_the_sync(original, self, verdict, keyless):
    if (deferral := self.deferral) is not None:
        self._park(self._journal, deferral.until)
        self._is_parked = True
    else:
        original(self, verdict, keyless)


@SINK.instead_of(
    "delivery.request_sink:RequestSink.close",
    _TESTS + "test_without_a_window_all_is_sent_and_the_journal_is_left",
)
def the_journal_stays_open(original, self, verdict, keyless):
    return None


SINK.value(
    "a kill after the decision to defer defers",
    "delivery.request_sink:RequestSink.deferral",
    "property(lambda self: (wait := self._sender.waits.deferred) and Deferral(wait.until, None))",
    _TESTS + "test_a_kill_after_the_decision_to_defer_is_no_deferral",
)
SINK.value(
    "a deferred task may take any time",
    "delivery.request_sink:RequestSink.deferral",
    "property(lambda self: (found := original.fget(self)) and Deferral(found.until, None))",
    _TESTS + "test_a_window_that_opens_late_parks_what_is_left",
)


@SINK.instead_of("delivery.request_sink:RequestSink.open", _TESTS + "test_what_must_not_be_sent_twice_needs_a_journal")
def things_are_sent_twice_without_a_journal(original, self, is_to_stop):
    if self._journal is not None:
        original(self, is_to_stop)


@SINK.instead_of("delivery.request_sink:RequestSink.resume", _TESTS + "test_a_plan_that_is_gone_is_made_again")
def a_plan_that_is_gone_is_an_empty_one(original, self):
    original(self)
    return True


@SINK.instead_of(
    "delivery.request_sink:RequestSink.resume",
    _TESTS + "test_the_process_that_comes_back_sends_what_is_left_and_counts_all",
    _TESTS + "test_a_run_that_was_deferred_before_it_had_read_keeps_its_effort_and_reads",
    _TESTS + "test_a_plan_that_is_gone_is_made_again",
)
def who_comes_back_knows_of_no_plan(original, self):
    self._comes_back = False
    return original(self)


@SINK.instead_of(
    "journal.plan:Plan.load",
    _TESTS + "test_a_run_that_was_deferred_before_it_had_read_keeps_its_effort_and_reads",
)
def every_plan_is_whole(original, self):
    state = original(self)
    return state and {**state, "is_read": True}


@SINK.instead_of(
    "delivery.request_sink:RequestSink.resume",
    _TESTS + "test_a_process_that_does_not_come_back_says_nothing_of_a_plan",
)
def everybody_comes_back(original, self):
    self._comes_back = True
    return original(self)


@SINK.instead_of(
    "reporting.report:Report.restore", _TESTS + "test_the_process_that_comes_back_sends_what_is_left_and_counts_all"
)
def counts_begin_again_after_a_deferral(original, self, state):
    return None


@SINK.instead_of(
    "reporting.effort:Effort.restore",
    _TESTS + "test_the_process_that_comes_back_sends_what_is_left_and_counts_all",
    _TESTS + "test_a_run_that_was_deferred_before_it_had_read_keeps_its_effort_and_reads",
)
def effort_begins_again_after_a_deferral(original, self, state, window_opens_at=None):
    return None


@SINK.instead_of("api.quota:Quota.recall", _TESTS + "test_the_process_that_comes_back_knows_the_window")
def the_window_is_forgotten_over_a_deferral(original, self, remembered):
    return None


@SINK.instead_of(
    "delivery.sender:RequestSender.restore",
    _TESTS + "test_a_server_that_only_ever_puts_off_is_given_up_after_so_many_deferrals",
)
def every_deferral_is_the_first(original, self, asked_deferrals, *state):
    original(self, 0, *state)


SINK.value(
    "deferrals in a row are not parked",
    "delivery.waits:Waits.asked_deferrals",
    "property(lambda self: 0)",
    _TESTS + "test_a_server_that_only_ever_puts_off_is_given_up_after_so_many_deferrals",
)


@SINK.instead_of(
    "journal.confirmation:Confirmation.restore", _TESTS + "test_refusals_that_were_kept_back_go_on_with_the_plan"
)
def kept_back_refusals_do_not_come_back(original, self, *given, **named):
    return None


@SINK.instead_of(
    "delivery.request_sink:RequestSink._is_too_old",
    _TESTS + "test_a_plan_that_is_too_old_is_not_sent",
    _TESTS + "test_the_age_of_a_plan_counts_over_its_deferrals",
)
def plans_do_not_age(original, self):
    return False


@SINK.instead_of(
    "delivery.request_sink:RequestSink._is_too_old", _TESTS + "test_the_age_of_a_plan_counts_over_its_deferrals"
)
def a_deferral_makes_a_plan_young(original, self):
    self._planned_at = time.time()
    return original(self)


@SINK.instead_of(
    "delivery.request_sink:RequestSink.check_time_limits", _TESTS + "test_an_end_by_the_clock_is_passed_on"
)
def nobody_looks_at_the_clock(original, self):
    return None


SINK.value(
    "the sink names no pause",
    "delivery.request_sink:RequestSink.longest_pause_s",
    "property(lambda self: 1e9)",
    _TESTS + "test_an_end_by_the_clock_is_passed_on",
)


@SINK.instead_of(
    "delivery.request_sink:RequestSink.react_to_pause",
    _TESTS + "test_a_run_that_was_deferred_before_it_had_read_keeps_its_effort_and_reads",
)
def a_pause_that_is_asked_for_is_not_passed_on(original, self, error, asked_s):
    return None


@SINK.instead_of(
    "delivery.request_sink:RequestSink.summary",
    _TESTS + "test_what_counts_as_delivered_though_the_response_showed_another_is_in_the_summary",
    _TESTS + "test_the_process_that_comes_back_sends_what_is_left_and_counts_all",
)
def the_summary_has_nothing_of_the_sinks(original, self):
    return {}


@SINK.instead_of(
    "delivery.request_sink:RequestSink.log_end", _TESTS + "test_a_window_that_opens_late_parks_what_is_left"
)
def a_deferral_is_logged_as_an_end(original, self, end):
    self._report.progress.log_end(end)
