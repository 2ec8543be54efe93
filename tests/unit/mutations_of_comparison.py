# ruff: noqa: F821 - names are those of the modules that are mutated
"""Prepare and compare: each decision about a row, as if there was no need for it."""

from __future__ import annotations

from tests.support.mutations import Mutations

COMPARISON = Mutations()

_PREPARE = "test_prepare.py::"

# What becomes of a row


@COMPARISON.instead_of("runs.prepare:Preparer._all", _PREPARE + "test_without_a_journal_every_valid_row_is_sent")
def rows_are_numbered_within_their_batch(original, self, first, batch):
    return original(self, 1, batch)


@COMPARISON.instead_of(
    "runs.prepare:Preparer.prepare", _PREPARE + "test_rows_of_one_contact_are_one_change_and_the_others_are_merged"
)
def merged_rows_are_in_no_count(original, self, batch):
    original(self, batch)
    self._tally.outcomes[Outcome.MERGED] = 0


@COMPARISON.instead_of(
    "runs.prepare:Preparer.finish",
    _PREPARE + "test_a_row_as_patched_counts_where_another_row_of_its_contact_differs",
    _PREPARE + "test_several_rows_that_were_refused_together_are_held",
)
def what_rows_come_to_together_is_not_compared(original, self):
    return None


@COMPARISON.instead_of("runs.prepare:Preparer._differing", _PREPARE + "test_only_rows_that_are_new_or_changed_are_sent")
def unchanged_rows_are_in_no_count(original, self, first, batch, comparison):
    yield from original(self, first, batch, comparison)
    self._tally.outcomes[Outcome.UNCHANGED] = 0


@COMPARISON.instead_of(
    "runs.prepare:Preparer._patch",
    _PREPARE + "test_a_row_as_acknowledged_counts_where_another_row_of_its_contact_differs[True]",
)
def rows_of_one_batch_are_compared_one_by_one(original, self, number, row, seen, comparison):
    return original(self, number, row, seen._replace(is_pending=False), comparison)


@COMPARISON.instead_of(
    "runs.prepare:Preparer._refuse_again", _PREPARE + "test_a_row_that_an_earlier_run_saw_rejected_is_held_and_known"
)
def held_rows_give_no_reason(original, self, number, row, outcome, seen):
    original(self, number, row, outcome, seen._replace(line=None))


_ERROR = "test_an_error_of_a_resource_names_the_row_and_the_place_and_no_value"


@COMPARISON.instead_of(
    "runs.prepare:Preparer._rows_at",
    _PREPARE + _ERROR + "[list-True-prepare]",
    _PREPARE + "test_an_error_for_a_key_names_the_row",
)
def an_error_names_the_batch_only(original, self, first, count):
    return range(first, first + count)


@COMPARISON.instead_of("runs.prepare:Preparer.prepare", _PREPARE + _ERROR + "[list-False-prepare]")
def errors_of_a_resource_are_raised_as_they_are(original, self, batch):
    try:
        original(self, batch)
    except RowFailed as failure:
        raise failure.__cause__ from None


@COMPARISON.instead_of("journal.pending_lines:_is_json", _PREPARE + _ERROR + "[_as_texts-True-a type]")
def every_type_is_one_of_json(original, value):
    return True


# Several rows of one contact

_WHATEVER = "test_rows_of_a_contact_are_compared_together_whatever_its_last_outcome[True-left]"
_WITHDRAWN = "test_the_withdrawal_of_an_invalid_row_lets_no_other_row_raise_it_on_later_nights_either[1-True]"
_JOINS = "test_what_joins_an_unchanged_row_is_not_written_down_before_it_is_sent[True]"


@COMPARISON.instead_of("runs.comparison:Comparison.change", _PREPARE + _WHATEVER)
def rows_are_compared_together_only_after_an_acknowledgement(original, self, seen, patch):
    if seen.line is not None and seen.line.state != ACKNOWLEDGED:
        seen = seen._replace(line=seen.line._replace(row_digest="-"))
    return original(self, seen, patch)


@COMPARISON.instead_of("runs.comparison:Comparison.beside", _PREPARE + _WITHDRAWN)
def a_withdrawal_that_connectif_has_counts_for_nothing(original, self, seen, patch, counted_as):
    found = original(self, seen, patch, counted_as)
    return None if found is None or found.is_held else found


