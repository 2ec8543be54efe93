"""API keys and their scopes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

SCOPES = frozenset(
    {
        *("contacts:read", "contacts:write", "contacts:delete"),
        *("imports:read", "imports:write", "imports:delete"),
        *("contact-fields:read", "store:read"),
    }
)
"""Every scope of the sandbox, as ``resource:action``. Connectif has the same scopes, but spells them differently."""

_KEY = re.compile(r"(?P<pair>[^\s:=]+:[\x21-\x7e]+?)(?:=(?P<scopes>[a-z-]+:[a-z]+(?:,[a-z-]+:[a-z]+)*))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key and its scopes. ``pair``: ``keyId:keySecret``, as Connectif's user interface shows it."""

    pair: str
    scopes: frozenset[str] = SCOPES

    @classmethod
    def parse(cls, text: str) -> ApiKey:
        """Read ``id:secret`` (every scope) or ``id:secret=contacts:write,store:read``. Raises ValueError."""
        match = _KEY.fullmatch(text)
        if match is None:
            raise ValueError("an API key is written id:secret or id:secret=resource:action,resource:action")
        if match["scopes"] is None:
            return cls(match["pair"])
        scopes = frozenset(match["scopes"].split(","))
        if not scopes <= SCOPES:
            unknown, known = ", ".join(sorted(scopes - SCOPES)), ", ".join(sorted(SCOPES))
            raise ValueError(f"unknown scope {unknown}; the sandbox knows {known}")
        return cls(match["pair"], scopes)


class KeyRing:
    """The keys of the account, found by the value of the Authorization header."""

    def __init__(self, keys: Iterable[ApiKey]) -> None:
        # The scheme is compared in the documented spelling; it is not known whether the service ignores its case.
        self._scopes = {f"apiKey {key.pair}".encode("ascii"): key.scopes for key in keys}

    def scopes_of(self, authorization: bytes | None) -> frozenset[str] | None:
        """Return the scopes of the key in a header value; None: there is no such key (401)."""
        return self._scopes.get(authorization) if authorization is not None else None
