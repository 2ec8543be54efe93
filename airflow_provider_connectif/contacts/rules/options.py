"""Radio and checkbox fields: values out of a list, by id or by label."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from airflow_provider_connectif.contacts.rules.base import Coercer, Unfit, kind, valid_text
from airflow_provider_connectif.contacts.rules.numbers import shortest_text

_MOST_OPTIONS_NAMED = 5
_POSTGRES_ITEM = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|([^",{}\\]*[^",{}\\\s]|))\s*(,|$)')

Option = tuple[str, str | None]
"""An option's id and, where it has one, its label."""


def radio(options: Iterable[Option]) -> Coercer:
    """One option: its id, in exactly this case, or its label in any case where no other has it."""
    find = _finder(tuple(options), "must be one of {}")

    def coerce(value: Any) -> str:
        return find(value)

    return coerce


def checkbox(options: Iterable[Option]) -> Coercer:
    """Any of the options, each once, in their order.

    From a list, tuple or set, from text that is a JSON or PostgreSQL array, or ids or labels joined by ``|``.
    """
    find = _finder(tuple(options), "must be a list out of {}")

    def coerce(value: Any) -> list[str]:
        if isinstance(value, str):
            items = _split(value, find)
        elif isinstance(value, (set, frozenset)):
            items = sorted(value, key=str)  # a set has no order, and a patch should not differ from run to run
        elif isinstance(value, (list, tuple)):
            items = list(value)
        else:
            raise Unfit(f"must be a list of options, not {kind(value)}")
        return list(dict.fromkeys(find(item) for item in items))

    return coerce


def _finder(options: tuple[Option, ...], rule: str) -> Callable[[Any], str]:
    ids = frozenset(option_id for option_id, _ in options)
    labels = Counter(label.strip().casefold() for _, label in options if label)
    by_label = {
        label.strip().casefold(): option_id
        for option_id, label in options
        if label and labels[label.strip().casefold()] == 1
    }
    named = ", ".join(option_id for option_id, _ in options[:_MOST_OPTIONS_NAMED])
    words = rule.format(f"{named}, … ({len(options)} options)" if len(options) > _MOST_OPTIONS_NAMED else named)

    def find(value: Any) -> str:
        if type(value) is not str:
            text = valid_text(value) if isinstance(value, str) else shortest_text(value)
            if text is None:
                raise Unfit(f"{words}, not {kind(value)}")
            value = text
        if not options:  # a definition without options: Connectif must judge
            return valid_text(value)
        if value in ids:
            return str(value)
        found = by_label.get(value.strip().casefold())
        if found is None:
            raise Unfit(words)
        return found

    return find


def _split(text: str, find: Callable[[Any], str]) -> list[Any]:
    stripped = text.strip()
    if not stripped:
        raise Unfit("must be a list of options, and this text is blank: for none of them give an empty list")
    try:
        return [find(text)]  # an option may hold a separator
    except Unfit:
        pass
    if stripped.startswith("["):
        return _json_array(stripped)
    if stripped.startswith("{") and stripped.endswith("}"):
        return _postgres_array(stripped[1:-1])
    return [part.strip() for part in stripped.split("|") if part.strip()]


def _json_array(text: str) -> list[Any]:
    try:
        items = json.loads(text)
    except (ValueError, RecursionError):
        items = None
    if not isinstance(items, list):
        raise Unfit("must be a list of options, and this text is no JSON array")
    return items


def _postgres_array(text: str) -> list[Any]:
    """The items of an array's text form (PostgreSQL documentation, 8.15.6)."""
    items: list[Any] = []
    position = 0
    while text.strip():
        match = _POSTGRES_ITEM.match(text, position)
        quoted, bare = match.group(1, 2) if match else (None, None)
        if match is None or (quoted is None and (not bare or bare.upper() == "NULL")):
            raise Unfit("must be a list of options, and this text is no PostgreSQL array without NULL")
        items.append(bare if quoted is None else re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL))
        position = match.end()
        if match.group(3) != ",":
            break
    return items
