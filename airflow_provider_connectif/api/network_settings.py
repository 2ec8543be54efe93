"""Finds the CA bundle and the proxy to use, and checks them before the first request: no retry can fix a fault."""

from __future__ import annotations

import importlib.util
import os
import ssl
from typing import NamedTuple
from urllib.parse import urlsplit

import requests
import urllib3
from requests.utils import prepend_scheme_if_needed, select_proxy

from airflow_provider_connectif.api.credentials import is_loopback
from airflow_provider_connectif.api.errors import ConnectifConfigError

_BUNDLE_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")  # in the order in which requests reads them
_PROXY_SCHEMES = ("http", "https")
_SOCKS_SCHEMES = ("socks4", "socks4a", "socks5", "socks5h")


class NetworkSettings(NamedTuple):
    """The settings for reaching a host.

    ``verify``: ``True``, ``False``, or the path of a CA bundle. ``proxies``: proxies by scheme, in the form of
    ``requests``. ``proxy``: the address of the proxy that is used; ``None``: no proxy is used.
    """

    verify: bool | str
    proxies: dict[str, str]
    proxy: str | None


def network_settings(url: str, verify: bool | str) -> NetworkSettings:
    """Return the settings for one address, from the connection and the environment.

    :param url: the address that requests go to.
    :param verify: the connection's setting: ``True``, ``False``, or the path of a CA bundle.
    :raises ConnectifConfigError: a bundle does not exist or has no certificate, or a proxy cannot be used. The error's
        text does not have the proxy's address, which may contain a password.
    """
    is_local = is_loopback(urlsplit(url).hostname or "")
    settings = requests.Session().merge_environment_settings(url, {}, None, verify, None)
    found: bool | str = settings["verify"] if settings["verify"] is not None else True
    # Plain http needs no certificate, but a path that the connection names must exist.
    if isinstance(found, str) and (isinstance(verify, str) or url.startswith("https:")):
        source = "the Connectif connection's extra 'verify'" if isinstance(verify, str) else _bundle_variable()
        _check_bundle(found, source)
    # A proxy of the environment must not carry requests for this machine, with the API key, to another machine.
    proxies = {} if is_local else dict(settings["proxies"])
    proxy = select_proxy(url, proxies) if proxies else None
    if proxy is not None:
        _check_proxy(proxy, _proxy_variable(url))
    return NetworkSettings(found, proxies, proxy)


def _check_bundle(path: str, named_by: str) -> None:
    if os.path.isdir(path):
        return
    fault = ""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError:  # an OSError, too
        fault = "is not a CA bundle: it needs certificates in PEM form"
    except (OSError, ValueError) as error:
        fault = f"cannot be read: {getattr(error, 'strerror', None) or 'not a path'}"
    if fault:
        raise ConnectifConfigError(f"{named_by} names {path!r}, which {fault}")


def _check_proxy(proxy: str, named_by: str) -> None:
    fault = ""
    try:
        # The function of requests has no types.
        parts = urllib3.util.parse_url(prepend_scheme_if_needed(proxy.strip(), "http"))  # type: ignore[no-untyped-call]
    except (ValueError, TypeError, urllib3.exceptions.LocationParseError):  # TypeError: a user name without a host
        fault = "is not a valid address"
    else:
        if parts.scheme not in (*_PROXY_SCHEMES, *_SOCKS_SCHEMES):
            fault = f"has the scheme {parts.scheme!r}: http, https or socks5 is needed"
            if "://" not in proxy:  # "proxy:8080": requests reads a host without a dot as the scheme
                fault = "has no scheme: write http:// before the host"
        elif not parts.host:
            fault = "has no host"
        elif parts.scheme in _SOCKS_SCHEMES and importlib.util.find_spec("socks") is None:
            fault = "is a SOCKS proxy, which needs the package PySocks (pip install 'requests[socks]')"
    if fault:
        raise ConnectifConfigError(f"the proxy in {named_by} {fault}")


def _bundle_variable() -> str:
    return next((name for name in _BUNDLE_VARIABLES if os.environ.get(name)), "the environment")


def _proxy_variable(url: str) -> str:
    names = (f"{urlsplit(url).scheme}_proxy", "all_proxy")
    spelled = [spelling for name in names for spelling in (name, name.upper())]
    return next((name for name in spelled if os.environ.get(name)), "the environment")
