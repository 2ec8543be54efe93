"""Who sees what on the Connectif page, also by addresses and forms that no link of the page leads to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_connectif.versions import has_external_views
from tests.support.journal_records import RecordedJournal
from tests.support.page_clients import RUN, text_of

pytestmark = [
    pytest.mark.versions,
    pytest.mark.skipif(not has_external_views(), reason="Airflow has no pages of plugins before 3.1"),
]

NIGHTLY, SECRET = "nightly.contacts", "secret.contacts"
EVA = "eva@example.com"
Client = Callable[..., Any]


def find(browser: Any, sync_id: str, key: str = EVA, dag_id: str = "nightly") -> Any:
    return browser.post("/contact", params={"dag_id": dag_id}, data={"key": key, "sync_id": sync_id})


@pytest.mark.slow
def test_only_dags_that_the_user_may_read(page_journal: RecordedJournal, client: Client) -> None:
    page_journal.add_run(rows_read=1, created=1)
    key = page_journal.add_run("secret", rows_read=1, invalid=1)
    page_journal.add_outcomes(key, SECRET, [(EVA, "invalid", "no")])
    page_journal.add_run("secret", "r2", "shared", rows_read=1)
    page_journal.add_run("nightly", "r2", "shared", rows_read=1)
    viewer = client("nightly")
    overview = viewer.get("/").text
    assert NIGHTLY in overview
    assert "secret" not in overview
    assert "shared" not in overview  # its lines are of both DAGs
    refused = [
        viewer.get("/run", params={**RUN, "dag_id": "secret"}),
        find(viewer, SECRET, dag_id="secret"),
        # A DAG that may be read does not open the sync of another one.
        find(viewer, SECRET),
        find(viewer, "shared"),
    ]
    assert [response.status_code for response in refused] == [403] * 4
    assert not any(EVA in response.text for response in refused)
    assert find(client("nightly", "secret"), "shared").status_code == 200


def test_a_run_id_of_another_dag_is_not_found(page_journal: RecordedJournal, client: Client) -> None:
    key = page_journal.add_run("secret", "only_here", rows_read=1, invalid=1)
    page_journal.add_outcomes(key, SECRET, [(EVA, "invalid", "no")])
    for run_id in ("only_here", "/only_here", "secret/only_here", "../secret/only_here"):
        response = client("nightly").get("/run", params={**RUN, "run_id": run_id})
        assert response.status_code == 404
        assert EVA not in response.text


def test_nobody_sees_nothing(page_journal: RecordedJournal, client: Client) -> None:
    page_journal.add_run(rows_read=1)
    for path in ("/", "/style.css", "/run?" + "&".join(f"{name}={value}" for name, value in RUN.items())):
        assert client("nightly", token=None).get(path).status_code == 401
    assert find(client("nightly", token=None), NIGHTLY).status_code == 401
    without = client()
    assert without.get("/").status_code == 403
    assert without.get("/run", params=RUN).status_code == 403
    assert find(without, NIGHTLY).status_code == 403


@pytest.mark.parametrize("dag_id", ["", "~", "\0", "x" * 300])
def test_no_dag_is_not_any_dag(dag_id: str, page_journal: RecordedJournal, client: Client) -> None:
    page_journal.add_run(rows_read=1)
    page_journal.add_run(dag_id, sync_id="of no DAG", rows_read=1)
    viewer = client("nightly")
    for response in (viewer.get("/run", params={**RUN, "dag_id": dag_id}), find(viewer, "of no DAG", dag_id=dag_id)):
        assert response.status_code in (403, 422)
    assert "of no DAG" not in viewer.get("/").text


def test_a_dag_that_is_named_twice_is_checked_as_it_is_used(page_journal: RecordedJournal, client: Client) -> None:
    page_journal.add_run(rows_read=1)
    key = page_journal.add_run("secret", rows_read=1, invalid=1)
    page_journal.add_outcomes(key, SECRET, [(EVA, "invalid", "no")])
    viewer = client("nightly")
    rest = "run_id=scheduled__1&task_id=contacts"
    for twice in ("dag_id=nightly&dag_id=secret", "dag_id=secret&dag_id=nightly"):
        run = viewer.get(f"/run?{twice}&{rest}")
        assert EVA not in run.text
        assert SECRET not in run.text
        contact = viewer.post(f"/contact?{twice}", data={"key": EVA, "sync_id": SECRET, "dag_id": "nightly"})
        assert contact.status_code == 403


def test_a_sync_whose_dag_was_deleted_is_there_for_those_who_may_read_it(
    page_journal: RecordedJournal, client: Client
) -> None:
    """A renamed DAG that keeps its sync leaves runs of a DAG that Airflow does not list any more."""
    page_journal.add_run("renamed", "r1", "contacts", rows_read=1)
    page_journal.add_run("nightly", "r2", "contacts", rows_read=1)
    both = client("nightly", "renamed", deleted=["renamed"])
    assert "contacts" in text_of(both.get("/").text)
    assert find(both, "contacts").status_code == 200
    one = client("nightly")
    assert "contacts" not in text_of(one.get("/").text)
    assert find(one, "contacts").status_code == 403


def test_nobody_sees_a_deleted_dag_where_users_belong_to_teams(
    page_journal: RecordedJournal, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__MULTI_TEAM", "True")
    page_journal.add_run("renamed", rows_read=1)
    anybody = client("nightly", "renamed", deleted=["renamed"])
    assert "renamed" not in anybody.get("/").text
    assert anybody.get("/run", params={**RUN, "dag_id": "renamed"}).status_code == 403
    assert find(anybody, "renamed.contacts", dag_id="renamed").status_code == 403


def test_runs_of_an_earlier_version_are_of_their_dags_too(page_journal: RecordedJournal, client: Client) -> None:
    page_journal.add_run("nightly", "r1", "shared", is_old=True)
    page_journal.add_run("secret", "r2", "shared", is_old=True)
    viewer = client("nightly")
    assert "shared" not in viewer.get("/").text
    assert find(viewer, "shared").status_code == 403
    assert "shared" in client("nightly", "secret").get("/").text


@pytest.mark.sampled(1)
@pytest.mark.parametrize("column", ["run_id", "refused_run", "invalid_run", "history"])
def test_a_line_of_a_dag_whose_runs_were_purged(column: str, page_journal: RecordedJournal, client: Client) -> None:
    key = page_journal.add_run(rows_read=1)
    more = {} if column == "history" else {column: "secret/r1"}
    page_journal.add_line(NIGHTLY, EVA, "rejected", "no", **more)
    if column == "history":
        page_journal.add_outcomes(key, NIGHTLY, [(EVA, "invalid", "no")], run_id="secret/r1")
    assert find(client("nightly"), NIGHTLY).status_code == 403
    assert find(client("nightly", "secret"), NIGHTLY).status_code == 200


def test_the_erasure_of_another_dag_is_not_named(page_journal: RecordedJournal, client: Client) -> None:
    page_journal.add_run(rows_read=1)
    page_journal.suppress(EVA, "erasures/r1", b"pepper")
    words = text_of(find(client("nightly"), NIGHTLY).text)
    assert "State suppressed" in words
    assert "a run of a DAG that you may not see" in words
    assert "erasures" not in words
    assert "erasures/r1" in text_of(find(client("nightly", "erasures"), NIGHTLY).text)


ODD = [
    {"run_id": "\0"},
    {"task_id": "\0"},
    {"reason": "\0"},
    {"after": "-1"},
    {"after": "9" * 30},
    {"after": "x"},
    {"map_index": "9" * 30},
    {"map_index": "²"},
    {"run_id": "x" * 3000},
    {"run_id": "%"},
]


@pytest.mark.slow
@pytest.mark.parametrize("odd", ODD, ids=str)
def test_odd_addresses_are_no_fault_of_the_server(
    odd: dict[str, str], page_journal: RecordedJournal, client: Client
) -> None:
    page_journal.add_run(rows_read=1)
    assert client("nightly").get("/run", params={**RUN, **odd}).status_code in (200, 404, 422)


@pytest.mark.slow
@pytest.mark.parametrize("body", [b"", b"key", b"\xff\xfe", b"a=1&" * 50, b"key=%00&sync_id=%00", b"key=%ED%A0%80"])
def test_odd_forms_are_no_fault_of_the_server(body: bytes, page_journal: RecordedJournal, client: Client) -> None:
    page_journal.add_run(rows_read=1)
    response = client("nightly").post("/contact?dag_id=nightly", content=body)
    assert response.status_code == 400


def test_a_run_id_whose_plus_sign_became_a_space(page_journal: RecordedJournal, client: Client) -> None:
    """Airflow 3.1 does not encode it in a tab's address."""
    run_id = "manual__2026-11-27T12:00:00+00:00"
    page_journal.add_run(run_id=run_id, rows_read=1)
    rest = "&".join(f"{name}={value}" for name, value in {**RUN, "run_id": run_id}.items())
    response = client("nightly").get(f"/run?{rest}")
    assert response.status_code == 200
    assert run_id in response.text
