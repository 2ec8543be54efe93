# ruff: noqa: F821 - names are those of the modules that are mutated
"""The comparison of what was sent with what a response shows: each decision taken out, or made the other way."""

from __future__ import annotations

from tests.support.mutations import Mutations

STORED = Mutations()

_VALUES = "test_stored.py::test_a_value_of_each_type"
_MISSING = "test_stored.py::test_a_value_that_is_not_shown_is_missing"
_NOTHING_SENT = "test_stored.py::test_nothing_is_sent_and_nothing_is_shown"
_BY_VALUE = "test_stored.py::test_without_a_type_the_value_decides"
_NO_CONTACT = "test_stored.py::test_a_body_that_shows_no_contact_confirms_nothing"
_CONTACT = "test_stored.py::test_a_contact_key_or_a_property_that_is_known_shows_a_contact"
_KEY = "test_stored.py::test_a_contact_key_alone_shows_a_contact"
_CONSENTS = "test_stored.py::test_consents_as_they_are_shown"
_NO_CONSENTS = "test_stored.py::test_consents_that_are_not_shown"
_ANY_JSON = "test_stored.py::test_no_body_makes_it_raise"
_LOOK_UP = "test_hook.py::"

# Whether there is something to compare


@STORED.instead_of("contacts.stored:shows_contact", _NO_CONTACT)
def every_object_shows_a_contact(original, body, fields, sent=()):
    return True


@STORED.instead_of("contacts.stored:shows_contact", _CONTACT)
def only_a_key_shows_a_contact(original, body, fields, sent=()):
    return any(not is_empty(body.get(key)) for key in _KEY_PROPERTIES)


@STORED.instead_of("contacts.stored:shows_contact", _CONTACT)
def what_was_sent_shows_no_contact(original, body, fields, sent=()):
    return original(body, fields)


@STORED.instead_of("contacts.stored:shows_contact", _CONTACT)
def a_field_of_the_account_shows_no_contact(original, body, fields, sent=()):
    return original(body, FieldTable("email"), sent)


STORED.value("an id shows a contact", "contacts.stored:_SYSTEM_PROPERTIES", 'original | {"id"}', _NO_CONTACT)
STORED.value("no system property shows a contact", "contacts.stored:_SYSTEM_PROPERTIES", "frozenset()", _CONTACT)
STORED.value("an external id shows no contact", "contacts.stored:_KEY_PROPERTIES", '("_email",)', _KEY)
STORED.value("an e-mail shows no contact", "contacts.stored:_KEY_PROPERTIES", '("_externalId",)', _KEY)


@STORED.instead_of("contacts.stored:compare", _NO_CONTACT)
def a_body_is_an_object(original, sent, body, fields):
    return original(sent, body if isinstance(body, dict) else {"_email": str(body)}, fields)


@STORED.instead_of("contacts.stored:compare", "test_stored.py::test_each_property_is_compared_by_itself")
def one_difference_is_enough(original, sent, body, fields):
    compared = original(sent, body, fields)
    return compared._replace(differences=dict(list(compared.differences.items())[:1]))


# Nothing sent, nothing shown


@STORED.instead_of("contacts.shown_values:difference", _MISSING)
def what_is_not_shown_is_the_same(original, sent, shown, field):
    return None if is_empty(shown) else original(sent, shown, field)


@STORED.instead_of("contacts.shown_values:difference", _NOTHING_SENT)
def what_was_cleared_may_still_be_there(original, sent, shown, field):
    return None if is_empty(sent) else original(sent, shown, field)


@STORED.instead_of("contacts.shown_values:is_empty", _MISSING, _NOTHING_SENT)
def only_null_is_empty(original, value):
    return value is None


@STORED.instead_of("contacts.shown_values:is_empty", _MISSING)
def false_and_zero_are_empty(original, value):
    return not value or original(value)


# The type


