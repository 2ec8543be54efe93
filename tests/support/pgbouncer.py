"""A pgbouncer of its own before a PostgreSQL, in transaction mode, where there is one on this machine."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.support.strict_server import until

_FOLDERS = "/usr/sbin"  # where Debian puts it, and not everybody's PATH has it


def what_is_missing() -> str:
    """Why it cannot run on this machine, in words; empty if it can."""
    return "" if _program() else "needs pgbouncer"


def _program() -> str | None:
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:{_FOLDERS}")


@contextlib.contextmanager
def pgbouncer(folder: Path, target_folder: str, user: str, *, sessions: int) -> Iterator[int]:
    """Start one; gives its port on this machine.

    :param folder: an empty one.
    :param target_folder: where the socket of the PostgreSQL lies.
    :param user: who may connect, without a password.
    :param sessions: of the server, for all clients together.
    """
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    (folder / "users").write_text(f'"{user}" ""\n')
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\n* = host={target_folder}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        f"auth_type = trust\nauth_file = {folder / 'users'}\npool_mode = transaction\n"
        f"default_pool_size = {sessions}\nserver_reset_query =\n"
    )
    command = [str(_program()), str(folder / "pgbouncer.ini")]
    if os.geteuid() == 0:  # as whom it does not start
        for path in (folder, *folder.iterdir()):
            os.chmod(path, 0o755 if path.is_dir() else 0o644)
        owner = pwd.getpwuid(os.stat(target_folder).st_uid).pw_name  # who may go to the socket
        command = [command[0], "-u", owner, command[1]]
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        until(lambda: _listens(port) or process.poll() is not None, within_s=20)
        assert process.poll() is None, (folder / "log").read_text(errors="replace")
        yield port
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(20)


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
