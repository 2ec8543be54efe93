"""What differs from version to version of Airflow, and what makes a deployment quick enough for tests."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# Another Airflow's settings (its database!) must not be taken over, no proxy come between, and the package be imported
# from where it is installed.
_NOT_INHERITED = re.compile(r"_?AIRFLOW|.*_PROXY$|PYTHONPATH$|PYTEST|VIRTUAL_ENV$", re.IGNORECASE)


@dataclass(frozen=True)
class Flavour:
    """How a major version of Airflow is run and spoken to.

    :param server: the component that serves the REST API; ``{port}`` is where.
    :param parser: the component that reads the DAG files.
    :param commands: the arguments of ``airflow`` for each component, in the order in which they are started.
    :param jobs: the job type, in the metadata database, of each component that has one.
    :param health: where the server says that it is well.
    :param api: the root of its REST API.
    """

    server: str
    parser: str
    commands: Mapping[str, str]
    jobs: Mapping[str, str]
    health: str
    api: str


_SCHEDULER = "scheduler --skip-serve-logs"
_TRIGGERER = "triggerer --skip-serve-logs"
_JOBS = {"scheduler": "SchedulerJob", "dag-processor": "DagProcessorJob", "triggerer": "TriggererJob"}

FLAVOURS: Mapping[int, Flavour] = {
    2: Flavour(
        server="webserver",
        # A DAG processor of its own is a choice there, and on PostgreSQL 2.11's ends at once with an AttributeError.
        parser="scheduler",
        commands={
            "webserver": "webserver --hostname 127.0.0.1 --port {port} --workers 1",
            "scheduler": _SCHEDULER,
            "triggerer": _TRIGGERER,
        },
        jobs=_JOBS,
        health="/health",
        api="/api/v1",
    ),
    3: Flavour(
        server="api-server",
        parser="dag-processor",
        commands={
            "api-server": "api-server --host 127.0.0.1 --port {port} --workers 1",
            "scheduler": _SCHEDULER,
            "dag-processor": "dag-processor",
            "triggerer": _TRIGGERER,
        },
        jobs=_JOBS,
        health="/api/v2/monitor/health",
        api="/api/v2",
    ),
}

# Airflow's defaults are made for clusters that run for months: what takes half a minute there takes a second here.
_QUICK = {
    "SCHEDULER__SCHEDULER_HEARTBEAT_SEC": 1,
    "SCHEDULER__JOB_HEARTBEAT_SEC": 1,
    "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": 0.4,
    "SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": 10,
    "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": 5,
    # Of a task that dies with its worker nobody hears but so.
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": 12,
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": 2,
    "SCHEDULER__TRIGGER_TIMEOUT_CHECK_INTERVAL": 2,
    "WORKERS__MIN_HEARTBEAT_INTERVAL": 2,
    "TRIGGERER__JOB_HEARTBEAT_SEC": 1,
    "TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": 6,
    "DAG_PROCESSOR__REFRESH_INTERVAL": 1,
    "DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL": 1,
    # A file that has changed is read at once, and the others need not be read again.
    "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": 3600,
    "DAG_PROCESSOR__PARSING_PROCESSES": 1,
    "CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": 0,
    "CORE__PARALLELISM": 6,
    # The same by the names that they have in 2.11.
    "SCHEDULER__LOCAL_TASK_JOB_HEARTBEAT_SEC": 2,
    "SCHEDULER__SCHEDULER_ZOMBIE_TASK_THRESHOLD": 12,
    "SCHEDULER__ZOMBIE_DETECTION_INTERVAL": 2,
    "SCHEDULER__DAG_DIR_LIST_INTERVAL": 1,
    "SCHEDULER__MIN_FILE_PROCESS_INTERVAL": 3600,
    "SCHEDULER__PARSING_PROCESSES": 1,
}

# The webserver of 2.11 lets nobody write without signing in; here only this machine can reach it.
WEBSERVER_CONFIG = "AUTH_ROLE_PUBLIC = 'Admin'\nWTF_CSRF_ENABLED = False\n"


def base_environment() -> dict[str, str]:
    """This process's environment, less what would reach into the deployment."""
    kept = {name: value for name, value in os.environ.items() if not _NOT_INHERITED.match(name)}
    return {**kept, "NO_PROXY": "*", "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"}


def environment(home: Path, python: Path, database_url: str, port: int, executor: str) -> dict[str, str]:
    """The environment of every component.

    :param home: Airflow's home.
    :param python: the interpreter of the virtual environment that Airflow is installed in.
    :param database_url: of the metadata database.
    :param port: of the REST API.
    :param executor: the executor's name.
    """
    options = {
        "CORE__EXECUTOR": executor,
        "CORE__LOAD_EXAMPLES": False,
        "CORE__DAGS_FOLDER": home / "dags",
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": False,
        "CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": True,
        "CORE__INTERNAL_API_SECRET_KEY": secrets.token_hex(32),
        "CORE__TEST_CONNECTION": "Enabled",
        "API__BASE_URL": f"http://127.0.0.1:{port}",
        "API__SECRET_KEY": secrets.token_hex(32),
        "API__AUTH_BACKENDS": "airflow.api.auth.backend.default",
        "API_AUTH__JWT_SECRET": secrets.token_hex(32),
        "WEBSERVER__SECRET_KEY": secrets.token_hex(32),
        "WEBSERVER__BASE_URL": f"http://127.0.0.1:{port}",
        "DATABASE__SQL_ALCHEMY_CONN": database_url,
        "LOGGING__COLORED_CONSOLE_LOG": False,
        "USAGE_DATA_COLLECTION__ENABLED": False,
        **_QUICK,
    }
    return {
        **base_environment(),
        "PATH": f"{python.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "AIRFLOW_HOME": str(home),
        "TMPDIR": str(home),  # what a killed task leaves behind goes with the rest
        **{f"AIRFLOW__{name}": str(value) for name, value in options.items()},
    }
