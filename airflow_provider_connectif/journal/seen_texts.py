"""Texts that were seen, in a few bytes each: for a look that is exact only where it must be."""

from __future__ import annotations

from collections.abc import Iterable

_GROUPS = 1 << 14  # each costs some 70 bytes beside its texts; a look reads all of one
_TAIL_BYTES = 4


class SeenTexts:
    """Says of a text that it was certainly not added, or that it may have been.

    It keeps four bytes of each text's hash, in 16,384 groups by its other bits: about 6 MB for a million texts. Of a
    million texts, one in some ten million others is taken for one that may have been added.
    """

    def __init__(self) -> None:
        self._groups: list[bytearray | None] = [None] * _GROUPS

    def add(self, texts: Iterable[str]) -> None:
        """Add texts."""
        groups = self._groups
        for text in texts:
            number = hash(text)
            tail = (number >> 16 & 0xFFFFFFFF).to_bytes(_TAIL_BYTES, "little")
            group = groups[number % _GROUPS]
            if group is None:
                groups[number % _GROUPS] = bytearray(tail)
            else:
                group += tail

    def maybe(self, texts: Iterable[str]) -> list[str]:
        """Those of some texts that may have been added; every one that was is among them."""
        groups, found = self._groups, []
        for text in texts:
            number = hash(text)
            group = groups[number % _GROUPS]
            if group is not None and (number >> 16 & 0xFFFFFFFF).to_bytes(_TAIL_BYTES, "little") in group:
                found.append(text)
        return found
