"""Makes the text of a row's values for its digest: the same values have the same text in every process."""

from __future__ import annotations

import re
from datetime import date, datetime
from decimal import Decimal
from operator import is_
from typing import Any

_PLAIN = frozenset((str, int, float, bool, type(None), type(...), Decimal, date, datetime))
_OF_SETS: frozenset[Any] = frozenset((set.__repr__, frozenset.__repr__))
_ADDRESS = re.compile(r" at 0x[0-9A-Fa-f]+")


def row_text(values: tuple[Any, ...]) -> str:
    """Return the ``repr`` of values, but with sets in a fixed order and memory views as bytes.

    The ``repr`` of a set has another order in each process, and that of a memory view has an address. The text of all
    other values must stay their ``repr``, since the digests in journals depend on it.

    :raises Exception: any error that the class of a value raises in ``repr``.
    """
    text = repr(values)
    if ("{" not in text and "<memory at " not in text) or _PLAIN.issuperset(map(type, values)):
        return text
    stable = _stable(values, ())
    return text if stable is values else repr(stable)


def is_unstable(values: tuple[Any, ...]) -> bool:
    """Whether the text of values contains the address of an object, or cannot be made.

    An address differs in each process, and so does the digest of the text.
    """
    try:
        return _ADDRESS.search(row_text(values)) is not None
    except Exception:  # noqa: BLE001 - a class of somebody else's, which may raise anything
        return True


def text_of_invalid(values: tuple[Any, ...]) -> str:
    """Return the text of values that are never sent, without the addresses of objects.

    If a value cannot be turned into text, the name of its class stands for it.
    """
    return "\0".join([_ADDRESS.sub("", _any_text(value)) for value in values])


def _any_text(value: Any) -> str:
    try:
        return row_text((value,))
    except Exception:  # noqa: BLE001 - a class of somebody else's, which may raise anything
        return f"<{type(value).__name__}>"


class _OrderedSet:
    """A set whose ``repr`` is that of Python, but in the order of its items' texts."""

    def __init__(self, items: set[Any] | frozenset[Any], containers: tuple[int, ...]) -> None:
        self._name = type(items).__name__
        self._texts = sorted([repr(_stable(item, containers)) for item in items])

    def __repr__(self) -> str:
        items = f"{{{', '.join(self._texts)}}}"
        return items if self._name == "set" else f"{self._name}({items})"


def _stable(value: Any, containers: tuple[int, ...]) -> Any:
    """Return a value in which sets have a fixed order, and memory views are bytes.

    If there is nothing to replace, that is ``value`` itself. Other objects stay, even if their ``repr`` has an address.

    :param containers: ``id`` of each value that contains ``value``, since a list may contain itself.
    """
    kind = type(value)
    if kind in _PLAIN:  # checked first, since most are
        return value
    if kind is memoryview:
        return bytes(value)
    if kind.__repr__ in _OF_SETS and value:
        return _OrderedSet(value, containers)
    if kind not in (list, tuple, dict) or id(value) in containers:
        return value
    containers = (*containers, id(value))
    items = value.values() if kind is dict else value
    stable = [_stable(item, containers) for item in items]
    if all(map(is_, items, stable)):
        return value
    return dict(zip(value, stable, strict=True)) if kind is dict else kind(stable)
