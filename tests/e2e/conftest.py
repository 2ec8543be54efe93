"""One deployment for all scenarios, a warehouse table and a Connectif for each, and a table of what came out."""

from __future__ import annotations

import itertools
import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.e2e.deployment import Connectif, Deployment, ended_by_sigterm
from tests.e2e.stage import Stage

LONGEST_S = 600
"""How long one scenario may take; the first has the start of the deployment, and of its virtual environment, in it."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(os.path.dirname(__file__)):
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.timeout(LONGEST_S))


@pytest.fixture(scope="session")
def _ended_politely() -> Iterator[None]:
    with ended_by_sigterm():
        yield


@pytest.fixture(scope="session")
def deployment(_ended_politely: None) -> Iterator[Deployment]:
    """The deployment that all scenarios share: what one of them kills it must start again."""
    is_lent = bool(os.environ.get("CONNECTIF_E2E_LENT"))
    version = os.environ.get("CONNECTIF_E2E_AIRFLOW", "3.3")
    with Deployment(version, is_lent=is_lent, options={"CONNECTIF__JOURNALS": "journal"}) as running:
        yield running


@pytest.fixture
def stage(deployment: Deployment, request: pytest.FixtureRequest) -> Iterator[Stage]:
    """A scenario's own DAG id, table and Connectif, named like the test."""
    deployment.start_missing()
    stage = Stage(deployment, request.node.name.removeprefix("test_"))
    yield stage
    stage.close()


@pytest.fixture
def connectif(stage: Stage) -> Connectif:
    """A Connectif without a limit; for another one call ``stage.connectif(...)``."""
    return stage.connectif()


@pytest.fixture
def measured(record_property: Callable[[str, Any], None]) -> Callable[..., None]:
    """Put figures into the table at the end: ``measured(requests=20_000, busy_s=12.5)``."""

    def measure(**figures: Any) -> None:
        for name, value in figures.items():
            record_property(name, value)

    return measure


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    report = yield
    deployment = getattr(item, "funcargs", {}).get("deployment")
    if report.failed and report.when == "call" and deployment is not None:
        report.sections.append(("logs of the deployment", deployment.logs()))
    return report


def pytest_terminal_summary(terminalreporter: Any) -> None:
    reports = [
        report
        for name in ("passed", "failed", "error")
        for report in terminalreporter.stats.get(name, ())
        # What could not be collected has said so above.
        if isinstance(report, pytest.TestReport) and (report.when == "call" or report.failed)
    ]
    if not reports:
        return
    seconds: defaultdict[str, float] = defaultdict(float)  # what is set up for a scenario takes time as well
    for report in itertools.chain.from_iterable(terminalreporter.stats.values()):
        if isinstance(report, pytest.TestReport):
            seconds[report.nodeid] += report.duration
    terminalreporter.section("scenarios")
    lines = [("scenario", "result", "seconds", "figures")]
    for report in sorted(reports, key=lambda report: report.nodeid):
        figures = ", ".join(f"{name} {_figure(value)}" for name, value in report.user_properties)
        lines.append((report.head_line.removeprefix("test_"), report.outcome, f"{seconds[report.nodeid]:.1f}", figures))
    widths = [max(len(line[column]) for line in lines) for column in range(3)]
    for line in lines:
        cells = (line[0].ljust(widths[0]), line[1].ljust(widths[1]), line[2].rjust(widths[2]), line[3])
        terminalreporter.write_line("  ".join(cells).rstrip())


def _figure(value: Any) -> str:
    return f"{value:,.1f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
