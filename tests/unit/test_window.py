"""The rules of pacing, against simulated servers on a simulated clock.

Each server is a reading of the API document, 1.3: a window of 100 requests a minute, announced in one of the forms that
are seen in the wild, or not at all.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from airflow_provider_connectif.api.rate_headers import NO_SIGNAL, RateSignal
from airflow_provider_connectif.api.window import Cause, RequestWindow

Tell = Callable[[int, float], RateSignal]


def exactly(remaining: int, reset: float) -> RateSignal:
    return RateSignal(100, remaining, reset, reset_is_whole=False)


def rounded_down(remaining: int, reset: float) -> RateSignal:
    return RateSignal(100, remaining, float(math.floor(reset)))


def rounded_up(remaining: int, reset: float) -> RateSignal:
    return RateSignal(100, remaining, float(math.ceil(reset)))


def remaining_only(remaining: int, reset: float) -> RateSignal:
    return RateSignal(remaining=remaining)


def nothing(remaining: int, reset: float) -> RateSignal:
    return NO_SIGNAL


def retry_after_only(remaining: int, reset: float) -> RateSignal:
    return RateSignal(retry_after=float(math.ceil(reset))) if remaining < 0 else NO_SIGNAL


@dataclass
class Server:
    """A window of ``limit`` requests in 60 s, on the clock's minutes or from its first request on."""

    tell: Tell
    aligned: bool = False
    limit: int = 100
    opened_at: float = -math.inf
    used: int = 0
    served: Counter[int] = field(default_factory=Counter)
    refused: Counter[int] = field(default_factory=Counter)
    windows: int = 0

    def answer(self, now: float) -> tuple[bool, RateSignal]:
        opens = math.floor(now / 60) * 60 if self.aligned else now
        if now >= self.opened_at + 60:
            self.opened_at, self.used = opens, 0
            self.windows += 1
        if self.used >= self.limit:
            self.refused[self.windows] += 1
            return True, self.tell(-1 if self.tell is retry_after_only else 0, self.opened_at + 60 - now)
        self.used += 1
        self.served[self.windows] += 1
        return False, self.tell(self.limit - self.used, self.opened_at + 60 - now)


def simulate(
    servers: Server,
    tasks: list[RequestWindow],
    until: float,
    *,
    threads: int = 8,
    latency: float = 0.15,
    start: float = 17.3,
) -> None:
    """Let tasks send as fast as they may until a point in time."""
    rng = random.Random(7)
    now = start
    events: list[
        tuple[float, int, int, float, tuple[bool, RateSignal] | None]
    ] = []  # (time, order, task, sent at, response)
    order = 0
    busy = [0] * len(tasks)
    while now < until:
        for index, task in enumerate(tasks):
            while busy[index] < threads and task.next_permit(now).at <= now:
                task.note_sent(now)
                busy[index] += 1
                order += 1
                heapq.heappush(events, (now + latency * rng.uniform(0.2, 0.8), order, index, now, None))
        wakes = [task.next_permit(now).at for index, task in enumerate(tasks) if busy[index] < threads]
        now = max(now + 1e-6, min([*wakes, events[0][0] if events else math.inf, now + 1.0]))
        while events and events[0][0] <= now:
            at, _, index, sent_at, answer = heapq.heappop(events)
            if answer is None:  # arrives at the server; the response travels back
                order += 1
                heapq.heappush(
                    events, (at + latency * rng.uniform(0.2, 0.8), order, index, sent_at, servers.answer(at))
                )
                continue
            busy[index] -= 1
            refused, signal = answer
            if refused:
                tasks[index].refused(signal, now)
            else:
                tasks[index].answered(signal, sent_at, now)


