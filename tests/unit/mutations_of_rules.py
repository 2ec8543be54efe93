# ruff: noqa: F821 - names are those of the modules that are mutated
"""The rules of the field types: each of their functions, as if values always came as they should."""

from __future__ import annotations

from tests.support.mutations import Mutations

RULES = Mutations()

_RULES = "test_rules.py::"
_ACCEPTED, _REFUSED = _RULES + "test_accepted", _RULES + "test_refused_with_the_rule"
_PACKAGE = "contacts.rules"

# Which rule a field has


@RULES.instead_of(f"{_PACKAGE}:coercer", _RULES + "test_a_type_that_is_not_known_leaves_the_value_to_connectif")
def a_type_that_is_not_known_is_an_error(original, field, default_region=None):
    return RULES[field.type].make(field, default_region)


@RULES.instead_of(f"{_PACKAGE}.addresses:phone", _ACCEPTED)
def a_fields_own_country_code_is_not_heeded(original, region=None, calling_code=None, **named):
    return original(region, **named)


@RULES.instead_of(f"{_PACKAGE}.addresses:phone", _ACCEPTED)
def an_authors_region_is_not_heeded(original, region=None, calling_code=None, **named):
    return original(None, calling_code, **named)


# What all share


@RULES.instead_of(f"{_PACKAGE}.base:valid_text", _REFUSED)
def any_text_can_be_sent(original, value):
    return str.__str__(value)


@RULES.instead_of(f"{_PACKAGE}.base:valid_text", _ACCEPTED)
def a_text_is_what_it_prints(original, value):
    return original(str(value))


@RULES.instead_of(f"{_PACKAGE}.numbers:is_time_of_numpy", _REFUSED)
def a_duration_of_numpy_is_a_number(original, value):
    return False


@RULES.instead_of(f"{_PACKAGE}.dates:_with_offset", _REFUSED, _ACCEPTED)
def every_offset_is_one(original, moment):
    return moment


@RULES.instead_of(
    f"{_PACKAGE}.options:_shortened",
    "test_mapping.py::test_reasons_can_be_printed_and_are_short_whatever_the_options_are",
)
def the_id_of_an_option_may_be_of_any_length(original, option_id):
    return option_id


for _module in ("addresses", "base"):
    RULES.value(
        f"marks that cannot be seen stay ({_module})",
        f"{_PACKAGE}.{_module}:{'trimmed' if _module == 'addresses' else '_INVISIBLE_ENDS'}",
        "str.strip" if _module == "addresses" else 're.compile("(?!)")',
        _ACCEPTED,
    )


@RULES.instead_of(f"{_PACKAGE}.numbers:kind", _REFUSED)
def a_value_is_shown_where_its_type_should_be(original, value):
    return repr(value)


RULES.value(
    "bounds are shown with exponents",
    f"{_PACKAGE}.numbers:number_text",
    'lambda number: f"{number:e}"',
    _REFUSED,
)

RULES.value(
    "scalars of NumPy are objects of another kind", f"{_PACKAGE}.numbers:plain", "lambda value: value", _ACCEPTED
)

RULES.value(
    "missing values are no more than unfit",
    "contacts.mapping_faults:is_missing",
    "lambda value: False",
    "test_mapping.py::test_a_missing_value_that_is_no_none_is_called_so",
)

# Texts, and values of fields that are not known


@RULES.instead_of(f"{_PACKAGE}.texts:text", _REFUSED)
def texts_may_have_any_length(original, max_length=None, *, required=False):
    return original(10**9, required=required)


@RULES.instead_of(f"{_PACKAGE}.texts:text", _REFUSED)
def required_texts_may_be_blank(original, max_length=None, *, required=False):
    return original(max_length)


@RULES.instead_of(f"{_PACKAGE}.texts:by_value", _ACCEPTED)
def sets_come_in_any_order(original, value):
    if isinstance(value, set):
        return sorted(original(value), reverse=True)
    return original(value)


