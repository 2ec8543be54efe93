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


class PartialWithRows:
    """An operator's ``partial`` with rows from upstream tasks. It lets the mapped tasks wait for these upstream tasks.

    Airflow finds upstream tasks only in templated arguments, and ``rows`` is not templated.

    :param partial: the result of the operator's ``partial``.
    """

    def __init__(self, partial: Any) -> None:
        self._partial = partial

    def expand(self, **mapped_kwargs: Any) -> Any:
        """Return the mapped operator, like Airflow's ``expand``."""
        return self._waiting(self._partial.expand(**mapped_kwargs))

    def expand_kwargs(self, kwargs: Any, **options: Any) -> Any:
        """Return the mapped operator, like Airflow's ``expand_kwargs``."""
        return self._waiting(self._partial.expand_kwargs(kwargs, **options))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._partial, name)

    def _waiting(self, operator: Any) -> Any:
        XComArg.apply_upstream_relationship(operator, self._partial.kwargs["rows"])
        return operator
