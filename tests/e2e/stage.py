"""What a scenario begins with: contacts in the warehouse, a Connectif, and a DAG that brings the ones to the other."""

from __future__ import annotations

import textwrap
from contextlib import ExitStack
from typing import Any

from tests.e2e.deployment import Connectif, Deployment, TaskKey

_HEADER = """
from datetime import UTC, datetime, timedelta

from airflow.timetables.interval import CronDataIntervalTimetable
from airflow.providers.common.compat.sdk import DAG, Asset, task

from airflow_provider_connectif.operators.contacts import ContactPatchOperator
from airflow_provider_connectif.operators.imports import ContactImportOperator
"""


class Stage:
    """One scenario in a deployment.

    :param deployment: where it plays.
    :param name: of its DAG, its table in the warehouse, and its connection to Connectif; all the same.
    """

    def __init__(self, deployment: Deployment, name: str) -> None:
        self.deployment = deployment
        self.name = name
        self._cleanup = ExitStack()

    def close(self) -> None:
        """End what runs for this scenario only."""
        self.deployment.retire_dag(self.name)
        self._cleanup.close()

    def connectif(self, **options: Any) -> Connectif:
        """Start a Connectif of this scenario's own; its connection's id is the scenario's name.

        :param options: as for :class:`~airflow_provider_connectif.sandbox.SandboxProcess`; no limit by default.
        """
        connectif = self.deployment.connectif(self.name, **options)
        self._cleanup.callback(connectif.stop)
        return connectif

    def fill(self, count: int, first: int = 1) -> None:
        """Make contacts ``user1@example.com`` … in the table, with a first name, points and a day.

        ``points`` is the contact's number; ``day`` goes round through the first three of 2026.
        """
        self.deployment.warehouse(
            f"create table if not exists {self.name} "
            "(id integer primary key, email text, first_name text, points integer, day date)"
        )
        self.deployment.warehouse(
            f"insert into {self.name} select n, 'user' || n || '@example.com', 'Name ' || n, n, "
            "date '2026-01-01' + mod(n, 3) from generate_series(%s::int, %s::int) n",
            (first, first + count - 1),
        )

    def source(self) -> dict[str, dict[str, Any]]:
        """What Connectif should hold: first name and points by e-mail."""
        rows = self.deployment.warehouse(f"select email, first_name, points from {self.name}")
        return {email: {"_name": first_name, "_points": points} for email, first_name, points in rows}

    def write_dag(self, tasks: str, **arguments: str) -> None:
        """Write the scenario's DAG and wait until it can be run; as :meth:`publish_dag`."""
        self.publish_dag(tasks, **arguments)
        self.deployment.wait_for_dag(self.name)

    def publish_dag(self, tasks: str, **arguments: str) -> None:
        """Write the scenario's DAG.

        :param tasks: the body of ``with DAG(...)``. ``CONTACTS`` in it are the operator's arguments that bring
            the scenario's table to its Connectif; ``TARGET`` are the same without ``sql``.
        :param arguments: of the DAG, as Python source; ``schedule`` is ``None`` by default, ``start_date`` 2026-01-01.
        """
        arguments = {"schedule": "None", "start_date": "datetime(2026, 1, 1, tzinfo=UTC)", **arguments}
        written = ", ".join(f"{name}={value}" for name, value in arguments.items())
        source = (
            f"{_HEADER}\n"
            f"SQL = 'select email, first_name, points from {self.name}'\n"
            f"TARGET = {{'sql_conn_id': 'warehouse', 'connectif_conn_id': {self.name!r},\n"
            "          'properties': {'_name': 'first_name', '_points': 'points'}}\n"
            "CONTACTS = {**TARGET, 'sql': SQL}\n"
            f"with DAG({self.name!r}, {written}):\n"
            f"{textwrap.indent(textwrap.dedent(tasks), '    ')}\n"
        )
        self.deployment.publish_dag(self.name, source)

    def run(self, within_s: float = 120.0) -> tuple[str, str]:
        """Run the DAG once, by hand, to its end; returns the run's id and state."""
        return self.deployment.run(self.name, within_s=within_s)

    def task(self, run_id: str, task_id: str, map_index: int = -1) -> TaskKey:
        """A task of the scenario's DAG."""
        return TaskKey(self.name, run_id, task_id, map_index)


def held(connectif: Connectif) -> dict[str, dict[str, Any]]:
    """What Connectif holds, in the form of :meth:`Stage.source`."""
    return {
        email: {name: contact.get(name) for name in ("_name", "_points")}
        for email, contact in connectif.contacts().items()
    }
