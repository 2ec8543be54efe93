"""Remembers the keys of a source in a few bytes each: a few keys in memory, more in a file without a name."""

from __future__ import annotations

import tempfile
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from airflow_provider_connectif.records.folder_faults import (
    FOLDER_ADVICE,
    NOTHING_SENT,
    SPACE_ADVICE,
    cause_of,
    is_full,
)
from airflow_provider_connectif.records.outcomes import PendingError

_HASH_BYTES = 8
_IN_MEMORY = 1 << 19  # hashes, 4 MB


class ShownKeys:
    """The keys of a source, as hashes of eight bytes, for one process.

    With ten million keys, a key that is not in the source looks present with a probability of 1 to 10^12. Then
    ``on_removed`` is not carried out for it.

    :param folder: the folder of the file. Default: the system's temporary folder.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._latest = array("q")
        self._file: IO[bytes] | None = None
        self.count = 0
        """Number of keys added, repeated ones included."""

    def add(self, keys: Iterable[str | None]) -> None:
        """Add keys, in the form in which they are looked up later; ``None`` is skipped.

        :raises PendingError: the file cannot be written, for example since the disk is full. All keys are lost then.
        """
        added = array("q", [hash(key) for key in keys if key is not None])
        self._latest.extend(added)  # an array is copied at once, a list item by item
        self.count += len(added)
        if len(self._latest) >= _IN_MEMORY:
            self._spill()

    def without_shown(self, keys: Iterable[str]) -> list[str]:
        """Return the keys that were not added, in their order.

        Each call reads all hashes, so it should get many keys at once.

        :param keys: the keys to look up, each once.
        """
        by_hash = {hash(key): key for key in keys}
        left = set(by_hash)
        for hashes in self._parts():
            left.difference_update(hashes)
            if not left:
                return []
        return [key for number, key in by_hash.items() if number in left]

    def repeated(self, hashes: Sequence[int]) -> Counter[int]:
        """Return the hashes of keys that were added more than once, with the number of times.

        Each call reads all hashes, unless ``hashes`` is empty.

        :param hashes: ``hash(key)`` of the keys to look up.
        """
        repeated: Counter[int] = Counter()
        for first in range(0, len(hashes), _IN_MEMORY):
            wanted, met, more = set(hashes[first : first + _IN_MEMORY]), set[int](), Counter[int]()
            for part in self._parts():
                for number in filter(wanted.__contains__, part):
                    if number in met:
                        more[number] += 1
                    met.add(number)
            more.update([*more])  # the first occurrence of each
            repeated |= more  # a hash may be asked for twice
        return repeated

    def close(self) -> None:
        """Delete the keys, and free their space."""
        self._latest = array("q")
        if self._file is not None:
            self._file.close()
            self._file = None

    def _parts(self) -> Iterator[array[int]]:
        yield self._latest
        if self._file is None:
            return
        self._file.seek(0)
        while read := self._file.read(_IN_MEMORY * _HASH_BYTES):
            part = array("q")
            part.frombytes(read)
            yield part

    def _spill(self) -> None:
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="connectif-shown-", dir=self._folder)  # noqa: SIM115
            self._file.seek(0, 2)
            self._latest.tofile(self._file)
            self._file.flush()
        except OSError as error:
            with suppress(OSError):
                self.close()
            raise PendingError(
                f"the keys of the source cannot be stored in {str(self._folder or tempfile.gettempdir())!r} "
                f"({cause_of(error)}){NOTHING_SENT}. {SPACE_ADVICE if is_full(error) else FOLDER_ADVICE}"
            ) from None
        self._latest = array("q")
