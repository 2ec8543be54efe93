"""The page and the commands say the same of one journal."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from airflow_provider_connectif.cli.main import main
from airflow_provider_connectif.journal.tables import VERSION
from airflow_provider_connectif.versions import has_external_views
from tests.support.journal_records import RecordedJournal
from tests.support.page_clients import RUN, text_of

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


def test_a_journal_of_a_newer_version_is_refused(
    page_journal: RecordedJournal, client: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    page_journal.add_run(rows_read=1)
    with page_journal.engine.begin() as database:
        database.execute(sa.update(page_journal.tables.meta).values(value=VERSION + 1))
    with pytest.raises(SystemExit):
        main(["journal", "runs"])
    words = f"the journal 'connectif_journal' has version {VERSION + 1}, this provider knows up to {VERSION}"
    assert words in capsys.readouterr().err
    browser = client("nightly")
    run = browser.get("/run", params=RUN)
    contact = browser.post("/contact?dag_id=nightly", data={"key": "a@example.com", "sync_id": "nightly.contacts"})
    assert (run.status_code, contact.status_code) == (503, 503)
    assert all(words in text_of(page.text) for page in (browser.get("/"), run, contact))
