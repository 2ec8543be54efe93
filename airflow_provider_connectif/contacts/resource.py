"""Contacts as the resource of a sync: combines the mapping, the consents and the identity of contacts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, get_args

from airflow_provider_connectif.api.errors import MalformedResponseError, NoResponseError
from airflow_provider_connectif.api.response import OK, Response
from airflow_provider_connectif.contacts.consent import RANKS, merged, urgent_part, withdraws
from airflow_provider_connectif.contacts.decisions import Resubscribe, checked_modes
from airflow_provider_connectif.contacts.fields import Field
from airflow_provider_connectif.contacts.identity import folded, may_be_folded, people_of, person
from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.contacts.mapping_arguments import MappingError
from airflow_provider_connectif.contacts.named_people import (
    keys_beside,
    names_people_beside,
    people_beside,
    people_of_row,
)
from airflow_provider_connectif.contacts.shown_contact import shows_another_contact
from airflow_provider_connectif.contacts.steps import ContactSteps
from airflow_provider_connectif.contacts.stored import shows_contact
from airflow_provider_connectif.records.changes import JsonValue, Patch
from airflow_provider_connectif.records.outcomes import Error
from airflow_provider_connectif.records.people import PersonKey
from airflow_provider_connectif.records.protocols import Client
from airflow_provider_connectif.records.resource import Resource, Step
from airflow_provider_connectif.records.rows import Row

CONSENT_WARNING = (
    "resubscribe='always' raises consents: a person who unsubscribed at Connectif is subscribed again\n"
    "  Properties: {}. With 'on_change', the default, only a change of the source raises them"
)


class ContactResource(Resource):
    """Contacts, written by ``PATCH /contacts/{key}``.

    :param mapping: maps columns to properties.
    :param resubscribe: when to raise a consent that has a lower rank at Connectif: ``never``, ``always``, or
        ``on_change``: if the source has raised the consent since it was delivered, and no response has shown that the
        person lowered it.
    :param write_modes: ``on_create`` or ``if_empty`` by property id, for properties that are not always written.
    :raises MappingError: ``resubscribe`` or a mode is not valid.
    """

    noun = "contact"
    scope = "Contacts: Write"
    is_idempotent = True
    takes_parts = True
    ranks = RANKS
    rules_version = ContactMapping.rules_version
    definitions_scope = "Contact fields: Read"
    without_definitions = "custom fields are not checked; a text is sent as text, a number as a number"

    def __init__(
        self,
        mapping: ContactMapping,
        *,
        resubscribe: Resubscribe = "on_change",
        write_modes: Mapping[str, str] | None = None,
    ) -> None:
        if resubscribe not in get_args(Resubscribe):
            raise MappingError(f"resubscribe must be one of {', '.join(get_args(Resubscribe))}, not {resubscribe!r}")
        try:
            self.modes = checked_modes(write_modes, mapping.properties)
        except ValueError as fault:
            raise MappingError(f"write_modes: {fault}") from None
        self.mapping = mapping
        self.key_column = mapping.key_column
        self._resubscribe = resubscribe
        self._steps = ContactSteps(mapping.fields, resubscribe, self.modes)
        self._former_keys: set[str] = set()
        """ASCII forms that :func:`folded` gives to addresses of this source; each may also be another contact's key."""

    @property
    def columns(self) -> Sequence[str] | None:
        """The column of the key and those of the mapping; ``None`` if every column is a property."""
        return self.mapping.columns

    @property
    def definition(self) -> tuple[object, ...]:
        """The mapping, the definitions of its fields, and the write modes."""
        # Without modes, the result is the same as in earlier versions, so the digests in journals stay valid.
        return (*self.mapping.definition, sorted(self.modes.items())) if self.modes else self.mapping.definition

    @property
    def plan_kind(self) -> str:
        """The class, and the kind of key."""
        return f"{super().plan_kind} by {self.mapping.key}"

    def describe(self) -> str:
        """Describe the mapping in one line, for the log."""
        return self.mapping.describe()

    def check(self, columns: Sequence[Any] | None = None) -> None:
        """Check the mapping: :meth:`ContactMapping.check`."""
        self.mapping.check(columns)

    def key_of(self, row: Row) -> str | None:
        """Return a row's e-mail address or external id, in one form for all its spellings."""
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

    def properties_without_key(self, row: Row) -> Mapping[str, JsonValue] | None:
        """Return the valid properties of a row: :meth:`ContactMapping.readable_properties`."""
        return self.mapping.readable_properties(row)

    def send(self, client: Client, change: Patch, *, on_fresh_connection: bool = False) -> Response:
        """Send the next request of a change: a ``PATCH``, a look-up (``GET``), or a ``DELETE`` if the contact left.

        :return: the response. The body after a look-up is the contact, or ``None`` if it does not exist.
        """
        kind = self.mapping.key
        if change.removal == "delete" and not change.looks_up:
            delete_contact = client.delete_contact if kind == "email" else client.delete_contact_by_external_id
            delete_contact(change.key)
            return Response(OK)
        if change.looks_up:
            get_contact = client.get_contact if kind == "email" else client.get_contact_by_external_id
            contact = get_contact(change.key)
            if contact is not None and not shows_contact(contact, self.mapping.fields):
                raise NoResponseError("the response to a look-up (GET) has no contact key and no known property")
            if shows_another_contact(contact, kind, change.key):
                raise NoResponseError("the response to a look-up (GET) shows a contact with another key")
            return Response(OK, contact)
        patch_contact = client.patch_contact if kind == "email" else client.patch_contact_by_external_id
        return patch_contact(
            change.key,
            change.properties,
            is_own=lambda body: not shows_another_contact(body, kind, change.key),
            on_fresh_connection=on_fresh_connection,
        )

    def same_key(self, key: str) -> str:
        """Return one form for all spellings of a key:
        :func:`airflow_provider_connectif.contacts.identity.same_contact`.
        """
        return self.mapping.same_contact(key)

    def person_of(self, key: str) -> PersonKey:
        """Return the person of an e-mail address or an external id."""
        return person(self.mapping.key, key)

    def people_of(self, change: Patch) -> Sequence[PersonKey]:
        """Return the keys of the change's person: the change's own key, and the other key if its row has one."""
        return people_of(self.mapping.key, change)

    def people_of_row(self, row: Row) -> Sequence[PersonKey]:
        """Return the people whom a row names. Only its keys need to be valid."""
        return people_of_row(self.mapping, row)

    def names_people_beside(self, batch: Sequence[Row]) -> bool:
        """Whether a column of a batch may hold the other kind of key."""
        return names_people_beside(self.mapping, batch)

    def people_beside(self, batch: Sequence[Row]) -> Mapping[int, PersonKey]:
        """Return the people whom rows name by the other kind of key, by the index of the row."""
        return people_beside(self.mapping, batch)

    def unconverted_keys(self, values: Sequence[Any]) -> list[str | None]:
        """Return the key of each clearly valid value, in the form of the journal, and ``None`` for the others."""
        is_email = self.mapping.key == "email"
        # The key goes into a query: it must be printable, without NUL, which PostgreSQL refuses.
        if {*map(type, values)} == {str}:  # the usual case: all of them at once take half the time
            together = "".join(values)
            if together.isprintable() and (together.isascii() or not is_email):
                return [*map(str.lower, values)] if is_email else [*values]
        return [
            (value.lower() if is_email else value)
            if type(value) is str and value.isprintable() and (value.isascii() or not is_email)
            else None
            for value in values
        ]

    def is_of_another_before(self, key: str) -> bool:
        """Whether an earlier version may have stored another contact under this key: see :func:`folded`."""
        return self.mapping.key == "email" and (may_be_folded(key) or key in self._former_keys)

    def merged(self, earlier: Mapping[str, JsonValue], later: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        """Return the combined properties: later values win, but a consent keeps its lowest rank."""
        return merged(earlier, later)

    def is_urgent(self, properties: Mapping[str, JsonValue]) -> bool:
        """Whether a consent is withdrawn, which must be sent without delay."""
        return withdraws(properties)

    def arrange(self, change: Patch, differing: Collection[str]) -> Patch:
        """Return a change in which consents and properties with a write mode may wait for a response:
        :class:`ContactSteps`.
        """
        return self._steps.arrange(change, differing)

    def requests(self, change: Patch) -> tuple[int, int]:
        """Return the least and the largest number of requests: :meth:`ContactSteps.requests`."""
        return self._steps.requests(change)

    def next_request(self, change: Patch, plan_age_s: float) -> Patch:
        """Return the change for its next request: :meth:`ContactSteps.next_request`."""
        return self._steps.next_request(change, plan_age_s)

    def step(self, change: Patch, came: Response | Error) -> Step | None:
        """Compare the contact in the response with what was sent, and decide on the next request:
        :class:`ContactSteps`.
        """
        return self._steps.step(change, came)

    def urgent_part(self, change: Patch) -> Patch | None:
        """Return a rejected change with only its withdrawn consents; ``None`` if it has none, or nothing else."""
        urgent = urgent_part(change.properties)
        if not urgent or len(urgent) == len(change.properties):
            return None
        # The other properties were not accepted. A response is compared with the values that were accepted before.
        return change._replace(properties=urgent, others={}, later={}, looks_up=False, was_delivered=False)

    def urgent_part_of_row(self, number: int, row: Row) -> Patch | None:
        """Return the withdrawn consents of an invalid or held row; ``None`` if there are none."""
        part = self.mapping.urgent_part(number, row)
        return None if part is None else part._replace(named=keys_beside(self.mapping, row))

    def column_of(self, property_id: str) -> str | None:
        """Return the column that a property is read from, if the mapping names one."""
        return self.mapping.column_of(property_id)

    def warning_about(self, columns: Iterable[Any]) -> str | None:
        """Return a warning for ``resubscribe="always"``."""
        consent = [column for column in columns if column in RANKS] if self._resubscribe == "always" else ()
        return CONSENT_WARNING.format(", ".join(consent)) if consent else None

    @property
    def written_columns(self) -> Sequence[str] | None:
        """The properties of the mapping."""
        return None if self.mapping.properties is None else list(self.mapping.properties)

    @property
    def needs_definitions(self) -> bool:
        """Whether the account's fields are needed: for custom fields, and for phone numbers without a country code."""
        return self.mapping.needs_definitions

    def with_definitions(self, client: Client) -> ContactResource:
        """Return the resource with the account's fields, against which it then checks rows."""
        mapping = self.mapping.with_definitions(_fields(client.list_contact_fields()))
        return ContactResource(mapping, resubscribe=self._resubscribe, write_modes=self.modes)


def _fields(definitions: Sequence[Mapping[str, Any]]) -> list[Field]:
    fields = []
    for definition in definitions:
        try:
            fields.append(Field.from_api(definition))
        except (ValueError, TypeError, ArithmeticError, RecursionError) as fault:
            # The messages of this package contain no value of the definition. Those of Python may.
            words = str(fault) if type(fault) is ValueError else "a field definition has a value of a wrong kind"
            raise MalformedResponseError(words) from None
    if not fields:
        raise MalformedResponseError("no field at all, although every account has system fields")
    return fields
