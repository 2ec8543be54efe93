"""Faults: responses, delays and dropped connections that a test adds before it sends its requests."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from airflow_provider_connectif.sandbox.import_list import FINISHED, IN_PROGRESS, QUEUED, ImportFate

# The server writes the headers that frame the response; a fault with one of them could not be sent.
_FRAMING_HEADERS = frozenset({"content-length", "transfer-encoding", "connection"})
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE = re.compile(r"[\x20-\x7e\t]*")
_BODILESS = frozenset({204, 304})

MAX_DELAY_S = 3600.0


class FaultError(ValueError):
    """The description of a fault is not valid. The message says why."""


@dataclass(frozen=True, slots=True)
class FaultAction:
    """The action of a fault. It replaces the normal response, or delays it.

    First, ``delay_s`` seconds pass. Then, with ``drop``, the connection closes; with ``status``, the response has this
    status, ``body`` and ``headers``; otherwise it is the normal response. With ``apply``, the request takes effect
    before all of that, as if only the response were lost. ``fate``: the fate of the import that the request creates;
    None: the normal one.
    """

    status: int | None = None
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    drop: bool = False
    apply: bool = False
    fate: ImportFate | None = None


@dataclass(slots=True)
class Fault:
    """A fault: an action, the requests that it strikes, and how often.

    A request matches if its method is ``method``, its path template is ``path``, and the pattern ``key`` is found in
    its decoded key; None matches every request. The first ``after`` matching requests get a normal response. After
    that, the fault strikes each matching request with ``probability``, at most ``times`` times (None: no limit).
    ``seen`` and ``struck`` count the requests that matched and that the fault has struck.
    """

    action: FaultAction
    method: str | None = None
    path: str | None = None
    key: re.Pattern[str] | None = None
    times: int | None = None
    after: int = 0
    probability: float = 1.0
    dice: random.Random = field(default_factory=random.Random)
    seen: int = 0
    struck: int = 0

    def strikes(self, method: str, path: str, key: str | None) -> bool:
        """Return whether the fault strikes this request, and count the request."""
        if self.times is not None and self.struck >= self.times:
            return False
        if not self._matches(method, path, key):
            return False
        self.seen += 1
        if self.seen <= self.after or self.dice.random() >= self.probability:
            return False
        self.struck += 1
        return True

    def _matches(self, method: str, path: str, key: str | None) -> bool:
        if self.method not in (None, method) or self.path not in (None, path):
            return False
        return self.key is None or (key is not None and self.key.search(key) is not None)


class FaultList:
    """The faults that a test has added, in the order in which it added them."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Add a fault after the others. A request gets the first fault in this order that strikes it."""
        self._faults.append(fault)

    def clear(self) -> None:
        """Remove all faults."""
        self._faults.clear()

    def action_for(self, method: str, path: str, key: str | None) -> FaultAction | None:
        """Return the action of the first fault that strikes a request; None: the request gets its normal response."""
        for fault in self._faults:
            if fault.strikes(method, path, key):
                return fault.action
        return None

    def as_json(self) -> list[dict[str, int]]:
        """Return ``[{seen, struck}]``, an entry for each fault, in the order in which the faults were added."""
        return [{"seen": fault.seen, "struck": fault.struck} for fault in self._faults]


def parse_fault(description: object) -> Fault:
    """Return the fault that ``{match: {method, path, key}, action: {...}, times, after, probability, seed}`` describes.

    Only ``action`` is required. It needs a ``status``, a ``delay_s``, ``drop`` or ``import``. Raises FaultError.
    """
    fault = _Reader(description, "fault", {"match", "action", "times", "after", "probability", "seed"})
    match = _Reader(fault.values.get("match") or {}, "match", {"method", "path", "key"})
    method = match.text("method")
    probability = fault.number("probability", 0.0, 1.0)
    return Fault(
        action=_parse_action(fault.values.get("action")),
        method=None if method is None else method.upper(),
        path=match.text("path"),
        key=_pattern(match.text("key")),
        times=fault.whole("times"),
        after=fault.whole("after") or 0,
        probability=1.0 if probability is None else probability,
        dice=random.Random(fault.whole("seed")),
    )


