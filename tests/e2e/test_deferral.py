"""A run over many windows of the rate limit that holds no worker meanwhile.

Scaled for a quick run; by hand, as an account has it: ``CONNECTIF_WINDOW_S=60 CONNECTIF_WINDOW_REQUESTS=100
CONNECTIF_WINDOWS=6 python -m pytest tests/e2e/test_deferral.py``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import pytest

from tests.e2e.deployment import Connectif, Deployment, TaskKey
from tests.e2e.stage import Stage, held

WINDOW_S = float(os.environ.get("CONNECTIF_WINDOW_S", "24"))
REQUESTS = int(os.environ.get("CONNECTIF_WINDOW_REQUESTS", "100"))
WINDOWS = int(os.environ.get("CONNECTIF_WINDOWS", "3"))
PENDING = REQUESTS * WINDOWS
SHARE_OF_TIME, SHARE_OF_WORKER = 1.10, 0.25
DAG = """
ContactPatchOperator(
    task_id="contacts",
    journal_conn_id="journal",
    deferrable=True,
    retries=2,
    retry_delay=timedelta(seconds=1),
    **CONTACTS,
)
"""


@pytest.fixture
def limited(stage: Stage) -> Connectif:
    """A Connectif with windows, that begin with their first request."""
    return stage.connectif(requests_per_minute=REQUESTS, window_seconds=WINDOW_S)


def _begin(deployment: Deployment, stage: Stage) -> TaskKey:
    stage.fill(PENDING)
    stage.write_dag(DAG)
    return stage.task(deployment.trigger(stage.name), "contacts")


def _all_is_delivered_once(stage: Stage, connectif: Connectif) -> None:
    assert held(connectif) == stage.source()
    answers = connectif.answers()
    assert answers["201"] == PENDING
    assert answers.get("200", 0) == 0
    pending = "select count(*) from connectif_journal_pending p join connectif_journal_plans using (plan_id)"
    assert stage.deployment.journal(f"{pending} where sync_id = %s", (f"{stage.name}.contacts",)) == [(0,)]


@pytest.mark.timeout(120 + 2 * WINDOWS * WINDOW_S)
def test_deferral_over_windows(
    deployment: Deployment, stage: Stage, limited: Connectif, measured: Callable[..., None]
) -> None:
    """As fast as the allowance lets it, and the worker free for most of the time."""
    contacts = _begin(deployment, stage)
    deployment.wait_until(lambda: limited.answers().get("201"), 60, "the first contact is sent")
    began_at = time.monotonic()
    state = deployment.wait_for_run(stage.name, contacts.run_id, within_s=60 + 2 * WINDOWS * WINDOW_S)
    took_s = time.monotonic() - began_at

    assert state == "success"
    _all_is_delivered_once(stage, limited)
    assert deployment.summary(contacts)["deferrals"] == WINDOWS - 1
    dictated_s = (WINDOWS - 1) * WINDOW_S
    busy_s = deployment.busy_seconds(contacts)
    measured(dictated_s=dictated_s, took_s=took_s, worker_busy_s=busy_s, refused=limited.answers().get("429", 0))
    # What a process takes to begin weighs more in a window that is scaled down.
    spare_s = 0.0 if WINDOW_S >= 60 else 3.0 * WINDOWS
    assert took_s <= SHARE_OF_TIME * dictated_s + spare_s
    assert busy_s <= SHARE_OF_WORKER * (took_s if WINDOW_S >= 60 else took_s * 60 / WINDOW_S)


@pytest.mark.timeout(180 + 2 * WINDOWS * WINDOW_S)
def test_deferral_survives_the_triggerer(
    deployment: Deployment, stage: Stage, limited: Connectif, measured: Callable[..., None]
) -> None:
    """The triggerer dies during a wait: nothing is lost, nothing sent twice."""
    _die_during_a_wait("triggerer", deployment, stage, limited, measured)


@pytest.mark.timeout(180 + 2 * WINDOWS * WINDOW_S)
def test_deferral_survives_the_scheduler(
    deployment: Deployment, stage: Stage, limited: Connectif, measured: Callable[..., None]
) -> None:
    """The scheduler dies during a wait, with all its workers."""
    _die_during_a_wait("scheduler", deployment, stage, limited, measured)


def _die_during_a_wait(
    victim: str, deployment: Deployment, stage: Stage, limited: Connectif, measured: Callable[..., None]
) -> None:
    contacts = _begin(deployment, stage)
    deployment.wait_for_task(contacts, ["deferred"])

    deployment.kill(victim)
    time.sleep(WINDOW_S / 2)  # it stays away for a while
    deployment.start(victim)

    state = deployment.wait_for_run(stage.name, contacts.run_id, within_s=120 + 2 * WINDOWS * WINDOW_S)
    assert state == "success"
    assert deployment.metadata.task(contacts)["try_number"] == 1
    _all_is_delivered_once(stage, limited)
    measured(refused=limited.answers().get("429", 0))


@pytest.mark.timeout(180 + 2 * WINDOWS * WINDOW_S)
def test_deferral_and_kill_of_the_task(
    deployment: Deployment, stage: Stage, limited: Connectif, measured: Callable[..., None]
) -> None:
    """``kill -9`` of the process that has come back: the retry reads the source again, the journal knows the rest."""
    contacts = _begin(deployment, stage)
    deployment.wait_for_task(contacts, ["deferred"])
    deployment.wait_for_task(contacts, ["running"], within_s=WINDOW_S + 60)
    deployment.kill_task(contacts)

    state = deployment.wait_for_run(stage.name, contacts.run_id, within_s=120 + 3 * WINDOWS * WINDOW_S)

    assert state == "success"
    assert deployment.metadata.task(contacts)["try_number"] == 2
    assert held(limited) == stage.source()
    sent_twice = limited.answers().get("200", 0)
    assert sent_twice <= 8 + 50
    measured(sent_twice=sent_twice)
