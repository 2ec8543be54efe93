"""The rules of an import: the operator's arguments, and the tables that decide the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple

from airflow_provider_connectif.api.import_record import Import
from airflow_provider_connectif.contacts.consent import RANKS
from airflow_provider_connectif.contacts.fields import FieldTable
from airflow_provider_connectif.imports.limits import DEFAULT_FILE_BYTES
from airflow_provider_connectif.imports.shapes import FileLayout, Layout, Survey, choose

CLOCK_TOLERANCE_S = 120.0
"""Seconds by which Connectif's clock, which dates imports, may be behind the clock of the worker."""

OTHER_UPLOAD_S = 6 * 3600.0
"""Seconds. An import that was created so long before an upload is not from this upload, even if a clock is wrong."""

SHORTEST_POLL_DELAY_S = 3.0
"""Seconds between two polls, also of different imports: the account has 100 requests a minute for everything."""

TRIGGER_GRACE_S = 60.0
"""Seconds after the deadline until Airflow ends a trigger that no triggerer runs."""

OnExisting = Literal["update", "fill_empty", "keep"]


def way_of(on_existing: OnExisting) -> str:
    """Return a mark for the journal's digests: empty for ``update``, as for PATCH.

    With the other modes, Connectif may have other values after the import than those that were sent. The mark keeps
    the digests of both kinds of delivery apart.
    """
    return "" if on_existing == "update" else f"import:{on_existing}"


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
"""The switches for existing contacts, by ``on_existing``. Source: API reference, "create-import"."""


class Fate(StrEnum):
    """The meaning of an import's state for the run."""

    WAIT = "wait"
    FINISHED = "finished"
    """It has finished. Some of its rows may be rejected, which ``errors`` counts."""
    BROKEN = "broken"
    """It failed as a whole: the next attempt imports its rows again."""
    CANCELLED = "cancelled"
    """A person has cancelled it in the app, so only a person should start it again."""
    GONE = "gone"
    """Somebody has deleted the import, so its result is not known."""


FATES: Mapping[str | None, Fate] = MappingProxyType(
    {
        "queued": Fate.WAIT,
        "inProgress": Fate.WAIT,
        "finished": Fate.FINISHED,
        "error": Fate.BROKEN,
        "cancelled": Fate.CANCELLED,
    }
)
"""The documented states. In any other state, the run logs it and keeps polling until the deadline."""


class Numbers(NamedTuple):
    """The numbers of an import, which add up to the rows of its file.

    ``taken``, ``refused``: rows that Connectif reports as successes and as errors. ``missing``: rows that are neither.
    ``is_trusted``: whether the response has the numbers, and they fit this file; otherwise all rows are missing.
    """

    taken: int
    refused: int
    missing: int
    is_trusted: bool

    @property
    def is_whole(self) -> bool:
        """Whether Connectif reports a success or an error for every row."""
        return self.is_trusted and not self.missing


def numbers_of(one: Import, rows: int) -> Numbers:
    """Return the numbers of an import, of which the response may have none or only some.

    :param rows: number of rows in the file.
    """
    taken, refused = one.success, one.errors
    if taken is None or refused is None or one.total not in (rows, None) or taken + refused > rows:
        return Numbers(0, 0, rows, False)
    return Numbers(taken, refused, rows - taken - refused, True)


