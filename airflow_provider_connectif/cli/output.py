"""Prints the results of commands: as a table, JSON, YAML or plain, like Airflow's own commands.

Tables are printed by Airflow. JSON and YAML keep the types of numbers and booleans, which Airflow would turn into
texts.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from airflow_provider_connectif.reporting.formats import utc_second

Rows = Sequence[Mapping[str, Any]]
Section = tuple[str, Rows | str]
"""A title with rows or a text."""


def show(form: str, data: Any, sections: Sequence[Section]) -> None:
    """Print a result on stdout.

    :param form: ``table``, ``json``, ``yaml`` or ``plain``.
    :param data: for JSON and YAML.
    :param sections: for tables.
    """
    if form == "json":
        sys.stdout.write(json.dumps(jsonable(data), ensure_ascii=False, indent=2) + "\n")
    elif form == "yaml":
        from airflow.utils import yaml

        sys.stdout.write(str(yaml.dump(jsonable(data), sort_keys=False, allow_unicode=True)))
    else:
        for number, (title, content) in enumerate(sections):
            if title:
                sys.stdout.write(("\n" if number else "") + f"{title}\n")
            if isinstance(content, str):
                sys.stdout.write(f"{content}\n")
            else:
                _show_table(form, content)


def jsonable(value: Any) -> Any:
    """Return a value for JSON and YAML; moments as ISO 8601."""
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    if isinstance(value, Mapping):
        return {str(name): jsonable(entry) for name, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(entry) for entry in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def pairs(entries: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a table of two columns, without unknown values."""
    return [{"what": name, "value": value} for name, value in entries.items() if value is not None and value != ""]


def _show_table(form: str, rows: Rows) -> None:
    from airflow.cli.simple_table import AirflowConsole
    from rich.markup import escape
    from tabulate import tabulate  # type: ignore[import-untyped]  # a requirement of Airflow

    printable = [{name: _printable(value) for name, value in row.items()} for row in rows]
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
