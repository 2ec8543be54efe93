"""Samples of many things that are in an order."""

from __future__ import annotations

from collections.abc import Sequence


def some_of(names: Sequence[str], most: int) -> str:
    """List at most ``most`` names, and the number of the others."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more:,} more" if more > 0 else "")


def evenly(count: int, most: int) -> list[int]:
    """Return ascending indexes that are spread evenly over a number of things, from the first to the last.

    :param count: the number of things.
    :param most: the size of the sample; all things if they are fewer. 1: only the first.
    """
    if count <= most:
        return list(range(count))
    return [number * (count - 1) // max(1, most - 1) for number in range(most)]
