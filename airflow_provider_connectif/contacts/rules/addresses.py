"""E-mail addresses, phone numbers and external ids.

Well-formed E.164 and plain ASCII e-mails take a fast path, which gives the same result as the libraries.
"""

from __future__ import annotations

import numbers
import re
import unicodedata
from typing import Any

from airflow_provider_connectif.contacts.rules.base import INVISIBLE, Coercer, InvalidValue, kind, trimmed, valid_text
from airflow_provider_connectif.contacts.rules.numbers import shortest_text
from airflow_provider_connectif.contacts.rules.phone_text import holds_two_numbers, without_decimals

LONGEST_EMAIL = 254  # RFC 5321, 4.5.3.1.3, less the angle brackets
LONGEST_EXTERNAL_ID = 50  # API reference, resource "ContactPatchByEmail"

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_PLAIN_EMAIL = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@(?:{_LABEL}\.)+([A-Za-z]{{2,24}})")
# Top-level domains that the library checks more closely.
_SPECIAL_TOP_LEVEL = frozenset({"arpa", "local", "localhost", "invalid", "onion", "test", "example", "alt", "internal"})

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_LONGEST_PHONE = 100
# Digits between white space, dots, slashes, brackets, hyphens and dashes, also invisible ones.
_PHONE_TEXT = re.compile(r"\+?(?=\D*\d)[\s\d.()/\[\]{}\-\u2010-\u2015\u2212]+")
_NO_COUNTRY = "001"  # the library's name for codes that belong to no country, such as 800
# Whole numbers printed as floats ("17.0"), and large ones printed by spreadsheets and programs ("1.23457E+15").
_FLOAT_TEXT = re.compile(r"[+-]?[0-9]+\.0+|[+-]?[0-9](?:[.,][0-9]+[eE]\+?|[eE]\+)[0-9]{1,3}")

_IMPOSSIBLE = {
    1: "its country code does not exist",
    2: "it is too short for its country",
    3: "it is too long for its country",
    4: "its area code is missing",
    5: "it has a length that its country does not use",
}
"""The fault of a number, by the value of phonenumbers' ``ValidationResult``."""


def email(value: Any) -> str:
    """Return an e-mail address, trimmed; an internationalised domain in its ASCII form. Syntax only, no DNS.

    Accents before the @ are composed (RFC 6532, 3.1): Connectif could treat two compositions as two contacts.
    """
    if not isinstance(value, str):
        raise InvalidValue(f"must be an e-mail address, not {kind(value)}")
    address = value.strip()
    plain = _PLAIN_EMAIL.fullmatch(address) if len(address) <= LONGEST_EMAIL else None
    if plain and "--" not in address and plain.group(1).lower() not in _SPECIAL_TOP_LEVEL:
        return address if type(address) is str else str.__str__(address)
    if "\0" in address:
        raise InvalidValue("must be an e-mail address: it has a NUL character")
    return _checked_email(trimmed(valid_text(address)))


def _checked_email(address: str) -> str:
    if not address:
        raise InvalidValue("must be an e-mail address, but this text is blank")
    if len(address) > LONGEST_EMAIL:
        raise InvalidValue(f"must be an e-mail address: at most {LONGEST_EMAIL} characters")
    from email_validator import EmailSyntaxError, validate_email

    try:
        checked = validate_email(
            address,
            check_deliverability=False,
            globally_deliverable=True,
            test_environment=True,
            allow_quoted_local=True,
        )
    except EmailSyntaxError as fault:
        raise InvalidValue(f"must be an e-mail address: {_without_quotations(str(fault))}") from None
    local, _, domain = address.rpartition("@")
    return f"{unicodedata.normalize('NFC', local)}@{domain if domain.isascii() else checked.ascii_domain}"


def _without_quotations(fault: str) -> str:
    """Return the library's message without the characters of the address that it quotes."""
    words = re.sub(r"['\"‘’“”].*['\"‘’“”]", "***", fault.splitlines()[0])
    return words[:1].lower() + words[1:].rstrip(".")[:90]


def external_id(value: Any) -> str:
    """Return a contact's external id, trimmed, at most 50 characters; whole numbers and UUIDs become their text.

    A text that a float or a spreadsheet has made from a number ("17.0", "1.23457E+15") is refused: it would name
    another contact.
    """
    if not isinstance(value, str):
        text = shortest_text(value)
        if text is None or ("." in text and isinstance(value, numbers.Number)):
            raise InvalidValue(f"must be an external id: text, a whole number or a UUID, not {kind(value)}")
        value = text
    if "\0" in value:
        raise InvalidValue("must be an external id, but has a control character (NUL)")
    identifier = trimmed(valid_text(value))
    if _FLOAT_TEXT.fullmatch(identifier):
        raise InvalidValue(
            "must be an external id, but this text looks like a float, such as 17.0 or 1.2E+15: "
            "take it from a source with all digits"
        )
    if not identifier or identifier in (".", ".."):
        raise InvalidValue("must be an external id, but this text is blank or only dots")
    if len(identifier) > LONGEST_EXTERNAL_ID:
        raise InvalidValue(f"must be an external id: at most {LONGEST_EXTERNAL_ID} characters")
    if not identifier.isprintable():
        raise InvalidValue("must be an external id, but has a control character")
    return identifier


