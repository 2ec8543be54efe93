"""A change on its way: what is known of its requests so far."""

from __future__ import annotations

from dataclasses import dataclass, field

from airflow_provider_connectif.delivery.rejection_watch import Sample
from airflow_provider_connectif.delivery.response_policy import Rule
from airflow_provider_connectif.records.changes import Patch
from airflow_provider_connectif.records.outcomes import Error, Outcome, Shown


@dataclass(frozen=True)
class Rejection:
    """A change that Connectif has rejected, with the rule."""

    patch: Patch
    outcome: Outcome
    rule: Rule
    error: Error | None
    tries: int


@dataclass(eq=False)
class Job:
    """A patch that is being sent.

    :param order_key: one form for all spellings of its key.
    :param tries: attempts that count.
    :param first_try_at: seconds on a clock that only goes forward.
    :param on_fresh_connection: whether the next attempt uses a new connection.
    :param asked_by: the response whose ``Retry-After`` the job waits for.
    :param sample: that it belongs to.
    :param place: in the order of the queue.
    :param weight: about how many bytes its row takes.
    :param is_settled: its outcome is known.
    :param is_written_down: that it is about to be sent.
    :param is_only_written_down: likewise, and no request for it has been sent.
    :param shown: what the responses to earlier requests for it show.
    :param is_follow_up: a part of it was accepted, and this is the rest.
    :param is_created: the response to a request for it was a 201.
    :param is_recreated: likewise, although Connectif had accepted properties of it before.
    :param is_unconfirmed: a response to it showed another key, twice.
    :param is_written: a request that sets something was accepted; others only look up.
    :param goes_before: the others wait until it was tried.
    :param outcome: of the change once it is delivered, where it is neither created nor updated.
    :param checked_at: when the suppression list was asked before the request that is under way, in seconds on a clock
        that only goes forward; ``None``: none is.
    :param asked_at: when it was last asked while the job waited in the queue, by the same clock; ``None``: it was not.
    :param is_suppressed: its person must not be sent again.
    :param is_to_be_written_down: it must be known, whatever happens, that it is on its way.
    :param is_to_go: it may be sent now.
    :param rejection: of the whole change, while what must not wait for it is sent alone.
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
    is_written_down: bool = False
    is_only_written_down: bool = False
    shown: Shown | None = None
    is_follow_up: bool = False
    is_created: bool = False
    is_recreated: bool = False
    is_unconfirmed: bool = False
    is_written: bool = False
    goes_before: bool = False
    rejection: Rejection | None = None
    outcome: Outcome | None = None
    checked_at: float | None = None
    asked_at: float | None = None
    is_suppressed: bool = False
    is_to_be_written_down: bool = False
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

        :param patch: to send next.
        """
        # The rest of a change was recorded with its first part, except for properties that a deleted contact gets
        # again.
        self.is_written_down &= patch.properties.keys() <= self.patch.properties.keys() | self.patch.later.keys()
        self.patch = patch
        self.tries, self.on_fresh_connection, self.asked_by = 0, False, None
