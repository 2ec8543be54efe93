"""Consent as the documents have it, and what a sync may know of it: for the judge of what a sync did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

RANKS: dict[str, list[str]] = {
    "_newsletterSubscriptionStatus": ["unsubscribed", "none", "subscribed"],
    "_smsSubscriptionStatus": ["unsubscribed", "none", "subscribed"],
    "_emailStatus": ["banned", "bounced", "paused", "active"],
    "_mobilePhoneStatus": ["bounced", "paused", "active"],
}
"""What the API takes ("ContactPatch"), from the lowest to the highest: a mobile phone is never ``banned``."""


def rank(name: str, value: Any) -> float:
    """The rank of a value; one that no document lists is above all."""
    return RANKS[name].index(value) if value in RANKS[name] else float("inf")


def is_lowest(name: str, value: Any) -> bool:
    """Whether a value withdraws consent."""
    return rank(name, value) == 0


def is_raise(name: str, before: Any, value: Any) -> bool:
    """Whether to send a value raises what Connectif holds, or replaces a value of which nothing is known."""
    if before is None or is_lowest(name, value):
        return False
    return rank(name, before) == float("inf") or rank(name, value) > rank(name, before)


class Row(NamedTuple):
    """A row of the source.

    :param consents: the values of the mapped consent properties that are not null.
    :param fate: ``ok``, ``invalid`` (refused before it is sent) or ``rejected`` (by Connectif, not for its consent).
    :param signature: changes whenever the row or the mapping does: then what was held is sent again.
    """

    consents: Mapping[str, str]
    fate: str = "ok"
    signature: object = None


class Violation(NamedTuple):
    """What may never happen.

    :param kind: ``raised without cause``, ``raised though kept``, ``raised who unsubscribed``, ``raised recreated``,
        ``lowered late``, ``lowering lost``, ``more than the lowest``, ``not in the source`` or ``change lost``.
    """

    kind: str
    night: int
    key: str
    name: str
    detail: str


@dataclass
class Known:
    """Of one consent property of one contact.

    :param acknowledged: the value that the sync surely knows as acknowledged or kept; ``None``: it has none.
    :param doubts: values that may be at Connectif since, by whether the sync may know them as acknowledged.
    :param is_kept: the sync has surely seen that the person decided.
    :param unsubscribed_from: the acknowledged value below which the person went before the source lowered it.
    :param is_sure: a run that came to its end has seen that.
    """

    name: str
    acknowledged: str | None = None
    doubts: dict[str, bool] = field(default_factory=dict)
    is_kept: bool = False
    unsubscribed_from: str | None = None
    is_sure: bool = False

    def is_settled_as(self, value: str) -> bool:
        """Whether the sync surely knows this value as acknowledged or kept."""
        return self.acknowledged == value and not self.doubts

    def may_be_settled_as(self, value: str) -> bool:
        """Whether the sync may send nothing of this value."""
        return self.is_settled_as(value) or self.doubts.get(value, False)

    @property
    def lowest_rank(self) -> float:
        """Of all values that the sync may have left at Connectif; below it somebody else went."""
        values = [self.acknowledged, *self.doubts]
        return min((rank(self.name, value) for value in values if value is not None), default=-1)

    def settle(self, value: str) -> None:
        """It is acknowledged or kept."""
        self.acknowledged = value
        self.doubts.clear()
