"""Requests to a sandbox made by hand, without the package's client."""

from __future__ import annotations

from typing import Any

import requests

from airflow_provider_connectif.sandbox import SandboxProcess


def ask(
    sandbox: SandboxProcess, method: str = "GET", path: str = "/store/", *, key: str | None = None, **arguments: Any
) -> requests.Response:
    """Send one request.

    :param key: ``id:secret``; the sandbox's own by default.
    """
    headers = {"Authorization": f"apiKey {key or sandbox.api_key}", **arguments.pop("headers", {})}
    with requests.Session() as session:
        session.trust_env = False
        return session.request(method, sandbox.url + path, headers=headers, **({"timeout": 10} | arguments))


def contact(sandbox: SandboxProcess, key: str = "a@example.com") -> dict[str, Any]:
    """The contact as the sandbox holds it."""
    return sandbox.contacts()[key]
