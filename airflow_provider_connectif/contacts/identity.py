"""The identity of contacts: one rule for delivery, journal, imports and duplicates on when two keys are the same."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from airflow_provider_connectif.contacts.fields import KeyKind
from airflow_provider_connectif.records.changes import Patch
from airflow_provider_connectif.records.people import PersonKey


def same_contact(kind: KeyKind, key: str) -> str:
    """Return one form for all spellings of a contact key.

    It is not documented whether Connectif ignores the case of an e-mail address. Two rows that differ only in case, or
    in the composition of accents, count as one contact: sending both in any order could leave the older value. Nothing
    else is folded: ``groß@…`` and ``gross@…`` are two people. External ids are compared exactly.

    :param kind: ``email`` or ``external_id``.
    :param key: a valid key.
    """
    if kind != "email":
        return key
    if key.isascii():
        return key.lower()
    # Lower case can decompose a letter (İ), so it is composed again.
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", key).lower())


def folded(key: str) -> str:
    """Return the form of an e-mail address under the rule of the first journals, where ``groß@…`` and ``gross@…`` were
    the same.
    """
    return key.lower() if key.isascii() else unicodedata.normalize("NFC", key).casefold()


def may_be_folded(same: str) -> bool:
    """Whether another contact's e-mail address may have had this form under :func:`folded`.

    Of ASCII forms, those with ``ss`` count, since folding turned ``ß`` into it. Other forms could come from rare
    letters (the long s, ligatures): these count only if such an address occurs, since every second address has an s.

    :param same: the result of :func:`same_contact`.
    """
    return not same.isascii() or "ss" in same.rpartition("@")[0]


KEY_KINDS: Mapping[str, KeyKind] = {"_email": "email", "_externalId": "external_id"}
"""The kinds of contact keys by the properties that hold them."""


def person(kind: KeyKind, key: str) -> PersonKey:
    """Return a contact key in the form of the suppression list.

    :param key: a valid key, in any spelling.
    """
    return PersonKey(kind, same_contact(kind, key))


def keys_in(properties: Mapping[str, Any]) -> dict[str, str]:
    """Return the contact keys among properties, by property."""
    return {name: value for name in KEY_KINDS if isinstance(value := properties.get(name), str)}


def people_in(properties: Mapping[str, Any], names: Iterable[str] = KEY_KINDS) -> list[PersonKey]:
    """Return the contact keys among properties."""
    return [person(KEY_KINDS[name], value) for name in names if isinstance(value := properties.get(name), str)]


def people_of(kind: KeyKind, change: Patch) -> list[PersonKey]:
    """Return the keys of a change's person: its key, and the other key if its row has one."""
    return [person(kind, change.key), *people_beside_key(change)]


def people_beside_key(change: Patch) -> list[PersonKey]:
    """Return the people whom a change names besides its key, also in columns of its row that are not sent."""
    return people_in(change.naming)


FORMS: Mapping[str, Callable[[str], str]] = {kind: partial(same_contact, kind) for kind in KEY_KINDS.values()}
"""One form for all spellings of a key, by its kind."""
