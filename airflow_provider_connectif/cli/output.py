"""Prints the results of commands as a table, JSON, YAML or plain text, like Airflow's own commands.

Airflow prints the tables. It does not print JSON and YAML, because it would turn numbers and booleans into texts.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from airflow_provider_connectif.cli.running import CommandFailed
from airflow_provider_connectif.reporting.formats import utc_second

Rows = Sequence[Mapping[str, Any]]
Section = tuple[str, Rows | str]
"""A title with rows or a text."""


def show(form: str, data: Any, sections: Sequence[Section]) -> None:
    """Print a result on stdout.

    :param form: ``table``, ``json``, ``yaml`` or ``plain``.
    :param data: the result for ``json`` and ``yaml``.
    :param sections: the same result for ``table`` and ``plain``.
    :raises CommandFailed: the output cannot be written.
    """
    try:
        if form == "json":
            _write_data(partial(json.dumps, jsonable(data), indent=2), "ensure_ascii", end="\n")
        elif form == "yaml":
            from airflow.utils import yaml

            _write_data(partial(yaml.dump, jsonable(data), sort_keys=False), "allow_unicode", escapes=False)
        else:
            _show_sections(form, sections)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise CommandFailed(f"the output cannot be written: {error.strerror}") from None


def _write_data(dump: Callable[..., str], option: str, *, escapes: bool = True, end: str = "") -> None:
    """Write JSON or YAML. If the encoding of stdout does not have all characters, write the escapes of JSON or YAML.

    :param option: the argument of ``dump`` that decides whether the text is ASCII with escapes.
    :param escapes: the value of this argument with which it is.
    """
    text = dump(**{option: not escapes})
    if text != _encodable(text):
        text = dump(**{option: escapes})
    sys.stdout.write(text + end)


def _encodable(text: str) -> str:
    """Return a text with escapes for characters that the encoding of stdout does not have, such as lone surrogates."""
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _show_sections(form: str, sections: Sequence[Section]) -> None:
    for number, (title, content) in enumerate(sections):
        if title:
            sys.stdout.write(("\n" if number else "") + f"{_encodable(title)}\n")
        if isinstance(content, str):
            sys.stdout.write(f"{_encodable(content)}\n")
        else:
            _show_table(form, content)


def jsonable(value: Any) -> Any:
    """Return a value as JSON and YAML have it. A moment becomes text in ISO 8601."""
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    if isinstance(value, Mapping):
        return {str(name): jsonable(entry) for name, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(entry) for entry in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return str(value).encode("utf-8", "backslashreplace").decode()  # no encoding has lone surrogates


def pairs(entries: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of a table with the columns ``what`` and ``value``. ``None`` and empty values are left out."""
    return [{"what": name, "value": value} for name, value in entries.items() if value is not None and value != ""]


def _show_table(form: str, rows: Rows) -> None:
    from airflow.cli.simple_table import AirflowConsole
    from rich.markup import escape
    from tabulate import tabulate  # type: ignore[import-untyped]  # has no types; Airflow requires it

    printable = [{name: _encodable(_printable(value)) for name, value in row.items()} for row in rows]
    console = AirflowConsole(highlight=False, emoji=False)
    if form == "plain" and printable:
        # Airflow's own plain tables show texts that look like numbers as numbers: +34600111222 as 3.46001e+10.
        sys.stdout.write(tabulate(printable, headers="keys", tablefmt="plain", disable_numparse=True) + "\n")
    elif form == "plain":
        console.print_as_plain_table(printable)
    else:
        # Names from Connectif, a database or a source must not act as markup.
        console.print_as_table([{name: escape(value) for name, value in row.items()} for row in printable])


def _printable(value: Any) -> str:
    """Return a cell's text without control characters of a terminal."""
    value = utc_second(value) if isinstance(value, datetime) else jsonable(value)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        value = ", ".join(str(entry) for entry in value)
    return "".join(character if character.isprintable() else "�" for character in str(value))
