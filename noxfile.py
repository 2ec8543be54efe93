"""The version-sensitive part of the suite on every supported Airflow and Python: ``make test-matrix``.

One of them: ``nox --session "matrix(3.12, airflow 3.3)"``; ``nox --list`` shows the names.
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
nox.options.sessions = ["matrix"]

RESULTS = ROOT / ".nox" / "results"
DIST = ROOT / ".nox" / "dist"

# The package itself is left out: it has to come from the wheel.
WITHOUT_THE_PACKAGE = ("benchmarks", "demo", "docs", "example_dags", "tests", "tools", ".ci")


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
    session.notify("table")
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
    session.run("python", "-m", "pytest", "-q", "-m", "versions", "--tb=short", f"--junitxml={result}")


@nox.session(python=False)
def table(session: nox.Session) -> None:
    """Write docs/versions.md from the last results."""
    page = ROOT / "docs" / "versions.md"
    page.write_text(versions_page.page(RESULTS), encoding="utf-8")
    session.log(f"{page.relative_to(ROOT)} is written")
