"""The sink and the preview of an operator that chooses between PATCH and import."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic

from airflow_provider_connectif.journal.import_state import ImportState
from airflow_provider_connectif.journal.pending import PendingChanges
from airflow_provider_connectif.journal.store import Journal
from airflow_provider_connectif.records.deferrals import Deferral
from airflow_provider_connectif.records.outcomes import Error, Outcome, Stop
from airflow_provider_connectif.reporting import wording
from airflow_provider_connectif.reporting.report import Report
from airflow_provider_connectif.reporting.requests import Cost
from airflow_provider_connectif.reporting.verdict import End, ImportFailed, Verdict
from airflow_provider_connectif.runs.check_sink import Preview
from airflow_provider_connectif.runs.choosing import ByImport, ImportingSink, WayChooser, describe_time
from airflow_provider_connectif.runs.sink import ResourceT, Sink


class ChoosingSink(Generic[ResourceT]):
    """Delivers by import if an import is chosen, or if an earlier process of the run has begun one; else by request.

    :param chooser: chooses the way.
    :param by_request: delivers by request.
    :param by_import: makes the sink that imports.
    :param report: the report of the run.
    :param journal: the journal of the run.
    """

    overwrites = True
    checked_only = 0

    def __init__(
        self,
        chooser: WayChooser[ResourceT],
        by_request: Sink[ResourceT],
        by_import: ByImport[ResourceT],
        report: Report,
        journal: Journal,
    ) -> None:
        self._chooser = chooser
        self._by_request = by_request
        self._by_import = by_import
        self._report = report
        self._journal = journal
        self._sink: Sink[ResourceT] = by_request
        self._is_to_stop: Callable[[], bool] = lambda: False
        self._way = "patch"

    @property
    def scope(self) -> str:
        """The scope that the API key needs for the present way: by request, until an import begins or continues."""
        return self._sink.scope

    @property
    def stop(self) -> Stop | None:
        """The reason why delivery ended before the last change; ``None`` if it did not."""
        return self._sink.stop

    @property
    def failures(self) -> Sequence[ImportFailed]:
        """Failures other than refused rows that keep a finished run from success."""
        return self._sink.failures

    @property
    def deferral(self) -> Deferral | None:
        """The deferral that ended delivery; ``None`` if there is none."""
        return self._sink.deferral

    @property
    def summary_is_complete(self) -> bool:
        """Whether the summary covers the whole run, and not only this process."""
        return self._sink.summary_is_complete

    @property
    def longest_pause_s(self) -> float:
        """The longest pause in seconds for which this process waits if Connectif asks for one."""
        return self._sink.longest_pause_s

    @property
    def unaccounted(self) -> int:
        """Number of rows for which it is not known whether they were delivered; they have no outcome."""
        return self._sink.unaccounted

    @property
    def is_early(self) -> bool:
        """Whether changes are left for another process or attempt."""
        return self._sink.is_early

    def open(self, is_to_stop: Callable[[], bool]) -> None:
        """Open the journal, and wait until no other run works on the sync."""
        self._is_to_stop = is_to_stop
        self._by_request.open(is_to_stop)

    def settle_earlier(self, is_to_stop: Callable[[], bool]) -> Deferral | None:
        """Wait for imports that earlier runs of the sync have left at Connectif. Imports of this run are continued.

        :return: the deferral for a wait without a worker; ``None``: no import is left.
        :raises ImportFailed: waiting for an import is not possible.
        :raises RunStopped: the run must stop.
        """
        if not self._journal.plan.with_open_imports():
            return None
        sink = self._by_import.make_sink()
        sink.begin(is_to_stop)
        try:
            return sink.settle_earlier(is_to_stop)
        finally:
            sink.end()

    def resume(self) -> bool:
        """Continue the delivery of an earlier process, by the same way; return whether nothing else is left to do."""
        if ImportState.from_json(self._journal.plan.load()) is not None:
            sink = self._begin_import()
            if sink.resume():
                return True
            sink.end()  # an earlier attempt had not uploaded all changes; the rest is a new plan
            self._sink = self._by_request
        return self._by_request.resume()

    def check_columns(self, columns: Sequence[str] | None, resource: ResourceT) -> None:
        """Refuse columns that the delivery cannot use.

        :raises RunFailed: final; the text names the columns.
        """
        self._chooser.check_columns(columns, resource)

    def cost(self, changes: PendingChanges, resource: ResourceT) -> Cost:
        """Choose the way of a plan; return its cost that way."""
        cost = self._chooser.choose(changes, resource)
        self._way = cost.way
        return cost

    def deliver(self, changes: PendingChanges, resource: ResourceT) -> None:
        """Deliver a plan, as far as possible, by the way that :meth:`cost` has chosen."""
        if self._way != "import":
            self._by_request.deliver(changes, resource)
            return
        sink = self._begin_import()
        sink.deliver(changes, resource)
        if self._chooser.may_choose and sink.give_back():
            sink.end()
            self._go_by_request(changes, resource)

    def _go_by_request(self, changes: PendingChanges, resource: ResourceT) -> None:
        """Deliver by request the changes that cannot be imported."""
        self._report.log.warning(wording.NO_IMPORT, describe_time(self._chooser.by_request(changes).seconds))
        self._report.go_by_request()
        self._sink = self._by_request
        self._sink.deliver(changes, resource)

    def close(self, verdict: Verdict, keyless: int | None) -> None:
        """Close the journal so that the next process of the run, or the next run, can begin."""
        self._sink.close(verdict, keyless)

    def kill(self) -> str:
        """Deliver nothing more; safe in a signal handler. Returns words for the log, or nothing."""
        return self._sink.kill()

    def check_time_limits(self) -> None:
        """End the delivery early if a time limit has passed; called several times a second while the run waits."""
        self._sink.check_time_limits()

    def react_to_pause(self, error: Error | None, asked_s: float) -> None:
        """React to a pause that Connectif asks for: one that is too long ends or defers the run."""
        self._sink.react_to_pause(error, asked_s)

    def summary(self) -> dict[str, Any]:
        """Return the entries of the delivery; ``imported`` always, since an earlier attempt may have imported."""
        return {"imported": self._report.tally.outcomes[Outcome.IMPORTED], **self._sink.summary()}

    def log_end(self, end: End) -> None:
        """Log the end of the run."""
        self._sink.log_end(end)

    def _begin_import(self) -> ImportingSink[ResourceT]:
        sink = self._by_import.make_sink()
        sink.begin(self._is_to_stop)
        self._report.go_by_import()
        self._sink = sink
        return sink


class ChoosingPreview(Generic[ResourceT]):
    """Previews a plan for a check, and chooses its way as a run would.

    :param chooser: chooses the way.
    :param by_request: previews a plan that is sent by request.
    :param by_import: makes the preview of a plan that is imported.
    """

    overwrites = True

    def __init__(
        self, chooser: WayChooser[ResourceT], by_request: Preview[ResourceT], by_import: ByImport[ResourceT]
    ) -> None:
        self._chooser = chooser
        self._by_import = by_import
        self._preview = by_request
        self._cost = by_request.cost

    @property
    def valid(self) -> int | None:
        """Rows that would be delivered; ``None`` before :meth:`look`."""
        return self._preview.valid

    @property
    def cost(self) -> Cost:
        """Return the cost of the plan, after :meth:`look`."""
        return self._cost

    def check_columns(self, columns: Sequence[str] | None, resource: ResourceT) -> None:
        """Refuse columns that the delivery cannot use."""
        self._chooser.check_columns(columns, resource)

    def look(self, changes: PendingChanges, resource: ResourceT) -> None:
        """Choose the way of the plan, and preview it."""
        self._cost = self._chooser.choose(changes, resource)
        if self._cost.way == "import":
            self._preview = self._by_import.make_preview()
        self._preview.look(changes, resource)

    def summary(self) -> dict[str, Any]:
        """Return the entries of the summary."""
        return self._preview.summary()

    def describe(self) -> str:
        """Describe what would be sent, as the beginning of a list of counts."""
        return self._preview.describe()

    def log_cost(self) -> None:
        """Log the cost of a run."""
        self._preview.log_cost()
