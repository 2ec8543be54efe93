"""A whole Airflow for tests: its components as processes, a PostgreSQL, the sandbox as Connectif."""

from __future__ import annotations

from tests.e2e.deployment.airflow import Deployment
from tests.e2e.deployment.celery import CeleryDeployment
from tests.e2e.deployment.connectif import Connectif
from tests.e2e.deployment.inside import InsideDeployment
from tests.e2e.deployment.metadata import Stay, TaskKey
from tests.e2e.deployment.processes import DeploymentError, ended_by_sigterm

__all__ = [
    "CeleryDeployment",
    "Connectif",
    "Deployment",
    "DeploymentError",
    "InsideDeployment",
    "Stay",
    "TaskKey",
    "ended_by_sigterm",
]