@pytest.mark.parametrize("latency", [0.02, 0.15, 0.9])
@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("tell", [exactly, rounded_down, rounded_up, remaining_only, nothing, retry_after_only])
def test_one_task_uses_the_allowance_and_is_refused_at_most_once_a_window(
    tell: Tell, aligned: bool, latency: float
) -> None:
    server = Server(tell, aligned)
    simulate(server, [RequestWindow()], until=17.3 + 5 * 60, latency=latency)
    assert server.served.total() >= 0.97 * 500
    assert max(server.refused.values(), default=0) <= (1 if tell is not nothing else 8)
    if tell in (exactly, rounded_up):
        assert not server.refused


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("tell", [exactly, rounded_down, rounded_up, retry_after_only])
def test_four_tasks_share_an_account(tell: Tell, aligned: bool) -> None:
    server = Server(tell, aligned)
    simulate(server, [RequestWindow() for _ in range(4)], until=17.3 + 5 * 60)
    assert server.served.total() >= 0.95 * 500
    # Each task may have its requests in flight refused once, when the others take what it counted on.
    assert max(server.refused.values(), default=0) <= 4 * 8


def test_a_cap_is_kept_over_any_minute() -> None:
    server = Server(exactly)
    task = RequestWindow(cap=30)
    sent: list[float] = []
    note_sent = task.note_sent
    task.note_sent = lambda now: (sent.append(now), note_sent(now))[1]  # type: ignore[method-assign]
    simulate(server, [task], until=300)
    assert max(sum(1 for other in sent if at <= other < at + 60) for at in sent) == 30
    assert len(sent) >= 0.97 * 30 * 5 - 30


def test_others_who_take_from_the_account_are_believed() -> None:
    """What the server says is left counts, not what this task has sent."""
    task = RequestWindow()
    task.note_sent(0.0)
    task.answered(exactly(3, 50.0), 0.0, 0.1)
    for _ in range(3):
        assert task.next_permit(0.2).at <= 0.2
        task.note_sent(0.2)
    assert task.next_permit(0.3).at == math.inf
    for _ in range(3):
        task.answered(exactly(0, 49.7), 0.2, 0.4)
    assert task.next_permit(0.5).at == pytest.approx(50.1, abs=0.1)


def test_an_allowance_of_a_million_is_used() -> None:
    server = Server(lambda remaining, reset: RateSignal(1_000_000, remaining, reset, False), limit=1_000_000)
    simulate(server, [RequestWindow()], until=27.3, threads=32, latency=0.1)
    assert server.served.total() > 0.9 * 32 / 0.1 * 10


def test_a_late_answer_out_of_a_window_that_is_gone_changes_nothing() -> None:
    task = RequestWindow()
    task.note_sent(0.0)
    task.note_sent(0.0)
    task.answered(exactly(50, 1.0), 0.0, 0.1)
    assert task.next_permit(1.2).at <= 1.2
    task.note_sent(1.2)
    task.answered(exactly(99, 60.0), 1.2, 1.3)
    task.answered(exactly(0, 0.0), 0.0, 1.4)  # the second request of the first window
    assert task.next_permit(1.5).at <= 1.5


def test_a_probe_that_hangs_does_not_hold_back_the_others_for_long() -> None:
    task = RequestWindow()
    task.note_sent(0.0)
    assert task.next_permit(0.1).at == math.inf
    assert task.next_permit(2.1).at <= 2.1


def test_a_cap_used_up_by_requests_without_an_answer_is_no_wait_for_a_window() -> None:
    task = RequestWindow(1)
    task.note_sent(0.0)
    permit = task.next_permit(0.1)
    assert (permit.at, permit.cause) == (math.inf, None)


def test_a_probe_without_an_answer_lets_the_next_one_go() -> None:
    task = RequestWindow()
    task.note_sent(0.0)
    task.unanswered(0.05)
    assert task.next_permit(0.1).at <= 0.1


