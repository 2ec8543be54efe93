"""Remembers texts in a few bytes each. Most texts that were not added are recognised without an exact check."""

from __future__ import annotations

from collections.abc import Iterable

_GROUPS = 1 << 14  # each takes about 70 bytes besides its texts; a look-up reads one whole group
_TAIL_BYTES = 4


class SeenTexts:
    """Distinguishes texts that were certainly not added from texts that may have been added.

    It stores four bytes of each text's hash, in 16,384 groups by other bits of the hash. That takes about 6 MB for a
    million texts. Then about one in ten million other texts seems to have been added.
    """

    def __init__(self) -> None:
        self._groups: list[bytearray | None] = [None] * _GROUPS

    def add(self, texts: Iterable[str]) -> list[str]:
        """Add texts.

        :return: those that may have been added before, including all that were.
        """
        groups, found = self._groups, []
        for text in texts:
            number = hash(text)
            tail = (number >> 16 & 0xFFFFFFFF).to_bytes(_TAIL_BYTES, "little")
            group = groups[number % _GROUPS]
            if group is None:
                groups[number % _GROUPS] = bytearray(tail)
            elif tail in group:
                found.append(text)
            else:
                group += tail
        return found

    def maybe(self, texts: Iterable[str]) -> list[str]:
        """Return the texts that may have been added, including all that were."""
        groups, found = self._groups, []
        for text in texts:
            number = hash(text)
            group = groups[number % _GROUPS]
            if group is not None and (number >> 16 & 0xFFFFFFFF).to_bytes(_TAIL_BYTES, "little") in group:
                found.append(text)
        return found
