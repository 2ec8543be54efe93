"""What users with different rights see of a run in Airflow, and what the run leaves there: lineage, assets, metrics.

The deployment has a virtual environment of its own: with the FAB auth manager, OpenLineage's provider, StatsD's client.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import pytest

from tests.e2e import openlineage_schema
from tests.e2e.deployment import InsideDeployment
from tests.e2e.deployment.inside import ADMIN
from tests.e2e.stage import Stage
from tests.e2e.test_browser import TIMEOUT_MS

NIGHTLY, SECRET = "nightly", "secret"
VIEWER, NOBODY = "viewer", "nobody"
USERS = {
    VIEWER: [
        *(
            ("can_read", resource)
            for resource in ("Website", "Plugins", "DAG Runs", "Task Instances", f"DAG:{NIGHTLY}")
        ),
        ("menu_access", "DAGs"),
    ],
    NOBODY: [("can_read", "Website")],
}
TASKS = """
ContactPatchOperator(task_id="contacts", journal_conn_id="journal", **CONTACTS)
ContactPatchOperator(task_id="both", journal_conn_id="journal", sync_id="shared", **CONTACTS)
"""
RUN, CONTACT = "/connectif/run", "/connectif/contact"


@pytest.fixture(scope="module")
def deployment(_ended_politely: None) -> Iterator[InsideDeployment]:
    with InsideDeployment(USERS) as running:
        yield running


@pytest.fixture(scope="module")
def runs(deployment: InsideDeployment) -> Iterator[dict[str, str]]:
    """The run of each DAG by its id; the task ``both`` of each writes the sync ``shared``."""
    stages = [Stage(deployment, dag_id) for dag_id in (NIGHTLY, SECRET)]
    ended = {}
    for stage in stages:
        stage.connectif()
        stage.fill(3, first=1 if stage.name == NIGHTLY else 11)
        stage.write_dag(TASKS)
        ended[stage.name], state = stage.run()
        assert state == "success"
    yield ended
    for stage in stages:
        stage.close()


def address(dag_id: str, run_id: str) -> str:
    return f"{RUN}?{urlencode({'dag_id': dag_id, 'run_id': run_id, 'task_id': 'contacts'})}"


def test_three_users_by_typed_addresses(deployment: InsideDeployment, runs: dict[str, str]) -> None:
    """Each route, for DAGs that a user may read and for others: the status, and not one word of another DAG."""
    statuses: dict[str, list[int]] = {}
    for user in (ADMIN, VIEWER, NOBODY):
        rest = deployment.rest_of(user)
        form = {"key": "user11@example.com", "sync_id": f"{SECRET}.contacts"}
        own = {"key": "user1@example.com", "sync_id": f"{NIGHTLY}.contacts"}
        responses = [
            rest.page("GET", "/connectif/"),
            rest.page("GET", address(NIGHTLY, runs[NIGHTLY])),
            rest.page("POST", f"{CONTACT}?dag_id={NIGHTLY}", data=own),
            rest.page("GET", address(SECRET, runs[SECRET])),
            rest.page("GET", address(NIGHTLY, runs[SECRET])),
            rest.page("GET", f"{address(NIGHTLY, runs[SECRET])}&dag_id={SECRET}"),
            rest.page("GET", f"{RUN}?dag_id={SECRET}&{address(NIGHTLY, runs[SECRET]).partition('?')[2]}"),
            rest.page("GET", address("", runs[SECRET])),
            rest.page("GET", address("~", runs[SECRET])),
            rest.page("GET", address(f"DAG:{NIGHTLY}", runs[NIGHTLY])),
            rest.page("POST", f"{CONTACT}?dag_id={SECRET}", data=form),
            rest.page("POST", f"{CONTACT}?dag_id={NIGHTLY}", data=form),
            rest.page("POST", f"{CONTACT}?dag_id={NIGHTLY}", data={**own, "sync_id": "shared"}),
            rest.page("POST", f"{CONTACT}?dag_id={NIGHTLY}&dag_id={SECRET}", data=form),
            rest.page("POST", f"{CONTACT}?dag_id=", data=form),
            rest.page("POST", f"{CONTACT}?dag_id=~", data=form),
        ]
        statuses[user] = [response.status_code for response in responses]
        if user != ADMIN:
            assert not [response.url for response in responses if SECRET in response.text.replace(runs[SECRET], "")]
            assert not [response.url for response in responses if "user11@" in response.text]
    assert statuses == {
        ADMIN: [200, 200, 200, 200, 404, 200, 404, 422, 403, 404, 200, 403, 200, 200, 422, 403],
        VIEWER: [200, 200, 200, 403, 404, 403, 404, 422, 403, 404, 403, 403, 403, 403, 422, 403],
        NOBODY: [403, 403, 403, 403, 403, 403, 403, 422, 403, 403, 403, 403, 403, 403, 422, 403],
    }


@pytest.mark.parametrize("user", [ADMIN, VIEWER, NOBODY])
def test_three_users_in_a_browser(user: str, deployment: InsideDeployment, runs: dict[str, str], chromium: Any) -> None:
    """The navigation and the tab show what the user may see, and the browser asks no other host."""
    page, hosts, url = chromium.new_page(), set[str](), deployment.rest.url
    page.set_default_timeout(TIMEOUT_MS)
    page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
    page.goto(url)
    page.locator("input[name=username]").fill(user)
    page.locator("input[name=password]").fill(user)
    page.locator("input[name=password]").press("Enter")
    page.get_by_role("link", name="Home").first.wait_for()

    page.goto(f"{url}/plugin/connectif")
    if user == NOBODY:
        page.get_by_text("Page Not Found").wait_for()
    else:
        frame = page.frame_locator("iframe")
        frame.get_by_role("link", name=f"{NIGHTLY}.contacts").wait_for()
        is_admin = int(user == ADMIN)
        assert frame.get_by_role("link", name=f"{SECRET}.contacts").count() == is_admin
        assert frame.get_by_role("link", name="shared").count() == is_admin
        for dag_id, words in ((NIGHTLY, "Verdict"), (SECRET, "Verdict" if is_admin else "Forbidden")):
            run = quote(runs[dag_id], safe="")
            page.goto(f"{url}/dags/{dag_id}/runs/{run}/tasks/contacts/plugin/connectif-run")
            page.frame_locator("iframe").get_by_text(words).wait_for()
    assert {host for host in hosts if host} == {urlsplit(url).netloc}
    page.close()


def test_what_a_run_leaves_in_airflow(deployment: InsideDeployment, stage: Stage) -> None:
    """Lineage and metrics have the counts of Connectif, and a DAG on the asset runs only after a delivery."""
    connectif = stage.connectif()
    stage.fill(3)
    before = deployment.counters()
    asset = f'Asset("connectif://{stage.name}/contacts")'
    stage.write_dag(f'ContactPatchOperator(task_id="t", journal_conn_id="journal", outlets=[{asset}], **CONTACTS)')
    consumer = f"{stage.name}_consumer"
    deployment.publish_dag(
        consumer,
        "from airflow.providers.common.compat.sdk import DAG, Asset\n"
        "from airflow.providers.standard.operators.empty import EmptyOperator\n"
        f"with DAG({consumer!r}, schedule=[{asset}]):\n    EmptyOperator(task_id='t')\n",
    )
    deployment.wait_for_dag(consumer)
    for _ in range(2):  # the second run has nothing to deliver
        assert stage.run()[1] == "success"
    stage.fill(1, first=4)
    assert stage.run()[1] == "success"
    stage.fill(1, first=5)
    deployment.warehouse(f"insert into {stage.name} values (6, 'nobody', 'x', 6, date '2026-01-01')")
    assert stage.run()[1] == "failed"  # after it has delivered the contact
    accepted = connectif.answers()["201"]
    assert accepted == 5

    def has_run() -> bool:
        return _runs(deployment, consumer) == 2

    deployment.wait_until(has_run, 60, "the DAG on the asset has run after each run that succeeded and delivered")
    deployment.retire_dag(consumer)
    job = f"{stage.name}.t"
    # Airflow writes the event after a failure in a process that outlives the task.
    deployment.wait_until(lambda: len(deployment.lineage(job)) == 8, 60, "each run has its two events")
    events = deployment.lineage(job)
    assert [event["eventType"] for event in events] == [*["START", "COMPLETE"] * 3, "START", "FAIL"]
    ends = [event["outputs"][0] for event in events[1::2]]
    assert [(end["namespace"], end["name"]) for end in ends] == [(f"connectif://{stage.name}", "contacts")] * 4
    assert [end["outputFacets"]["outputStatistics"]["rowCount"] for end in ends] == [3, 0, 1, 1]
    fields = [field["name"] for field in ends[0]["facets"]["schema"]["fields"]]
    assert sorted(fields) == ["_name", "_points"]
    assert [one["name"].rpartition(".")[2] for one in events[1]["inputs"]] == [stage.name]
    assert "@example.com" not in str(events)
    assert "select" not in str(events).lower()
    counted = deployment.counters() - before
    assert counted["requests"] == sum(connectif.answers().values())
    assert {name: counted[f"rows.{name}"] for name in ("read", "created", "unchanged")} == {
        "read": 16,
        "created": accepted,
        "unchanged": 10,
    }
    assert (counted["runs.success"], counted["runs.failed"], counted["rows.invalid"]) == (3, 1, 1)
    assert "run_duration" in deployment.timers()
    if openlineage_schema.FOLDER:
        assert [openlineage_schema.faults_of(event) for event in events] == [[]] * 8
        assert openlineage_schema.faults_of({**events[0], "run": {}}), "the schemas allow anything"


def _runs(deployment: InsideDeployment, dag_id: str) -> int:
    found: int = deployment.rest.call("GET", f"dags/{dag_id}/dagRuns")["total_entries"]
    return found
