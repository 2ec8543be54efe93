"""Which rows a later row of the same contact supersedes, in the memory of a few thousand keys."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from pathlib import Path

_PARTITIONS = 128
_MOST_HELD = 20_000  # notes that are kept until they are written


class LastRows:
    """Keys go to one of many files on disk by their hash; a file at a time is then looked through.

    The hash only decides on the file. Keys are compared themselves, so that no collision loses a row.

    :param folder: an existing folder for the files.
    :param hash_key: spreads keys; may be as bad as a constant, which costs memory and nothing else.
    """

    def __init__(self, folder: Path, hash_key: Callable[[str], int] = hash) -> None:
        self._folder = folder
        self._hash = hash_key
        self._held: list[list[str]] = [[] for _ in range(_PARTITIONS)]
        self._count = 0

    def note(self, key: str, file: int, line: int) -> None:
        """A row of a contact, later than all before.

        :param key: one form for all spellings of the key, without line breaks.
        :param file: the number of the file that it is in.
        :param line: its place there.
        """
        self._held[self._hash(key) % _PARTITIONS].append(f"{file} {line} {key}\n")
        self._count += 1
        if self._count >= _MOST_HELD:
            self._write_out()

    def superseded(self) -> dict[int, array[int]]:
        """By file the lines that must not be imported, in no order; four bytes each. The notes are gone then."""
        self._write_out()
        found: dict[int, array[int]] = {}
        for partition in range(_PARTITIONS):
            path = self._path(partition)
            if not path.exists():
                continue
            last: dict[str, str] = {}
            with path.open(encoding="utf-8", newline="\n") as notes:
                for note in notes:
                    file, line, key = note.split(" ", 2)
                    if key in last:
                        earlier_file, _, earlier_line = last[key].partition(" ")
                        found.setdefault(int(earlier_file), array("I")).append(int(earlier_line))
                    last[key] = f"{file} {line}"
            path.unlink()
        return found

    def _write_out(self) -> None:
        for partition, notes in enumerate(self._held):
            if notes:
                with self._path(partition).open("a", encoding="utf-8", newline="\n") as file:
                    file.write("".join(notes))
                notes.clear()
        self._count = 0

    def _path(self, partition: int) -> Path:
        return self._folder / f"keys-{partition:03}"
