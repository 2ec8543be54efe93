"""The contacts of the account, found by e-mail or by external id."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from unicodedata import normalize

from airflow_provider_connectif.sandbox.request_log import utc_timestamp

Contact = dict[str, object]
"""A contact as the API shows it: ``id``, ``_email`` and/or ``_externalId``, system and custom properties."""

_KEY_PROPERTIES = ("_email", "_externalId")


class KeyTakenError(Exception):
    """A request would give a contact the e-mail or external id of another contact. ``key_property``: the property."""

    def __init__(self, key_property: str) -> None:
        super().__init__(key_property)
        self.key_property = key_property


class Account:
    """All contacts in memory, the least recently written first.

    ``defaults``: the properties with which a new contact starts.

    Assumptions: the case of e-mails, and the Unicode composition of their accents, do not matter. Those of external ids
    matter. A contact keeps the spelling of the e-mail that it was created with.
    """

    def __init__(self, defaults: Mapping[str, object]) -> None:
        self._defaults = dict(defaults)
        self._contacts: dict[str, Contact] = {}
        self._ids: dict[tuple[str, str], str] = {}
        self._sent: dict[str, set[str]] = {}
        self._created = 0

    def __len__(self) -> int:
        return len(self._contacts)

    def __iter__(self) -> Iterator[Contact]:
        return iter(self._contacts.values())

    def latest_first(self) -> Iterator[Contact]:
        """Return the contacts, the most recently written first."""
        return reversed(self._contacts.values())

    def find(self, key_property: str, key: str) -> Contact | None:
        """Return the contact that has this ``_email`` or ``_externalId``, or None."""
        contact_id = self._ids.get(_index_key(key_property, key))
        return None if contact_id is None else self._contacts[contact_id]

    def sent(self, contact: Contact) -> frozenset[str]:
        """Return the names of a contact's properties that a client has sent. The sandbox has set the other ones."""
        return frozenset(self._sent[str(contact["id"])])

    def upsert(self, key_property: str, key: str, patch: Mapping[str, object]) -> tuple[Contact, bool]:
        """Set properties of a contact; create the contact if there is none. Return it and whether it was created.

        A property whose value is None is removed. Raises KeyTakenError if another contact has a key that the patch
        sets; then nothing is changed.
        """
        existing = self.find(key_property, key)
        self._refuse_taken_keys(patch, existing)
        contact = self._new_contact(key_property, key) if existing is None else existing
        self._forget_keys(contact)
        contact.update(patch)
        self._sent.setdefault(str(contact["id"]), set()).update(patch)
        for name in [name for name, value in patch.items() if value is None]:
            del contact[name]
        contact["_updatedAt"] = utc_timestamp()
        self._remember(contact)
        return contact, existing is None

    def delete(self, key_property: str, key: str) -> bool:
        """Remove a contact; return whether there was one."""
        contact = self.find(key_property, key)
        if contact is None:
            return False
        self._forget_keys(contact)
        del self._contacts[str(contact["id"])]
        del self._sent[str(contact["id"])]
        return True

    def clear(self) -> None:
        """Remove all contacts."""
        self._contacts.clear()
        self._ids.clear()
        self._sent.clear()

    def _new_contact(self, key_property: str, key: str) -> Contact:
        self._created += 1
        # A contact with an external id counts as known, too, so no contact that is created here is anonymous.
        return {
            "id": f"{self._created:024x}",
            key_property: key,
            "_isAnonymous": False,
            "_createdAt": utc_timestamp(),
            **self._defaults,
        }

    def _refuse_taken_keys(self, patch: Mapping[str, object], existing: Contact | None) -> None:
        for key_property in _KEY_PROPERTIES:
            key = patch.get(key_property)
            owner = self.find(key_property, key) if isinstance(key, str) else None
            if owner is not None and owner is not existing:
                raise KeyTakenError(key_property)

    def _remember(self, contact: Contact) -> None:
        contact_id = str(contact["id"])
        # The contact is removed and added again, so that the dictionary has the order in which contacts were written.
        self._contacts.pop(contact_id, None)
        self._contacts[contact_id] = contact
        for index_key in _index_keys(contact):
            self._ids[index_key] = contact_id

    def _forget_keys(self, contact: Contact) -> None:
        for index_key in _index_keys(contact):
            self._ids.pop(index_key, None)


def _index_key(key_property: str, key: str) -> tuple[str, str]:
    # Lower case can decompose a letter, so it is composed before and after. casefold() would treat ss and ß as equal.
    compose = partial(normalize, "NFC")
    return key_property, compose(compose(key).lower()) if key_property == "_email" else key


def _index_keys(contact: Contact) -> list[tuple[str, str]]:
    return [_index_key(name, str(contact[name])) for name in _KEY_PROPERTIES if name in contact]
