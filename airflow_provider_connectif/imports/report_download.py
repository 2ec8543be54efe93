"""Error reports, fetched and kept as they are."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, Protocol

from airflow_provider_connectif.api.errors import (
    ConnectifHttpError,
    ErrorReportError,
    MalformedAnswerError,
    NoAnswerError,
)
from airflow_provider_connectif.api.imports import Import
from airflow_provider_connectif.reporting.progress import Log

_ADDRESSES = 3  # of one report; each time the import is asked for there is a fresh one
_BETWEEN_ADDRESSES_S = 0.5
_NO_REPORT = "there is no error report"

KeepReport = Callable[[str], AbstractContextManager[BinaryIO]]
"""Opens the file in which the error report of an import is kept, by the import's id."""


class ReportClient(Protocol):
    """What is needed of the API's client."""

    def get_import(self, import_id: str) -> Import:
        """One import."""

    def download_error_report(self, url: str, sink: BinaryIO) -> int:
        """Its report."""


class Reports:
    """Error reports of one run.

    :param client: of the API.
    :param folder: for files of this process.
    :param keep: where reports are kept; ``None``: nowhere.
    :param log: gets a warning for each that cannot be had.
    :param pause: waits for some seconds.
    """

    def __init__(
        self,
        client: ReportClient,
        folder: Path,
        keep: KeepReport | None,
        log: Log,
        pause: Callable[[float], None],
    ) -> None:
        self._client = client
        self._folder = folder
        self._keep = keep
        self._log = log
        self._pause = pause

    def fetch(self, one: Import) -> Path | None:
        """The report of an import with errors, or ``None`` if it cannot be had.

        Fetched at once, since how long its address is valid is not documented; a refused one is replaced.
        """
        path = self._folder / "report.csv"
        why = _NO_REPORT
        for attempt in range(_ADDRESSES):
            if attempt:
                self._pause(_BETWEEN_ADDRESSES_S * attempt)
                one = self._again(one)
            if one.error_report_url is None:
                why = _NO_REPORT
                continue
            try:
                with path.open("wb") as sink:
                    self._client.download_error_report(one.error_report_url, sink)
                self._kept(one.id, path)
                return path
            except ErrorReportError as error:
                why = error.what
                if not error.is_passing:
                    break
        self._log.warning("Import %s: its error report could not be had (%s)", one.id, why)
        return None

    def _again(self, one: Import) -> Import:
        """The import with a fresh address."""
        try:
            return self._client.get_import(one.id)
        except (ConnectifHttpError, NoAnswerError, MalformedAnswerError):
            return one

    def _kept(self, import_id: str, path: Path) -> None:
        if self._keep is None:
            return
        with path.open("rb") as report, self._keep(import_id) as sink:
            while part := report.read(1024 * 1024):
                sink.write(part)
