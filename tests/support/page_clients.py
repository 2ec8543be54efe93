"""Clients of the Connectif page, and what a document of it says."""

from __future__ import annotations

from collections.abc import Collection
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import Any

import pytest

RUN = {"dag_id": "nightly", "run_id": "scheduled__1", "task_id": "contacts", "map_index": "-1"}
"""The names of a run's page."""


class AuthManager:
    """Knows who may read which DAG, as Airflow's auth managers do."""

    def __init__(self, readable: set[str], deleted: set[str]) -> None:
        self._readable = readable
        self._deleted = deleted

    async def get_user_from_token(self, token: str) -> Any:
        """The user of a token."""
        return SimpleNamespace(name=token)

    def is_authorized_dag(self, *, method: str, user: Any, access_entity: Any = None, details: Any = None) -> bool:
        """Whether the user may; without a DAG's id: whether they may read some DAG."""
        is_readable = details.id in self._readable if details is not None and details.id else bool(self._readable)
        return method == "GET" and is_readable

    def get_authorized_dag_ids(self, *, user: Any, method: str) -> set[str]:
        """All DAGs that the user may read, but for those that were deleted."""
        return self._readable - self._deleted


def page_client(
    monkeypatch: pytest.MonkeyPatch, *readable: str, token: str | None = "ana", deleted: Collection[str] = ()
) -> Any:
    """A client of the page for a user who may read some DAGs. Needs Airflow 3.1 or later.

    :param readable: the ids of these DAGs.
    :param deleted: those of them that Airflow does not know any more.
    :param token: of the user; ``None``: nobody has logged in.
    """
    from airflow.api_fastapi.core_api import security
    from fastapi.testclient import TestClient

    from airflow_provider_connectif.web import access
    from airflow_provider_connectif.web.app import make_app

    manager = AuthManager(set(readable), set(deleted))
    for module in (security, access):
        monkeypatch.setattr(module, "get_auth_manager", lambda: manager)
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return TestClient(make_app(), headers=headers)


class Page(HTMLParser):
    """The elements, attributes and scripts of a document."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.attributes: set[str] = set()
        self.scripts: list[str | None] = []
        self.words: list[str] = []
        self.links: dict[str, str] = {}
        self._link: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.elements.add(tag)
        self.attributes |= {name for name, _ in attrs}
        values = dict(attrs)
        if tag == "script":
            self.scripts.append(values.get("src"))
        if tag == "a":
            self._link = values.get("href")

    def handle_data(self, data: str) -> None:
        """Note a text."""
        self.words.append(data)
        if self._link is not None:
            self.links[data], self._link = self._link, None


def text_of(document: str) -> str:
    """The text of a document, without its elements."""
    page = Page()
    page.feed(document)
    return " ".join(" ".join(page.words).split()).replace(" ,", ",")


def links_of(document: str) -> dict[str, str]:
    """The addresses of a document's links, by their text."""
    page = Page()
    page.feed(document)
    return page.links
