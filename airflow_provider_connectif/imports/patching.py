"""Contacts of an import that go by PATCH, where the API key may write contacts."""

from __future__ import annotations

import itertools

from airflow_provider_connectif.api.errors import ConnectifHttpError, NoAnswerError
from airflow_provider_connectif.api.transport import Answer
from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.contacts.resource import ContactResource
from airflow_provider_connectif.delivery.response_policy import Action, ResponsePolicy
from airflow_provider_connectif.delivery.sender import RequestSender
from airflow_provider_connectif.imports.context import ImportContext
from airflow_provider_connectif.imports.writing import Split
from airflow_provider_connectif.journal.confirmation import remaining
from airflow_provider_connectif.records.changes import Patch
from airflow_provider_connectif.records.protocols import Client
from airflow_provider_connectif.reporting.progress import plural

_PATCHES_AT_ONCE = 500


class FirstPatch(ContactResource):
    """Contacts, whose first PATCH shows whether the key may write them; the sender then gets its response.

    Without that, such a key would end the run, although it can import.

    :param client: of the API.
    :param mapping: how columns become properties.
    """

    def __init__(self, client: Client, mapping: ContactMapping) -> None:
        super().__init__(mapping)
        self._client = client
        self._patch: Patch | None = None
        self._response: Answer | Exception | None = None

    def is_allowed(self, patch: Patch) -> bool:
        """Send a patch; whether the response is something else than that the key may not."""
        self._patch = patch
        try:
            self._response = super().send(self._client, patch)
        except (ConnectifHttpError, NoAnswerError) as error:
            self._response = error
            is_forbidden = isinstance(error, ConnectifHttpError) and error.status == 403
            return not (is_forbidden and ResponsePolicy().for_error(error) is Action.FAIL)
        return True

    def send(self, client: Client, change: Patch, *, on_fresh_connection: bool = False) -> Answer:
        """``PATCH`` the contact; the first one was sent already, and its response is given back."""
        is_first = self._patch is not None and change.number == self._patch.number and not on_fresh_connection
        response = self._response if is_first else None
        if response is None:
            return super().send(client, change, on_fresh_connection=on_fresh_connection)
        self._response = None
        if isinstance(response, Exception):
            raise response
        return response


class Patching:
    """Delivers by PATCH what takes fewer requests so.

    :param context: of the run.
    :param sender: of the requests.
    :param first_patch: the resource of ``sender``.
    """

    def __init__(self, context: ImportContext, sender: RequestSender, first_patch: FirstPatch) -> None:
        self._context = context
        self._sender = sender
        self._first_patch = first_patch

    def deliver(self, split: Split, mapping: ContactMapping) -> None:
        """Deliver those contacts of a plan; where the key may not write contacts, they go into files instead."""
        log, journal, patches = self._context.log, self._context.journal, split.by_patch()
        if (first := next(patches, None)) is None:
            return
        if self._context.rules.leftovers is None:
            if journal is not None and not first.is_new:
                journal.lines.doubt({mapping.same_contact(first.key): remaining(first)})
            if not self._first_patch.is_allowed(first):
                log.info("The API key may not write contacts (403), so that all of them go into files")
                split.patch_nothing()
                return
        log.info("Delivering %s by PATCH", plural(split.layout.patches, "contact"))
        patches = itertools.chain([first], patches)
        self._sender.deliver(iter(lambda: list(itertools.islice(patches, _PATCHES_AT_ONCE)), []))
