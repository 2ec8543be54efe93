"""Checks the values of the operators' switches and texts, also after templates are rendered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from airflow.providers.common.compat.sdk import AirflowFailException, XComArg

from airflow_provider_connectif.api.errors import RunFailed
from airflow_provider_connectif.contacts.rules import InvalidValue, numbers
from airflow_provider_connectif.reporting.folding import folded

TEMPLATED_SWITCHES = ("check_only", "full_refresh", "guards_off", "ignore_held", "retry_rejected")
"""The switches that are template fields: rendered text is read like a boolean field. A new switch is added here."""

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
    """Return the value of a switch after its template was rendered.

    :param name: the switch, for the message.
    :param value: text; with native rendering, any type.
    :raises RunFailed: the value is neither true nor false by the rule of boolean fields; the message names the switch.
    """
    try:
        return numbers.boolean(value)
    except InvalidValue as unfit:
        raise RunFailed(f"{name} {unfit}", final=True) from None


def check_switches(values: Mapping[str, Any], *, may_be_none: Iterable[str] = ()) -> None:
    """Refuse switches of a wrong type while the operator is created. In Python any text is true, even ``"no"``.

    A switch must be a bool. A templated switch may also be text, or the output of a task.

    :param values: the switches by name.
    :param may_be_none: the names of the switches that may be ``None``, which means a default.
    :raises ValueError: a value has a wrong type; the message names the switch.
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
    """Refuse values that are neither text nor ``None``. Templated arguments may also be outputs of tasks.

    :param values: the arguments by name.
    :raises ValueError: a value has a wrong type, or is empty text; the message names the argument.
    """
    for name, value in values.items():
        is_fine = value is None or isinstance(value, (str, XComArg) if name in _TEMPLATED_TEXTS else str)
        if not is_fine or value == "":
            raise ValueError(f"{name} must be text, not {value!r}" if value != "" else f"{name} is empty text")


def given_texts(operator: object) -> tuple[str, ...]:
    """Return the names of the templated texts that have a value."""
    return tuple(name for name in _TEMPLATED_TEXTS if getattr(operator, name, None) is not None)


def check_rendered(operator: object, given: Iterable[str]) -> None:
    """Check templated arguments again after they are rendered.

    A template may render to nothing. Without this check, the argument would then get a default that the author did not
    want, such as no journal, or no file of refused rows.

    :param given: the result of :func:`given_texts` when the operator was created.
    :raises RunFailed: a value is not text; the message names the argument.
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
    """Turn the ``ValueError`` of a wrong argument into a final error if the operator is mapped.

    A mapped operator is created when its task runs, and another attempt would end the same way.

    :raises AirflowFailException: the operator is mapped, and the block raised ``ValueError``.
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
