"""How often imports are polled: in an hour each at most 3,600 / poll_interval times, whatever the responses are."""

from __future__ import annotations

import itertools
import logging
import random
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_connectif.api.errors import NoResponseError, error_class
from airflow_provider_connectif.api.import_record import Import
from airflow_provider_connectif.api.quota import Quota
from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.contacts.resource import ContactResource
from airflow_provider_connectif.imports.context import ImportContext
from airflow_provider_connectif.imports.rules import SHORTEST_POLL_DELAY_S, ImportRules
from airflow_provider_connectif.imports.settlement import Settlement
from airflow_provider_connectif.imports.tally import ImportTally
from airflow_provider_connectif.imports.watch import Watch
from airflow_provider_connectif.journal.import_state import Group, ImportState, SentFile
from airflow_provider_connectif.records.outcomes import Outcome
from airflow_provider_connectif.reporting.rejects import Rejects
from airflow_provider_connectif.reporting.report import Report
from airflow_provider_connectif.reporting.summary import Tally
from tests.support.clock import FakeClock

HOUR_S = 3600.0


class Alone(FakeClock):
    """Time for one thread: it passes at once."""

    def sleep(self, seconds: float) -> None:
        self.advance(seconds)


class Client:
    """An account whose imports end when the clock says so; some polls get no usable response."""

    longest_wait_s = 120.0
    tries = 5

    def __init__(self, clock: FakeClock, ends_at: dict[str, float], fault_share: float, seed: int) -> None:
        self._clock = clock
        self._ends_at = ends_at
        self._fault_share = fault_share
        self._dice = random.Random(seed)
        self.polled_at: dict[str, list[float]] = {import_id: [] for import_id in ends_at}

    def get_import(self, import_id: str) -> Import:
        self.polled_at[import_id].append(self._clock.monotonic())
        self._clock.advance(self._dice.choice([0.05, 0.3, 2.0]))
        if self._dice.random() < self._fault_share:
            raise self._dice.choice([error_class(503)(503), NoResponseError("no response")])
        if self._clock.monotonic() < self._ends_at[import_id]:
            return Import.parse({"id": import_id, "status": "inProgress", "total": 100})
        return Import.parse({"id": import_id, "status": "finished", "total": 100, "success": 100, "errors": 0})


def settled(tmp_path: Path, count: int, interval_s: float, fault_share: float, seed: int) -> tuple[Client, Tally]:
    clock, dice = Alone(), random.Random(seed)
    client = Client(clock, {f"{n:024}": dice.uniform(0, 3 * HOUR_S) for n in range(count)}, fault_share, seed)
    report = Report(ContactResource(ContactMapping()), Quota(), Rejects(None), None, logging.getLogger("test"))
    rules = ImportRules(poll_interval_s=interval_s, timeout_s=6 * HOUR_S)
    context = ImportContext(client, rules, report)  # type: ignore[arg-type]
    state = ImportState(
        [SentFile(n, 100, since=clock.now(), import_id=import_id) for n, import_id in enumerate(client.polled_at)],
        [Group([n], 100) for n in range(count)],
        is_all_sent=True,
    )
    account = ImportTally(context.report)
    watch = Watch(context, clock)
    watch.waiting.begin()
    Settlement(context, watch, state, None, None, account, tmp_path, state.as_json).settle_all()
    return client, account.report.tally


@pytest.mark.sampled(4)
@pytest.mark.parametrize("fault_share", [0.0, 0.3])
@pytest.mark.parametrize(("count", "interval_s"), [(1, 20.0), (1, 3.0), (4, 20.0), (11, 20.0), (11, 60.0), (40, 20.0)])
def test_no_import_is_polled_more_often_than_poll_interval_says(
    tmp_path: Path, count: int, interval_s: float, fault_share: float
) -> None:
    client, tally = settled(tmp_path, count, interval_s, fault_share, seed=count)
    assert tally.outcomes[Outcome.IMPORTED] == 100 * count
    for times in client.polled_at.values():
        first_of_hour: Any = 0
        for place, time in enumerate(times):
            while time - times[first_of_hour] >= HOUR_S:
                first_of_hour += 1
            assert place - first_of_hour + 1 <= HOUR_S / interval_s
    together = sorted(itertools.chain.from_iterable(client.polled_at.values()))
    gaps = [later - earlier for earlier, later in itertools.pairwise(together)]
    assert min(gaps, default=interval_s) >= SHORTEST_POLL_DELAY_S - 1e-6


def test_an_import_is_noticed_within_an_interval_of_its_end(tmp_path: Path) -> None:
    client, _ = settled(tmp_path, 4, 20.0, 0.0, seed=1)
    for import_id, times in client.polled_at.items():
        assert times[-1] - client._ends_at[import_id] <= 20.0 + 4 * 2.0
