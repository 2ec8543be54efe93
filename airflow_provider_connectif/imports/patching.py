"""Delivers contacts of an import by PATCH, if the API key may write contacts; carries out ``on_removed`` at the end."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

from airflow_provider_connectif.contacts.by_import import LOOK_UPS_AT_MOST
from airflow_provider_connectif.contacts.first_patch import FirstPatch
from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.contacts.resource import ContactResource
from airflow_provider_connectif.delivery.sender import RequestSender
from airflow_provider_connectif.imports.context import ImportContext
from airflow_provider_connectif.imports.suppressed import suppressed_in, without_suppressed
from airflow_provider_connectif.imports.writing import Split
from airflow_provider_connectif.journal.patch_columns import remaining
from airflow_provider_connectif.records.changes import Patch
from airflow_provider_connectif.records.outcomes import Stop
from airflow_provider_connectif.reporting import wording
from airflow_provider_connectif.reporting.formats import plural

_PATCHES_AT_ONCE = 500


class Patching:
    """Delivers by PATCH the contacts that take fewer requests that way, and those with a consent that needs a response.

    :param context: the context of the run.
    :param sender: sends the requests before the uploads.
    :param resource: the resource of the run.
    :param make_first_patch: makes the resource for ``sender`` from the resource of the run.
    :param make_last_sender: makes the sender of the requests that follow the uploads; ``None``: there are none.
    """

    def __init__(
        self,
        context: ImportContext,
        sender: RequestSender,
        resource: ContactResource,
        make_first_patch: Callable[[ContactResource], FirstPatch],
        make_last_sender: Callable[[], RequestSender] | None = None,
    ) -> None:
        self._context = context
        self._sender = sender
        self._make_first_patch = make_first_patch
        self._resource = resource
        self._make_last_sender = make_last_sender
        self._last_sender: RequestSender | None = None

    def begin(self, resource: ContactResource) -> None:
        """Begin a plan.

        :param resource: the resource of the run, with the account's field definitions. These are needed to compare
            responses.
        """
        self._resource = resource

    @property
    def stop(self) -> Stop | None:
        """The reason why sending ended early; ``None`` if it did not end early."""
        return self._sender.stop or (None if self._last_sender is None else self._last_sender.stop)

    @property
    def stop_is_of_removals(self) -> bool:
        """Whether sending ended early with a contact that left the source."""
        return self._last_sender is not None and self._last_sender.stop is not None

    def kill(self) -> None:
        """Send nothing more; safe in a signal handler."""
        self._sender.kill()
        if self._last_sender is not None:
            self._last_sender.kill()

    def follow(self, batches: Iterator[Sequence[Patch]]) -> None:
        """Carry out ``on_removed`` for contacts that left the source, after the uploads.

        :param batches: batches of these contacts.
        """
        if self._make_last_sender is not None and (first := next(batches, None)) is not None:
            self._context.log.info(wording.FOLLOWING_WHO_LEFT)
            # A new sender, since a sender's threads cannot be started twice.
            self._last_sender = self._make_last_sender()
            if self._sender.stop is None:  # otherwise the run was killed in the meantime
                self._last_sender.deliver(itertools.chain([first], batches), resource=self._resource)

    def left_behind(self) -> Iterator[Sequence[Patch]]:
        """Yield the contacts that were to be sent by PATCH and have no outcome, in batches."""
        return self._sender.left_behind()

    def deliver(self, split: Split, mapping: ContactMapping) -> None:
        """Deliver the contacts of a plan that go by PATCH.

        If the API key cannot write contacts, they go into files instead.
        """
        log, journal, patches = self._context.log, self._context.journal, split.by_patch()
        if split.looked_up > LOOK_UPS_AT_MOST:
            log.info(
                wording.TOO_MANY_LOOK_UPS,
                plural(split.looked_up, "contact"),
                f"{LOOK_UPS_AT_MOST:,}",
                "1 consent is" if split.kept == 1 else f"{split.kept:,} consents are",
            )
        suppressed: list[Patch] = []
        if (first := self._first(patches, mapping, suppressed)) is None:
            without_suppressed(self._context, mapping, suppressed)
            return
        first_patch = self._make_first_patch(self._resource)
        if self._context.rules.leftovers is not True:
            if journal is not None and not first.is_new:
                doubt = {mapping.same_contact(first.key): remaining(first)}
                journal.lines.doubt(doubt, are_rows=first.counted_as is None)
            if not self._is_allowed(first_patch, first):
                log.info(wording.NO_PATCH)
                split.patch_nothing()
                if split.kept:
                    log.warning(
                        wording.NO_PATCH_OF_CONSENTS,
                        "1 consent is" if split.kept == 1 else f"{split.kept:,} consents are",
                    )
                return
        without_suppressed(self._context, mapping, suppressed)
        self._sender.end_other_request()
        log.info(wording.BY_PATCH, plural(split.patches, "contact"))
        patches = itertools.chain([first], patches)
        batches = iter(lambda: list(itertools.islice(patches, _PATCHES_AT_ONCE)), [])
        self._sender.deliver(batches, resource=first_patch)

    def _first(self, patches: Iterator[Patch], mapping: ContactMapping, suppressed: list[Patch]) -> Patch | None:
        """Return the first contact that is not suppressed; ``None`` if there is none.

        :param suppressed: receives the suppressed contacts before it. They are not counted here: if all contacts go
            into files, writing the files counts them.
        """
        for patch in patches:
            self._sender.begin_other_request()  # before the suppression list is read: later erasures wait
            if not suppressed_in(self._context, mapping, [patch]):
                return patch
            suppressed.append(patch)
        self._sender.end_other_request()
        return None

    def _is_allowed(self, first_patch: FirstPatch, first: Patch) -> bool:
        try:
            return first_patch.is_allowed(first)
        finally:
            self._sender.end_other_request()
