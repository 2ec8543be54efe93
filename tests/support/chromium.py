"""A Chromium for tests that look at a page as a person does; they are skipped, with words, where there is none."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

_PROGRAM = os.environ.get("CONNECTIF_E2E_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
_ARGUMENTS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Playwright's browser."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="no Playwright: pip install playwright")
    if _PROGRAM is None:
        pytest.skip("no Chromium: apt-get install chromium, or name one in CONNECTIF_E2E_CHROMIUM")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_PROGRAM, args=list(_ARGUMENTS))
        yield browser
        browser.close()
