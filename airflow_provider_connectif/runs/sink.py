"""The sink protocol: delivers a plan by request or by import, or only checks it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from airflow_provider_connectif.journal.pending import PendingChanges
from airflow_provider_connectif.records.deferrals import Deferral
from airflow_provider_connectif.records.outcomes import Error, Stop
from airflow_provider_connectif.records.resource import Resource
from airflow_provider_connectif.reporting.requests import Cost
from airflow_provider_connectif.reporting.verdict import End, ImportFailed, Verdict

ResourceT = TypeVar("ResourceT", bound=Resource, contravariant=True)


class Sink(Protocol[ResourceT]):
    """Delivers a plan of changes of one resource.

    The run calls :meth:`open`, then :meth:`resume`. If that returns ``False``, the source is read, with
    :meth:`check_columns` at its first batch; then :meth:`cost` and :meth:`deliver` follow. :meth:`close` is always
    called, also after an error in :meth:`open`; :meth:`log_end` comes last. :attr:`stop`, :attr:`failures` and
    :attr:`deferral` say whether delivery has ended early.
    """

    @property
    def scope(self) -> str:
        """The scope that the API key needs for the present way of delivery, in words for the message after a 403."""

    @property
    def stop(self) -> Stop | None:
        """The reason why delivery ended before the last change; ``None`` if it did not."""

    @property
    def failures(self) -> Sequence[ImportFailed]:
        """Failures other than refused rows that keep a finished run from success."""

    @property
    def deferral(self) -> Deferral | None:
        """The deferral that ended delivery; ``None`` if there is none."""

    @property
    def summary_is_complete(self) -> bool:
        """Whether the summary covers the whole run; ``False`` while this process has not loaded the state of earlier
        ones.
        """

    @property
    def overwrites(self) -> bool:
        """Whether values of existing things may be overwritten, so that :meth:`Resource.warning_about` applies."""

    @property
    def longest_pause_s(self) -> float:
        """The longest pause in seconds for which this process waits if Connectif asks for one."""

    @property
    def checked_only(self) -> int:
        """Number of rows that a check found valid; they have no outcome."""

    @property
    def unaccounted(self) -> int:
        """Number of rows for which it is not known whether they were delivered; they have no outcome."""

    @property
    def is_early(self) -> bool:
        """Whether changes are left for another process or attempt although :attr:`stop` is ``None``."""

    def open(self, is_to_stop: Callable[[], bool]) -> None:
        """Open the journal, if there is one, and wait until no other run works on the sync.

        A task that can be deferred does not wait for long: then :attr:`Journal.held_by` is the claim to wait for. A
        check does not wait at all.

        :param is_to_stop: returns whether the run must stop, which ends the wait; called several times a second.
        :raises RunFailed: the journal cannot be used, or is needed and missing.
        """

    def resume(self) -> bool:
        """Continue the work of an earlier process, if it has left any.

        :return: whether there was such work, even if it has ended early again; ``False``: the source must be read.
        """

    def check_columns(self, columns: Sequence[str] | None, resource: ResourceT) -> None:
        """Refuse columns that this kind of delivery cannot use.

        :param columns: the columns of the source; ``None``: each row may have its own.
        :raises RunFailed: final; the text names the columns.
        """

    def cost(self, changes: PendingChanges, resource: ResourceT) -> Cost:
        """Return the cost of a plan, before any of it is sent.

        :param changes: the plan's changes, one for each key that differs.
        :param resource: the resource, with the field definitions of the run.
        """

    def deliver(self, changes: PendingChanges, resource: ResourceT) -> None:
        """Deliver a plan, as far as possible.

        :param changes: the plan's changes, one for each key that differs.
        :param resource: the resource, with the field definitions of the run.
        """

    def close(self, verdict: Verdict, keyless: int | None) -> None:
        """Leave the journal so that the next process of the run, or the next run, can begin.

        :param verdict: the verdict on the attempt.
        :param keyless: number of rows without a valid key, if the source was read to its end.
        """

    def kill(self) -> str:
        """Deliver nothing more; safe in a signal handler.

        :return: words to append to the line of counts, beginning with ``; ``. Empty: none.
        """

    def check_time_limits(self) -> None:
        """End the delivery early if a time limit has passed; called several times a second while the run waits."""

    def react_to_pause(self, error: Error | None, asked_s: float) -> None:
        """React to a pause that Connectif asks for: one that is too long ends or defers the run.

        :param error: the response that asks, if there is one.
        :param asked_s: the length of the pause in seconds.
        """

    def summary(self) -> dict[str, Any]:
        """Return the entries of the summary that only this kind of delivery has."""

    def log_end(self, end: End) -> None:
        """Log the end of the run."""
