"""What a person does to a run by hand."""

from __future__ import annotations

from collections.abc import Callable

from tests.e2e.deployment import Connectif, Deployment
from tests.e2e.stage import Stage, held

COUNT = 600
BEFORE_THE_FAILURE = 200


def test_clearing_a_failed_task(
    deployment: Deployment, stage: Stage, connectif: Connectif, measured: Callable[..., None]
) -> None:
    """A task fails because Connectif fails. Cleared after Connectif's failure, it sends the rest, and nothing twice."""
    stage.fill(COUNT)
    connectif.add_fault({"status": 500}, after=BEFORE_THE_FAILURE)
    stage.write_dag('ContactPatchOperator(task_id="contacts", journal_conn_id="journal", **CONTACTS)')

    run_id, state = stage.run()

    contacts = stage.task(run_id, "contacts")
    assert state == "failed"
    assert len(connectif.contacts()) == BEFORE_THE_FAILURE

    connectif.clear_faults()
    deployment.clear(stage.name, run_id, "contacts")
    deployment.wait_for_task(contacts, ["success"])

    assert deployment.wait_for_run(stage.name, run_id) == "success"
    summary = deployment.summary(contacts)
    assert (summary["unchanged"], summary["created"]) == (BEFORE_THE_FAILURE, COUNT - BEFORE_THE_FAILURE)
    answers = connectif.answers()
    assert {status: count for status, count in answers.items() if status != "500"} == {"201": COUNT}
    assert held(connectif) == stage.source()
    measured(unavailable=answers["500"], sent_after_the_clear=summary["requests"])


def test_pausing_in_the_middle(deployment: Deployment, stage: Stage, connectif: Connectif) -> None:
    """A pause lets the task that runs come to its end, and holds back the next one until the DAG goes on."""
    stage.fill(COUNT)
    connectif.add_fault({"delay_s": 0.1})
    stage.write_dag(
        f"""
        halves = [
            ContactPatchOperator(task_id=name, sql=SQL + f" where id {{half}} {COUNT // 2}", **TARGET)
            for name, half in (("first", "<="), ("second", ">"))
        ]
        halves[0] >> halves[1]
        """
    )
    probe = Stage(deployment, "probe_beside_a_pause")
    probe.write_dag('task(lambda: None, task_id="nothing")()')

    run_id = deployment.trigger(stage.name)
    first, second = (stage.task(run_id, name) for name in ("first", "second"))
    deployment.wait_until(lambda: connectif.answers().get("201", 0) > 0, 60, "the first task sends")
    deployment.pause(stage.name)
    assert deployment.metadata.task(first)["state"] == "running", "the pause came too late to show anything"
    deployment.wait_for_task(first, ["success"])
    # By the time that another DAG has gone through, the scheduler has had its turns.
    assert probe.run()[1] == "success"
    probe.close()

    assert deployment.metadata.task(second)["start_date"] is None
    assert len(connectif.contacts()) == COUNT // 2
    assert deployment.metadata.run_state(stage.name, run_id) == "running"

    connectif.clear_faults()
    deployment.unpause(stage.name)

    assert deployment.wait_for_run(stage.name, run_id) == "success"
    assert connectif.answers() == {"201": COUNT}
    assert held(connectif) == stage.source()
