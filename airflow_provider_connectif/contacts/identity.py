"""The identity of contacts: one rule decides for delivery, journal and imports whether two keys are the same."""

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
    """Return an e-mail address in the form that the first versions of the journal used as a key.

    In that form ``groß@…`` and ``gross@…`` are the same.
    """
    return key.lower() if key.isascii() else unicodedata.normalize("NFC", key).casefold()


def may_be_folded(same: str) -> bool:
    """Whether :func:`folded` may have given another contact's e-mail address this form.

    A form in ASCII counts if it has ``ss`` before the @, since folding turned ``ß`` into ``ss``. Folding also turned
    rare letters (the long s, ligatures) into ASCII letters. This is not considered here, since every second address has
    an s: the resource watches for such addresses in the source.

    :param same: the result of :func:`same_contact`.
    """
    return not same.isascii() or "ss" in same.rpartition("@")[0]


KEY_KINDS: Mapping[str, KeyKind] = {"_email": "email", "_externalId": "external_id"}
"""The kind of a contact key, by the id of the property that holds it."""


def person(kind: KeyKind, key: str) -> PersonKey:
    """Return a contact key in the form of the suppression list.

    :param key: a valid key, in any spelling.
    """
    return PersonKey(kind, same_contact(kind, key))


def keys_in(properties: Mapping[str, Any]) -> dict[str, str]:
    """Return the values of those properties that are contact keys, by property id."""
    return {name: value for name in KEY_KINDS if isinstance(value := properties.get(name), str)}


def people_in(properties: Mapping[str, Any], names: Iterable[str] = KEY_KINDS) -> list[PersonKey]:
    """Return the values of those properties that are contact keys, in the form of the suppression list.

    :param names: ids of the properties to read.
    """
    return [person(KEY_KINDS[name], value) for name in names if isinstance(value := properties.get(name), str)]


def people_of(kind: KeyKind, change: Patch) -> list[PersonKey]:
    """Return the keys of the change's person: the change's own key, and the other key if its row has one."""
    return [person(kind, change.key), *people_beside_key(change)]


def people_beside_key(change: Patch) -> list[PersonKey]:
    """Return the people whom a change names in its properties, beside its own key, also in those that are not sent."""
    return people_in(change.naming)


FORMS: Mapping[str, Callable[[str], str]] = {kind: partial(same_contact, kind) for kind in KEY_KINDS.values()}
"""The function that returns one form for all spellings of a key, by the kind of key."""
