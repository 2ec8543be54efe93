# ruff: noqa: F821 - names are those of the modules that are mutated
"""How imports end and are polled: each row of the tables, and each decision, as if there was no need for it."""

from __future__ import annotations

from tests.support.mutations import Mutations

IMPORTS = Mutations()

_ENDS = "test_settlement.py::"
_EACH_END = _ENDS + "test_each_end_of_an_import"

# The tables

FATES = {
    "queued": ("FINISHED", _ENDS + "test_what_is_no_end_is_waited_for"),
    "inProgress": ("FINISHED", _ENDS + "test_what_is_no_end_is_waited_for"),
    "finished": ("BROKEN", _EACH_END),
    "error": ("FINISHED", _EACH_END),
    "cancelled": ("BROKEN", _EACH_END),
}
"""For each documented state another meaning than its own, and the test that notices."""

TROUBLES = {"BROKEN": "FAILED", "CANCELLED": "TRY_AGAIN", "GONE": "FAILED"}
"""For each end but success, another verdict than its own."""

ON_EXISTING = {"update": "Flags(False, False)", "fill_empty": "Flags(True, False)", "keep": "Flags(True, False)"}
"""For each of the author's choices other switches than its own."""

for _status, (_fate, _test) in FATES.items():
    IMPORTS.value(f"{_status}: {_fate}", "imports.rules:FATES", f"{{**original, {_status!r}: Fate.{_fate}}}", _test)

for _fate, _verdict in TROUBLES.items():
    IMPORTS.value(
        f"an import that is {_fate}: {_verdict}",
        "imports.tally:FAILURES_BY_FATE",
        f"{{**original, Fate.{_fate}: (Verdict.{_verdict}, original[Fate.{_fate}][1])}}",
        _EACH_END,
    )

for _choice, _flags in ON_EXISTING.items():
    IMPORTS.value(
        f"on_existing={_choice}: {_flags}",
        "imports.rules:ON_EXISTING",
        f"{{**original, {_choice!r}: {_flags}}}",
        "test_import_rules.py::test_the_switches_of_an_upload",
    )


@IMPORTS.instead_of(
    "imports.rules:numbers_of", "test_import_rules.py::test_numbers_add_up_to_the_rows_whatever_is_told"
)
def numbers_are_believed(original, one, rows):
    return Numbers(one.success or 0, one.errors or 0, 0, True)


IMPORTS.value(
    "imports are polled as often as there is time",
    "imports.rules:SHORTEST_POLL_DELAY_S",
    "0.0",
    _ENDS + "test_polls_share_the_interval_and_leave_the_account_its_allowance",
)


@IMPORTS.instead_of(
    "imports.rules:poll_delay_s", _ENDS + "test_polls_share_the_interval_and_leave_the_account_its_allowance"
)
def every_import_takes_an_interval_of_its_own(original, poll_interval_s, open_imports):
    return original(poll_interval_s, 1)


IMPORTS.value(
    "an import that changes no contact leaves others to PATCH",
    "imports.rules:ImportRules.leftovers",
    "property(lambda self: self.patch_leftovers)",
    "test_import_layouts.py::test_an_import_that_must_not_change_contacts_never_patches",
)

# Polls


@IMPORTS.instead_of("imports.watch:Watch.due_in", _ENDS + "test_what_is_no_end_is_waited_for")
def imports_are_polled_all_the_time(original, self, *given):
    return 0.0


@IMPORTS.instead_of(
    "imports.watch:Watch.poll", _ENDS + "test_an_end_that_does_not_account_for_the_rows_must_show_three_times"
)
def every_end_counts_at_once(original, self, sent):
    return self.look(str(sent.import_id))


@IMPORTS.instead_of(
    "imports.watch:Watch.poll", _ENDS + "test_an_end_that_does_not_account_for_the_rows_must_show_three_times"
)
def three_looks_need_not_be_in_a_row(original, self, sent):
    before = dict(self._doubtful)
    found = original(self, sent)
    self._doubtful = {**before, **self._doubtful}
    return found


@IMPORTS.instead_of("imports.watch:Watch.poll", _ENDS + "test_numbers_that_grow_are_waited_for")
def three_looks_need_not_show_the_same(original, self, sent):
    equals_all = type("", (), {"__eq__": lambda *_: True})()
    self._doubtful = {name: (equals_all, times) for name, (_, times) in self._doubtful.items()}
    return original(self, sent)


