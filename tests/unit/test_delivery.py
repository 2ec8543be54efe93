"""Order, retries and early ends of a delivery. What stands in for HTTP here is the function that sends.

The delays before a retry, and the latency of the server, pass on a clock of the test's.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from airflow_provider_connectif.api.errors import NoResponseError, RunFailed, RunStopped, error_class
from airflow_provider_connectif.api.quota import Quota
from airflow_provider_connectif.api.response import Response
from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.contacts.resource import ContactResource
from airflow_provider_connectif.delivery.delivery import Delivery
from airflow_provider_connectif.delivery.response_policy import ResponsePolicy
from airflow_provider_connectif.records.changes import Patch
from airflow_provider_connectif.records.outcomes import Outcome, Settled, Stop, StopKind
from airflow_provider_connectif.records.resource import Resource
from airflow_provider_connectif.reporting.effort import Effort
from tests.support.clock import FakeClock
from tests.support.strict_server import until

CONTACTS = ContactResource(ContactMapping())


class Server(Resource):
    """Responds by the number of the row: statuses in turn, the last one for ever. It stands for resource and client."""

    is_idempotent = True

    def __init__(self, statuses: Mapping[int, list[int]] | None = None, latency: float = 0.0) -> None:
        self.statuses = defaultdict(lambda: [200], statuses or {})
        self.latency = latency
        self.clock: Any = FakeClock()
        self.closed = False
        self.quota = self
        self.lock = threading.Lock()
        self.seen: list[int] = []
        self.in_flight: Counter[str] = Counter()
        self.most_in_flight = 0
        self.overlaps: list[str] = []
        self.seen_at_first_error = 0

    def same_key(self, key: str) -> str:
        return CONTACTS.same_key(key)

    def send(self, client: Server, patch: Patch, *, on_fresh_connection: bool = False) -> Response:
        if self.closed:
            raise RunStopped
        with self.lock:
            self.seen.append(patch.number)
            self.in_flight[patch.key] += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight.total())
            if self.in_flight[patch.key] > 1:
                self.overlaps.append(patch.key)
            turns = self.statuses[patch.number]
            status = turns.pop(0) if len(turns) > 1 else turns[0]
        if self.latency:
            self.clock.sleep(self.latency)
        with self.lock:
            self.in_flight[patch.key] -= 1
        if status == 0:
            raise NoResponseError("no response within 30 s")
        if status >= 300:
            self.seen_at_first_error = self.seen_at_first_error or len(self.seen)
            raise error_class(status)(status, is_error_document=True)
        return Response(status)

    def close(self) -> None:
        self.closed = True


def made(server: Server, on_response: Mapping[int | str, str] | None = None, **more: Any) -> Delivery:
    return Delivery(server, server, ResponsePolicy(on_response), Effort(Quota()), clock=server.clock, **more)


def deliver(
    server: Server,
    keys: list[str],
    *,
    on_response: Mapping[int | str, str] | None = None,
    max_in_flight: int = 4,
    tries: int = 3,
    then: Callable[[Delivery], None] = lambda _: None,
) -> tuple[dict[int, Settled], Stop | None]:
    settled: list[Settled] = []
    delivery = made(server, on_response, max_in_flight=max_in_flight, attempts=tries)

    def collect() -> None:
        settled.extend(delivery.collect())

    with delivery:
        for number, key in enumerate(keys, 1):
            if not delivery.submit(Patch(number, key, {}, {}), collect):
                break
        then(delivery)
        delivery.drain(collect)
    collect()
    assert len({one.patch.number for one in settled}) == len(settled)
    return {one.patch.number: one for one in settled}, delivery.stop


def test_created_and_updated_are_told_apart() -> None:
    settled, stop = deliver(Server({2: [201]}), ["a", "b", "c"])
    assert stop is None
    assert [settled[n].outcome for n in (1, 2, 3)] == [Outcome.UPDATED, Outcome.CREATED, Outcome.UPDATED]


def test_rows_of_one_key_keep_their_order_and_never_overlap() -> None:
    keys = [("An\u00e1@example.com", "ana\u0301@EXAMPLE.com", "b", "c")[n % 4] for n in range(80)]
    server = Server({5: [500, 500, 200], 9: [429, 200]}, latency=0.001)
    settled, stop = deliver(server, keys, max_in_flight=8)
    assert stop is None
    assert len(settled) == 80
    assert not server.overlaps
    for members in ({0, 1}, {2}, {3}):  # the first two differ in case, and in how the accent is composed
        first_seen = list(dict.fromkeys(n for n in server.seen if (n - 1) % 4 in members))
        assert first_seen == sorted(first_seen)


def test_no_more_than_max_in_flight() -> None:
    together = threading.Barrier(5)

    class Gathering(FakeClock):
        def sleep(self, seconds: float) -> None:
            together.wait(30)

    server = Server(latency=1.0)
    server.clock = Gathering()
    deliver(server, [f"k{n}" for n in range(60)], max_in_flight=5)
    assert server.most_in_flight == 5


def test_429_is_waited_for_and_not_counted_as_a_try() -> None:
    settled, stop = deliver(Server({1: [429] * 10 + [200]}), ["a"], tries=2)
    assert (settled[1].outcome, settled[1].tries, stop) == (Outcome.UPDATED, 1, None)


def test_a_retry_gets_through() -> None:
    settled, stop = deliver(Server({1: [503, 0, 201]}), ["a"], tries=3)
    assert (settled[1].outcome, settled[1].tries, stop) == (Outcome.CREATED, 3, None)


def test_a_retry_waits_for_as_long_as_the_response_asks() -> None:
    class Asking(Server):
        def send(self, client: Server, patch: Patch, *, on_fresh_connection: bool = False) -> Response:
            self.seen.append(patch.number)
            if len(self.seen) == 1:
                raise error_class(503)(503, retry_after=40.0)
            return Response(200)

    server = Asking()
    settled, stop = deliver(server, ["a"])
    assert (settled[1].outcome, stop) == (Outcome.UPDATED, None)
    assert 40 <= server.clock.monotonic() < 60  # each thread that waits moves the clock on


class Connections(Server):
    """Notes which rows came on a fresh connection; the first row's pooled one shows another contact, or is refused.

    :param pooled: the response to row 1 on a pooled connection.
    :param fresh: the response to it on a fresh one.
    """

    def __init__(self, pooled: Response | int, fresh: Response) -> None:
        super().__init__()
        self.pooled, self.fresh = pooled, fresh
        self.apart: list[int] = []

    def send(self, client: Server, patch: Patch, *, on_fresh_connection: bool = False) -> Response:
        if on_fresh_connection:
            self.apart.append(patch.number)
        if patch.number != 1:
            return Response(201)
        answer = self.fresh if on_fresh_connection else self.pooled
        if isinstance(answer, int):
            raise error_class(answer)(answer)
        return answer


def test_a_response_that_shows_another_key_is_confirmed_on_a_connection_of_its_own() -> None:
    server = Connections(Response(200, is_own=False), Response(200, is_own=False))
    settled, stop = deliver(server, ["a", "b"])
    assert (server.apart, stop) == ([1], None)
    assert [settled[n].outcome for n in (1, 2)] == [Outcome.UPDATED, Outcome.CREATED]
    assert [settled[n].is_unconfirmed for n in (1, 2)] == [True, False]


def test_after_a_421_the_retry_has_a_connection_of_its_own() -> None:
    server = Connections(421, Response(200))
    settled, stop = deliver(server, ["a"])
    assert (server.apart, settled[1].outcome, stop) == ([1], Outcome.UPDATED, None)


def test_a_row_that_the_closed_quota_held_back_is_unsent_and_not_lost() -> None:
    class Closing(Server):
        def send(self, client: Server, patch: Patch, *, on_fresh_connection: bool = False) -> Response:
            if patch.number == 3:
                delivery.end(Stop(StopKind.TIMED_OUT))
                raise RunStopped
            return super().send(client, patch)

    server = Closing()
    delivery = made(server, max_in_flight=1, attempts=1)
    with delivery:
        for number in range(1, 6):
            delivery.submit(Patch(number, f"k{number}", {}, {}), lambda: None)
        delivery.drain(lambda: None)
    assert [one.patch.number for one in delivery.collect()] == [1, 2]
    assert [patch.number for patch in delivery.unfinished.unsent()] == [3, 4, 5]


def test_a_row_that_waits_for_its_retry_is_without_an_answer_when_the_run_ends() -> None:
    server = Server({1: [503]})

    def end(delivery: Delivery) -> None:
        until(lambda: delivery.unfinished.unanswered())
        delivery.end(Stop(StopKind.TIMED_OUT))
        assert [patch.number for patch in delivery.unfinished.unanswered()] == [1]

    class Still(FakeClock):
        def wait(self, condition: threading.Condition, seconds: float) -> None:
            condition.wait(0.001)

    server.clock = Still()
    deliver(server, ["a"], then=end)


@pytest.mark.parametrize("blocked", [range(11, 101), range(11, 14)])
def test_five_pages_of_a_firewall_in_a_row_end_the_run_and_three_do_not(blocked: range) -> None:
    class Firewall(Server):
        def send(self, client: Server, patch: Patch, *, on_fresh_connection: bool = False) -> Response:
            if patch.number in blocked:
                raise error_class(403)(403)
            return super().send(client, patch)

    settled, stop = deliver(Firewall(), [f"k{n}" for n in range(100)], max_in_flight=1)
    if len(blocked) > 5:
        assert stop is not None
        assert stop.kind is StopKind.BLOCKED
        assert len(settled) == 20  # ten good ones, five of the firewall's, and as many from further on
    else:
        assert stop is None
        assert len(settled) == 100


def test_no_further_request_goes_while_answers_are_not_written_down() -> None:
    server = Server()
    delivery = made(server, max_in_flight=2, attempts=1, most_unwritten=10)
    with delivery:
        delivery.written(100)
        delivery.submit(Patch(1, "a", {}, {}), lambda: None)
        looks = iter(range(20))
        delivery.drain(lambda: None, lambda: next(looks, None) is None)
        assert server.seen == []
        delivery.written(0)
        delivery.drain(lambda: None)
    assert server.seen == [1]


class PatientClock:
    """A clock whose waits must end by a notification."""

    def __init__(self) -> None:
        self.now = time.time
        self.monotonic = time.monotonic
        self.sleep = time.sleep

    def wait(self, condition: threading.Condition, seconds: float) -> None:
        if not condition.wait(10.0):
            raise TimeoutError("nobody has woken this thread")


@pytest.mark.parametrize("max_in_flight", [1, 8])
def test_the_submitting_thread_is_woken_for_several_responses_and_whenever_sending_waits_for_it(
    max_in_flight: int,
) -> None:
    rows, written_at_once, clock, server = 400, 6, PatientClock(), Server(latency=0.001)
    server.clock = clock
    found: list[int] = []
    delivery = Delivery(
        server,
        server,
        ResponsePolicy(),
        Effort(Quota()),
        max_in_flight=max_in_flight,
        attempts=3,
        most_unwritten=written_at_once,
        clock=clock,
    )
    unwritten = 0

    def collect() -> None:
        nonlocal unwritten
        unwritten += (settled := len(delivery.collect()))
        found.append(settled)
        if unwritten >= written_at_once:
            unwritten = 0
        delivery.written(unwritten)

    with delivery:
        for number in range(1, rows + 1):
            assert delivery.submit(Patch(number, f"user{number}@example.com", {}, {}), collect)
        delivery.drain(collect)
    assert sum(found) == rows
    while_many_are_queued = found[: len(found) // 4]
    assert sum(while_many_are_queued) / len(while_many_are_queued) >= min(written_at_once, 4)


def test_a_row_that_only_ever_fails_does_not_hold_up_the_others() -> None:
    settled, stop = deliver(Server({1: [500]}, latency=0.05), [f"k{n}" for n in range(100)], tries=3)
    assert stop is None
    assert settled[1].outcome is Outcome.UNDELIVERED
    assert Counter(one.outcome for one in settled.values())[Outcome.UPDATED] == 99


@pytest.mark.parametrize(
    ("max_in_flight", "tries", "bad"),
    [(1, 1, range(1, 2)), (1, 1, range(51, 52)), (1, 3, range(1, 13)), (8, 3, range(41, 65))],
)
def test_rows_that_only_ever_fail_side_by_side_are_jumped_over(max_in_flight: int, tries: int, bad: range) -> None:
    server = Server({n: [500] for n in bad}, latency=0.01)
    settled, stop = deliver(server, [f"k{n}" for n in range(100)], max_in_flight=max_in_flight, tries=tries)
    assert stop is None
    assert {n for n, one in settled.items() if one.outcome is Outcome.UNDELIVERED} == set(bad)
    assert len(settled) == 100


def test_a_server_that_never_answers_ends_the_run() -> None:
    server = Server({n: [0] for n in range(1, 200)})
    settled, stop = deliver(server, [f"k{n}" for n in range(100)], tries=2, max_in_flight=3)
    assert stop is not None
    assert stop.kind is StopKind.NOT_RESPONDING
    assert all(one.outcome is Outcome.UNDELIVERED for one in settled.values())
    assert max(Counter(server.seen).values()) == 2
    assert len(server.seen) <= 40  # most rows not tried yet stay back


@pytest.mark.parametrize(
    ("status", "action", "kind"),
    [(401, "fail", StopKind.FAIL), (403, "fail", StopKind.FAIL), (404, "skip_task", StopKind.SKIP_TASK)],
)
def test_an_answer_that_ends_the_run_lets_nothing_further_go(status: int, action: str, kind: StopKind) -> None:
    server = Server({50: [status]}, latency=0.01)
    settled, stop = deliver(server, [f"k{n}" for n in range(200)], on_response={status: action}, max_in_flight=4)
    assert stop is not None
    assert stop.kind is kind
    assert len(server.seen) - server.seen_at_first_error <= 4
    assert settled[50].outcome is Outcome.UNDELIVERED
    assert len(settled) == len(server.seen)  # the requests in flight have ended and are accounted for


@pytest.mark.sampled(1)
@pytest.mark.parametrize(("rejected", "stops"), [(range(1, 201), True), (range(2, 201), False), (range(1, 20), False)])
def test_twenty_refusals_from_the_start_end_the_run(rejected: range, stops: bool) -> None:
    server = Server({n: [422] for n in rejected})
    settled, stop = deliver(server, [f"k{n}" for n in range(200)], max_in_flight=1)
    assert (stop is not None and stop.kind is StopKind.ALL_REJECTED) is stops
    assert len(settled) == (40 if stops else 200)  # and as many again from further on


def test_a_skip_is_no_refusal() -> None:
    server = Server({n: [422] for n in range(1, 101)})
    settled, stop = deliver(server, [f"k{n}" for n in range(100)], on_response={422: "skip"})
    assert stop is None
    assert {one.outcome for one in settled.values()} == {Outcome.SKIPPED}


def test_a_kill_ends_the_run_within_a_moment_though_requests_hang() -> None:
    class Hanging(Server):
        def send(self, client: Server, patch: Patch, *, on_fresh_connection: bool = False) -> Response:
            gate.wait()
            return super().send(client, patch)

    gate = threading.Event()
    try:
        _, stop = deliver(Hanging(), ["a", "b"], then=lambda delivery: delivery.kill())
    finally:
        gate.set()
    assert stop == Stop(StopKind.KILLED)


def test_a_fault_of_ours_ends_the_run_instead_of_hanging_it() -> None:
    class Broken(Server):
        noun = "contact"

        def send(self, client: Server, patch: Patch, *, on_fresh_connection: bool = False) -> Response:
            raise ZeroDivisionError

    delivery = made(Broken(), max_in_flight=1, attempts=1)
    hangs_at = time.monotonic() + 10
    with delivery:
        delivery.offer(Patch(1, "a", {}, {}))
        delivery.drain(lambda: None, lambda: time.monotonic() > hangs_at)
    assert delivery.stop is not None
    assert delivery.stop.kind is StopKind.CRASHED
    assert [patch.number for patch in delivery.unfinished.unanswered()] == [1]


def test_an_error_before_a_change_is_queued_names_the_line_without_its_text() -> None:
    class Broken(Server):
        noun = "contact"

        def is_urgent(self, properties: Any) -> bool:
            raise ValueError("4711")

    place = r"ValueError, in is_urgent\(\) at line \d+ of test_delivery.py \(Broken\).* was not sent"
    with pytest.raises(RunFailed, match=f"sending a contact failed with {place}") as failure:
        made(Broken(), max_in_flight=1, attempts=1).offer(Patch(1, "a", {}, {}))
    assert "4711" not in str(failure.value)


def test_reading_runs_ahead_of_sending_by_a_few_hundred_rows_at_most() -> None:
    gate = threading.Event()

    class Gated(Server):
        def send(self, client: Server, patch: Patch, *, on_fresh_connection: bool = False) -> Response:
            gate.wait(10)
            return super().send(client, patch)

    server = Gated()
    delivery = made(server, max_in_flight=4, attempts=1)
    taken = 0

    def while_waiting() -> None:
        gate.set()  # only once submit has to wait

    with delivery:
        while not gate.is_set():
            delivery.submit(Patch(taken, f"k{taken}", {}, {}), while_waiting)
            taken += 1
            assert taken < 1000
        delivery.drain(lambda: None)
