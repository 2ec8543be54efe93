"""Settles the imports that an earlier run of the sync, or an earlier attempt, has left open.

This run sends nothing before that. Otherwise Connectif would set the older values of these imports last, while the
journal has the newer ones.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.imports.contacts_of_files import StoredContacts
from airflow_provider_connectif.imports.context import ImportContext
from airflow_provider_connectif.imports.rules import ON_EXISTING, TRIGGER_GRACE_S, OnExisting
from airflow_provider_connectif.imports.settlement import Settlement
from airflow_provider_connectif.imports.tally import ImportTally
from airflow_provider_connectif.imports.watch import Watch
from airflow_provider_connectif.imports.work_folder import IMPORT_PREFIX, work_folder
from airflow_provider_connectif.journal.import_state import ImportState
from airflow_provider_connectif.records.deferrals import Deferral
from airflow_provider_connectif.records.outcomes import Outcome, TakenOver
from airflow_provider_connectif.reporting import wording
from airflow_provider_connectif.reporting.formats import clock, plural

if TYPE_CHECKING:
    from airflow_provider_connectif.journal.plan import Plan
    from airflow_provider_connectif.journal.run_lines import RunLines
    from airflow_provider_connectif.reporting.report import Report

_LEAST_BETWEEN_LOOKS_S, _LONGEST_BETWEEN_LOOKS_S = 60.0, 600.0


def settle_attempt(
    context: ImportContext, watch: Watch, mapping: ContactMapping, state: ImportState, folder: Path
) -> None:
    """Wait for the imports of an earlier attempt of this run that died, settle them, and drop that attempt's plan.

    :param state: the state of that attempt's imports.
    :raises ImportFailed: the time of this run has passed, or the API key is refused; the plan is kept.
    """
    if context.journal is None:
        return
    watch.waiting.begin()
    watch.was_away = True
    words = wording.EARLIER_ATTEMPT_LEFT if state.removals_left else wording.EARLIER_ATTEMPT
    context.log.info(words, watch.describe(state.files))
    report = context.report.apart(is_of_this_run=True)
    # When this attempt reads the rows again, those that the earlier attempt has delivered count as delivered.
    generation = int(state.run.get("generation", context.journal.generation))
    lines = context.journal.lines.of_plan(context.journal.plan, generation, history=context.journal.history)
    settlement, tally = _settlement(context, watch, mapping, lines, state, folder, report)
    settlement.settle_all()
    watch.wait_for_lost(state)
    for failure in tally.failures:
        context.log.warning(wording.TROUBLE_OF_EARLIER_ATTEMPT, failure.words)
    context.report.imported_in = state.imported_in
    watch.was_away = False
    context.journal.plan.drop()


def settle_earlier(
    context: ImportContext, mapping: ContactMapping, plans: Iterable[tuple[Plan, Mapping[str, Any]]]
) -> Deferral | None:
    """Wait for the imports of earlier runs, record the outcomes of their rows, and delete the plans of these runs.

    The rows do not count in this run.

    :param context: the context of this run; its journal is open.
    :param mapping: decides when two contact keys are the same.
    :param plans: the plans of the earlier runs, each with its stored state.
    :return: the deferral after which to call this again; ``None``: all imports are settled.
    :raises ImportFailed: the time of this run has passed, or the API key is refused; the plan is kept.
    """
    watch, rules = Watch(context), context.rules
    if rules.deferrable:
        watch.waiting.begin(context.report.effort.started_at + rules.timeout_s)  # for all polls together
    for plan, saved in plans:
        state = ImportState.from_json(
            {**saved, "is_all_sent": False, "is_parked": False, "run": saved.get("run") or {}}
        )
        if state is None or context.journal is None:
            continue  # a state that cannot be read has no open imports
        lines = context.journal.lines.of_plan(plan, int(state.run.get("generation", 0)))
        described = watch.waiting.described(partial(_describe, watch, lines, state))
        with work_folder(IMPORT_PREFIX, rules.work_folder) as folder, described:
            if not _is_settled(context, watch, mapping, lines, state, folder):
                return _deferral(context, watch, plan)
    return None


def _settlement(
    context: ImportContext,
    watch: Watch,
    mapping: ContactMapping,
    lines: RunLines,
    state: ImportState,
    folder: Path,
    report: Report,
) -> tuple[Settlement, ImportTally]:
    """Return the settlement of earlier imports, and the counts of their contacts.

    :param report: receives these counts; it is not the report of this run.
    """
    tally = ImportTally(report, is_earlier=True)
    contacts = StoredContacts(lines, mapping, state)
    on_existing: OnExisting = next((known for known in ON_EXISTING if known == state.run.get("on_existing")), "update")
    context = replace(context, rules=replace(context.rules, on_existing=on_existing))
    return Settlement(context, watch, state, contacts, lines, tally, folder, state.as_json), tally


def _is_settled(
    context: ImportContext, watch: Watch, mapping: ContactMapping, lines: RunLines, state: ImportState, folder: Path
) -> bool:
    """Settle one plan. Return ``False`` if one of its imports is still running, and this run may be deferred.

    :param lines: the journal's lines, as written by the earlier run.
    """
    context.log.warning(wording.EARLIER_RUN, lines.run_id)
    settlement, tally = _settlement(context, watch, mapping, lines, state, folder, context.report.apart())
    try:
        if not context.rules.deferrable:
            settlement.settle_all()
        elif settlement.settle_ended():
            watch.waiting.check()
            return False
    except TakenOver:
        context.log.info(wording.EARLIER_RUN_SETTLED)
        return True
    finally:
        for failure in tally.failures:
            context.log.warning(wording.TROUBLE_OF_EARLIER_RUN, failure.words)
    if context.rules.deferrable and state.lost_since and watch.open_imports(state.lost_since, state.known_ids):
        watch.waiting.check()
        return False
    watch.wait_for_lost(state)
    context.report.import_ids += sorted(state.known_ids)
    lines.plan.drop()
    outcomes = tally.report.tally.outcomes
    # Without the rows of imports that an earlier process has settled, such as one before a deferral.
    rejected = f"{plural(refused, 'row')} rejected" if (refused := outcomes[Outcome.REJECTED]) else ""
    details = wording.details(watch.describe(state.files), rejected)
    context.log.info(wording.EARLIER_RUN_FINISHED, details)
    return True


def _describe(watch: Watch, lines: RunLines, state: ImportState, _: object) -> str:
    return f"imports of the earlier run {lines.run_id}: {watch.describe(state.files)}"


def _deferral(context: ImportContext, watch: Watch, plan: Plan) -> Deferral:
    """Return a deferral after which the task polls again.

    The delays grow, since each poll costs a worker some seconds.
    """
    now, deadline = time.time(), watch.waiting.deadline
    interval_s = min(_LONGEST_BETWEEN_LOOKS_S, max(_LEAST_BETWEEN_LOOKS_S, context.report.effort.duration_s / 4))
    until = min(deadline, now + max(interval_s, context.rules.poll_interval_s))
    words = wording.EARLIER_RUN_DEFERRED.format(again=clock(until), run_id=plan.run_id)
    return Deferral(until, max(0.0, deadline - now) + TRIGGER_GRACE_S, words=words)
