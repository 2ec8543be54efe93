"""The objects that all parts of a run's import use."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from airflow_provider_connectif.imports.rules import ImportRules
from airflow_provider_connectif.records.protocols import Client
from airflow_provider_connectif.reporting.folding import Log
from airflow_provider_connectif.reporting.report import Report

if TYPE_CHECKING:
    from airflow_provider_connectif.journal.store import Journal

KeepReport = Callable[[str], AbstractContextManager[BinaryIO]]
"""Opens the file that stores the error report of an import, by the import's id."""


@dataclass
class ImportContext:
    """The objects that all parts of a run's import use.

    :param client: sends the requests to Connectif.
    :param rules: the rules of the import.
    :param report: the counts, log and rejects file of the run.
    :param journal: the journal; ``None`` for a run without one.
    :param keep_report: stores error reports unchanged; ``None``: they are not stored.
    :param is_to_stop: returns whether the run must stop; called several times a second while it waits.
    """

    client: Client
    rules: ImportRules
    report: Report
    journal: Journal | None = None
    keep_report: KeepReport | None = None
    is_to_stop: Callable[[], bool] = lambda: False

    @property
    def log(self) -> Log:
        """The task's log."""
        return self.report.log
