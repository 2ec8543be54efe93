"""The table "Consent" row by row: nights of one contact, and the requests that the server must see in each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

KEY = "ana@example.com"
N, SMS, MAIL = "_newsletterSubscriptionStatus", "_smsSubscriptionStatus", "_emailStatus"
UNSUBSCRIBED, NONE, SUBSCRIBED = "unsubscribed", "none", "subscribed"
GET = "GET"
Request = str | dict[str, Any]
"""``GET``, or the body of a PATCH."""


@dataclass
class Night:
    """One run.

    :param row: the values of Ana's row; ``None`` stands for null. Only its columns are mapped.
    :param requests: what the server gets, in this order.
    :param held: what somebody else sets at Connectif before it; ``None``: the contact is deleted.
    :param counts: of the summary; a count that is not there is 0.
    :param server: settings of the server for this night.
    """

    row: dict[str, Any]
    requests: list[Request]
    held: dict[str, Any] | None = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    server: dict[str, Any] = field(default_factory=dict)


def name(value: str = "Ana", **consents: Any) -> dict[str, Any]:
    """A row, or a body, with a property that is no consent."""
    return {"_name": value, **consents}


def news(value: str | None) -> dict[str, Any]:
    return {N: value}


def is_known_as(value: str) -> Night:
    """Ana is new and is delivered with this newsletter."""
    if value == UNSUBSCRIBED:
        return Night(name(**news(value)), [name(**news(value))])
    return Night(name(**news(value)), [name(), *([] if value == NONE else [news(value)])])


def a_rise_is_kept(row: dict[str, Any]) -> list[Night]:
    """The contact has been kept: the source rises and the contact is looked up once."""
    return [Night(row, [GET], counts={"consent_kept": 1}), Night(row, [], counts={"unchanged": 1})]


def fault(status: int, method: str = "PATCH") -> dict[str, Any]:
    return {"faults": [{"method": method, "status": status}]}


KEPT, NOTHING_KEPT = {"consent_kept": 1}, {"consent_kept": 0}
HELD_LOW = {"_name": "Eva", N: UNSUBSCRIBED}
SUBSCRIBER, WITHDRAWN, UNDECIDED = (name(**news(value)) for value in (SUBSCRIBED, UNSUBSCRIBED, NONE))
LOST: dict[str, Any] = {"faults": [{"drop": "after"}]}
NO_BODY, NO_SCOPE = {"shows": "nothing"}, {"may_read_contacts": False}
REFRESH, NO_JOURNAL = {"full_refresh": True}, {"journal_conn_id": None}
NEVER, ALWAYS = {"resubscribe": "never"}, {"resubscribe": "always"}
ON_CREATE, IF_EMPTY = {"write_modes": {"tier": "on_create"}}, {"write_modes": {"tier": "if_empty"}}
BAD, UNKNOWN = {"_points": "many"}, {"shoe_size": 38}

CASES: dict[str, list[Night]] = {
    # The value that is acknowledged.
    "acknowledged: not at a full refresh": [is_known_as(SUBSCRIBED), Night(SUBSCRIBER, [name()], options=REFRESH)],
    "acknowledged: not when it is unsubscribed at connectif": [
        is_known_as(SUBSCRIBED),
        Night(name("Bea", **news(SUBSCRIBED)), [name("Bea")], news(UNSUBSCRIBED)),
        Night(name("Bea", **news(SUBSCRIBED)), [name("Bea")], options=REFRESH),
    ],
    "acknowledged: not when the mapping loses and gains it": [
        is_known_as(SUBSCRIBED),
        Night(name(), []),
        Night(SUBSCRIBER, []),
    ],
    "acknowledged lowest: not again": [
        is_known_as(UNSUBSCRIBED),
        Night(WITHDRAWN, [], news(SUBSCRIBED)),
        Night(WITHDRAWN, [name()], options=REFRESH),
    ],
    # The lowest rank.
    "lowest, new contact": [Night(WITHDRAWN, [WITHDRAWN], counts={"created": 1})],
    "lowest, first load of a contact that is there": [Night(WITHDRAWN, [WITHDRAWN], {N: SUBSCRIBED})],
    "lowest, acknowledged higher: one look-up": [
        is_known_as(SUBSCRIBED),
        Night(WITHDRAWN, [GET, news(UNSUBSCRIBED)]),
        Night(SUBSCRIBER, [news(SUBSCRIBED)], counts=NOTHING_KEPT),
    ],
    "lowest, with other changes": [
        is_known_as(NONE),
        Night(name("Bea", **news(UNSUBSCRIBED)), [GET, name("Bea", **news(UNSUBSCRIBED))]),
    ],
    "lowest, unsubscribed at connectif before": [
        is_known_as(SUBSCRIBED),
        Night(WITHDRAWN, [GET, news(UNSUBSCRIBED)], news(UNSUBSCRIBED)),
        *a_rise_is_kept(SUBSCRIBER),
    ],
    "lowest, lowered at connectif before": [
        is_known_as(SUBSCRIBED),
        Night(WITHDRAWN, [GET, news(UNSUBSCRIBED)], news(NONE)),
        *a_rise_is_kept(SUBSCRIBER),
    ],
    "lowest, delivered without it before: one look-up": [
        Night(name(), [name()]),
        Night(WITHDRAWN, [GET, news(UNSUBSCRIBED)], news(SUBSCRIBED)),
        Night(SUBSCRIBER, [news(SUBSCRIBED)], counts=NOTHING_KEPT),
    ],
    "lowest, delivered without it before, unsubscribed at connectif": [
        Night(name(), [name()]),
        Night(WITHDRAWN, [GET, news(UNSUBSCRIBED)], news(UNSUBSCRIBED)),
        *a_rise_is_kept(SUBSCRIBER),
    ],
    **{
        f"lowest, the look-up fails: {status}": [
            is_known_as(SUBSCRIBED),
            Night(WITHDRAWN, [GET, news(UNSUBSCRIBED)], counts={"updated": 1}, server=fault(status, GET)),
            *a_rise_is_kept(SUBSCRIBER),
        ]
        for status in (403, 405, 500)
    },
    "lowest, the look-up gets no response": [
        is_known_as(SUBSCRIBED),
        Night(WITHDRAWN, [GET, news(UNSUBSCRIBED)], server={"faults": [{"method": GET, "drop": "before"}]}),
        *a_rise_is_kept(SUBSCRIBER),
    ],
    "lowest, the look-up shows less and the response is lost": [
        is_known_as(NONE),
        Night(WITHDRAWN, [GET, news(UNSUBSCRIBED)], news(UNSUBSCRIBED), {"undelivered": 1}, server=LOST),
        *a_rise_is_kept(SUBSCRIBER),
    ],
    "lowest, kept before: no look-up": [
        Night(SUBSCRIBER, [name()], HELD_LOW, KEPT),
        Night(WITHDRAWN, [news(UNSUBSCRIBED)]),
        *a_rise_is_kept(SUBSCRIBER),
    ],
    # The source's own rise.
    "own rise": [is_known_as(NONE), Night(SUBSCRIBER, [news(SUBSCRIBED)], counts=NOTHING_KEPT)],
    "own rise, with other changes": [
        is_known_as(UNSUBSCRIBED),
        Night(name("Bea", **news(SUBSCRIBED)), [name("Bea", **news(SUBSCRIBED))]),
    ],
    "own rise, never": [
        is_known_as(NONE),
        Night(SUBSCRIBER, [GET], news(NONE), KEPT, NEVER),
        Night(SUBSCRIBER, [], options=NEVER),
    ],
    "own rise of one that was kept": [Night(UNDECIDED, [name()], HELD_LOW, KEPT), *a_rise_is_kept(SUBSCRIBER)],
    "own rise after a response that showed less": [
        is_known_as(NONE),
        Night(name("Bea", **news(NONE)), [name("Bea")], news(UNSUBSCRIBED)),
        *a_rise_is_kept(name("Bea", **news(SUBSCRIBED))),
    ],
    "own rise that is withheld while the rest is rejected": [
        is_known_as(NONE),
        Night(name("Bea", **news(NONE)), [name("Bea")], news(UNSUBSCRIBED)),
        Night(name("Cid", **news(SUBSCRIBED)), [name("Cid")], counts={"rejected": 1}, server=fault(422)),
        Night(name("Cid", **news(SUBSCRIBED)), [], counts={"held": 1}),
        Night(name("Dan", **news(SUBSCRIBED)), [name("Dan")], counts={"updated": 1}),
        Night(name("Dan", **news(SUBSCRIBED)), []),
    ],
    "own rise after a response that showed less, of a property that was not mapped": [
        is_known_as(NONE),
        Night(name("Bea"), [name("Bea")], news(UNSUBSCRIBED)),
        *a_rise_is_kept(name("Bea", **news(SUBSCRIBED))),
    ],
    "own rise beside a lowest whose look-up shows less": [
        Night(name(**news(NONE), **{SMS: SUBSCRIBED}), [name(), {SMS: SUBSCRIBED}]),
        Night(name(**news(SUBSCRIBED), **{SMS: UNSUBSCRIBED}), [GET, {SMS: UNSUBSCRIBED}], news(UNSUBSCRIBED), KEPT),
        Night(name(**news(SUBSCRIBED), **{SMS: UNSUBSCRIBED}), []),
    ],
    "own rise of one that was kept before it was deleted": [
        Night(UNDECIDED, [name()], HELD_LOW, KEPT),
        Night(name("Bea", **news(UNSUBSCRIBED)), [name("Bea", **news(UNSUBSCRIBED))], None, {"recreated": 1}),
        *a_rise_is_kept(name("Bea", **news(SUBSCRIBED))),
    ],
    # What a response decides.
    "new contact: a second patch": [is_known_as(SUBSCRIBED), Night(SUBSCRIBER, [])],
    "new contact, no body: a second patch": [Night(SUBSCRIBER, [name(), news(SUBSCRIBED)], server=NO_BODY)],
    "new contact, which connectif fills: a second patch": [
        Night(
            name(**news(SUBSCRIBED), **{MAIL: "paused"}),
            [name(), news(SUBSCRIBED) | {MAIL: "paused"}],
            counts=NOTHING_KEPT,
            server={"created_with": {N: NONE, MAIL: "active"}},
        ),
        Night(name(**news(SUBSCRIBED), **{MAIL: "paused"}), []),
    ],
    "new contact, `none`: no second patch": [is_known_as(NONE), Night(UNDECIDED, [])],
    "deleted at connectif: a consent without a column is kept, also when the contact is created twice": [
        is_known_as(SUBSCRIBED),
        Night(name("Bea"), [name("Bea")], None, KEPT),
        Night(name("Cea"), [name("Cea")], None),
        Night(name("Cea", **news(UNSUBSCRIBED)), [news(UNSUBSCRIBED)]),
        *a_rise_is_kept(name("Cea", **news(SUBSCRIBED))),
    ],
    "deleted at connectif: the rest without raised consent": [
        Night(name(tier="gold", **news(SUBSCRIBED)), [name(tier="gold"), news(SUBSCRIBED)]),
        Night(
            name("Bea", tier="gold", **news(SUBSCRIBED)),
            [name("Bea"), {"tier": "gold"}],
            None,
            {"created": 1, "recreated": 1, "consent_kept": 1},
        ),
        Night(name("Bea", tier="gold", **news(SUBSCRIBED)), []),
    ],
    "deleted at connectif: the rest with lowered consent": [
        is_known_as(UNSUBSCRIBED),
        Night(name("Bea", **news(UNSUBSCRIBED)), [name("Bea"), news(UNSUBSCRIBED)], None, {"recreated": 1}),
    ],
    "the same": [Night(SUBSCRIBER, [name()], news(SUBSCRIBED), NOTHING_KEPT), Night(SUBSCRIBER, [])],
    "nothing": [Night(SUBSCRIBER, [name(), news(SUBSCRIBED)], {"_name": "Eva"}, NOTHING_KEPT), Night(SUBSCRIBER, [])],
    "nothing, `none`": [Night(UNDECIDED, [name()], {"_name": "Eva"}, NOTHING_KEPT), Night(UNDECIDED, [])],
    "higher": [
        Night(name(**{MAIL: "paused"}), [name(), {MAIL: "paused"}], {MAIL: "active"}, NOTHING_KEPT),
        Night(name(**{MAIL: "paused"}), []),
    ],
    "`none` over `subscribed`, never higher before": [
        Night(UNDECIDED, [name()], news(SUBSCRIBED), NOTHING_KEPT),
        Night(UNDECIDED, []),
    ],
    "`none` over `subscribed`, which fell": [
        is_known_as(SUBSCRIBED),
        Night(UNDECIDED, [GET, news(NONE)], counts=NOTHING_KEPT),
        Night(UNDECIDED, []),
    ],
    "lower": [
        Night(SUBSCRIBER, [name()], HELD_LOW, KEPT),
        Night(SUBSCRIBER, [], counts={"unchanged": 1}),
        Night(name("Bea", **news(SUBSCRIBED)), [name("Bea")], counts=NOTHING_KEPT),
        Night(name("Bea", **news(SUBSCRIBED)), [name("Bea")], options=REFRESH, counts=NOTHING_KEPT),
    ],
    "lower, always": [
        Night(SUBSCRIBER, [name(), news(SUBSCRIBED)], HELD_LOW, NOTHING_KEPT, ALWAYS),
        Night(SUBSCRIBER, [], options=ALWAYS),
    ],
    "lower, never": [Night(SUBSCRIBER, [name()], HELD_LOW, KEPT, NEVER)],
    "a value that is not listed": [
        Night(SUBSCRIBER, [name()], news("cleaned"), KEPT),
        Night(SUBSCRIBER, [], counts={"unchanged": 1}),
    ],
    "two properties, decided one by one": [
        Night(
            name(**news(SUBSCRIBED), **{MAIL: "active", SMS: UNSUBSCRIBED}),
            [name(**{SMS: UNSUBSCRIBED}), {MAIL: "active"}],
            HELD_LOW,
            KEPT,
        ),
    ],
    # A response without a contact.
    "no contact in the response": [
        Night(SUBSCRIBER, [name(), GET, news(SUBSCRIBED)], {"_name": "Eva"}, NOTHING_KEPT, server=NO_BODY),
        Night(SUBSCRIBER, []),
    ],
    "no contact in the response, lower": [Night(SUBSCRIBER, [name(), GET], HELD_LOW, KEPT, server=NO_BODY)],
    "no contact in the response, may not be read": [
        Night(SUBSCRIBER, [name(), GET], HELD_LOW, KEPT, server=NO_BODY | NO_SCOPE),
        Night(SUBSCRIBER, []),
    ],
    "no contact in the response, another 4xx": [
        Night(SUBSCRIBER, [name(), GET], HELD_LOW, KEPT, server=NO_BODY | fault(405, GET)),
    ],
    "no contact in the response, 5xx": [
        Night(SUBSCRIBER, [name(), GET], {"_name": "Eva"}, {"undelivered": 1}, server=NO_BODY | fault(503, GET)),
        Night(SUBSCRIBER, [GET, news(SUBSCRIBED)]),
    ],
    # Nothing but what has to be decided.
    "only consent, new contact": [Night(news(SUBSCRIBED), [GET, news(SUBSCRIBED)], counts={"created": 1})],
    "only consent, lower": [Night(news(SUBSCRIBED), [GET], HELD_LOW, KEPT), Night(news(SUBSCRIBED), [])],
    "only consent, the same": [Night(news(SUBSCRIBED), [GET], news(SUBSCRIBED), NOTHING_KEPT)],
    "only consent, gained by the mapping": [
        Night(name(), [name()]),
        Night(SUBSCRIBER, [GET, news(SUBSCRIBED)]),
        Night(SUBSCRIBER, []),
    ],
    # Rows that are refused.
    "invalid, the lowest": [
        Night(name(**BAD, **news(UNSUBSCRIBED)), [news(UNSUBSCRIBED)], counts={"invalid": 1, "created": 0}),
        Night(name(**BAD, **news(UNSUBSCRIBED)), [], counts={"invalid": 1}),
    ],
    "invalid, the lowest, acknowledged higher": [
        is_known_as(SUBSCRIBED),
        Night(name(**BAD, **news(UNSUBSCRIBED)), [GET, news(UNSUBSCRIBED)], counts={"invalid": 1}),
    ],
    "invalid, not the lowest": [Night(name(**BAD, **news(SUBSCRIBED)), [], counts={"invalid": 1})],
    "invalid, one of two is the lowest": [
        Night(name(**BAD, **news(UNSUBSCRIBED), **{MAIL: "active"}), [news(UNSUBSCRIBED)], counts={"invalid": 1}),
    ],
    "invalid, and the lowest is undelivered": [
        Night(
            name(**BAD, **news(UNSUBSCRIBED)),
            [news(UNSUBSCRIBED)],
            counts={"invalid": 0, "undelivered": 1},
            server=fault(503),
        ),
        Night(name(**BAD, **news(UNSUBSCRIBED)), [news(UNSUBSCRIBED)], counts={"invalid": 1}),
    ],
    "rejected, the lowest": [
        Night(
            name(**UNKNOWN, **news(UNSUBSCRIBED)),
            [name(**UNKNOWN, **news(UNSUBSCRIBED)), news(UNSUBSCRIBED)],
            counts={"rejected": 1, "created": 0},
        ),
        Night(name(**UNKNOWN, **news(UNSUBSCRIBED)), [], counts={"held": 1}),
    ],
    "rejected, and rejected alone": [
        Night(WITHDRAWN, [WITHDRAWN, news(UNSUBSCRIBED)], counts={"rejected": 1}, server=fault(422)),
        Night(WITHDRAWN, [], counts={"held": 1}),
        Night(name("Bea", **news(UNSUBSCRIBED)), [name("Bea", **news(UNSUBSCRIBED))], counts={"created": 1}),
    ],
    # Without a journal.
    "no journal: new contact": [Night(SUBSCRIBER, [name(), news(SUBSCRIBED)], options=NO_JOURNAL)],
    "no journal: nothing is shown": [
        Night(SUBSCRIBER, [name(), news(SUBSCRIBED)], {"_name": "Eva"}, options=NO_JOURNAL)
    ],
    "no journal: lower": [Night(SUBSCRIBER, [name()], HELD_LOW, KEPT, NO_JOURNAL)],
    "no journal: the lowest": [Night(WITHDRAWN, [WITHDRAWN], news(SUBSCRIBED), options=NO_JOURNAL)],
    # Nulls, and the write modes of other properties.
    "a consent is never cleared": [
        Night(name(interests=["hats"], **news(SUBSCRIBED)), [name(interests=["hats"]), news(SUBSCRIBED)]),
        Night(name(interests=[], **news(None)), [{"interests": []}], options={"nulls": "clear"}),
    ],
    "on_create: new contact": [
        Night(name(tier="web"), [name(), {"tier": "web"}], options=ON_CREATE),
        Night(name("Bea", tier="app"), [name("Bea")], options=ON_CREATE),
    ],
    "on_create: contact that is there": [
        Night(name(tier="web"), [name()], {"_name": "Eva"}, options=ON_CREATE),
        Night(name(tier="app"), [], options=ON_CREATE),
    ],
    "on_create: deleted at connectif": [
        Night(name(tier="web"), [name(), {"tier": "web"}], options=ON_CREATE),
        Night(name("Bea", tier="web"), [name("Bea"), {"tier": "web"}], None, {"recreated": 1}, ON_CREATE),
    ],
    "if_empty: shows none": [
        Night(name(tier="web"), [name(), {"tier": "web"}], {"_name": "Eva"}, options=IF_EMPTY),
        Night(name(tier="web"), [], options=IF_EMPTY),
    ],
    "if_empty: shows another": [
        Night(name(tier="web"), [name()], {"tier": "app"}, options=IF_EMPTY),
        Night(name(tier="web"), [], options=IF_EMPTY),
    ],
    "if_empty: only that": [
        Night({"tier": "web"}, [GET], {"tier": "app"}, options=IF_EMPTY),
    ],
}
