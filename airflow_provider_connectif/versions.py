"""The version of Airflow that this process runs with."""

from __future__ import annotations

import re
from functools import cache
from importlib.metadata import PackageNotFoundError, version


@cache
def airflow_version() -> tuple[int, int]:
    """Return major and minor version, such as ``(3, 3)``; it reads the distribution's metadata and does not import
    Airflow.
    """
    for distribution in ("apache-airflow-core", "apache-airflow"):  # the former from 3.0 on
        try:
            found = re.match(r"(\d+)\.(\d+)", version(distribution))
        except PackageNotFoundError:
            continue
        if found:
            return int(found[1]), int(found[2])
    return 0, 0


def has_external_views() -> bool:
    """Whether Airflow's UI shows pages of plugins as tabs and in its navigation: from 3.1 on."""
    return airflow_version() >= (3, 1)
