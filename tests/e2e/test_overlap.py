"""Runs of one sync that overlap, as those of an hourly DAG do whose night takes longer: one works, the others wait."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.e2e.deployment import Connectif, Deployment, TaskKey
from tests.e2e.stage import Stage, held

WINDOW_S, REQUESTS, CONTACTS, ADDED = 12.0, 50, 200, 20
LOOK_S = 60.0  # between two looks at who holds a sync; a claim that nobody renews ends as soon
# The holder waits for its windows on its worker, so that its claim is one that is renewed.
DAG = """
ContactPatchOperator(
    task_id="contacts",
    journal_conn_id="journal",
    deferrable=True,
    defer_after=timedelta(minutes=5),
    **CONTACTS,
)
"""


class Overlap:
    """A run that sends, and one that waits for it."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.connectif: Connectif = stage.connectif(requests_per_minute=REQUESTS, window_seconds=WINDOW_S)
        stage.fill(CONTACTS)
        stage.write_dag(DAG)
        self.first = self._begun()
        stage.deployment.wait_until(lambda: self.connectif.answers().get("201"), 60, "the first contact is sent")
        self.second = self._begun()

    def _begun(self) -> TaskKey:
        return self.stage.task(self.stage.deployment.trigger(self.stage.name), "contacts")

    def ends_well(self) -> None:
        """The second run delivers what the first has not, and what was changed while it waited."""
        deployment = self.stage.deployment
        assert deployment.wait_for_run(self.stage.name, self.second.run_id, within_s=60 + 3 * LOOK_S) == "success"
        assert held(self.connectif) == self.stage.source()
        assert deployment.metadata.task(self.second)["try_number"] == 1
        states = [stay.state for stay in deployment.metadata.stays(self.second)]
        assert states.count("running") == deployment.summary(self.second)["deferrals"] + 1
        claims = "select count(*) from connectif_journal_claims where sync_id = %s"
        assert deployment.journal(claims, (f"{self.stage.name}.contacts",)) == [(0,)]


@pytest.fixture
def whose_holder_dies(deployment: Deployment) -> Iterator[Stage]:
    """Played at once with the other one: both wait for minutes, one for the end of a claim."""
    stage = Stage(deployment, "overlap_whose_holder_dies")
    yield stage
    stage.close()


@pytest.mark.timeout(900)
def test_runs_of_one_sync_overlap(
    deployment: Deployment, stage: Stage, whose_holder_dies: Stage, measured: Callable[..., None]
) -> None:
    """The waiting run holds no worker; it goes on when the other one has ended, or a minute after it was killed."""
    in_peace, in_war = Overlap(stage), Overlap(whose_holder_dies)
    for overlap in (in_peace, in_war):
        deployment.wait_for_task(overlap.second, ["deferred"])
        assert deployment.metadata.task(overlap.first)["state"] == "running"
        overlap.stage.fill(ADDED, first=CONTACTS + 1)
    deployment.kill_task(in_war.first)

    assert deployment.wait_for_run(stage.name, in_peace.first.run_id) == "success"
    assert deployment.wait_for_run(whose_holder_dies.name, in_war.first.run_id) == "failed"
    in_peace.ends_well()
    in_war.ends_well()

    assert deployment.summary(in_peace.second)["created"] == ADDED
    assert "is held by another run: deferred, next check at " in deployment.task_log(in_peace.second)
    measured(
        worker_busy_s=deployment.busy_seconds(in_peace.second),
        deferred_s=deployment.metadata.seconds_in(in_peace.second, "deferred"),
        after_a_death_s=deployment.metadata.seconds_in(in_war.second, "deferred"),
    )
