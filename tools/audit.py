"""Look for known vulnerabilities of the pinned versions, where advisories can be had; say so where not.

pip-audit itself ends with "No known vulnerabilities found" and status 0 when its source of advisories knows none of
the packages, as a mirror without that data does. That is not taken for a result here.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

CONSTRAINTS = Path(__file__).resolve().parents[1] / "constraints.txt"
_PROBES = ("requests", "urllib3")  # asked for first; without a response the others are not asked for
_TIMEOUT_S = 300


def main() -> int:
    """Return 1 if a pinned version has a known vulnerability."""
    pins = CONSTRAINTS.read_text(encoding="utf-8").split()
    probe, why = _audited([pin for pin in pins if pin.partition("==")[0] in _PROBES])
    if not any(map(_is_audited, probe)):
        sys.stdout.write(f"audit: SKIPPED, nothing was checked: no advisories can be had here ({why})\n")
        return 0
    report, why = _audited(pins)
    if not report:
        sys.stdout.write(f"audit: SKIPPED, nothing was checked: the advisories broke off ({why})\n")
        return 0
    status, lines = judged(report)
    sys.stdout.write("\n".join(lines) + "\n")
    return status


def judged(report: Sequence[Mapping[str, Any]]) -> tuple[int, list[str]]:
    """Return the exit status, and the lines to print of pip-audit's report."""
    lines = [
        f"audit: {package['name']} {package['version']}: {found['id']}, fixed in {', '.join(found['fix_versions'])}"
        for package in report
        for found in package.get("vulns", ())
    ]
    status = 1 if lines else 0
    unknown = [package["name"] for package in report if not _is_audited(package)]
    if unknown:
        lines.append(f"audit: no advisories are kept for {', '.join(unknown)}")
    lines.append(f"audit: {len(report) - len(unknown)} of {len(report)} pinned packages checked")
    return status, lines


def _is_audited(package: Mapping[str, Any]) -> bool:
    return "skip_reason" not in package


def _audited(pins: Sequence[str]) -> tuple[list[dict[str, Any]], str]:
    """pip-audit's report, and why there is none."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(pins))
        file.flush()
        options = ["--no-deps", "--disable-pip", "--progress-spinner", "off", "--format", "json"]
        command = [sys.executable, "-m", "pip_audit", "--requirement", file.name, *options]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            return [], f"no response within {_TIMEOUT_S} s"
    try:
        packages: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except ValueError:
        return [], (done.stderr.strip().splitlines() or ["no report"])[-1][:200]
    return packages, next((package["skip_reason"] for package in packages if not _is_audited(package)), "")


if __name__ == "__main__":
    sys.exit(main())
