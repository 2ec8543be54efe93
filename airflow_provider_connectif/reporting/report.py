"""The report that all stages write to: counts, refused rows, progress. It depends on no stage."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, Protocol

from airflow_provider_connectif.api.errors import ConnectifHttpError
from airflow_provider_connectif.api.quota import Quota
from airflow_provider_connectif.api.window import Allowance
from airflow_provider_connectif.records.changes import Patch
from airflow_provider_connectif.records.outcomes import Error, Outcome, Settled
from airflow_provider_connectif.records.resource import Resource
from airflow_provider_connectif.records.rows import Row
from airflow_provider_connectif.reporting.effort import Effort
from airflow_provider_connectif.reporting.folding import Log
from airflow_provider_connectif.reporting.progress import Progress, Publish
from airflow_provider_connectif.reporting.reasons import public_reasons, raw_reasons
from airflow_provider_connectif.reporting.rejects import Rejects, only_logged
from airflow_provider_connectif.reporting.requests import Imported
from airflow_provider_connectif.reporting.run_columns import run_columns
from airflow_provider_connectif.reporting.shown import ShownCounts
from airflow_provider_connectif.reporting.summary import Tally

REMOVED = "removed"
"""The outcome, in the history, of a contact that left the source and for which ``on_removed`` was carried out."""

Confirm = Callable[[Settled, Sequence[str], int | None], bool]

_MOST_IMPORT_IDS = 100  # in the journal's record of a run
_LONGEST_CAUSE = 1000  # characters, likewise


class RowHistory(Protocol):
    """The journal's history: it receives the outcome of each row that was not ``unchanged``."""

    def add(
        self,
        outcome: str,
        key: str | None,
        *,
        properties: Collection[str] = (),
        status: int | None = None,
        reason: str = "",
        is_written: bool = False,
    ) -> bool:
        """Add the outcome of a row.

        :param key: the key of the row's contact, in one form for all spellings; ``None``: the row has no valid key.
        """

    def add_many(self, outcome: str, rows: int, reason: str = "") -> None:
        """Add one outcome for several rows that cannot be identified one by one."""

    def fill_up(self, outcome: str, rows: int) -> None:
        """Add lines without a key until the outcome has ``rows`` lines."""

    def keep(self, outcome: str, key: str) -> None:
        """Note that an earlier attempt of the run delivered a row."""

    def correct(
        self,
        earlier: str,
        outcome: str,
        key: str,
        *,
        status: int | None = None,
        reason: str = "",
        is_written: bool = False,
    ) -> None:
        """Replace the outcome of a row that was added before."""

    @property
    def place(self) -> tuple[int, int]:
        """The place in the lines that wait to be written."""

    def back_to(self, place: tuple[int, int]) -> None:
        """Withdraw the lines that were added since :attr:`place` had a value and are not written yet."""


