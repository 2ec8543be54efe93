"""Contacts of an import that go by PATCH, where the API key may write contacts."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Mapping

from airflow_provider_connectif.api.errors import ConnectifHttpError, NoAnswerError
from airflow_provider_connectif.api.transport import Answer
from airflow_provider_connectif.contacts.by_import import LOOK_UPS_AT_MOST
from airflow_provider_connectif.contacts.decisions import Resubscribe
from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.contacts.resource import ContactResource
from airflow_provider_connectif.delivery.response_policy import Action, ResponsePolicy
from airflow_provider_connectif.delivery.sender import RequestSender
from airflow_provider_connectif.imports.context import ImportContext
from airflow_provider_connectif.imports.writing import Split
from airflow_provider_connectif.journal.confirmation import remaining
from airflow_provider_connectif.records.changes import Patch
from airflow_provider_connectif.records.outcomes import Error
from airflow_provider_connectif.records.protocols import Client
from airflow_provider_connectif.reporting.progress import plural

_PATCHES_AT_ONCE = 500
_FORBIDDEN = 403


class FirstPatch(ContactResource):
    """Contacts, whose first PATCH shows whether the key may write them; the sender then gets its response.

    Without that, such a key would end the run, although it can import.

    :param client: of the API.
    :param mapping: how columns become properties.
    :param resubscribe: as of :class:`ContactResource`.
    :param write_modes: likewise.
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
        # Apart from the sender's own, which takes the same steps once more with the same responses.
        self._asked = ContactResource(mapping, resubscribe=resubscribe, write_modes=write_modes)
        self._first: int | None = None
        self._responses: deque[tuple[bool, Answer | Error]] = deque()

    def is_allowed(self, patch: Patch) -> bool:
        """Send a patch, after a look-up where it needs one; whether the response is something else than a 403."""
        self._first, change = patch.number, self._asked.next_request(patch, 0.0)
        came = self._asked_for(change)
        while change.looks_up and (step := self._asked.step(change, came)) is not None and step.goes_on:
            change = self._asked.next_request(step.patch, 0.0)
            came = self._asked_for(change)
        if change.looks_up or not isinstance(came, ConnectifHttpError) or came.status != _FORBIDDEN:
            return True
        return ResponsePolicy().for_error(came) is not Action.FAIL

    def send(self, client: Client, change: Patch, *, on_fresh_connection: bool = False) -> Answer:
        """``PATCH`` the contact; the first requests were sent already, and their responses are given back."""
        while self._responses and change.number == self._first and not on_fresh_connection:
            was_look_up, came = self._responses.popleft()
            if was_look_up == change.looks_up:
                if isinstance(came, Answer):
                    return came
                raise came
        return super().send(client, change, on_fresh_connection=on_fresh_connection)

    def _asked_for(self, change: Patch) -> Answer | Error:
        try:
            came: Answer | Error = super().send(self._client, change)
        except (ConnectifHttpError, NoAnswerError) as error:
            came = error
        self._responses.append((change.looks_up, came))
        return came


class Patching:
    """Delivers by PATCH what takes fewer requests so, and what only a response can decide.

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
        if split.looked_up > LOOK_UPS_AT_MOST:
            log.info(
                "%s would be looked up, since their consents fall; more than %s are not: %s kept from now on",
                plural(split.looked_up, "contact"),
                f"{LOOK_UPS_AT_MOST:,}",
                "1 consent is" if split.kept == 1 else f"{split.kept:,} consents are",
            )
        if (first := next(patches, None)) is None:
            return
        if self._context.rules.leftovers is not True:
            if journal is not None and not first.is_new:
                journal.lines.doubt({mapping.same_contact(first.key): remaining(first)})
            if not self._first_patch.is_allowed(first):
                log.info("The API key may not write contacts (403), so that all of them go into files")
                split.patch_nothing()
                if split.kept:
                    log.warning(
                        "The API key may not write contacts (403): %s kept from now on, since only a PATCH can decide\n"
                        "  Give the key the scope Contacts: Write, so that changes of the source can raise consents",
                        "1 consent is" if split.kept == 1 else f"{split.kept:,} consents are",
                    )
                return
        log.info("Delivering %s by PATCH", plural(split.patches, "contact"))
        patches = itertools.chain([first], patches)
        self._sender.deliver(iter(lambda: list(itertools.islice(patches, _PATCHES_AT_ONCE)), []))
