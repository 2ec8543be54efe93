"""What a person would do in Airflow's UI, through its REST API."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import requests

from tests.e2e.deployment.processes import DeploymentError

_TIMEOUT_S = 60.0


class Rest:
    """Airflow's REST API, version 1 (Airflow 2) or 2 (Airflow 3).

    :param url: the server's address.
    :param root: the API's root, ``/api/v1`` or ``/api/v2``.
    :param user: a user whose password is the name; ``None``: there are no users.
    """

    def __init__(self, url: str, root: str, user: str | None = None) -> None:
        self.url = url
        self._root = root
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy, no .netrc
        self._user = user
        self._has_signed_in = root == "/api/v1"

    def call(self, method: str, path: str, content: Any = None, also: Sequence[int] = ()) -> Any:
        """Call ``/api/…/path`` and return the body of the response, ``None`` if it is empty.

        :param also: statuses of 400 and above that are no error.
        :raises DeploymentError: the response is an error, or there is none.
        """
        if not self._has_signed_in:
            named = None if self._user is None else {"username": self._user, "password": self._user}
            token = self._answer("GET" if named is None else "POST", "/auth/token", named, ())
            self._session.headers["Authorization"] = f"Bearer {token['access_token']}"
            self._has_signed_in = True
        return self._answer(method, f"{self._root}/{path}", content, also)

    def page(self, method: str, path: str, **options: Any) -> requests.Response:
        """Request any path of the server, and return the response whatever its status.

        :param options: as for ``requests``.
        """
        self.call("GET", "version")  # signs in
        return self._session.request(method, f"{self.url}{path}", timeout=_TIMEOUT_S, **options)

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None) -> str:
        """Start a run by hand; returns its id."""
        content: dict[str, Any] = {"conf": dict(conf or {})}
        if self._root == "/api/v2":
            content["logical_date"] = None
        run: Mapping[str, str] = self.call("POST", f"dags/{dag_id}/dagRuns", content)
        return run["dag_run_id"]

    def clear(self, dag_id: str, run_id: str, task_id: str) -> None:
        """Clear a task of a run, all of its mapped tasks included, whatever its state: it is run again."""
        content = {
            "dry_run": False,
            "dag_run_id": run_id,
            "task_ids": [task_id],
            "only_failed": False,
            "reset_dag_runs": True,
        }
        self.call("POST", f"dags/{dag_id}/clearTaskInstances", content)

    def pause(self, dag_id: str, paused: bool) -> None:
        """Pause a DAG, or let it go on."""
        self.call("PATCH", f"dags/{dag_id}?update_mask=is_paused", {"is_paused": paused})

    def define_connection(self, conn_id: str, fields: Mapping[str, Any]) -> None:
        """Store a connection, in place of one of the same id. ``extra`` may be a dictionary."""
        content = {"connection_id": conn_id, **fields}
        if not isinstance(content.get("extra", ""), str):
            content["extra"] = json.dumps(content["extra"])
        self.call("DELETE", f"connections/{conn_id}", also=(404,))
        self.call("POST", "connections", content)

    def _answer(self, method: str, path: str, content: Any, also: Sequence[int]) -> Any:
        try:
            response = self._session.request(method, f"{self.url}{path}", json=content, timeout=_TIMEOUT_S)
        except requests.RequestException as error:
            raise DeploymentError(f"{method} {path}: {error}") from None
        if response.status_code >= 400 and response.status_code not in also:
            raise DeploymentError(f"{method} {path}: {response.status_code} {response.text[:2000]}")
        return response.json() if response.content else None
