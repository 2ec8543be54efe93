"""What must not go unnoticed of which properties are sent."""

from __future__ import annotations

from tests.support.mutations import Mutations

PROPERTIES = Mutations()

_DIFFERENCES = "test_differences.py::"


@PROPERTIES.instead_of(
    "journal.differences:Differences.of", _DIFFERENCES + "test_only_what_differs_is_sent_and_the_rest_is_known"
)
def every_property_is_sent(original, self, *given, **named):
    found = original(self, *given, **named)
    return found._replace(patch=found.patch._replace(properties=found.patch.whole, others={}))


@PROPERTIES.instead_of(
    "journal.differences:Differences.of", _DIFFERENCES + "test_a_full_refresh_sends_all_and_keeps_what_is_known"
)
def a_full_refresh_leaves_out_properties_that_are_held(original, self, *given, **named):
    self.sends_all = False
    return original(self, *given, **named)


@PROPERTIES.instead_of(
    "journal.differences:Differences.of",
    _DIFFERENCES + "test_a_thing_that_takes_no_part_gets_all_if_anything_differs",
)
def every_thing_takes_parts(original, self, *given, **named):
    self._takes_parts = True
    return original(self, *given, **named)


@PROPERTIES.instead_of(
    "journal.properties:updated",
    _DIFFERENCES + "test_what_the_row_does_not_say_stays_known[a mapping in another order]",
)
def what_the_row_does_not_say_is_forgotten(original, column, entries):
    return original(b"", entries)


@PROPERTIES.instead_of(
    "journal.properties:compared", _DIFFERENCES + "test_what_the_row_does_not_say_stays_known[the same order]"
)
def what_the_row_does_not_say_is_forgotten_where_the_order_is_the_same(original, column, entries):
    return original(column, entries)[0], b"".join(entries)


PROPERTIES.value(
    "one contact's properties say something of another's",
    "journal.properties:PropertyDigester.entries",
    'lambda self, contact, properties: original(self, "", properties)',
    _DIFFERENCES + "test_what_is_accepted_of_one_contact_or_with_one_secret_says_nothing_of_another",
)
PROPERTIES.value(
    "the secret does not matter",
    "journal.properties:PropertyDigester.__init__",
    'lambda self, salt, modes: original(self, "", modes)',
    _DIFFERENCES + "test_what_is_accepted_of_one_contact_or_with_one_secret_says_nothing_of_another",
)
