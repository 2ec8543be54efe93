"""People who are suppressed while an import is at work: each row is counted once."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_connectif.contacts.identity import person
from airflow_provider_connectif.imports.patching import Patching
from tests.integration.test_erasure import erase, the_sum
from tests.integration.test_import_consent import FORBIDDEN, NEWS, email
from tests.support.import_runs import event_of, import_rows
from tests.support.journals import JournalDatabase, journal_database
from tests.support.strict_server import StrictServer, until

JOURNAL: dict[str, Any] = {"journal_conn_id": "journal", "sync_id": "load", "patch_leftovers": False}


@pytest.fixture
def journal(request: pytest.FixtureRequest, airflow_db: None) -> JournalDatabase:
    return journal_database("sqlite", request)


@pytest.mark.parametrize("is_forbidden", [True, False])
def test_people_who_would_have_gone_by_patch(
    is_forbidden: bool, strict: StrictServer, journal: JournalDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = [{"email": email(n), "_name": "Ana", NEWS: "none"} for n in range(3)]
    assert import_rows("load", rows=source, **JOURNAL).summary["imported"] == 3
    deliver = Patching.deliver

    def suppress_before(self: Patching, *arguments: Any) -> None:
        self._context.journal.suppressions.add([person("email", email(0))], "forget")  # type: ignore[union-attr]
        deliver(self, *arguments)

    monkeypatch.setattr(Patching, "deliver", suppress_before)
    strict.update(faults=[FORBIDDEN] if is_forbidden else [])
    run = import_rows("next", rows=[{**row, NEWS: "subscribed"} for row in source], **JOURNAL)
    assert (run.state, run.summary["suppressed"], the_sum(run.summary)) == ("success", 1, 3), run.error
    assert [entry["key"] for entry in strict.log if entry["method"] == "PATCH"][:1] == [email(1)]


def test_people_whose_last_file_is_not_uploaded(strict: StrictServer, journal: JournalDatabase) -> None:
    """Their first file has been settled before: no import is left that would count them."""
    strict.update(deletes_nobody_with=404, import_faults=[{"nth": [2, 2], "status": 400, "json": {"code": "E0401"}}])
    source = [{"email": email(n), "_name": "Ana", "_surname": "García" if n < 2 else None} for n in range(5)]
    arguments = {**JOURNAL, "rows": source, "deferrable": True, "file_layout": "column"}
    load = import_rows("load", **arguments)
    until(lambda: len(strict.contacts) == 5)

    def again() -> Any:
        assert load.state == "deferred", load.error
        return import_rows("load", method=load.error.method_name, event=event_of(load), **arguments)  # type: ignore[union-attr]

    strict.update(import_faults=[], foreign_imports=10)
    load = again()
    assert erase(email(0), email(1)).summary["deleted"] == 2
    strict.update(foreign_imports=0)
    while load.state == "deferred":
        load = again()
    assert (load.state, load.summary["imported"], the_sum(load.summary)) == ("success", 5, 5), load.error
    assert strict.contacts.keys() == {email(n) for n in range(2, 5)}
