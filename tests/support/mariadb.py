"""A MariaDB of its own, where there is one on this machine and a driver for it."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.strict_server import until

# Tests kill tasks, not the machine: nothing need reach the disk.
_WITHOUT_DISK = (
    *("--innodb-flush-method=nosync", "--innodb-flush-log-at-trx-commit=0", "--skip-innodb-doublewrite"),
    *("--sync-frm=0", "--innodb-buffer-pool-size=32M"),
)
_ROOM_BYTES = 2**30
# As root it starts only with this option.
_USER = ["--user=root"] if os.geteuid() == 0 else []


def what_is_missing() -> str:
    """Why it cannot run on this machine, in words; empty if it can."""
    # The last one is called by the second; Debian has it in a package of its own, mariadb-client-core.
    for program in ("mariadbd", "mariadb-install-db", "my_print_defaults"):
        if shutil.which(program) is None:
            return f"needs {program}, of MariaDB"
    for module, package in (("MySQLdb", "mysqlclient"), ("airflow.providers.mysql", "apache-airflow-providers-mysql")):
        try:
            found = importlib.util.find_spec(module)
        except ModuleNotFoundError:
            found = None
        if found is None:
            return f"needs the package {package}"
    return ""


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def folder_in_memory() -> str | None:
    """Where a server's files are written fastest, to make a folder in; ``None``: the usual place."""
    folder = "/dev/shm"
    return folder if os.path.isdir(folder) and shutil.disk_usage(folder).free > _ROOM_BYTES else None


@contextlib.contextmanager
def mariadb_server(folder: Path, *options: str) -> Iterator[dict[str, Any]]:
    """Start one in an empty folder; gives the fields of an Airflow connection to it.

    :param folder: its path must be short, since a socket lies in it.
    :param options: for ``mariadbd``.
    """
    data, where = folder / "data", folder / "socket"
    install = ["mariadb-install-db", "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal"]
    # A server that starts deletes the temporary tables of all others in this folder; by default it is /tmp.
    environment = {**os.environ, "TMPDIR": str(folder)}
    subprocess.run([*install, "--skip-test-db", *_USER], check=True, stdout=subprocess.DEVNULL, env=environment)
    command = [
        "mariadbd",
        "--no-defaults",
        f"--datadir={data}",
        f"--socket={where}",
        "--skip-networking",
        *_WITHOUT_DISK,
    ]
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(
            [*command, f"--pid-file={folder / 'pid'}", *_USER, *options], stdout=log, stderr=log, env=environment
        )
    try:
        until(lambda: _listens(where) or process.poll() is not None, within_s=60)
        assert process.poll() is None, (folder / "log").read_text(errors="replace")
        yield {
            "conn_type": "mysql",
            "host": "localhost",
            "login": "root",
            "password": "",
            "schema": "mysql",
            "extra": {"unix_socket": str(where)},
        }
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def _listens(where: Path) -> bool:
    # The file of a socket is there before anybody may connect to it.
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(where))
        return True
    return False
