"""Fixtures for tests against an account with 150 fields of every type.

What the definitions say is checked against every value that arrives. Their pages are linked in every way that the
resource "ContactFieldList" leaves open, and in some that it does not.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.catalogue import catalogue
from tests.support.scripted_server import ScriptedServer, serving
from tests.support.strict_server import API_KEY, StrictServer
from tests.support.task_logs import unfolded

LINKS = {
    "absolute": "{url}/contact-fields/?page={n}",
    "from the root": "/contact-fields/?page={n}",
    "of the parent": "../contact-fields/?page={n}",
    "query only": "?page={n}",
    "without the slash": "/contact-fields?cursor=a%2Fb%3D%3D&page={n}",
    "shouting": "{URL}/contact-fields/?page={n}#next",
}
TRAPS = {
    "a loop": "/contact-fields/?page=2",
    "another host": "http://{foreign}/contact-fields/?page=3",
    "another host without a scheme": "//{foreign}/contact-fields/?page=3",
    "another name of the host": "http://localhost:{port}/contact-fields/?page=3",
    "a host in front of an @": "http://127.0.0.1:{port}@{foreign}/contact-fields/?page=3",
    "no link but a number": 3,
    "no end": "/contact-fields/?page=2&again={served}",
}
"""What ``links.next`` of the second page may be."""
PAGE_SIZES = (13, 1, 0, 29)


class CatalogueAccount:
    """A strict server with the fields of :func:`tests.support.catalogue.catalogue`.

    :param foreign: a server that nobody may follow a link to.
    """

    def __init__(self, server: StrictServer, foreign: ScriptedServer) -> None:
        self.url = server.url
        self._server = server
        self._foreign = foreign

    def reset(self, *, add: list[dict[str, Any]] | None = None, trap: str | None = None, **settings: Any) -> None:
        """Start with an empty account.

        :param add: definitions of more fields.
        :param trap: one of :data:`TRAPS`.
        :param settings: of the strict server.
        """
        link = None if trap is None else TRAPS[trap]
        if isinstance(link, str):
            foreign, port = self._foreign.url.partition("//")[2], self.url.rpartition(":")[2]
            link = link.format(foreign=foreign, port=port, served="{served}")
        self._foreign.seen.clear()
        of_a_catalogue = {"fields": [*catalogue(), *(add or ())], "fields_a_page": PAGE_SIZES}
        self._server.reset(**(of_a_catalogue | {"fields_second_link": link} | settings))

    def check(self) -> None:
        """Fail on what no client may send."""
        self._server.check()

    def report(self) -> dict[str, Any]:
        """What has arrived.

        ``pages``: the targets of requests for fields. ``patches``: how many. ``contacts``: properties by key.
        ``refused``: requests whose values the account does not take. ``foreign``: requests to the other server.
        ``statuses``: how many responses had which.
        """
        log = self._server.log
        return {
            "pages": [entry["target"] for entry in log if entry["target"].startswith("/contact-fields")],
            "patches": sum(entry["method"] == "PATCH" for entry in log),
            "contacts": self._server.contacts,
            "refused": [entry for entry in log if entry["status"] in (400, 422)],
            "foreign": len(self._foreign.seen),
            "statuses": Counter(entry["status"] for entry in log),
        }


@pytest.fixture(scope="session")
def _catalogue_account() -> Iterator[CatalogueAccount]:
    with StrictServer() as server, serving(lambda exchange: exchange.reply(200, {})) as foreign:
        yield CatalogueAccount(server, foreign)


@pytest.fixture
def account(
    _catalogue_account: CatalogueAccount, connection: Callable[..., None], airflow_db: None
) -> Iterator[CatalogueAccount]:
    """The account, empty, and ``connectif_default`` to it, without pace."""
    _catalogue_account.reset()
    extra = {"requests_per_minute": 1_000_000, "timeout": 5}
    connection("connectif_default", conn_type="connectif", host=_catalogue_account.url, password=API_KEY, extra=extra)
    yield _catalogue_account
    _catalogue_account.check()


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """What was logged so far, unfolded: Airflow 3 writes to standard output itself, 2 through logging."""
    caplog.set_level(logging.INFO)
    return lambda: unfolded("".join((*capfd.readouterr(), caplog.text)))
