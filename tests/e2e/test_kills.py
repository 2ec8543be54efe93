"""Processes that die while contacts are being sent."""

from __future__ import annotations

from collections.abc import Callable

from airflow_provider_connectif.journal.line_writer import COMMIT_LINES
from tests.e2e.deployment import Connectif, Deployment
from tests.e2e.stage import Stage, held

COUNT = 1_000
IN_FLIGHT = 8
UNDER_WAY = 300
DAG = f"""
ContactPatchOperator(
    task_id="contacts",
    journal_conn_id="journal",
    max_in_flight={IN_FLIGHT},
    retries=2,
    retry_delay=timedelta(seconds=1),
    **CONTACTS,
)
"""


def test_kill_of_the_task_process(
    deployment: Deployment, stage: Stage, connectif: Connectif, measured: Callable[..., None]
) -> None:
    """``kill -9`` of the process that sends: the retry goes on where it stopped."""
    _kill_while_sending(deployment, stage, connectif, measured, lambda task: deployment.kill_task(task))


def test_kill_of_the_task_and_its_worker(
    deployment: Deployment, stage: Stage, connectif: Connectif, measured: Callable[..., None]
) -> None:
    """The worker dies with the task, so that nothing reports it. The scheduler misses the heartbeat and tries again."""
    _kill_while_sending(
        deployment, stage, connectif, measured, lambda task: deployment.kill_task(task, with_worker=True)
    )


def test_kill_of_the_scheduler_and_its_workers(
    deployment: Deployment, stage: Stage, connectif: Connectif, measured: Callable[..., None]
) -> None:
    """The scheduler's machine goes down with all that runs on it: once it is back, the retry goes on."""

    def down_and_up(task: object) -> None:
        deployment.kill("scheduler")
        deployment.start("scheduler")

    _kill_while_sending(deployment, stage, connectif, measured, down_and_up)


def _kill_while_sending(
    deployment: Deployment,
    stage: Stage,
    connectif: Connectif,
    measured: Callable[..., None],
    kill: Callable[..., None],
) -> None:
    stage.fill(COUNT)
    connectif.add_fault({"delay_s": 0.05})
    stage.write_dag(DAG)
    run_id = deployment.trigger(stage.name)
    contacts = stage.task(run_id, "contacts")
    deployment.wait_until(lambda: connectif.answers().get("201", 0) > UNDER_WAY, 60, "contacts are being sent")

    kill(contacts)
    connectif.clear_faults()

    assert deployment.wait_for_run(stage.name, run_id, within_s=150) == "success"
    assert deployment.metadata.task(contacts)["try_number"] == 2
    assert held(connectif) == stage.source()
    answers = connectif.answers()
    assert answers["201"] == COUNT
    sent_twice = answers.get("200", 0)
    assert sent_twice <= IN_FLIGHT + COMMIT_LINES
    # The summary is that of the whole run: what the killed attempt delivered counts, and was not sent again.
    whole = deployment.summary(contacts)
    assert (whole["tries"], whole["created"] + whole["updated"], whole["unchanged"]) == (2, COUNT, 0)
    measured(sent_twice=sent_twice)
