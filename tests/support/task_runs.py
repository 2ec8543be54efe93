"""Tasks run for a test: through Airflow's own ``dag.test()``, or only the operator where variants are many."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.support.airflow_runs import task_states, xcom
from tests.support.task_logs import unfolded

_names = itertools.count(1)


class FakeTI:
    """What the operators ask of a task instance."""

    def __init__(self, map_index: int = -1, *, try_number: int = 1, max_tries: int = 0) -> None:
        self.task_id, self.map_index = "patch", map_index
        self.try_number, self.max_tries = try_number, max_tries
        self.pushed: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        """Keep what was pushed."""
        self.pushed[key] = value


@dataclass
class Run:
    """How a task ended.

    :param state: as Airflow calls it.
    :param summary: what stands in XCom; empty where nothing was pushed, so that what stood there remains.
    :param error: what the task raised, its message without the line breaks that keep its lines short; only where the
        operator ran alone.
    :param raised: the message as it was raised.
    :param plan: what stands in XCom as the plan; likewise.
    """

    state: str
    summary: dict[str, Any]
    error: BaseException | None = None
    returned: Any = None
    dag_run: Any = field(default=None, repr=False)
    raised: str = ""
    plan: dict[str, Any] = field(default_factory=dict)


def run_operator(
    before: Callable[[Any], None] | None = None,
    *,
    map_index: int = -1,
    method: str = "execute",
    context: dict[str, Any] | None = None,
    kind: str | type = "ContactPatchOperator",
    tries_before: int = 0,
    event: Any = None,
    carried: Mapping[str, Any] | None = None,
    **arguments: Any,
) -> Run:
    """Run the operator alone; its exceptions become the states that Airflow makes of them.

    :param before: called with the operator before it runs.
    :param kind: the operator's class, or the name of one for contacts.
    :param tries_before: how often the task was tried for the same end.
    :param event: of the trigger, where ``method`` is what a deferral has named.
    :param carried: the keyword arguments of that deferral; ``None``: lost, as ``dag.test`` loses them.
    :param method: ``execute``, or what a deferral has named.
    :param context: what the task's context has beside its instance.
    """
    from airflow.providers.common.compat.sdk import (
        AirflowException,
        AirflowFailException,
        AirflowSkipException,
        TaskDeferred,
    )

    from airflow_provider_connectif.operators import contacts

    operator = (getattr(contacts, kind) if isinstance(kind, str) else kind)(task_id="patch", **arguments)
    if before is not None:
        before(operator)
    ti = FakeTI(map_index, try_number=1 + tries_before, max_tries=operator.retries)
    error: BaseException | None = None
    state, returned = "success", None
    try:
        more = {} if method == "execute" else {"event": event, **(carried or {})}
        returned = getattr(operator, method)({"ti": ti, "task": operator, **(context or {})}, **more)
    except TaskDeferred as deferral:
        state, error = "deferred", deferral
    except AirflowFailException as failure:
        state, error = "failed", failure
    except AirflowSkipException as skip:
        state, error = "skipped", skip
    except AirflowException as failure:
        state, error = "up_for_retry", failure
    raised = "" if error is None or state == "deferred" else str(error)
    if error is not None and raised:
        error.args = (unfolded(raised),)
    return Run(state, ti.pushed.get("summary", {}), error, returned, raised=raised, plan=ti.pushed.get("plan", {}))


def run_in_airflow(
    run_dag: Callable[..., Any],
    upstream: Callable[..., Any] | None = None,
    *,
    retries: int = 1,
    with_follower: bool = False,
    kind: str = "ContactPatchOperator",
    **arguments: Any,
) -> Run:
    """Run a DAG of one operator, or of a task and the operator on its output, in Airflow itself.

    The operator has one retry: ``failed`` after a single try means that Airflow was asked not to try again, and two
    tries that it would have tried more.
    """
    from airflow.providers.common.compat.sdk import DAG, task

    from airflow_provider_connectif.operators import contacts

    with DAG(f"patch_{next(_names)}", schedule=None) as dag:
        if upstream is not None:
            arguments["rows"] = task(upstream, task_id="rows", show_return_value_in_logs=False)()
        patch = getattr(contacts, kind)(task_id="patch", retries=retries, retry_delay=0, **arguments)
        if with_follower:
            patch >> task(lambda: None, task_id="follower")()
    dag_run = run_dag(dag)
    (ti,) = (ti for ti in dag_run.get_task_instances() if ti.task_id == "patch")
    state = task_states(dag_run)["patch"]
    if state == "failed" and ti.try_number > 1:
        state = "up_for_retry"
    returned = xcom(dag_run, "patch")
    return Run(state, xcom(dag_run, "patch", "summary"), None, returned, dag_run)