@STORED.instead_of("contacts.shown_values:_type_of", _BY_VALUE)
def without_a_definition_everything_is_text(original, sent, shown):
    return "text"


@STORED.instead_of("contacts.shown_values:_type_of", _BY_VALUE)
def without_a_definition_only_the_sent_value_decides(original, sent, shown):
    return original(sent, sent)


for _kind in ("text", "email", "phone", "integer", "decimal", "boolean", "date", "radio", "checkbox"):
    STORED.value(
        f"{_kind}: compared exactly",
        "contacts.shown_values:COMPARISONS",
        f"{{**original, {_kind!r}: lambda sent, shown, field: None if sent == shown else Difference.OTHER_VALUE}}",
        _VALUES,
    )
    STORED.value(
        f"{_kind}: everything is the same",
        "contacts.shown_values:COMPARISONS",
        f"{{**original, {_kind!r}: lambda sent, shown, field: None}}",
        _VALUES,
    )

# Texts, addresses, phones


@STORED.instead_of("contacts.shown_values:_spaced", _VALUES)
def white_space_counts(original, text):
    return unicodedata.normalize("NFC", text)


@STORED.instead_of("contacts.shown_values:_spaced", _VALUES)
def the_composition_of_accents_counts(original, text):
    return " ".join(text.split())


@STORED.instead_of("contacts.shown_values:_text_difference", _VALUES)
def another_case_is_another_value(original, sent, shown):
    found = original(sent, shown)
    return Difference.OTHER_VALUE if found is Difference.OTHER_CASE else found


@STORED.instead_of("contacts.shown_values:_text_difference", _VALUES)
def case_is_lower_case_only(original, sent, shown):
    found = original(sent, shown)
    return Difference.OTHER_VALUE if found is Difference.OTHER_CASE and sent.lower() != shown.lower() else found


@STORED.instead_of("contacts.shown_values:_is_beginning", _VALUES)
def a_shortened_text_is_another_one(original, shown, sent):
    return False


@STORED.instead_of("contacts.shown_values:_is_beginning", _VALUES)
def a_longer_text_is_a_shortened_one(original, shown, sent):
    return original(shown, sent) or shown.startswith(sent)


STORED.value("half a character is one", "contacts.shown_values:_HALF_CHARACTER", 're.compile("(?!)")', _VALUES)


@STORED.instead_of("contacts.shown_values:_as_text", _VALUES)
def a_number_is_no_text(original, value):
    return value if isinstance(value, str) else None


@STORED.instead_of("contacts.shown_values:_as_text", _VALUES)
def a_list_or_an_object_is_a_text(original, value):
    text = original(value)
    return repr(value) if text is None else text


@STORED.instead_of("contacts.shown_values:_as_text", _ANY_JSON)
def a_number_may_have_any_digits(original, value):
    return str(value) if isinstance(value, int) else original(value)


@STORED.instead_of("contacts.shown_values:_address", _VALUES)
def the_case_of_a_domain_counts(original, text):
    try:
        return str(email(text))
    except InvalidValue:
        return _spaced(text)


@STORED.instead_of("contacts.shown_values:_address", _VALUES)
def the_case_of_an_address_never_counts(original, text):
    return original(text).lower()


@STORED.instead_of("contacts.shown_values:_address", _VALUES)
def a_domain_has_one_spelling(original, text):
    local, _, domain = _spaced(text).rpartition("@")
    return f"{local}@{domain.lower()}"


@STORED.instead_of("contacts.shown_values:_digits", _VALUES)
def a_phone_is_its_text(original, text):
    return text


@STORED.instead_of("contacts.shown_values:_digits", _VALUES)
def zeros_before_a_phone_count(original, text):
    return re.sub(r"[^0-9]", "", text)


@STORED.instead_of("contacts.shown_values:_digits", _VALUES)
def a_zero_in_brackets_counts(original, text):
    return re.sub(r"[^0-9]", "", text).lstrip("0")


