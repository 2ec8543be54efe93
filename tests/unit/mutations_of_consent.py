"""What must not go unnoticed of consents and of what is not always written."""

from __future__ import annotations

from tests.support.mutations import Mutations

CONSENT = Mutations()

_DECISIONS, _STEPS, _DIFFERENCES = "test_decisions.py::", "test_steps.py::", "test_differences.py::"
_LOWER = _DECISIONS + "test_a_lower_rank_is_the_persons_unless_the_source_rose"
_NOT_LOWER = _DECISIONS + "test_what_is_not_lower_decides_whatever_the_author_says"
_RESPONSE = "contacts.decisions:on_response"


def _turned(name: str, condition: str, turn: str, test: str) -> None:
    CONSENT.value(
        name,
        "contacts.decisions:turn_of",
        "lambda property_id, value, standing, **more: "
        f"Turn.{turn} if {condition} else original(property_id, value, standing, **more)",
        _DECISIONS + test,
    )


_LOWEST = "test_the_lowest_rank_always_goes_first"
_OWN_RISE = "test_only_an_own_rise_goes_first_among_the_others"
_turned("a withdrawal waits for a response", "rank(property_id, value) == 0", "BY_RESPONSE", _LOWEST)
_turned("a withdrawal is never looked up before", "rank(property_id, value) == 0", "FIRST", _LOWEST)
_turned("every withdrawal is looked up before", "rank(property_id, value) == 0", "AFTER_LOOK_UP", _LOWEST)
_turned("every raise goes first", "rank(property_id, value) > 0", "FIRST", _OWN_RISE)
_turned("no raise goes first", "rank(property_id, value) > 0", "BY_RESPONSE", _OWN_RISE)
_turned(
    "a kept consent goes first", "standing.is_kept and is_own_rise(property_id, value, standing)", "FIRST", _OWN_RISE
)
_turned(
    "a raise above a value that nobody has seen goes first",
    "standing.is_unseen and is_own_rise(property_id, value, standing)",
    "FIRST",
    "test_a_rise_above_a_value_that_nobody_has_seen_waits_for_a_response",
)


def _decided(name: str, condition: str, decision: str, test: str) -> None:
    CONSENT.value(
        name,
        _RESPONSE,
        "lambda property_id, value, shown, standing, resubscribe: "
        f"Decision.{decision} if {condition} else original(property_id, value, shown, standing, resubscribe)",
        test,
    )


