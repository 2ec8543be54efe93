"""Consents, and properties that are not always written, by import: what no response shows raises nobody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_provider_connectif.api.client import ConnectifClient
from airflow_provider_connectif.api.credentials import ApiKey
from tests.support.import_runs import account, import_over_deferral, import_rows
from tests.support.journals import JournalDatabase, Process, deliver, journal_database, usually
from tests.support.strict_server import API_KEY, StrictServer, until
from tests.support.task_logs import provider_lines
from tests.support.task_runs import Run

NEWS, SMS = "_newsletterSubscriptionStatus", "_smsSubscriptionStatus"
NIGHTS: dict[str, Any] = {"journal_conn_id": "journal", "sync_id": "nightly", "patch_leftovers": False}
FORBIDDEN = {"status": 403, "json": {"detail": "no"}}


@pytest.fixture(params=usually("postgres"))
def journal(request: pytest.FixtureRequest, airflow_db: None) -> JournalDatabase:
    return journal_database(request.param, request)


class Account:
    """An account, looked at from outside.

    :param strict: it.
    """

    def __init__(self, strict: StrictServer) -> None:
        self.strict = strict
        self._seen = 0

    def decide(self, key: str, **properties: Any) -> None:
        """A person, or somebody in the app, sets properties of a contact."""
        ConnectifClient(ApiKey.parse(None, API_KEY), self.strict.url).patch_contact(key, properties)
        self.news()

    def news(self) -> list[tuple[str, str]]:
        """Method and contact key of the requests about contacts since the last call."""
        log = self.strict.log
        new, self._seen = log[self._seen :], len(log)
        return [(entry["method"], entry["key"]) for entry in new if "key" in entry]

    def consents(self, name: str = NEWS) -> dict[str, Any]:
        return {key.partition("@")[0]: contact.get(name) for key, contact in self.strict.contacts.items()}


@pytest.fixture
def connectif(strict: StrictServer) -> Account:
    return Account(strict)


def email(number: int) -> str:
    return f"user{number}@example.com"


def people(*consents: str | None, visits: int = 1, **more: Any) -> list[dict[str, Any]]:
    return [
        {"email": email(n), "_name": f"Name {n}", "visits": visits, NEWS: consent, **more}
        for n, consent in enumerate(consents)
    ]


def night(run_id: str, source: Any, **arguments: Any) -> Run:
    run = import_rows(run_id, rows=source, **(NIGHTS | arguments))
    assert run.state == "success", run.error
    assert account(run.summary) == run.summary["read"]
    return run


def switches(strict: StrictServer) -> list[bool]:
    """Of each upload whether it fills only what is empty."""
    return [upload["options"]["updateOnlyEmptyFields"] == "true" for upload in strict.uploads]


@pytest.mark.slow
def test_a_first_load_takes_one_file_more_for_each_consent_and_raises_nobody(
    journal: JournalDatabase, strict: StrictServer, connectif: Account
) -> None:
    connectif.decide(email(0), **{NEWS: "unsubscribed"})
    connectif.decide(email(1), **{NEWS: "subscribed", SMS: "unsubscribed"})
    connectif.decide(email(2), _name="There")
    source = people(*["subscribed"] * 3, "unsubscribed", "none", *["subscribed"] * 15, **{SMS: "subscribed"})
    run = night("load", source)
    assert (run.summary["imported"], run.summary["files"], run.summary["unconfirmed"]) == (20, 4, 20)
    assert "consent_kept" not in run.summary
    assert connectif.news() == []
    assert switches(strict) == [True, True, False, False]
    held = ["unsubscribed", "subscribed", "subscribed", "unsubscribed", None, *["subscribed"] * 15]
    assert connectif.consents() == {f"user{n}": consent for n, consent in enumerate(held)}
    assert connectif.consents(SMS) == {f"user{n}": "unsubscribed" if n == 1 else "subscribed" for n in range(20)}
    assert {contact["_name"] for contact in strict.contacts.values()} == {f"Name {n}" for n in range(20)}

    again = night("again", source)
    assert (again.summary["unchanged"], again.summary["files"]) == (20, 0)
    same_by_patch = deliver("by patch", rows=source, fields="live")
    assert (same_by_patch.summary["unchanged"], connectif.news()) == (20, [])


def test_another_property_does_not_send_a_consent_again(
    journal: JournalDatabase, strict: StrictServer, connectif: Account
) -> None:
    source = people(*["subscribed"] * 5)
    night("load", source)
    connectif.decide(email(0), **{NEWS: "unsubscribed"})
    run = night("more visits", people(*["subscribed"] * 5, visits=2), full_refresh=True)
    assert (run.summary["imported"], run.summary["files"]) == (5, 1)
    assert connectif.consents()["user0"] == "unsubscribed"


@pytest.mark.slow
def test_what_the_source_raises_goes_by_patch(
    journal: JournalDatabase, strict: StrictServer, connectif: Account
) -> None:
    night("load", people("unsubscribed", "unsubscribed", "subscribed", "subscribed"))
    run = night("risen", people("subscribed", "unsubscribed", "subscribed", "subscribed", visits=2))
    assert connectif.news() == [("PATCH", email(0))]
    assert (run.summary["updated"], run.summary["imported"]) == (1, 3)
    assert list(connectif.consents().values()) == ["subscribed", "unsubscribed", "subscribed", "subscribed"]
    assert (
        night("same", people("subscribed", "unsubscribed", "subscribed", "subscribed", visits=2)).summary["unchanged"]
        == 4
    )


@pytest.mark.slow
def test_a_lowered_consent_is_looked_up_and_whoever_left_before_is_kept(
    journal: JournalDatabase, strict: StrictServer, connectif: Account
) -> None:
    night("load", people(*["subscribed"] * 3))
    connectif.decide(email(0), **{NEWS: "unsubscribed"})
    run = night("lowered", people("unsubscribed", "unsubscribed", "subscribed", visits=2))
    assert sorted(connectif.news()) == sorted(
        [("GET", email(0)), ("GET", email(1)), ("PATCH", email(0)), ("PATCH", email(1))]
    )
    assert (run.summary["updated"], run.summary["imported"], run.summary["consent_kept"]) == (2, 1, 1)
    back = night("back", people(*["subscribed"] * 3, visits=2))
    assert list(connectif.consents().values()) == ["unsubscribed", "subscribed", "subscribed"]
    # Nothing is sent of who was kept; the other is raised.
    assert (connectif.news(), back.summary["files"], back.summary["unchanged"]) == ([("PATCH", email(1))], 0, 2)


@pytest.mark.slow
def test_a_consent_that_falls_to_none_is_decided_by_a_response(
    journal: JournalDatabase, strict: StrictServer, connectif: Account
) -> None:
    night("load", people(*["subscribed"] * 4))
    connectif.decide(email(1), **{NEWS: "unsubscribed"})
    source = people("none", "none", "subscribed", "none", visits=2)
    source[3]["visits"] = 1
    run = night("fallen", source)
    assert list(connectif.consents().values()) == ["none", "unsubscribed", "subscribed", "none"]
    assert (run.summary["updated"], run.summary["consent_kept"]) == (3, 1)
    assert {key for _, key in connectif.news()} == {email(0), email(1), email(3)}


@pytest.mark.slow
def test_without_the_scope_for_contacts_raises_are_kept_and_withdrawals_go_in_files(
    journal: JournalDatabase, strict: StrictServer, connectif: Account, capfd: pytest.CaptureFixture[str]
) -> None:
    night("load", people("unsubscribed", "subscribed", "subscribed", "unsubscribed"))
    strict.update(faults=[FORBIDDEN])
    capfd.readouterr()
    run = night("changed", people("subscribed", "unsubscribed", "none", "unsubscribed", visits=2))
    assert (run.summary["imported"], run.summary["consent_kept"]) == (4, 3)
    assert [entry["method"] for entry in strict.log if entry["method"] == "PATCH"] == ["PATCH"]  # the first one
    warnings = provider_lines("".join(capfd.readouterr()), level="warning")
    assert len([line for line in warnings if "3 consents are the person's own from now on" in line]) == 1
    assert list(connectif.consents().values()) == ["unsubscribed", "unsubscribed", "subscribed", "unsubscribed"]

    strict.update(faults=[])
    connectif.news()
    assert (
        night("same", people("subscribed", "unsubscribed", "none", "unsubscribed", visits=2)).summary["unchanged"] == 4
    )
    # Kept once, a consent is the person's own: the source raises it no more.
    night("raised", people("subscribed", "subscribed", "none", "unsubscribed", visits=2))
    assert list(connectif.consents().values()) == ["unsubscribed", "unsubscribed", "subscribed", "unsubscribed"]
    assert connectif.news() == []


@pytest.mark.slow
def test_where_only_kept_consents_are_left_nothing_is_sent(
    journal: JournalDatabase, strict: StrictServer, connectif: Account
) -> None:
    night("load", people(*["unsubscribed"] * 3))
    strict.update(faults=[FORBIDDEN])
    run = night("risen", people(*["subscribed"] * 3))
    assert (run.summary["unchanged"], run.summary["files"], run.summary["consent_kept"]) == (3, 0, 3)
    assert night("same", people(*["subscribed"] * 3)).summary["unchanged"] == 3


@pytest.mark.slow
def test_too_many_to_look_up_go_in_files_and_are_kept(
    journal: JournalDatabase, strict: StrictServer, connectif: Account
) -> None:
    count = 1001
    night("load", people(*["subscribed"] * count, "unsubscribed"))
    run = night("lowered", people(*["unsubscribed"] * count, "subscribed"))
    assert connectif.news() == [("PATCH", email(count))]
    assert (run.summary["imported"], run.summary["updated"], run.summary["consent_kept"]) == (count, 1, count)
    assert list(connectif.consents().values()).count("unsubscribed") == count
    night("raised", people(*["subscribed"] * count, "subscribed"))
    assert list(connectif.consents().values()).count("unsubscribed") == count
    assert connectif.news() == []


@pytest.mark.sampled(1)
@pytest.mark.parametrize("deferrable", [False, True])
def test_properties_that_only_fill_go_in_files_of_their_own(
    journal: JournalDatabase, strict: StrictServer, connectif: Account, deferrable: bool
) -> None:
    connectif.decide(email(0), tier="gold")
    source = people(*[None] * 6, tier="silver")
    arguments = {**NIGHTS, "rows": source, "write_modes": {"tier": "if_empty"}}
    run = import_over_deferral("load", **arguments)[-1] if deferrable else import_rows("load", **arguments)
    assert run.state == "success", run.error
    assert (run.summary["imported"], run.summary["files"], run.summary["unconfirmed"]) == (6, 2, 6)
    assert switches(strict) == [True, False]
    assert list(connectif.consents("tier").values()) == ["gold", *["silver"] * 5]
    assert night("same", source, write_modes={"tier": "if_empty"}).summary["unchanged"] == 6


def test_only_contacts_that_an_import_creates_cannot_be_told_apart(strict: StrictServer, airflow_db: None) -> None:
    with pytest.raises(ValueError, match="write_modes: 'tier', 'visits': 'on_create' needs ContactPatchOperator"):
        import_rows(rows=[], write_modes={"tier": "on_create", "visits": "on_create"})


@pytest.mark.slow
@pytest.mark.parametrize("patch_leftovers", [False, None])
def test_who_withdraws_need_not_have_a_valid_row(
    journal: JournalDatabase, strict: StrictServer, connectif: Account, patch_leftovers: bool | None
) -> None:
    source = people("subscribed", "unsubscribed", "unsubscribed", "subscribed")
    for number in (1, 2):
        source[number]["visits"] = "many"
    arguments = {"failure_budget": 2, "patch_leftovers": patch_leftovers}
    run = night("load", source, **arguments)
    assert (run.summary["invalid"], run.summary["lowered_alone"]) == (2, 2)
    assert strict.contacts[email(1)] == {NEWS: "unsubscribed"}
    again = night("again", source, **arguments)
    assert (again.summary["invalid"], again.summary["unchanged"], again.summary["files"]) == (2, 2, 0)
    assert "lowered_alone" not in again.summary
    connectif.news()
    source[1] |= {"visits": 1, NEWS: "subscribed"}
    mended = night("mended", source, **arguments)
    assert (mended.summary["updated"], connectif.news()) == (1, [("PATCH", email(1))])
    assert connectif.consents()["user1"] == "subscribed"


def test_an_import_that_fails_leaves_a_withdrawal_undelivered(
    journal: JournalDatabase, strict: StrictServer, connectif: Account
) -> None:
    source = people("unsubscribed", "unsubscribed")
    source[0]["visits"] = "many"
    strict.update(import_faults=[{"end": "error", "at_rows": 0, "times": 1}])
    run = import_rows("load", rows=source, failure_budget=1, **NIGHTS)
    assert (run.state, run.summary["undelivered"], run.summary["invalid"]) == ("up_for_retry", 1, 0)
    assert account(run.summary) == 2
    assert night("next", source, failure_budget=1).summary["lowered_alone"] == 1
    assert list(connectif.consents().values()) == ["unsubscribed", "unsubscribed"]


@pytest.mark.slow
def test_a_row_that_an_import_rejects_withdraws_its_consent_the_next_night(
    journal: JournalDatabase, strict: StrictServer, connectif: Account
) -> None:
    night("load", people(*["subscribed"] * 3))
    strict.update(import_zero=False)
    source = people("subscribed", "unsubscribed", "subscribed", visits=2)
    source[2] |= {"visits": 0, NEWS: "unsubscribed"}
    strict.update(faults=[FORBIDDEN])
    rejected = night("rejected", source, failure_budget=1)
    assert (rejected.summary["rejected"], rejected.summary["imported"]) == (1, 2)
    assert list(connectif.consents().values()) == ["subscribed", "unsubscribed", "subscribed"]
    held = night("held", source, failure_budget=1)
    assert (held.summary["held"], held.summary["lowered_alone"], held.summary["unchanged"]) == (1, 1, 2)
    assert list(connectif.consents().values()) == ["subscribed", "unsubscribed", "unsubscribed"]
    assert night("quiet", source, failure_budget=1).summary["files"] == 0


@pytest.mark.parametrize("on_existing", ["fill_empty", "keep"])
def test_what_leaves_contacts_alone_needs_no_other_file(
    journal: JournalDatabase, strict: StrictServer, connectif: Account, on_existing: str
) -> None:
    connectif.decide(email(0), **{NEWS: "unsubscribed"})
    connectif.decide(email(1), **{NEWS: "subscribed"})
    source = people("subscribed", "unsubscribed", "subscribed", "unsubscribed", tier="silver")
    source.append({**source[0], "email": email(4), "visits": "many", NEWS: "unsubscribed"})
    run = night("load", source, on_existing=on_existing, write_modes={"tier": "if_empty"}, failure_budget=1)
    assert run.summary["invalid"] == 1
    # Who withdraws in an invalid row is made a contact where the rest of it can still follow.
    more = ["unsubscribed"] if on_existing == "fill_empty" else []
    assert list(connectif.consents().values()) == ["unsubscribed", "subscribed", "subscribed", "unsubscribed", *more]
    assert switches(strict) == [on_existing == "fill_empty"] * (1 + len(more))


@pytest.mark.slow
def test_killed_amid_its_uploads(
    journal: JournalDatabase, strict: StrictServer, connectif: Account, tmp_path: Path
) -> None:
    connectif.decide(email(0), **{NEWS: "unsubscribed"})
    source = people(*["subscribed"] * 30)
    strict.update(import_faults=[{"nth": [2, 2], "times": 1, "hang": "after"}])
    process = Process(tmp_path, "load", import_rows, rows=source, **NIGHTS)
    until(lambda: len(strict.uploads) == 2)
    process.kill()
    strict.update(import_faults=[])
    run = import_rows("load", rows=source, tries_before=1, **NIGHTS)
    assert run.state == "success", run.error
    assert account(run.summary) == 30
    assert list(connectif.consents().values()) == ["unsubscribed", *["subscribed"] * 29]
    assert night("same", source).summary["unchanged"] == 30


@pytest.mark.slow
def test_files_that_wait_for_the_queue_are_written_again_as_they_were(
    journal: JournalDatabase, strict: StrictServer, connectif: Account
) -> None:
    connectif.decide(email(0), **{NEWS: "unsubscribed"})
    strict.update(foreign_imports=10)
    source = people(*["subscribed"] * 5, "none")
    source.append({"email": email(6), "visits": "many", NEWS: "unsubscribed"})
    runs = import_over_deferral(
        "load", rows=source, failure_budget=1, between=lambda _: strict.update(foreign_imports=0), **NIGHTS
    )
    assert [run.state for run in runs][-1] == "success", runs[-1].error
    assert (runs[-1].summary["imported"], runs[-1].summary["invalid"], runs[-1].summary["unconfirmed"]) == (6, 1, 5)
    assert runs[-1].summary["lowered_alone"] == 1
    held = ["unsubscribed", *["subscribed"] * 4, None, "unsubscribed"]
    assert list(connectif.consents().values()) == held
    assert night("same", source, failure_budget=1).summary["unchanged"] == 6


def test_without_a_journal_nobody_is_raised_either(strict: StrictServer, airflow_db: None, connectif: Account) -> None:
    connectif.decide(email(0), **{NEWS: "unsubscribed"})
    source = people("subscribed", "subscribed", "unsubscribed", "none")
    for run_id in ("one", "two"):
        run = night(run_id, source, journal_conn_id=None)
        assert (run.summary["imported"], run.summary["unconfirmed"]) == (4, 2)
        assert list(connectif.consents().values()) == ["unsubscribed", "subscribed", "unsubscribed", None]


def test_a_check_counts_these_files_and_requests(
    journal: JournalDatabase, strict: StrictServer, connectif: Account
) -> None:
    night("load", people("unsubscribed", *["subscribed"] * 9))
    source = people("subscribed", "unsubscribed", *["subscribed"] * 8, visits=2, **{SMS: "subscribed"})
    before = strict.requests
    check = import_rows("check", rows=source, check_only=True, **NIGHTS)
    assert (check.state, check.summary["valid"], check.summary["files"]) == ("success", 10, 2)
    # By PATCH: who is raised, with what the response decides on; and who is looked up before.
    assert (check.summary["requests_least"], check.summary["requests_most"]) == (2 + 4, 4 + 4)
    assert not [entry for entry in strict.log[before:] if entry["target"].startswith("/imports")]