@RULES.instead_of(f"{_PACKAGE}.texts:by_value", _REFUSED)
def what_is_no_value_is_sent_as_its_text(original, value):
    try:
        return original(value)
    except InvalidValue:
        return str(value)


@RULES.instead_of(f"{_PACKAGE}.texts:_option", _REFUSED)
def lists_may_hold_anything(original, item):
    return item


# E-mails and external ids

RULES.value(
    "the fast path takes every e-mail", f"{_PACKAGE}.addresses:_PLAIN_EMAIL", 're.compile(r"(.*)", re.DOTALL)', _REFUSED
)
RULES.value("e-mails may have any length", f"{_PACKAGE}.addresses:LONGEST_EMAIL", "10**9", _REFUSED)


@RULES.instead_of(f"{_PACKAGE}.addresses:email", _REFUSED)
def what_is_no_text_becomes_an_address(original, value):
    return original(str(value))


@RULES.instead_of(f"{_PACKAGE}.addresses:_checked_email", _ACCEPTED)
def domains_are_sent_as_they_stand(original, address):
    original(address)
    return unicodedata.normalize("NFC", address)


@RULES.instead_of(f"{_PACKAGE}.addresses:_checked_email", _ACCEPTED)
def accents_are_sent_as_they_stand(original, address):
    domain = original(address).rpartition("@")[2]
    return address.rpartition("@")[0] + "@" + domain


@RULES.instead_of(f"{_PACKAGE}.addresses:_checked_email", _REFUSED)
def what_is_no_address_is_sent(original, address):
    try:
        return original(address)
    except InvalidValue:
        return address


RULES.value(
    "the library's words quote the address",
    f"{_PACKAGE}.addresses:_without_quotations",
    "str",
    _REFUSED,
)


RULES.value("external ids may have any length", f"{_PACKAGE}.addresses:LONGEST_EXTERNAL_ID", "10**9", _REFUSED)
RULES.value("the text of a float names a contact", f"{_PACKAGE}.addresses:_FLOAT_TEXT", 're.compile("(?!)")', _REFUSED)


@RULES.instead_of(f"{_PACKAGE}.addresses:external_id", _REFUSED)
def external_ids_may_have_decimals(original, value):
    return original(str(value) if isinstance(value, float) and value < 100 else value)


# Phone numbers


@RULES.instead_of(f"{_PACKAGE}.addresses:_unchanged", _ACCEPTED)
def whatever_looks_international_is_left_as_it_is(original, e164):
    return re.compile("")


RULES.value("a phone number may have letters", f"{_PACKAGE}.addresses:_PHONE_TEXT", 're.compile("(?s).*")', _REFUSED)


@RULES.instead_of(f"{_PACKAGE}.addresses:_parsed_phone", _ACCEPTED)
def no_region_helps_a_national_number(original, value, region, calling_code, no_region):
    return original(value, None, None, no_region)


@RULES.instead_of(f"{_PACKAGE}.addresses:_parsed_phone", _REFUSED)
def every_national_number_is_spanish(original, value, region, calling_code, no_region):
    return original(value, region or "ES", calling_code, no_region)


RULES.value("zeros too many stay in a number", f"{_PACKAGE}.addresses:_is_left_alone", "lambda e164: True", _REFUSED)
RULES.value("any length of a number will do", f"{_PACKAGE}.addresses:_IMPOSSIBLE", "{}", _REFUSED)
RULES.value(
    "decimals of a float are digits of a number",
    f"{_PACKAGE}.addresses:without_decimals",
    "lambda text, region: text",
    _ACCEPTED,
    _REFUSED,
)
RULES.value("two numbers are one", f"{_PACKAGE}.addresses:holds_two_numbers", "lambda text, region: False", _REFUSED)
RULES.value(
    "a number and its extension are one", f"{_PACKAGE}.phone_text:_goes_on", "lambda text, region: False", _REFUSED
)
RULES.value("no number is a mobile's", f"{_PACKAGE}.phone_text:_is_mobile", "lambda text, region: False", _REFUSED)
RULES.value(
    "every number is one that its country hands out",
    f"{_PACKAGE}.phone_text:_valid",
    "lambda text, region: text",
    _ACCEPTED,
)
RULES.value(
    "no number is one that its country hands out",
    f"{_PACKAGE}.phone_text:_valid",
    "lambda text, region: None",
    _REFUSED,
)
RULES.value("an area code is a number with decimals", f"{_PACKAGE}.phone_text:_digits", "lambda text: 99", _ACCEPTED)

