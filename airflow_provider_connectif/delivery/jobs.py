"""A change while it is sent, with the state of its requests."""

from __future__ import annotations

from dataclasses import dataclass, field

from airflow_provider_connectif.delivery.rejection_watch import Sample
from airflow_provider_connectif.delivery.response_policy import Rule
from airflow_provider_connectif.records.changes import Patch
from airflow_provider_connectif.records.outcomes import Error, Outcome, Shown


@dataclass(frozen=True)
class Rejection:
    """A change that Connectif has rejected.

    :param rule: the rule of the response policy that made it a rejection.
    :param error: the response, if it was not a 2xx.
    :param tries: number of attempts that count.
    """

    patch: Patch
    outcome: Outcome
    rule: Rule
    error: Error | None
    tries: int


@dataclass(eq=False)
class Job:
    """A patch from the queue until its outcome is known. Times are in seconds on a clock that only goes forward.

    :param order_key: one form for all spellings of its key; jobs with the same form keep their order.
    :param tries: number of attempts that count.
    :param first_try_at: the time of the first attempt.
    :param on_fresh_connection: whether the next attempt uses a new connection.
    :param asked_by: the response whose ``Retry-After`` the job waits for.
    :param sample: the sample that the job belongs to; ``None``: it belongs to none.
    :param place: its number in the order in which jobs were queued.
    :param weight: its size, in bytes, roughly.
    :param is_settled: its outcome is known.
    :param is_recorded: the journal has recorded that it is about to be sent.
    :param is_only_recorded: the journal has recorded this, but no request for it was sent.
    :param shown: what the responses to earlier requests for it show.
    :param is_follow_up: a part of it was accepted, and this is the rest.
    :param is_created: a request for it got a 201.
    :param is_recreated: somebody had deleted the thing at Connectif, and it is created again.
    :param is_unconfirmed: a response to it showed another key, also on a fresh connection.
    :param sent_earlier: ids of the properties that its earlier requests have set.
    :param is_written: a request was accepted that sets properties, and not only a look-up.
    :param others_wait_for_it: other jobs wait until this one was tried.
    :param outcome: the outcome of its delivery; ``None``: it is created or updated.
    :param checked_at: when the suppression list was read for the request in flight; ``None``: no request is in flight,
        or the list was not read for it.
    :param asked_at: when the list was last read for the job in the queue; ``None``: it was not.
    :param is_suppressed: its person is suppressed, so it must not be sent.
    :param must_be_recorded: the journal must record it before it is sent.
    :param is_to_go: it may be sent now.
    :param rejection: the rejection of the whole change, while its urgent part is sent alone.
    """

    patch: Patch
    order_key: str
    tries: int = 0
    first_try_at: float = field(default=0.0)
    on_fresh_connection: bool = False
    asked_by: Error | None = None
    sample: Sample | None = None
    place: int = 0
    weight: int = 0
    is_settled: bool = False
    is_recorded: bool = False
    is_only_recorded: bool = False
    shown: Shown | None = None
    is_follow_up: bool = False
    is_created: bool = False
    is_recreated: bool = False
    is_unconfirmed: bool = False
    sent_earlier: frozenset[str] = frozenset()
    is_written: bool = False
    others_wait_for_it: bool = False
    rejection: Rejection | None = None
    outcome: Outcome | None = None
    checked_at: float | None = None
    asked_at: float | None = None
    is_suppressed: bool = False
    must_be_recorded: bool = False
    is_to_go: bool = False

    @property
    def has_begun(self) -> bool:
        """Whether a part of it was accepted, or the whole was rejected."""
        return self.is_follow_up or self.rejection is not None

    @property
    def whole(self) -> Patch:
        """The whole change, also while a part of it is sent alone."""
        return self.patch if self.rejection is None else self.rejection.patch

    def continue_with(self, patch: Patch) -> None:
        """Continue with another request.

        :param patch: the change for that request.
        """
        # The rest of a change was recorded with its first part, except for properties that a deleted contact gets
        # again.
        self.is_recorded &= patch.properties.keys() <= self.patch.properties.keys() | self.patch.later.keys()
        self.patch = patch
        self.tries, self.on_fresh_connection, self.asked_by = 0, False, None
