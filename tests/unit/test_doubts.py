"""A delivery whose changes must not be sent twice: what is sent again, and what is written down before and after."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from airflow_provider_connectif.api.clock import SYSTEM_CLOCK, Clock
from airflow_provider_connectif.api.errors import ConnectifHttpError, NoResponseError, RunStopped, error_class
from airflow_provider_connectif.api.quota import Quota
from airflow_provider_connectif.api.rate_headers import RateSignal
from airflow_provider_connectif.api.response import Response
from airflow_provider_connectif.delivery.delivery import Delivery
from airflow_provider_connectif.delivery.doubts import MOST_WRITTEN_AHEAD, SUPPRESSION_VALID_S
from airflow_provider_connectif.delivery.response_policy import ResponsePolicy
from airflow_provider_connectif.records.changes import Digests, Patch
from airflow_provider_connectif.records.outcomes import Outcome, Settled
from airflow_provider_connectif.records.resource import Resource
from airflow_provider_connectif.reporting.effort import Effort
from tests.support.clock import FakeClock
from tests.support.strict_server import until

NOT_SENT = NoResponseError("the connection was refused", was_sent=False)
LOST = NoResponseError("no response within 30 s")
ANOTHERS = Response(200, {}, is_own=False)


Turn = NoResponseError | ConnectifHttpError | Response


class Server(Resource):
    """Responds to one change in turns; the last one for ever. Stands for the resource and the client.

    :param clock: of the delivery and its quota; by default its delays take no time.
    """

    is_idempotent = False

    def __init__(
        self, turns: Sequence[int | Turn], requests_per_minute: int = 1_000_000, clock: Clock | None = None
    ) -> None:
        self.turns = list(turns)
        self.clock = clock or FakeClock()
        self.quota = Quota(requests_per_minute, clock=self.clock)
        self.sent = 0
        self.written: list[str] = []

    def same_key(self, key: str) -> str:
        return key

    def send(self, client: Server, patch: Patch, *, on_fresh_connection: bool = False) -> Response:
        self.quota.acquire()
        assert self.written[-1:] == [f"begin {patch.key}"], "nothing is sent before it is written down"
        self.sent += 1
        turn = self.turns.pop(0) if len(self.turns) > 1 else self.turns[0]
        if isinstance(turn, NoResponseError | ConnectifHttpError):
            raise turn
        if isinstance(turn, Response):
            return turn
        if turn >= 300:
            raise error_class(turn)(turn, retry_after=0.0)
        return Response(turn)

    def suppressed(self, patches: Sequence[Patch]) -> set[int]:
        return set()

    def begin(self, patches: Sequence[Patch]) -> None:
        self.written += [f"begin {patch.key}" for patch in patches]

    def withdraw(self, patches: Sequence[Patch]) -> None:
        self.written += [f"withdraw {patch.key}" for patch in patches]


def made(
    server: Server,
    on_response: Mapping[int | str, str] | None = None,
    *,
    max_in_flight: int = 1,
    checks_suppression: bool = False,
) -> Delivery:
    return Delivery(
        server,
        server,
        ResponsePolicy(on_response),
        Effort(server.quota),
        max_in_flight=max_in_flight,
        attempts=3,
        checks_suppression=checks_suppression,
        clock=server.clock,
    )


def deliver(server: Server, on_response: Mapping[int | str, str] | None = None) -> Settled:
    delivery = made(server, on_response)
    with delivery:
        delivery.submit(Patch(1, "a", {}, {}), lambda: None)
        delivery.drain(lambda: delivery.write_doubts(server))
    (settled,) = delivery.collect()
    return settled


@pytest.mark.parametrize("turn", [LOST, ANOTHERS, 500, 503, 408], ids=str)
def test_what_may_have_been_carried_out_is_sent_once(turn: int | NoResponseError | Response) -> None:
    server = Server([turn, 201])
    settled = deliver(server)
    assert (settled.outcome, settled.is_in_doubt, server.sent) == (Outcome.UNDELIVERED, True, 1)
    assert server.written == ["begin a"]


@pytest.mark.parametrize("turn", [NOT_SENT, 421, 423, 425, 429], ids=str)
def test_what_was_not_carried_out_is_withdrawn_and_sent_again(turn: int | NoResponseError) -> None:
    server = Server([turn, 201])
    settled = deliver(server)
    assert (settled.outcome, settled.is_in_doubt, server.sent) == (Outcome.CREATED, False, 2)
    assert server.written == ["begin a", "withdraw a", "begin a"]


@pytest.mark.parametrize(("turn", "rule"), [(LOST, "no_answer"), (500, "5xx"), (408, "408")])
def test_an_author_may_have_it_sent_again(turn: int | NoResponseError, rule: str) -> None:
    server = Server([turn, 200])
    settled = deliver(server, {rule: "retry"})
    assert (settled.outcome, settled.is_in_doubt, server.sent) == (Outcome.UPDATED, False, 2)


def test_what_is_never_carried_out_is_undelivered_without_a_doubt() -> None:
    settled = deliver(Server([423]))
    assert (settled.outcome, settled.is_in_doubt, settled.tries) == (Outcome.UNDELIVERED, False, 3)


@pytest.mark.parametrize("status", [401, 404, 422])
def test_a_refusal_is_in_no_doubt(status: int) -> None:
    assert not deliver(Server([status])).is_in_doubt


def test_a_change_that_waits_for_a_window_is_not_written_down() -> None:
    server = Server([200], requests_per_minute=1, clock=SYSTEM_CLOCK)
    server.quota.release(server.quota.acquire(), None)  # uses the window up
    delivery = made(server)
    with delivery:
        delivery.submit(Patch(1, "a", {}, {}), lambda: None)
        delivery.drain(lambda: delivery.write_doubts(server), lambda: server.quota.wait is not None)
        delivery.kill()
    assert (server.written, server.sent) == ([], 0)
    assert [patch.number for patch in delivery.unfinished.unsent()] == [1]
    assert delivery.unfinished.unanswered() == []


def test_a_stop_before_it_is_written_down_lets_nothing_go() -> None:
    server = Server([200])
    delivery = made(server)
    with delivery:
        delivery.submit(Patch(1, "a", {}, {}), lambda: None)
        delivery.drain(lambda: None, lambda: delivery._gate.is_waited_at)
        delivery.kill()
    until(lambda: [patch.number for patch in delivery.unfinished.unsent()] == [1])
    assert (server.written, server.sent, delivery.unfinished.unanswered()) == ([], 0, [])


def test_what_waits_for_a_retry_is_in_no_doubt_when_the_run_ends() -> None:
    server = Server([error_class(423)(423, retry_after=1000.0)], clock=SYSTEM_CLOCK)
    delivery = made(server)
    with delivery:
        delivery.submit(Patch(1, "a", {}, {}), lambda: None)
        delivery.drain(lambda: delivery.write_doubts(server), lambda: server.written == ["begin a", "withdraw a"])
        delivery.kill()
    assert delivery.unfinished.unanswered() == []
    assert [patch.number for patch in delivery.unfinished.unsent()] == [1]


def _stopped(quota: Quota) -> Callable[[], float]:
    quota.reserve()
    quota.close()
    return quota.acquire


def test_a_reserved_permit_is_used_once_and_not_after_a_stop() -> None:
    quota = Quota(1_000_000)
    quota.reserve()
    quota.release(quota.acquire(), None)
    assert quota.requests == 1
    quota.release(quota.acquire(), None)
    assert quota.requests == 2
    with pytest.raises(RunStopped):
        _stopped(quota)()
    assert quota.requests == 2


class Contacts(Server):
    """To send one twice is harmless, and a journal has a line of each. Every response shows what the window has left.

    :param left: requests that the first response leaves.
    """

    is_idempotent = True

    def __init__(self, left: int, clock: Clock | None = None) -> None:
        super().__init__([200], clock=clock)
        self.left = left
        self.writes: list[list[str]] = []
        self.sent_keys: list[str] = []
        self.most_ahead = 0
        self._lock = threading.Lock()

    def send(self, client: Server, patch: Patch, *, on_fresh_connection: bool = False) -> Response:
        sent_at = self.quota.acquire()
        with self._lock:
            written = [key for keys in self.writes for key in keys]
            assert patch.key in written, "nothing is sent before it is written down"
            self.most_ahead = max(self.most_ahead, len(written) - len(self.sent_keys) - 1)
            self.sent_keys.append(patch.key)
            self.quota.release(sent_at, RateSignal(1_000, self.left, 60.0, reset_is_whole=False))
            self.left -= 1
        return Response(200)

    def begin(self, patches: Sequence[Patch]) -> None:
        self.writes.append([patch.key for patch in patches])


DIGESTS = Digests("row", "patch", "mapping", b"", b"")


def deliver_contacts(
    server: Contacts, count: int, is_enough: Callable[[], bool] = lambda: False, **options: Any
) -> Delivery:
    delivery = made(server, **options)
    with delivery:
        for number in range(count):
            assert delivery.offer(Patch(number, f"user{number}", {}, {}, DIGESTS))
        delivery.drain(lambda: delivery.write_doubts(server), is_enough)
        delivery.kill()
    return delivery


@pytest.mark.parametrize("asks", [False, True], ids=["", "asks who is suppressed"])
@pytest.mark.parametrize("max_in_flight", [1, 8, 100])
def test_changes_that_go_next_are_written_down_together_and_not_too_many(max_in_flight: int, asks: bool) -> None:
    server = Contacts(left=900)
    delivery = deliver_contacts(server, 200, max_in_flight=max_in_flight, checks_suppression=asks)
    assert len(set(server.sent_keys)) == len(server.sent_keys) == 200
    assert MOST_WRITTEN_AHEAD // 2 <= server.most_ahead <= MOST_WRITTEN_AHEAD + max_in_flight
    assert len(server.writes) <= 3 + 200 // 10  # mostly 5 to 11; more on a machine whose threads wait for each other
    assert delivery.unfinished.only_recorded() == []


class CountingClock(FakeClock):
    """Knows how many threads wait."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: set[int] = set()

    def wait(self, condition: threading.Condition, seconds: float) -> None:
        self.waiting.add(threading.get_ident())
        super().wait(condition, seconds)
        self.waiting.discard(threading.get_ident())


