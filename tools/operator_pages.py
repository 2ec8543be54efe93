"""Write docs/reference/*-operator.md from the docstrings of the operators, or check that they are current (--check)."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

from airflow_provider_connectif.operators.contacts import (
    ContactDeleteOperator,
    ContactImportOperator,
    ContactPatchOperator,
    ContactSyncOperator,
)

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "reference"

EXPLANATIONS: Mapping[str, str] = MappingProxyType(  # of a group, by an argument in it
    {
        "max_created": (
            "A guard limits the plan: to a number of contacts (int), or to a share (float from 0 to 1) of the contacts "
            "that the sync knew before. If the plan exceeds one, the task fails before it sends anything: "
            "[Guards](../sync.md#guards). A guard needs `journal_conn_id`."
        ),
    }
)

GROUPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "Rows": (
            *("sql", "sql_conn_id", "parameters", "hook_params", "rows", "read_timeout", "pending_limit"),
            *("key", "key_column", "properties", "nulls", "fields", "default_region", "region_column"),
        ),
        "What is deleted": ("max_deleted", "suppress"),
        "PATCH or import": ("via", "import_after"),
        "What is sent": ("resubscribe", "write_modes", "check_only", "full_refresh", "retry_rejected", "plan_max_age"),
        "Guards and contacts that left": (
            *("on_removed", "max_removed", "max_created", "max_changed", "max_lowered", "max_raised"),
            *("min_rows", "guards_off"),
        ),
        "The journal": (
            *("journal_conn_id", "sync_id", "journal_table", "journal_schema", "journal_key", "plan_retention"),
            *("history_lines", "history_retention"),
        ),
        "Requests": ("connectif_conn_id", "on_response", "max_in_flight"),
        "Files": (
            *(
                "on_existing",
                "file_layout",
                "patch_leftovers",
                "max_file_bytes",
                "delimiter",
                "poll_interval",
                "timeout",
            ),
        ),
        "Waiting": ("deferrable", "defer_after"),
        "The end of the task": ("failure_budget", "ignore_held", "rejects_path", "rejects_retention"),
    }
)
"""Every argument, in the groups in which the pages show them."""


@dataclass(frozen=True)
class OperatorPage:
    """The page of one operator.

    :param operator: the class.
    :param name: the name of the file, without its ending.
    :param introduction: the purpose of the operator.
    :param example: a task, as part of a DAG.
    """

    operator: type[Any]
    name: str
    introduction: str
    example: str


PAGES = (
    OperatorPage(
        ContactPatchOperator,
        "contact-patch-operator",
        "Upserts rows as contacts: one `PATCH /contacts/{email}` for each contact that changed.",
        """\
ContactPatchOperator(
    task_id="contacts",
    sql="select email, first_name, points from contacts",
    sql_conn_id="warehouse",
    properties={"_name": "first_name", "_points": "points"},
    journal_conn_id="warehouse",
)
""",
    ),
    OperatorPage(
        ContactSyncOperator,
        "contact-sync-operator",
        "Keeps contacts equal to a query, including contacts that left it. "
        "[Keep contacts equal to a query](../sync.md) explains when a contact has left.",
        """\
ContactSyncOperator(
    task_id="keep_contacts",
    sql="select email, first_name, points from contacts",
    sql_conn_id="warehouse",
    properties={"_name": "first_name", "_points": "points"},
    journal_conn_id="warehouse",
    on_removed={"_newsletterSubscriptionStatus": "unsubscribed"},
)
""",
    ),
    OperatorPage(
        ContactImportOperator,
        "contact-import-operator",
        "Imports rows as contacts by CSV files: one request carries hundreds of thousands of rows. "
        "[Import many at once](../bulk-import.md) explains when an import is better than PATCH.",
        """\
ContactImportOperator(
    task_id="first_load",
    sql="select email, first_name, points from contacts",
    sql_conn_id="warehouse",
    properties={"_name": "first_name", "_points": "points"},
    journal_conn_id="warehouse",
    deferrable=True,
)
""",
    ),
    OperatorPage(
        ContactDeleteOperator,
        "contact-delete-operator",
        "Deletes people at Connectif and erases them from the journal: [Forget a person](../howto/forget-a-person.md).",
        """\
