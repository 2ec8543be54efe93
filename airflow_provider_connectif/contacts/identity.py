"""When two contact keys name the same contact: one rule for delivery, journal, imports and duplicates."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from airflow_provider_connectif.contacts.fields import KeyKind
from airflow_provider_connectif.records.changes import Patch
from airflow_provider_connectif.records.people import PersonKey


def same_contact(kind: KeyKind, key: str) -> str:
    """One form for all spellings of a contact key.

    Whether Connectif ignores the case of an e-mail is not documented. Two rows that differ only in case, or in how
    accents are composed, are taken for one contact: sending both in any order could leave the older value. Nothing else
    is folded: ``groß@…`` and ``gross@…`` are two people. External ids are compared exactly.

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
    """The form of an e-mail under the rule of the first journals, which took ``groß@…`` and ``gross@…`` for one."""
    return key.lower() if key.isascii() else unicodedata.normalize("NFC", key).casefold()


def may_be_folded(same: str) -> bool:
    """Whether another contact's e-mail may have had this form under :func:`folded`.

    Of forms in ASCII those with ``ss`` count, which folding made of ``ß``. Others could come from letters that only
    old prints have (the long s, ligatures): these count where such an address is met, since every second address has
    an s in it.

    :param same: of :func:`same_contact`.
    """
    return not same.isascii() or "ss" in same.rpartition("@")[0]


KEY_KINDS: Mapping[str, KeyKind] = {"_email": "email", "_externalId": "external_id"}
"""The kinds of contact keys by the properties that hold them."""


def person(kind: KeyKind, key: str) -> PersonKey:
    """A contact key as the suppression list knows it.

    :param key: a valid key, in any spelling.
    """
    return PersonKey(kind, same_contact(kind, key))


def people_in(properties: Mapping[str, Any], names: Iterable[str] = KEY_KINDS) -> list[PersonKey]:
    """The contact keys among properties."""
    return [person(KEY_KINDS[name], value) for name in names if isinstance(value := properties.get(name), str)]


def people_of(kind: KeyKind, change: Patch) -> list[PersonKey]:
    """Whom a change is about: by its key, and by the other key where that is among its properties."""
    return [person(kind, change.key), *people_in(change.whole)]


FORMS: Mapping[str, Callable[[str], str]] = {kind: partial(same_contact, kind) for kind in KEY_KINDS.values()}
"""One form for all spellings of a key, by its kind."""
