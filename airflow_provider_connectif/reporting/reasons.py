"""The reasons why Connectif rejected a row, without personal data, so that they can be logged.

The server's words explain the rejection, but they may quote values that were sent. So they are shown without the row's
own values, parts of these values, and anything that looks like an e-mail address or a long number. The unchanged words
go only into the rejects file, which contains the row anyway.
"""

from __future__ import annotations

from typing import Any

from airflow_provider_connectif.api.errors import ConnectifHttpError, NoResponseError, describe_status
from airflow_provider_connectif.records.changes import Patch
from airflow_provider_connectif.records.resource import Resource
from airflow_provider_connectif.records.values import printable
from airflow_provider_connectif.reporting.concealment import LONGEST_REASON, Concealer

_MOST_ERRORS = 5


def public_reasons(error: ConnectifHttpError | NoResponseError, patch: Patch, resource: Resource) -> tuple[str, ...]:
    """Return the reasons of one rejection without personal data; each has at most 140 characters."""
    if isinstance(error, NoResponseError):
        return (error.what,)
    status = describe_status(error.status, error.code)
    conceal = Concealer(patch)
    reasons = []
    for entry in error.validation_errors[:_MOST_ERRORS]:
        where = next(filter(None, (_place(entry.get(name), patch, resource) for name in ("path", "name"))), "")
        said = conceal(str(entry.get("reason") or ""))
        reasons.append(_shorten(f"HTTP {error.status} {where or 'no property named'}: {said or 'no reason given'}"))
    if reasons:
        return tuple(reasons)
    # Without a body the title repeats the status.
    said = conceal(error.detail or "")
    return (_shorten(f"{status}: {said}" if said else status),)


def raw_reasons(error: ConnectifHttpError | NoResponseError) -> list[Any]:
    """Return the server's words unchanged, for the rejects file."""
    if isinstance(error, NoResponseError):
        return [error.what]
    said = [text for text in (error.detail or error.title,) if text]
    return [*(dict(entry) for entry in error.validation_errors), *said] or [describe_status(error.status)]


def _place(path: object, patch: Patch, resource: Resource) -> str:
    """Return the property of the row that a JSON pointer names, with its column, whether it was sent or not.

    :return: empty if it names none.
    """
    for part in str(path or "").split("/"):
        name = part.replace("~1", "/").replace("~0", "~")
        if name in patch.whole:
            column = resource.column_of(name)
            return name if column in (None, name) else f'{name} (column "{column}")'
    return ""


def _shorten(text: str) -> str:
    text = printable(text)
    return text if len(text) <= LONGEST_REASON else text[: LONGEST_REASON - 3] + "..."
