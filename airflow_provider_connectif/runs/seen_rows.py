"""A row of the source, with what the journal knows of its key."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from airflow_provider_connectif.journal.line import Line


class Seen(NamedTuple):
    """A row with the journal's line of its key.

    ``place``: the index of the row in its batch. ``key``: its key in the journal's form; ``None`` if it has no valid
    key. ``row_digest``: the digest of its values. ``line``: ``None`` if the journal has no line of the key.
    ``is_pending``: another row of the key has a pending change, so this row becomes a change, too, even if the journal
    has acknowledged it.
    """

    place: int
    key: str | None
    row_digest: str
    line: Line | None
    is_pending: bool = False
