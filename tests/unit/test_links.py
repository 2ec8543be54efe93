"""The button *Connectif run* leads to what shows the run best on each version of Airflow."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_connectif import links, versions
from airflow_provider_connectif.links import ConnectifRunLink, show_link
from airflow_provider_connectif.operators.contacts import ContactPatchOperator
from tests.support.task_runs import FakeTI

KEY = SimpleNamespace(dag_id="d&g", run_id="manual__2026-01-01T00:00:00+00:00", task_id="pa/tch", map_index=3)
RUN = "manual__2026-01-01T00%3A00%3A00%2B00%3A00"
ADDRESSES = {
    (
        2,
        11,
    ): f"/dags/d%26g/grid?dag_run_id={RUN}&task_id=pa%2Ftch&map_index=3&tab=xcom",
    (3, 0): f"/dags/d%26g/runs/{RUN}/tasks/pa%2Ftch/mapped/3/xcom",
    (3, 3): f"/connectif/run?dag_id=d%26g&run_id={RUN}&task_id=pa%2Ftch&map_index=3",
}


@pytest.mark.parametrize("version", ADDRESSES)
def test_the_address(version: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "airflow_version", lambda: version)
    monkeypatch.setattr(links, "has_external_views", lambda: version >= (3, 1))
    for section in ("API", "WEBSERVER"):
        monkeypatch.setenv(f"AIRFLOW__{section}__BASE_URL", "https://airflow.example.com/team/")
    operator: Any = None
    address = ConnectifRunLink().get_link(operator, ti_key=KEY)
    assert address == "https://airflow.example.com/team" + ADDRESSES[version]


@pytest.mark.versions
def test_every_operator_has_the_button() -> None:
    operator = ContactPatchOperator(task_id="patch", rows=[])
    assert [link.name for link in operator.operator_extra_links] == ["Connectif run"]


def test_the_button_works_before_the_task_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "airflow_version", lambda: (3, 3))
    ti: Any = FakeTI()
    context: Any = {"ti": ti, "dag": SimpleNamespace(dag_id="d"), "run_id": "r"}
    show_link(ContactPatchOperator(task_id="patch", rows=[]), context)
    [address] = ti.pushed.values()
    assert list(ti.pushed) == ["_link_ConnectifRunLink"]
    assert "task_id=patch" in address


def test_the_version_is_the_installed_one() -> None:
    import airflow

    assert airflow.__version__.startswith("{}.{}.".format(*versions.airflow_version()))
