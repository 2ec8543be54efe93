# ruff: noqa: F821 - names are those of the modules that are mutated
"""Uploads of an import, and consents in its files: each decision, as if there was no need for it."""

from __future__ import annotations

from tests.support.mutations import Mutations

UPLOADS = Mutations()

_FILES = "test_uploads.py::"


@UPLOADS.instead_of("imports.uploads:Uploads._upload", _FILES + "test_each_file_has_its_switches_and_its_import")
def files_that_fill_overwrite(original, self, file, sent, ours, take_out, place):
    sent.only_empty = False
    return original(self, file, sent, ours, take_out, place)


@UPLOADS.instead_of(
    "imports.uploads:Uploads._upload",
    _FILES + "test_a_response_that_names_an_earlier_import_is_none_to_this_upload",
)
def an_earlier_import_is_taken_for_a_new_one(original, self, file, sent, ours, take_out, place):
    return original(self, file, sent, set(), take_out, place)


@UPLOADS.instead_of(
    "imports.uploads:Uploads._forget",
    _FILES + "test_a_file_that_connectif_does_not_take_fails_the_task_and_has_begun_nothing",
)
def what_has_begun_no_import_is_waited_for(original, self, sent):
    pass


UPLOADS.value(
    "a full queue fails the task",
    "imports.uploads:_QUEUE_FULL",
    "frozenset()",
    _FILES + "test_a_full_queue_is_waited_for_or_left_to_another_process",
)


@UPLOADS.instead_of(
    "imports.uploads:Uploads.upload",
    _FILES + "test_a_full_queue_is_waited_for_or_left_to_another_process",
)
def a_full_queue_holds_the_worker(original, self, state, files, settlement, planned_at, may_give_back, take_out):
    return original(self, state, files, settlement, planned_at, lambda: False, take_out)


@UPLOADS.instead_of(
    "imports.uploads:Uploads._has_room", _FILES + "test_no_file_is_uploaded_into_a_queue_that_this_run_fills"
)
def files_are_uploaded_into_a_full_queue(original, self, state, settlement, *, may_wait):
    return True


@UPLOADS.instead_of("imports.watch:Watch.queued", _FILES + "test_one_poll_that_shows_room_is_enough")
def an_import_in_progress_is_in_the_queue(original, self, files):
    return [sent.import_id for sent in files if sent.is_open]


@UPLOADS.instead_of("imports.uploads:Uploads.upload", _FILES + "test_no_file_of_an_old_plan_is_uploaded")
def plans_grow_old(original, self, state, files, settlement, planned_at, *others):
    return original(self, state, files, settlement, time.time(), *others)


@UPLOADS.instead_of(
    "imports.watch:Watch.until_none_is_open",
    _FILES + "test_after_a_lost_response_the_file_comes_again_after_whatever_that_upload_began",
)
def a_lost_upload_is_not_waited_for(original, self, since, ours):
    pass


# Consents

_CONSENT = "test_import_consent.py::"


@UPLOADS.instead_of(
    "contacts.by_import:_raised", _CONSENT + "test_where_the_key_may_not_write_contacts_nothing_is_raised"
)
def files_raise_what_the_source_has_raised(original, change):
    return []


@UPLOADS.instead_of("contacts.by_import:_fallen", _CONSENT + "test_what_only_a_response_can_decide_goes_by_patch")
def a_consent_that_falls_half_way_is_filled(original, change):
    return []


@UPLOADS.instead_of(
    "contacts.by_import:Ways.in_files", _CONSENT + "test_files_need_no_value_that_says_nothing_and_none_that_is_kept"
)
def files_carry_what_is_kept(original, self, change):
    return change


@UPLOADS.instead_of(
    "contacts.by_import:_left_out", _CONSENT + "test_where_the_key_may_not_write_contacts_nothing_is_raised"
)
def what_nobody_has_seen_is_not_kept(original, change, names, *, kept):
    return original(change, names, kept=())


@UPLOADS.instead_of(
    "contacts.by_import:Ways.needs_look_up", _CONSENT + "test_a_thousand_contacts_are_looked_up_and_not_one_more"
)
def a_million_contacts_are_looked_up(original, self, change):
    return False


@UPLOADS.instead_of(
    "contacts.by_import:Ways.of", _CONSENT + "test_a_refused_row_makes_no_contact_that_would_never_get_the_rest_of_it"
)
def keep_makes_contacts_of_refused_rows(original, self, changes):
    self._sets_empty = True
    return original(self, changes)


@UPLOADS.instead_of(
    "contacts.by_import:is_without_effect", _CONSENT + "test_a_contact_that_is_there_needs_no_empty_line"
)
def a_new_contact_without_a_property_is_not_made(original, change):
    return not change.properties and not change.later


@UPLOADS.instead_of(
    "contacts.first_patch:FirstPatch.is_allowed",
    _CONSENT + "test_the_first_patch_shows_whether_the_key_may_write_contacts",
)
def a_forbidden_patch_ends_the_run(original, self, patch):
    original(self, patch)
    return True


@UPLOADS.instead_of(
    "contacts.first_patch:FirstPatch.send",
    _CONSENT + "test_the_sender_gets_the_responses_to_the_first_requests_once",
)
def first_requests_are_sent_twice(original, self, client, change, *, on_fresh_connection=False):
    return original(self, client, change, on_fresh_connection=True)


@UPLOADS.instead_of("imports.shapes:Survey.more_files", _CONSENT + "test_files_that_fill_count_for_the_queue")
def files_that_fill_cost_nothing(original, self, max_file_bytes):
    return 0


@UPLOADS.instead_of("imports.files:ImportFiles._parts_of", _CONSENT + "test_files_in_the_order_of_their_uploads")
def withdrawals_of_refused_rows_share_a_file(original, self, shape, later, *, is_alone):
    return original(self, shape, later, is_alone=False)


# The files


@UPLOADS.instead_of(
    "imports.work_folder:guarded_files",
    "test_work_folder.py::test_a_folder_that_cannot_be_written_to_is_named",
    "test_settlement.py::test_a_disk_without_room_for_an_error_report_is_named",
    "test_import_files.py::test_a_full_disk_is_an_error_that_names_the_folder_of_the_settings",
    "test_import_files.py::test_a_disk_that_is_full_when_people_are_removed_from_a_file_is_an_error",
)
def errors_of_the_system_are_passed_on(original, folder, size_bytes=None, *, nothing_sent=False):
    from contextlib import nullcontext

    return nullcontext()


@UPLOADS.instead_of(
    "imports.work_folder:_parent_of",
    "test_import_files.py::test_a_full_disk_is_an_error_that_names_the_folder_of_the_settings",
)
def the_folder_that_is_gone_is_named(original, folder):
    return folder


_LEFT = "test_interruptions.py::test_an_interruption_leaves_no_folder_that_the_next_process_does_not_remove"


@UPLOADS.instead_of("imports.work_folder:_made_in", _LEFT)
def a_folder_that_was_not_locked_yet_is_left_behind(original, parent, prefix):
    made = Path(tempfile.mkdtemp(prefix=_MADE, dir=parent))
    lock = (made / _LOCK).open("wb")
    fcntl.flock(lock, fcntl.LOCK_EX)
    return made.rename(made.with_name(prefix + made.name.removeprefix(_MADE))), lock


@UPLOADS.instead_of("imports.work_folder:_remove", _LEFT)
def the_file_of_the_lock_may_go_first(original, folder):
    (folder / _LOCK).unlink()
    shutil.rmtree(folder)