class Report:
    """The report of one run, over all its processes.

    ``tally``: rows by outcome. ``effort``: requests and time. ``rejects``: the rows that were not delivered.
    ``progress``: the progress lines of the task log. ``shown``: counts of what responses show of the stored values.
    ``log``: the task's log.

    :param resource: has the noun for a thing, and the columns of its properties.
    :param quota: the client's quota.
    :param rejects: receives the rows that were not delivered.
    :param rejects_path: path of the rejects file, for the summary.
    :param log: the task's log.
    :param by_import: whether rows go into import files, so that most take no request of their own.
    :param history: receives the outcome of each row that was not ``unchanged``.
    :param publish: receives the progress; see :class:`Progress`.
    """

    def __init__(
        self,
        resource: Resource,
        quota: Quota,
        rejects: Rejects,
        rejects_path: str | None,
        log: Log,
        *,
        by_import: bool = False,
        history: RowHistory | None = None,
        publish: Publish | None = None,
    ) -> None:
        self._resource = resource
        self._quota = quota
        self._rejects_path = rejects_path
        self.tally = Tally()
        self.effort = Effort(quota)
        self.progress = Progress(log, self.tally, quota, self.effort, by_import=by_import, publish=publish)
        self.rejects = rejects
        self.shown = ShownCounts(log, resource.noun)
        self.log = log
        self.history = history
        self.way = "import" if by_import else "patch"
        self.mapping_digest: str | None = None
        """The digest of the mapping, from the comparison with the journal."""
        self.plan: dict[str, Any] = {}
        """The numbers of the plan, by name."""
        self.left_behind = 0
        """Rows without an outcome when the run ended early: they are undelivered."""
        self.cause = ""
        """The cause of a failure in words; empty: the run has not failed."""
        self.imported_in: Imported | None = None
        """The duration of the run's imports, once all of them have finished."""
        self.import_ids: list[str] = []
        """The ids of the run's imports, and of earlier ones that it has settled."""
        self.complete_read: dict[str, Any] | None = None
        """The record of the complete read, JSON-ready; it is written once the whole plan was sent."""

    def go_by_import(self) -> None:
        """Note that the run imports: from now on, most rows need no request of their own."""
        self.way = "import"
        self.progress.go_by_import()

    def go_by_request(self) -> None:
        """Note that the run cannot import after all: each row needs a request of its own."""
        self.way = "patch"
        self.progress.go_by_request()

    @property
    def may_leave_doubt(self) -> bool:
        """Whether a change whose response is lost is not sent again, since it may have arrived."""
        return not self._resource.is_idempotent

    @property
    def window(self) -> Allowance | None:
        """The account's window, if the run has seen two in a row."""
        return self._quota.seen

    def apart(self, *, is_of_this_run: bool = False) -> Report:
        """Return a separate report for what another run or attempt has sent, which this process does not count.

        :param is_of_this_run: whether an attempt of this run has sent it: it is in the run's history, too.
        """
        history = self.history if is_of_this_run else None
        return Report(self._resource, self._quota, Rejects(None), None, self.log, history=history)

    @property
    def written_rejects_path(self) -> str | None:
        """Path of the rejects file; ``None`` if it has no row."""
        return self._rejects_path if self.rejects.lines else None

    def close_rejects(self, error: BaseException | None = None) -> None:
        """Close the rejects file.

        :param error: the error that has ended the run. Then an error of the file is only logged.
        """
        with nullcontext() if error is None else only_logged(self.log, self._rejects_path):
            self.rejects.close()

    def refuse(
        self,
        number: int,
        row: Row,
        outcome: Outcome,
        status: int | None,
        reasons: Sequence[str],
        *,
        contact: str | None = None,
        is_known: bool = False,
    ) -> None:
        """Count a row that is not sent, and write it to the rejects.

        :param reasons: without personal data.
        :param contact: the row's key in one form for all spellings; ``None`` if it has no valid key.
        :param is_known: whether an earlier run has refused the same row for the same reason.
        """
        self.tally.count(outcome, number, reasons, is_known=is_known)
        if self.history is not None:
            self.history.add(outcome.value, contact, status=status, reason="; ".join(reasons))
        key = row.get(self._resource.key_column) if hasattr(row, "get") else None
        self.rejects.write(number, key, outcome.value, status, reasons, row)

    def settle(self, settled: Settled, confirm: Confirm) -> None:
        """Count a change that was sent, and write it to the rejects if it was not delivered.

        :param confirm: writes the result into the journal. It receives the reasons without personal data and the status
            of the last response, and returns whether an earlier run has seen the same refusal.
        """
        patch, error = settled.patch, settled.error
        reasons: Sequence[str] = () if error is None else self._reasons(error, patch, settled)
        self.shown.count(settled)
        status = error.status if isinstance(error, ConnectifHttpError) else None
        is_known = confirm(settled, reasons, status)
        if patch.removal is not None:
            self._settle_removal(settled, reasons, status)
        elif patch.counted_as is not None:
            self._settle_beside(settled, Outcome(patch.counted_as), reasons, status)
        else:
            self._add_to_history(settled, reasons, status)
            self.tally.count(settled.outcome, patch.number, _shown(settled.outcome, reasons), is_known=is_known)
        if error is not None and settled.outcome in (Outcome.REJECTED, Outcome.UNDELIVERED):
            raw = [*(["in doubt: it may have arrived"] if settled.is_in_doubt else []), *raw_reasons(error)]
            self.rejects.write(patch.number, patch.key, settled.outcome.value, status, raw, patch.row)

    def _add_to_history(self, settled: Settled, reasons: Sequence[str], status: int | None) -> None:
        patch, outcome = settled.patch, settled.outcome
        if self.history is None or outcome is Outcome.UNCHANGED:
            return
        key = self._resource.same_key(patch.key)
        properties = settled.sent_earlier.union(patch.properties, patch.later)
        self.history.add(outcome.value, key, properties=properties, status=status, reason="; ".join(reasons))

    def _settle_removal(self, settled: Settled, reasons: Sequence[str], status: int | None) -> None:
        """Count a change of a contact that left the source. It is not a row, so a failure is not in the history."""
        is_done = self.tally.count_removal(settled.outcome, reasons)
        if is_done and self.history is not None:
            key = self._resource.same_key(settled.patch.key)
            self.history.add(REMOVED, key, properties=settled.patch.properties, status=status)

    def count_removed_earlier(self, keys: Sequence[str]) -> None:
        """Count the contacts for which earlier attempts of the run have carried out ``on_removed``.

        Their lines in the history stay.

        :param keys: the contacts' keys.
        """
        for key in keys:
            self.tally.removals[Outcome.UPDATED] += 1
            if self.history is not None:
                self.history.keep(REMOVED, key)

    def _settle_beside(self, settled: Settled, counted_as: Outcome, reasons: Sequence[str], status: int | None) -> None:
        """Settle the urgent part of a row that has an outcome already. If the part is undelivered, so is the row."""
        if settled.outcome is Outcome.UNDELIVERED:
            self.tally.outcomes[counted_as] -= 1
            self.tally.count(Outcome.UNDELIVERED, settled.patch.number, reasons)
            if self.history is not None:
                key, reason = self._resource.same_key(settled.patch.key), "; ".join(reasons)
                self.history.correct(counted_as.value, Outcome.UNDELIVERED.value, key, status=status, reason=reason)

    def note_suppressed(self) -> None:
        """Write the rows of suppressed people into the history, which must not name them."""
        if self.history is not None:
            self.history.fill_up(Outcome.SUPPRESSED.value, self.tally.outcomes[Outcome.SUPPRESSED])

    def as_counts(self) -> dict[str, Any]:
        """The counts for the journal's record of the attempt, JSON-ready and without personal data."""
        outcomes = {outcome.value: count for outcome, count in self.tally.outcomes.items()}
        of_rows = {"read": self.tally.read, "outcomes": outcomes, "new_refusals": self.tally.new_refusals}
        imports = {"imports": self.import_ids[-_MOST_IMPORT_IDS:]} if self.import_ids else {}
        cause = {"cause": self.cause[:_LONGEST_CAUSE]} if self.cause else {}
        return {**of_rows, **self.effort.as_counts(), **imports, **cause}

    def as_columns(self) -> Mapping[str, Any]:
        """Return the values of the run's line in the journal, by column."""
        return run_columns(self)

    def as_state(self) -> dict[str, Any]:
        """The state for the process that continues this run, JSON-ready.

        The rejects are flushed first: the next process counts these rows, but does not write them again.
        """
        self.rejects.flush()
        return {
            "tally": self.tally.as_state(),
            "effort": self.effort.as_state(),
            "rejects": self.rejects.lines,
            **self.shown.as_state(),
            "remapped": self.tally.remapped,
            "mapping_digest": self.mapping_digest,
            "plan": self.plan,
            "complete_read": self.complete_read,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Count from where an earlier process stopped; the effort is restored separately."""
        self.tally.restore(state["tally"])
        self.rejects.lines = state.get("rejects", 0)
        self.shown.restore(state)
        self.tally.remapped = state.get("remapped", 0)
        self.mapping_digest, self.plan = state.get("mapping_digest"), dict(state.get("plan") or {})
        self.complete_read = state.get("complete_read")

    def _reasons(self, error: Error, patch: Patch, settled: Settled) -> Sequence[str]:
        reasons = public_reasons(error, patch, self._resource)
        if settled.is_in_doubt:
            return tuple(f"in doubt: {reason}; it may have arrived, and is not sent again" for reason in reasons)
        if settled.outcome is Outcome.UNDELIVERED and settled.tries > 1:
            return tuple(f"{reason}, {settled.tries} times" for reason in reasons)
        return reasons


_WITHOUT_REASON = (
    *(Outcome.CREATED, Outcome.UPDATED, Outcome.UNCHANGED),
    *(Outcome.SUPPRESSED, Outcome.DELETED, Outcome.ABSENT),
)


def _shown(outcome: Outcome, reasons: Sequence[str]) -> Sequence[str]:
    """Return the reasons to log. Those of rows that ``on_response`` skips begin with ``skipped:``."""
    if outcome is Outcome.SKIPPED:
        return [f"skipped: {reason}" for reason in reasons]
    return () if outcome in _WITHOUT_REASON else reasons
