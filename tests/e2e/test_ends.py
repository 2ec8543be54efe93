"""How a run ends, as the scheduler sees it."""

from __future__ import annotations

from collections.abc import Callable

from tests.e2e.deployment import Connectif, Deployment
from tests.e2e.stage import Stage, held

COUNT = 60
BAD = 5


def test_over_the_failure_budget(
    deployment: Deployment, stage: Stage, connectif: Connectif, measured: Callable[..., None]
) -> None:
    """More bad rows than the budget: red without a retry, what comes after waits in vain, every good row is there."""
    stage.fill(COUNT)
    deployment.warehouse(f"update {stage.name} set email = 'no address ' || id where id > {COUNT - BAD}")
    stage.write_dag(
        f"""
        ContactPatchOperator(
            task_id="contacts", failure_budget={BAD - 1}, retries=2, retry_delay=timedelta(seconds=1), **CONTACTS
        ) >> task(lambda: None, task_id="after")()
        """
    )

    run_id, state = stage.run()

    contacts = stage.task(run_id, "contacts")
    assert state == "failed"
    assert deployment.metadata.task_states(stage.name, run_id) == {"contacts": "failed", "after": "upstream_failed"}
    assert deployment.metadata.task(contacts)["try_number"] == 1, "Airflow was not told to leave it"
    summary = deployment.summary(contacts)
    assert (summary["created"], summary["invalid"]) == (COUNT - BAD, BAD)
    assert held(connectif) == {email: row for email, row in stage.source().items() if "@" in email}
    log = deployment.task_log(contacts)
    assert f"{BAD} of {COUNT} rows were refused" in log
    assert "user1@" not in log
    assert "no address" not in log
    measured(delivered=COUNT - BAD, refused=BAD)


def test_skipped_on_a_blocked_account(deployment: Deployment, stage: Stage, connectif: Connectif) -> None:
    """The policy says to skip when the account is blocked: the task and what comes after are skipped, the run green."""
    stage.fill(COUNT)
    connectif.set_blocked(True)
    stage.write_dag(
        """
        ContactPatchOperator(
            task_id="contacts", on_response={403: "skip_task"}, **CONTACTS
        ) >> task(lambda: None, task_id="after")()
        """
    )

    run_id, state = stage.run()

    assert state == "success"
    assert deployment.metadata.task_states(stage.name, run_id) == {"contacts": "skipped", "after": "skipped"}
    assert deployment.summary(stage.task(run_id, "contacts"))["created"] == 0
    assert connectif.contacts() == {}
