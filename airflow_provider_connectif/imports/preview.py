"""A preview of an import: the files of a plan and their cost, compared with PATCH."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from airflow_provider_connectif.api.quota import Quota
from airflow_provider_connectif.contacts.by_import import is_without_effect
from airflow_provider_connectif.contacts.resource import ContactResource
from airflow_provider_connectif.imports.layout import refuse_columns
from airflow_provider_connectif.imports.limits import QUEUE_LENGTH
from airflow_provider_connectif.imports.rules import ImportRules, poll_delay_s
from airflow_provider_connectif.imports.shapes import UPLOAD_AND_POLL
from airflow_provider_connectif.imports.work_folder import CHECK_PREFIX, work_folder
from airflow_provider_connectif.imports.writing import Split, add_withdrawn_part, sets_nothing
from airflow_provider_connectif.journal.pending import PendingChanges
from airflow_provider_connectif.records.outcomes import Outcome
from airflow_provider_connectif.records.rows import InvalidRow
from airflow_provider_connectif.reporting import wording
from airflow_provider_connectif.reporting.formats import describe_seconds, estimated, plural
from airflow_provider_connectif.reporting.progress import seconds_at_best
from airflow_provider_connectif.reporting.report import Report
from airflow_provider_connectif.reporting.requests import Cost, Requests


class ImportPreview:
    """Writes the files of an import, counts them, and deletes them.

    :param rules: the rules of the import.
    :param report: the report of the check.
    :param quota: has the account's rate limit.
    :param advises: whether to log a warning if PATCH would be faster, and would deliver the same.
    """

    def __init__(self, rules: ImportRules, report: Report, quota: Quota, *, advises: bool = True) -> None:
        self._advises = advises
        self._rules = rules
        self._report = report
        self._quota = quota
        self._files = self._patches = 0
        self._own, self._by_patch = Requests(), Requests()
        self.valid: int | None = None
        """Number of rows that would be delivered; ``None`` before :meth:`look`."""
        self.overwrites = rules.on_existing == "update"

    def check_columns(self, columns: Sequence[str] | None, resource: ContactResource) -> None:
        """Check that an import's files can have these columns.

        :raises MappingError: some cannot; the error names them.
        """
        refuse_columns(columns, resource.mapping)

    def look(self, changes: PendingChanges, resource: ContactResource) -> None:
        """Write the files of a plan, count them, and delete them."""
        split = Split(changes, resource.mapping, self._rules)
        self.valid = len(changes) - changes.beside - changes.counts.removals
        for patch in itertools.chain(split.by_patch(), itertools.chain.from_iterable(split.removals())):
            self._own += resource.requests(patch)
            self._patches += patch.removal is None
        self._by_patch = self._own
        with (
            work_folder(CHECK_PREFIX, self._rules.work_folder, nothing_sent=True) as folder,
            split.files(folder / "files") as files,
        ):
            for patch in itertools.chain.from_iterable(split.by_file()):
                try:
                    if not (is_without_effect(patch) or sets_nothing(patch)):
                        files.add(patch)
                    elif patch.counted_as is None:
                        self.valid -= 1
                        self._report.tally.count_many(Outcome.UNCHANGED, 1)
                    self._by_patch += resource.requests(patch)
                except InvalidRow as invalid:
                    if patch.counted_as is None:
                        self._report.refuse(patch.number, patch.row, Outcome.INVALID, None, invalid.reasons)
                        self.valid -= 1
                        add_withdrawn_part(files, patch, self._rules)
            self._files = len(files.close())
        self._own += (UPLOAD_AND_POLL * self._files, UPLOAD_AND_POLL * self._files)

    @property
    def cost(self) -> Cost:
        """The cost of the files, with one poll for each, and of the changes that go by PATCH."""
        return Cost(self._own, self._files, self._seconds, "import", "the operator imports")

    def summary(self) -> dict[str, Any]:
        """Return the entries of the preview for the summary of the check.

        ``requests_most`` includes one poll for each file. ``patch_requests`` and ``patch_duration_s`` are those of the
        same plan, delivered by PATCH only.
        """
        return {
            "files": self._files,
            "run_requests": self._own.least,
            "requests_least": self._own.least,
            "requests_most": self._own.most,
            "run_duration_s": self._seconds,
            "patch_requests": self._by_patch.least,
            "patch_duration_s": self._patch_seconds,
        }

    def describe(self) -> str:
        """Describe the numbers of rows to import and to send by PATCH."""
        by_patch = f", {self._patches:,} to send by PATCH" if self._patches else ""
        return f"{(self.valid or 0) - self._patches:,} to import in {plural(self._files, 'file')}{by_patch}"

    def log_cost(self) -> None:
        """Log the cost of both ways, and a warning if PATCH would be faster; nothing if there is nothing to send."""
        if not (self._own.most or self._by_patch.most):
            return
        log, allowance = self._report.log, f"{self._quota.requests_per_minute:,} requests a minute"
        log.info(
            wording.COST_BY_IMPORT,
            plural(self._files, "file"),
            plural(self._own.least, "request"),
            describe_seconds(self._seconds),
        )
        time = estimated(self._patch_seconds) if self._patch_seconds else "less than a minute"
        at_most = "" if self._by_patch.least == self._by_patch.most or not self._patch_seconds else "at most "
        log.info(wording.COST_BY_PATCH, self._by_patch.describe(), allowance, at_most + time)
        if self._advises and self.overwrites and self._files and self._patch_seconds < self._seconds:
            log.warning(wording.PATCH_IS_FASTER)

    @property
    def _seconds(self) -> float:
        """The least time in seconds: each import is polled once, when the queue is full or at the end."""
        full, rest = divmod(self._files, QUEUE_LENGTH)
        polls_s = full * self._round_s(QUEUE_LENGTH) + self._round_s(rest)
        return max(polls_s, seconds_at_best(self._own.most, self._quota.requests_per_minute))

    def _round_s(self, files: int) -> float:
        return files * poll_delay_s(self._rules.poll_interval_s, files)

    @property
    def _patch_seconds(self) -> float:
        return seconds_at_best(self._by_patch.most, self._quota.requests_per_minute)
