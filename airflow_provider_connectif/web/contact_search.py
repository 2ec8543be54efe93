"""Finds a contact of a sync in the listed journals, for a user who may read all DAGs that have written the contact."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from functools import cache
from typing import NamedTuple

from fastapi import HTTPException

from airflow_provider_connectif.contacts.fields import BUILT_IN_IDS
from airflow_provider_connectif.contacts.named_people import key_forms, people_named
from airflow_provider_connectif.databases.journal_places import JournalPlace, configured_journals
from airflow_provider_connectif.databases.journals import key_secret
from airflow_provider_connectif.journal import overview
from airflow_provider_connectif.journal.contact_question import ContactQuestion, check_key_secret
from airflow_provider_connectif.journal.explanation import Explanation
from airflow_provider_connectif.journal.tables import VERSION
from airflow_provider_connectif.web.places import Places, Unreachable

_OTHER_DAG = "a run of a DAG that you may not see"


class FoundContact(NamedTuple):
    """A contact that was found.

    ``explanation``: what the command ``explain`` prints of the contact. ``written_key``: the contact's key as the
    journal stores it; ``None``: the journal has no line of the contact.
    """

    explanation: Explanation
    written_key: str | None


class ContactSearch:
    """Searches the journals, in the order of ``[connectif] journals``.

    :param places: opens the journals.
    :param may_read: whether the user may read the task instances of a DAG.
    :param dag_id: a DAG that has run the sync.
    :param sync_id: the sync.
    """

    def __init__(self, places: Places, may_read: Callable[[str], bool], dag_id: str, sync_id: str) -> None:
        self._places = places
        self._may_read = cache(may_read)
        self.dag_id = dag_id
        self.sync_id = sync_id
        self.faults: list[str] = []
        """Messages about journals that could not be read; empty if another journal knows the contact."""

    def find(self, key: str) -> FoundContact | None:
        """Return the contact from the first journal that knows it, or otherwise from one that only knows the sync.

        :param key: as the user typed it: an e-mail, an external id, or a key as the journal stores it.
        :return: ``None``: no readable journal has runs of the sync by the DAG.
        :raises HTTPException: 403: the user may not read a DAG that has run the sync or written the contact's line.
        """
        found: FoundContact | None = None
        for place in configured_journals():
            try:
                found = self._found_in(place, key) or found
            except Unreachable as fault:
                self.faults.append(fault.of(place))
            if found is not None and found.explanation.knows_contact:
                self.faults.clear()
                break
        return None if found is None else found._replace(explanation=self._with_hidden_runs(found.explanation))

    def _found_in(self, place: JournalPlace, key: str) -> FoundContact | None:
        with self._places.reading(place) as (connection, tables):
            if not overview.has_history(connection, tables):
                return None
            of_sync = overview.dags_of_syncs(connection, tables).get(self.sync_id, set())
        if self.dag_id not in of_sync:
            return None
        # The contact's line may have the outcome of a run of any of these DAGs: the user must be allowed to read all.
        self._check(of_sync)
        found = self._explained(place, key)
        # The contact's line may name a run whose record is deleted. Its DAG may not be among those above.
        self._check({overview.dag_of(run_id) for run_id in found.explanation.run_ids})
        return found

    def _explained(self, place: JournalPlace, key: str) -> FoundContact:
        secret, people = key_secret(place.conn_id), people_named(key)
        with self._places.asking(place) as database:
            for form in key_forms(key):
                question = ContactQuestion(
                    database, VERSION, self.sync_id, {form}, people, secret, conn_id=place.conn_id
                )
                explanation = question.explain(BUILT_IN_IDS, question.history())
                found = FoundContact(explanation, question.written_key)
                if explanation.has_records:
                    return found
            check_key_secret(database, self.sync_id, secret, conn_id=place.conn_id)
            return found

    def _check(self, dag_ids: Collection[str]) -> None:
        if not all(self._may_read(dag_id) for dag_id in sorted(dag_ids)):
            raise HTTPException(403, "Forbidden")

    def _with_hidden_runs(self, explanation: Explanation) -> Explanation:
        """Hide the runs of erasures that the user may not see."""
        suppressed = tuple(
            entry if self._may_read(overview.dag_of(entry.run_id)) else replace(entry, run_id=_OTHER_DAG)
            for entry in explanation.suppressed
        )
        return replace(explanation, suppressed=suppressed)
