"""What becomes of a row, and what ends a run early."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from airflow_provider_connectif.api.errors import ConnectifHttpError, NoAnswerError, RunFailed, describe_status
from airflow_provider_connectif.records.changes import Patch

Error = ConnectifHttpError | NoAnswerError

STATUSES_ABOUT_THE_ROW = frozenset({400, 422})
"""Only these, with the error document, say that the row's values are at fault and will be so the next time."""


class Outcome(StrEnum):
    """What became of one row.

    ``unchanged`` and ``held`` with a journal only: nothing to send, or refused before as it is. ``undelivered``: not
    confirmed by Connectif, so that another attempt sends it. ``merged``: part of another row's change, of the same
    contact. By import only: ``imported``, ``not_taken`` (``on_existing='keep'``: the contact exists, or Connectif
    rejected the row). With a journal only: ``suppressed``, a row of a person who asked to be forgotten. Of an erasure
    only: ``deleted``, and ``absent``, where Connectif says that it has no such contact.
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
    """Why a run ended before its last row."""

    FAIL = "fail"
    SKIP_TASK = "skip_task"
    ALL_REJECTED = "all_rejected"
    NOT_ANSWERING = "not_answering"
    KILLED = "killed"
    CRASHED = "crashed"
    TIMED_OUT = "timed_out"
    DEFERRED = "deferred"
    BLOCKED = "blocked"
    LEFT_ALONE = "left_alone"
    NO_DEFINITIONS = "no_definitions"
    PLAN_TOO_OLD = "plan_too_old"


class JournalError(RunFailed):
    """The journal's database failed, or belongs to a newer version; the text has no contact key in it."""


class PendingError(RunFailed):
    """The pending changes cannot be kept; nothing was sent. The text names folder and size, and no value of a row."""


class SourceError(RunFailed):
    """The source did not end in time; nothing was sent.

    :param timeout_s: seconds in which it had to end.
    :param rows_read: by then.
    """

    def __init__(self, timeout_s: float, rows_read: int) -> None:
        rows = "1 row" if rows_read == 1 else f"{rows_read:,} rows"
        super().__init__(
            f"the source did not end within read_timeout, {timeout_s:g} s ({rows} read); nothing was sent. "
            "Raise read_timeout if it needs longer"
        )


class TakenOver(JournalError):
    """The claim to a sync, or a plan, is in other hands."""


def taken_over(sync_id: str) -> TakenOver:
    """What ends a task that finds its claim to a sync, or its plan, in other hands."""
    return TakenOver(f"another run, or another try of this task, has taken over sync {sync_id!r}: this one stops")


@dataclass(frozen=True)
class Stop:
    """An early end.

    :param kind: why.
    :param error: the response that led to it, if one did.
    :param asked_s: how long the server asks to be left alone, in seconds; and ``longest_wait_s``: what the connection
        allows. For :attr:`StopKind.LEFT_ALONE` only.
    """

    kind: StopKind
    error: Error | None = None
    asked_s: float = 0.0
    longest_wait_s: float = 0.0


@dataclass(frozen=True)
class Shown:
    """What the responses to a change show of what was stored.

    :param is_there: they show the thing; ``False``: what was sent cannot be compared.
    :param differences: in what way a property that was sent is shown otherwise, by its id; no values.
    :param is_drifted: a property that was accepted before, and not sent now, is shown with another value.
    :param unreadable: the response to a look-up that says that the API key may not look; ``None``: it may.
    """

    is_there: bool
    differences: Mapping[str, str] = field(default_factory=dict)
    is_drifted: bool = False
    unreadable: Error | None = None

    def with_later(self, later: Shown | None) -> Shown:
        """Together with what the response to a later request for the same change shows."""
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
    """A row whose outcome is known.

    :param error: the last answer, where it was not a 2xx.
    :param tries: requests that were answered, or timed out, for this row; 429 not counted.
    :param is_remembered: rejected, and the journal is to hold the row until it changes.
    :param is_unconfirmed: accepted, though the response showed another key.
    :param is_follow_up: of a change of which a part was accepted before; the outcome is that of the rest.
    :param shown: what the responses show of it; ``None``: nothing is compared.
    :param is_recreated: created, although Connectif had accepted properties of it before: somebody has deleted it.
    :param is_in_doubt: undelivered, and not to be sent again: it may have arrived, and sending twice is not harmless.
    :param alone: what was sent of it alone after its rejection; ``None``: nothing.
    :param is_alone_accepted: Connectif has accepted that.
    """

    patch: Patch
    outcome: Outcome
    error: Error | None
    tries: int
    is_remembered: bool = False
    is_unconfirmed: bool = False
    is_in_doubt: bool = False
    is_follow_up: bool = False
    is_recreated: bool = False
    shown: Shown | None = None
    alone: Patch | None = None
    is_alone_accepted: bool = False


def describe_error(error: Error) -> str:
    """An answer in words that are safe to log."""
    return error.what if isinstance(error, NoAnswerError) else describe_status(error.status, error.code)
