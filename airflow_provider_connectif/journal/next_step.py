"""Describes what the next run does with a contact, by the state of the contact's line."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from airflow_provider_connectif.journal.states import (
    ACKNOWLEDGED,
    IN_DOUBT,
    INVALID,
    LEFT,
    REJECTED,
    REMOVED,
    UNDELIVERED,
)


class Action(StrEnum):
    """The next run's action for the contact's row."""

    SEND = "send"
    """All of its properties are sent."""
    COMPARE = "compare"
    """The properties that differ from the accepted ones are sent. If none differs, no request is sent."""
    HOLD = "hold"
    """The same row is not sent again. If the row changes, it is sent."""
    NOTHING = "nothing"
    """Nothing is sent."""


class NextStep(NamedTuple):
    """The next run's action for a contact, and why."""

    action: Action
    words: str
    why: str


_NEVER_SEEN = NextStep(
    Action.SEND, "If the source has the contact, its whole row is sent.", "The journal has no line of the contact."
)
_UNKNOWN_PROPERTIES = NextStep(
    Action.SEND,
    "The whole row is sent.",
    "The journal does not know what Connectif holds of the contact: a response was lost, or nothing was accepted yet.",
)
_CHANGED_ONLY = NextStep(
    Action.COMPARE,
    "An unchanged row costs no request. Of a changed one, only the properties that differ are sent.",
    "Connectif has accepted the row.",
)
_PROPERTIES_ONLY = NextStep(
    Action.COMPARE,
    "The row is compared property by property. What differs, or is not known to have arrived, is sent.",
    "The journal knows what Connectif has accepted of single properties, but of no whole row.",
)
_HELD = NextStep(
    Action.HOLD,
    "The same row is held. It is sent when the row, the mapping or a field changes, or with retry_rejected=True.",
    "Connectif has rejected the row as it is.",
)
_REJECTED_ONCE = NextStep(
    Action.SEND,
    "The row is sent again.",
    "Connectif has rejected the request, but its response does not say that the row's values are at fault.",
)
_INVALID = NextStep(
    Action.HOLD,
    "The same row is invalid again. A corrected one is compared with what Connectif has accepted, and sent.",
    "The row was refused before sending.",
)
_UNDELIVERED = NextStep(
    Action.COMPARE,
    "What Connectif has not accepted is sent.",
    "The last run gave up on the contact, or ended before its turn.",
)
_HELD_IN_DOUBT = NextStep(
    Action.HOLD,
    "The same row is held. It is sent when it changes, or with retry_rejected=True.",
    "The row was sent, or about to be sent; no response was recorded, and sending it twice is not harmless.",
)
_IN_DOUBT = NextStep(
    Action.COMPARE,
    "The properties whose response was not recorded are sent again.",
    "The row was sent, or about to be sent; no response was recorded.",
)
_LEFT = NextStep(
    Action.NOTHING,
    "While the source does not have the contact, nothing is sent unless the operator has on_removed: that is carried "
    "out once, when its conditions are met. If the contact comes back, its row is compared and sent.",
    "The contact is no longer in the source, and nothing was done about that at Connectif.",
)
_LEFT_REJECTED = NextStep(
    Action.SEND,
    "on_removed is carried out again, when its conditions are met. If the contact comes back, its row is compared and "
    "sent.",
    "The contact is no longer in the source, and Connectif has rejected the request of on_removed.",
)
_REMOVED = NextStep(
    Action.NOTHING,
    "Nothing, while the source does not have the contact. If it comes back, its row is compared and sent.",
    "The contact is no longer in the source, and that was carried out at Connectif.",
)
_REMOVED_SKIPPED = NextStep(
    Action.NOTHING,
    _REMOVED.words,
    "The contact is no longer in the source. on_response skips the response to on_removed, so that is not repeated.",
)
_SUPPRESSED = NextStep(Action.NOTHING, "The row is not sent, whatever it holds.", "The contact was erased.")
_PENDING = NextStep(
    Action.SEND,
    "A deferred task continues its plan, in which a change of the contact waits. If that task was ended instead, the "
    "next run drops the plan and compares the row with the journal.",
    "The task waits without a worker, for the rate limit or for an import.",
)
_IN_IMPORT = NextStep(
    Action.COMPARE,
    "The task, or the next run, waits for the contact's import. What was not accepted is sent after that.",
    "The contact is in a file of an import, and the result of that import is not recorded yet.",
)


def next_step(
    state: str | None,
    *,
    is_held: bool,
    knows_row: bool,
    knows_properties: bool,
    is_pending: bool,
    is_in_import: bool = False,
    is_suppressed: bool = False,
    has_reason: bool = False,
) -> NextStep:
    """Return the next run's action for a contact.

    :param state: the state of the contact's line; ``None`` if it has no line.
    :param is_held: whether the last outcome holds the row until the row changes.
    :param knows_row: whether the line has the digest of the accepted row.
    :param knows_properties: whether the line has digests of accepted properties.
    :param is_pending: whether a deferred task still has to send a change of the contact.
    :param is_in_import: whether the contact is in an import whose result is not recorded yet.
    :param is_suppressed: whether the person is on the suppression list.
    :param has_reason: whether the line has the reason of its last outcome.
    """
    if is_suppressed:
        return _SUPPRESSED
    if is_pending:
        return _PENDING
    if is_in_import:
        return _IN_IMPORT
    if state is None:
        return _NEVER_SEEN
    if state == REJECTED:
        return _HELD if is_held else _REJECTED_ONCE
    if state == IN_DOUBT:
        return _HELD_IN_DOUBT if is_held else _IN_DOUBT
    if state == ACKNOWLEDGED:
        return _CHANGED_ONLY if knows_row else _PROPERTIES_ONLY if knows_properties else _UNKNOWN_PROPERTIES
    if has_reason and state in _GONE_WITH_REASON:
        return _GONE_WITH_REASON[state]
    if state in _OTHERS:
        return _OTHERS[state]
    return NextStep(
        Action.COMPARE, _PROPERTIES_ONLY.words, f"The state {state!r} is of a later version of this package."
    )


_GONE_WITH_REASON = {LEFT: _LEFT_REJECTED, REMOVED: _REMOVED_SKIPPED}
_OTHERS = {
    INVALID: _INVALID,
    UNDELIVERED: _UNDELIVERED,
    LEFT: _LEFT,
    REMOVED: _REMOVED,
}
