"""What is made of pip-audit's report: a package that nobody knows is not taken for a safe one."""

from __future__ import annotations

from tools.audit import judged

SAFE = {"name": "requests", "version": "2.34.2", "vulns": []}
FOUND = {"name": "urllib3", "version": "1.0", "vulns": [{"id": "CVE-1", "fix_versions": ["2.0"]}]}
UNKNOWN = {"name": "regress", "skip_reason": "Dependency not found on PyPI"}


def test_a_vulnerability_fails() -> None:
    status, lines = judged([SAFE, FOUND])
    assert status == 1
    assert lines[0] == "audit: urllib3 1.0: CVE-1, fixed in 2.0"


def test_what_was_not_checked_is_told() -> None:
    status, lines = judged([SAFE, UNKNOWN])
    assert status == 0
    assert lines == ["audit: no advisories are kept for regress", "audit: 1 of 2 pinned packages checked"]
