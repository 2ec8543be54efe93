"""What an author decides about an import, and the tables that decide the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Literal, NamedTuple

from airflow_provider_connectif.imports.files import MAX_FILE_BYTES

QUEUE_LENGTH = 10
"""Imports that may be queued, those of the app included (API guide "Custom error codes", E0401)."""

CLOCK_TOLERANCE_S = 120.0
"""Seconds that the clock which dates imports may be behind ours."""

_SHORTEST_POLL_DELAY_S = 3.0

OnExisting = Literal["update", "fill_empty", "keep"]


class Flags(NamedTuple):
    """The two switches of ``POST /imports/``: ``overrideExisting`` and ``updateOnlyEmptyFields``."""

    override_existing: bool
    update_only_empty_fields: bool


ON_EXISTING: Mapping[OnExisting, Flags] = MappingProxyType(
    {
        "update": Flags(True, False),
        "fill_empty": Flags(True, True),  # documented to require overrideExisting
        "keep": Flags(False, False),
    }
)
"""What happens to contacts that exist. Source: API reference, "create-import"."""


class Fate(StrEnum):
    """What the state of an import means for the run."""

    WAIT = "wait"
    FINISHED = "finished"
    """It is over; ``errors`` above zero are the usual partial failure."""
    BROKEN = "broken"
    """It failed as a whole: another try imports the file again."""
    CANCELLED = "cancelled"
    """A person has stopped it in the app: nobody but a person should begin it again."""
    GONE = "gone"
    """It is not there any more: somebody has deleted it, after its end, and nobody knows which."""


FATES: Mapping[str | None, Fate] = MappingProxyType(
    {
        "queued": Fate.WAIT,
        "inProgress": Fate.WAIT,
        "finished": Fate.FINISHED,
        "error": Fate.BROKEN,
        "cancelled": Fate.CANCELLED,
    }
)
"""The documented states. Any other is waited on, told in the log, and bounded by the deadline."""


@dataclass(frozen=True)
class ImportRules:
    """How a run imports.

    :param on_existing: what happens to contacts that exist.
    :param delimiter: between cells.
    :param poll_interval_s: seconds between two looks at one import, and before a full queue is tried again.
    :param timeout_s: seconds from the first upload of a try to the end of its last import.
    :param max_file_bytes: every file is smaller.
    :param patch_leftovers: deliver by PATCH what does not fit into the queue.
    :param deferrable: give the worker back once all is uploaded.
    :param comes_back: the task was deferred, and goes on.
    :param is_retry: an earlier attempt of the task, since it was last cleared, may have uploaded something.
    :param has_earlier_attempts: likewise, those before it was cleared included.
    :param time_limit_s: seconds that the try may take in all.
    :param trigger_requests: requests that the trigger has made while the task was deferred.
    :param trigger_rate_limited: those of them that were answered 429.
    """

    on_existing: OnExisting = "update"
    delimiter: str = ","
    poll_interval_s: float = 20.0
    timeout_s: float = 6 * 3600.0
    max_file_bytes: int = MAX_FILE_BYTES
    patch_leftovers: bool = False
    deferrable: bool = False
    comes_back: bool = False
    is_retry: bool = False
    has_earlier_attempts: bool = False
    time_limit_s: float | None = None
    trigger_requests: int = 0
    trigger_rate_limited: int = 0

    @property
    def flags(self) -> Flags:
        """The switches of the request."""
        return ON_EXISTING[self.on_existing]

    @property
    def way(self) -> str:
        """What tells the journal's digests apart where Connectif need not hold afterwards what was sent."""
        return "" if self.on_existing == "update" else f"import:{self.on_existing}"


def poll_delay_s(poll_interval_s: float, open_imports: int) -> float:
    """Seconds between two requests while imports are waited for.

    Each import is looked at once in ``poll_interval_s``, but all of them together at most every three seconds: the
    account has 100 requests a minute for everything.
    """
    return max(poll_interval_s / max(1, open_imports), min(_SHORTEST_POLL_DELAY_S, poll_interval_s))
