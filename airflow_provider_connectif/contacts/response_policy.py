"""What to do with each answer: the one table that decides."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from airflow_provider_connectif.api.errors import ConnectifHttpError, NoAnswerError


class Action(StrEnum):
    """What an answer leads to."""

    ACCEPT = "accept"
    """The contact is delivered."""
    SKIP = "skip"
    """The row is left out; not a failure."""
    REJECT = "reject"
    """The row is refused; counts against the failure budget."""
    RETRY = "retry"
    """The row is sent again, after a growing delay; when its tries are used up it is undelivered."""
    FAIL = "fail"
    """The task ends at once and is not retried."""
    SKIP_TASK = "skip_task"
    """The task ends at once as skipped."""
    WAIT = "wait"
    """The row is sent again once the window opens; not counted as a try. For 429 only."""


NO_ANSWER = "no_answer"
"""The row of the table for a timeout, a broken connection or an unreadable answer."""

DEFAULT_POLICY: Mapping[str, Action] = MappingProxyType(
    {
        "2xx": Action.ACCEPT,
        "3xx": Action.FAIL,  # redirects are not followed: the connection's host is wrong
        "400": Action.REJECT,
        "E0301": Action.RETRY,  # 400 with the code of a full queue (API guide "Custom error codes")
        "E0401": Action.RETRY,
        "401": Action.FAIL,
        "403": Action.FAIL,
        "413": Action.FAIL,  # 413 and 415 would be a fault of this package, the same for every row
        "415": Action.FAIL,
        "422": Action.REJECT,
        "429": Action.WAIT,
        "4xx": Action.REJECT,
        "5xx": Action.RETRY,
        NO_ANSWER: Action.RETRY,
    }
)
"""Action by status, class of statuses, error code of a 400, or :data:`NO_ANSWER`."""

_NOT_BY_CLASS = frozenset({"401", "403", "429"})
_AUTHORS_ACTIONS = tuple(action.value for action in Action if action is not Action.WAIT)
_CLASSES = ("1xx", "2xx", "3xx", "4xx", "5xx")


class ResponsePolicy:
    """The default table with an author's changes.

    The most specific row decides (error code, status, class), an author's row before a default one. An
    author's class, such as ``4xx``, leaves 401, 403 and 429 alone: they speak of the key and the account and
    not of a row, and must be named to be changed.

    :param on_response: action by status (``422`` or ``"422"``), class (``"5xx"``), error code (``"E0401"``) or
        ``"no_answer"``; actions ``accept``, ``skip``, ``reject``, ``retry``, ``fail``, ``skip_task``.
    :raises ValueError: a key or an action that is none; names every fault.
    """

    def __init__(self, on_response: Mapping[int | str, str] | None = None) -> None:
        if on_response is not None and not isinstance(on_response, Mapping):
            raise ValueError('on_response must be a dict of action by status, such as {422: "skip"}')
        faults = []
        self._own: dict[str, Action] = {}
        for key, action in (on_response or {}).items():
            row = str(key)
            if isinstance(key, bool) or not _is_row(row):
                faults.append(f"{key!r} is no status (422), class ('5xx'), error code ('E0401') or 'no_answer'")
            elif str(getattr(action, "value", action)) not in _AUTHORS_ACTIONS:
                faults.append(f"{action!r} for {key!r} is not one of {', '.join(_AUTHORS_ACTIONS)}")
            else:
                self._own[row] = Action(action)
        if faults:
            raise ValueError("on_response: " + "; ".join(faults))

    def for_status(self, status: int, code: str | None = None) -> Action:
        """The action for an answer.

        :param status: HTTP status.
        :param code: the body's error code, if it has one.
        """
        exact, hundred = str(status), f"{status // 100}xx"
        own_rows = [code, exact] if exact in _NOT_BY_CLASS else [code, exact, hundred]
        for table, rows in ((self._own, own_rows), (DEFAULT_POLICY, [code, exact, hundred])):
            for row in rows:
                if row is not None and row in table:
                    return table[row]
        return Action.FAIL

    def for_error(self, error: ConnectifHttpError | NoAnswerError) -> Action:
        """The action for an error of the client."""
        if isinstance(error, ConnectifHttpError):
            return self.for_status(error.status, error.code)
        return self._own.get(NO_ANSWER, DEFAULT_POLICY[NO_ANSWER])


def _is_row(row: str) -> bool:
    if row == NO_ANSWER or row in _CLASSES:
        return True
    if row.isascii() and row.isdigit():
        return 100 <= int(row) <= 599
    return len(row) == 5 and row[0] == "E" and row[1:].isascii() and row[1:].isdigit()
