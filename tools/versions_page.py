"""Makes docs/versions.md: the results of the last run of the tests on every supported Airflow and Python."""

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
"""The file of pinned dependencies for each Airflow, the oldest first. The package is developed with the newest."""

PAIRS = (*((airflow, "3.11") for airflow in CONSTRAINTS), ("3.3", "3.12"), ("3.3", "3.13"))
"""The pairs of Airflow and Python, in the order in which the tests run."""

_HEAD = """# Versions

These are the results of the last `make test-matrix`, which writes this page. The wheel is built once and installed
beside each version of Airflow, with pinned dependencies. Then the tests marked `versions` run from outside the source
tree: imports and their warnings, discovery, the connection form, an example DAG of each operator, sources, the journal
on SQLite and PostgreSQL, deferral, the decorator, an import. A deprecation warning from this package is an error. From
Airflow 3.2 on there is one more test: of the command `airflow connectif`.

"""


def result_name(airflow: str, python: str) -> str:
    """Return the name of the file with the results of one pair, as JUnit's XML."""
    return f"airflow-{airflow}-python-{python}.xml"


def page(results: Path) -> str:
    """Return the page, in Markdown.

    :param results: the folder with the files of results. If a pair has no file, its tests did not begin.
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