# Numbers


@RULES.instead_of(f"{_PACKAGE}.numbers:exact_number", _REFUSED)
def true_is_one(original, value):
    return int(value) if isinstance(value, bool) else original(value)


RULES.value("single precision is exact", f"{_PACKAGE}.numbers:single", "float", _REFUSED)
RULES.value("infinity is a number", f"{_PACKAGE}.numbers:_finite", "lambda value: value", _REFUSED)
RULES.value("a float never loses a digit", f"{_PACKAGE}.numbers:certain_number", "exact_number", _REFUSED)


@RULES.instead_of(f"{_PACKAGE}.numbers:shortest_text", _ACCEPTED)
def numbers_are_written_as_python_prints_them(original, value):
    original(value)
    return str(value)


@RULES.instead_of(f"{_PACKAGE}.numbers:numeric_text", _REFUSED)
def numbers_may_be_written_in_any_way(original, value, what):
    return Decimal(value.replace(",", "").replace("_", "") or "0")


@RULES.instead_of(f"{_PACKAGE}.numbers:json_number", _REFUSED, _RULES + "test_accepted")
def numbers_are_doubles(original, number, *, nearest=False):
    return float(number)


@RULES.instead_of(f"{_PACKAGE}.numbers:integer", _REFUSED)
def integers_have_no_bounds(original, minimum=None, maximum=None):
    return original()


@RULES.instead_of(f"{_PACKAGE}.numbers:decimal", _REFUSED)
def decimals_have_no_bounds(original, minimum=None, maximum=None):
    return original()


@RULES.instead_of(f"{_PACKAGE}.numbers:_check_bounds", _REFUSED)
def a_bound_itself_is_beyond_it(original, number, minimum, maximum):
    original(number, None if minimum is None else minimum - 1, None if maximum is None else maximum + 1)


@RULES.instead_of(f"{_PACKAGE}.numbers:boolean", _REFUSED)
def what_is_no_boolean_is_true(original, value):
    try:
        return original(value)
    except InvalidValue:
        return True


RULES.value("no word is a boolean", f"{_PACKAGE}.numbers:_TRUE", "frozenset()", _ACCEPTED)
RULES.value("a byte is no boolean", f"{_PACKAGE}.numbers:_BIT", "{}", _ACCEPTED)
RULES.value(
    "a byte is no boolean where the field is not known", f"{_PACKAGE}.texts:bit", "lambda value: None", _ACCEPTED
)


@RULES.instead_of(f"{_PACKAGE}.numbers:_whole", _REFUSED)
def integers_have_any_size(original, number):
    return int(number)


RULES.value("rounded texts are exact", f"{_PACKAGE}.numbers:_was_rounded", "lambda text, whole: False", _REFUSED)


@RULES.instead_of(f"{_PACKAGE}.numbers:_number_from", _REFUSED)
def what_is_no_number_is_zero(original, value, rule):
    try:
        return original(value, rule)
    except InvalidValue:
        return 0


@RULES.instead_of(f"{_PACKAGE}.numbers:_whole_from", _REFUSED)
def decimals_of_integers_are_cut_off(original, value, rule):
    return int(numeric_text(value, rule) if isinstance(value, str) else certain_number(value))


# Dates


