"""The contacts resource that first checks whether the API key may write contacts."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from airflow_provider_connectif.api.errors import ConnectifHttpError, NoResponseError
from airflow_provider_connectif.api.response import Response
from airflow_provider_connectif.contacts.decisions import Resubscribe
from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.contacts.resource import ContactResource
from airflow_provider_connectif.records.changes import Patch
from airflow_provider_connectif.records.outcomes import Error
from airflow_provider_connectif.records.protocols import Client

_FORBIDDEN = 403


class FirstPatch(ContactResource):
    """Contacts, whose first PATCH shows whether the API key may write contacts.

    The sender later gets the stored response to that PATCH, and does not send it again. Without this check, a key
    without the scope would end the run, although it can import.

    :param client: sends the first requests.
    :param mapping: maps columns to properties.
    :param resubscribe: as in :class:`ContactResource`.
    :param write_modes: as in :class:`ContactResource`.
    """

    def __init__(
        self,
        client: Client,
        mapping: ContactMapping,
        *,
        resubscribe: Resubscribe = "on_change",
        write_modes: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(mapping, resubscribe=resubscribe, write_modes=write_modes)
        self._client = client
        # An object of its own: the sender's resource takes the same steps again later, with the same responses.
        self._asked = ContactResource(mapping, resubscribe=resubscribe, write_modes=write_modes)
        self._first: tuple[int, str] | None = None
        self._responses: deque[tuple[bool, Response | Error]] = deque()

    def is_allowed(self, patch: Patch) -> bool:
        """Send the first patch, after a look-up if it needs one. Return whether the API key may write contacts.

        :return: ``False`` if the PATCH gets a 403 with Connectif's error document; otherwise ``True``.
        """
        self._first, change = (patch.number, patch.key), self._asked.next_request(patch, 0.0)
        came = self._asked_for(change)
        while change.looks_up and (step := self._asked.step(change, came)) is not None and step.goes_on:
            change = self._asked.next_request(step.patch, 0.0)
            came = self._asked_for(change)
        is_forbidden = isinstance(came, ConnectifHttpError) and came.status == _FORBIDDEN and came.is_error_document
        return change.looks_up or not is_forbidden

    def send(self, client: Client, change: Patch, *, on_fresh_connection: bool = False) -> Response:
        """Send a request; if :meth:`is_allowed` has sent it already, return the stored response or raise its error."""
        while self._responses and (change.number, change.key) == self._first and not on_fresh_connection:
            was_look_up, came = self._responses.popleft()
            if was_look_up == change.looks_up:
                if isinstance(came, Response):
                    return came
                raise came
        return super().send(client, change, on_fresh_connection=on_fresh_connection)

    def _asked_for(self, change: Patch) -> Response | Error:
        try:
            came: Response | Error = super().send(self._client, change)
        except (ConnectifHttpError, NoResponseError) as error:
            came = error
        self._responses.append((change.looks_up, came))
        return came
