"""Creates the hook for SQL of an Airflow connection, and a connection of its driver."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider_connectif.databases.drivers import sql_hook_of_class, sql_hook_of_type
from airflow_provider_connectif.databases.sources import RowsError

_UNKNOWN_PARAMETER = re.compile(r"unexpected keyword argument '(\w{1,60})'")


def sql_hook(conn_id: str, hook_params: Mapping[str, Any] | None = None) -> Any:
    """Return the hook for SQL on a connection.

    :param conn_id: the connection.
    :param hook_params: parameters of the hook's class, such as ``{"warehouse": "LOADING"}``.
    :raises RowsError: the hook does not accept a parameter.
    :raises ImportError: the provider's package is missing.
    :raises AirflowException: Airflow does not know the connection, or a hook for its type.
    """
    params = dict(hook_params or {})
    connection = BaseHook.get_connection(conn_id)
    chosen = sql_hook_of_type(str(connection.conn_type))
    try:
        if chosen is None:
            return connection.get_hook(hook_params=params)
        module, _, name = chosen.path.rpartition(".")
        return getattr(import_module(module), name)(**{chosen.conn_id: conn_id, **chosen.params, **params})
    except TypeError as error:
        if not params:
            raise
        unknown = _UNKNOWN_PARAMETER.search(str(error))
    name = repr(unknown[1]) if unknown else "one of them"
    raise RowsError(f"hook_params: the hook of connection {conn_id!r} does not take {name}")


def connect(hook: Any) -> Any:
    """Return a connection of the database's driver.

    :param hook: any DbApiHook.
    """
    chosen = sql_hook_of_class(type(hook))
    return hook.get_conn() if chosen is None else chosen.connect(hook)
