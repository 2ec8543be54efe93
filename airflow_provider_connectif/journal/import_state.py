"""How far a run has come with its imports: small, JSON-ready, without personal data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

_NEEDED_TO_GO_ON = frozenset({"tally", "effort", "remapped", "timeout_at", "troubles"})


@dataclass
class SentFile:
    """A file that was uploaded, or is about to be.

    :param file: its number in this run.
    :param digest: SHA-256 of its content.
    :param rows: without the header.
    :param since: when its upload began, in seconds since the epoch; ``None``: it did not.
    :param import_id: from the response to the upload; ``None`` as long as there is none. No other import is ours.
    :param is_settled: its import is over and accounted for.
    :param is_failed: the import failed as a whole; another try imports the file again.
    """

    file: int
    digest: str
    rows: int
    since: float | None = None
    import_id: str | None = None
    is_settled: bool = False
    is_failed: bool = False

    @property
    def is_open(self) -> bool:
        """It is, or may be, at Connectif, and is not accounted for."""
        return not self.is_settled and (self.import_id is not None or self.since is not None)

    @property
    def is_at_connectif(self) -> bool:
        """It was uploaded, and nobody has to do it again."""
        return self.import_id is not None and not self.is_failed


@dataclass
class ImportState:
    """How far a run is. Small, JSON-ready, and without personal data.

    :param files: those of the run.
    :param is_all_sent: every file is uploaded: no row needs to be read again.
    :param run: what else is needed to go on.
    """

    files: list[SentFile] = field(default_factory=list)
    is_all_sent: bool = False
    run: dict[str, Any] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        """Every row has been read and has its import, and none of these has failed as a whole."""
        return self.is_all_sent and not any(file.is_failed for file in self.files)

    def as_json(self) -> dict[str, Any]:
        """For :class:`Memory`; files that another try has to begin with are left out."""
        files = [asdict(file) for file in self.files if file.is_open or file.is_at_connectif]
        return {"files": files, "is_all_sent": self.is_complete, "run": self.run}

    @classmethod
    def from_json(cls, state: Mapping[str, Any] | None) -> ImportState | None:
        """The state, or ``None`` where nothing was remembered, or nothing that can be read."""
        if not state:
            return None
        try:
            found = cls(
                [SentFile(**file) for file in state["files"]],
                bool(state["is_all_sent"]),
                dict(state["run"]),
            )
        except (KeyError, TypeError, ValueError):
            return None
        return None if found.is_all_sent and not found.run.keys() >= _NEEDED_TO_GO_ON else found


def has_open_files(state: Mapping[str, Any]) -> bool:
    """Whether a saved state names a file whose import, or whose upload, is not accounted for."""
    files = state.get("files")
    try:
        return any(SentFile(**file).is_open for file in files) if isinstance(files, list) else False
    except TypeError:
        return False  # saved by another version, or by another operator
