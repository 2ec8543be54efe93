"""A throw-away Airflow home, one migration a session; the same on every supported version of Airflow."""

from __future__ import annotations

import os
import pathlib
import tempfile

import pytest

HOME = pathlib.Path(tempfile.mkdtemp(prefix="connectif-tests-"))
(HOME / "dags").mkdir()
# Before the first import of Airflow, which reads its settings once.
os.environ.update(
    AIRFLOW_HOME=str(HOME),
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__CORE__DAGS_FOLDER=str(HOME / "dags"),
    AIRFLOW__CORE__UNIT_TEST_MODE="False",
    AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{HOME}/airflow.db",
    AIRFLOW__LOGGING__LOGGING_LEVEL="INFO",
    NO_PROXY="127.0.0.1,localhost",
)

pytest_plugins = ["tests.support.airflow_runs", "tests.support.servers"]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long comes first, so that no process is left alone with it in the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