@IMPORTS.instead_of(
    "imports.watch:Watch.look",
    _ENDS + "test_no_usable_response_is_waited_for_with_growing_delays",
)
def a_poll_without_a_response_is_an_import_that_is_gone(original, self, import_id):
    one, fate = original(self, import_id)
    return one, fate if one.status or fate is not Fate.WAIT else Fate.GONE


IMPORTS.value(
    "a strange state is an end",
    "imports.watch:FATES",
    "type('', (dict,), {'get': lambda self, status, other=None: dict.get(self, status, Fate.FINISHED)})(original)",
    _ENDS + "test_what_is_no_end_is_waited_for",
)


@IMPORTS.instead_of(
    "imports.waiting:Waiting.check_length",
    _ENDS + "test_a_retry_after_is_heeded_and_one_that_is_too_long_ends_the_wait",
)
def a_worker_waits_however_long(original, self, seconds):
    if seconds > 3000:
        raise AssertionError("an hour on a worker")


@IMPORTS.instead_of(
    "imports.waiting:Waiting.check",
    _ENDS + "test_who_was_told_to_stop_waits_for_no_import",
    _ENDS + "test_the_time_of_a_run_ends_the_wait_and_says_how_the_imports_stand",
)
def nothing_ends_a_wait(original, self):
    if self._clock.monotonic() > 500:
        raise AssertionError("waited for minutes")


IMPORTS.value(
    "delays before a poll do not grow",
    "imports.watch:retry_delay_s",
    "lambda failures, retry_after_s=None: 0.0",
    _ENDS + "test_a_retry_after_is_heeded_and_one_that_is_too_long_ends_the_wait",
)
IMPORTS.value(
    "the list of imports is read once",
    "imports.watch:_LOOKS",
    "1",
    _ENDS + "test_an_upload_without_a_response_is_waited_for_until_nothing_of_it_can_be_open",
)


@IMPORTS.instead_of(
    "imports.watch:Watch.until_none_is_open",
    _ENDS + "test_an_upload_without_a_response_is_waited_for_until_nothing_of_it_can_be_open",
)
def what_may_be_ours_is_not_waited_for(original, self, since, ours):
    return None


# What becomes of contacts


@IMPORTS.instead_of("imports.tally:ImportTally.note_end", _EACH_END)
def no_end_is_any_trouble(original, self, *given, **named):
    return None


@IMPORTS.instead_of(
    "imports.settlement:Settlement.settle_due", _ENDS + "test_what_is_due_is_polled_and_nothing_is_waited_for"
)
def what_is_due_is_waited_for(original, self):
    self.settle_all()


@IMPORTS.instead_of(
    "imports.tally:ImportTally.count",
    _ENDS + "test_a_contact_is_counted_once_when_all_its_files_are_settled",
    _EACH_END,
)
def every_contact_is_imported(original, self, group, files, refusal, *, is_known):
    group.is_counted = True
    self.report.tally.outcomes[Outcome.IMPORTED] += group.left


@IMPORTS.instead_of(
    "imports.settlement:Settlement._is_first_refusal",
    _ENDS + "test_a_contact_that_two_reports_name_is_rejected_once",
)
def a_contact_is_rejected_by_each_of_its_files(original, self, found):
    return True


@IMPORTS.instead_of(
    "imports.report:fetch_report",
    _ENDS + "test_an_error_report_names_the_rows_that_are_rejected",
)
def error_reports_are_not_fetched(original, context, one, path, pause):
    return False


@IMPORTS.instead_of(
    "imports.tally:ImportTally.count",
    _ENDS + "test_an_import_that_keeps_contacts_counts_the_others_as_not_taken",
)
def contacts_that_exist_are_rejected(original, self, group, files, refusal, *, is_known):
    return original(self, group, files, (Outcome.REJECTED, refusal[1]), is_known=is_known)


# Counted in part


IMPORTS.value(
    "a state that is counted in part may be stored",
    "imports.settlement:Settlement._all_or_nothing",
    "contextmanager(lambda self: (nothing for nothing in (None,)))",
    _ENDS + "test_a_state_that_is_counted_in_part_is_not_to_be_stored",
)
IMPORTS.value(
    "lines of the history cannot be withdrawn",
    "journal.history:History.back_to",
    "lambda self, place: None",
    "test_history.py::test_lines_that_are_withdrawn_are_not_written_and_leave_room",
)


@IMPORTS.instead_of(
    "journal.line_writer:LineWriter.commit_with",
    "test_history.py::test_what_was_to_be_written_with_the_lines_is_not_written_after_it_has_failed",
)
def what_has_failed_is_written_later(original, self, write):
    self.write_beside(write)
    self.commit()
