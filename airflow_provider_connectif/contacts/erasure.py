"""The resource of an erasure: contacts to delete at Connectif."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from http import HTTPStatus
from typing import Any, get_args

from airflow_provider_connectif.api.errors import NoResponseError, NotFoundError
from airflow_provider_connectif.api.response import Response
from airflow_provider_connectif.contacts.fields import KeyKind
from airflow_provider_connectif.contacts.identity import person, same_contact
from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.contacts.mapping_arguments import MappingError
from airflow_provider_connectif.records.changes import JsonValue, Patch
from airflow_provider_connectif.records.outcomes import Error, Outcome
from airflow_provider_connectif.records.people import PersonKey
from airflow_provider_connectif.records.protocols import Client
from airflow_provider_connectif.records.resource import Resource, Step
from airflow_provider_connectif.records.rows import Row

_ABSENT: dict[str, Any] = {"absent": True}
_WAS_THERE, _TRIED = "was_there", "tried"


class ContactErasure(Resource):
    """Contacts, deleted by ``DELETE /contacts/{key}``. Only the key is read from a row.

    It is not documented whether Connectif ignores the case of an e-mail address. So a request is sent for every
    spelling in the rows. If Connectif has no contact with any of them, another request is sent for the form that all
    spellings share. The ``properties`` of a change are the spellings that are not sent yet, by number. Its ``others``
    hold the spellings that were sent, and whether a contact existed under one of them.

    :param key: the kind of contact key: ``email`` or ``external_id``.
    :param key_column: the column of the key. Default: the column ``email`` or ``external_id``, as the kind of key.
    :raises MappingError: the kind of key is unknown.
    """

    noun = "contact"
    scope = "Contacts: Delete"
    is_idempotent = True
    is_compared = False

    def __init__(self, key: KeyKind = "email", key_column: str | None = None) -> None:
        if key not in get_args(KeyKind):
            raise MappingError(f"key must be one of {', '.join(get_args(KeyKind))}, not {key!r}")
        self._kind: KeyKind = key
        self._mapping = ContactMapping(key, key_column, {})
        self.key_column = self._mapping.key_column

    @property
    def columns(self) -> Sequence[str]:
        """The column of the key."""
        return (self.key_column,)

    @property
    def definition(self) -> tuple[object, ...]:
        """The kind of key."""
        return ("erasure", self._kind)

    @property
    def plan_kind(self) -> str:
        """The class, and the kind of key."""
        return f"{super().plan_kind} by {self._kind}"

    def describe(self) -> str:
        """Describe the deletions in one line, for the log."""
        return f'key {self._kind} from column "{self.key_column}"'

    def check(self, columns: Sequence[Any] | None = None) -> None:
        """Check that the source has the key's column exactly once.

        :raises MappingError: the column is missing, or occurs twice.
        """
        self._mapping.check(columns)

    def key_of(self, row: Row) -> str | None:
        """Return a row's e-mail address or external id, in one form for all its spellings."""
        key = self._mapping.key_of(row)
        return None if key is None else self.same_key(key)

    def prepare(self, number: int, row: Row) -> Patch:
        """Return the deletion of a row's contact.

        :raises InvalidRow: the row has no valid key.
        """
        patch = self._mapping.patch(number, row)
        return patch._replace(properties={"1": patch.key})

    def merged(self, earlier: Mapping[str, JsonValue], later: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        """Return every spelling of both rows, once."""
        spellings = dict.fromkeys(str(value) for value in (*earlier.values(), *later.values()))
        return {str(number): spelling for number, spelling in enumerate(spellings, 1)}

    def with_spellings(self, change: Patch, spellings: Collection[str]) -> Patch:
        """Return the deletion with further spellings of its key; those that were sent already are not added."""
        more = [spelling for spelling in spellings if spelling not in _tried(change)]
        return change._replace(properties=self.merged(change.properties, {str(n): each for n, each in enumerate(more)}))

    def requests(self, change: Patch) -> tuple[int, int]:
        """Return the least and the largest number of requests.

        There is one request for each spelling. The form that all spellings share may need another one.
        """
        spellings = list(change.properties.values())
        return len(spellings), len(spellings) + (self.same_key(change.key) not in spellings)

    def same_key(self, key: str) -> str:
        """Return one form for all spellings of a key."""
        return same_contact(self._kind, key)

    def person_of(self, key: str) -> PersonKey:
        """Return the person of a key."""
        return person(self._kind, key)

    def send(self, client: Client, change: Patch, *, on_fresh_connection: bool = False) -> Response:
        """``DELETE`` the contact; a contact that does not exist is not a failure.

        :raises NoResponseError: there was no complete response, or it was a 404 without the error document, possibly
            from a proxy.
        """
        delete = client.delete_contact if self._kind == "email" else client.delete_contact_by_external_id
        try:
            was_there = delete(_spelling(change))
        except NotFoundError:
            error = NoResponseError("a 404 without the error document, so it is not from Connectif")
        else:
            return Response(HTTPStatus.NO_CONTENT, None if was_there else _ABSENT)
        # Raised outside the handler: the client's error, whose body is not Connectif's, must not be its context.
        raise error

    def step(self, change: Patch, came: Response | Error) -> Step | None:
        """Return the request for the next spelling, or the outcome: ``deleted`` if a contact existed under a spelling,
        otherwise ``absent``. ``None``: the response policy decides.
        """
        if not isinstance(came, Response):
            return None
        (number, spelling), *left = change.properties.items()
        was_there = came.body is not _ABSENT or bool(change.others.get(_WAS_THERE))
        tried = [*_tried(change), str(spelling)]
        common = self.same_key(change.key)
        if not left and not was_there and common not in tried:
            left = [(number, common)]
        change = change._replace(properties=dict(left), others={_WAS_THERE: was_there, _TRIED: tried})
        outcome = Outcome.DELETED if was_there else Outcome.ABSENT
        return Step(change, goes_on=bool(left), outcome=outcome)


def _spelling(change: Patch) -> str:
    """Return the spelling to send next."""
    return str(next(iter(change.properties.values())))


def _tried(change: Patch) -> list[str]:
    tried = change.others.get(_TRIED)
    return tried if isinstance(tried, list) else []
