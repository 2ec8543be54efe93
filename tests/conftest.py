"""A throw-away Airflow home, one migration a session; the same on every supported version of Airflow."""

from __future__ import annotations

import ast
import functools
import gc
import importlib
import itertools
import os
import pathlib
import tempfile
from typing import Any

import pytest

HOME = pathlib.Path(tempfile.mkdtemp(prefix="connectif-tests-"))
(HOME / "dags").mkdir()
# Before the first import of Airflow, which reads its settings once.
os.environ.update(
    AIRFLOW_HOME=str(HOME),
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__CORE__DAGS_FOLDER=str(HOME / "dags"),
    AIRFLOW__CORE__UNIT_TEST_MODE="False",
    AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{HOME}/airflow.db",
    AIRFLOW__LOGGING__LOGGING_LEVEL="INFO",
    NO_PROXY="127.0.0.1,localhost",
)

pytest_plugins = [
    "tests.support.engines",
    "tests.support.airflow_runs",
    "tests.support.servers",
    "tests.support.peers",
    "tests.support.catalogue_fixtures",
    "tests.support.chromium",
    "tests.support.prepared_python",
]


def pytest_configure(config: pytest.Config) -> None:
    """Whoever names a test means it, however long it takes: ``pytest tests/unit/test_words.py::test_a_word``."""
    if _is_make_test(config) and any("::" in argument for argument in config.args):
        config.option.markexpr = ""


def _is_make_test(config: pytest.Config) -> bool:
    """Whether the markers are those of `make test`."""
    return [config.option.markexpr] == config.getini("addopts")[-1:]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of a ``sampled`` test all variants but a few are slow, spread evenly over them.

    What takes long comes first, so that no process is left alone with it in the end: what is slow, and what runs DAGs.
    """
    for _, variants in itertools.groupby(items, lambda item: (item.path, getattr(item, "originalname", item.name))):
        _mark_all_but_a_sample(list(variants))
    items.sort(key=lambda item: item.get_closest_marker("slow") is None and "run_dag" not in item.fixturenames)


def _mark_all_but_a_sample(variants: list[pytest.Item]) -> None:
    marker = variants[0].get_closest_marker("sampled")
    if marker is None:
        return
    quick = [item for item in variants if not item.get_closest_marker("full_size")]
    (count,) = marker.args
    sample = {number * len(quick) // count for number in range(count)}
    for number, item in enumerate(quick):
        if number not in sample:
            item.add_marker(pytest.mark.slow)


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Import the test files ahead of the collection, each process from another file on.

    pytest rewrites the assertions of each file that it imports first, which takes ten seconds of CPU in all. Processes
    that import in the same order would all do it; so each finds the result of the others.
    """
    config = session.config
    worker = getattr(config, "workerinput", None)
    if worker is None or config.args != config.getini("testpaths"):
        return
    others = set(config.getini("norecursedirs"))
    files = [file.relative_to(config.rootpath) for file in sorted(config.rootpath.glob("tests/**/test_*.py"))]
    files = [file for file in files if others.isdisjoint(file.parts)]
    first = len(files) * int(worker["workerid"].removeprefix("gw")) // worker["workercount"]
    for file in (*files[first:], *files[:first]):
        importlib.import_module(".".join(file.with_suffix("").parts))


def pytest_collection_finish() -> None:
    """Let the garbage collector pass over the tests themselves and all that is imported, which stay until the end."""
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With ``--dist loadscope`` each process takes the next test, so that none is left alone with a long file.

    Tests that share what is set up for their file stay together, and in `make test` those that run a DAG: the first DAG
    takes a process eight seconds of CPU.
    """
    if config.getvalue("dist") != "loadscope":
        return None
    from xdist.scheduler import LoadScopeScheduling

    is_default = _is_make_test(config)

    class OneByOne(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            path, _, test = nodeid.partition("::")
            if is_default and test.partition("[")[0] in _run_a_dag(config.rootpath / path):
                return "airflow"
            return path if _shares_a_setup(config.rootpath / path) else nodeid

    return OneByOne(config, log)


@functools.cache
def _shares_a_setup(path: pathlib.Path) -> bool:
    return 'scope="module"' in path.read_text(encoding="utf-8")


@functools.cache
def _run_a_dag(path: pathlib.Path) -> set[str]:
    """The tests and fixtures of a file that need ``run_dag``, if only for another fixture of the file."""
    functions = [node for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.FunctionDef)]
    needed, before = {"run_dag"}, set[str]()
    while needed != before:
        before = set(needed)
        needed |= {node.name for node in functions if not needed.isdisjoint(given.arg for given in node.args.args)}
    return needed