@STORED.instead_of("contacts.shown_values:_is_national_form", _VALUES)
def a_national_phone_is_another_one(original, shown, sent):
    return False


STORED.value("any end of a phone is its national form", "contacts.shown_values:_LEAST_NATIONAL_DIGITS", "1", _VALUES)

# Numbers and booleans


@STORED.instead_of("contacts.shown_values:_number", _VALUES)
def a_text_is_no_number(original, value):
    return None if isinstance(value, str) else original(value)


@STORED.instead_of("contacts.shown_values:_are_equal", _VALUES)
def numbers_are_exact(original, sent, shown):
    return sent == shown


@STORED.instead_of("contacts.shown_values:_are_equal", _VALUES)
def whole_numbers_are_not_exact(original, sent, shown):
    return original(float(sent) + 0.1, float(shown) + 0.1)


STORED.value("no digit of a fraction may be lost", "contacts.shown_values:_PRECISION", "0.0", _VALUES)
STORED.value("most digits of a fraction may be lost", "contacts.shown_values:_PRECISION", "0.01", _VALUES)


@STORED.instead_of("contacts.shown_values:boolean", _VALUES)
def a_boolean_is_true_or_false_alone(original, value):
    return value is True


# Dates


@STORED.instead_of("contacts.shown_dates:_is_cut_date", _VALUES)
def a_cut_date_is_a_form_that_is_not_known(original, sent, shown):
    return False


@STORED.instead_of("contacts.shown_dates:_in_utc", _VALUES)
def the_offset_of_a_moment_does_not_count(original, moment):
    return moment.replace(tzinfo=None) - datetime.min


@STORED.instead_of("contacts.shown_dates:_in_utc", _VALUES)
def every_moment_has_a_datetime_in_utc(original, moment):
    return moment.astimezone(UTC).replace(tzinfo=None) - datetime.min


