"""The API key and the address that it may be sent to, both checked before any request."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from airflow_provider_connectif.api.errors import ConnectifConfigError

DEFAULT_BASE_URL = "https://api.connectif.cloud"

_LARGEST_PORT = 65_535
_HOST_NAME = re.compile(r"[\w-]{1,63}(\.[\w-]{1,63})*\.?", re.ASCII)


@dataclass(frozen=True)
class ApiKey:
    """A Connectif API key: ``keyId:keySecret``, as copied from Connectif's page.

    The secret is in no ``repr``. Source: API documentation, guide "Authentication".
    """

    key_id: str = field(repr=False)
    secret: str = field(repr=False)

    @classmethod
    def parse(cls, login: str | None, password: str | None) -> ApiKey:
        """Read the key from a connection: from the password, or its id from the login and its secret from the password.

        :raises ConnectifConfigError: there is no key, or it is not valid. The error's text never quotes the key.
        """
        if not password:
            raise ConnectifConfigError("the Connectif connection has no API key: store keyId:keySecret as its password")
        whole = password if not login or password.startswith(f"{login}:") else f"{login}:{password}"
        if any(not "!" <= character <= "~" for character in whole):
            raise ConnectifConfigError(
                "the API key has a space, a line break or another character that no key has: "
                "copy it again, complete and without anything around it"
            )
        key_id, colon, secret = whole.partition(":")
        if not colon:
            raise ConnectifConfigError(
                "the API key has no colon: it is keyId:keySecret, both parts joined, or the id as the "
                "connection's login and the secret as its password"
            )
        if not key_id or not secret:
            raise ConnectifConfigError(
                f"the API key has no {'secret' if key_id else 'id'} beside the colon: its form is keyId:keySecret"
            )
        return cls(key_id, secret)

    @property
    def authorization(self) -> str:
        """The value of the ``Authorization`` header."""
        return f"apiKey {self.key_id}:{self.secret}"


def base_url(host: str | None, port: int | None = None) -> str:
    """Return the address to which paths are appended, without a trailing slash.

    :param host: a host name (``https`` is assumed) or a URL; ``None``: ``https://api.connectif.cloud``.
    :param port: added if ``host`` has none.
    :raises ConnectifConfigError: the address is not valid; it is plain http to another machine, or has another scheme;
        its port is not from 1 to 65535; or it has a user, a query or a fragment.
    """
    text = (host or DEFAULT_BASE_URL).strip()
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
        named_port = parts.port
    except ValueError:
        raise ConnectifConfigError("the Connectif connection's host is not a valid address") from None
    name = parts.hostname
    if parts.scheme not in ("https", "http") or not name:
        raise ConnectifConfigError(
            "the Connectif connection's host must be a host name, or a URL that starts with https://"
        )
    if not _is_host(name):
        raise ConnectifConfigError("the Connectif connection's host is not a valid address")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise ConnectifConfigError(
            "the Connectif connection's host must be an address only: no user, password, query or fragment"
        )
    if parts.scheme == "http" and not is_loopback(name):
        raise ConnectifConfigError(
            f"plain http to {name} would show the API key to the network: use https (http is for this machine only)"
        )
    shown = f"[{name}]" if ":" in name else name
    effective = named_port or port or None
    if effective and not 0 < effective <= _LARGEST_PORT:
        raise ConnectifConfigError("the Connectif connection's port must be a number from 1 to 65535")
    if effective and effective != {"https": 443, "http": 80}[parts.scheme]:
        shown = f"{shown}:{effective}"
    return f"{parts.scheme}://{shown}{parts.path.rstrip('/')}"


def _is_host(name: str) -> bool:
    """Whether a text is an IP address or has the form of a host name; any other would fail at each request."""
    try:
        if ":" in name:
            return bool(ipaddress.ip_address(name))
        return _HOST_NAME.fullmatch(name.encode("idna").decode()) is not None
    except ValueError:  # also an empty or a long part of a name
        return False


def is_loopback(name: str) -> bool:
    """Whether a host name is this machine: ``localhost``, or a loopback address."""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
