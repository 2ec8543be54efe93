"""Replaces values that a driver cannot convert by a marker, so that only their row is invalid.

A driver converts values while rows are fetched. If a conversion fails, the error quotes the value, and the following
rows are lost. So a driver whose conversion can be configured returns a marker instead, and the row is invalid.
psycopg 3 does not convert while rows are fetched: see :mod:`airflow_provider_connectif.databases.raw_rows`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from operator import methodcaller
from typing import Any

from airflow_provider_connectif.contacts.rules.numbers import single
from airflow_provider_connectif.records.values import UnreadableValue

# Types whose conversion cannot fail, by object id; all others are converted one by one, which takes longer.
_SAFE_POSTGRES_OIDS = frozenset((16, 17, 19, 20, 21, 23, 25, 26, 700, 701, 1042, 1043, 1700))
_FLOAT4_OID = 700
# psycopg2 turns infinity into the last day of the year 9999, without an error.
_INFINITE = ("infinity", "-infinity")

_RULE = "cannot be read as {kind} (out of range, infinite or malformed): cast it to text in the query"
_ARTICLES: Mapping[bool, str] = {True: "an", False: "a"}


def unreadable(text: str, kind: str) -> UnreadableValue:
    """Return the marker for a value.

    :param text: the database's text.
    :param kind: the name of its type, for the reason.
    """
    return UnreadableValue(text, _RULE.format(kind=f"{_ARTICLES[kind[:1] in 'aeiou']} {kind}"))


@functools.cache
def single_loader() -> Any:
    """Return a loader for psycopg 3 that marks inexact real numbers of four bytes: see :func:`single`."""
    from psycopg.types.numeric import FloatLoader

    class SingleLoader(FloatLoader):
        def load(self, data: Any) -> float:
            return single(super().load(data))

    return SingleLoader


def _holds_unreadable(value: Any) -> bool:
    if type(value) is UnreadableValue:
        return True
    if isinstance(value, (list, tuple)):
        return any(map(_holds_unreadable, value))
    bounds = (getattr(value, "lower", None), getattr(value, "upper", None))  # of a range
    return any(type(bound) is UnreadableValue for bound in bounds)


def keep_unreadable_of_psycopg2(connection: Any) -> None:
    """Let a connection return :class:`UnreadableValue` for values that it cannot convert."""
    from psycopg2 import extensions  # type: ignore[import-untyped]  # it has no types

    casters = {**extensions.string_types, **connection.string_types}
    for oid, caster in casters.items():
        if oid in _SAFE_POSTGRES_OIDS and casters[oid] is extensions.string_types.get(oid):
            continue
        kind = str(caster.name).lower()
        careful = extensions.new_type((oid,), caster.name, _careful_caster(caster, kind))
        extensions.register_type(careful, connection)
    if casters.get(_FLOAT4_OID) is extensions.FLOAT:
        extensions.register_type(extensions.new_type((_FLOAT4_OID,), "FLOAT4", _cast_single), connection)


def _cast_single(text: str | None, _: Any) -> float | None:
    return None if text is None else single(float(text))


def _careful_caster(caster: Any, kind: str) -> Callable[[str | None, Any], Any]:
    def cast(text: str | None, cursor: Any) -> Any:
        if text is None:
            return None
        if text in _INFINITE:
            return unreadable(text, kind)
        try:
            value = caster(text, cursor)
        except Exception:  # noqa: BLE001 - an author may have registered the caster, and it may raise anything
            return unreadable(text, kind)
        is_lost = _holds_unreadable(value) or (any(word in text for word in _INFINITE) and _is_of_dates(value))
        return unreadable(text, kind) if is_lost else value

    return cast


def _is_of_dates(value: Any) -> bool:
    """Whether a value is an array or a range of dates, in which psycopg2 hides infinity."""
    import datetime

    items: Iterable[Any] = (
        value if isinstance(value, list) else (getattr(value, "lower", 0), getattr(value, "upper", 0))
    )
    return any(isinstance(item, datetime.date) for item in items)


def keep_unreadable_of_sqlite(connection: Any) -> None:
    """Let a connection return bytes that are not UTF-8 as a text that is invalid for every field."""
    if connection.text_factory is str:
        connection.text_factory = methodcaller("decode", "utf-8", "surrogateescape")