@pytest.mark.parametrize(
    ("signal", "free_again"),
    [
        (RateSignal(retry_after=7.0), 7.02),
        (RateSignal(retry_after=600.0, reset_after=5.0), 600.02),
        (RateSignal(remaining=0, reset_after=42.0), 42.02),
        (RateSignal(reset_after=0.0), 1.0),
        (RateSignal(reset_after=0.4, reset_is_whole=False), 0.42),
        (NO_SIGNAL, 60.0),
    ],
)
def test_after_a_429_it_waits_as_long_as_it_is_told(signal: RateSignal, free_again: float) -> None:
    task = RequestWindow()
    task.note_sent(0.0)
    task.refused(signal, 0.0)
    permit = task.next_permit(0.0)
    assert permit.at == pytest.approx(free_again)
    assert permit.cause is Cause.REFUSED


def seen_windows(task: RequestWindow, *, first: float, begins: float, length: float) -> RequestWindow:
    """A window that is used up and ends at a moment, and the first response of the next one."""
    task.note_sent(first - 0.1)
    task.answered(exactly(0, begins - first), first - 0.1, first)
    assert task.next_permit(begins + 0.1).at <= begins + 0.1
    task.note_sent(begins + 0.1)
    task.answered(exactly(99, length - 0.2), begins + 0.1, begins + 0.2)
    return task


def test_the_length_of_a_window_is_that_of_one_after_another() -> None:
    task = RequestWindow()
    assert task.allowance.window_s == 60.0
    seen_windows(task, first=0.0, begins=2.5, length=4.0)
    assert task.allowance.window_s == pytest.approx(4.0)
    assert task.allowance.seconds_for(250) == pytest.approx(8.0)


def test_a_window_that_was_not_seen_from_its_beginning_says_nothing_of_its_length() -> None:
    task = RequestWindow()
    task.note_sent(0.0)
    task.answered(exactly(99, 5.0), 0.0, 0.1)
    assert task.next_permit(40.0).at <= 40.0
    task.note_sent(40.0)  # the source gave nothing to send for a while
    task.answered(exactly(99, 20.0), 40.0, 40.1)
    task.note_sent(41.0)
    task.refused(RateSignal(retry_after=1.0), 41.0)  # others have used it up; this is not its end
    task.note_sent(42.1)
    task.answered(exactly(50, 18.0), 42.1, 42.2)
    assert task.allowance.window_s == 60.0


def test_a_cap_counts_by_the_minute_where_it_is_what_limits() -> None:
    task = seen_windows(RequestWindow(30), first=0.0, begins=2.5, length=4.0)
    assert (task.allowance.requests, task.allowance.window_s) == (30, 60.0)
    task = seen_windows(RequestWindow(10_000), first=0.0, begins=2.5, length=4.0)
    assert (task.allowance.requests, task.allowance.window_s) == (100, pytest.approx(4.0))


def test_it_tells_why_a_window_is_waited_for() -> None:
    """Whoever reads the log must not take an assumption of ours for the server's word."""
    causes = {}
    for name, cap, signal in (("told", None, exactly(0, 30.0)), ("untold", None, NO_SIGNAL), ("capped", 1, NO_SIGNAL)):
        task = RequestWindow(cap)
        for _ in range(100 if name == "untold" else 1):
            task.note_sent(0.0)
            task.answered(signal, 0.0, 0.1)
        causes[name] = task.next_permit(0.2).cause
    back = RequestWindow()
    back.recall(100, 5.0, ())  # after a deferral
    causes["back too early"] = back.next_permit(0.0).cause
    assert causes == {
        "told": Cause.USED_UP,
        "untold": Cause.ASSUMED,
        "capped": Cause.CAP,
        "back too early": Cause.USED_UP,
    }


@pytest.mark.parametrize(
    ("cap", "limit", "expected"), [(None, None, 100), (30, None, 30), (None, 250, 250), (30, 250, 30), (300, 100, 100)]
)
def test_the_allowance_to_count_on(cap: int | None, limit: int | None, expected: int) -> None:
    task = RequestWindow(cap)
    task.note_sent(0.0)
    task.answered(RateSignal(limit=limit), 0.0, 0.1)
    assert task.requests_per_minute == expected
