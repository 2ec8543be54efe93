"""What a version of Airflow makes of the package when it meets it: its imports, its discovery, its operators."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import airflow_provider_connectif
from airflow_provider_connectif import operators
from airflow_provider_connectif.hooks.connectif import ConnectifHook

pytestmark = pytest.mark.versions

PACKAGE = Path(airflow_provider_connectif.__file__).parent
EXAMPLES = Path(__file__).resolve().parents[2] / "example_dags"
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages([str(PACKAGE)], "airflow_provider_connectif.")
    if not module.name.endswith("__main__")
)

# In an interpreter of its own, since a module warns once only: at its first import.
IMPORT_ALL = """
import importlib, json, sys, warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for name in json.loads(sys.argv[1]):
        importlib.import_module(name)
print(json.dumps([[w.filename, w.category.__name__, str(w.message)] for w in caught]))
"""


def warnings_at_import(modules: list[str], place: Path) -> list[tuple[str, str]]:
    """Category and text of what Python warns of in files below a folder, when modules are imported."""
    command = [sys.executable, "-c", IMPORT_ALL, json.dumps(modules)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    caught = json.loads(done.stdout.splitlines()[-1])
    return [(category, text) for filename, category, text in caught if Path(filename).is_relative_to(place)]


@pytest.mark.slow
def test_no_import_of_this_package_warns() -> None:
    assert len(MODULES) > 40
    # The page needs FastAPI, which comes with Airflow's api-server, from 3.0 on; before, nothing loads it.
    has_page = importlib.util.find_spec("fastapi") is not None
    modules = [name for name in MODULES if has_page or not name.startswith("airflow_provider_connectif.web.")]
    assert warnings_at_import(modules, PACKAGE) == []


def test_a_deprecated_import_would_be_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "imports_the_deprecated.py").write_text("import warnings\nwarnings.warn('old', DeprecationWarning)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert warnings_at_import(["imports_the_deprecated"], tmp_path) == [("DeprecationWarning", "old")]


def test_airflow_discovers_the_provider_and_its_connection_type() -> None:
    from airflow.providers_manager import ProvidersManager

    manager = ProvidersManager()
    provider = manager.providers["airflow-provider-connectif"]
    assert provider.version == airflow_provider_connectif.__version__
    hook = manager.hooks["connectif"]
    assert hook is not None, "Airflow could not import the hook"
    assert (hook.hook_class_name, hook.hook_name) == (
        f"{ConnectifHook.__module__}.{ConnectifHook.__qualname__}",
        "Connectif",
    )


def test_every_operator_has_an_example() -> None:
    examples = "\n".join(path.read_text("utf-8") for path in EXAMPLES.glob("*.py"))
    names = [
        name
        for module in pkgutil.iter_modules(operators.__path__, f"{operators.__name__}.")
        for name, value in inspect.getmembers(importlib.import_module(module.name), inspect.isclass)
        if value.__module__ == module.name
        and name.endswith("Operator")
        and not inspect.isabstract(value)
        and name not in ("SyncOperator", "RequestOperator")
    ]
    assert names
    assert [name for name in names if f"{name}(" not in examples and f"{name}.partial(" not in examples] == []