NO_REGION = "must be an international phone number: + and the country code first, or set default_region"


def phone(region: str | None = None, calling_code: str | None = None, no_region: str = NO_REGION) -> Coercer:
    """Return a rule for E.164, from international numbers and, if a region is known, from national ones.

    A number must be possible: its country must use its length. Source of the form: help centre, article
    360014589899 (stored as E.164, always with a leading ``+``).

    :param region: two letters, such as ``ES``, for numbers without a country code.
    :param calling_code: digits of a country code, such as ``34``; if given, it takes precedence over ``region``.
    :param no_region: the reason for refusing a number without a country code if no region is known.
    """
    # Whether an E.164 number is possible depends only on its length and its first digits.
    shapes: dict[tuple[str, int], re.Pattern[str] | None] = {}

    def coerce(value: Any) -> str:
        if not isinstance(value, str):
            raise InvalidValue(f"must be a phone number as text, not {kind(value)}")
        if _E164.fullmatch(value):
            shape = (value[1:5], len(value))
            if shape not in shapes:
                shapes[shape] = _unchanged(value)
            unchanged = shapes[shape]
            if unchanged is not None and unchanged.match(value):
                return value if type(value) is str else str.__str__(value)
        return _parsed_phone(value, region, calling_code, no_region)

    return coerce


def _unchanged(e164: str) -> re.Pattern[str] | None:
    """Return a pattern of the numbers of this length and these first digits that the library leaves unchanged.

    These are the possible numbers whose national part does not begin with the country's prefix.
    """
    import phonenumbers

    code = next(
        (e164[1:end] for end in (2, 3, 4) if int(e164[1:end]) in phonenumbers.COUNTRY_CODE_TO_REGION_CODE), None
    )
    if code is None:
        return None
    number = phonenumbers.PhoneNumber(country_code=int(code), national_number=int(e164[1 + len(code) :]))
    if phonenumbers.is_possible_number_with_reason(number) != phonenumbers.ValidationResult.IS_POSSIBLE:
        return None
    region = phonenumbers.region_code_for_country_code(int(code))
    metadata = phonenumbers.PhoneMetadata.metadata_for_region_or_calling_code(int(code), region)
    prefix = metadata.national_prefix_for_parsing if metadata else None
    leading_zero = "(?!0)"  # an integer would lose the zero; the library handles it
    return re.compile(rf"\+{code}{leading_zero}" + (f"(?!{prefix})" if prefix else ""))


def _parsed_phone(value: str, region: str | None, calling_code: str | None, no_region: str) -> str:
    text = INVISIBLE.sub("", value[: _LONGEST_PHONE + 1]).strip()
    if not value.strip():
        raise InvalidValue("must be a phone number, but this text is blank")
    if len(value) > _LONGEST_PHONE or not _PHONE_TEXT.fullmatch(text):
        raise InvalidValue("must be a phone number: digits, and +, spaces, dots, dashes, slashes or brackets")
    import phonenumbers

    if calling_code and int(calling_code) in phonenumbers.COUNTRY_CODE_TO_REGION_CODE:
        region = phonenumbers.region_code_for_country_code(int(calling_code))
        if region == _NO_COUNTRY and not text.startswith("+"):
            text = f"+{calling_code}{text}"
    if text.startswith("+"):
        return _e164(text, region)
    try:
        return _e164(text, region, no_region)
    except InvalidValue as unfit:
        raise InvalidValue(str(unfit) if region is None else f"{unfit} (region {region})") from None


def _e164(text: str, region: str | None, no_region: str = NO_REGION) -> str:
    import phonenumbers

    text = without_decimals(text, region)
    if region is None and not text.startswith("+"):
        raise InvalidValue(no_region)
    if holds_two_numbers(text, region):
        raise InvalidValue(
            "must be one phone number, but this text goes on after a complete one: split it in the query"
        )
    try:
        number = phonenumbers.parse(text, region, keep_raw_input=True)
    except phonenumbers.NumberParseException:
        raise InvalidValue("must be a phone number: no country uses this number") from None
    dialled = phonenumbers.CountryCodeSource.FROM_NUMBER_WITH_IDD
    if re.sub(r"\D", "", text).startswith("00") and "+" not in text and number.country_code_source != dialled:
        raise InvalidValue(
            "must be a phone number: write + instead of 00, which is not the international prefix of this region"
        )
    reason = phonenumbers.is_possible_number_with_reason(number)
    if reason != phonenumbers.ValidationResult.IS_POSSIBLE:
        raise InvalidValue(f"must be a possible phone number: {_IMPOSSIBLE.get(reason, 'its length is wrong')}")
    e164 = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    if not _E164.fullmatch(e164):
        raise InvalidValue("must be a phone number of 7 to 15 digits (E.164)")
    if not _is_left_alone(e164):
        raise InvalidValue("must be a phone number, but this one has too many zeros after its country code")
    return e164


def _is_left_alone(e164: str) -> bool:
    """Whether the library returns a number unchanged. It removes one trunk prefix at each reading."""
    import phonenumbers

    try:
        number = phonenumbers.parse(e164)
    except phonenumbers.NumberParseException:
        return False
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164) == e164
