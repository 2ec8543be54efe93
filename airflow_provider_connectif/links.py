"""The link from a task instance to the page of its run. On Airflow 2.11 and 3.0, it leads to the summary in XCom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from airflow.providers.common.compat.sdk import BaseOperatorLink, conf

from airflow_provider_connectif.versions import airflow_version, has_external_views

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, Context

RUN_PAGE = "/connectif/run"
"""The path of a run's page on Airflow's server; see :mod:`airflow_provider_connectif.web.plugin`."""


class ConnectifRunLink(BaseOperatorLink):
    """The button *Connectif run* of a task instance."""

    name = "Connectif run"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """Return the address of the run's page, without reading a database.

        :param operator: the task's operator; not used.
        :param ti_key: has the ``dag_id``, ``run_id``, ``task_id`` and ``map_index`` of the task instance.
        """
        return run_address(ti_key.dag_id, ti_key.run_id, ti_key.task_id, ti_key.map_index)


def run_address(dag_id: str, run_id: str, task_id: str, map_index: int) -> str:
    """Return the address of a page about a task's run: the Connectif page, or the XComs on Airflow 2.11 and 3.0.

    :param map_index: -1 if the task is not mapped.
    """
    of_the_task = {"dag_id": dag_id, "run_id": run_id, "task_id": task_id, "map_index": str(map_index)}
    if airflow_version() < (3, 0):
        root = conf.get("webserver", "base_url", fallback="").rstrip("/")
        names = {"dag_run_id": run_id, "task_id": task_id, "map_index": str(map_index), "tab": "xcom"}
        return f"{root}/dags/{quote(dag_id, safe='')}/grid?{urlencode(names)}"
    root = conf.get("api", "base_url", fallback="").rstrip("/")
    if has_external_views():
        return f"{root}{RUN_PAGE}?{urlencode(of_the_task)}"
    dag, run, task = (quote(name, safe="") for name in (dag_id, run_id, task_id))
    mapped = f"/mapped/{map_index}" if map_index >= 0 else ""
    return f"{root}/dags/{dag}/runs/{run}/tasks/{task}{mapped}/xcom"


def show_link(operator: BaseOperator, context: Context) -> None:
    """Store the address for the button, so that the button works while the task runs.

    Airflow 3 itself stores the address only after the end. On Airflow 2.11 nothing is stored.
    """
    ti: Any = context["ti"]
    if airflow_version() >= (3, 0) and "run_id" in context and "dag" in context:
        address = run_address(context["dag"].dag_id, context["run_id"], ti.task_id, ti.map_index)
        ti.xcom_push(key=ConnectifRunLink().xcom_key, value=address)
