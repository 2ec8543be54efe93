"""The times and the words of the log's progress lines."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_connectif.api.errors import RunStopped
from airflow_provider_connectif.api.quota import Quota
from airflow_provider_connectif.api.rate_headers import RateSignal
from airflow_provider_connectif.records.outcomes import Outcome
from airflow_provider_connectif.reporting import progress
from airflow_provider_connectif.reporting.effort import Effort
from airflow_provider_connectif.reporting.formats import clock, describe_bytes, describe_seconds, estimated
from airflow_provider_connectif.reporting.progress import Progress, seconds_at_best
from airflow_provider_connectif.reporting.summary import Tally
from airflow_provider_connectif.reporting.verdict import End


class Lines(list[str]):
    """A log that keeps its lines."""

    def info(self, message: str, /, *args: Any) -> None:
        self.append(message % args)

    warning = debug = info


@pytest.fixture
def waiting() -> Iterator[Quota]:
    """A quota on which a thread waits for an hour."""
    quota = Quota()
    quota.release(quota.acquire(), RateSignal(retry_after=3600.0), refused=True)

    def wait() -> None:
        with suppress(RunStopped):
            quota.acquire()

    thread = threading.Thread(target=wait)
    thread.start()
    while quota.wait is None:
        time.sleep(0.01)
    yield quota
    quota.close()
    thread.join()


def test_a_long_wait_is_told_once_and_then_only_now_and_then(waiting: Quota, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PROGRESS_EVERY_S", 0.01)
    monkeypatch.setattr(progress, "HEARTBEAT_S", 0.3)
    lines, tally, begun = Lines(), Tally(read=250), time.monotonic()
    told = Progress(lines, tally, waiting, Effort(waiting))
    told.begin_sending(250)
    tally.count(Outcome.CREATED, 1)
    while len(lines) < 3:
        told.tick()
        time.sleep(0.005)
    assert lines[0].startswith("Rate limit: Connectif responded 429; waiting 3600 s, until ")
    # 249 are three windows: the one that is waited for, and two minutes.
    assert lines[0].endswith(
        "\n  1 of 250 sent, about 1 h 2 min left\n  250 rows read, 1 delivered (1 created, 0 updated), 1 request "
        "(1 rejected with 429)"
    )
    assert len(lines) <= 1 + (time.monotonic() - begun) / 0.3
    assert all(line.startswith("Progress: 1 of 250 sent, about 1 h ") for line in lines[1:])


def test_the_time_left_is_that_of_requests_and_not_of_changes() -> None:
    quota, tally = Quota(), Tally(read=300)
    quota.requests = 3  # for definitions
    told = Progress(Lines(), tally, quota, Effort(quota))
    told.begin_sending(300, 2.0)
    assert told.describe_left() == "about 5 min left"  # 600 requests at most
    for row in range(1, 101):
        tally.count(Outcome.CREATED, row)
    quota.requests += 160
    assert told.describe_left() == "about 3 min left"  # 200 changes, 1.6 requests each
    quota.requests += 1_000  # retries
    assert told.describe_left() == "about 3 min left"
    continued = Progress(Lines(), tally, quota, Effort(quota))
    continued.begin_sending(200, *told.pace)
    assert continued.describe_left() == told.describe_left()


def test_a_wait_that_the_task_is_deferred_for_is_not_told_as_one(waiting: Quota) -> None:
    lines = Lines()
    told = Progress(lines, Tally(read=1), waiting, Effort(waiting))
    told.log_waits_up_to(10.0)
    told.tick()
    assert lines == []


def test_before_the_first_row_nothing_is_said_of_what_is_left(waiting: Quota) -> None:
    lines = Lines()
    assert waiting.wait is not None
    Progress(lines, Tally(), waiting, Effort(waiting)).log_deferral(waiting.wait)
    (line,) = lines
    assert line.endswith(" UTC\n  0 rows read, 0 delivered, 1 request (1 rejected with 429)")


def test_a_request_that_failed_is_a_new_line_and_has_its_cause_below(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PROGRESS_EVERY_S", 0.0)
    lines, quota = Lines(), Quota()
    effort = Effort(quota)
    told = Progress(lines, Tally(read=1), quota, effort)
    told.tick()
    effort.add_failure("HTTP 500 Internal Server Error")
    told.tick()
    assert lines == [
        "Progress: 1 row read, 0 delivered, 1 not settled yet, 0 requests",
        "Progress: 1 row read, 0 delivered, 1 not settled yet, 0 requests\n"
        "  Retried: 1 failed request, last: HTTP 500 Internal Server Error",
    ]


def test_the_end_has_outcome_budget_rejects_and_duration_on_lines_of_their_own() -> None:
    lines, quota, tally = Lines(), Quota(), Tally(read=2)
    tally.count(Outcome.UPDATED, 1)
    tally.count(Outcome.INVALID, 2, ['column "a" is blank'])
    told = Progress(lines, tally, quota, Effort(quota))
    notes = ["Failure budget: 1 refused, 0 allowed", "Rejects file: /tmp/x", ""]
    told.log_end(End("Failed", notes, is_failure=True))
    assert lines == [
        'Rows not delivered, by reason:\n  1 x column "a" is blank (row 2)',
        "Failed: 2 rows read, 1 delivered (0 created, 1 updated), 1 invalid, 0 requests\n"
        "  Failure budget: 1 refused, 0 allowed\n"
        "  Rejects file: /tmp/x\n"
        "  Duration: 0.0 s",
    ]


def test_failed_requests_of_earlier_attempts_count_too() -> None:
    first, second = Effort(Quota()), Effort(Quota())
    first.add_failure("HTTP 500")
    second.begin_series(first.as_counts(), 0.0)
    assert second.failures == "1 failed request, last: HTTP 500"
    second.add_failure("the connection broke")
    assert second.failures == "2 failed requests, last: the connection broke"


def test_at_the_end_the_sink_has_the_words_for_rows_without_an_outcome() -> None:
    lines, quota, tally = Lines(), Quota(), Tally(read=2)
    tally.count(Outcome.UPDATED, 1)
    told = Progress(lines, tally, quota, Effort(quota))
    tally.unsettled_at_end = "not sent"
    told.log_end(End("Stopped early"))
    assert lines == [
        "Stopped early: 2 rows read, 1 delivered (0 created, 1 updated), 1 not sent, 0 requests\n  Duration: 0.0 s"
    ]


def test_progress_is_published_at_most_every_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    published: list[Mapping[str, Any]] = []
    quota, tally = Quota(), Tally(read=250)
    told = Progress(Lines(), tally, quota, Effort(quota), publish=published.append)
    for second in range(25):
        now = 1000.0 + second
        told.tick()
        if second == 12:
            tally.count(Outcome.CREATED, 1)
            told.begin_sending(249)
    assert len(published) == 3
    assert (published[0]["read"], published[0]["pending"], published[0]["predicted_end"]) == (250, None, None)
    assert (published[2]["delivered"], published[2]["pending"]) == (1, 249)
    assert json.loads(json.dumps(published[2])) == published[2]
    ahead = datetime.fromisoformat(published[2]["predicted_end"]) - datetime.now(UTC)
    assert timedelta(minutes=1) < ahead <= timedelta(minutes=3)


def test_an_import_s_rows_are_not_taken_for_requests(waiting: Quota) -> None:
    lines = Lines()
    Progress(lines, Tally(read=900_000), waiting, Effort(waiting), by_import=True).tick()
    (line,) = lines
    assert line.endswith(
        "\n  900,000 rows read, 0 imported, 900,000 without a known outcome, 1 request (1 rejected with 429)"
    )


def test_the_same_counts_are_not_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PROGRESS_EVERY_S", 0.0)
    lines, tally, quota = Lines(), Tally(), Quota()
    told = Progress(lines, tally, quota, Effort(quota))
    for _ in range(3):
        told.tick()
    tally.read = 1
    for _ in range(3):
        told.tick()
    assert lines == [
        "Progress: 0 rows read, 0 delivered, 0 requests",
        "Progress: 1 row read, 0 delivered, 1 not settled yet, 0 requests",
    ]


@pytest.mark.parametrize(("requests", "seconds"), [(0, 0), (1, 0), (100, 0), (101, 60), (6000, 59 * 60)])
def test_a_window_takes_a_minute_but_the_last_one(requests: int, seconds: float) -> None:
    assert seconds_at_best(requests, 100) == seconds


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0.0 s"), (59.94, "59.9 s"), (59.96, "1 min"), (200, "3 min 20 s"), (3600, "1 h"), (7500, "2 h 5 min")],
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert describe_seconds(seconds) == words


@pytest.mark.parametrize(
    ("seconds", "words"), [(1.2, "about 2 s"), (48.0, "about 48 s"), (59.2, "about 1 min"), (200.4, "about 3 min 21 s")]
)
def test_an_estimate_has_no_tenths(seconds: float, words: str) -> None:
    assert estimated(seconds) == words


@pytest.mark.parametrize(
    ("size", "words"), [(0, "1 kB"), (900, "1 kB"), (23_400, "23 kB"), (1_000_000, "1.0 MB"), (48_000_000, "48.0 MB")]
)
def test_sizes_in_words(size: int, words: str) -> None:
    assert describe_bytes(size) == words


def test_a_moment_of_another_day_has_its_date() -> None:
    assert clock(0.0) == "1970-01-01 00:00:00 UTC"
