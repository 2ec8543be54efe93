"""A delivery whose changes must not be sent twice: what is sent again, and what is written down before and after."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pytest

from airflow_provider_connectif.api.clock import SYSTEM_CLOCK, Clock
from airflow_provider_connectif.api.errors import ConnectifHttpError, NoAnswerError, QuotaClosed, error_class
from airflow_provider_connectif.api.quota import Quota
from airflow_provider_connectif.api.transport import Answer
from airflow_provider_connectif.delivery.delivery import Delivery
from airflow_provider_connectif.delivery.response_policy import ResponsePolicy
from airflow_provider_connectif.records.changes import Patch
from airflow_provider_connectif.records.outcomes import Outcome, Settled
from airflow_provider_connectif.records.resource import Resource
from airflow_provider_connectif.reporting.effort import Effort
from tests.support.clock import FakeClock
from tests.support.strict_server import until

NOT_SENT = NoAnswerError("the connection was refused", was_sent=False)
LOST = NoAnswerError("no answer within 30 s")
ANOTHERS = Answer(200, {}, is_own=False)


Turn = NoAnswerError | ConnectifHttpError | Answer


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

    def send(self, client: Server, patch: Patch, *, on_fresh_connection: bool = False) -> Answer:
        self.quota.acquire()
        assert self.written[-1:] == [f"begin {patch.key}"], "nothing is sent before it is written down"
        self.sent += 1
        turn = self.turns.pop(0) if len(self.turns) > 1 else self.turns[0]
        if isinstance(turn, NoAnswerError | ConnectifHttpError):
            raise turn
        if isinstance(turn, Answer):
            return turn
        if turn >= 300:
            raise error_class(turn)(turn, retry_after=0.0)
        return Answer(turn)

    def suppressed(self, patches: Sequence[Patch]) -> set[int]:
        return set()

    def begin(self, patches: Sequence[Patch]) -> None:
        self.written += [f"begin {patch.key}" for patch in patches]

    def withdraw(self, patches: Sequence[Patch]) -> None:
        self.written += [f"withdraw {patch.key}" for patch in patches]


def made(server: Server, on_response: Mapping[int | str, str] | None = None) -> Delivery:
    policy, effort = ResponsePolicy(on_response), Effort(server.quota)
    return Delivery(server, server, policy, effort, max_in_flight=1, attempts=3, clock=server.clock)


def deliver(server: Server, on_response: Mapping[int | str, str] | None = None) -> Settled:
    delivery = made(server, on_response)
    with delivery:
        delivery.submit(Patch(1, "a", {}, {}), lambda: None)
        delivery.drain(lambda: delivery.write_doubts(server))
    (settled,) = delivery.collect()
    return settled


@pytest.mark.parametrize("turn", [LOST, ANOTHERS, 500, 503, 408], ids=str)
def test_what_may_have_been_carried_out_is_sent_once(turn: int | NoAnswerError | Answer) -> None:
    server = Server([turn, 201])
    settled = deliver(server)
    assert (settled.outcome, settled.is_in_doubt, server.sent) == (Outcome.UNDELIVERED, True, 1)
    assert server.written == ["begin a"]


@pytest.mark.parametrize("turn", [NOT_SENT, 421, 423, 425, 429], ids=str)
def test_what_was_not_carried_out_is_withdrawn_and_sent_again(turn: int | NoAnswerError) -> None:
    server = Server([turn, 201])
    settled = deliver(server)
    assert (settled.outcome, settled.is_in_doubt, server.sent) == (Outcome.CREATED, False, 2)
    assert server.written == ["begin a", "withdraw a", "begin a"]


@pytest.mark.parametrize(("turn", "rule"), [(LOST, "no_answer"), (500, "5xx"), (408, "408")])
def test_an_author_may_have_it_sent_again(turn: int | NoAnswerError, rule: str) -> None:
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
    assert [patch.number for patch in delivery.unsent()] == [1]
    assert delivery.unanswered() == []


def test_a_stop_before_it_is_written_down_lets_nothing_go() -> None:
    server = Server([200])
    delivery = made(server)
    with delivery:
        delivery.submit(Patch(1, "a", {}, {}), lambda: None)
        delivery.drain(lambda: None, lambda: delivery._gate.is_waited_at)
        delivery.kill()
    until(lambda: [patch.number for patch in delivery.unsent()] == [1])
    assert (server.written, server.sent, delivery.unanswered()) == ([], 0, [])


def test_what_waits_for_a_retry_is_in_no_doubt_when_the_run_ends() -> None:
    server = Server([error_class(423)(423, retry_after=1000.0)], clock=SYSTEM_CLOCK)
    delivery = made(server)
    with delivery:
        delivery.submit(Patch(1, "a", {}, {}), lambda: None)
        delivery.drain(lambda: delivery.write_doubts(server), lambda: server.written == ["begin a", "withdraw a"])
        delivery.kill()
    assert delivery.unanswered() == []
    assert [patch.number for patch in delivery.unsent()] == [1]


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
    with pytest.raises(QuotaClosed):
        _stopped(quota)()
    assert quota.requests == 2
