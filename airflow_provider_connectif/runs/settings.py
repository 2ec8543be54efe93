"""The settings of a run, from the operator's arguments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from airflow_provider_connectif.journal.pending import PENDING_LIMIT_BYTES
from airflow_provider_connectif.reporting.failure_budget import FailureBudget
from airflow_provider_connectif.reporting.verdict import Verdict
from airflow_provider_connectif.runs.departures import ReadSettings
from airflow_provider_connectif.runs.guards import GuardLimits

READ_TIMEOUT_S = 6 * 3600.0


@dataclass(frozen=True)
class RunSettings:
    """The settings of a run, from the operator's arguments.

    :param budget: the failure budget.
    :param live_definitions: whether rows are checked against the account's definitions, if the resource needs them.
    :param without_definitions: the consequence if the definitions cannot be read, for the log. Default: the resource's.
    :param definitions_timeout_s: seconds in which they must be read. Default: no limit but the timeout of each request.
    :param full_refresh: with a journal: whether to send every row, changed or not.
    :param retry_rejected: with a journal: whether to send rows again that were rejected and have not changed.
    :param way: the way of delivery, if Connectif need not hold the sent values afterwards; otherwise empty.
    :param work_folder: folder for pending changes. Default: the system's temporary folder.
    :param pending_limit_bytes: the largest size of the pending changes, in bytes.
    :param read_timeout_s: time limit in seconds for reading the source.
    :param time_limit_s: time limit in seconds for a run that can be deferred, deferrals included.
    :param conn_id: the id of the client's connection, for messages.
    :param guards: the limits on the plan.
    :param verdicts: the verdict on a run that an exception of the author's own function ends, by the exception's class.
        For any other class, another attempt may succeed.
    :param read: the settings for the read, and for contacts that left the source.
    """

    budget: FailureBudget
    live_definitions: bool
    without_definitions: str = ""
    definitions_timeout_s: float | None = None
    full_refresh: bool = False
    retry_rejected: bool = False
    way: str = ""
    work_folder: Path | None = None
    pending_limit_bytes: int = PENDING_LIMIT_BYTES
    read_timeout_s: float = READ_TIMEOUT_S
    time_limit_s: float | None = None
    conn_id: str = ""
    verdicts: Mapping[type[BaseException], Verdict] = field(default_factory=dict)
    guards: GuardLimits = field(default_factory=GuardLimits)
    read: ReadSettings = field(default_factory=ReadSettings)
