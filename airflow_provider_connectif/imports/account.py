"""What became of the rows of one import that is over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

from airflow_provider_connectif.api.errors import (
    ConnectifHttpError,
    ErrorReportError,
    MalformedAnswerError,
    NoAnswerError,
)
from airflow_provider_connectif.api.imports import Import
from airflow_provider_connectif.imports.import_file import ImportFile
from airflow_provider_connectif.imports.layout import cells_of
from airflow_provider_connectif.imports.report import ErrorReport
from airflow_provider_connectif.records.changes import LedgerRow
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


class Refused(NamedTuple):
    """A row that the error report names.

    ``cells``: as they stand in the file, by field id; only the key where the file is gone. ``reasons``: in
    Connectif's own words, which may quote values.
    """

    row: LedgerRow
    cells: dict[str, str]
    reasons: tuple[str, ...]


class Numbers(NamedTuple):
    """An import in numbers, which add up to the rows of its file.

    ``missing``: rows that are neither among the successes nor among the errors. ``is_trusted``: the numbers are
    there, and fit this file; otherwise all of its rows are missing.
    """

    taken: int
    refused: int
    missing: int
    is_trusted: bool

    @property
    def is_whole(self) -> bool:
        """Every row is accounted for."""
        return self.is_trusted and not self.missing


def numbers_of(one: Import, rows: int) -> Numbers:
    """The numbers of an import, whatever the response has of them.

    :param rows: of the file.
    """
    taken, refused = one.success, one.errors
    if taken is None or refused is None or one.total not in (rows, None) or taken + refused > rows:
        return Numbers(0, 0, rows, False)
    return Numbers(taken, refused, rows - taken - refused, True)


class Reports:
    """Error reports of one run: fetched, kept as they are, matched to rows.

    :param client: of the API.
    :param folder: for files of this process.
    :param same_contact: one form for all spellings of a key, as the ledgers have them.
    :param keep: where reports are kept; ``None``: nowhere.
    :param log: where it is told if one cannot be had.
    :param pause: waits for some seconds.
    """

    def __init__(
        self,
        client: ReportClient,
        folder: Path,
        same_contact: Callable[[str], str],
        keep: KeepReport | None,
        log: Log,
        pause: Callable[[float], None],
    ) -> None:
        self._client = client
        self._folder = folder
        self._same_contact = same_contact
        self._keep = keep
        self._log = log
        self._pause = pause

    def fetch(self, one: Import) -> Path | None:
        """The report of an import with errors, or ``None`` if it cannot be had, which is told.

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
            else:
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

    def refused(
        self, report: Path, file: ImportFile, errors: int
    ) -> tuple[Iterator[Refused], Callable[[], None]] | None:
        """The refused rows, read one by one, and what is to be called in the end; ``None`` if nobody can tell.

        :param errors: how many rows were refused, as the import says.
        """
        matched = ErrorReport(report, file, self._same_contact)
        if matched.matched_by is None or matched.unmatched or matched.matched != errors:
            self._log.warning(
                "The error report names %s of %s refused rows in a way that can be read: which rows were taken is "
                "not known",
                f"{matched.matched:,}",
                f"{errors:,}",
            )
            matched.close()
            return None
        return self._named(matched, file), matched.close

    def _named(self, matched: ErrorReport, file: ImportFile) -> Iterator[Refused]:
        lines = file.lines()
        for reported in matched.rejected():
            for row, line in lines:
                if row.line == reported.row.line:
                    cells = dict(zip(file.header, cells_of(line, file.delimiter), strict=True))
                    yield Refused(row, cells, reported.reasons)
                    break

    def _kept(self, import_id: str, path: Path) -> None:
        if self._keep is None:
            return
        with path.open("rb") as report, self._keep(import_id) as sink:
            while part := report.read(1024 * 1024):
                sink.write(part)
