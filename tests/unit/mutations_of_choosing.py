"""The choice between PATCH and import, and what an import of a plan takes, as if one condition were missing."""

from __future__ import annotations

from tests.support.mutations import Mutations

CHOOSING = Mutations()

_CHOOSING = "test_choosing.py::"


@CHOOSING.instead_of("runs.choosing:choose_way", _CHOOSING + "test_every_combination_keeps_to_the_rules")
def an_import_may_take_more_requests(original, via, import_after_s, patch, by_import, reason_against):
    few = by_import and by_import._replace(requests=patch.requests._replace(most=patch.requests.least))
    chosen = original(via, import_after_s, patch, few, reason_against)
    return by_import._replace(was_chosen=True) if few and chosen.way == "import" else chosen


@CHOOSING.instead_of("runs.choosing:choose_way", _CHOOSING + "test_every_combination_keeps_to_the_rules")
def an_import_need_not_be_sooner(original, via, import_after_s, patch, by_import, reason_against):
    return original(via, import_after_s, patch, by_import and by_import._replace(seconds=None), reason_against)


@CHOOSING.instead_of("runs.choosing:may_import", _CHOOSING + "test_the_table")
def a_plan_at_the_limit_is_beyond_it(original, via, import_after_s, patch):
    return original(via, import_after_s - 1.0, patch)


@CHOOSING.instead_of(
    "imports.cost:ImportCosts.cost", _CHOOSING + "test_polls_of_a_chosen_import_stay_within_the_requests_by_patch"
)
def polls_have_no_limit(original, self, changes, resource, most_requests=None):
    return original(self, changes, resource)


@CHOOSING.instead_of("imports.writing:Split.removals", _CHOOSING + "test_who_left_costs_requests_and_is_in_no_file")
def nobody_is_followed_after_the_files(original, self):
    return iter(())


@CHOOSING.instead_of("imports.cost:why_not_by_import", _CHOOSING + "test_what_an_import_cannot_do")
def an_import_can_do_everything(original, resource, columns):
    return ""


@CHOOSING.instead_of("imports.rules:spare_delay_s", _CHOOSING + "test_polls_get_rarer_so_that_they_last")
def polls_keep_their_pace(original, waited_s, polls_left):
    return 0.0


@CHOOSING.instead_of("imports.watch:Watch.times_of", _CHOOSING + "test_when_an_import_began_and_ended")
def a_poll_after_an_absence_shows_the_end(original, self, one, sent):
    self.was_away = False
    return original(self, one, sent)


@CHOOSING.instead_of(
    "journal.past_imports:PastImports.rows_per_second", _CHOOSING + "test_the_speed_is_that_of_the_last_imports"
)
def a_small_import_says_how_fast_a_large_one_is(original, self, rows):
    return original(self, 0)