@COMPARISON.instead_of("journal.pending:PendingChanges.unraise", _PREPARE + _JOINS)
def what_joins_an_unchanged_row_is_written_down_at_once(original, self, contact):
    original(self, contact)
    return self.patches_of([contact])[contact].digests


# The look at the journal


@COMPARISON.instead_of(
    "runs.comparison:Comparison.look_up",
    _PREPARE + "test_only_rows_that_are_new_or_changed_are_sent",
    _PREPARE + "test_a_batch_of_a_database_is_compared_like_a_list",
)
def no_row_is_looked_at_closely(original, self, batch, pending):
    original(self, batch, pending)
    return []


@COMPARISON.instead_of(
    "runs.comparison:Comparison._other_spellings", _PREPARE + "test_a_key_in_another_spelling_is_the_same_contact"
)
def no_key_has_another_spelling(original, self, batch, keys, lines):
    return {}


COMPARISON.value(
    "a contact that stands twice in a batch is looked up once",
    "runs.comparison:_twice",
    "lambda keys: set()",
    _PREPARE + "test_a_row_as_acknowledged_counts_where_another_row_of_its_contact_differs[True]",
)


@COMPARISON.instead_of(
    "journal.pending:PendingChanges.holds",
    _PREPARE + "test_a_row_as_acknowledged_counts_where_another_row_of_its_contact_differs[False]",
    "test_pending.py::test_it_is_known_which_contacts_have_a_change",
)
def earlier_batches_are_forgotten(original, self, contacts):
    return set()


@COMPARISON.instead_of(
    "runs.row_identity:RowIdentity.digests",
    _PREPARE + "test_a_row_whose_values_cannot_be_digested_is_looked_at_and_the_others_are_compared",
)
def a_batch_that_cannot_be_digested_ends_the_run(original, self, batch):
    return self._digester.of_batch(batch) if isinstance(batch, Batch) else original(self, batch)


@COMPARISON.instead_of(
    "runs.row_identity:RowIdentity.digest",
    _PREPARE + "test_a_row_whose_values_cannot_be_digested_is_looked_at_and_the_others_are_compared",
)
def a_row_that_cannot_be_digested_ends_the_run(original, self, row):
    return self._digester(row)


# What is known of a row before its values are looked at


@COMPARISON.instead_of(
    "runs.comparison:Comparison.outcome",
    _PREPARE + "test_a_row_as_acknowledged_counts_where_another_row_of_its_contact_differs",
)
def a_row_counts_only_if_it_differs_itself(original, self, seen):
    return original(self, seen._replace(is_pending=False))


@COMPARISON.instead_of(
    "runs.comparison:Comparison.outcome",
    _PREPARE + "test_a_row_that_an_earlier_run_saw_rejected_is_held_and_known",
    _PREPARE + "test_several_rows_that_were_refused_together_are_held",
)
def refused_rows_are_sent_again(original, self, seen):
    self._retry_rejected = True
    return original(self, seen)


@COMPARISON.instead_of(
    "runs.comparison:Comparison.outcome",
    _PREPARE + "test_a_rejected_row_is_sent_last_where_it_changed_or_an_author_says_so",
)
def an_author_cannot_have_refused_rows_sent_again(original, self, seen):
    self._retry_rejected = False
    return original(self, seen)


@COMPARISON.instead_of(
    "runs.comparison:Comparison.outcome",
    _PREPARE + "test_a_full_refresh_sends_what_is_unchanged_and_what_is_held",
)
def a_full_refresh_leaves_out_what_is_held(original, self, seen):
    self._full_refresh = False
    return original(self, seen)


@COMPARISON.instead_of(
    "journal.attempts:Series.delivered_earlier",
    _PREPARE + "test_a_full_refresh_sends_nothing_twice_in_one_series_of_attempts",
    _PREPARE + "test_what_an_earlier_attempt_has_delivered_is_counted_as_that_once",
)
def earlier_attempts_have_delivered_nothing(original, self, line):
    return False


@COMPARISON.instead_of(
    "journal.attempts:Series.has_met",
    _PREPARE + "test_a_row_that_an_earlier_attempt_saw_rejected_is_a_rejection_of_this_run",
)
def earlier_attempts_have_met_no_refusal(original, self, line):
    return False


@COMPARISON.instead_of(
    "runs.comparison:Comparison.outcome", _PREPARE + "test_a_change_that_is_in_doubt_is_held_in_its_own_run_too"
)
def what_is_in_doubt_was_rejected(original, self, seen):
    outcome = original(self, seen)
    return Outcome.REJECTED if outcome is Outcome.HELD else outcome


