"""Imports that an earlier run of the sync has left open: they are settled before this run sends anything.

Otherwise their older values would arrive last, and the journal would name the newer ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.delivery.response_policy import ResponsePolicy
from airflow_provider_connectif.imports.account import KeepReport, ReportClient, Reports
from airflow_provider_connectif.imports.import_file import ImportFile
from airflow_provider_connectif.imports.layout import KEY_PROPERTIES
from airflow_provider_connectif.imports.pending_file import restored_file
from airflow_provider_connectif.imports.requests import ImportClient, ImportRequests
from airflow_provider_connectif.imports.rules import ON_EXISTING, ImportRules
from airflow_provider_connectif.imports.settlement import Settlement
from airflow_provider_connectif.imports.waiting import Waiting
from airflow_provider_connectif.imports.watch import Watch
from airflow_provider_connectif.imports.work_folder import work_folder
from airflow_provider_connectif.journal.import_state import ImportState, SentFile
from airflow_provider_connectif.records.outcomes import TakenOver
from airflow_provider_connectif.reporting.effort import Effort
from airflow_provider_connectif.reporting.progress import Log
from airflow_provider_connectif.reporting.rejects import Rejects
from airflow_provider_connectif.reporting.summary import Tally

if TYPE_CHECKING:
    from airflow_provider_connectif.journal.plan import Plan
    from airflow_provider_connectif.journal.store import Journal


class EarlierClient(ImportClient, ReportClient, Protocol):
    """What is needed of :class:`airflow_provider_connectif.api.client.ConnectifClient`."""

    longest_wait_s: float


def earlier_imports(
    client: EarlierClient,
    journal: Journal,
    mapping: ContactMapping,
    effort: Effort,
    is_stopped: Callable[[], bool],
    log: Log,
) -> EarlierImports:
    """For a run that does not import itself.

    It waits as long as an import does by default, and looks at responses as an import does: the author's
    ``on_response`` is about contacts only.

    :param effort: of the run.
    :param is_stopped: whether the run was told to stop.
    """
    rules = ImportRules()
    waiting = Waiting(rules, effort, is_stopped, log, client.longest_wait_s)
    requests = ImportRequests(client, rules, ResponsePolicy(), waiting, log, effort.add_failure)
    return EarlierImports(client, rules, Watch(requests, rules, waiting, log), waiting, journal, mapping, log)


class EarlierImports:
    """Settles open imports of earlier runs by their plans. Their rows are in no count of this run.

    :param client: of the API.
    :param rules: of this run.
    :param watch: polls imports.
    :param waiting: ends with this run.
    :param journal: open.
    :param mapping: tells how contact keys are compared.
    :param log: where each end is told.
    :param keep_report: where error reports are kept; ``None``: nowhere.
    """

    def __init__(
        self,
        client: ReportClient,
        rules: ImportRules,
        watch: Watch,
        waiting: Waiting,
        journal: Journal,
        mapping: ContactMapping,
        log: Log,
        keep_report: KeepReport | None = None,
    ) -> None:
        self._client = client
        self._rules = rules
        self._watch = watch
        self._waiting = waiting
        self._journal = journal
        self._mapping = mapping
        self._log = log
        self._keep_report = keep_report

    def settle(self, plan: Plan, state: Mapping[str, Any]) -> None:
        """Wait for the imports of one plan, write what became of their rows, and delete the plan.

        :raises Trouble: the time of this run is over, or the key is refused; the plan stays.
        """
        run = state.get("run") or {}
        files = [SentFile(**file) for file in state["files"]]
        is_open = [sent for sent in files if sent.is_open]
        ids = {sent.import_id for sent in files if sent.import_id is not None}
        self._log.warning("An earlier run (%s) has left imports open: waiting for them first", plan.run_id)
        self._waiting.describe = lambda: f"for the earlier run {plan.run_id}: {self._watch.describe(files)}"
        journal = self._journal.of_plan(plan, int(run.get("generation", 0)))
        with work_folder("connectif-import-") as folder:
            settlement = self._settlement(run, journal, folder)
            try:
                settlement.settle_all(
                    is_open,
                    self._watch,
                    Tally(),
                    lambda: ImportState(files, False, dict(run)).as_json(),
                    lambda trouble, _: self._log.warning("Earlier run: %s", trouble.words),
                )
            except TakenOver:
                self._log.info("Another task of this run has settled them")
                return
        lost = [sent.since for sent in is_open if sent.import_id is None and sent.since is not None]
        if lost:
            self._watch.until_none_is_open(min(lost), ids)
        plan.drop()

    def _settlement(self, run: Mapping[str, Any], journal: Journal, folder: Path) -> Settlement:
        saved = run.get("on_existing")
        rules = replace(self._rules, on_existing=next((known for known in ON_EXISTING if known == saved), "update"))

        def same_contact(key: str) -> str:
            return journal.written_key(self._mapping.same_contact(key))

        def rows_of(sent: SentFile) -> tuple[ImportFile, bool]:
            rows = journal.plan.file_rows(sent.file)
            return restored_file(folder / "restored", rows, KEY_PROPERTIES[self._mapping.key]), True

        reports = Reports(self._client, folder, same_contact, self._keep_report, self._log, self._waiting.pause)
        # Row numbers are those of the earlier run, so this run's file of refused rows gets none of them.
        return Settlement(rules, reports, Rejects(None), journal, rows_of, self._log)
