"""Imports that an earlier run of the sync has left open: they are settled before this run sends anything.

Otherwise their older values would arrive last, and the journal would name the newer ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.imports.contacts_of_files import StoredContacts
from airflow_provider_connectif.imports.report import KeepReport, Reports
from airflow_provider_connectif.imports.rules import ON_EXISTING, ImportRules
from airflow_provider_connectif.imports.settlement import Account, Settlement
from airflow_provider_connectif.imports.watch import Watch
from airflow_provider_connectif.imports.work_folder import work_folder
from airflow_provider_connectif.journal.import_state import ImportState
from airflow_provider_connectif.records.outcomes import TakenOver
from airflow_provider_connectif.records.protocols import Client
from airflow_provider_connectif.reporting.effort import Effort
from airflow_provider_connectif.reporting.progress import Log
from airflow_provider_connectif.reporting.rejects import Rejects
from airflow_provider_connectif.reporting.summary import Tally

if TYPE_CHECKING:
    from airflow_provider_connectif.journal.plan import Plan
    from airflow_provider_connectif.journal.store import Journal


class EarlierImports:
    """Settles open imports of earlier runs by their plans. Their rows are in no count of this run.

    :param client: of the API.
    :param journal: open.
    :param mapping: tells when two contact keys are the same.
    :param effort: of this run.
    :param is_stopped: whether this run was told to stop.
    :param log: of the task.
    :param rules: of this run, where it imports. Otherwise it waits as long as an import does by default.
    :param keep_report: where error reports are kept; ``None``: nowhere.
    """

    def __init__(
        self,
        client: Client,
        journal: Journal,
        mapping: ContactMapping,
        effort: Effort,
        is_stopped: Callable[[], bool],
        log: Log,
        rules: ImportRules | None = None,
        keep_report: KeepReport | None = None,
    ) -> None:
        self._client = client
        self._journal = journal
        self._mapping = mapping
        self._log = log
        self._rules = rules or ImportRules()
        self._keep_report = keep_report
        self._watch = Watch(client, self._rules, effort, is_stopped, log)

    def settle(self, plan: Plan, state: Mapping[str, Any]) -> None:
        """Wait for the imports of one plan, write what became of their rows, and delete the plan.

        :raises Trouble: the time of this run has ended, or the key is refused; the plan stays.
        """
        run = dict(state.get("run") or {})
        found = ImportState.from_json({**state, "is_all_sent": False, "is_parked": False, "run": run})
        if found is None:
            return  # such a state has no open imports either
        self._log.warning("An earlier run (%s) has left imports open: waiting for them first", plan.run_id)
        self._watch.waiting.describe = lambda: f"for the earlier run {plan.run_id}: {self._watch.describe(found.files)}"
        lines = self._journal.lines.of_plan(plan, int(run.get("generation", 0)))
        saved = run.get("on_existing")
        rules = replace(self._rules, on_existing=next((known for known in ON_EXISTING if known == saved), "update"))
        # Row numbers are those of the earlier run, so this run's file of rejected rows gets none of them.
        account = Account(Tally(), Rejects(None))
        with work_folder("connectif-import-", rules.work_folder) as folder:
            settlement = Settlement(
                found,
                rules,
                self._watch,
                Reports(self._client, folder, self._keep_report, self._log, self._watch.waiting.pause),
                StoredContacts(lines, self._mapping, found),
                lines,
                account,
                found.as_json,
                self._log,
            )
            try:
                settlement.settle_all()
            except TakenOver:
                self._log.info("Another task of this run has settled them")
                return
            finally:
                for trouble in account.troubles:
                    self._log.warning("Earlier run: %s", trouble.words)
        if (since := found.lost_since) is not None:
            self._watch.until_none_is_open(since, found.known_ids)
        plan.drop()
