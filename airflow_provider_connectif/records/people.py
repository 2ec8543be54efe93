"""The keys by which the suppression list knows a person."""

from __future__ import annotations

from typing import NamedTuple


class PersonKey(NamedTuple):
    """A key that names a person.

    ``kind``: ``email`` or ``external_id``. ``key``: in one form for all its spellings.
    """

    kind: str
    key: str

    @property
    def has_spellings(self) -> bool:
        """Whether several spellings may name the person; an external id has one only."""
        return self.kind == "email"
