"""Contacts as the resource of a sync: the first one, and the only place that brings the parts of a contact together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from airflow_provider_connectif.api.errors import MalformedAnswerError
from airflow_provider_connectif.api.transport import CREATED, Answer
from airflow_provider_connectif.contacts.consent import RANKS, merged, withdraws
from airflow_provider_connectif.contacts.fields import Field
from airflow_provider_connectif.contacts.identity import folded, may_be_folded
from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.contacts.shown_contact import shows_another_contact
from airflow_provider_connectif.contacts.shown_values import Difference
from airflow_provider_connectif.contacts.stored import compare
from airflow_provider_connectif.records.changes import JsonValue, Patch
from airflow_provider_connectif.records.outcomes import Shown
from airflow_provider_connectif.records.protocols import Client
from airflow_provider_connectif.records.resource import Resource
from airflow_provider_connectif.records.rows import Row

CONSENT_WARNING = (
    "Changed consents are sent: a person who unsubscribed at Connectif may be subscribed again\n"
    "  Properties: {}. Copy unsubscriptions into the source before each run, or leave these properties out"
)


class ContactResource(Resource):
    """Contacts, written by ``PATCH /contacts/{key}``.

    :param mapping: how columns become properties.
    """

    noun = "contact"
    scope = "Contacts: Write"
    is_idempotent = True
    takes_parts = True
    rules_version = ContactMapping.rules_version
    definitions_scope = "Contact fields: Read"
    without_definitions = "custom fields are not checked before sending, their values are sent by their own type"

    def __init__(self, mapping: ContactMapping) -> None:
        self.mapping = mapping
        self.key_column = mapping.key_column
        self._former_keys: set[str] = set()
        """What addresses that were met had for a key when keys were folded, where it is another contact's now."""

    @property
    def columns(self) -> Sequence[str] | None:
        """The key's and those of the mapping; ``None`` where every column is a property."""
        return self.mapping.columns

    @property
    def definition(self) -> tuple[object, ...]:
        """The mapping, and the definitions of the fields that it uses."""
        return self.mapping.definition

    def describe(self) -> str:
        """The mapping in one line, for the log."""
        return self.mapping.describe()

    def check(self, columns: Sequence[Any] | None = None) -> None:
        """Check the mapping: :meth:`ContactMapping.check`."""
        self.mapping.check(columns)

    def key_of(self, row: Row) -> str | None:
        """A row's e-mail or external id, in one form for all its spellings."""
        key = self.mapping.key_of(row)
        if key is None:
            return None
        same = self.same_key(key)
        if not same.isascii() and (former := folded(key)).isascii():
            self._former_keys.add(former)
        return same

    def prepare(self, number: int, row: Row) -> Patch:
        """Map and check a row: :meth:`ContactMapping.patch`."""
        return self.mapping.patch(number, row)

    def send(self, client: Client, change: Patch, *, on_fresh_connection: bool = False) -> Answer:
        """``PATCH`` the contact."""
        kind = self.mapping.key
        patch_contact = client.patch_contact if kind == "email" else client.patch_contact_by_external_id
        return patch_contact(
            change.key,
            change.properties,
            is_own=lambda body: not shows_another_contact(body, kind, change.key),
            on_fresh_connection=on_fresh_connection,
        )

    def same_key(self, key: str) -> str:
        """One form for all spellings of a key: :func:`airflow_provider_connectif.contacts.identity.same_contact`."""
        return self.mapping.same_contact(key)

    def keys_at_a_glance(self, values: Sequence[Any]) -> list[str | None]:
        """Keys in the form of the journal, by their looks alone."""
        is_email = self.mapping.key == "email"
        # Whatever it is, it goes into a query: nothing that cannot be printed, and no NUL, which PostgreSQL refuses.
        return [
            (value.lower() if is_email else value)
            if type(value) is str and value.isprintable() and (value.isascii() or not is_email)
            else None
            for value in values
        ]

    def is_of_another_before(self, key: str) -> bool:
        """Whether another contact can have had this key while keys were folded."""
        return self.mapping.key == "email" and (may_be_folded(key) or key in self._former_keys)

    def merged(self, earlier: Mapping[str, JsonValue], later: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        """Later values win, but a consent keeps its lowest rank."""
        return merged(earlier, later)

    def is_urgent(self, properties: Mapping[str, JsonValue]) -> bool:
        """Whether a consent is withdrawn: a person must not wait for that."""
        return withdraws(properties)

    def shown_by(self, change: Patch, response: Answer) -> Shown | None:
        """Compare the contact of the response with what was sent: :mod:`airflow_provider_connectif.contacts.stored`."""
        sent = compare(change.properties, response.body, self.mapping.fields)
        accepted = compare(change.others, response.body, self.mapping.fields).differences.values()
        is_drifted = any(difference is not Difference.MISSING for difference in accepted)
        return Shown(sent.shows_contact, sent.differences, is_drifted)

    def follow_up(self, change: Patch, response: Answer) -> Patch | None:
        """The rest of a contact that was deleted at Connectif, which a part of its properties has created again.

        Without its consents: nobody knows why it was deleted. They are sent when their values in the source change.
        """
        if response.status != CREATED or change.is_new:
            return None
        rest = {key: value for key, value in change.others.items() if key not in RANKS}
        kept = {key: value for key, value in change.others.items() if key in RANKS}
        # Of the change only once: what was sent, and what stays out, is not sent again.
        return change._replace(properties=rest, others={**kept, **change.properties}, is_new=True) if rest else None

    def column_of(self, property_id: str) -> str | None:
        """The column that a property is read from, if the mapping names one."""
        return self.mapping.column_of(property_id)

    def warning_about(self, columns: Iterable[Any]) -> str | None:
        """Say what a change of another column does to who has unsubscribed."""
        consent = [column for column in columns if column in RANKS]
        return CONSENT_WARNING.format(", ".join(consent)) if consent else None

    @property
    def written_columns(self) -> Sequence[str] | None:
        """The properties of the mapping."""
        return None if self.mapping.properties is None else list(self.mapping.properties)

    @property
    def needs_definitions(self) -> bool:
        """Whether the account's fields decide: on custom fields, and on phone numbers without a country code."""
        return self.mapping.needs_definitions

    def with_definitions(self, client: Client) -> ContactResource:
        """The same mapping, checked against the account's fields."""
        return ContactResource(self.mapping.with_definitions(_fields(client.list_contact_fields())))


def _fields(definitions: Sequence[Mapping[str, Any]]) -> list[Field]:
    fields = []
    for definition in definitions:
        try:
            fields.append(Field.from_api(definition))
        except (ValueError, TypeError, ArithmeticError, RecursionError) as fault:
            # Our own words have no value of the definition in them; those of the language may.
            words = str(fault) if type(fault) is ValueError else "a field definition has a value of a wrong kind"
            raise MalformedAnswerError(words) from None
    if not fields:
        raise MalformedAnswerError("no field at all, although every account has system fields")
    return fields