def _parse_action(description: object) -> FaultAction:
    reader = _Reader(description, "action", {"status", "body", "headers", "delay_s", "drop", "apply", "import"})
    action = FaultAction(
        status=reader.whole("status"),
        body=reader.text("body") or "",
        headers=_parse_headers(reader.values.get("headers") or {}),
        delay_s=reader.number("delay_s", 0.0, MAX_DELAY_S) or 0.0,
        drop=reader.flag("drop"),
        apply=reader.flag("apply"),
        fate=_parse_fate(reader.values.get("import")),
    )
    if action.drop and action.status is not None:
        raise FaultError("action: drop and status cannot be combined")
    if not action.drop and action.status is None and not action.delay_s and action.fate is None:
        raise FaultError("action: needs a status, a delay_s, drop or import")
    if action.status is not None and not 200 <= action.status <= 599:
        raise FaultError("action: status must be between 200 and 599")
    if action.status is None and (action.body or action.headers):
        raise FaultError("action: body and headers need a status")
    if action.status in _BODILESS and action.body:
        raise FaultError(f"action: a response with {action.status} has no body")
    return action


def _parse_fate(description: object) -> ImportFate | None:
    if description is None:
        return None
    reader = _Reader(description, "import", {"stuck", "end", "after_rows"})
    stuck, end = reader.text("stuck"), reader.text("end")
    if stuck not in (None, QUEUED, IN_PROGRESS):
        raise FaultError(f"import: stuck must be {QUEUED} or {IN_PROGRESS}")
    if stuck is None and end is None:
        raise FaultError("import: needs stuck or end")
    return ImportFate(stuck, FINISHED if end is None else end, reader.whole("after_rows"))


def _parse_headers(headers: object) -> Mapping[str, str]:
    if not isinstance(headers, dict):
        raise FaultError("action: headers must be an object")
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or name.lower() in _FRAMING_HEADERS:
            raise FaultError(f"action: header {name!r} cannot be set")
        if not isinstance(value, str) or not _HEADER_VALUE.fullmatch(value):
            raise FaultError(f"action: header {name} must be printable ASCII text")
    return headers


def _pattern(text: str | None) -> re.Pattern[str] | None:
    if text is None:
        return None
    try:
        return re.compile(text)
    except re.error as error:
        raise FaultError(f"match: key is not a regular expression: {error}") from error


class _Reader:
    """Reads the members of a JSON object and checks their types. A missing member counts as null.

    ``what``: the object's name, for messages. ``known``: the names of members that it may have.
    """

    def __init__(self, values: object, what: str, known: set[str]) -> None:
        if not isinstance(values, dict):
            raise FaultError(f"{what} must be an object")
        if unknown := set(values) - known:
            names, allowed = ", ".join(sorted(unknown)), ", ".join(sorted(known))
            raise FaultError(f"{what}: unknown {names}; known are {allowed}")
        self.values: Mapping[str, object] = values
        self._what = what

    def text(self, name: str) -> str | None:
        value = self.values.get(name)
        if value is None or isinstance(value, str):
            return value
        raise FaultError(f"{self._what}: {name} must be a text")

    def whole(self, name: str) -> int | None:
        value = self.values.get(name)
        if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
            return value
        raise FaultError(f"{self._what}: {name} must be a whole number from 0 up")

    def number(self, name: str, low: float, high: float) -> float | None:
        value = self.values.get(name)
        if value is None:
            return None
        if isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high:
            return value
        raise FaultError(f"{self._what}: {name} must be a number from {low:g} to {high:g}")

    def flag(self, name: str) -> bool:
        value = self.values.get(name)
        if value is None or isinstance(value, bool):
            return bool(value)
        raise FaultError(f"{self._what}: {name} must be true or false")
