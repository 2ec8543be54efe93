"""Computes the cost of delivering a plan by import: files, requests, time."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence

from airflow_provider_connectif.api.quota import Quota
from airflow_provider_connectif.contacts.mapping_arguments import MappingError
from airflow_provider_connectif.contacts.resource import ContactResource
from airflow_provider_connectif.imports.layout import refuse_columns
from airflow_provider_connectif.imports.limits import QUEUE_LENGTH
from airflow_provider_connectif.imports.rules import ImportRules, poll_delay_s
from airflow_provider_connectif.imports.writing import Split
from airflow_provider_connectif.journal.pending import PendingChanges
from airflow_provider_connectif.records.changes import Patch
from airflow_provider_connectif.reporting.requests import Cost, Requests

_AS_FAST_AS_BEFORE = (0.95, 1.0, 1.05)

RowsPerSecond = Callable[[int], float | None]
"""Returns the lines per second that Connectif processes in an import of so many lines; ``None``: not known."""


class ImportCosts:
    """Computes the cost of delivering a plan by import.

    :meth:`cost` also sets three attributes for the delivery of the same plan. ``split``: its contacts, split into files
    and PATCH. ``seconds``: the expected duration; ``None`` if it is not known. ``most_polls``: the polls that the limit
    on requests allows; ``None`` without a limit.

    :param rules: the rules of the import.
    :param quota: has the account's rate limit.
    :param rows_per_second: the speed of earlier imports.
    """

    def __init__(self, rules: ImportRules, quota: Quota, rows_per_second: RowsPerSecond = lambda _: None) -> None:
        self._rules = rules
        self._quota = quota
        self._rows_per_second = rows_per_second
        self.split: Split | None = None
        self.seconds: float | None = None
        self.most_polls: int | None = None

    def cost(self, changes: PendingChanges, resource: ContactResource, most_requests: int | None = None) -> Cost:
        """Return the cost of a plan: estimated files, their uploads and polls, and the contacts sent by request.

        ``requests.most`` includes the polls. If the speed of imports is known, that is their expected number, within
        ``most_requests``. Otherwise it is as many as ``most_requests`` allows; without a limit, one for each file.

        :param most_requests: a limit on all requests; the run polls less often to keep within it.
        """
        self.split = split = Split(changes, resource.mapping, self._rules)
        before = _requests(resource, split.by_patch())
        after = _requests(resource, itertools.chain.from_iterable(split.removals()))
        files = split.layout.files
        per_second = self._rows_per_second(split.lines) if files else None
        allowance = self._quota.allowance
        sent = Requests(files, files) + before + after
        self.most_polls = None if most_requests is None else max(files, most_requests - sent.most)
        seconds: float | None = allowance.seconds_for(before.most + files + after.most)
        polls = files if self.most_polls is None or not files else self.most_polls
        if per_second is not None and seconds is not None:
            processing_s = split.lines / per_second
            expected = self._expected_polls(files, processing_s)
            polls = expected if self.most_polls is None else min(expected, self.most_polls)
            seconds = max(seconds, allowance.seconds_for(before.most + 1) + self._seen_after(processing_s))
        elif files:
            seconds = None
        self.seconds = seconds
        return Cost(sent + Requests(files, polls), files, seconds, "import", "the operator imports")

    def _seen_after(self, processing_s: float) -> float:
        """Return the expected seconds until a poll shows that an import has ended.

        :param processing_s: the time that Connectif needs, which is only known roughly.
        """
        interval_s = self._rules.poll_interval_s
        ends = [math.ceil(processing_s * factor / interval_s) * interval_s for factor in _AS_FAST_AS_BEFORE]
        return sum(ends) / len(ends)

    def _expected_polls(self, files: int, processing_s: float) -> int:
        """Return the number of polls for imports that take ``processing_s`` seconds together.

        It includes one poll for each import, which shows the end of that import.
        """
        return files + math.ceil(processing_s / poll_delay_s(self._rules.poll_interval_s, min(files, QUEUE_LENGTH)))


def why_not_by_import(resource: ContactResource, columns: Sequence[str] | None) -> str:
    """Return why a plan cannot be imported, in words; empty if it can.

    :param resource: has the field definitions that the rows are checked against.
    :param columns: the columns of the source; ``None`` if they are not known.
    """
    on_create = [repr(property_id) for property_id, mode in resource.modes.items() if mode == "on_create"]
    if on_create:
        return f"an import cannot write {', '.join(on_create)} on_create"
    if resource.mapping.nulls == "clear":
        return "an import cannot clear properties (nulls='clear')"
    properties = resource.mapping.properties
    if resource.warning_about(columns or () if properties is None else properties):
        return "an import cannot raise consents (resubscribe='always')"
    try:
        refuse_columns(columns, resource.mapping)
    except MappingError as error:
        return str(error)
    return ""


def _requests(resource: ContactResource, patches: Iterable[Patch]) -> Requests:
    requests = Requests()
    for patch in patches:
        requests += resource.requests(patch)
    return requests
