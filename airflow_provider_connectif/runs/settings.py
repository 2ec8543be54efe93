"""What an author decides about a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from airflow_provider_connectif.journal.pending import PENDING_LIMIT_BYTES
from airflow_provider_connectif.reporting.failure_budget import FailureBudget
from airflow_provider_connectif.runs.departures import ReadSettings
from airflow_provider_connectif.runs.guards import GuardLimits

READ_TIMEOUT_S = 6 * 3600.0


@dataclass(frozen=True)
class RunSettings:
    """What an author decides about a run.

    :param budget: how many refused rows are too many.
    :param live_definitions: check against the account's own definitions, read once where something needs them.
    :param without_definitions: what it means for the run if they cannot be had, for the log. Default: the resource's.
    :param definitions_timeout_s: seconds in which they must be there. Default: no limit but that of each request.
    :param full_refresh: with a journal: send every row, changed or not.
    :param retry_rejected: with a journal: send rows again that were refused as they are.
    :param way: of delivery, where it is one after which Connectif need not hold what was sent.
    :param work_folder: where pending changes lie. Default: the system's temporary folder.
    :param pending_limit_bytes: of pending changes.
    :param read_timeout_s: seconds in which the source must end.
    :param time_limit_s: seconds that a run may take that can be deferred, those without a worker included.
    :param conn_id: the client's connection, for messages.
    :param guards: what a plan may be.
    :param read: what is to be known of the read, and of the contacts that left the source.
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
    guards: GuardLimits = field(default_factory=GuardLimits)
    read: ReadSettings = field(default_factory=ReadSettings)
