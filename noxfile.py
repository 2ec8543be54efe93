"""The version-sensitive part of the suite on every supported Airflow and Python: ``make test-matrix``.

One of them: ``nox --session "matrix(3.12, airflow 3.3)"``; ``nox --list`` shows the names. Only the session ``table``
writes docs/versions.md, so a run of one pair leaves the page as it is.

Where ``uv`` is on the PATH, it makes the environments, in seconds. It does not read pip's configuration: whoever
needs that has pip do it: ``make UV= test-matrix``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nox

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))

from tools import versions_page  # noqa: E402 - a noxfile is no part of a package

nox.needs_version = ">=2025.2"
nox.options.error_on_missing_interpreters = True
nox.options.download_python = "never"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["matrix", "table"]
nox.options.default_venv_backend = "uv" if os.environ.get("UV", shutil.which("uv")) else "virtualenv"

RESULTS = ROOT / ".nox" / "results"
DIST = ROOT / ".nox" / "dist"

# The package itself is left out: it has to come from the wheel.
WITHOUT_THE_PACKAGE = ("benchmarks", "demo", "docs", "example_dags", "tests", "tools", ".ci")

# More processes than a small machine has cores, since many tests wait; each has its own metadata database.
PYTEST = ("-q", "-m", "versions", "--tb=short", "--numprocesses", "3", "--dist", "worksteal")


def _let_pyenv_find_all() -> None:
    """Where pyenv manages Pythons, only those of ``PYENV_VERSION`` can be called by name."""
    if shutil.which("pyenv") is None or "PYENV_VERSION" in os.environ:
        return
    asked = subprocess.run(["pyenv", "versions", "--bare"], capture_output=True, text=True, check=False)
    known = [name for name in asked.stdout.split() if name.replace(".", "").isdigit()]
    os.environ["PYENV_VERSION"] = ":".join(sorted(known, key=lambda name: [int(n) for n in name.split(".")]))


_let_pyenv_find_all()


@nox.session(python=False)
def wheel(session: nox.Session) -> None:
    """Build the wheel, once for all."""
    shutil.rmtree(DIST, ignore_errors=True)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(DIST), str(ROOT)]
    session.run(*build, external=True, silent=True)


@nox.session(requires=["wheel"])
@nox.parametrize(
    "python,airflow",
    [(python, airflow) for airflow, python in versions_page.PAIRS],
    ids=[f"{python}, airflow {airflow}" for airflow, python in versions_page.PAIRS],
)
def matrix(session: nox.Session, airflow: str) -> None:
    """Run the tests marked ``versions`` against the installed wheel."""
    result = RESULTS / versions_page.result_name(airflow, str(session.python))
    result.unlink(missing_ok=True)
    [built] = DIST.glob("*.whl")
    constraints = ("--constraint", str(ROOT / versions_page.CONSTRAINTS[airflow]))
    session.install(*constraints, f"{built}[sql,sandbox]", "--requirement", str(ROOT / "requirements-test.txt"))
    session.install("--no-deps", "--force-reinstall", str(built))

    elsewhere = Path(session.create_tmp()) / "checkout"
    shutil.rmtree(elsewhere, ignore_errors=True)
    for name in WITHOUT_THE_PACKAGE:
        shutil.copytree(ROOT / name, elsewhere / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "CHANGELOG.md", "Makefile"):
        shutil.copy(ROOT / name, elsewhere)
    session.chdir(elsewhere)
    session.env["PYTHONPATH"] = ""
    session.run("python", "-c", f"import airflow; assert airflow.__version__.startswith('{airflow}.')")
    session.run("python", "-c", "import airflow_provider_connectif as p; assert 'site-packages' in p.__file__")
    session.run(
        "python", "-m", "pytest", *PYTEST, f"--junitxml={result}", *session.posargs, *_files_with_marked_tests()
    )


def _files_with_marked_tests() -> list[str]:
    """Relative to the root. To import all the others only to leave their tests out takes each process seconds."""
    files = sorted((ROOT / "tests").rglob("test_*.py"))
    return [str(file.relative_to(ROOT)) for file in files if "pytest.mark.versions" in file.read_text("utf-8")]


@nox.session(python=False)
def table(session: nox.Session) -> None:
    """Write docs/versions.md from the last results."""
    page = ROOT / "docs" / "versions.md"
    page.write_text(versions_page.page(RESULTS), encoding="utf-8")
    session.log(f"{page.relative_to(ROOT)} is written")
