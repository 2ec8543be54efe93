"""What all parts of an import work with."""

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
"""Opens the file in which the error report of an import is kept, by the import's id."""


@dataclass
class ImportContext:
    """The surroundings of one run.

    :param client: of the API.
    :param rules: how the run imports.
    :param report: of the run.
    :param journal: what Connectif has acknowledged; ``None``: nothing keeps that.
    :param keep_report: where error reports are kept as they are; ``None``: nowhere.
    :param is_to_stop: whether the run was told to stop; asked several times a second while it waits.
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
