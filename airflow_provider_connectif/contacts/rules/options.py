"""The rules of radio and checkbox fields: values from a list, by id or by label."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterable
from typing import Any

from airflow_provider_connectif.contacts.rules.base import Coercer, InvalidValue, kind, valid_text
from airflow_provider_connectif.contacts.rules.numbers import shortest_text

_MOST_OPTIONS_NAMED = 5
_LONGEST_NAMED = 40  # characters of an id in a reason
_LONGEST_LIST = 50_000  # characters; the API allows 120 options with ids of 150
# All quantifiers are possessive, so that no text causes backtracking.
_POSTGRES_ITEM = re.compile(r'\s*+(?:"((?:[^"\\]|\\.)*+)"|([^",{}\\]*+))\s*+(,|$)', re.DOTALL)

Option = tuple[str, str | None]
"""An option's id, and its label if it has one."""


def radio(options: Iterable[Option]) -> Coercer:
    """Return a rule for one option: its id, in exact case, or its label in any case if no other option has it."""
    find = _finder(tuple(options), "must be one of {}")

    def coerce(value: Any) -> str:
        return find(value)

    return coerce


def checkbox(options: Iterable[Option]) -> Coercer:
    """Return a rule for any of the options. Each is sent once, in the order of the value.

    A value may be a list, a tuple, a set, text that is a JSON or PostgreSQL array, or ids or labels joined by ``|``.
    """
    known = tuple(options)
    order = [option_id for option_id, _ in known]
    find = _finder(known, "must be a list of options from {}")

    def coerce(value: Any) -> list[str]:
        if isinstance(value, (set, frozenset)):
            found = {find(item) for item in value}
            # A set has no order, but a patch should be the same in every run: the field's order is used.
            items = [option for option in order if option in found] or sorted(found)
        elif isinstance(value, str):
            items = _split(value, find)
        elif isinstance(value, (list, tuple)):
            items = list(value)
        else:
            raise InvalidValue(f"must be a list of options, not {kind(value)}")
        return list(dict.fromkeys(find(item) for item in items))

    return coerce


def _finder(options: tuple[Option, ...], rule: str) -> Callable[[Any], str]:
    ids = frozenset(option_id for option_id, _ in options)
    by_composition = {_composed(option_id): option_id for option_id in ids}
    if len(by_composition) < len(ids):  # ids that differ only in the composition of accents: only the exact one counts
        by_composition = {}
    folded_ids = {_folded(option_id) for option_id in ids}
    ids_of_label: dict[str, set[str]] = {}
    for option_id, label in options:
        folded = _folded(label or "")
        if folded and (folded not in folded_ids or folded == _folded(option_id)):
            ids_of_label.setdefault(folded, set()).add(option_id)
    by_label = {folded: next(iter(found)) for folded, found in ids_of_label.items() if len(found) == 1}
    named = ", ".join(_shortened(option_id) for option_id, _ in options[:_MOST_OPTIONS_NAMED])
    words = rule.format(f"{named}, ... ({len(options)} options)" if len(options) > _MOST_OPTIONS_NAMED else named)

    def find(value: Any) -> str:
        if type(value) is not str:
            text = valid_text(value) if isinstance(value, str) else shortest_text(value)
            if text is None:
                raise InvalidValue(f"{words}, not {kind(value)}")
            value = text
        if not options:  # a definition without options: Connectif must decide
            return valid_text(value).rstrip(" ")
        stripped = value.strip()  # columns of fixed length are padded
        if value in ids or stripped in ids:
            return str(value) if value in ids else str(stripped)
        found = by_composition.get(_composed(value)) or by_label.get(_folded(value))
        if found is None:
            raise InvalidValue(words)
        return found

    return find


def _shortened(option_id: str) -> str:
    return option_id if len(option_id) <= _LONGEST_NAMED else option_id[: _LONGEST_NAMED - 3] + "..."


def _composed(option_id: str) -> str:
    """Return one form for all ways in which systems compose the accents of an id."""
    return unicodedata.normalize("NFC", option_id).strip()


def _folded(label: str) -> str:
    """Return one form for all spellings of a label."""
    return unicodedata.normalize("NFC", label).strip().casefold()


def _split(text: str, find: Callable[[Any], str]) -> list[Any]:
    stripped = text.strip()
    if len(stripped) > _LONGEST_LIST:
        raise InvalidValue(f"must be a list of options, but this text has more than {_LONGEST_LIST} characters")
    if not stripped:
        raise InvalidValue("must be a list of options, but this text is blank: for no options, give an empty list")
    try:
        return [find(text)]  # an option may contain a separator
    except InvalidValue:
        pass
    if stripped.startswith("["):
        return _json_array(stripped)
    if stripped.startswith("{") and stripped.endswith("}"):
        return _postgres_array(stripped[1:-1])
    parts = [part.strip() for part in stripped.split("|") if part.strip()]
    if not parts:
        raise InvalidValue("must be a list of options, but this text has separators only")
    return parts


def _json_array(text: str) -> list[Any]:
    try:
        items = json.loads(text)
    except (ValueError, RecursionError):
        items = None
    if not isinstance(items, list):
        raise InvalidValue("must be a list of options, but this text is not a JSON array")
    return items


def _postgres_array(text: str) -> list[Any]:
    """Return the items of an array's text form (PostgreSQL documentation, 8.15.6)."""
    items: list[Any] = []
    position = 0
    while text.strip():
        match = _POSTGRES_ITEM.match(text, position)
        quoted, bare = (match.group(1), (match.group(2) or "").strip()) if match else (None, "")
        if match is None or (quoted is None and (not bare or bare.upper() == "NULL")):
            raise InvalidValue("must be a list of options, but this text is not a PostgreSQL array, or has NULL in it")
        items.append(bare if quoted is None else re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL))
        position = match.end()
        if match.group(3) != ",":
            break
    return items
