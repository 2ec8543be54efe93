"""The operator that erases people at Connectif and in the journal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_connectif.contacts.erasure import ContactErasure
from airflow_provider_connectif.contacts.identity import FORMS
from airflow_provider_connectif.delivery.response_policy import ResponsePolicy
from airflow_provider_connectif.operators.parts import Parts, Start
from airflow_provider_connectif.operators.requests import RequestOperator, make_patience, make_sender
from airflow_provider_connectif.operators.switches import check_switches, check_texts, final_where_mapped
from airflow_provider_connectif.records.outcomes import JournalError
from airflow_provider_connectif.reporting import wording

if TYPE_CHECKING:
    from airflow_provider_connectif.contacts.fields import KeyKind
    from airflow_provider_connectif.journal.forgetting import Forgetting
    from airflow_provider_connectif.journal.store import Journal
    from airflow_provider_connectif.runs.sink import Sink

_MOST_DELETED = 100


class ContactDeleteOperator(RequestOperator):
    """Deletes people at Connectif, ``DELETE /contacts/{email}``, and erases them from the journal.

    First, the people's keys are written to the journal's suppression list, so that no run with this journal sends these
    people again. The people are removed from every sync of the journal: from delivered and pending contacts, and from
    the history. Each deletion leaves a receipt. A person who is not at Connectif does not count as a failure.

    It also takes the arguments of two base classes:
    :class:`airflow_provider_connectif.operators.requests.RequestOperator` (the sending of requests) and
    :class:`airflow_provider_connectif.operators.sync_arguments.SyncArguments` (the source of rows, the journal, and the
    end of the task).

    The summary also has ``deleted`` and ``absent``.

    :param journal_conn_id: the journal of the operators that send these people. Required (templated).
    :param key: the kind of key in the rows: ``email`` (default) or ``external_id``.
    :param key_column: the column with the key. Default: the column with the name of ``key``, such as ``email``
        (templated).
    :param max_deleted: the most people to delete. If the rows name more people, the task fails before it writes or
        deletes anything. Default 100.
    :param suppress: whether to write the people to the suppression list. Default ``True``. With ``False``, the next
        sync whose source contains such a person creates the contact again.
    :param full_refresh: no effect, since every row is a deletion.
    :param retry_rejected: no effect, since every row is a deletion.
    :param ignore_held: no effect, since every row is a deletion.
    :param max_created: no effect: see ``max_deleted``.
    :param max_changed: no effect: see ``max_deleted``.
    :param max_removed: no effect: see ``max_deleted``.
    :param max_lowered: no effect: see ``max_deleted``.
    :param max_raised: no effect: see ``max_deleted``.
    :param min_rows: the fewest rows that the source may have (int). A share has no effect, since the journal records no
        complete read of a deletion.
    :param guards_off: ``True``: a plan with fewer rows than ``min_rows`` is carried out all the same, in this run
        (templated).
    :raises ValueError: an argument is not valid; raised when the DAG is parsed.
    """

    template_fields: Sequence[str] = (*RequestOperator.template_fields, "key_column")
    _begins_with = wording.DELETING

    def __init__(
        self,
        *,
        key: KeyKind = "email",
        key_column: str | None = None,
        max_deleted: int = _MOST_DELETED,
        suppress: bool = True,
        journal_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        with final_where_mapped(self):
            check_texts({"key_column": key_column})
            check_switches({"suppress": suppress})
            if isinstance(max_deleted, bool) or not isinstance(max_deleted, int) or max_deleted < 1:
                raise ValueError(f"max_deleted must be a whole number, 1 or more, not {max_deleted!r}")
            if journal_conn_id is None:
                raise ValueError(
                    "ContactDeleteOperator needs journal_conn_id: the journal of the operators that send these people"
                )
        self.key = key
        self.key_column = key_column
        super().__init__(journal_conn_id=journal_conn_id, **kwargs)
        self.max_deleted = max_deleted
        self.suppress = suppress

    def make_resource(self) -> ContactErasure:
        """Return the resource for deleting contacts."""
        return ContactErasure(self.key, self.key_column)

    def _make_sink(self, parts: Parts, start: Start) -> Sink[Any]:
        from airflow_provider_connectif.delivery.erasure_confirmation import ErasureConfirmation
        from airflow_provider_connectif.imports.context import ImportContext
        from airflow_provider_connectif.imports.rules import ImportRules
        from airflow_provider_connectif.runs.erasure_sink import ErasureSink

        client = parts.client
        journal, forgetting = _forgetting(parts)
        map_index = getattr(start.context.get("ti"), "map_index", -1)
        confirmation = ErasureConfirmation(journal.lines, parts.resource, forgetting, map_index)
        patience = make_patience(self, parts)
        sender, _ = make_sender(
            parts,
            ResponsePolicy(self.on_response),
            patience,
            max_in_flight=self.max_in_flight,
            stops_when_all_rejected=True,
            confirmation=confirmation,
        )
        rules = ImportRules(deferrable=self.deferrable, time_limit_s=patience.time_limit_s)
        return ErasureSink(
            parts.resource,
            sender,
            client.quota,
            parts.report,
            journal,
            confirmation,
            forgetting=forgetting,
            imports=ImportContext(client, rules, parts.report, journal),
            most=self.max_deleted,
            suppresses=self.suppress,
            map_index=map_index,
            may_defer=self.deferrable,
            comes_back=start.comes_back,
            plan_max_age_s=self.plan_max_age.total_seconds(),
        )

    def _make_check(self, parts: Parts) -> Sink[Any]:
        from airflow_provider_connectif.runs.check_sink import CheckSink
        from airflow_provider_connectif.runs.erasure_sink import ErasurePreview

        client = parts.client
        preview = ErasurePreview(parts.report.log, client.quota, self.max_deleted, _forgetting(parts)[1])
        return CheckSink(parts.resource, parts.report, parts.journal, preview, longest_wait_s=client.longest_wait_s)

    def _describe(self) -> str:
        return f"At most {self.max_deleted:,} people" + ("" if self.suppress else ", without suppressing them")


def _forgetting(parts: Parts) -> tuple[Journal, Forgetting]:
    """Return the journal, and the object that finds and removes the data of people in it."""
    from airflow_provider_connectif.journal.forgetting import Forgetting

    if parts.journal is None:
        raise JournalError("journal_conn_id gave no journal", final=True)
    journal = parts.journal
    return journal, Forgetting(journal.database, journal.suppressions, journal.settings, FORMS)
