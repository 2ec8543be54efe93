"""Fixtures that run DAGs and tasks through a real Airflow."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest


def _version() -> tuple[int, int]:
    import airflow

    major, minor = airflow.__version__.split(".")[:2]
    return int(major), int(minor)


@pytest.fixture(scope="session")
def airflow_db(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Airflow's metadata database, migrated; where processes share the tests, one does it and the others copy it."""
    own = Path(os.environ["AIRFLOW_HOME"]) / "airflow.db"
    if "PYTEST_XDIST_WORKER" not in os.environ:
        _migrate()
        return
    shared = tmp_path_factory.getbasetemp().parent / "airflow.db"
    with shared.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if shared.exists():
            _copy(shared, own)
            return
        _migrate()
        complete = shared.with_suffix(".new")
        _copy(own, complete)
        complete.replace(shared)


def _migrate() -> None:
    from airflow.utils import db

    db.initdb()


def _copy(database: Path, to: Path) -> None:
    """Copy an SQLite database, into the file that is there, if any: Airflow may have opened it."""
    with contextlib.closing(sqlite3.connect(database)) as source, contextlib.closing(sqlite3.connect(to)) as target:
        source.backup(target)


@pytest.fixture(scope="session")
def _one_api_server(airflow_db: None) -> None:
    """One API server in this process, as 3.3 has it; 3.0 to 3.2 make one for each task, which takes them seconds."""
    if (3, 0) <= _version() < (3, 3):
        from airflow.sdk.execution_time import supervisor

        supervisor.in_process_api_server = functools.cache(supervisor.in_process_api_server)


@pytest.fixture
def run_dag(_one_api_server: None) -> Callable[..., Any]:
    """Run a DAG in this process with ``dag.test()``; returns the DagRun. A failing task does not raise."""

    def run(dag: Any, **kwargs: Any) -> Any:
        sync_dag(dag)
        return dag.test(**kwargs)

    return run


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Define an Airflow connection: ``connection("id", conn_type=..., host=..., extra={...})``."""

    def define(conn_id: str, **fields: Any) -> None:
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(fields))

    return define


def sync_dag(dag: Any) -> None:
    """Write a DAG that was made in a test to the metadata database, so that ``dag.test()`` finds it there."""
    from airflow.utils.session import create_session

    version = _version()
    if version < (3, 0):
        dag.sync_to_db()
        return
    from airflow.models.dagbundle import DagBundleModel

    if version == (3, 0):
        from airflow.models.dag import DAG
        from airflow.models.serialized_dag import SerializedDagModel
        from airflow.serialization.serialized_objects import SerializedDAG

        with create_session() as session:
            if not session.get(DagBundleModel, "testing"):
                session.add(DagBundleModel(name="testing"))
                session.commit()
            # What DAG files make is the SDK's class there, and the scheduler's one is wanted.
            scheduled = SerializedDAG.from_dict(SerializedDAG.to_dict(dag))
            DAG.bulk_write_to_db("testing", None, [scheduled], session=session)
            SerializedDagModel.write_dag(dag, bundle_name="testing", session=session)
        return
    from airflow.dag_processing.collection import update_dag_parsing_results_in_db
    from airflow.serialization.serialized_objects import LazyDeserializedDAG

    with create_session() as session:
        if not session.get(DagBundleModel, "testing"):
            session.add(DagBundleModel(name="testing"))
            session.commit()
        update_dag_parsing_results_in_db("testing", None, [LazyDeserializedDAG.from_dag(dag)], {}, None, set(), session)


def task_states(dag_run: Any) -> dict[str, str]:
    """State by task id, of the whole run; mapped instances as ``id[0]``."""
    return {
        ti.task_id if ti.map_index < 0 else f"{ti.task_id}[{ti.map_index}]": str(ti.state)
        for ti in dag_run.get_task_instances()
    }


def xcom(dag_run: Any, task_id: str, key: str = "return_value", map_index: int = -1) -> Any:
    """What a task pushed, or ``None``."""
    from airflow.utils.session import create_session
    from sqlalchemy import select

    if _version() < (3, 0):
        from airflow.models.xcom import XCom

        return XCom.get_one(run_id=dag_run.run_id, key=key, task_id=task_id, dag_id=dag_run.dag_id, map_index=map_index)
    from airflow.models.xcom import XComModel

    with create_session() as session:
        value = session.scalars(
            select(XComModel.value).where(
                XComModel.dag_id == dag_run.dag_id,
                XComModel.run_id == dag_run.run_id,
                XComModel.task_id == task_id,
                XComModel.key == key,
                XComModel.map_index == map_index,
            )
        ).first()
    return json.loads(value) if isinstance(value, str) else value
