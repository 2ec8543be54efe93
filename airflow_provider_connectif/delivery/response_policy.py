"""The response policy: one table with the action for each response."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from airflow_provider_connectif.api.errors import ConnectifHttpError, NoResponseError, NotConnectifError
from airflow_provider_connectif.records.outcomes import STATUSES_ABOUT_THE_ROW


class Action(StrEnum):
    """The action for a response."""

    ACCEPT = "accept"
    """The change is delivered."""
    SKIP = "skip"
    """The row is left out; not a failure."""
    REJECT = "reject"
    """The row is refused; counts against the failure budget."""
    RETRY = "retry"
    """The row is sent again after a growing delay; after its last attempt it is undelivered."""
    FAIL = "fail"
    """The task ends at once and is not retried."""
    SKIP_TASK = "skip_task"
    """The task ends at once as skipped."""
    WAIT = "wait"
    """The row is sent again once the window opens; not counted as an attempt. For 429 only."""
    CONFIRM = "confirm"
    """The row is sent once more on a fresh connection, and then accepted. For a response that shows another key."""


class Rule(NamedTuple):
    """The rule for one kind of response: a row of the table.

    ``is_remembered``: the journal holds the rejected row until it changes; otherwise it is rejected for this run only.
    ``most_in_a_row``: so many responses of this kind in a row fail the task, unless a row of a sample then gets another
    response. ``leaves_doubt``: the request may have been carried out. So it is not sent again if sending twice is not
    harmless, unless a rule in ``on_response`` says so.
    """

    action: Action
    is_remembered: bool = False
    most_in_a_row: int | None = None
    leaves_doubt: bool = False


NO_ANSWER = "no_answer"
"""The row of the table for a timeout, a broken connection or an unreadable response."""
NOT_CONNECTIF = "2xx, not Connectif's"
"""The row for a 2xx whose body is neither a JSON object nor empty, or is an error document."""
ANOTHER_KEY = "2xx, another key"
"""The row for a 2xx that shows a thing with another key than the one that was sent."""
_DOCUMENT = " with the error document"
"""The end of a row's name for responses with Connectif's error document."""

DEFAULT_POLICY: Mapping[str, Rule] = MappingProxyType(
    {
        "2xx": Rule(Action.ACCEPT),
        ANOTHER_KEY: Rule(Action.CONFIRM),
        NOT_CONNECTIF: Rule(Action.RETRY, leaves_doubt=True),
        "3xx": Rule(Action.FAIL),  # redirects are not followed: the connection's host is wrong
        "400" + _DOCUMENT: Rule(Action.REJECT, is_remembered=True),
        "E0301": Rule(Action.RETRY),  # 400 with the code of a full queue (API guide "Custom error codes")
        "E0401": Rule(Action.RETRY),
        "401": Rule(Action.FAIL),
        "403" + _DOCUMENT: Rule(Action.FAIL),
        "403": Rule(Action.REJECT, most_in_a_row=5),  # a firewall that refuses the row's text, or every request
        "408": Rule(Action.RETRY, leaves_doubt=True),
        "413": Rule(Action.REJECT, most_in_a_row=5),
        "415": Rule(Action.FAIL),  # a fault of this package, the same for every row
        "421": Rule(Action.RETRY),
        "422" + _DOCUMENT: Rule(Action.REJECT, is_remembered=True),
        "423": Rule(Action.RETRY),
        "425": Rule(Action.RETRY),
        "429": Rule(Action.WAIT),
        "4xx": Rule(Action.REJECT),
        "5xx": Rule(Action.RETRY, leaves_doubt=True),
        NO_ANSWER: Rule(Action.RETRY, leaves_doubt=True),
    }
)
"""Rules by error code of a 400, status, class of statuses, or kind of body."""

_ABOUT_THE_QUEUE = frozenset({"E0301", "E0401"})  # a 400 with one of these is not about the row
_NOT_BY_CLASS = frozenset({"401", "403", "429"})
_NOT_THE_AUTHORS = frozenset({Action.WAIT, Action.CONFIRM})
_AUTHORS_ACTIONS = tuple(action.value for action in Action if action not in _NOT_THE_AUTHORS)
_CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx")


class ResponsePolicy:
    """The default table with the changes of ``on_response``.

    Rows of ``on_response`` come before default rows. Among both, the most specific row decides: error code, then
    status, then class. A class in ``on_response``, such as ``4xx``, does not include 401, 403 and 429. These are about
    the key and the account, not about a row, so ``on_response`` must name them to change them. A 2xx that cannot be
    Connectif's counts as no response, whatever ``on_response`` says about 2xx.

    :param on_response: action by status (``422`` or ``"422"``), class (``"5xx"``), error code (``"E0401"``) or
        ``"no_answer"``; actions ``accept``, ``skip``, ``reject``, ``retry``, ``fail``, ``skip_task``. Only for requests
        that write changes: definitions and imports keep the default table.
    :raises ValueError: a key or an action is not valid. The text names every fault.
    """

    def __init__(self, on_response: Mapping[int | str, str] | None = None) -> None:
        if on_response is not None and not isinstance(on_response, Mapping):
            raise ValueError('on_response must be a dict of action by status, such as {422: "skip"}')
        faults = []
        self._own: dict[str, Action] = {}
        for key, action in (on_response or {}).items():
            row = str(key)
            if isinstance(key, bool) or not _is_row(row):
                faults.append(f"{key!r} is not a status (422), class ('5xx'), error code ('E0401') or 'no_answer'")
            elif str(getattr(action, "value", action)) not in _AUTHORS_ACTIONS:
                faults.append(f"{action!r} for {key!r} is not one of {', '.join(_AUTHORS_ACTIONS)}")
            else:
                self._own[row] = Action(action)
        if faults:
            raise ValueError("on_response: " + "; ".join(faults))

    def for_status(self, status: int, code: str | None = None, *, is_error_document: bool = False) -> Rule:
        """Return the rule for a response.

        :param status: HTTP status.
        :param code: the body's error code, if it has one.
        :param is_error_document: whether the body is Connectif's error document.
        """
        exact, hundred = str(status), f"{status // 100}xx"
        queue_code = code if status == 400 and code in _ABOUT_THE_QUEUE else None
        is_about_the_row = is_error_document and status in STATUSES_ABOUT_THE_ROW and queue_code is None
        for row in [code, exact] if exact in _NOT_BY_CLASS else [code, exact, hundred]:
            if row is not None and row in self._own:
                return Rule(self._own[row], is_remembered=is_about_the_row)
        with_document = exact + _DOCUMENT if is_error_document else None
        for row in (queue_code, with_document, exact, hundred):
            if row is not None and row in DEFAULT_POLICY:
                return DEFAULT_POLICY[row]
        return Rule(Action.FAIL)

    def for_success(self, status: int, *, shows_another_key: bool) -> Rule:
        """Return the rule for a 2xx of Connectif.

        :param shows_another_key: whether the body has another key than the one that was sent.
        """
        return DEFAULT_POLICY[ANOTHER_KEY] if shows_another_key else self.for_status(status)

    def rule_for_error(self, error: ConnectifHttpError | NoResponseError) -> Rule:
        """Return the rule for an error of the client."""
        if isinstance(error, ConnectifHttpError):
            return self.for_status(error.status, error.code, is_error_document=error.is_error_document)
        if NO_ANSWER in self._own:
            return Rule(self._own[NO_ANSWER])
        return DEFAULT_POLICY[NOT_CONNECTIF if isinstance(error, NotConnectifError) else NO_ANSWER]

    def for_error(self, error: ConnectifHttpError | NoResponseError) -> Action:
        """Return the action for an error of the client."""
        return self.rule_for_error(error).action


def _is_row(row: str) -> bool:
    if row == NO_ANSWER or row in _CLASSES:
        return True
    if row.isascii() and row.isdigit():
        return 100 <= int(row) <= 599
    return len(row) == 5 and row[0] == "E" and row[1:].isascii() and row[1:].isdigit()
