"""The operators' switches: checks their values, also after templates are rendered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from airflow.providers.common.compat.sdk import AirflowFailException, XComArg

from airflow_provider_connectif.api.errors import RunFailed
from airflow_provider_connectif.contacts.rules import InvalidValue, numbers
from airflow_provider_connectif.reporting.folding import folded

TEMPLATED_SWITCHES = ("check_only", "full_refresh", "guards_off", "ignore_held", "retry_rejected")
"""Template fields: text is rendered and then read like a boolean field. A new switch is added here."""

# Template fields that are text or ``None``.
_TEMPLATED_TEXTS = (
    "sql",
    "sql_conn_id",
    "connectif_conn_id",
    "key_column",
    "rejects_path",
    "journal_conn_id",
    "sync_id",
)
_PLAIN_TEXTS = ("journal_table", "journal_schema")


def is_on(name: str, value: object) -> bool:
    """Read a switch after its template was rendered, which gives text or, natively, a type of its own.

    :raises RunFailed: the value is neither true nor false by the rule of boolean fields; names the switch.
    """
    try:
        return numbers.boolean(value)
    except InvalidValue as unfit:
        raise RunFailed(f"{name} {unfit}", final=True) from None


def check_switches(values: Mapping[str, Any], *, may_be_none: Iterable[str] = ()) -> None:
    """Refuse switches of a wrong type while the operator is created: any text is true in Python, also ``"no"``.

    :param values: the switches by name.
    :param may_be_none: those for which ``None`` means a default.
    :raises ValueError: the value is not a bool, nor, for a templated switch, text or the output of a task.
    """
    for name, value in values.items():
        if type(value) is bool or (value is None and name in may_be_none):
            continue
        if name in TEMPLATED_SWITCHES:
            if isinstance(value, (str, XComArg)):
                continue
            raise ValueError(f"{name} must be True, False, or a template that gives one, not {value!r}")
        raise ValueError(f"{name} must be True or False, not {value!r}")


def check_texts(values: Mapping[str, Any]) -> None:
    """Refuse values that are neither text nor ``None``; templated arguments may be outputs of tasks.

    :raises ValueError: names the argument.
    """
    for name, value in values.items():
        is_fine = value is None or isinstance(value, (str, XComArg) if name in _TEMPLATED_TEXTS else str)
        if not is_fine or value == "":
            raise ValueError(f"{name} must be text, not {value!r}" if value != "" else f"{name} is empty text")


def given_texts(operator: object) -> tuple[str, ...]:
    """Return the templated texts that have a value."""
    return tuple(name for name in _TEMPLATED_TEXTS if getattr(operator, name, None) is not None)


def check_rendered(operator: object, given: Iterable[str]) -> None:
    """Check templated arguments again after they are rendered.

    A template may render to nothing, and the argument would then fall back to a default that nobody asked for: no
    journal, no file of rejected rows.

    :param given: the result of :func:`given_texts` when the operator was created.
    :raises RunFailed: names the argument.
    """
    for name in given:
        value = getattr(operator, name)
        if isinstance(value, str) and value.strip() and (value != "None" or name == "sql"):
            continue
        what = "nothing" if value is None or not str(value).strip() or value == "None" else f"a {type(value).__name__}"
        raise RunFailed(f"{name} must be text, but its template gave {what}", final=True)
    parameters = getattr(operator, "parameters", None)
    if isinstance(parameters, (str, bytes)):
        raise RunFailed(
            "parameters must be a list, a tuple or a dict, but is text: with a template for all of them, set "
            "render_template_as_native_obj=True on the DAG",
            final=True,
        )


@contextmanager
def final_where_mapped(operator: object) -> Iterator[None]:
    """Make a wrong argument final for a mapped operator, which is created when its task runs.

    :raises AirflowFailException: instead of ``ValueError``, since another attempt would end the same way.
    """
    try:
        yield
    except ValueError as error:
        if not getattr(operator, "_BaseOperator__from_mapped", False):
            raise
        words = str(error)
    else:
        return
    raise AirflowFailException(folded(words))
