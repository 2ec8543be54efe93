"""What Airflow learns of the provider, checked against Airflow's own schemas and readers."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from importlib.metadata import entry_points, version
from pathlib import Path

import airflow
import pytest

from airflow_provider_connectif.get_provider_info import get_provider_info
from airflow_provider_connectif.hooks.connectif import ConnectifHook
from airflow_provider_connectif.hooks.connection_form import EXTRA_FIELDS

pytestmark = pytest.mark.versions

INFO = get_provider_info()
CONNECTION = INFO["connection-types"][0]
AIRFLOW_VERSION = tuple(int(part) for part in airflow.__version__.split(".")[:2])


def schema(name: str) -> dict:
    for folder in airflow.__path__:
        path = Path(folder) / name
        if path.exists():
            return json.loads(path.read_text())
    pytest.fail(f"Airflow does not ship {name}")


def test_it_fits_the_schema_that_airflow_checks_at_run_time() -> None:
    jsonschema = importlib.import_module("jsonschema")
    jsonschema.validate(INFO, schema("provider_info.schema.json"))


def test_its_connection_type_fits_the_schema_of_provider_yaml() -> None:
    """The file as a whole is for providers of Airflow's own repository; the connection types are for all."""
    jsonschema = importlib.import_module("jsonschema")
    whole = schema("provider.yaml.schema.json")
    part = {**whole["properties"]["connection-types"], "definitions": whole.get("definitions", {})}
    jsonschema.validate(INFO["connection-types"], part)


def test_names_and_version_are_the_distributions() -> None:
    [entry_point] = [e for e in entry_points(group="apache_airflow_provider") if e.dist.name == INFO["package-name"]]
    assert entry_point.load() is get_provider_info
    assert INFO["package-name"] == "airflow-provider-connectif"
    assert INFO["versions"] == [version("airflow-provider-connectif")]


def test_the_hook_is_where_the_info_says() -> None:
    module, _, name = CONNECTION["hook-class-name"].rpartition(".")
    assert getattr(importlib.import_module(module), name) is ConnectifHook
    assert CONNECTION["connection-type"] == ConnectifHook.conn_type
    assert CONNECTION["hook-name"] == ConnectifHook.hook_name


def test_it_imports_nothing_heavy() -> None:
    code = (
        "import sys; import airflow_provider_connectif.get_provider_info as p; p.get_provider_info(); "
        "print([m for m in ('airflow', 'requests', 'pendulum', 'sqlalchemy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
@pytest.mark.skipif(AIRFLOW_VERSION < (3, 1), reason="3.0 needs Flask-AppBuilder for this; 2.11 has no such service")
def test_airflows_connection_form_has_the_fields() -> None:
    # In an interpreter of its own, as in the API server: who asks for the hooks first decides what 3.1 finds of them.
    code = (
        "import json; from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService as service; "
        "[form] = [m for m in service.hook_meta_data() if m.connection_type == 'connectif']; "
        "fields = form.standard_fields; "
        "print(json.dumps([form.hook_name, list(form.extra_fields), fields.password.title, fields.host.placeholder]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    hook_name, extra_fields, password, host = json.loads(done.stdout.splitlines()[-1])
    assert (hook_name, password, host) == ("Connectif", "API key", "https://api.connectif.cloud")
    assert set(extra_fields) == {field.name for field in EXTRA_FIELDS}


@pytest.mark.skipif(AIRFLOW_VERSION >= (3, 2), reason="from 3.2 on the form is read from the provider info")
def test_the_hooks_methods_tell_the_same() -> None:
    pytest.importorskip("flask_appbuilder")
    assert set(ConnectifHook.get_connection_form_widgets()) == {field.name for field in EXTRA_FIELDS}


def test_the_hooks_behaviour_is_spelt_as_airflow_2_reads_it() -> None:
    behaviour = ConnectifHook.get_ui_field_behaviour()
    assert behaviour["hidden_fields"] == ["schema"]
    assert behaviour["relabeling"]["password"] == "API key"
    jsonschema = importlib.import_module("jsonschema")
    jsonschema.validate(behaviour, schema("customized_form_field_behaviours.schema.json"))