@dataclass(frozen=True)
class ImportRules:
    """The rules by which a run imports.

    :param on_existing: ``update``, ``fill_empty`` or ``keep`` existing contacts.
    :param file_layout: ``shape``: a file for each set of filled columns. ``column``: a file for each column that some
        rows leave empty. ``auto``: the layout with fewer requests.
    :param delimiter: the character between cells.
    :param poll_interval_s: seconds between two polls of one import, and between two uploads to a full queue.
    :param timeout_s: seconds from the first upload of an attempt to the end of its last import.
    :param has_timeout: whether ``timeout_s`` is the operator's argument ``timeout``.
    :param max_file_bytes: every file is smaller than this.
    :param plan_max_age_s: seconds after the reading of the source, deferrals included; no file is uploaded later.
    :param patch_leftovers: ``True``: deliver by PATCH what does not fit into the queue. ``None``: what takes fewer
        requests that way. ``False``: nothing.
    :param deferrable: defer the task while it waits for imports.
    :param has_journal: whether a journal stores files that do not fit into the queue, for a later process.
    :param comes_back: whether the task continues after a deferral.
    :param has_earlier_attempts: whether an earlier attempt of the task may have uploaded something.
    :param time_limit_s: seconds that the attempt may take in all.
    :param trigger_requests: requests that the trigger has made while the task was deferred.
    :param trigger_rate_limited: how many of these requests got a 429.
    :param work_folder: folder for the files. Default: the system's folder for temporary files.
    """

    on_existing: OnExisting = "update"
    file_layout: FileLayout = "auto"
    delimiter: str = ","
    poll_interval_s: float = 20.0
    timeout_s: float = 6 * 3600.0
    has_timeout: bool = False
    max_file_bytes: int = DEFAULT_FILE_BYTES
    plan_max_age_s: float = 12 * 3600.0
    patch_leftovers: bool | None = None
    deferrable: bool = False
    has_journal: bool = False
    comes_back: bool = False
    has_earlier_attempts: bool = False
    time_limit_s: float | None = None
    trigger_requests: int = 0
    trigger_rate_limited: int = 0
    work_folder: Path | None = None

    @property
    def flags(self) -> Flags:
        """The switches of ``POST /imports/`` for ``on_existing``."""
        return ON_EXISTING[self.on_existing]

    @property
    def way(self) -> str:
        """See :func:`way_of`."""
        return way_of(self.on_existing)

    @property
    def leftovers(self) -> bool | None:
        """``patch_leftovers``; ``False`` unless ``on_existing`` is ``update``: a PATCH changes existing contacts."""
        return self.patch_leftovers if self.on_existing == "update" else False

    def layout(self, survey: Survey, fields: FieldTable | None = None, *, may_patch: bool = True) -> Layout:
        """Return the assignment of a plan's contacts to files.

        :param survey: the shapes of the plan's contacts.
        :param fields: the field definitions of the account; ``None`` if they are not known.
        :param may_patch: whether the API key may write contacts, as far as is known.
        """
        at_once: list[str] = []
        if self.on_existing == "fill_empty" and fields is not None:
            # A new contact gets the default values of these fields with its first file. So a later file that fills only
            # empty fields would not set them.
            at_once = [name for name in survey.optional if may_have_default(name, fields)]
        return choose(
            survey,
            self.file_layout,
            max_file_bytes=self.max_file_bytes,
            may_split=self.on_existing != "keep",
            leftovers=self.leftovers if may_patch else False,
            must_fit=may_patch and self.leftovers is None and self.deferrable and not self.has_journal,
            at_once=at_once,
        )


def may_have_default(property_id: str, fields: FieldTable) -> bool:
    """Whether a new contact may get a value for a property that its file does not set."""
    field = fields.get(property_id)
    return property_id in RANKS or (field is not None and not field.can_be_cleared)


def poll_delay_s(poll_interval_s: float, open_imports: int) -> float:
    """Return the seconds between two polls of different imports.

    With this delay, each open import is polled once in ``poll_interval_s``, or less often if there are many.
    """
    return max(poll_interval_s / max(1, open_imports), min(SHORTEST_POLL_DELAY_S, poll_interval_s))


def spare_delay_s(waited_s: float, polls_left: int | None) -> float:
    """Return the least seconds between two polls, so that a limited number of polls lasts. It grows during the wait.

    The first half of the polls is not delayed. With an interval of i seconds, n polls last at least n² · i / 4 seconds.

    :param waited_s: seconds since the first poll.
    :param polls_left: number of polls that may still be sent; ``None``: there is no limit.
    """
    return 0.0 if polls_left is None else waited_s / max(1, polls_left)
