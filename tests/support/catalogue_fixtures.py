"""Fixtures of the tests against :mod:`tests.support.catalogue_server`; for ``pytest_plugins`` of a module."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import pytest

from tests.support.catalogue_server import API_KEY, CatalogueServer
from tests.support.task_logs import unfolded


@pytest.fixture(scope="session")
def _catalogue_process() -> Iterator[CatalogueServer]:
    with CatalogueServer() as server:
        yield server


@pytest.fixture
def account(_catalogue_process: CatalogueServer, connection: Callable[..., None], airflow_db: None) -> CatalogueServer:
    """The server as at first, and ``connectif_default`` to it, without pace."""
    _catalogue_process.reset()
    extra = {"requests_per_minute": 1_000_000, "timeout": 5}
    connection("connectif_default", conn_type="connectif", host=_catalogue_process.url, password=API_KEY, extra=extra)
    return _catalogue_process


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """What was logged so far, unfolded: Airflow 3 writes to standard output itself, 2 through logging."""
    caplog.set_level(logging.INFO)
    return lambda: unfolded("".join((*capfd.readouterr(), caplog.text)))
