"""Outcomes of rows, and errors and stops that end a run early."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from airflow_provider_connectif.api.errors import ConnectifHttpError, NoResponseError, RunFailed, describe_status
from airflow_provider_connectif.records.changes import Patch

Error = ConnectifHttpError | NoResponseError

STATUSES_ABOUT_THE_ROW = frozenset({400, 422})
"""Only these statuses, with Connectif's error document, mean that the row's values are at fault, also in a retry."""


class Outcome(StrEnum):
    """The outcome of one row.

    ``skipped``: the response policy leaves out the row. ``invalid``: refused by the checks before sending.
    ``rejected``: refused by Connectif. ``undelivered``: not confirmed by Connectif, so another attempt sends it; if it
    is in doubt, it is held instead. ``unchanged``: nothing to send. ``merged``: part of the change of another row of
    the same contact. With a journal only: ``held`` (rejected before or in doubt, and unchanged since), ``suppressed``
    (a row of a person who asked to be forgotten). By import only: ``imported``, ``not_taken`` (``on_existing='keep'``:
    the contact exists, or Connectif rejected the row). Of an erasure only: ``deleted``, and ``absent`` (Connectif has
    no such contact).
    """

    CREATED = "created"
    UPDATED = "updated"
    SKIPPED = "skipped"
    INVALID = "invalid"
    REJECTED = "rejected"
    UNDELIVERED = "undelivered"
    UNCHANGED = "unchanged"
    HELD = "held"
    IMPORTED = "imported"
    MERGED = "merged"
    NOT_TAKEN = "not_taken"
    SUPPRESSED = "suppressed"
    DELETED = "deleted"
    ABSENT = "absent"


class StopKind(StrEnum):
    """The reason why a run ended before its last row. ``reporting/verdict.py`` has the words for each.

    ``left_alone``: Connectif asks for a longer pause than the connection allows. ``asked_again``: it asks for pauses
    again and again. ``blocked``: several responses in a row are not about the rows. ``deferred``: the task waits
    without a worker.
    """

    FAIL = "fail"
    SKIP_TASK = "skip_task"
    ALL_REJECTED = "all_rejected"
    NOT_RESPONDING = "not_responding"
    ASKED_AGAIN = "asked_again"
    KILLED = "killed"
    CRASHED = "crashed"
    TIMED_OUT = "timed_out"
    DEFERRED = "deferred"
    BLOCKED = "blocked"
    LEFT_ALONE = "left_alone"
    NO_DEFINITIONS = "no_definitions"
    PLAN_TOO_OLD = "plan_too_old"


class JournalError(RunFailed):
    """The journal cannot be used: its connection, secret, tables or database are at fault, or another process has the
    sync. The text contains no contact key.
    """


class PendingError(RunFailed):
    """The pending changes, or the keys of the source, cannot be stored or read.

    The text names the folder, and no value of a row. It says whether nothing was sent.
    """


class FilesError(RunFailed):
    """The files of an import cannot be written.

    The text names the folder, and no value of a row. It says whether nothing was sent.
    """


class SourceError(RunFailed):
    """The source was not read to its end in time; nothing was sent.

    :param timeout_s: the time limit in seconds.
    :param rows_read: number of rows read by then.
    """

    def __init__(self, timeout_s: float, rows_read: int) -> None:
        rows = "1 row" if rows_read == 1 else f"{rows_read:,} rows"
        super().__init__(
            f"the source did not end within read_timeout, {timeout_s:g} s ({rows} read); nothing was sent. "
            "Raise read_timeout if it needs longer"
        )


class TakenOver(JournalError):
    """Another process has the claim to the sync, or its plan."""


def taken_over(sync_id: str) -> TakenOver:
    """Return the error that ends a task after another process has taken over its sync or plan."""
    return TakenOver(
        f"another run, or another attempt of this task, has taken over sync {sync_id!r}: this one stops, "
        "and that one goes on"
    )


@dataclass(frozen=True)
class Stop:
    """An early end.

    :param kind: the reason.
    :param error: the response that led to it, if one did.
    :param asked_s: the pause that the server asks for, in seconds; ``longest_wait_s``: the longest that the connection
        allows. For :attr:`StopKind.LEFT_ALONE` only.
    :param failure: the error that ended a sending thread. For :attr:`StopKind.CRASHED` only.
    """

    kind: StopKind
    error: Error | None = None
    asked_s: float = 0.0
    longest_wait_s: float = 0.0
    failure: RunFailed | None = None


@dataclass(frozen=True)
class Shown:
    """The stored values of a change, as far as the responses to it show them.

    :param is_there: ``False``: a response to a PATCH did not show the thing, so stored values cannot be compared with
        those sent. ``True`` also after a refused look-up.
    :param differences: the kind of difference by property id, for sent properties that are shown with another value; no
        values.
    :param is_drifted: whether a property that was accepted before, and not sent now, is shown with another value.
    :param unreadable: the response that refused a look-up, since the API key cannot read contacts; ``None``: none was
        refused.
    """

    is_there: bool
    differences: Mapping[str, str] = field(default_factory=dict)
    is_drifted: bool = False
    unreadable: Error | None = None

    def with_later(self, later: Shown | None) -> Shown:
        """Return this, combined with what the response to a later request of the same change shows."""
        if later is None:
            return self
        return Shown(
            self.is_there and later.is_there,
            {**self.differences, **later.differences},
            self.is_drifted or later.is_drifted,
            self.unreadable or later.unreadable,
        )


@dataclass(frozen=True)
class Settled:
    """A change whose outcome is known.

    :param error: the response other than a 2xx, or the failure, that decided the outcome; ``None``: there was none.
    :param tries: attempts of the request that decided, also without a connection, but without 429. Accepted look-ups
        and parts before it do not count.
    :param is_remembered: whether the journal holds the rejected row until it changes.
    :param is_unconfirmed: whether the change was accepted although the response showed another key.
    :param is_follow_up: whether a part of the change was accepted before, so that the outcome is that of the rest.
    :param sent_earlier: ids of the properties that the accepted parts have set.
    :param shown: the stored values that the responses show; ``None``: nothing is compared.
    :param is_recreated: whether the thing was created although Connectif had accepted properties of it before: somebody
        had deleted it.
    :param is_in_doubt: whether the change is undelivered and not sent again: it may have arrived, and sending it twice
        is not harmless.
    :param alone: the part that was sent alone after the rejection; ``None``: nothing.
    :param is_alone_accepted: whether Connectif has accepted that part.
    """

    patch: Patch
    outcome: Outcome
    error: Error | None
    tries: int
    is_remembered: bool = False
    is_unconfirmed: bool = False
    is_in_doubt: bool = False
    is_follow_up: bool = False
    sent_earlier: frozenset[str] = frozenset()
    is_recreated: bool = False
    shown: Shown | None = None
    alone: Patch | None = None
    is_alone_accepted: bool = False


def describe_error(error: Error) -> str:
    """Describe a failed request in words that are safe to log."""
    return error.what if isinstance(error, NoResponseError) else describe_status(error.status, error.code)
