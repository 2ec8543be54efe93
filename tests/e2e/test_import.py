"""Imports whose worker or triggerer dies: one upload, and the right end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

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
    "no_journal": "",
}


class Load(NamedTuple):
    """A run that waits for its import, which Connectif does not get on with."""

    stage: Stage
    connectif: Connectif
    task: TaskKey

    @property
    def is_asked_for(self) -> bool:
        """Whether the task knows the import's id: it has asked how it gets on."""
        asked = [request["path"] for request in self.connectif.requests()["recent"] if request["method"] == "GET"]
        return any(path.startswith("/imports/{") for path in asked)

    @property
    def is_tried_again(self) -> bool:
        """Whether the second try runs."""
        task = self.stage.deployment.metadata.task(self.task)
        return (task["try_number"], task["state"]) == (2, "running")

    def ends_well(self, most_uploads: int = 1) -> None:
        """Every row, and no more uploads than that."""
        deployment = self.stage.deployment
        assert deployment.wait_for_run(self.stage.name, self.task.run_id, within_s=150) == "success"
        assert held(self.connectif) == self.stage.source()
        assert 1 <= len(self.connectif.imports()) <= most_uploads
        summary = deployment.summary(self.task)
        # What a journal has acknowledged before is unchanged to a try that reads the source again.
        assert summary["imported"] == COUNT
        assert "@example.com" not in deployment.task_log(self.task)


@contextmanager
def _uploaded(deployment: Deployment, name: str, arguments: str) -> Iterator[dict[str, Load]]:
    """A run with each of the memories, at once: what dies dies for both."""
    deployment.start_missing()
    with ExitStack() as at_the_end:
        stages = {memory: Stage(deployment, f"{name}_with_{memory}") for memory in MEMORIES}
        connectifs = {}
        for memory, stage in stages.items():
            at_the_end.callback(stage.close)
            connectif = connectifs[memory] = stage.connectif()
            upload = {"method": "POST", "path": "/imports/"}
            connectif.add_fault({"import": {"stuck": "inProgress"}}, match=upload, times=1)
            stage.fill(COUNT)
            stage.publish_dag(DAG.format(arguments=f"{arguments} {MEMORIES[memory]}"))
        for stage in stages.values():
            deployment.wait_for_dag(stage.name)
        loads = {
            memory: Load(stage, connectifs[memory], stage.task(deployment.trigger(stage.name), "load"))
            for memory, stage in stages.items()
        }
        for load in loads.values():
            deployment.wait_until(load.connectif.imports, 90, "the file is uploaded")
        yield loads


@pytest.fixture(scope="module")
def worker_killed(deployment: Deployment) -> Iterator[dict[str, Load]]:
    """``kill -9`` of task and worker after the upload; the next try has begun."""
    with _uploaded(deployment, "worker_killed", "deferrable=False,") as loads:
        for load in loads.values():
            deployment.wait_until(lambda load=load: load.is_asked_for, 60, "the import is asked for")
            deployment.kill_task(load.task, with_worker=True)
        for load in loads.values():
            deployment.wait_until(lambda load=load: load.is_tried_again, 120, "the next try has begun")
            load.connectif.release_imports()
        yield loads


@pytest.fixture(scope="module")
def triggerer_killed(deployment: Deployment) -> Iterator[dict[str, Load]]:
    """``kill -9`` of the triggerer that waits for the import; another one is there."""
    with _uploaded(deployment, "triggerer_killed", "deferrable=True,") as loads:
        for load in loads.values():
            deployment.wait_for_task(load.task, ["deferred"])
        deployment.kill("triggerer")
        for load in loads.values():
            load.connectif.release_imports()
        deployment.start("triggerer")
        yield loads


def test_import_and_kill_of_the_worker_with_a_journal(worker_killed: dict[str, Load]) -> None:
    """The next try waits for the same import."""
    worker_killed["a_journal"].ends_well()


def test_import_and_kill_of_the_worker_without_a_journal(worker_killed: dict[str, Load]) -> None:
    """Nothing remembers the import: the next attempt waits for what is open, and uploads the file once more."""
    worker_killed["no_journal"].ends_well(most_uploads=2)


def test_import_and_kill_of_the_triggerer_with_a_journal(triggerer_killed: dict[str, Load]) -> None:
    """The triggerer dies while it waits for the import: another one goes on waiting."""
    _ends_in_the_first_try(triggerer_killed["a_journal"])


def test_import_and_kill_of_the_triggerer_without_a_journal(triggerer_killed: dict[str, Load]) -> None:
    """The same; what is known of the imports travels with the trigger."""
    _ends_in_the_first_try(triggerer_killed["no_journal"])


def _ends_in_the_first_try(load: Load) -> None:
    load.ends_well()
    assert load.stage.deployment.metadata.task(load.task)["try_number"] == 1
