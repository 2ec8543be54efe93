"""A run over many windows of the rate limit that holds no worker meanwhile.

Scaled for a quick run; by hand, as an account has it: ``CONNECTIF_WINDOW_S=60 CONNECTIF_WINDOW_REQUESTS=100
CONNECTIF_WINDOWS=6 python -m pytest tests/e2e/test_deferral.py``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import NamedTuple

import pytest

from tests.e2e.conftest import LONGEST_S
from tests.e2e.deployment import Connectif, Deployment, TaskKey
from tests.e2e.stage import Stage, held


class Allowance(NamedTuple):
    """So many requests in each window, and contacts for so many windows."""

    window_s: float
    requests: int
    windows: int

    @property
    def pending(self) -> int:
        """Contacts."""
        return self.requests * self.windows


MEASURED = Allowance(
    float(os.environ.get("CONNECTIF_WINDOW_S", "20")),
    int(os.environ.get("CONNECTIF_WINDOW_REQUESTS", "100")),
    int(os.environ.get("CONNECTIF_WINDOWS", "3")),
)
WITH_A_DEATH = Allowance(10.0, 50, 3)
"""Long enough to die in."""
SHARE_OF_TIME, SHARE_OF_WORKER = 1.10, 0.25
DAG = """
ContactPatchOperator(
    task_id="contacts",
    journal_conn_id="journal",
    deferrable=True,
    defer_after=timedelta(seconds=2),
    retries=2,
    retry_delay=timedelta(seconds=1),
    **CONTACTS,
)
"""


def _begin(stage: Stage, allowance: Allowance) -> tuple[Connectif, TaskKey]:
    """A Connectif whose windows begin with their first request, and a task that sends to it."""
    connectif = stage.connectif(requests_per_minute=allowance.requests, window_seconds=allowance.window_s)
    stage.fill(allowance.pending)
    stage.write_dag(DAG)
    return connectif, stage.task(stage.deployment.trigger(stage.name), "contacts")


def _all_is_delivered_once(stage: Stage, connectif: Connectif) -> None:
    source = stage.source()
    assert held(connectif) == source
    answers = connectif.answers()
    assert answers["201"] == len(source)
    assert answers.get("200", 0) == 0
    pending = "select count(*) from connectif_journal_pending p join connectif_journal_plans using (plan_id)"
    assert stage.deployment.journal(f"{pending} where sync_id = %s", (f"{stage.name}.contacts",)) == [(0,)]


class UnderWay(NamedTuple):
    """A run that has sent its first contact, and when that was."""

    stage: Stage
    connectif: Connectif
    task: TaskKey
    begun: datetime


@pytest.fixture(scope="module")
def over_windows(deployment: Deployment) -> Iterator[UnderWay]:
    """The run that is measured."""
    deployment.start_missing()
    stage = Stage(deployment, "deferral_over_windows")
    limited, contacts = _begin(stage, MEASURED)
    deployment.wait_until(lambda: limited.answers().get("201"), 60, "the first contact is sent")
    yield UnderWay(stage, limited, contacts, deployment.metadata.now())
    stage.close()


@pytest.mark.usefixtures("over_windows")  # which has time enough to wait
def test_deferral_and_kill_of_the_task(deployment: Deployment, stage: Stage, measured: Callable[..., None]) -> None:
    """``kill -9`` of the process that has come back: the retry reads the source again, the journal knows the rest."""
    limited, contacts = _begin(stage, WITH_A_DEATH)
    deployment.wait_for_task(contacts, ["deferred"])
    deployment.wait_for_task(contacts, ["running"])
    deployment.kill_task(contacts)

    state = deployment.wait_for_run(stage.name, contacts.run_id, within_s=150)

    assert state == "success"
    assert deployment.metadata.task(contacts)["try_number"] == 2
    assert held(limited) == stage.source()
    sent_twice = limited.answers().get("200", 0)
    assert sent_twice <= 8 + 50
    measured(sent_twice=sent_twice)


@pytest.mark.timeout(LONGEST_S + 2 * MEASURED.windows * MEASURED.window_s)
def test_deferral_over_windows(over_windows: UnderWay, measured: Callable[..., None]) -> None:
    """As fast as the allowance lets it, and the worker free for most of the time."""
    stage, limited, contacts, begun = over_windows
    window_s, _, windows = MEASURED
    deployment = stage.deployment
    assert deployment.wait_for_run(stage.name, contacts.run_id, within_s=60 + 2 * windows * window_s) == "success"

    _all_is_delivered_once(stage, limited)
    assert deployment.summary(contacts)["deferrals"] == windows - 1
    dictated_s = (windows - 1) * window_s
    took_s = (deployment.metadata.task(contacts)["end_date"] - begun).total_seconds()
    busy_s = deployment.busy_seconds(contacts)
    measured(dictated_s=dictated_s, took_s=took_s, worker_busy_s=busy_s, refused=limited.answers().get("429", 0))
    # What a process takes to begin weighs more in a window that is scaled down.
    spare_s = 0.0 if window_s >= 60 else 3.0 * windows
    assert took_s <= SHARE_OF_TIME * dictated_s + spare_s
    assert busy_s <= SHARE_OF_WORKER * (took_s if window_s >= 60 else took_s * 60 / window_s)


def test_deferral_survives_the_triggerer(deployment: Deployment, stage: Stage, measured: Callable[..., None]) -> None:
    """The triggerer dies during a wait: nothing is lost, nothing sent twice."""
    _die_during_a_wait("triggerer", deployment, stage, measured)


def test_deferral_survives_the_scheduler(deployment: Deployment, stage: Stage, measured: Callable[..., None]) -> None:
    """The scheduler dies during a wait, with all its workers."""
    _die_during_a_wait("scheduler", deployment, stage, measured)


def _die_during_a_wait(victim: str, deployment: Deployment, stage: Stage, measured: Callable[..., None]) -> None:
    limited, contacts = _begin(stage, WITH_A_DEATH)
    deployment.wait_for_task(contacts, ["deferred"])

    deployment.kill(victim)
    time.sleep(WITH_A_DEATH.window_s / 2)  # it stays away for a while
    deployment.start(victim)

    state = deployment.wait_for_run(stage.name, contacts.run_id, within_s=150)
    assert state == "success"
    assert deployment.metadata.task(contacts)["try_number"] == 1
    _all_is_delivered_once(stage, limited)
    measured(refused=limited.answers().get("429", 0))
