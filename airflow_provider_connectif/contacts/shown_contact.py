"""Checks which contact a response shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_connectif.contacts.fields import KeyKind
from airflow_provider_connectif.contacts.identity import same_contact

_KEY_PROPERTIES: dict[KeyKind, str] = {"email": "_email", "external_id": "_externalId"}


def shows_another_contact(body: Any, kind: KeyKind, key: str) -> bool:
    """Whether the body of a response is a contact with another key than the one that was sent.

    A body without the key counts as the right contact.
    """
    shown = body.get(_KEY_PROPERTIES[kind]) if isinstance(body, Mapping) else None
    if isinstance(shown, int) and not isinstance(shown, bool):
        shown = str(shown)  # a response may show an external id that has only digits as a number
    if not isinstance(shown, str) or not shown:
        return False
    return same_contact(kind, shown.strip()) != same_contact(kind, key.strip())
