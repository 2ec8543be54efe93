"""The page and the commands say the same of one journal."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_connectif.cli.main import main
from airflow_provider_connectif.versions import has_external_views
from tests.support.journal_records import RecordedJournal
from tests.support.page_clients import text_of

pytestmark = [
    pytest.mark.versions,
    pytest.mark.skipif(not has_external_views(), reason="Airflow has no pages of plugins before 3.1"),
]


def test_a_deleted_contact_is_delivered(
    page_journal: RecordedJournal, client: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    page_journal.add_run(rows_read=7, deleted=5, absent=2)
    assert "5 delivered, 0 refused" in text_of(client("nightly").get("/").text)
    capsys.readouterr()
    main(["journal", "runs", "-o", "json"])
    (run,) = json.loads(capsys.readouterr().out)
    assert run["delivered"] == 5