COMPARISON.value(
    "a refusal by whatever stands between is held",
    "runs.comparison:_is_about_the_row",
    "lambda line: True",
    _PREPARE + "test_a_refusal_is_held_only_where_it_is_about_the_row",
)
COMPARISON.value(
    "a refusal without a status is not held",
    "runs.comparison:_is_about_the_row",
    "lambda line: line.status_code in STATUSES_ABOUT_THE_ROW",
    _PREPARE + "test_a_refusal_is_held_only_where_it_is_about_the_row",
)


@COMPARISON.instead_of(
    "runs.comparison:Comparison._delivered_as",
    _PREPARE + "test_what_an_earlier_attempt_has_delivered_is_counted_as_that_once",
)
def every_row_of_a_contact_was_delivered(original, self, key, line):
    self._delivered_earlier.clear()
    return original(self, key, line)


@COMPARISON.instead_of(
    "journal.run_lines:RunLines.note",
    _PREPARE + "test_a_row_that_is_again_as_acknowledged_is_unchanged_after_an_invalid_one",
    _PREPARE + "test_a_row_that_is_again_as_rejected_is_held_after_an_invalid_one",
)
def an_invalid_row_stays_the_last_word(original, self, key, state, status=None, reason=None):
    return None


@COMPARISON.instead_of(
    "journal.run_lines:RunLines.is_known_refusal",
    _PREPARE + "test_a_row_that_an_earlier_run_saw_rejected_is_held_and_known",
)
def held_rows_are_new_refusals(original, self, line):
    return False


@COMPARISON.instead_of(
    "runs.comparison:Comparison.is_known_refusal",
    _PREPARE + "test_a_row_that_an_earlier_attempt_saw_rejected_is_a_rejection_of_this_run",
)
def refusals_of_this_run_are_known(original, self, seen):
    return True


@COMPARISON.instead_of(
    "journal.run_lines:RunLines.meets_invalid",
    _PREPARE + "test_an_invalid_row_is_new_once_and_known_from_the_next_run_on",
)
def every_invalid_row_is_new(original, self, *given):
    return False


_INVALID_ROWS = "test_invalid_rows.py::"


@COMPARISON.instead_of(
    "journal.run_lines:RunLines.meets_invalid",
    _PREPARE + "test_different_invalid_rows_of_one_contact_are_new_once[True]",
)
def an_invalid_row_that_is_not_written_yet_is_lost(original, self, key, *given):
    self._gathered.invalid.pop(key, None)
    return original(self, key, *given)


@COMPARISON.instead_of(
    "journal.invalid_rows:InvalidRows.plus",
    _PREPARE + "test_different_invalid_rows_of_one_contact_are_new_once",
)
def an_invalid_row_takes_the_place_of_another_one(original, self, digest, *, is_same_run):
    return self if self.has(digest) else InvalidRows((digest,), 1)


@COMPARISON.instead_of(
    "journal.invalid_rows:InvalidRows.is_known",
    _INVALID_ROWS + "test_rows_of_earlier_runs_stay_known_in_the_run_that_adds_one_and_in_its_retry",
    _PREPARE + "test_an_invalid_row_stays_known_after_the_line_was_written_for_another_one",
)
def every_row_is_new_to_the_run_that_has_added_one(original, self, digest, *, is_same_run):
    return not is_same_run and original(self, digest, is_same_run=is_same_run)


@COMPARISON.instead_of(
    "journal.invalid_rows:InvalidRows.plus",
    _INVALID_ROWS + "test_rows_of_earlier_runs_stay_known_in_the_run_that_adds_one_and_in_its_retry",
)
def rows_that_earlier_runs_have_added_count_as_added_by_this_one(original, self, digest, *, is_same_run):
    return original(self, digest, is_same_run=True)


COMPARISON.value(
    "more than five rows of one contact are new each night",
    "journal.invalid_rows:_MORE",
    "str(_MOST)",
    _INVALID_ROWS + "test_if_one_run_meets_more_than_five_each_further_row_is_known_from_the_next_run_on",
)


@COMPARISON.instead_of("journal.digests:row_text", "test_row_texts.py::test_equal_values_have_one_text")
def a_set_has_the_order_of_its_process(original, values):
    return repr(values)


@COMPARISON.instead_of(
    "journal.digests:RowDigester.of_invalid",
    _PREPARE + "test_an_invalid_row_is_new_once_and_known_from_the_next_run_on",
)
def an_invalid_row_is_known_by_the_addresses_of_its_objects(original, self, row, digest):
    return digest


