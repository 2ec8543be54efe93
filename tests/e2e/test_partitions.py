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

    run_id, state = stage.run(within_s=200)

    assert state == "success"
    tasks = [stage.task(run_id, "quarter", index) for index in range(PARTS)]
    assert [deployment.summary(task)["created"] for task in tasks] == [COUNT // PARTS] * PARTS
    # As many answers as contacts, each saying that the contact was new: none was sent twice.
    assert connectif.answers() == {"201": COUNT}
    assert held(connectif) == stage.source()
    acknowledged = (
        "select count(*), count(distinct contact_key) from connectif_journal where sync_id = %s and state = %s"
    )
    assert deployment.journal(acknowledged, (f"{stage.name}.quarter", "acknowledged")) == [(COUNT, COUNT)]
    begun = [task["start_date"] for task in map(deployment.metadata.task, tasks)]
    ended = [task["end_date"] for task in map(deployment.metadata.task, tasks)]
    assert max(begun) < min(ended), "they did not run at once"

    run_id, state = stage.run()

    assert state == "success"
    again = [deployment.summary(stage.task(run_id, "quarter", index)) for index in range(PARTS)]
    assert [summary["unchanged"] for summary in again] == [COUNT // PARTS] * PARTS
    assert connectif.answers() == {"201": COUNT}
    seconds = (max(ended) - min(begun)).total_seconds()
    measured(contacts=COUNT, seconds=seconds, per_second=COUNT / seconds)