ContactDeleteOperator(
    task_id="forget",
    sql="select email from contacts where email = 'ana@example.com'",
    sql_conn_id="warehouse",
    journal_conn_id="warehouse",
)
""",
    ),
)

_PARAMETER = re.compile(r"^\s*:param (\w+): (.*?)(?=^\s*:\w+|\Z)", re.MULTILINE | re.DOTALL)
_DEFAULT = re.compile(r" Default \d[^.;]*\.")  # the table has a column for it
_TEMPLATED = re.compile(r"\s*\(templated\)")  # the table marks these
_ROLE = re.compile(r":\w+:`~?([^`]*)`")


def arguments_of(operator: type[Any]) -> dict[str, str]:
    """Return the text about each argument from the docstrings, by the argument's name."""
    said: dict[str, str] = {}
    for cls in operator.__mro__:
        if not cls.__module__.startswith("airflow_provider_connectif"):
            continue
        for name, text in _PARAMETER.findall(inspect.getdoc(cls) or ""):
            said.setdefault(name, _as_markdown(text))
    said.pop("kwargs", None)
    return said


def defaults_of(operator: type[Any]) -> dict[str, str]:
    """Return the defaults of the arguments in words, by name; arguments without a default are left out."""
    found: dict[str, str] = {}
    for cls in operator.__mro__:
        if cls.__module__.startswith("airflow_provider_connectif") and "__init__" in vars(cls):
            for parameter in inspect.signature(cls.__init__).parameters.values():
                if parameter.default is not inspect.Parameter.empty:
                    found.setdefault(parameter.name, _in_words(parameter.default))
    return found


def page(of: OperatorPage) -> str:
    """Return the whole page of an operator."""
    name = of.operator.__name__
    return "\n".join(
        [
            f"# {name}",
            "",
            f"`from airflow_provider_connectif.operators.contacts import {name}`",
            "",
            of.introduction,
            "",
            f"```python\n{of.example}```",
            "",
            "Arguments with \\* are templated. The text of a templated switch is read like that of a [boolean "
            "field](../field-types.md), such as `true`, `yes`, `1`, `false`, `no`, `0`. All arguments of Airflow's "
            "`BaseOperator` work, too. If an argument is not valid, the DAG fails when it is parsed; a templated "
            "argument is checked when the task runs. `tools/operator_pages.py` writes this page from the docstrings.",
            "",
            *_tables(of.operator),
            "[Summary](summary.md) has the outcomes of the rows. [The response policy](../response-policy.md) has the "
            "action for each response.",
            "",
        ]
    )


def _tables(operator: type[Any]) -> Iterator[str]:
    said, defaults = arguments_of(operator), defaults_of(operator)
    templated = set(operator.template_fields)
    in_groups = {name for names in GROUPS.values() for name in names}
    if missing := said.keys() - in_groups:
        raise SystemExit(f"tools/operator_pages.py: put into a group: {', '.join(sorted(missing))}")
    for group, names in GROUPS.items():
        of_operator = [name for name in names if name in said]
        if not of_operator:
            continue
        yield f"## {group}\n"
        yield from (f"{text}\n" for name, text in EXPLANATIONS.items() if name in of_operator)
        yield "| argument | meaning | default |\n| --- | --- | --- |"
        for name in of_operator:
            star = "\\*" if name in templated else ""
            text = said[name].replace("|", "\\|")
            if name in defaults:
                text = _DEFAULT.sub("", text)
            yield f'| <a id="{name}"></a>`{name}`{star} | {text} | {defaults.get(name, "")} |'
        yield ""


def _as_markdown(text: str) -> str:
    plain = _ROLE.sub(lambda role: f"`{role[1].rsplit('.', 1)[-1]}`", text)
    return " ".join(_TEMPLATED.sub("", plain.replace("``", "`")).split())


def _in_words(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, timedelta):
        seconds = int(value.total_seconds())
        for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1)):
            if seconds >= length and seconds % length == 0:
                count = seconds // length
                return f"{count} {unit}{'' if count == 1 else 's'}"
    if isinstance(value, str):
        return f'`"{value}"`'
    return f"`{value:,}`" if type(value) is int else f"`{value!r}`"


def main() -> int:
    """Write the pages, or compare them."""
    is_check, is_current = "--check" in sys.argv[1:], True
    for of in PAGES:
        path = FOLDER / f"{of.name}.md"
        if is_check:
            is_current = is_current and path.exists() and path.read_text(encoding="utf-8") == page(of)
        else:
            path.write_text(page(of), encoding="utf-8")
    if is_check:
        sys.stdout.write("the pages are up to date\n" if is_current else "run tools/operator_pages.py\n")
    return 0 if is_current else 1


if __name__ == "__main__":
    sys.exit(main())
