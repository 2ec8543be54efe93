"""The command ``explain``: shows one contact of a sync."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from airflow_provider_connectif.api.errors import RunFailed
from airflow_provider_connectif.cli.check import chosen_sync
from airflow_provider_connectif.cli.journals import opened_journal
from airflow_provider_connectif.cli.live import LiveContact, live_contact, with_live
from airflow_provider_connectif.cli.output import Section, pairs, show
from airflow_provider_connectif.cli.planned import Planned, plan_of_contact
from airflow_provider_connectif.cli.running import CommandFailed, WrongUse, typed_line
from airflow_provider_connectif.contacts.fields import BUILT_IN_IDS
from airflow_provider_connectif.contacts.identity import person
from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.databases.journal_places import JournalPlace
from airflow_provider_connectif.databases.journals import key_secret
from airflow_provider_connectif.journal.contact_question import ContactQuestion, check_key_secret
from airflow_provider_connectif.journal.explanation import Explanation

_LONGEST_KEY = 320
_WRONG_KEY = {
    "email": "KEY is not a valid e-mail address; use --key external_id if the sync's contacts have external ids",
    "external_id": "KEY is not a valid external id: it is empty, or has more than 50 characters",
}

_MAY_BE_FOLLOWED = (
    "If the operator has on_removed, a run carries it out once for this contact, when its conditions are met."
)


def explain(arguments: Namespace) -> None:
    """Explain one contact of a sync: its state, its history, what the next run does about it, and why."""
    if (arguments.sql is None) != (arguments.sql_conn_id is None):
        raise WrongUse("--sql and --sql-conn-id belong together")
    key, contact = _contact(arguments)
    failures: list[str] = []
    with opened_journal(arguments.journal_conn_id) as journal:
        arguments.sync_id = chosen_sync(journal.database, arguments.sync_id)
        place, secret = journal.place, key_secret(journal.place.conn_id)
        check_key_secret(journal.database, arguments.sync_id, secret, conn_id=place.conn_id, version=journal.version)
        people = [person(arguments.key, key)]
        question = ContactQuestion(
            journal.database, journal.version, arguments.sync_id, {contact}, people, secret, conn_id=place.conn_id
        )
        history = question.history(arguments.history)
        planned = _planned(arguments, place, contact, question, failures)
        live = _live(arguments, question.sent_key(contact) or key, failures)
        explanation = question.explain(_property_ids(planned, live), history)
    properties = _properties(explanation, planned, live, question, contact, shows_values=arguments.show_values)
    show(
        arguments.output,
        _as_data(explanation, planned, live, properties),
        _sections(explanation, planned, live, properties),
    )
    if failures:
        raise CommandFailed("\n".join(failures))


def _contact(arguments: Namespace) -> tuple[str, str]:
    """Return the contact's key for requests, and the key in the form that is the same for all its spellings.

    :raises WrongUse: the key is not valid. The message does not quote it.
    """
    text = typed_line() if arguments.contact == "-" else arguments.contact
    mapping = ContactMapping(arguments.key)
    key = mapping.key_of({arguments.key: text}) if len(text) <= _LONGEST_KEY else None
    if key is None:
        raise WrongUse(_WRONG_KEY[arguments.key])
    return key, mapping.same_contact(key)


def _planned(
    arguments: Namespace, place: JournalPlace, contact: str, question: ContactQuestion, failures: list[str]
) -> Planned | None:
    if arguments.sql is None:
        return None
    try:
        return plan_of_contact(arguments, place, contact, are_keys_digests=question.are_keys_digests)
    except CommandFailed as failure:
        failures.append(f"The query could not be checked: {failure}")
        return None


def _live(arguments: Namespace, key: str, failures: list[str]) -> LiveContact | None:
    if not arguments.live:
        return None
    try:
        return live_contact(arguments.connectif_conn_id, arguments.key, key)
    except (CommandFailed, RunFailed) as failure:  # RunFailed: the connection cannot be used
        failures.append(str(failure))
        return None


def _property_ids(planned: Planned | None, live: LiveContact | None) -> list[str]:
    """Return the ids of the properties that the journal may have a digest of."""
    ids = [*BUILT_IN_IDS]
    ids += planned.row if planned else ()
    ids += live.fields.ids if live else ()
    ids += (live.contact or {}) if live else ()
    return ids


def _properties(
    explanation: Explanation,
    planned: Planned | None,
    live: LiveContact | None,
    question: ContactQuestion,
    contact: str,
    *,
    shows_values: bool,
) -> list[dict[str, Any]]:
    """Return a line for each property that the journal, the row or Connectif has."""
    lines: dict[str, dict[str, Any]] = {}
    for known in explanation.properties:
        lines[known.id] = {"property": known.id, "journal": known.words, "digest": known.digest}
    if planned is not None:
        for name in planned.row:
            line = lines.setdefault(name, {"property": name, "journal": "not known", "digest": None})
            line["next_run"] = planned.turn_of(name)
    if live is not None:
        with_live(lines, live, planned.row if planned else None, question, contact)
    if shows_values:
        for name, line in lines.items():
            if planned is not None:
                line["value_of_row"] = planned.row.get(name)
            if live is not None:
                line["value_at_connectif"] = (live.contact or {}).get(name)
    columns = dict.fromkeys(name for line in lines.values() for name in line)
    return [{column: line.get(column) for column in columns} for line in lines.values()]


def _as_data(
    explanation: Explanation, planned: Planned | None, live: LiveContact | None, properties: list[dict[str, Any]]
) -> dict[str, Any]:
    data: dict[str, Any] = explanation.as_dict()
    step = explanation.next_step
    data["next_step"] = {"action": step.action.value, "words": step.words, "why": step.why}
    data["properties"] = properties
    if planned is not None:
        data["row"] = planned.as_dict()
    if live is not None:
        compared_with = "row" if planned is not None and planned.row else "journal"
        data["live"] = {"exists": live.contact is not None, "compared_with": compared_with}
    return data


def _sections(
    explanation: Explanation, planned: Planned | None, live: LiveContact | None, properties: list[dict[str, Any]]
) -> list[Section]:
    sections: list[Section] = [(f"Sync {explanation.sync_id}", pairs(explanation.facts()))]
    if planned is None:
        step = explanation.next_step
        sections.append(("Next run", f"{step.words}\nWhy: {step.why}"))
    else:
        words = planned.words
        if planned.outcome == "left" and explanation.last is not None and explanation.last.delivered_at is not None:
            words = f"{words}\n{_MAY_BE_FOLLOWED}"
        sections.append(("Next run, with the query's rows of the contact", words))
    if live is not None:
        sections.append(("At Connectif", live.words))
    if properties:
        sections.append(("Properties", properties))
    if explanation.unnamed_properties:
        words = f"The journal has {explanation.unnamed_properties} more; --live or --sql may show their ids."
        sections.append(("" if properties else "Properties", words))
    rows = [
        {
            "at": outcome.at,
            "run_id": outcome.run_id,
            "outcome": outcome.outcome,
            "status": outcome.status_code,
            "properties": list(outcome.properties),
            "reason": outcome.reason,
        }
        for outcome in explanation.history
    ]
    sections.append(("History, the last outcome first", rows or "None is recorded."))
    return sections