@STORED.instead_of("contacts.shown_dates:_days_apart", _VALUES)
def only_the_day_in_utc_counts(original, sent, shown):
    return abs(_in_utc(sent) // _DAY - _in_utc(shown) // _DAY)


@STORED.instead_of("contacts.shown_dates:_days_apart", _VALUES)
def only_the_day_that_is_written_counts(original, sent, shown):
    return abs(sent.toordinal() - shown.toordinal())


@STORED.instead_of("contacts.shown_dates:_days_apart", _VALUES)
def any_day_is_the_next_one(original, sent, shown):
    return min(original(sent, shown), 1)


@STORED.instead_of("contacts.shown_dates:_is_midnight", _VALUES)
def a_day_is_a_moment(original, moment):
    return False


@STORED.instead_of("contacts.shown_dates:_is_midnight", _VALUES)
def a_moment_is_a_day(original, moment):
    return True


STORED.value("a second counts", "contacts.shown_dates:_MINUTE", "timedelta(microseconds=1)", _VALUES)
STORED.value("an hour does not count", "contacts.shown_dates:_MINUTE", "timedelta(hours=3)", _VALUES)
STORED.value("no zone is shifted", "contacts.shown_dates:_LARGEST_OFFSET", "timedelta(0)", _VALUES)
STORED.value("a zone is shifted by any hours", "contacts.shown_dates:_LARGEST_OFFSET", "timedelta(hours=20)", _VALUES)
STORED.value("a zone is shifted by any minutes", "contacts.shown_dates:_QUARTER_HOUR", "timedelta(minutes=1)", _VALUES)
STORED.value("a zone is shifted by whole hours", "contacts.shown_dates:_QUARTER_HOUR", "timedelta(hours=1)", _VALUES)


@STORED.instead_of("contacts.shown_dates:moment_of", _VALUES)
def a_date_of_no_calendar_is_one(original, value):
    found = original(value)
    return found or datetime(1990, 1, 1, tzinfo=UTC)


# Options


@STORED.instead_of("contacts.shown_values:_options", _VALUES)
def the_order_of_options_counts(original, value, field):
    options = original(value, field)
    return options if not isinstance(value, list) or options is None else frozenset([repr(value)])


@STORED.instead_of("contacts.shown_values:_options", _VALUES)
def a_label_is_no_option(original, value, field):
    return original(value, Field(field.id, field.type, tuple((option_id, None) for option_id, _ in field.options)))


@STORED.instead_of("contacts.shown_values:_options", _VALUES)
def an_option_never_has_a_bar_in_it(original, value, field):
    return original(value.split("|") if isinstance(value, str) else value, field)


_FOUND = 'original["checkbox"](sent, shown, field)'
_OTHER_KINDS = {
    "a part of the options is another value": "{Difference.SHORTENED: Difference.OTHER_VALUE}",
    "options in another case are other ones": "{Difference.OTHER_CASE: Difference.OTHER_VALUE}",
    "no option at all is a part of them": "{Difference.MISSING: Difference.SHORTENED}",
}
for _name, _kinds in _OTHER_KINDS.items():
    STORED.value(
        _name,
        "contacts.shown_values:COMPARISONS",
        f'{{**original, "checkbox": lambda sent, shown, field: {_kinds}.get({_FOUND}, {_FOUND})}}',
        _VALUES,
    )
STORED.value(
    "more options than were sent do not count",
    "contacts.shown_values:COMPARISONS",
    f'{{**original, "checkbox": lambda sent, shown, field: None if len(shown) > len(sent) else {_FOUND}}}',
    _VALUES,
)


# Consent


@STORED.instead_of("contacts.stored:_consent", _CONSENTS)
def a_consent_is_its_text(original, property_id, shown):
    return ShownConsent(shown, rank(property_id, shown)) if isinstance(shown, str) else None


@STORED.instead_of("contacts.stored:_consent", _NO_CONSENTS)
def any_value_is_a_consent(original, property_id, shown):
    return None if shown is None else ShownConsent(str(shown), 0)


@STORED.instead_of("contacts.stored:shown_consents", _NO_CONSENTS)
def only_what_is_shown_has_a_consent(original, body):
    return {property_id: found for property_id, found in original(body).items() if found}


# Looking a contact up


@STORED.instead_of(
    "api.client:ConnectifClient._get_contact",
    _LOOK_UP + "test_a_404_that_is_not_connectifs_says_nothing_of_a_contact",
)
def any_404_says_that_there_is_no_contact(original, self, path):
    try:
        return original(self, path)
    except NotFoundError:
        return None


@STORED.instead_of("api.client:ConnectifClient._get_contact", _LOOK_UP + "test_get_contact")
def a_contact_that_is_not_there_is_an_error(original, self, path):
    return self._transport.get_object(path)


@STORED.instead_of(
    "api.client:ConnectifClient._get_contact",
    _LOOK_UP + "test_a_contact_that_cannot_be_looked_up_is_an_error_without_key_and_address",
)
def a_look_up_without_a_body_is_a_response(original, self, path):
    try:
        return original(self, path)
    except MalformedResponseError as error:
        raise (MalformedResponseError if "no body" in str(error) else type(error))(str(error)) from None


_PERHAPS_NOT_DELETED = _LOOK_UP + "test_a_contact_that_was_perhaps_not_deleted_is_an_error_without_its_key"


@STORED.instead_of("api.client:ConnectifClient._delete_contact", _PERHAPS_NOT_DELETED)
def any_404_says_that_a_contact_is_deleted(original, self, path):
    try:
        return original(self, path)
    except NotFoundError:
        return False


@STORED.instead_of("api.client:ConnectifClient._delete_contact", _PERHAPS_NOT_DELETED)
def any_2xx_says_that_a_contact_is_deleted(original, self, path):
    self._transport.request("DELETE", path)
    return True
