"""Connections that an argument names and Airflow does not know."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow.providers.common.compat.sdk import AirflowNotFoundException


class NoSuchConnectionError(ValueError):
    """An argument names a connection that is not there; another try would find the same."""


@contextmanager
def connection_named_by(argument: str, conn_id: str | None) -> Iterator[None]:
    """Say which argument it was, where the connection that is looked up within is not there.

    :param argument: the operator's, such as ``sql_conn_id``.
    :param conn_id: its value.
    :raises NoSuchConnectionError: Airflow knows no such connection.
    """
    try:
        yield
    except AirflowNotFoundException:
        raise NoSuchConnectionError(f"{argument}={conn_id!r}: Airflow has no connection of this name") from None
