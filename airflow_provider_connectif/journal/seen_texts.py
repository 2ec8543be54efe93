"""Texts that were seen, in a few bytes each: for a look that is exact only where it must be."""

from __future__ import annotations

from collections.abc import Iterable

_GROUPS = 1 << 16
_TAIL_BYTES = 4


class SeenTexts:
    """Says of a text that it was certainly not added, or that it may have been.

    It keeps four bytes of each text's hash, in as many groups as two more bytes have values: about 20 MB for a million
    texts. One of some ten million texts that were not added is taken for one that may have been.
    """

    def __init__(self) -> None:
        self._groups: list[bytearray | None] = [None] * _GROUPS

    def add(self, texts: Iterable[str]) -> None:
        """Add texts."""
        groups = self._groups
        for text in texts:
            number = hash(text)
            tail = (number >> 16 & 0xFFFFFFFF).to_bytes(_TAIL_BYTES, "little")
            group = groups[number & 0xFFFF]
            if group is None:
                groups[number & 0xFFFF] = bytearray(tail)
            else:
                group += tail

    def maybe(self, texts: Iterable[str]) -> list[str]:
        """Those of some texts that may have been added; every one that was is among them."""
        groups, found = self._groups, []
        for text in texts:
            number = hash(text)
            group = groups[number & 0xFFFF]
            if group is not None and (number >> 16 & 0xFFFFFFFF).to_bytes(_TAIL_BYTES, "little") in group:
                found.append(text)
        return found
