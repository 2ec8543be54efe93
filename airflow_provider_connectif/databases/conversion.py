"""Values that a driver cannot convert become a marker, so that their row alone is invalid.

A driver converts values while rows are fetched. Where it fails, its error quotes the value, and the rows behind it are
lost. So drivers that can be told how to convert are told here to hand over a marker instead, and the row is invalid.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from operator import methodcaller
from typing import Any

from airflow_provider_connectif.contacts.rules.numbers import single
from airflow_provider_connectif.records.values import UnreadableValue

# Types whose conversion cannot fail, by PostgreSQL's names; all others are converted with care, which costs time.
_TEXTS = ("bpchar", "name", "text", "varchar")
_SAFE_POSTGRES_TYPES = frozenset(
    ("bool", "bytea", "float4", "float8", "int2", "int4", "int8", "numeric", "oid", "uuid", *_TEXTS)
)
# The same by object id, for psycopg2, which knows no names.
_SAFE_POSTGRES_OIDS = frozenset((16, 17, 19, 20, 21, 23, 25, 26, 700, 701, 1042, 1043, 1700))
_FLOAT4_OID = 700
# psycopg2 makes the last day of the year 9999 of infinity: another value, not a failure.
_INFINITE = ("infinity", "-infinity")

_RULE = "cannot be read as {kind} (out of range, infinite or malformed): cast it to text in the query"
_ARTICLES: Mapping[bool, str] = {True: "an", False: "a"}


def _unreadable(text: str, kind: str) -> UnreadableValue:
    return UnreadableValue(text, _RULE.format(kind=f"{_ARTICLES[kind[:1] in 'aeiou']} {kind}"))


def _text_of(data: Any) -> str:
    raw = data if isinstance(data, str) else bytes(data).decode("utf-8", "surrogateescape")
    return str(raw)


def keep_unreadable_of_psycopg(connection: Any) -> None:
    """Tell a connection to hand over :class:`UnreadableValue` where it cannot convert a value.

    Its server-side cursors convert rows as fast as they can, and once more with care where that fails.
    """
    connection.server_cursor_factory = _twice_converting(connection.server_cursor_factory)
    _load_singles(connection.adapters)


@functools.cache
def _twice_converting(cursor_class: Any) -> Any:
    from psycopg.adapt import Transformer

    class TwiceConvertingCursor(cursor_class):  # type: ignore[misc]
        _careful: Any = None

        def fetchmany(self, size: int = 0) -> Any:
            before = self.pgresult
            try:
                return super().fetchmany(size)
            except Exception:  # an author may have registered a loader that raises anything
                if self.pgresult is None or self.pgresult is before:
                    raise  # no rows came, so it is not their conversion that failed
            if self._careful is None:
                self._careful = self.connection.cursor()
                _load_with_care(self.connection, self._careful.adapters)
            transformer = Transformer(self._careful)
            transformer.set_pgresult(self.pgresult)
            return transformer.load_rows(0, self.pgresult.ntuples, self.row_factory(self))

    return TwiceConvertingCursor


def _load_singles(adapters: Any) -> None:
    from psycopg.pq import Format

    loader = adapters.get_loader(_FLOAT4_OID, Format.TEXT)
    if loader is not None and loader.__module__.partition(".")[0] in ("psycopg", "psycopg_binary"):
        adapters.register_loader(_FLOAT4_OID, _single_loader())


def _load_with_care(connection: Any, adapters: Any) -> None:
    from psycopg.pq import Format

    # A database without an encoding holds any bytes as text.
    is_text_safe = connection.info.parameter_status("server_encoding") != "SQL_ASCII"
    for info in tuple(adapters.types):
        for oid in (info.oid, info.array_oid):
            loader = adapters.get_loader(oid, Format.TEXT) if oid else None
            is_own = loader is not None and loader.__module__.partition(".")[0] not in ("psycopg", "psycopg_binary")
            is_safe = info.name in _SAFE_POSTGRES_TYPES and (is_text_safe or info.name not in _TEXTS)
            if loader is None or (is_safe and oid == info.oid and not is_own):
                continue
            kind = info.name if oid == info.oid else f"{info.name} array"
            adapters.register_loader(oid, _careful_loader(loader, kind))


@functools.cache
def _careful_loader(loader: Any, kind: str) -> Any:
    from psycopg.adapt import Loader

    class CarefulLoader(Loader):
        def __init__(self, oid: int, context: Any = None) -> None:
            super().__init__(oid, context)
            self._load = loader(oid, context).load

        def load(self, data: Any) -> Any:
            try:
                value = self._load(data)
            except Exception:  # noqa: BLE001 - an author may have registered the loader, and it may raise anything
                return _unreadable(_text_of(data), kind)
            # The items of an array are loaded by loaders like this one.
            return _unreadable(_text_of(data), kind) if _holds_unreadable(value) else value

    return CarefulLoader


@functools.cache
def _single_loader() -> Any:
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
    """Tell a connection to hand over :class:`UnreadableValue` where it cannot convert a value."""
    from psycopg2 import extensions  # type: ignore[import-untyped]

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
            return _unreadable(text, kind)
        try:
            value = caster(text, cursor)
        except Exception:  # noqa: BLE001 - an author may have registered the caster, and it may raise anything
            return _unreadable(text, kind)
        is_lost = _holds_unreadable(value) or (any(word in text for word in _INFINITE) and _is_of_dates(value))
        return _unreadable(text, kind) if is_lost else value

    return cast


def _is_of_dates(value: Any) -> bool:
    """Whether a value is an array or a range of dates, in which psycopg2 hides infinity."""
    import datetime

    items: Iterable[Any] = (
        value if isinstance(value, list) else (getattr(value, "lower", 0), getattr(value, "upper", 0))
    )
    return any(isinstance(item, datetime.date) for item in items)


def keep_unreadable_of_sqlite(connection: Any) -> None:
    """Tell a connection to hand over bytes that are no UTF-8 as text that the rules of all fields refuse."""
    if connection.text_factory is str:
        connection.text_factory = methodcaller("decode", "utf-8", "surrogateescape")
