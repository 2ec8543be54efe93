# ruff: noqa: F821 - names are those of the modules that are mutated
"""Definitions, mapping and the pending store, as if nothing could go wrong with them."""

from __future__ import annotations

from tests.support.mutations import Mutations

PLANNING = Mutations()

# Definitions

_DEFINITIONS = "test_definitions.py::"


@PLANNING.instead_of(
    "runs.definitions:_Limits.check",
    _DEFINITIONS + "test_a_run_that_was_told_to_stop_waits_for_no_response",
    _DEFINITIONS + "test_definitions_have_a_timeout",
    _DEFINITIONS + "test_a_rate_limit_that_is_used_up_is_waited_for_only_as_long_as_a_worker_may_be_held",
)
def definitions_are_waited_for_without_a_limit(original, self):
    if self._clock.monotonic() - self._began_at > 600:
        raise AssertionError("waited for ten minutes")


@PLANNING.instead_of("runs.definitions:_within", _DEFINITIONS + "test_a_fault_in_the_thread_that_asks_is_not_lost")
def a_fault_in_the_thread_that_asks_is_lost(original, limits, ask, clock):
    try:
        return ask()
    except (ArithmeticError, SystemExit):
        return None


PLANNING.value(
    "a refused key is no reason to end",
    "runs.definitions:_STOP_KINDS",
    "{}",
    _DEFINITIONS + "test_a_response_that_no_retry_mends_ends_at_once",
    _DEFINITIONS + "test_no_answer_is_tried_again_until_the_attempts_are_used_up",
)


@PLANNING.instead_of(
    "contacts.resource:_fields",
    _DEFINITIONS + "test_a_response_that_is_none_of_definitions_is_left_to_the_next_attempt",
)
def what_is_no_definition_is_left_out(original, definitions):
    return [Field.from_api(each) for each in definitions if isinstance(each.get("id"), str)]


@PLANNING.instead_of("runs.definitions:_pause", _DEFINITIONS + "test_a_retry_after_is_waited_for")
def definitions_are_asked_for_again_at_once(original, limits, seconds, clock):
    return None


@PLANNING.instead_of(
    "runs.definitions:fetch_definitions", _DEFINITIONS + "test_a_retry_after_that_is_too_long_is_not_waited_for"
)
def definitions_are_waited_for_however_long(original, *given, longest_wait_s, **named):
    return original(*given, longest_wait_s=1e9, **named)


PLANNING.value(
    "a 429 is an attempt",
    "runs.definitions:TooManyRequestsError",
    "RunStopped",
    _DEFINITIONS + "test_a_429_is_no_attempt",
)

# Map and check

_MAPPING = "test_mapping.py::"


@PLANNING.instead_of(
    "contacts.mapping:checked_properties", _MAPPING + "test_a_mapping_that_cannot_work_is_refused_at_once"
)
def properties_are_not_looked_at(original, properties):
    return dict(properties) if isinstance(properties, Mapping) else None


@PLANNING.instead_of("contacts.mapping:checked_region", _MAPPING + "test_a_region_that_is_none_is_refused")
def regions_are_not_looked_at(original, region):
    return region


@PLANNING.instead_of(
    "contacts.mapping:ContactMapping.check", _MAPPING + "test_columns_are_checked_before_the_first_row"
)
def columns_are_not_looked_at(original, self, columns=None):
    return original(self)


@PLANNING.instead_of("contacts.fields:FieldTable.fault", _MAPPING + "test_read_only_properties_are_refused")
def every_property_can_be_set(original, self, property_id):
    return None


@PLANNING.instead_of("contacts.mapping:ContactMapping.patch", _MAPPING + "test_a_row_that_no_mapping_fits")
def a_row_that_does_not_fit_is_sent(original, self, number, row):
    try:
        return original(self, number, row)
    except InvalidRow:
        return Patch(number, "ana@example.com", {}, row)


@PLANNING.instead_of(
    "contacts.mapping:ContactMapping._faults", _MAPPING + "test_a_bad_row_names_every_column_and_rule_and_no_value"
)
def only_the_first_reason_is_named(original, self, row, steps):
    return original(self, row, steps)[:1]


# Read

_READ = "test_read_timeout.py::"


@PLANNING.instead_of(
    "databases.sources:RowsSource._in_time",
    _READ + "test_rows_that_come_slowly_are_looked_at_one_by_one",
    _READ + "test_another_thread_than_the_main_one_notices_at_the_end_of_a_row",
)
def rows_may_come_for_ever(original, self, deadline):
    for row in _flat(self._rows):
        if self._rows_made > 100:
            raise AssertionError("a hundred rows")
        self._rows_made += 1
        yield row


@PLANNING.instead_of(
    "databases.sql_source:SqlSource._give_up",
    _READ + "test_a_query_is_cancelled_and_its_connection_closed_when_its_time_is_over",
)
def a_query_that_takes_too_long_is_not_cancelled(original, self, reader):
    return None


PLANNING.value(
    "a query that takes too long is a fault of the database",
    "databases.sql_source:SourceError",
    'lambda timeout_s, rows_read: ReadError("it took too long")',
    _READ + "test_a_cancel_that_hangs_too_does_not_keep_the_task",
)


@PLANNING.instead_of("databases.sources:alarm", _READ + "test_a_row_that_never_comes_is_interrupted")
def what_hangs_is_not_interrupted(original, seconds, error):
    return original(float("inf"), error)


# Plan

_PENDING = "test_pending.py::"


@PLANNING.instead_of(
    "journal.pending_file:PendingFile.guarded",
    _PENDING + "test_a_source_that_does_not_end_is_an_error_that_names_limit_folder_and_size",
    _PENDING + "test_a_full_disk_is_an_error_that_another_attempt_may_not_meet",
)
def a_full_disk_is_no_error(original, self, write, added_bytes):
    with suppress(PendingError):
        original(self, write, added_bytes)


