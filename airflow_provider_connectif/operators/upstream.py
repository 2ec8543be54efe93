"""Rows from an upstream task, resolved when the task runs."""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import XComArg


def has_xcom_arg(rows: Any) -> bool:
    """Whether at least some rows come from an upstream task."""
    return isinstance(rows, XComArg) or (
        isinstance(rows, (list, tuple)) and any(isinstance(item, XComArg) for item in rows)
    )


def resolved(rows: Any, context: Any) -> Any:
    """Return rows in which the outputs of upstream tasks are replaced by the values that these tasks pushed."""
    if isinstance(rows, XComArg):
        return rows.resolve(context)
    return [resolved(item, context) for item in rows] if has_xcom_arg(rows) else rows
