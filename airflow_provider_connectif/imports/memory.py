"""What a run remembers of its imports, so that a task that dies finds them again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from airflow_provider_connectif.journal.store import Journal


class Memory(Protocol):
    """Where a state is kept from one attempt of a task to the next.

    ``remembers``: what was saved is there for the next try; what is not there was never uploaded.
    """

    remembers: bool

    def load(self) -> Mapping[str, Any] | None:
        """What an earlier process has saved."""

    def save(self, state: Mapping[str, Any]) -> None:
        """Keep a state; in the hands of somebody else when this returns."""

    def drop(self) -> None:
        """There is nothing to come back to."""


class NoMemory:
    """Keeps nothing, so an import of an earlier process is never known to be ours.

    :param carried: what came with the process itself.
    """

    remembers = False

    def __init__(self, carried: Mapping[str, Any] | None = None) -> None:
        self._carried = carried

    def load(self) -> Mapping[str, Any] | None:
        """What was carried."""
        return self._carried

    def save(self, state: Mapping[str, Any]) -> None:
        """Keep nothing."""

    def drop(self) -> None:
        """Nothing is there."""


class JournalMemory:
    """The plan in the journal's database, which also holds the rows of the files."""

    remembers = True

    def __init__(self, journal: Journal) -> None:
        self._plan = journal.plan

    def load(self) -> Mapping[str, Any] | None:
        """What the plan says; one that was never saved is of no use."""
        state = self._plan.load()
        if not state:
            self._plan.drop()
        return state

    def save(self, state: Mapping[str, Any]) -> None:
        """Save it with the plan."""
        self._plan.save(state)

    def drop(self) -> None:
        """The plan and the rows of its files are no longer needed."""
        self._plan.drop()
