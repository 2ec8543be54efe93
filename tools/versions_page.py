"""docs/versions.md: what came out when the suite was last run on every supported Airflow and Python."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from pathlib import Path

CONSTRAINTS: Mapping[str, str] = {
    "2.11": "constraints/airflow-2.11.txt",
    "3.0": "constraints/airflow-3.0.txt",
    "3.1": "constraints/airflow-3.1.txt",
    "3.2": "constraints/airflow-3.2.txt",
    "3.3": "constraints.txt",
}
"""Where the pins of each Airflow are, the oldest first. The newest is what the package is developed with."""

PAIRS = (*((airflow, "3.11") for airflow in CONSTRAINTS), ("3.3", "3.12"), ("3.3", "3.13"))
"""Airflow and Python, in the order in which they are run."""

_HEAD = """# Versions

What `make test-matrix` last found; it writes this page. The wheel is built once and installed beside each version of
Airflow, with pinned dependencies. Then the tests marked `versions` run from outside the source tree: imports and their
warnings, discovery, the connection form, an example DAG of each operator, sources, the journal on SQLite and
PostgreSQL, deferral, the decorator, an import. A deprecation warning out of this package is an error.

"""


def result_name(airflow: str, python: str) -> str:
    """The file name of the results of one pair, JUnit's XML."""
    return f"airflow-{airflow}-python-{python}.xml"


def page(results: Path) -> str:
    """The page, in Markdown.

    :param results: the folder of the results; a pair without one did not come as far as its tests.
    """
    lines = ["| Airflow | Python | result | tests passed | failed | skipped | seconds | run on |"]
    lines.append("| --- | --- | --- | ---: | ---: | ---: | ---: | --- |")
    skips: dict[str, set[str]] = {}
    for airflow, python in PAIRS:
        pinned = _pinned_airflow(results.parents[1] / CONSTRAINTS[airflow])
        path = results / result_name(airflow, python)
        if not path.exists():
            lines.append(f"| {pinned} | {python} | **not run** | | | | | |")
            continue
        suite = ElementTree.parse(path).getroot().find("testsuite")  # noqa: S314 - pytest wrote it
        if suite is None:
            raise ValueError(f"{path} has no testsuite")
        bad = int(suite.attrib["failures"]) + int(suite.attrib["errors"])
        skipped = int(suite.attrib["skipped"])
        passed = int(suite.attrib["tests"]) - bad - skipped
        verdict = "passed" if passed and not bad else "**failed**"
        cells = (pinned, python, verdict, passed, bad, skipped, round(float(suite.attrib["time"])))
        lines.append(f"| {' | '.join(str(cell) for cell in cells)} | {suite.attrib['timestamp'][:10]} |")
        for skip in suite.iter("skipped"):
            skips.setdefault(skip.attrib["message"], set()).add(airflow)
    notes = [f"- {reason} (Airflow {', '.join(sorted(where, key=_number))})" for reason, where in sorted(skips.items())]
    skipped_text = "\n".join(("\nSkipped:\n", *notes)) if notes else ""
    return _HEAD + "\n".join(lines) + "\n" + skipped_text + ("\n" if notes else "")


def _pinned_airflow(constraints: Path) -> str:
    [pin] = [line for line in constraints.read_text("utf-8").splitlines() if line.startswith("apache-airflow==")]
    return pin.partition("==")[2]


def _number(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]