@PLANNING.instead_of(
    "journal.pending_file:PendingFile._check", _PENDING + "test_after_a_failed_write_nothing_is_read_any_more"
)
def a_torn_file_is_read(original, self):
    return None


@PLANNING.instead_of(
    "journal.left_behind:ChangesLeft.note",
    _PENDING + "test_a_torn_file_is_an_error_and_a_run_that_has_failed_ends_without_its_list",
)
def the_list_of_what_is_left_must_be_readable(original, self, lines, history, reason):
    return self._note(lines, history, reason)


@PLANNING.instead_of(
    "journal.pending:PendingChanges.drop", _PENDING + "test_a_contact_whose_change_was_dropped_may_have_another"
)
def what_is_dropped_stays(original, self, contacts):
    return None


@PLANNING.instead_of(
    "journal.pending:PendingChanges.begin_sending",
    _PENDING + "test_once_changes_may_have_been_sent_no_error_says_otherwise",
)
def nothing_counts_as_sent(original, self):
    return None


@PLANNING.instead_of(
    "journal.pending_file:PendingFile._opened", _PENDING + "test_a_folder_that_cannot_be_written_is_named"
)
def another_folder_will_do(original, self):
    self._folder = Path(tempfile.gettempdir())
    return original(self)


@PLANNING.instead_of(
    "journal.pending_file:PendingFile._opened",
    "test_interruptions.py::test_an_interruption_leaves_no_file_of_pending_changes",
)
def a_file_is_unlinked_only_after_it_has_a_name(original, self):
    handle, name = tempfile.mkstemp(prefix="connectif-pending-", dir=self._folder)
    os.close(handle)
    try:
        database = sqlite3.connect(name, isolation_level=None, check_same_thread=False)
        database.executescript(_SCHEMA)
    finally:
        os.unlink(name)
    return database


@PLANNING.instead_of(
    "journal.pending:PendingChanges._merged",
    _PENDING + "test_several_rows_of_a_contact_are_one_change_with_the_later_values",
)
def of_several_rows_the_first_counts(original, self, earlier, later):
    return earlier


@PLANNING.instead_of(
    "runs.comparison:rank_of", "test_comparison.py::test_a_withdrawn_consent_is_sent_before_all_others"
)
def nothing_is_urgent(original, resource, patch, rank=None):
    return Rank.NEW if rank is None else rank


PLANNING.value(
    "urgent changes come last",
    "journal.pending:PendingChanges.batches",
    "lambda self: reversed(list(original(self)))",
    _PENDING + "test_changes_are_sent_by_rank_and_then_by_row",
)


@PLANNING.instead_of(
    "journal.pending:PendingChanges._merged", _PENDING + "test_a_change_of_several_rows_has_the_first_of_their_ranks"
)
def of_several_rows_the_later_rank_counts(original, self, earlier, later):
    return original(self, earlier, later)._replace(rank=later.rank)


@PLANNING.instead_of(
    "journal.pending:PendingChanges.take_acknowledged",
    _PENDING + "test_merged_changes_that_connectif_holds_or_has_refused_are_taken_out",
)
def what_connectif_holds_is_sent_again(original, self):
    return iter(())


@PLANNING.instead_of(
    "journal.pending:PendingChanges.take_refused",
    _PENDING + "test_merged_changes_that_connectif_holds_or_has_refused_are_taken_out",
)
def what_was_refused_is_sent_again(original, self):
    return []


PLANNING.value(
    "a contact that is pending is taken for a new one",
    "journal.seen_texts:SeenTexts.add",
    "lambda self, texts: original(self, texts) and []",
    _PENDING + "test_every_text_that_was_seen_is_found_again",
    _PENDING + "test_several_rows_of_a_contact_are_one_change_with_the_later_values",
)
PLANNING.value(
    "a contact that is pending is taken for a new one when its row is compared",
    "journal.seen_texts:SeenTexts.maybe",
    "lambda self, texts: []",
    _PENDING + "test_every_text_that_was_seen_is_found_again",
    _PENDING + "test_it_is_known_which_contacts_have_a_change",
)
PLANNING.value(
    "NULLs of a row that is kept as texts come back as empty texts",
    "journal.pending_lines:unpacked",
    'lambda whole, columns: original(whole.partition(b"\\0\\0[")[0], columns)',
    _PENDING + "test_changes_of_rows_as_texts_come_back_as_they_were",
)
PLANNING.value(
    "what a text became in one column counts in all",
    "contacts.column_values:ContactsOfTexts._columns",
    "lambda self, form: (made := original(self, form))._replace("
    "properties=[(*column[:2], made.properties[0][2], column[3]) for column in made.properties])",
    "test_raw_rows.py::test_a_row_of_texts_is_mapped_as_its_values_are",
)


# Files and polls of an import


@PLANNING.instead_of(
    "imports.shapes:_by_column",
    "test_import_layouts.py::test_any_pattern_takes_at_most_a_file_for_each_column_that_may_be_empty_and_one",
)
def files_are_never_by_column(original, survey, max_file_bytes, leftovers, *given):
    return _by_shape(survey, max_file_bytes, leftovers, *given)


@PLANNING.instead_of(
    "imports.watch:Watch.due_in",
    "test_import_polls.py::test_no_import_is_polled_more_often_than_poll_interval_says",
)
def imports_are_polled_twice_in_an_interval(original, self, import_id, began_at=0.0):
    return original(self, import_id, began_at) - self._context.rules.poll_interval_s / 2
