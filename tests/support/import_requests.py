"""Requests about imports made by hand, without the package's client: what the tests of the servers send."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import requests

from tests.support.strict_server import until

OPTIONS = {"type": "contacts", "delimiter": ",", "overrideExisting": "true", "updateOnlyEmptyFields": "false"}


class ImportRequests:
    """Requests to one account.

    :param url: of the server. :param key: ``id:secret``.
    """

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        self.session = requests.Session()
        self.session.trust_env = False
        self.key = {"Authorization": f"apiKey {key}"}

    def upload(self, content: str | bytes, kind: str = "text/csv", **options: Any) -> requests.Response:
        fields = {name: value for name, value in (OPTIONS | options).items() if value is not None}
        file = content if isinstance(content, bytes) else content.encode()
        files = {"file": ("contacts.csv", file, kind)}
        return self.session.post(f"{self.url}/imports/", data=fields, files=files, headers=self.key, timeout=10)

    def ask(self, import_id: str = "", method: str = "GET") -> requests.Response:
        return self.session.request(method, f"{self.url}/imports/{import_id}", headers=self.key, timeout=10)

    def state(self, import_id: str) -> dict[str, Any]:
        return self.ask(import_id).json()

    def end(self, import_id: str) -> dict[str, Any]:
        return until(lambda: (state := self.state(import_id))["status"] not in ("queued", "inProgress") and state)

    def imported(self, content: str | bytes, **options: Any) -> dict[str, Any]:
        response = self.upload(content, **options)
        assert response.status_code == 201, response.text
        return self.end(response.json()["id"])

    def report(self, state: Mapping[str, Any]) -> requests.Response:
        return self.session.get(state["errorReportFileUrl"], timeout=10)
