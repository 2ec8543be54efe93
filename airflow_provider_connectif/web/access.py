"""Access to the page: Airflow's own auth manager decides, for every request."""

from __future__ import annotations

from typing import Annotated, Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import get_user, requires_access_dag
from fastapi import Depends

User = Annotated[Any, Depends(get_user)]
"""The user of a request, by cookie or bearer token; without one the request ends with 401."""

requires_task_instances = requires_access_dag("GET", DagAccessEntity.TASK_INSTANCE)
"""Ends a request with 403 if its user may not read the task instances of the DAG in its parameter ``dag_id``."""


def readable_dags(user: Any) -> set[str]:
    """Return the DAGs that a user may read."""
    return set(get_auth_manager().get_authorized_dag_ids(user=user, method="GET"))
