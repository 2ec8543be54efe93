"""Where a plan goes: by request, by import, or nowhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from airflow_provider_connectif.journal.pending import PendingChanges
from airflow_provider_connectif.records.deferrals import Deferral
from airflow_provider_connectif.records.outcomes import Error, Stop
from airflow_provider_connectif.records.resource import Resource
from airflow_provider_connectif.reporting.requests import Cost
from airflow_provider_connectif.reporting.verdict import ImportFailed, Verdict

ResourceT = TypeVar("ResourceT", bound=Resource, contravariant=True)


class Sink(Protocol[ResourceT]):
    """Delivers a plan of changes of one resource."""

    @property
    def scope(self) -> str:
        """What the API key must allow."""

    @property
    def stop(self) -> Stop | None:
        """Why delivery ended before the last change, if it did."""

    @property
    def failures(self) -> Sequence[ImportFailed]:
        """What keeps a run from success that has come to its end, other than its rows."""

    @property
    def deferral(self) -> Deferral | None:
        """What is to be waited for without a worker, if delivery ended for that."""

    @property
    def summary_is_complete(self) -> bool:
        """Whether the summary is that of the whole run, and not only of a process that could not yet look back."""

    @property
    def overwrites(self) -> bool:
        """Whether what Connectif has already gets the whole patch."""

    @property
    def longest_pause_s(self) -> float:
        """Seconds that Connectif may ask for before the run does something else than to wait."""

    @property
    def checked_only(self) -> int:
        """Rows that a check found good; they have no outcome."""

    @property
    def unaccounted(self) -> int:
        """Rows of which it is not known whether they were delivered; they have no outcome."""

    @property
    def is_early(self) -> bool:
        """Whether changes are left that another process or attempt delivers."""

    def open(self, is_to_stop: Callable[[], bool]) -> None:
        """Open the journal, if there is one, and wait until no other run of the sync is under way."""

    def resume(self) -> bool:
        """Continue what an earlier process left; whether that was all there was to do."""

    def check_columns(self, columns: Sequence[str] | None, resource: ResourceT) -> None:
        """Refuse columns that this kind of delivery cannot take.

        :raises RunFailed: final; names them.
        """

    def cost(self, changes: PendingChanges, resource: ResourceT) -> Cost:
        """What a plan takes, before any of it is sent.

        :param changes: one for each key that differs.
        :param resource: with the definitions that the rows were checked against.
        """

    def deliver(self, changes: PendingChanges, resource: ResourceT) -> None:
        """Deliver a plan, as far as possible.

        :param changes: one for each key that differs.
        :param resource: with the definitions that the rows were checked against.
        """

    def close(self, verdict: Verdict, keyless: int | None) -> None:
        """Leave the journal so that the next process of the run, or the next run, can begin.

        :param verdict: how the attempt ended.
        :param keyless: rows without a valid key, where the source was read to its end.
        """

    def kill(self) -> str:
        """Deliver nothing more; safe in a signal handler. Returns words for the log, or nothing."""

    def look_at_the_clock(self) -> None:
        """Called several times a second while the run waits for something else."""

    def leave_alone(self, error: Error | None, asked_s: float) -> None:
        """Connectif asks for a pause of so many seconds: one that is too long ends or defers the run."""

    def summary(self) -> dict[str, Any]:
        """Entries of the summary that only this kind of delivery has."""

    def log_end(self, how: str, notes: Sequence[str]) -> None:
        """Log the end of the run.

        :param how: how it ended, as the beginning of a line.
        :param notes: details, each for a line of its own.
        """
