"""The two servers that tests run against, asked in the same way, so that one suite can say where they differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import pytest
import requests

from airflow_provider_connectif.sandbox import SandboxProcess
from tests.support.import_requests import ImportRequests
from tests.support.strict_server import API_KEY, StrictServer

PEERS = ("sandbox", "strict server")
_UPLOADS = {"method": "POST", "path": "/imports/"}


class Peer:
    """One of the servers, empty and without a limit.

    :param key: of the account, ``id:secret``.
    """

    def __init__(self, url: str, key: str, server: SandboxProcess | StrictServer) -> None:
        self.url = url
        self.key = key
        self.server: Any = server
        self.is_strict = isinstance(server, StrictServer)
        self.session = requests.Session()
        self.session.trust_env = False
        self.imports = ImportRequests(url, key)

    def close(self) -> None:
        """Close the connections."""
        self.session.close()
        self.imports.session.close()

    def ask(self, method: str, path: str, **arguments: Any) -> requests.Response:
        """Send one request with the account's key."""
        headers = {"Authorization": f"apiKey {self.key}", **arguments.pop("headers", {})}
        return self.session.request(method, self.url + path, headers=headers, timeout=10, **arguments)

    def patch(self, body: Any, key: str = "a@example.com", by: str = "") -> requests.Response:
        """PATCH a contact.

        :param by: ``external-id/``; empty: by e-mail.
        """
        return self.ask("PATCH", f"/contacts/{by}{quote(key, safe='')}", json=body)

    def contact(self, key: str = "a@example.com", by: str = "") -> dict[str, Any] | None:
        """The contact as a look-up shows it; ``None``: there is none."""
        response = self.ask("GET", f"/contacts/{by}{quote(key, safe='')}")
        assert response.status_code in (200, 404)
        return response.json() if response.status_code == 200 else None

    def all_of(self, path: str) -> list[dict[str, Any]]:
        """The results of a list, page by page."""
        found = []
        while path:
            page = self.ask("GET", path.removeprefix(self.url)).json()
            found += page["results"]
            path = page["links"].get("next", "")
        return found

    def fields(self) -> dict[str, Mapping[str, Any]]:
        """The first custom field of each type, by type."""
        custom = [field for field in self.all_of("/contact-fields/") if field["custom"] and not field["readOnly"]]
        return {field["type"]: field for field in reversed(custom)}

    def next_import(self, *, end: str | None = None, hold: str | None = None, at_rows: int | None = None) -> None:
        """Let the next upload stay in a state (``hold``), or end in one (``end``), after so many rows."""
        if self.is_strict:
            fault = {"times": 1, "end": end, "hold": hold, "at_rows": at_rows}
            self.server.update(import_faults=[{name: value for name, value in fault.items() if value is not None}])
        else:
            fate = {"end": end, "stuck": hold, "after_rows": at_rows}
            action = {"import": {name: value for name, value in fate.items() if value is not None}}
            self.server.add_fault(action, match=_UPLOADS, times=1)


@pytest.fixture(params=PEERS)
def peer(request: pytest.FixtureRequest) -> Iterator[Peer]:
    """Each server in turn."""
    if request.param == "sandbox":
        sandbox: SandboxProcess = request.getfixturevalue("_unlimited_sandbox")
        sandbox.clear_faults()
        sandbox.reset()
        made = Peer(sandbox.url, sandbox.api_key, sandbox)
    else:
        strict: StrictServer = request.getfixturevalue("_strict_process")
        strict.reset()
        made = Peer(strict.url, API_KEY, strict)
    yield made
    made.close()
    made.server.reset()  # without what the strict server holds against requests that the suite sends on purpose
