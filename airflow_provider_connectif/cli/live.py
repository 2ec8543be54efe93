"""Reads a contact from Connectif, and compares it with the query's row or with the journal."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from typing import Any, NamedTuple

from airflow_provider_connectif.api.credentials import DEFAULT_BASE_URL
from airflow_provider_connectif.api.errors import ConnectifError, ForbiddenError
from airflow_provider_connectif.cli.fields import read_fields
from airflow_provider_connectif.cli.running import CommandFailed, describe
from airflow_provider_connectif.contacts.fields import FieldTable, KeyKind
from airflow_provider_connectif.contacts.live_comparison import compare_with_digest, compare_with_row
from airflow_provider_connectif.contacts.shown_contact import shows_another_contact
from airflow_provider_connectif.hooks.connectif import ConnectifHook
from airflow_provider_connectif.hooks.connection_lookup import connection_named_by
from airflow_provider_connectif.journal.contact_question import ContactQuestion
from airflow_provider_connectif.journal.digests import digest_salt
from airflow_provider_connectif.journal.properties import PropertyDigester, value_digest
from airflow_provider_connectif.records.changes import JsonValue

_WAYS = ("", "import:keep", "import:fill_empty")
_MODES = (None, "on_create", "if_empty")


class LiveContact(NamedTuple):
    """The result of looking up a contact at Connectif.

    ``contact``: values by property id; ``None``: Connectif has no such contact. ``fields``: the account's fields.
    """

    contact: Mapping[str, Any] | None
    fields: FieldTable
    base_url: str = DEFAULT_BASE_URL

    @property
    def words(self) -> str:
        """The result in words, for a person."""
        return f"{'There is no such contact' if self.contact is None else 'The contact is there'}, at {self.base_url}."


def live_contact(conn_id: str, kind: KeyKind, key: str) -> LiveContact:
    """Read a contact from Connectif, and the account's fields.

    :param conn_id: the id of the connection to Connectif.
    :param kind: the kind of contact key.
    :param key: the contact's key in the form for requests.
    :raises CommandFailed: Connectif does not show the contact.
    """
    with connection_named_by("--connectif-conn-id", conn_id):
        client = ConnectifHook(conn_id).get_conn(connections=1)
    with closing(client):
        words = ""
        try:
            shown = client.get_contact(key) if kind == "email" else client.get_contact_by_external_id(key)
        except ForbiddenError:
            words = (
                'Connectif responded with 403: the API key does not have the scope "Contacts: Read", '
                "or the account is blocked"
            )
        except ConnectifError as failure:
            words = describe(failure)
        if words:
            raise CommandFailed(f"--live: {words}")
        if shows_another_contact(shown, kind, key):
            raise CommandFailed("--live: the response shows another contact")
        try:
            definitions = read_fields(client.list_contact_fields())
        except ConnectifError:  # such as a key that may not read fields: then values are compared by their own types
            definitions = None
        return LiveContact(shown, FieldTable(kind, definitions), client.base_url)


def with_live(
    lines: dict[str, dict[str, Any]],
    live: LiveContact,
    row: Mapping[str, JsonValue] | None,
    question: ContactQuestion,
    contact: str,
) -> None:
    """Add to each property's line whether Connectif's value equals the row's value.

    If the row does not have the property, Connectif's value is compared with the journal's digest.

    :param lines: the lines by property id.
    :param row: the query's row of the contact; ``None``: there is none.
    :param question: has the journal's digests.
    :param contact: the contact's key, in the form that is the same for all its spellings.
    """
    shown = live.contact or {}
    of_row = compare_with_row(row or {}, shown, live.fields)
    salts = [digest_salt(live.base_url, way) for way in _WAYS]
    for name, line in lines.items():
        if name in of_row:
            line["connectif"] = of_row[name].value
        elif line["digest"] is None:
            line["connectif"] = "not compared"
        else:
            accepted = _Accepted(question, contact, name, salts)
            line["connectif"] = compare_with_digest(name, shown, live.fields, accepted).value


class _Accepted:
    """Checks whether a value equals the one that the journal has as accepted.

    A digest depends on the way of delivery and on the write mode. So the value is compared with each of them.
    """

    def __init__(self, question: ContactQuestion, contact: str, property_id: str, salts: list[str]) -> None:
        secret = question.key_secret
        self._contact = contact
        self._property_id = property_id
        self._digest = value_digest(question.column, property_id)
        self._digesters = [
            PropertyDigester(
                salt if secret is None else f"{salt}\n{secret.hex()}", {} if mode is None else {property_id: mode}
            )
            for salt in salts
            for mode in _MODES
        ]

    def __call__(self, value: JsonValue) -> bool:
        entries = (digester.entries(self._contact, {self._property_id: value})[0] for digester in self._digesters)
        return any(value_digest(entry, self._property_id) == self._digest for entry in entries)