@COMPARISON.instead_of(
    "runs.comparison:Comparison.is_known_invalid",
    _PREPARE + "test_of_rows_without_a_key_as_many_as_before_are_known",
)
def rows_without_a_key_are_always_new(original, self, row, seen, keyless, *given):
    return original(self, row, seen, 10**9, *given)


@COMPARISON.instead_of(
    "journal.attempts:Attempts.keyless_before",
    _PREPARE + "test_of_rows_without_a_key_as_many_as_before_are_known",
)
def nobody_knows_how_many_rows_had_no_key(original, self, connection):
    return 0


# What is sent for a row


@COMPARISON.instead_of(
    "runs.comparison:Comparison.change",
    _PREPARE + "test_another_row_for_the_same_patch_is_unchanged_and_from_then_on_at_a_glance",
)
def what_connectif_holds_is_sent_for_another_row(original, self, seen, patch):
    return original(self, seen._replace(line=seen.line and seen.line._replace(properties=b"")), patch)


@COMPARISON.instead_of(
    "journal.run_lines:RunLines.confirm",
    _PREPARE + "test_another_row_for_the_same_patch_is_unchanged_and_from_then_on_at_a_glance",
)
def another_row_for_the_same_patch_is_looked_at_every_night(original, self, key, digests):
    return None


@COMPARISON.instead_of(
    "runs.comparison:Comparison.change", _PREPARE + "test_only_rows_that_are_new_or_changed_are_sent"
)
def no_contact_is_new(original, self, seen, patch):
    change = original(self, seen, patch)
    return change and change._replace(patch=change.patch._replace(is_new=False))


@COMPARISON.instead_of(
    "runs.comparison:Comparison.change",
    _PREPARE + "test_a_rejected_row_is_sent_last_where_it_changed_or_an_author_says_so",
)
def rejected_rows_do_not_wait_for_the_others(original, self, seen, patch):
    change = original(self, seen, patch)
    return change and change._replace(rank=min(change.rank, Rank.CHANGED))


@COMPARISON.instead_of(
    "runs.comparison:Comparison.change",
    _PREPARE + "test_several_rows_that_were_refused_together_are_held",
)
def what_was_refused_of_several_rows_is_forgotten(original, self, seen, patch):
    change = original(self, seen, patch)
    return change and change._replace(refused_digest=None)


@COMPARISON.instead_of(
    "runs.comparison:Comparison.change",
    _PREPARE + "test_a_row_as_patched_counts_where_another_row_of_its_contact_differs",
)
def what_connectif_holds_of_several_rows_is_forgotten(original, self, seen, patch):
    change = original(self, seen, patch)
    return change and change._replace(acknowledged_digest=None)


@COMPARISON.instead_of(
    "runs.comparison:Comparison.change",
    _PREPARE + "test_a_changed_mapping_sends_what_differs_by_it_and_counts_that",
)
def a_changed_mapping_is_not_counted(original, self, seen, patch):
    change = original(self, seen, patch)
    self._tally.remapped = 0
    return change


COMPARISON.value(
    "the mapping is no part of a row",
    "journal.digests:RowDigester.__init__",
    'lambda self, mapping, way="": original(self, type("", (), {"columns": mapping.columns, "definition": (), '
    '"rules_version": b"1"})(), "")',
    _PREPARE + "test_a_changed_mapping_sends_what_differs_by_it_and_counts_that",
    _PREPARE + "test_what_another_host_has_acknowledged_is_sent",
)


COMPARISON.value(
    "what one host holds another holds too",
    "journal.differences:Differences.__init__",
    "lambda self, resource, mapping, way, secret, *, sends_all: "
    'original(self, resource, mapping, "", secret, sends_all=sends_all)',
    _PREPARE + "test_what_another_host_has_acknowledged_is_sent",
)


@COMPARISON.instead_of(
    "journal.differences:Differences._is_sent_before", _PREPARE + "test_a_line_of_an_earlier_version_is_believed"
)
def lines_of_earlier_versions_are_not_believed(original, self, whole, contact, digest):
    return False


COMPARISON.value(
    "every value is a key at a glance",
    "contacts.resource:ContactResource.unconverted_keys",
    "lambda self, values: list(values)",
    "test_contact_resource.py::test_a_glance_gives_the_form_of_a_closer_look_or_nothing",
)
