"""Imports whose worker or triggerer dies: one upload, and the right end."""

from __future__ import annotations

import pytest

from tests.e2e.deployment import Connectif, Deployment, TaskKey
from tests.e2e.stage import Stage, held

COUNT = 3_000
DAG = """
from airflow_provider_connectif.operators.contacts import ContactImportOperator
ContactImportOperator(
    task_id="load",
    sql=SQL + " order by id",
    poll_interval=timedelta(seconds=1),
    retries=2,
    retry_delay=timedelta(seconds=1),
    {arguments}
    **TARGET,
)
"""
MEMORIES = {
    "a_journal": 'journal_conn_id="journal",',
    "no_journal": "",  # the task state store of 3.3, the list of imports before
}


@pytest.fixture
def held_up(connectif: Connectif) -> Connectif:
    """A Connectif that does not get on with the first import."""
    connectif.add_fault({"import": {"stuck": "inProgress"}}, match={"method": "POST", "path": "/imports/"}, times=1)
    return connectif


def _uploaded(deployment: Deployment, stage: Stage, connectif: Connectif, arguments: str) -> TaskKey:
    """Begin, and wait until the upload is at Connectif."""
    stage.fill(COUNT)
    stage.write_dag(DAG.format(arguments=arguments))
    task = stage.task(deployment.trigger(stage.name), "load")
    deployment.wait_until(lambda: connectif.imports(), 90, "the file is uploaded")
    return task


def _ends_well(deployment: Deployment, stage: Stage, connectif: Connectif, task: TaskKey) -> None:
    assert deployment.wait_for_run(stage.name, task.run_id, within_s=150) == "success"
    assert held(connectif) == stage.source()
    assert len(connectif.imports()) == 1
    summary = deployment.summary(task)
    # What a journal has acknowledged before is unchanged to a try that reads the source again.
    assert summary["imported"] == COUNT
    assert "@example.com" not in deployment.task_log(task)


def test_import_and_kill_of_the_worker_with_a_journal(deployment: Deployment, stage: Stage, held_up: Connectif) -> None:
    """``kill -9`` of task and worker after the upload: the next try waits for the same import."""
    _kill_the_worker(deployment, stage, held_up, MEMORIES["a_journal"])


def test_import_and_kill_of_the_worker_without_a_journal(
    deployment: Deployment, stage: Stage, held_up: Connectif
) -> None:
    """The same, with nothing but what Airflow or Connectif's list remembers."""
    _kill_the_worker(deployment, stage, held_up, MEMORIES["no_journal"])


def _kill_the_worker(deployment: Deployment, stage: Stage, connectif: Connectif, arguments: str) -> None:
    task = _uploaded(deployment, stage, connectif, arguments + " deferrable=False,")
    deployment.wait_until(lambda: ": file " in deployment.task_log(task), 30, "the upload is acknowledged")
    deployment.kill_task(task, with_worker=True)
    deployment.wait_until(lambda: deployment.metadata.task(task).get("try_number") == 2, 120, "the next try has begun")
    deployment.wait_for_task(task, ["running"])
    connectif.release_imports()
    _ends_well(deployment, stage, connectif, task)


def test_import_and_kill_of_the_triggerer_with_a_journal(
    deployment: Deployment, stage: Stage, held_up: Connectif
) -> None:
    """The triggerer dies while it waits for the import: another one goes on waiting."""
    _kill_the_triggerer(deployment, stage, held_up, MEMORIES["a_journal"])


def test_import_and_kill_of_the_triggerer_without_a_journal(
    deployment: Deployment, stage: Stage, held_up: Connectif
) -> None:
    """The same; what is known of the imports travels with the trigger."""
    _kill_the_triggerer(deployment, stage, held_up, MEMORIES["no_journal"])


def _kill_the_triggerer(deployment: Deployment, stage: Stage, connectif: Connectif, arguments: str) -> None:
    task = _uploaded(deployment, stage, connectif, arguments + " deferrable=True,")
    deployment.wait_for_task(task, ["deferred"])
    deployment.kill("triggerer")
    connectif.release_imports()
    deployment.start("triggerer")
    _ends_well(deployment, stage, connectif, task)
    assert deployment.metadata.task(task)["try_number"] == 1
