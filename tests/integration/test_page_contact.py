"""Find a contact on the Connectif page: the forms of a typed key, and journals that cannot be read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.versions import has_external_views
from tests.support.journal_records import RecordedJournal
from tests.support.page_clients import text_of

pytestmark = [
    pytest.mark.versions,
    pytest.mark.skipif(not has_external_views(), reason="Airflow has no pages of plugins before 3.1"),
]

NIGHTLY = "nightly.contacts"


@pytest.fixture
def find(client: Callable[..., Any], page_journal: RecordedJournal) -> Callable[[str], Any]:
    """Find a contact of the sync, of which one run is recorded."""
    page_journal.add_run(rows_read=1)
    browser = client("nightly")
    return lambda key: browser.post("/contact?dag_id=nightly", data={"key": key, "sync_id": NIGHTLY})


def test_external_ids_that_differ_in_case_are_two_contacts(
    find: Callable[[str], Any], page_journal: RecordedJournal
) -> None:
    for key, state, reason in (("AB1", "acknowledged", None), ("ab1", "invalid", "_birthdate: no day")):
        page_journal.add_line(NIGHTLY, key, state, reason, generation=2 if key == "ab1" else 1)
        page_journal.add_outcomes("key1", NIGHTLY, [(key, "invalid" if reason else "created", reason)])
    upper, lower, neither = (text_of(find(key).text) for key in ("AB1", "ab1", "Ab1"))
    assert "State acknowledged" in upper
    assert "invalid" not in upper
    assert "State invalid" in lower
    assert "created" not in lower
    assert "State never seen" in neither


def test_a_key_with_only_a_history_is_not_another_one(
    find: Callable[[str], Any], page_journal: RecordedJournal
) -> None:
    page_journal.add_outcomes("key1", NIGHTLY, [("Eva@example.com", "invalid", "_birthdate: no day")])
    page_journal.add_line(NIGHTLY, "eva@example.com", "acknowledged")
    assert "State never seen" in text_of(find("Eva@example.com").text)


@pytest.mark.parametrize("typed", ["ana@ñandú.es", "Ana@ÑANDÚ.es", "\ufeffana@example.com", "ana@example.com\u200b"])
def test_an_address_is_found_as_the_source_writes_it(
    typed: str, find: Callable[[str], Any], page_journal: RecordedJournal
) -> None:
    mapping = ContactMapping("email")
    page_journal.add_line(NIGHTLY, mapping.same_contact(str(mapping.key_of({"email": typed}))), "acknowledged")
    assert "State acknowledged" in text_of(find(typed).text)


def test_a_change_that_waits_is_found_in_any_spelling(
    find: Callable[[str], Any], page_journal: RecordedJournal
) -> None:
    page_journal.add_pending(NIGHTLY, ["ana@example.com"])
    assert "Pending in a deferred task yes" in text_of(find("Ana@Example.com").text)


def test_hmacs_without_their_secret_are_a_fault(
    find: Callable[[str], Any], page_journal: RecordedJournal, connection: Callable[..., None]
) -> None:
    hidden = "0" * 64
    page_journal.add_line(NIGHTLY, hidden, "acknowledged")
    connection("page_journal", conn_type="sqlite", host=page_journal.engine.url.database)
    response = find("ana@example.com")
    assert response.status_code == 503
    assert (
        "are written as HMACs, and the extra of connection 'page_journal' has no connectif_journal_secret"
        in text_of(response.text)
    )
    assert "State acknowledged" in text_of(find(hidden).text)


@pytest.mark.parametrize("journals", ["gone_journal, page_journal", "page_journal, gone_journal"])
def test_a_journal_that_is_away_hides_no_contact_of_another(
    journals: str,
    find: Callable[[str], Any],
    page_journal: RecordedJournal,
    connection: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connection("gone_journal", conn_type="sqlite", host="/nowhere/at/all.db")
    monkeypatch.setenv("AIRFLOW__CONNECTIF__JOURNALS", journals)
    page_journal.add_line(NIGHTLY, "ana@example.com", "acknowledged")
    known, unknown = find("ana@example.com"), find("eva@example.com")
    assert (known.status_code, unknown.status_code) == (200, 200)
    assert "State acknowledged" in text_of(known.text)
    assert "gone_journal" not in known.text
    assert "State never seen" in text_of(unknown.text)
    assert "Journal gone_journal cannot be read" in unknown.text  # it may know the contact
    monkeypatch.setenv("AIRFLOW__CONNECTIF__JOURNALS", "gone_journal")
    assert find("ana@example.com").status_code == 503
