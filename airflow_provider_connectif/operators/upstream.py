"""Rows that an upstream task hands over, resolved when the task runs."""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import XComArg


def has_xcom_arg(rows: Any) -> bool:
    """Whether rows come, or some of them, from an upstream task."""
    return isinstance(rows, XComArg) or (
        isinstance(rows, (list, tuple)) and any(isinstance(item, XComArg) for item in rows)
    )


def resolved(rows: Any, context: Any) -> Any:
    """Rows with what upstream tasks have pushed in the place of their outputs."""
    if isinstance(rows, XComArg):
        return rows.resolve(context)
    return [resolved(item, context) for item in rows] if has_xcom_arg(rows) else rows
