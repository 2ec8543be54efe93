"""The state of a run's imports: small, JSON-ready, without personal data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from airflow_provider_connectif.reporting.requests import Imported

_SHORTEST_S = 0.001  # the precision of times in responses
_NEEDED_TO_GO_ON = frozenset({"tally", "effort", "remapped", "timeout_at", "troubles"})


@dataclass
class SentFile:
    """An import file of a run, before and after its upload.

    :param file: the number of the file in this run.
    :param rows: number of its lines, without the header.
    :param columns: the field ids of its columns, without the column of the contact key.
    :param since: start of its upload, in seconds since the epoch; ``None`` before the upload.
    :param import_id: the id of its import, from the response to the upload; ``None`` without a response.
    :param is_settled: whether its import has ended, and the outcomes of its rows are recorded.
    :param is_finished: whether its import has finished.
    :param is_failed: whether its import failed as a whole, so that the next attempt imports its rows again.
    :param is_whole: whether the outcome of every row is known.
    :param unnamed: number of rejected rows that no error report has named.
    :param missing: number of rows without a known outcome.
    :param only_empty: whether its import fills only empty fields.
    :param began_at: creation of its import, in seconds since the epoch.
    :param ended_at: end of its import, by the same clock as ``began_at``. Both are ``None`` if the import has not
        finished, or if the times are not known.
    """

    file: int
    rows: int
    columns: list[str] = field(default_factory=list)
    since: float | None = None
    import_id: str | None = None
    is_settled: bool = False
    is_finished: bool = False
    is_failed: bool = False
    is_whole: bool = False
    unnamed: int = 0
    missing: int = 0
    only_empty: bool = False
    began_at: float | None = None
    ended_at: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether the file is or may be at Connectif, and is not settled."""
        return not self.is_settled and (self.import_id is not None or self.since is not None)

    @property
    def is_sent(self) -> bool:
        """Whether the file needs no upload any more."""
        return self.import_id is not None or self.is_settled


@dataclass
class Group:
    """Contacts in the same files. They are counted and acknowledged together, when all these files are settled.

    :param files: the numbers of the files.
    :param rows: number of contacts.
    :param refused: number of contacts that an error report has named.
    :param is_counted: whether the contacts are counted.
    :param filled: number of contacts with a part in a file that fills only empty fields. It is not known whether
        Connectif has set that part.
    :param kept: number of consents that belong to the person from now on.
    :param counted_as: the outcome that the contacts' rows already have; ``None`` if they have none.
    """

    files: list[int]
    rows: int = 0
    refused: int = 0
    is_counted: bool = False
    filled: int = 0
    kept: int = 0
    counted_as: str | None = None

    @property
    def left(self) -> int:
        """Number of contacts that no error report has named."""
        return self.rows - self.refused


@dataclass
class ImportState:
    """The state of a run's imports. It is small, JSON-ready, and has no personal data.

    :param files: the files of the run, in the order of their uploads.
    :param groups: the groups of contacts; the number of a group is its index.
    :param is_all_sent: whether every file is uploaded, so that no row needs to be read again.
    :param is_parked: whether the plan in the journal's database has the contacts of the files that are not uploaded.
    :param removals_left: whether contacts that left the source still wait for ``on_removed``. Only the process that has
        read the source knows these contacts.
    :param run: the other entries that a process needs to continue the run.
    :param is_half_counted: whether contacts are being counted, or counting them broke off. Then this state must not be
        stored: the stored one is that of before. It is not stored itself.
    """

    files: list[SentFile] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    is_all_sent: bool = False
    is_parked: bool = False
    run: dict[str, Any] = field(default_factory=dict)
    removals_left: bool = False
    is_half_counted: bool = False

    @property
    def is_complete(self) -> bool:
        """Whether no row has to be read again.

        So it is if every file is uploaded, no import has failed as a whole, and ``on_removed`` is carried out.
        """
        return self.is_all_sent and not self.removals_left and not any(file.is_failed for file in self.files)

    @property
    def imported_in(self) -> Imported | None:
        """The rows and the duration of the imports; ``None`` unless all have finished, at known times."""
        files = [file for file in self.files if file.rows]
        times = [(file.began_at, file.ended_at) for file in files if file.is_finished]
        began, ended = [at for at, _ in times if at is not None], [at for _, at in times if at is not None]
        if not files or not len(files) == len(began) == len(ended):
            return None
        return Imported(sum(file.rows for file in files), max(_SHORTEST_S, max(ended) - min(began)))

    @property
    def open_ids(self) -> list[str]:
        """Return the ids of imports that are not known to have ended, in the order of their uploads."""
        return [sent.import_id for sent in self.files if sent.is_open and sent.import_id is not None]

    @property
    def known_ids(self) -> set[str]:
        """Return the ids of this run's imports, open and ended. An upload without a response has no id."""
        return {sent.import_id for sent in self.files if sent.import_id is not None}

    @property
    def lost_since(self) -> float | None:
        """Start of the first upload without a response, in seconds since the epoch; ``None`` if there is none."""
        lost = [sent.since for sent in self.files if sent.is_open and sent.import_id is None and sent.since is not None]
        return min(lost, default=None)

    @property
    def groups_left(self) -> set[int]:
        """Return the numbers of groups with a part in a file that is not uploaded yet."""
        return self._groups_with(sent.file for sent in self.files if sent.import_id is None)

    @property
    def groups_uploaded(self) -> set[int]:
        """Return the numbers of groups with a part in a file that is or may be at Connectif."""
        return self._groups_with(sent.file for sent in self.files if sent.is_open or sent.import_id is not None)

    @property
    def rows_left(self) -> dict[int, int]:
        """Return the number of contacts without an outcome, by the number of their group."""
        return {
            number: group.left
            for number, group in enumerate(self.groups)
            if not group.is_counted and group.counted_as is None
        }

    def _groups_with(self, files: Iterable[int]) -> set[int]:
        """Return the numbers of groups with a part in at least one of some files."""
        some = set(files)
        return {number for number, group in enumerate(self.groups) if not some.isdisjoint(group.files)}

    def groups_in(self, file: int) -> list[int]:
        """Return the numbers of groups with a part in a file."""
        return [number for number, group in enumerate(self.groups) if file in group.files]

    def as_json(self) -> dict[str, Any]:
        """Return the state for the journal's database, or for a trigger."""
        return {
            "files": [asdict(file) for file in self.files],
            "groups": [list(vars(group).values()) for group in self.groups],
            "is_all_sent": self.is_complete,
            "is_parked": self.is_parked,
            "removals_left": self.removals_left,
            "run": self.run,
        }

    @classmethod
    def from_json(cls, state: Mapping[str, Any] | None) -> ImportState | None:
        """Read a state; ``None`` if there is none, or it cannot be read."""
        if not state:
            return None
        try:
            found = cls(
                [SentFile(**file) for file in state["files"]],
                [Group(*group) for group in state["groups"]],
                bool(state["is_all_sent"]),
                bool(state["is_parked"]),
                dict(state["run"]),
                bool(state["removals_left"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            return None
        needs_run = found.is_all_sent or found.is_parked
        return None if needs_run and not found.run.keys() >= _NEEDED_TO_GO_ON else found


def has_open_files(state: Mapping[str, Any]) -> bool:
    """Whether a saved state names a file whose import or upload has no known end."""
    files = state.get("files")
    try:
        return any(SentFile(**file).is_open for file in files) if isinstance(files, list) else False
    except (TypeError, AttributeError):
        return False  # stored by another version, or by another operator
