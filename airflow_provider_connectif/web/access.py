"""Access to the page: Airflow's own auth manager decides, for every request."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import get_user, requires_access_dag
from airflow.models.dag import DagModel
from airflow.providers.common.compat.sdk import conf
from airflow.utils.session import create_session
from fastapi import Depends, HTTPException, Query, Request
from sqlalchemy import select

User = Annotated[Any, Depends(get_user)]
"""The user of a request, from its cookie or bearer token. Without a user the request ends with 401."""

NamedDag = Annotated[str, Query(pattern=r"^[^\x00]+$", max_length=250)]
"""The id of a DAG in the query. Without an id Airflow would only check whether the user may read any DAG."""

_AT_ONCE = 500
_ANY_DAG = "~"

requires_some_dag = requires_access_dag("GET")
"""Ends a request with 403 if its user may read no DAG."""


def requires_task_instances(request: Request, user: User, dag_id: NamedDag) -> None:
    """Check that the user may read the task instances of the DAG in the parameter ``dag_id``.

    :raises HTTPException: 403: the user may not.
    """
    if not may_read_task_instances(request, user, dag_id):
        raise HTTPException(403, "Forbidden")


def may_read_task_instances(request: Request, user: Any, dag_id: str) -> bool:
    """Whether a user may read the task instances of a DAG. The DAG may have been deleted from Airflow."""
    if dag_id in ("", _ANY_DAG) or (_has_teams() and not _known_to_airflow([dag_id])):
        return False
    try:
        requires_access_dag("GET", DagAccessEntity.TASK_INSTANCE, param_dag_id=dag_id)(request, user)
    except HTTPException:
        return False
    return True


def readable_dags(user: Any, dag_ids: Collection[str]) -> set[str]:
    """Return the DAGs among ``dag_ids`` that a user may read.

    The auth manager lists only DAGs that Airflow knows; the others were deleted. It is asked about each deleted DAG, so
    that the syncs of these DAGs stay on the page.
    """
    manager = get_auth_manager()
    listed = set(manager.get_authorized_dag_ids(user=user, method="GET"))
    rest = {dag_id for dag_id in dag_ids if dag_id and dag_id != _ANY_DAG} - listed
    deleted = set() if _has_teams() else rest - _known_to_airflow(rest)
    return listed.intersection(dag_ids) | {
        dag_id
        for dag_id in deleted
        if manager.is_authorized_dag(method="GET", details=DagDetails(id=dag_id), user=user)
    }


def _has_teams() -> bool:
    """Whether users belong to teams. Then nobody may see a deleted DAG, because its team is not known."""
    return bool(conf.getboolean("core", "multi_team", fallback=False))


def _known_to_airflow(dag_ids: Collection[str]) -> set[str]:
    found, asked = set[str](), sorted(dag_ids)
    with create_session() as session:
        for start in range(0, len(asked), _AT_ONCE):
            among = DagModel.dag_id.in_(asked[start : start + _AT_ONCE])
            found.update(session.scalars(select(DagModel.dag_id).where(among)))
    return found