@RULES.instead_of(f"{_PACKAGE}.dates:iso_date", _REFUSED)
def dates_have_no_bounds(original, minimum=None, maximum=None, *, calendar_day=False):
    return original(calendar_day=calendar_day)


@RULES.instead_of(f"{_PACKAGE}.dates:iso_date", _REFUSED)
def a_birthday_has_a_time(original, minimum=None, maximum=None, *, calendar_day=False):
    return original(minimum, maximum)


RULES.value("a definition has no bounds", f"{_PACKAGE}.dates:bound", "lambda text: None", _REFUSED)
RULES.value("bounds are not named", f"{_PACKAGE}.dates:_bound_text", 'lambda moment: ""', _REFUSED)
RULES.value("every moment is midnight", f"{_PACKAGE}.dates:_begins_its_day", "lambda moment: True", _REFUSED, _ACCEPTED)
RULES.value(
    "only midnight begins a day",
    f"{_PACKAGE}.dates:_begins_its_day",
    "lambda moment: moment.time() == time()",
    _ACCEPTED,
)


@RULES.instead_of(f"{_PACKAGE}.dates:_day_or_moment", _REFUSED)
def what_is_no_date_is_one(original, value):
    try:
        return original(value)
    except InvalidValue:
        return date(2000, 1, 1)


@RULES.instead_of(f"{_PACKAGE}.dates:_parsed", _REFUSED)
def texts_are_dates_in_any_form(original, text):
    try:
        return pendulum.parse(text, strict=False)
    except (ParserError, ValueError):
        return original(text)


RULES.value(
    "moments are sent with their own offset", f"{_PACKAGE}.dates:_without_offset", "datetime.isoformat", _ACCEPTED
)
RULES.value("moments are printed by their class", f"{_PACKAGE}.dates:_bare", "lambda moment: moment", _ACCEPTED)
RULES.value(
    "a bound is compared by the day alone",
    f"{_PACKAGE}.dates:_instant",
    "lambda day: datetime.combine(day, time(), UTC)",
    _REFUSED,
)
RULES.value("a bound has no offset", f"{_PACKAGE}.dates:_offset", "lambda moment: timedelta()", _REFUSED)

# Options


@RULES.instead_of(f"{_PACKAGE}.options:radio", _REFUSED)
def whatever_is_chosen_is_an_option(original, options):
    return original(())


@RULES.instead_of(f"{_PACKAGE}.options:checkbox", _REFUSED)
def whatever_is_ticked_is_an_option(original, options):
    return original(())


@RULES.instead_of(f"{_PACKAGE}.options:checkbox", _ACCEPTED)
def options_are_ticked_twice(original, options):
    find = _finder(tuple(options), "must be a list of options from {}")
    return lambda value: [find(item) for item in value] if isinstance(value, list) else original(options)(value)


@RULES.instead_of(f"{_PACKAGE}.options:_finder", _ACCEPTED)
def labels_are_not_known(original, options, rule):
    return original(tuple((option_id, None) for option_id, _ in options), rule)


RULES.value("labels are in one case", f"{_PACKAGE}.options:_folded", "str", _ACCEPTED)
RULES.value("compositions differ", f"{_PACKAGE}.options:_composed", "str", _ACCEPTED)


@RULES.instead_of(f"{_PACKAGE}.options:_split", _ACCEPTED)
def an_option_holds_no_separator(original, text, find):
    return [part for part in text.split("|") if part]


@RULES.instead_of(f"{_PACKAGE}.options:_json_array", _REFUSED)
def what_is_no_json_array_is_empty(original, text):
    try:
        return original(text)
    except InvalidValue:
        return []


@RULES.instead_of(f"{_PACKAGE}.options:_postgres_array", _ACCEPTED)
def items_of_an_array_are_not_quoted(original, text):
    return text.split(",") if text else []


@RULES.instead_of(f"{_PACKAGE}.options:_postgres_array", _REFUSED)
def nothing_in_an_array_is_left_out(original, text):
    return original(text.replace(",NULL", ""))
