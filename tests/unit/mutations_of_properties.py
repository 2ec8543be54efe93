"""What must not go unnoticed of which properties are sent."""

from __future__ import annotations

from tests.support.mutations import Mutations

PROPERTIES = Mutations()

_DIFFERENCES = "test_differences.py::"


@PROPERTIES.instead_of(
    "journal.differences:Differences.of", _DIFFERENCES + "test_only_what_differs_is_sent_and_the_rest_is_known"
)
def every_property_is_sent(original, self, patch, contact, known, row_digest, refused=None):
    found = original(self, patch, contact, known, row_digest, refused)
    return found._replace(patch=found.patch._replace(properties=found.patch.whole, others={}))


@PROPERTIES.instead_of(
    "journal.differences:Differences.of", _DIFFERENCES + "test_a_full_refresh_sends_all_and_keeps_what_is_known"
)
def a_full_refresh_leaves_out_properties_that_are_held(original, self, patch, contact, known, row_digest, refused=None):
    self._sends_all = False
    return original(self, patch, contact, known, row_digest, refused)


@PROPERTIES.instead_of(
    "journal.differences:Differences.of",
    _DIFFERENCES + "test_a_thing_that_takes_no_part_gets_all_if_anything_differs",
)
def every_thing_takes_parts(original, self, patch, contact, known, row_digest, refused=None):
    self._takes_parts = True
    return original(self, patch, contact, known, row_digest, refused)


@PROPERTIES.instead_of("journal.properties:updated", _DIFFERENCES + "test_what_the_row_does_not_say_stays_known")
def what_the_row_does_not_say_is_forgotten(original, column, entries):
    return original(b"", entries)


PROPERTIES.value(
    "one contact's properties say something of another's",
    "journal.properties:PropertyDigester.entries",
    'lambda self, contact, properties: original(self, "", properties)',
    _DIFFERENCES + "test_what_is_accepted_of_one_contact_or_with_one_secret_says_nothing_of_another",
)
PROPERTIES.value(
    "the secret does not matter",
    "journal.properties:PropertyDigester.__init__",
    'lambda self, salt: original(self, "")',
    _DIFFERENCES + "test_what_is_accepted_of_one_contact_or_with_one_secret_says_nothing_of_another",
)


@PROPERTIES.instead_of(
    "contacts.resource:ContactResource.follow_up",
    _DIFFERENCES + "test_the_rest_of_a_deleted_contact_follows_without_its_consents",
)
def the_rest_of_a_deleted_contact_has_its_consents(original, self, change, response):
    rest = original(self, change, response)
    return rest and rest._replace(properties=change.others)


PROPERTIES.value(
    "nothing follows on a deleted contact",
    "contacts.resource:ContactResource.follow_up",
    "lambda self, change, response: None",
    _DIFFERENCES + "test_the_rest_of_a_deleted_contact_follows_without_its_consents",
)


@PROPERTIES.instead_of("contacts.resource:ContactResource.follow_up", _DIFFERENCES + "test_nothing_follows_otherwise")
def something_follows_on_a_new_contact(original, self, change, response):
    return original(self, change._replace(is_new=False), response)
