"""Mapped tasks that share a journal."""

from __future__ import annotations

from collections.abc import Callable

from tests.e2e.deployment import Connectif, Deployment
from tests.e2e.stage import Stage, held

COUNT = 20_000
PARTS = 4


def test_four_partitions_with_one_journal(
    deployment: Deployment, stage: Stage, connectif: Connectif, measured: Callable[..., None]
) -> None:
    """Four mapped tasks at once, each on its quarter: every contact is sent exactly once; then nothing is."""
    stage.fill(COUNT)
    stage.write_dag(
        f"""
        ContactPatchOperator.partial(
            task_id="quarter",
            sql=SQL + " where id %% {PARTS} = %(part)s order by id",
            journal_conn_id="journal",
            **TARGET,
        ).expand(parameters=[{{"part": part}} for part in range({PARTS})])
        """
    )

    run_id = deployment.trigger(stage.name)
    deployment.wait_until(
        lambda: all(0 < count < COUNT // PARTS for count in _acknowledged(deployment, stage)),
        90,
        "all four have contacts acknowledged and none is done",
    )
    assert deployment.wait_for_run(stage.name, run_id, within_s=150) == "success"

    tasks = [stage.task(run_id, "quarter", index) for index in range(PARTS)]
    assert [deployment.summary(task)["created"] for task in tasks] == [COUNT // PARTS] * PARTS
    # As many responses as contacts, each with the status of a new contact: none was sent twice.
    assert connectif.answers() == {"201": COUNT}
    assert held(connectif) == stage.source()
    assert _acknowledged(deployment, stage) == [COUNT // PARTS] * PARTS
    begun = min(deployment.metadata.task(task)["start_date"] for task in tasks)
    ended = max(deployment.metadata.task(task)["end_date"] for task in tasks)

    run_id, state = stage.run()

    assert state == "success"
    again = [deployment.summary(stage.task(run_id, "quarter", index)) for index in range(PARTS)]
    assert [summary["unchanged"] for summary in again] == [COUNT // PARTS] * PARTS
    assert connectif.answers() == {"201": COUNT}
    seconds = (ended - begun).total_seconds()
    measured(contacts=COUNT, seconds=seconds, per_second=COUNT / seconds)


def _acknowledged(deployment: Deployment, stage: Stage) -> list[int]:
    """How many contacts of each part the journal has as acknowledged."""
    if deployment.journal("select to_regclass('connectif_journal')") == [(None,)]:
        return [0] * PARTS
    counted = dict(
        deployment.journal(
            "select mod(substring(contact_key from 'user([0-9]+)@')::int, %s) as part, count(distinct contact_key) "
            "from connectif_journal where sync_id = %s and state = 'acknowledged' group by part",
            (PARTS, f"{stage.name}.quarter"),
        )
    )
    return [counted.get(part, 0) for part in range(PARTS)]
