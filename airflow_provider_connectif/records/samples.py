"""Samples of many things that are in an order."""

from __future__ import annotations

from collections.abc import Sequence


def some_of(names: Sequence[str], most: int) -> str:
    """List at most ``most`` names, and the number of the others."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more:,} more" if more > 0 else "")


def evenly(count: int, most: int) -> list[int]:
    """Return the indexes of a sample that is spread evenly, with the first and the last one, in their order.

    :param count: the number of things.
    :param most: the size of the sample; all things if they are fewer.
    """
    if count <= most:
        return list(range(count))
    return [number * (count - 1) // max(1, most - 1) for number in range(most)]
