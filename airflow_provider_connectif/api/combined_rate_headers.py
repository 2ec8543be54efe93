"""Reads the combined ``RateLimit`` header of the IETF drafts ratelimit-headers, and the lists that it consists of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

_NUMBER = re.compile(r"\d{1,15}(?:\.\d{1,9})?", re.ASCII)
_QUOTED_OR_PLAIN = re.compile(r'"(?:[^"\\]|\\.)*"?|[^",;]+|[,;]')
_DRAFT_7 = frozenset({"limit", "remaining", "reset"})
_MOST_MEMBERS = 20


class CombinedRate(NamedTuple):
    """The parts of the header as text; a part is ``None`` if it is missing or not a number."""

    limit: str | None = None
    remaining: str | None = None
    reset: str | None = None


def read_combined(rate: str | None, policy: str | None) -> CombinedRate:
    """Read ``RateLimit`` in both of its forms; the limit of the second form is in ``RateLimit-Policy``.

    Draft 7 has one policy: ``limit=100, remaining=0, reset=30``. Draft 8 has a list of policies, each with a name and
    parameters: ``"burst";r=3;t=1, "default";r=0;t=30``. Of several policies, the one with the fewest requests left
    counts. If several have none left, the one with the longest reset counts.
    """
    policies: list[tuple[str | None, CombinedRate]] = [
        (None, CombinedRate(told.get("limit"), told.get("remaining"), told.get("reset"))) for told in _draft_7(rate)
    ]
    policies += [
        (member[0], CombinedRate(None, pairs.get("r"), pairs.get("t")))
        for member in members(rate or "")
        if (pairs := dict(map(_pair, member[1:]))).get("r") is not None
    ]
    if not policies:
        return CombinedRate()
    name, tightest = min(policies, key=lambda one: _tightness(one[1]))
    return tightest if name is None else tightest._replace(limit=_quotas(policy).get(_name(name)))


def _draft_7(rate: str | None) -> list[dict[str, str | None]]:
    """Return the parts of a draft 7 header. If it occurs several times, a repeated name begins the next occurrence."""
    found: list[dict[str, str | None]] = []
    for name, value in (_pair(piece) for member in members(rate or "") for piece in member):
        if name not in _DRAFT_7:
            continue
        if not found or name in found[-1]:
            found.append({})
        found[-1][name] = value
    return found


def members(text: str) -> list[list[str]]:
    """Return the members of a header's list, each as its value and parameters; a comma in quotes does not separate."""
    found: list[list[str]] = [[""]]
    for part in _QUOTED_OR_PLAIN.findall(text):
        if part == ",":
            found.append([""])
        elif part == ";":
            found[-1].append("")
        else:
            found[-1][-1] += part
    return [[piece.strip() for piece in member] for member in found[:_MOST_MEMBERS]]


def _tightness(rate: CombinedRate) -> tuple[float, float]:
    # A policy that does not give its remaining requests counts only if no policy gives them.
    remaining = float("inf") if rate.remaining is None else float(rate.remaining)
    reset = float(rate.reset or 0)
    return remaining, (reset if remaining else -reset)


def _quotas(policy: str | None) -> Mapping[str, str]:
    """Return the number of requests that each policy allows in a window, by its name (``"default";q=100;w=60``)."""
    quotas = {}
    for member in members(policy or ""):
        quota = dict(map(_pair, member[1:])).get("q")
        if quota is not None:
            quotas[_name(member[0])] = quota
    return quotas


def _pair(piece: str) -> tuple[str, str | None]:
    """Return a parameter's name and its value; ``None`` if the value is not a number."""
    name, _, value = piece.partition("=")
    value = value.strip().strip('"')
    return name.strip().lower(), value if _NUMBER.fullmatch(value) else None


def _name(text: str) -> str:
    return text.strip('"')
