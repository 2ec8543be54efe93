"""Celery workers that share one account's window of requests."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.e2e.deployment import CeleryDeployment
from tests.e2e.stage import Stage, held

pytestmark = pytest.mark.celery

COUNT = 1_000
PARTS = 4
IN_FLIGHT = 8
LIMIT = 200
WINDOW_S = 20.0
LOST_S = 2.0
"""The time that a window may lose: the header gives its end in whole seconds, and four tasks must see it."""
START_S = 25.0
"""How long four tasks may take to start, and to end, on two busy cores."""


@pytest.fixture(scope="module")
def deployment(_ended_politely: None) -> Iterator[CeleryDeployment]:
    with CeleryDeployment(workers=2, concurrency=PARTS // 2) as running:
        yield running


def test_two_workers_share_a_window(deployment: CeleryDeployment, stage: Stage, measured: Callable[..., None]) -> None:
    """Four mapped tasks on two workers: every contact exactly once, and the window they share is used well."""
    connectif = stage.connectif(requests_per_minute=LIMIT, window_seconds=WINDOW_S)
    stage.fill(COUNT)
    stage.write_dag(
        f"""
        ContactPatchOperator.partial(
            task_id="quarter",
            sql=SQL + " where id %% {PARTS} = %(part)s order by id",
            journal_conn_id="journal",
            max_in_flight={IN_FLIGHT},
            **TARGET,
        ).expand(parameters=[{{"part": part}} for part in range({PARTS})])
        """
    )

    run_id, state = stage.run(within_s=240)

    assert state == "success"
    tasks = [stage.task(run_id, "quarter", index) for index in range(PARTS)]
    summaries = [deployment.summary(task) for task in tasks]
    assert [summary["created"] for summary in summaries] == [COUNT // PARTS] * PARTS
    assert held(connectif) == stage.source()
    answers = connectif.answers()
    refused = answers.pop("429", 0)
    assert answers == {"201": COUNT}, "a contact was sent twice, or something else was answered"
    assert deployment.tasks_taken() == dict.fromkeys(deployment.workers, PARTS // 2)
    begun = min(deployment.metadata.task(task)["start_date"] for task in tasks)
    ended = max(deployment.metadata.task(task)["end_date"] for task in tasks)
    seconds = (ended - begun).total_seconds()
    windows = COUNT // LIMIT
    at_best = (windows - 1) * WINDOW_S  # the last window's requests are sent at once, and its end is not waited for
    measured(contacts=COUNT, seconds=seconds, at_best_s=at_best, windows=windows, refused_429=refused)
    # Each task may find out, with all that it has in flight, that the others have used the window up.
    assert refused <= windows * PARTS * IN_FLIGHT
    assert seconds <= at_best + windows * LOST_S + START_S
