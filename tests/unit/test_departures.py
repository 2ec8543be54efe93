"""Who left the source: when they may be followed, which keys were shown, and what a plan makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_connectif.contacts.removal import checked_on_removed
from airflow_provider_connectif.journal import shown_keys
from airflow_provider_connectif.journal.left_lines import LeftLine
from airflow_provider_connectif.journal.shown_keys import ShownKeys
from airflow_provider_connectif.records.outcomes import Outcome, PendingError
from airflow_provider_connectif.records.reads import Asker, Keyless, LastRead, Reads, identity_of
from airflow_provider_connectif.reporting.verdict import Verdict, removals_verdict
from airflow_provider_connectif.runs.departures import left_earlier, was_shown, why_only_counted
from airflow_provider_connectif.runs.plan import Plan

IDENTITY = identity_of(
    task="dag.task", host="https://a", key="email", key_column="email", sql_conn_id="warehouse", sql_digest="1"
)


ASKER = Asker(IDENTITY, since=1)


def keyless(*digests: str) -> Keyless:
    return Keyless.of(len(digests), digests)


def last(**changes: object) -> LastRead:
    usual = {"run_id": "run", "generation": 3, "at": "", "rows": 10, "contacts": 10, "keyless": keyless("a")}
    series = {"identity": IDENTITY, "asked_since": 1, "has_looked": True, "looked_since": 2}
    return LastRead(**{**usual, **series, **changes})  # type: ignore[arg-type]


def plan(**changes: object) -> Plan:
    rows = dict.fromkeys(
        ("read", "to_create", "to_change", "lowered", "raised", "unchanged", "held", "invalid", "merged", "suppressed"),
        0,
    )
    way = {"requests_least": 1, "requests_most": 2, "files": 0, "minutes": None, "way": "patch", "way_reason": ""}
    return Plan(**{**rows, **way, "changed_properties": {}, "removed": None, **changes})  # type: ignore[arg-type]


def line(generation: int = 3, *, is_marked: bool = False, delivered_generation: int | None = 0) -> LeftLine:
    return LeftLine("ana@example.com", None, is_marked, generation, delivered_generation)


def test_the_same_question_of_a_complete_read_is_followed() -> None:
    assert why_only_counted(ASKER, last(), keyless=keyless("a")) == ""


@pytest.mark.parametrize(
    "name", ["rule", "task", "host", "key", "key_column", "sql_conn_id", "hook_params", "sql", "parameters"]
)
def test_another_question_is_only_counted(name: str) -> None:
    asker = Asker(IDENTITY | {name: "another"}, since=4)
    assert why_only_counted(asker, last(), keyless=keyless()).endswith("changed since the last complete read")


def test_what_else_is_only_counted() -> None:
    assert "no complete read" in why_only_counted(ASKER, None, keyless=keyless())
    assert "another task" in why_only_counted(Asker(IDENTITY, since=4), last(), keyless=keyless())
    assert "another task" in why_only_counted(Asker(IDENTITY, since=1, is_shared=True), last(), keyless=keyless())
    assert why_only_counted(ASKER, last(), keyless=keyless("a", "a")) == (
        "2 rows have no valid key, and 1 had none in the last complete read"
    )
    assert "a row without a valid key had one" in why_only_counted(ASKER, last(), keyless=keyless("b"))
    assert "contacts that have come back" in why_only_counted(ASKER, last(), keyless=keyless("a"), came_back=1)
    assert why_only_counted(ASKER, last(), keyless=keyless(), came_back=1) == ""
    no_sql = IDENTITY | {"sql": None}
    assert "do not come from SQL" in why_only_counted(Asker(no_sql, since=1), last(identity=no_sql), keyless=keyless())


@pytest.mark.parametrize(
    ("left", "is_shown"),
    [
        (line(), True),  # a read that looks would have marked it
        (line(3, is_marked=True), True),
        (line(2, is_marked=True), False),  # the first read that looked has not shown it
        (line(2, is_marked=True, delivered_generation=1), True),  # but the question has, before
        (line(2, is_marked=True, delivered_generation=None), False),
    ],
)
def test_who_was_shown_by_the_question_before(left: LeftLine, *, is_shown: bool) -> None:
    assert was_shown(left, ASKER, last()) is is_shown


@pytest.mark.parametrize(
    ("left", "is_earlier"),
    [
        (line(), False),  # acknowledged: the last read contained it
        (line(is_marked=True), True),
        (line()._replace(is_rejected=True), True),
        (line(4, is_marked=True), False),  # by an attempt that has not completed its read
        (line(4)._replace(is_rejected=True), False),
    ],
)
def test_who_left_before_the_last_complete_read(left: LeftLine, *, is_earlier: bool) -> None:
    assert left_earlier(left, last()) is is_earlier
    assert not left_earlier(left, None)


def test_where_nobody_has_looked_only_what_the_question_delivered_was_shown() -> None:
    nobody = last(has_looked=False, looked_since=0)
    assert not was_shown(line(), ASKER, nobody)
    assert was_shown(line(delivered_generation=1), ASKER, nobody)


def test_a_record_is_known_again_as_it_was_written() -> None:
    reads = Reads(ASKER, last())
    assert Reads.parse(reads.text) == reads
    assert Reads.parse(None) == Reads()


def test_of_many_rows_without_a_key_only_the_number_is_known() -> None:
    many = keyless(*(f"{number}" for number in range(501)))
    assert (many.count, many.digests) == (501, None)
    assert keyless("a").has_others_than(many)
    assert many.has_others_than(many)
    assert not keyless().has_others_than(many)
    assert "more than 500 rows" in why_only_counted(ASKER, last(keyless=many), keyless=many)
    assert keyless("a", "b").in_common_with(keyless("b", "c")) == keyless("b")
    assert keyless("a").in_common_with(many) == Keyless(1, None)


@pytest.mark.parametrize("in_memory", [1, 3, 1000])
def test_keys_that_were_not_shown_are_found_in_their_order(
    in_memory: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shown_keys, "_IN_MEMORY", in_memory)
    keys = [f"user{number}@example.com" for number in range(20)]
    shown = ShownKeys(tmp_path)
    for first in range(0, 20, 4):
        shown.add([*keys[first : first + 4][::2], None])
    assert shown.without_shown(keys) == keys[1::2]
    assert shown.without_shown(keys[::2]) == []
    shown.add(keys[1::2])
    assert shown.without_shown(keys) == []
    assert list(tmp_path.iterdir()) == []  # the file has no name
    shown.close()


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shown_keys, "_IN_MEMORY", 1)
    with pytest.raises(PendingError, match=r"no-such-folder.*nothing was sent"):
        ShownKeys(tmp_path / "no-such-folder").add(["ana@example.com"])


@pytest.mark.parametrize(
    "on_removed",
    [
        *(None, "delete", {"active": False, "tags": ["a"], "n": 1.5, "x": None}),
        *({"_smsSubscriptionStatus": "unsubscribed"}, {"_mobilePhoneStatus": "bounced"}),
    ],
)
def test_what_may_be_done_about_who_left(on_removed: object) -> None:
    assert checked_on_removed(on_removed) == on_removed


@pytest.mark.parametrize(
    ("on_removed", "words"),
    [
        ("remove", "must be None, 'delete', or a dict"),
        ({}, "must be None, 'delete', or a dict"),
        ({"_newsletterSubscriptionStatus": "none"}, "may only be 'unsubscribed', its lowest value"),
        ({"_emailStatus": "active"}, "may only be 'banned'"),
        ({"_mobilePhoneStatus": "banned"}, "may only be 'bounced'"),
        ({"_email": "x@example.com"}, "'_email' cannot be set"),
        ({"a": float("nan")}, "the value of 'a' must be"),
        ({"a": {"b": 1}}, "the value of 'a' must be"),
    ],
)
def test_what_may_not(on_removed: object, words: str) -> None:
    with pytest.raises(ValueError, match="on_removed") as raised:
        checked_on_removed(on_removed)
    assert words in str(raised.value)


def test_a_run_fails_that_could_not_follow_everybody() -> None:
    assert removals_verdict({}) is None
    assert removals_verdict({Outcome.UPDATED: 3}) is None
    assert removals_verdict({Outcome.UPDATED: 3, Outcome.REJECTED: 1}) == (
        Verdict.FAILED,
        "on_removed failed for 1 of 4 contacts that left the source",
    )
    assert removals_verdict({Outcome.UNDELIVERED: 1, Outcome.REJECTED: 1}) == (
        Verdict.TRY_AGAIN,
        "on_removed failed for 2 of 2 contacts that left the source",
    )


@pytest.mark.parametrize(
    ("removed", "earlier", "words"),
    [
        (0, 0, "left since the last complete read: 0"),
        (7, 0, "left since the last complete read: 7"),
        (7, 4, "left since the last complete read: 3, and 4 earlier whose change is due"),
    ],
)
def test_a_plan_says_since_when_contacts_have_left(removed: int, earlier: int, words: str) -> None:
    assert f"  {words}" in plan(removed=removed).describe(left_earlier=earlier).split("\n")


@pytest.mark.parametrize(
    ("way", "reason", "words"),
    [
        ("patch", "PATCH takes about 5 min, an import about 8 min", "PATCH is chosen: it takes about 5 min, an import"),
        ("patch", "an import would send all of it by PATCH, too", "PATCH is chosen: an import would send all of it"),
        ("import", "PATCH takes about 9 min, an import about 2 min", "import is chosen: PATCH takes about 9 min, an"),
    ],
)
def test_a_plan_names_the_way_that_is_chosen(way: str, reason: str, words: str) -> None:
    *_, cost, choice = plan(way=way, way_reason=reason).describe(was_chosen=True).split("\n")
    assert cost.endswith(
        " 1 to 2 requests, depending on the responses, duration unknown: no similar import is known yet"
    )
    assert choice.startswith(f"  {words}")