class SlowToWrite(Contacts):
    """While changes are written down ahead, both threads come to the first of these."""

    def __init__(self) -> None:
        self.threads = CountingClock()
        super().__init__(left=900, clock=self.threads)
        self.is_second_away, self.may_second_end = threading.Event(), threading.Event()

    def send(self, client: Server, patch: Patch, *, on_fresh_connection: bool = False) -> Response:
        if patch.number == 1:
            self.is_second_away.set()
            assert self.may_second_end.wait(30)
        elif patch.number > 1:
            assert self.is_second_away.wait(30)
        return super().send(client, patch)

    def begin(self, patches: Sequence[Patch]) -> None:
        super().begin(patches)
        if self.is_second_away.is_set() and not self.may_second_end.is_set():
            self.may_second_end.set()
            until(lambda: len(self.threads.waiting) >= 2)


def test_what_a_thread_takes_while_it_is_written_down_is_not_written_twice() -> None:
    server = SlowToWrite()
    deliver_contacts(server, 150, max_in_flight=2)
    written = [key for keys in server.writes for key in keys]
    assert len(written) == len(set(written)) == len(server.sent_keys) == 150


class StillClock(FakeClock):
    """Its time passes by the requests alone, however long threads wait on a busy machine."""

    def wait(self, condition: threading.Condition, seconds: float) -> None:
        condition.wait(0.01)


