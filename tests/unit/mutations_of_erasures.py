# ruff: noqa: F821 - names are those of the modules that are mutated
"""Erasures, the suppression list, and old files of refused rows: each defence, as if there was no need for it."""

from __future__ import annotations

from tests.support.mutations import Mutations

ERASURES = Mutations()

_TEST = "test_erasures.py::"


@ERASURES.instead_of(
    "journal.suppression:SuppressionList._secrets",
    _TEST + "test_a_list_of_another_secret_is_not_taken_for_an_empty_one",
)
def a_list_of_another_secret_is_empty(original, self, connection):
    try:
        return original(self, connection)
    except JournalError:
        return []


ERASURES.value(
    "the list knows spellings apart",
    "contacts.named_people:person",
    "lambda kind, key: PersonKey(kind, key)",
    _TEST + "test_a_person_is_on_the_list_in_any_spelling_and_as_an_hmac",
)


@ERASURES.instead_of("journal.suppression:_hmac", _TEST + "test_a_person_is_on_the_list_in_any_spelling_and_as_an_hmac")
def the_list_mixes_kinds_of_keys(original, secret, person):
    return hmac.digest(secret, person.key.encode(), "sha256").hex()


@ERASURES.instead_of(
    "journal.suppression:SuppressionList.snapshot", _TEST + "test_a_snapshot_knows_whom_the_list_knew_then"
)
def a_snapshot_is_empty(original, self):
    return lambda _: set()


@ERASURES.instead_of("contacts.named_people:people_of_row", _TEST + "test_a_row_names_people_by_both_keys")
def a_row_names_people_by_its_key_only(original, mapping, row):
    return original(mapping, row)[:1]


@ERASURES.instead_of("contacts.named_people:people_named", _TEST + "test_a_typed_key_is_read_by_the_rules_of_rows")
def a_typed_key_is_taken_as_it_is(original, key):
    return [person(kind, key.strip()) for kind in _COERCERS]


ERASURES.value(
    "no erasure needs a spelling any more",
    "journal.line_writer:LineWriter._not_erased",
    "lambda self, connection, keys: set()",
    _TEST + "test_the_spelling_of_a_late_response_stays_until_the_receipt",
)
ERASURES.value(
    "every erasure still needs the spellings",
    "journal.suppression:SuppressionList.erased_in",
    "lambda self, connection, people: set()",
    _TEST + "test_a_late_response_after_the_receipt_leaves_no_line",
)
ERASURES.value(
    "the plan of another erasure looks like that of a sync",
    "journal.forgetting:ERASES",
    "'something else'",
    _TEST + "test_an_erasure_takes_nobody_out_of_the_plan_of_another_one",
)


@ERASURES.instead_of(
    "runs.suppressed_rows:SuppressedRows._suppressed_beside",
    _TEST + "test_a_row_counts_as_suppressed_whether_or_not_it_has_changed",
)
def unchanged_rows_are_not_looked_at(original, self, batch, seen):
    return set()


@ERASURES.instead_of(
    "journal.line_writer:LineWriter.forget",
    _TEST + "test_a_row_counts_as_suppressed_whether_or_not_it_has_changed",
)
def the_line_of_a_suppressed_row_stays(original, self, keys):
    pass


@ERASURES.instead_of(
    "journal.forgetting:Forgetting.written_keys",
    _TEST + "test_lines_and_history_of_every_sync_are_deleted_plain_and_as_digests",
)
def keys_are_forgotten_as_they_are_only(original, self, people):
    return {person.key for person in people}


@ERASURES.instead_of(
    "journal.forgetting:Forgetting._read",
    _TEST + "test_a_pending_change_that_names_her_is_deleted_and_counted",
    _TEST + "test_an_upload_that_carries_her_under_another_key_is_found",
)
def the_values_of_a_pending_row_name_nobody(original, self, line, people):
    return set(), False


@ERASURES.instead_of(
    "journal.payloads:Payloads.naming", _TEST + "test_an_upload_that_carries_her_under_another_key_is_found"
)
def a_line_of_a_file_names_its_key_only(original, self, people):
    return None


ERASURES.value(
    "what says for which upload to wait is deleted",
    "journal.forgetting:open_files_by_group",
    "lambda state: {}",
    _TEST + "test_what_says_for_which_upload_to_wait_stays_until_it_has_ended",
)


@ERASURES.instead_of("journal.forgetting:_erasure", _TEST + "test_only_the_task_itself_is_not_waited_for")
def a_task_that_shares_the_sync_is_not_waited_for(original, sync_id, run_id, task):
    return sync_id


@ERASURES.instead_of("journal.forgetting:_erasure", _TEST + "test_only_the_task_itself_is_not_waited_for")
def the_instances_of_a_mapped_erasure_wait_for_each_other(original, sync_id, run_id, task):
    return sync_id, run_id, task


@ERASURES.instead_of(
    "journal.forgetting:Forgetting.results_of",
    _TEST + "test_a_receipt_is_found_by_the_attempts_of_its_task_only",
)
def receipts_of_a_run_before_it_was_cleared_count(original, self, people, run_id, map_index, since):
    return original(self, people, run_id, map_index, 0.0)


@ERASURES.instead_of(
    "contacts.erasure:ContactErasure.send", _TEST + "test_a_404_without_the_error_document_is_no_response"
)
def any_404_is_an_absent_person(original, self, client, change, *, on_fresh_connection=False):
    try:
        return original(self, client, change)
    except NoResponseError:
        return Response(HTTPStatus.NO_CONTENT, _ABSENT)


@ERASURES.instead_of(
    "contacts.erasure:ContactErasure.step",
    _TEST + "test_each_spelling_is_deleted_and_the_common_one_where_none_was_there",
)
def one_spelling_is_enough(original, self, change, came):
    step = original(self, change, came)
    return step._replace(patch=step.patch._replace(properties={}), goes_on=False)


@ERASURES.instead_of("runs.erasure_sink:check_number", _TEST + "test_one_person_too_many_is_too_many")
def one_person_more_is_no_matter(original, people, most, noun):
    original(people - 1, most, noun)


@ERASURES.instead_of(
    "journal.database:JournalDatabase.overwrite_deleted",
    _TEST + "test_the_write_ahead_log_has_nothing_of_what_was_deleted",
)
def what_sqlite_has_deleted_stays_in_its_files(original, self):
    return True


@ERASURES.instead_of(
    "journal.rejects_files:RejectsFiles._is_of_another",
    _TEST + "test_a_file_of_refused_rows_that_another_task_wrote_is_not_removed",
)
def a_file_of_another_task_is_removed(original, self, line):
    return False


@ERASURES.instead_of(
    "operators.rejects_file:remove_file",
    _TEST + "test_a_file_of_refused_rows_is_removed_only_where_it_is_the_tasks_and_old",
)
def a_file_that_is_being_written_is_removed(original, path, begun_at, changed_before):
    return original(path, begun_at, float("inf"))


ERASURES.value(
    "a file that somebody else wrote is removed",
    "operators.rejects_file:_LONGEST_RUN_S",
    'float("inf")',
    _TEST + "test_a_file_of_refused_rows_is_removed_only_where_it_is_the_tasks_and_old",
)
