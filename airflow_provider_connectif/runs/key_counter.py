"""Which keys stand more than once, in the memory of numbers rather than of keys."""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter

_PARTITIONS = 256


class KeyCounter:
    """Counts keys that stand more than once, in eight bytes a key rather than a set of them all."""

    def __init__(self) -> None:
        self._digests = [array("Q") for _ in range(_PARTITIONS)]
        self.count = 0

    def add(self, key: str) -> None:
        """Count a row by its key, in one form for all spellings."""
        digest = int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big")
        self._digests[digest % _PARTITIONS].append(digest)
        self.count += 1

    @property
    def duplicates(self) -> int:
        """Rows whose key an earlier row had."""
        return sum(len(partition) - len(set(partition)) for partition in self._digests)

    @property
    def repeated_keys(self) -> int:
        """Keys that more than one row had."""
        return sum(times > 1 for partition in self._digests for times in Counter(partition).values())
