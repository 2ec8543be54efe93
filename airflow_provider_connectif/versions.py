"""Functions that return the version of Airflow, and what the version can do."""

from __future__ import annotations

import re
from functools import cache
from importlib.metadata import PackageNotFoundError, version


@cache
def airflow_version() -> tuple[int, int]:
    """Return Airflow's major and minor version, such as ``(3, 3)``; ``(0, 0)``: no version was found.

    It reads the metadata of the installed package and does not import Airflow.
    """
    for distribution in ("apache-airflow-core", "apache-airflow"):  # the first one exists from 3.0 on
        try:
            found = re.match(r"(\d+)\.(\d+)", version(distribution))
        except PackageNotFoundError:
            continue
        if found:
            return int(found[1]), int(found[2])
    return 0, 0


def has_external_views() -> bool:
    """Whether Airflow's UI shows pages of plugins as tabs and in its navigation. It does from Airflow 3.1 on."""
    return airflow_version() >= (3, 1)