_decided("none is sent where nothing is shown", "shown is None", "SEND", _NOT_LOWER)
_decided("a raise is not sent where nothing is shown", "shown is None", "LEAVE", _NOT_LOWER)
_decided("an unknown value is raised", "shown and shown.value not in RANKS[property_id]", "SEND", _NOT_LOWER)
_decided("none always lowers a subscription", 'value == "none" and shown and shown.rank == 2', "SEND", _NOT_LOWER)
_decided("none never lowers a subscription", 'value == "none" and shown and shown.rank == 2', "LEAVE", _NOT_LOWER)
_decided("what she has lowered is raised", 'resubscribe == "on_change" and shown and shown.rank == 0', "SEND", _LOWER)
_decided("an own rise is kept", 'resubscribe == "on_change" and shown and shown.rank == 0', "KEEP", _LOWER)
_CREATED = _DECISIONS + "test_a_contact_that_was_created_without_its_consent_gets_it_while_it_has_not_decided"
_decided("a new contact never gets its consent", "standing.is_created and shown", "KEEP", _CREATED)
_decided("a new contact gets its consent whatever it has decided", "standing.is_created", "SEND", _CREATED)
_decided(
    "a kept consent is raised where nothing is shown",
    "shown is None and standing.is_kept",
    "SEND",
    _DECISIONS + "test_a_kept_consent_is_not_raised_where_nothing_is_shown",
)
_decided("never raises all the same", 'resubscribe == "never"', "SEND", _LOWER)
_decided("always keeps all the same", 'resubscribe == "always"', "KEEP", _LOWER)
CONSENT.value(
    "every consent is kept that a look-up shows before a withdrawal",
    "contacts.decisions:is_lowered_by_person",
    "lambda *_: True",
    _DECISIONS + "test_a_look_up_before_a_withdrawal_shows_whether_the_person_was_first",
)
CONSENT.value(
    "no consent is kept that a look-up shows before a withdrawal",
    "contacts.steps:is_lowered_by_person",
    "lambda *_: False",
    _STEPS + "test_a_look_up_before_a_withdrawal_marks_what_the_person_has_lowered",
)
CONSENT.value(
    "a look-up before a deletion remembers nothing",
    "contacts.steps:decided_by_person",
    "lambda *_: frozenset()",
    _STEPS + "test_a_look_up_before_a_deletion_remembers_what_the_person_has_lowered",
)
CONSENT.value(
    "a deletion without a look-up remembers nothing",
    "contacts.steps:above_the_lowest",
    "lambda *_: frozenset()",
    _STEPS + "test_without_the_right_to_look_a_deletion_is_sent_at_once",
)
CONSENT.value(
    "a response that shows less marks nothing",
    "contacts.evolution:is_below",
    "lambda *_: False",
    _STEPS + "test_a_response_that_shows_less_than_was_accepted_marks_the_consent_once",
)
CONSENT.value(
    "a deleted contact is created again with its consents",
    "contacts.evolution:raised",
    "lambda properties: frozenset()",
    _STEPS + "test_a_deleted_contact_is_created_again_with_what_raises_nothing",
)
CONSENT.value(
    "a plan is never old",
    "contacts.steps:ContactSteps._with_raises_waiting",
    "lambda self, change: change",
    _STEPS + "test_a_raise_of_an_old_plan_waits_for_a_response",
)
CONSENT.value(
    "a decided raise of an old plan waits once more",
    "contacts.steps:is_own_rise",
    "lambda *_: True",
    _STEPS + "test_a_raise_of_an_old_plan_waits_for_a_response",
)
CONSENT.value(
    "an empty patch is sent",
    "contacts.steps:ContactSteps.next_request",
    "lambda self, change, plan_age_s: change",
    _STEPS + "test_an_empty_patch_is_never_sent",
)
CONSENT.value(
    "a mark that a consent is kept is lost",
    "journal.properties:kept_marks",
    "lambda property_ids: []",
    _DIFFERENCES + "test_a_kept_consent_stays_kept_and_costs_nothing",
)
CONSENT.value(
    "nobody knows what a consent was before a doubt",
    "journal.patch_columns:doubted",
    "lambda column, property_ids, ranked: original(column, property_ids, ())",
    _DIFFERENCES + "test_while_a_consent_is_on_its_way_its_rank_of_before_is_known_and_its_value_is_not",
)
CONSENT.value(
    "a withdrawal that was refused alone is sent again",
    "journal.differences:refused_marks",
    "lambda property_ids, row_digest: [b''] * len(property_ids)",
    _DIFFERENCES + "test_a_withdrawal_that_was_refused_alone_is_held_with_its_row",
)


_DELIVERY = "test_delivery_of_consents.py::"
CONSENT.value(
    "a withdrawal waits for its rejected row",
    "contacts.resource:ContactResource.urgent_part",
    "lambda self, change: None",
    _DELIVERY + "test_a_withdrawal_of_a_rejected_change_goes_alone_and_the_change_stays_rejected",
)
CONSENT.value(
    "only the last request of a contact is in the history",
    "delivery.jobs:Job.continue_with",
    "lambda self, patch: (original(self, patch), setattr(self, 'sent_earlier', frozenset()))[0]",
    _DELIVERY + "test_a_created_contact_stays_created_after_what_follows",
)
CONSENT.value(
    "what is sent alone stands for the whole change",
    "delivery.jobs:Job.whole",
    "property(lambda self: self.patch)",
    _DELIVERY + "test_what_ends_the_run_while_a_withdrawal_goes_alone_leaves_the_whole_change",
)
CONSENT.value(
    "nobody knows how old a plan is",
    "delivery.delivery:Delivery.begin",
    "lambda self, planned_at, resource=None: None",
    _DELIVERY + "test_a_raise_of_an_old_plan_is_looked_up",
)
CONSENT.value(
    "a withdrawal of an invalid row is not sent",
    "contacts.mapping:ContactMapping.urgent_part",
    "lambda self, number, row: None",
    "test_prepare.py::test_a_withdrawal_of_a_row_that_is_not_sent_is_planned_beside_it",
)
CONSENT.value(
    "what is urgent waits with the others",
    "delivery.sending_queue:SendingQueue._let_others_go",
    "lambda self, job: setattr(self, '_waited_for', 0)",
    "test_order_of_sending.py::test_the_others_wait_until_what_is_urgent_is_settled",
)