class Erasable(Contacts):
    """Notes when the suppression list was asked of each change, and what a claim says of requests under way.

    :param takes_s: seconds of each request.
    """

    def __init__(self, takes_s: float) -> None:
        super().__init__(left=900, clock=StillClock())
        self.takes_s = takes_s
        self.asked_at: dict[str, float] = {}
        self.asks = 0
        self.answered_until = 0.0
        self.longest_ago = 0.0
        self.busy_since: Callable[[], float | None] = lambda: None

    def next_request(self, change: Patch, plan_age_s: float) -> Patch:
        self._renew()  # before it is known whether the change waits for a look into the list
        return change

    def suppressed(self, patches: Sequence[Patch]) -> set[int]:
        self.asks += 1
        self._renew()
        self.asked_at.update({patch.key: self.clock.monotonic() for patch in patches})
        self._renew()
        return set()

    def send(self, client: Server, patch: Patch, *, on_fresh_connection: bool = False) -> Response:
        asked_at = self.asked_at[patch.key]
        self.longest_ago = max(self.longest_ago, self.clock.monotonic() - asked_at)
        assert asked_at >= self.answered_until, "an erasure would not have waited for this request"
        self._renew()
        self.clock.advance(self.takes_s)  # type: ignore[attr-defined]
        return super().send(client, patch)

    def _renew(self) -> None:
        """As a claim is renewed: whoever suppresses somebody by then need not wait for what goes later."""
        now = self.clock.monotonic()
        began = self.busy_since()
        self.answered_until = max(self.answered_until, now if began is None else began)


@pytest.mark.parametrize("max_in_flight", [1, 8])
@pytest.mark.parametrize(("takes_s", "least", "most"), [(0.0001, 1, 40), (0.3, 200, 250)])
def test_the_suppression_list_is_asked_of_many_changes_at_once_and_of_each_just_before_it_goes(
    takes_s: float, least: int, most: int, max_in_flight: int
) -> None:
    server = Erasable(takes_s)
    delivery = made(server, max_in_flight=max_in_flight, checks_suppression=True)
    server.busy_since = delivery.unfinished.busy_since
    with delivery:
        for number in range(200):
            assert delivery.offer(Patch(number, f"user{number}", {}, {}, DIGESTS))
        delivery.drain(lambda: delivery.write_doubts(server))
    assert len(server.sent_keys) == 200
    if max_in_flight == 1:  # others let time pass between the look and the request
        assert server.longest_ago < SUPPRESSION_VALID_S
        assert least <= server.asks <= most
    assert delivery.unfinished.busy_since() is None or takes_s < SUPPRESSION_VALID_S


def test_no_more_is_written_ahead_than_the_window_has_left_and_what_is_not_sent_is_named() -> None:
    server = Contacts(left=10)
    delivery = deliver_contacts(server, 40, lambda: len(server.sent_keys) >= 5)
    assert server.most_ahead <= 10
    written = {key for keys in server.writes for key in keys}
    assert len(written) <= 1 + 10
    unsent = {patch.key for patch in delivery.unfinished.only_recorded()}
    assert unsent == written - set(server.sent_keys) - {patch.key for patch in delivery.unfinished.unanswered()}


def test_what_may_be_sent_once_only_is_not_written_ahead() -> None:
    server = Contacts(left=900)
    server.is_idempotent = False
    deliver_contacts(server, 20)
    assert server.writes == [[key] for key in server.sent_keys]
