"""From a row to a patch, or to every reason why it cannot be one."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import Any

import pytest

from airflow_provider_connectif.contacts.author_fields import fields_of_author
from airflow_provider_connectif.contacts.fields import READ_ONLY, Field
from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.contacts.mapping_arguments import MappingError
from airflow_provider_connectif.records.rows import InvalidRow


def patch(mapping: ContactMapping, row: Any) -> tuple[str, dict[str, Any]]:
    made = mapping.patch(1, row)
    return made.key, dict(made.properties)


def test_properties_are_read_from_their_columns() -> None:
    mapping = ContactMapping(properties={"_name": "first_name", "tier": "loyalty_tier", "_points": "points"})
    row = {"email": "ana@example.com", "first_name": "Ana", "loyalty_tier": "gold", "points": "12", "other": object()}
    assert patch(mapping, row) == ("ana@example.com", {"_name": "Ana", "tier": "gold", "_points": 12})


def test_without_properties_each_column_is_one() -> None:
    row = {"email": "ana@example.com", "_name": "Ana", "tier": "gold"}
    assert patch(ContactMapping(), row) == ("ana@example.com", {"_name": "Ana", "tier": "gold"})


def test_rows_may_differ_in_their_columns() -> None:
    mapping = ContactMapping()
    assert patch(mapping, {"email": "a@example.com", "_name": "Ana"})[1] == {"_name": "Ana"}
    assert patch(mapping, {"email": "a@example.com", "tier": "gold"})[1] == {"tier": "gold"}


@pytest.mark.parametrize(
    ("nulls", "expected"), [("omit", {"tier": "gold"}), ("clear", {"_name": None, "tier": "gold"})]
)
def test_none_is_left_out_or_sent(nulls: Any, expected: dict[str, Any]) -> None:
    row = {"email": "a@example.com", "_name": None, "tier": "gold"}
    assert patch(ContactMapping(nulls=nulls), row)[1] == expected


@pytest.mark.parametrize(("nulls", "expected"), [("omit", {}), ("clear", {"tags": []})])
def test_an_empty_list_is_left_out_or_sent(nulls: Any, expected: dict[str, Any]) -> None:
    assert patch(ContactMapping(nulls=nulls), {"email": "a@example.com", "tags": []})[1] == expected


@pytest.mark.parametrize("missing", [math.nan, Decimal("NaN"), type("NaTType", (), {})()])
def test_a_missing_value_that_is_no_none_is_called_so(missing: Any) -> None:
    with pytest.raises(InvalidRow, match="is NaN, a missing value: use None"):
        patch(ContactMapping(), {"email": "a@example.com", "visits": missing})


def test_by_external_id_the_e_mail_is_a_property() -> None:
    mapping = ContactMapping(key="external_id", key_column="id", properties={"_email": "mail"})
    assert patch(mapping, {"id": 17, "mail": "ana@example.com"}) == ("17", {"_email": "ana@example.com"})


def test_a_contact_with_nothing_but_its_key_is_a_patch() -> None:
    assert patch(ContactMapping(properties={}), {"email": "a@example.com"}) == ("a@example.com", {})


def test_a_bad_row_names_every_column_and_rule_and_no_value() -> None:
    mapping = ContactMapping(properties={"_mobilePhone": "mobile", "_points": "points", "_name": "first_name"})
    with pytest.raises(InvalidRow) as invalid:
        mapping.patch(7, {"email": "not-an-email", "mobile": "600 123 456", "points": "seven"})
    assert invalid.value.reasons == (
        'column "email" must be an e-mail address: an email address must have an @-sign',
        'column "mobile" (_mobilePhone) must be an international phone number: + and the country code first, '
        "or set default_region",
        'column "points" (_points) must be a whole number without commas, blanks or units, but this text is not one',
        'column "first_name" (_name) is missing',
    )
    assert not any(value in str(invalid.value) for value in ("not-an-email", "600", "seven"))


@pytest.mark.parametrize("error", [RuntimeError, NotImplementedError, AttributeError, OverflowError, RecursionError])
def test_a_value_whose_class_raises_makes_its_row_invalid(error: type[Exception]) -> None:
    class Broken(Decimal):
        def is_finite(self) -> bool:
            raise error("secret")

    mapping = ContactMapping(properties={"_points": "p"})
    with pytest.raises(InvalidRow) as invalid:
        mapping.patch(1, {"email": "a@example.com", "p": Broken(1)})
    assert invalid.value.reasons == (
        f'column "p" (_points) cannot be read: a Broken raises {error.__name__}. Cast it to text, a number or a date',
    )
    with pytest.raises(InvalidRow, match='column "email" must be'):
        mapping.patch(1, {"email": Broken(1), "p": 1})
    assert ContactMapping("external_id").key_of({"external_id": Broken(1)}) is None


@pytest.mark.parametrize("kind", ["radio", "checkbox"])
@pytest.mark.parametrize(
    ("option", "named"),
    [
        ("\ud83d", " "),
        ("a\0b", "a b"),
        ("gold\n2026-11-28 ERROR", "gold 2026-11-28 ERROR"),
        ("\u202egold", " gold"),
        ("x" * 41, f"{'x' * 37}..."),
        ("x" * 40, "x" * 40),
    ],
)
def test_reasons_can_be_printed_and_are_short_whatever_the_options_are(kind: str, option: str, named: str) -> None:
    mapping = ContactMapping(definitions=[Field.from_api({"id": "tier", "type": kind, "options": [{"id": option}]})])
    with pytest.raises(InvalidRow) as invalid:
        mapping.patch(1, {"email": "a@example.com", "tier": "silver"})
    (reason,) = invalid.value.reasons
    assert reason.endswith(named)
    assert reason == str(invalid.value)
    assert reason.isprintable()


@pytest.mark.parametrize(
    "column",
    ["ana.luna@example.com", "Ana @ example.com", "ana%40example.com", "+34 600 123 456", "12345", "600.123.456"],
)
@pytest.mark.parametrize("definitions", [None, []])
def test_a_column_that_names_a_person_is_not_quoted(column: str, definitions: list[Field] | None) -> None:
    mapping = ContactMapping(definitions=definitions)
    with pytest.raises(MappingError, match="name is like an e-mail address or a phone number: each row") as fault:
        mapping.check([column, column, "email"])
    assert column not in str(fault.value)
    with pytest.raises(InvalidRow) as invalid:
        mapping.patch(1, {"email": "a@example.com", column: {}, f"{column}1": {}})
    assert len(invalid.value.reasons) == 1
    assert column not in str(invalid.value)
    with pytest.raises(MappingError) as missing:
        ContactMapping(key_column=f"{column[:-1]}x", properties={}).check([column])
    assert column not in str(missing.value)


@pytest.mark.parametrize("column", ["address2024", "a1234", "points_12345", "1234", "b-12345"])
def test_a_column_with_digits_names_nobody(column: str) -> None:
    assert patch(ContactMapping(), {"email": "a@example.com", column: "x"}) == ("a@example.com", {column: "x"})


def test_a_row_is_never_invalid_without_a_reason() -> None:
    class Once(float):
        """Not a number the first time, and one from then on."""

        asked = 0

        def __float__(self) -> float:
            self.asked += 1
            return math.nan if self.asked == 1 else 7.5

    with pytest.raises(InvalidRow, match="cannot be read the same way twice"):
        ContactMapping(properties={"_name": "n"}).patch(1, {"email": "a@example.com", "n": Once()})


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({}, 'column "email" is missing, and it is the contact key'),
        ({"email": None}, 'column "email" is empty, and it is the contact key'),
        ({"email": "a@example.com", "_nmae": "x"}, 'column "_nmae" is no property of Connectif\'s'),
        ({"email": "a@example.com", "_createdAt": "x"}, 'column "_createdAt" is read-only'),
        ({"email": "a@example.com", 7: "x"}, "a column's name is not text"),
        (("a@example.com", "Ana"), "the row must be a mapping of columns to values, not a tuple"),
        (None, "the row must be a mapping"),
    ],
)
def test_a_row_that_no_mapping_fits(row: Any, reason: str) -> None:
    with pytest.raises(InvalidRow) as invalid:
        ContactMapping().patch(1, row)
    assert reason in str(invalid.value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"properties": {"_email": "mail"}}, "_email is the contact key here"),
        ({"properties": {"_externalId": "id"}}, "_externalId cannot be set in a patch by e-mail"),
        ({"key": "external_id", "properties": {"_externalId": "id"}}, "_externalId is the contact key here"),
        ({"properties": {"_surnme": "s"}}, r'_surnme is no property .* \(did you mean "_surname"\?\)'),
        ({"properties": {"_surnme": "s", "_clv": "c"}}, "_surnme .*; _clv is read-only"),
        ({"properties": {"_name": 7}}, "must both be text"),
        ({"properties": ["_name"]}, "must be a dict"),
        ({"key": "phone"}, "key must be one of email, external_id"),
        ({"nulls": "keep"}, "nulls must be one of omit, clear"),
    ],
)
def test_a_mapping_that_cannot_work_is_refused_at_once(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(MappingError, match=words):
        ContactMapping(**arguments).check()


@pytest.mark.parametrize("property_id", sorted(READ_ONLY))
def test_read_only_properties_are_refused(property_id: str) -> None:
    """API document, 3.3."""
    with pytest.raises(MappingError, match="read-only"):
        ContactMapping(properties={property_id: "column"}).check()


@pytest.mark.parametrize(
    ("mapping", "columns", "words"),
    [
        (
            ContactMapping(properties={"_name": "name"}),
            ["EMAIL", "NAME"],
            r'no column "email" \(did you mean "EMAIL"\?\), "name" ',
        ),
        (ContactMapping(properties={"_name": "name"}), ["email", "name", "name"], 'column "name" is 2 times'),
        (ContactMapping(), ["email", "_nmae", "id"], r'"_nmae" is no property.*"_name".*; column "id" is read-only'),
    ],
)
def test_columns_are_checked_before_the_first_row(mapping: ContactMapping, columns: list[str], words: str) -> None:
    with pytest.raises(MappingError, match=words):
        mapping.check(columns)


def test_columns_are_named_once_and_within_bounds() -> None:
    properties = {f"field_{n}": f"wanted_{n}" for n in range(12)}
    columns = ["email", "a\nb", "x" * 151, 7, "ana@example.com", *(f"{letter}" * 9 for letter in "abcdefghij")]
    with pytest.raises(MappingError) as fault:
        ContactMapping(properties=properties).check(columns)
    _, wanted, there = str(fault.value).split(": ")
    assert wanted.endswith('"wanted_6", "wanted_7" and 4 more; it has')
    assert there.startswith("email, aaaaaaaaa, ")
    assert there.endswith("ggggggggg and 3 more")


def test_a_column_that_nobody_uses_may_stand_twice() -> None:
    ContactMapping(properties={"_name": "name"}).check(["email", "name", "id", "id"])


TIER = {"id": "tier", "type": "radio", "custom": True, "options": [{"id": "gold", "label": "Gold"}]}
CATALOGUE = [
    TIER,
    {"id": "city", "type": "text", "custom": True, "maxLength": 5},
    {"id": "score", "type": "decimal", "custom": True, "readOnly": True},
    {"id": "vip", "type": "boolean", "custom": True, "required": True},
    {"id": "_name", "type": "text", "maxLength": 3},
    {"id": "_emailStatus", "type": "radio"},
    {"id": "new", "type": "hologram"},
]
LIVE = [Field.from_api(definition) for definition in CATALOGUE]


def test_with_definitions_custom_fields_are_typed() -> None:
    mapping = ContactMapping(properties={"tier": "t", "new": "n", "_emailStatus": "s"}).with_definitions(LIVE)
    row = {"email": "a@example.com", "t": "GOLD", "n": 7, "s": "active"}
    assert patch(mapping, row)[1] == {"tier": "gold", "new": 7, "_emailStatus": "active"}
    with pytest.raises(InvalidRow, match=r"must be one of gold"):
        mapping.patch(1, {**row, "t": "lead"})


def test_the_accounts_limits_hold_for_system_fields_too() -> None:
    mapping = ContactMapping(properties={"_name": "n"}, definitions=LIVE)
    with pytest.raises(InvalidRow, match="at most 3 characters"):
        mapping.patch(1, {"email": "a@example.com", "n": "Anna"})


def test_with_definitions_all_faults_are_one_message() -> None:
    properties = {"citty": "city", "score": "score", "_surnme": "last", "vip": "missing", "tier": "tier"}
    with pytest.raises(MappingError) as fault:
        ContactMapping(properties=properties).with_definitions(LIVE).check(["email", "city", "score", "last", "tier"])
    for words in (
        'citty is not a field of this account (did you mean "city"?)',
        "score is read-only",
        "_surnme is no property of Connectif's",
        '(did you mean "_surname"?)',
        'the source has no column "missing"; it has: email, city, score, last, tier',
    ):
        assert words in str(fault.value)


@pytest.mark.parametrize(
    ("properties", "needed"),
    [
        ({"_name": "n"}, False),
        ({"_name": "n", "tier": "t"}, True),
        ({"_mobilePhone": "m"}, True),  # the account may have a country code for national numbers
        (None, True),
        ({}, False),
    ],
)
def test_definitions_are_needed_for_custom_fields_only(properties: Any, needed: bool) -> None:
    assert ContactMapping(properties=properties).needs_definitions is needed


def test_null_is_never_sent_to_a_field_that_always_holds_a_value() -> None:
    """API document, 7 and 10: boolean and checkbox fields are always required."""
    mapping = ContactMapping(properties={"vip": "v", "city": "c"}, nulls="clear", definitions=LIVE)
    assert patch(mapping, {"email": "a@example.com", "v": None, "c": None})[1] == {"city": None}


@pytest.mark.parametrize("region", ["es", "XX", "Spain", ""])
def test_a_region_that_is_none_is_refused(region: str) -> None:
    with pytest.raises(MappingError, match="default_region"):
        ContactMapping(default_region=region)


@pytest.mark.parametrize(
    ("fields", "words"),
    [({"a": "texts"}, "'a' needs a type, one of"), ({"a": {"maxLength": 5}}, "'a' needs"), ({7: "text"}, "7 is no")],
)
def test_definitions_of_an_author_are_checked(fields: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        fields_of_author(fields)


def test_definitions_of_an_author_may_be_short() -> None:
    short, long = fields_of_author({"city": "text", "tier": {"type": "radio", "options": ["gold"]}})
    assert (short.type, long.options) == ("text", (("gold", None),))


def test_a_patch_is_json() -> None:
    row = {"email": "a@example.com", "n": 1.5, "l": {"b", "a"}, "t": "🎉"}
    assert json.dumps(patch(ContactMapping(), row)[1], allow_nan=False)


# The country of a row's phone numbers

ABROAD = {"_mobilePhone": "mobile", "_name": "name"}
NO_COUNTRY = 'column "mobile" (_mobilePhone) must begin with + and the country code, since column "country" has no'


def abroad(**arguments: Any) -> ContactMapping:
    return ContactMapping(properties=ABROAD, region_column="country", **arguments)


def phone_of(mapping: ContactMapping, mobile: str, country: Any) -> Any:
    row = {"email": "ana@example.com", "mobile": mobile, "name": "Ana", "country": country}
    return patch(mapping, row)[1]["_mobilePhone"]


@pytest.mark.parametrize(
    ("mobile", "country", "expected"),
    [
        ("600 123 456", "ES", "+34600123456"),
        ("06 12 34 56 78", "FR", "+33612345678"),
        ("0151 23456789", " de ", "+4915123456789"),
        ("600 123 456", None, "+34600123456"),  # default_region
        ("600 123 456", "  ", "+34600123456"),
        ("+33 6 12 34 56 78", "ES", "+33612345678"),
        ("+33 6 12 34 56 78", "Atlantis", "+33612345678"),  # nothing needs the country
        ("+33 6 12 34 56 78", 17, "+33612345678"),
    ],
)
def test_a_row_has_a_country_for_its_phone_numbers(mobile: str, country: Any, expected: str) -> None:
    assert phone_of(abroad(default_region="ES"), mobile, country) == expected


@pytest.mark.parametrize("country", ["Spain", "XX", "UK", "esp", 34, True])
def test_a_country_that_is_none_makes_a_national_number_invalid(country: Any) -> None:
    with pytest.raises(InvalidRow) as invalid:
        phone_of(abroad(default_region="ES"), "600 123 456", country)
    (reason,) = invalid.value.reasons
    assert reason.startswith(NO_COUNTRY)
    assert repr(country) not in reason


def test_without_any_country_a_national_number_is_invalid_as_before() -> None:
    with pytest.raises(InvalidRow, match=r"or set default_region$"):
        phone_of(abroad(), "600 123 456", None)


def test_a_number_that_its_country_does_not_have_names_the_region() -> None:
    mapping = abroad(default_region="ES")
    with pytest.raises(InvalidRow, match=r"possible phone number: .* \(region FR\)$"):
        phone_of(mapping, "600 12", "FR")
    with pytest.raises(InvalidRow, match=r"possible phone number: .* \(region ES\)$"):
        phone_of(mapping, "600 12", None)
    with pytest.raises(InvalidRow, match=r"possible phone number: [^(]*$"):
        phone_of(mapping, "+34 600 12", "FR")


def test_the_country_of_a_row_wins_over_the_one_of_a_field() -> None:
    fields = [Field("second_phone", "phone", calling_code="34", custom=True)]
    mapping = ContactMapping(properties={"second_phone": "mobile"}, region_column="country", definitions=fields)
    row = {"email": "ana@example.com", "mobile": "06 12 34 56 78"}
    assert patch(mapping, row | {"country": "FR"})[1] == {"second_phone": "+33612345678"}
    row["mobile"] = "600 123 456"
    assert patch(mapping, row | {"country": None})[1] == {"second_phone": "+34600123456"}


def test_the_country_is_no_property_unless_it_is_named_as_one() -> None:
    row = {"email": "ana@example.com", "_mobilePhone": "600 123 456", "country": "ES"}
    assert patch(ContactMapping(region_column="country"), row)[1] == {"_mobilePhone": "+34600123456"}
    named = ContactMapping(properties={"_mobilePhone": "_mobilePhone", "land": "country"}, region_column="country")
    assert patch(named, row)[1] == {"_mobilePhone": "+34600123456", "land": "ES"}


def test_a_region_column_must_be_there() -> None:
    with pytest.raises(MappingError, match='no column "country"; it has: email, mobile, name'):
        abroad().check(["email", "mobile", "name"])


def test_the_country_is_in_the_digest_of_a_row_and_its_column_in_the_definition() -> None:
    without = ContactMapping(properties=ABROAD, default_region="ES")
    with_it = abroad(default_region="ES")
    assert with_it.columns == ("email", "mobile", "name", "country")
    assert with_it.definition == ("region", "country", *without.definition)  # journals of before stay good
    assert with_it.with_definitions([Field("_name", "text")]).definition[:2] == ("region", "country")
