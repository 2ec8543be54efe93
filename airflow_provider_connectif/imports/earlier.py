"""Imports that an earlier run of the sync has left open: they are settled before this run sends anything.

Otherwise their older values would arrive last, and the journal would name the newer ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.imports.contacts_of_files import stored_contacts
from airflow_provider_connectif.imports.context import ImportContext
from airflow_provider_connectif.imports.rules import ON_EXISTING, OnExisting
from airflow_provider_connectif.imports.settlement import Account, Settlement
from airflow_provider_connectif.imports.watch import Watch
from airflow_provider_connectif.imports.work_folder import work_folder
from airflow_provider_connectif.journal.import_state import ImportState
from airflow_provider_connectif.records.outcomes import TakenOver
from airflow_provider_connectif.reporting.rejects import Rejects
from airflow_provider_connectif.reporting.summary import Tally

if TYPE_CHECKING:
    from airflow_provider_connectif.journal.plan import Plan


class EarlierImports:
    """Settles open imports of earlier runs by their plans. Their rows are in no count of this run.

    :param context: of this run, with its journal open.
    :param mapping: tells when two contact keys are the same.
    :param is_to_stop: whether this run was told to stop while it waits here.
    """

    def __init__(self, context: ImportContext, mapping: ContactMapping, is_to_stop: Callable[[], bool]) -> None:
        self._context = replace(context, is_to_stop=is_to_stop)
        self._mapping = mapping
        self._watch = Watch(self._context)

    def settle(self, plans: Iterable[tuple[Plan, Mapping[str, Any]]]) -> None:
        """Wait for the imports of these plans, write what became of their rows, and delete the plans.

        :param plans: each with the state that it holds.
        :raises Trouble: the time of this run has ended, or the key is refused; the plan stays.
        """
        for plan, saved in plans:
            run = dict(saved.get("run") or {})
            state = ImportState.from_json({**saved, "is_all_sent": False, "is_parked": False, "run": run})
            if state is None:
                continue  # such a state has no open imports either
            with work_folder("connectif-import-", self._context.rules.work_folder) as folder:
                self._settle(plan, state, folder)

    def _settle(self, plan: Plan, state: ImportState, folder: Path) -> None:
        context, watch, log = self._context, self._watch, self._context.log
        if context.journal is None:
            return
        log.warning("An earlier run (%s) has left imports open: waiting for them first", plan.run_id)
        watch.waiting.describe = lambda: f"for the earlier run {plan.run_id}: {watch.describe(state.files)}"
        lines = context.journal.lines.of_plan(plan, int(state.run.get("generation", 0)))
        on_existing: OnExisting = next(
            (known for known in ON_EXISTING if known == state.run.get("on_existing")), "update"
        )
        theirs = replace(context, rules=replace(context.rules, on_existing=on_existing))
        # Row numbers are those of the earlier run, so this run's file of rejected rows gets none of them.
        account = Account(Tally(), Rejects(None))
        contacts = stored_contacts(lines, self._mapping, state)
        try:
            Settlement(theirs, watch, state, contacts, lines, account, folder, state.as_json).settle_all()
        except TakenOver:
            log.info("Another task of this run has settled them")
            return
        finally:
            for trouble in account.troubles:
                log.warning("Earlier run: %s", trouble.words)
        if (since := state.lost_since) is not None:
            watch.until_none_is_open(since, state.known_ids)
        plan.drop()
