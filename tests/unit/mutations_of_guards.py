# ruff: noqa: F821 - names are those of the modules that are mutated
"""Guards, and when contacts that left the source are followed, as if one condition were missing."""

from __future__ import annotations

from tests.support.mutations import Mutations

GUARDED = Mutations()

_GUARDS = "test_guards.py::"
_DEPARTURES = "test_departures.py::"


@GUARDED.instead_of("runs.guards:share_of", _GUARDS + "test_a_share_is_what_its_digits_say")
def a_share_is_what_binary_fractions_make_of_it(original, share, number, *, rounds_up=False):
    return math.ceil(share * number) if rounds_up else math.floor(share * number)


@GUARDED.instead_of("runs.guards:_allowed", _GUARDS + "test_before_the_first_complete_read_a_share_is_no_limit")
def before_the_first_read_a_share_allows_nothing(original, guard, limit, last):
    return 1 if last is None and isinstance(limit, float) else original(guard, limit, last)


@GUARDED.instead_of("runs.guards:_allowed", _GUARDS + "test_a_share_of_few_allows_one_and_of_consents_twenty")
def a_share_of_few_allows_nobody(original, guard, limit, last):
    return original(guard._replace(least=0), limit, last)


@GUARDED.instead_of("runs.guards:exceeded", _GUARDS + "test_a_number_is_allowed_and_one_more_is_not_whatever_is_known")
def a_limit_is_beyond_itself(original, plan, limits, last):
    return original(Guarded(*(number + 1 for number in plan[:-1])), limits, last)


@GUARDED.instead_of("runs.guards:check_guards", _GUARDS + "test_the_message_names_number_limit_and_the_way_out")
def guards_only_say(original, plan, limits, last):
    return exceeded(plan, limits, last)


@GUARDED.instead_of("runs.departures:why_only_counted", _DEPARTURES + "test_another_question_is_only_counted")
def another_question_is_the_same(original, asker, last, *, keyless, came_back=0):
    same = last and LastRead(**{**last.__dict__, "identity": asker.identity, "asked_since": asker.since})
    return original(asker, same, keyless=keyless, came_back=came_back)


@GUARDED.instead_of("runs.departures:why_only_counted", _DEPARTURES + "test_what_else_is_only_counted")
def rows_without_a_key_hide_nobody(original, asker, last, *, keyless, came_back=0):
    return original(asker, last, keyless=Keyless())


@GUARDED.instead_of("runs.departures:why_only_counted", _DEPARTURES + "test_what_else_is_only_counted")
def another_task_reads_nothing(original, asker, last, *, keyless, came_back=0):
    return original(
        asker, last and LastRead(**{**last.__dict__, "asked_since": asker.since}), keyless=keyless, came_back=came_back
    )


_KEYLESS = "test_keyless_rows.py::"


@GUARDED.instead_of(
    "runs.keyless_rows:KeylessRows.may_have", _KEYLESS + "test_a_row_that_says_nothing_else_may_be_the_contact_s"
)
def rows_that_are_alike_hide_nobody(original, self, contact, column, differences):
    return False


@GUARDED.instead_of(
    "runs.keyless_rows:KeylessRows.may_have",
    _KEYLESS + "test_without_rows_nobody_is_among_them_and_with_very_many_anybody",
)
def any_row_hides_everybody(original, self, contact, column, differences):
    return True


@GUARDED.instead_of(
    "journal.differences:Differences.contradicts",
    _KEYLESS + "test_a_row_that_says_nothing_else_may_be_the_contact_s",
)
def a_consent_tells_contacts_apart(original, self, contact, column, properties):
    return self._digester.contradicts(contact, column, properties)


@GUARDED.instead_of("runs.departures:was_shown", _DEPARTURES + "test_who_was_shown_by_the_question_before")
def whoever_is_marked_was_shown_before(original, line, asker, last):
    return True


_LEFT_LINES = "test_left_lines.py::"
_REJECTED_IS_KNOWN = _LEFT_LINES + "test_a_rejected_removal_counts_as_known_until_a_read_only_counts_its_contact"

GUARDED.value("a rejected removal is not known", "journal.last_read:LEFT", "'none'", _REJECTED_IS_KNOWN)
GUARDED.value("whoever left is known", "journal.last_read:GONE", "('removed',)", _REJECTED_IS_KNOWN)


@GUARDED.instead_of("journal.left_lines:LeftLines._lines_of", _REJECTED_IS_KNOWN)
def a_rejected_removal_is_marked(original, self, keys):
    return [line._replace(is_marked=line.is_marked or line.is_rejected) for line in original(self, keys)]


@GUARDED.instead_of("runs.departures:left_earlier", _DEPARTURES + "test_who_left_before_the_last_complete_read")
def a_rejected_removal_left_just_now(original, line, last):
    return original(line, last) and not line.is_rejected


_REMOVAL = _LEFT_LINES + "test_the_line_of_a_removal_says_what_happened"


@GUARDED.instead_of("journal.confirmation:Confirmation._settle_removal", _REMOVAL)
def a_rejected_removal_leaves_no_trace(original, self, key, settled, digests, status, reason):
    outcome = Outcome.SUPPRESSED if settled.outcome is Outcome.REJECTED else settled.outcome
    original(self, key, Settled(**{**settled.__dict__, "outcome": outcome}), digests, status, reason)


@GUARDED.instead_of("journal.confirmation:Confirmation._settle_removal", _REMOVAL)
def a_suppressed_removal_is_rejected(original, self, key, settled, digests, status, reason):
    outcome = Outcome.REJECTED if settled.outcome is Outcome.SUPPRESSED else settled.outcome
    original(self, key, Settled(**{**settled.__dict__, "outcome": outcome}), digests, status, reason)


@GUARDED.instead_of("journal.confirmation:Confirmation._settle_removal", _REMOVAL)
def an_undelivered_removal_stays_in_doubt(original, self, key, settled, digests, status, reason):
    if settled.outcome is not Outcome.UNDELIVERED:
        original(self, key, settled, digests, status, reason)


@GUARDED.instead_of("journal.confirmation:Confirmation._settle_removal", _REMOVAL)
def a_skipped_removal_has_no_reason(original, self, key, settled, digests, status, reason):
    is_skipped = settled.outcome is Outcome.SKIPPED
    original(self, key, settled, digests, None if is_skipped else status, "" if is_skipped else reason)


GUARDED.value("a rejection by the policy has no reason", "journal.confirmation:_BY_POLICY", "''", _REMOVAL)
GUARDED.value(
    "a skipped removal was carried out",
    "journal.next_step:_GONE_WITH_REASON",
    "original | {REMOVED: _REMOVED}",
    "test_command_line.py::test_a_skipped_removal_is_not_called_carried_out",
)
GUARDED.value(
    "a rejected removal was only counted",
    "journal.next_step:_GONE_WITH_REASON",
    "original | {LEFT: _LEFT}",
    "test_command_line.py::test_a_rejected_removal_is_not_called_a_missing_response",
)


@GUARDED.instead_of(
    "journal.shown_keys:ShownKeys._parts", _DEPARTURES + "test_keys_that_were_not_shown_are_found_in_their_order"
)
def keys_on_disk_were_not_shown(original, self):
    yield self._latest


@GUARDED.instead_of("contacts.removal:checked_on_removed", _DEPARTURES + "test_what_may_not")
def whoever_leaves_may_be_subscribed(original, on_removed):
    return on_removed
