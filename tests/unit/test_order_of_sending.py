"""What goes before the others, as the queue gives it out."""

from __future__ import annotations

from airflow_provider_connectif.delivery.jobs import Job
from airflow_provider_connectif.delivery.rejection_watch import RejectionWatch
from airflow_provider_connectif.delivery.response_policy import Action, Rule
from airflow_provider_connectif.delivery.sending_queue import SendingQueue
from airflow_provider_connectif.records.changes import Patch
from airflow_provider_connectif.records.outcomes import Outcome


def queue_of(*jobs: Job) -> SendingQueue:
    queue = SendingQueue(4, RejectionWatch(stops_when_all_rejected=True))
    for job in jobs:
        queue.add(job)
    return queue


def job(key: str, *, others_wait_for_it: bool = False) -> Job:
    return Job(Patch(1, key, {}, {}), key, others_wait_for_it=others_wait_for_it)


def test_the_others_wait_until_what_is_urgent_is_settled() -> None:
    first, second, other = job("a", others_wait_for_it=True), job("b", others_wait_for_it=True), job("c")
    queue = queue_of(first, second, other)
    assert [queue.next(0.0), queue.next(0.0), queue.next(0.0)] == [first, second, None]
    queue.settle(first, Outcome.UPDATED, Rule(Action.ACCEPT))
    assert queue.next(0.0) is None
    queue.settle(second, Outcome.REJECTED, Rule(Action.REJECT))
    assert queue.next(0.0) is other


def test_what_has_to_be_tried_again_later_holds_nobody_up() -> None:
    urgent, other = job("a", others_wait_for_it=True), job("b")
    queue = queue_of(urgent, other)
    assert queue.next(0.0) is urgent
    queue.delay(urgent, 10.0, None)
    assert queue.next(0.0) is other
    assert queue.next(10.0) is urgent
    queue.settle(urgent, Outcome.UPDATED, Rule(Action.ACCEPT))
    assert queue.next(10.0) is None


def test_a_closed_window_keeps_the_order() -> None:
    urgent, other = job("a", others_wait_for_it=True), job("b")
    queue = queue_of(urgent, other)
    assert queue.next(0.0) is urgent
    queue.put_back(urgent)
    assert [queue.next(0.0), queue.next(0.0)] == [urgent, None]


def test_what_the_others_wait_for_goes_first_wherever_it_stands() -> None:
    """After a deferral the rest of an urgent change stands before other urgent ones, and need not be urgent itself."""
    rest, urgent, before, behind = (
        job("a"),
        job("b", others_wait_for_it=True),
        job("c"),
        job("c", others_wait_for_it=True),
    )
    queue = queue_of(rest, urgent, before, behind)
    assert [queue.next(0.0), queue.next(0.0), queue.next(0.0)] == [urgent, before, None]
    queue.settle(urgent, Outcome.UPDATED, Rule(Action.ACCEPT))
    queue.settle(before, Outcome.UPDATED, Rule(Action.ACCEPT))
    assert queue.next(0.0) is behind
    queue.settle(behind, Outcome.UPDATED, Rule(Action.ACCEPT))
    assert queue.next(0.0) is rest
