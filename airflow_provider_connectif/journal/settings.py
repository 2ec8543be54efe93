"""The settings of a journal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from airflow_provider_connectif.journal.attempts import AttemptNumbers

HISTORY_LINES = 100_000
HISTORY_RETENTION_S = 30 * 86400.0


@dataclass(frozen=True)
class JournalSettings:
    """The settings of a journal.

    :param sync_id: names one stream of rows to one account. Different syncs have separate lines.
    :param run_id: the run that writes: the DAG id and Airflow's run id, joined by a slash; ``by hand`` outside a DAG
        run. Another run of the same sync waits until this run has ended.
    :param table: the name of the table of lines; the names of the other tables begin with it.
    :param schema: the schema of the tables, if not the connection's default.
    :param key_secret: store keys as HMAC-SHA256 with this secret; ``None`` stores them unchanged.
    :param task: distinguishes the tasks of the run.
    :param keeps_rows: whether pending patches are stored with their rows, for the rejects file.
    :param plan_retention_s: seconds after which pending patches may be deleted if no process has continued them.
    :param conn_id: the id of the connection to the database, for messages.
    :param broken_setting: returns the setting of the connection that the driver refused with an error; ``None`` if the
        error is not about a setting.
    :param attempt: Airflow's numbers of the attempt.
    :param dag_id: the DAG id in the table of runs; ``None`` outside a task.
    :param task_id: the task id in the table of runs; ``None`` outside a task.
    :param map_index: the map index in the table of runs; ``None`` outside a task, -1 for a task that is not mapped.
    :param history_lines: largest number of rows that the history lists for each outcome of a run. Further rows are only
        counted.
    :param history_retention_s: seconds for which the history keeps these lines.
    :param list_secret: the secret of the suppression list and of the receipts of erasures; ``None``: the journal's
        tables have one.
    :param may_defer: whether the task waits without a worker for another run of the sync: see ``Journal.held_by``.
    """

    sync_id: str
    run_id: str
    table: str = "connectif_journal"
    schema: str | None = None
    key_secret: bytes | None = None
    task: str = ""
    keeps_rows: bool = False
    plan_retention_s: float = 7 * 86400.0
    conn_id: str = ""
    broken_setting: Callable[[BaseException], str | None] = lambda _: None
    attempt: AttemptNumbers = field(default_factory=AttemptNumbers)
    may_defer: bool = False
    dag_id: str | None = None
    task_id: str | None = None
    map_index: int | None = None
    history_lines: int = HISTORY_LINES
    history_retention_s: float = HISTORY_RETENTION_S
    list_secret: bytes | None = None
