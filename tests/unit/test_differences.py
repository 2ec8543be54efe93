"""What of a row's patch is sent: the properties that differ from what Connectif has accepted."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import pytest

from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.contacts.resource import ContactResource
from airflow_provider_connectif.journal.differences import Difference, Differences
from airflow_provider_connectif.journal.digests import patch_digest
from airflow_provider_connectif.journal.patch_columns import remaining
from airflow_provider_connectif.journal.properties import (
    Known,
    PropertyDigester,
    compared,
    entries_of,
    kept_marks,
    only,
    refused_marks,
    updated,
    without,
)
from airflow_provider_connectif.records.changes import Patch, Standing
from tests.support.things import ThingResource

CONTACTS = ContactResource(ContactMapping())
KEY = "ana@example.com"


def differences(*, sends_all: bool = False, resource: Any = CONTACTS, secret: bytes | None = None) -> Differences:
    return Differences(resource, "mapping", "", secret, sends_all=sends_all)


def column(properties: Mapping[str, Any], secret: bytes | None = None) -> bytes:
    """The digests of properties that Connectif has accepted."""
    found = differences(secret=secret).of(Patch(1, KEY, properties, {}), KEY, Known(), "row").patch.digests
    assert found is not None
    assert found.properties is not None
    return found.properties


def of(properties: Mapping[str, Any], known: Known, **arguments: Any) -> Any:
    return differences(**arguments).of(Patch(1, KEY, properties, {}), KEY, known, "row")


def test_a_new_contact_gets_all() -> None:
    found = of({"_name": "Ana", "visits": 1}, Known())
    assert (found.patch.properties, found.patch.others, found.is_held) == ({"_name": "Ana", "visits": 1}, {}, False)


def test_only_what_differs_is_sent_and_the_rest_is_known() -> None:
    found = of({"_name": "Bea", "visits": 1, "tier": "gold"}, Known(column({"_name": "Ana", "visits": 1})))
    assert found.patch.properties == {"_name": "Bea", "tier": "gold"}
    assert found.patch.others == {"visits": 1}
    assert found.patch.whole == {"_name": "Bea", "visits": 1, "tier": "gold"}
    assert found.patch.digests.before == column({"_name": "Ana", "visits": 1})
    held = set(entries_of(found.patch.digests.properties))
    assert held == set(entries_of(column({"_name": "Bea", "visits": 1, "tier": "gold"})))


@pytest.mark.parametrize(
    "accepted",
    [
        pytest.param({"_name": "Ana", "visits": 1}, id="the same order"),
        pytest.param({"visits": 1, "_name": "Ana"}, id="a mapping in another order"),
    ],
)
def test_what_the_row_does_not_say_stays_known(accepted: dict[str, Any]) -> None:
    found = of({"visits": 2}, Known(column(accepted)))
    assert set(entries_of(found.patch.digests.properties)) == set(entries_of(column({"_name": "Ana", "visits": 2})))


@pytest.mark.parametrize(("one", "other"), [(1, 1.0), (1, True), ("1", 1), (["a"], "a"), (None, ""), (0, -0.0)])
def test_values_of_another_type_differ(one: Any, other: Any) -> None:
    assert of({"tier": other}, Known(column({"tier": one}))).patch.properties == {"tier": other}


def test_what_is_accepted_of_one_contact_or_with_one_secret_says_nothing_of_another() -> None:
    known = Known(column({"_name": "Ana"}))
    other = differences().of(Patch(1, "bea@example.com", {"_name": "Ana"}, {}), "bea@example.com", known, "row")
    assert not other.is_held
    assert not of({"_name": "Ana"}, known, secret=b"secret").is_held
    assert of({"_name": "Ana"}, Known(column({"_name": "Ana"}, b"secret")), secret=b"secret").is_held


def test_what_connectif_holds_is_not_sent() -> None:
    assert of({"_name": "Ana"}, Known(column({"_name": "Ana", "visits": 1}))).is_held
    assert of({}, Known(column({"_name": "Ana"}))).is_held
    assert not of({}, Known()).is_held


def test_a_full_refresh_sends_all_and_keeps_what_is_known() -> None:
    found = of({"_name": "Ana"}, Known(column({"_name": "Ana", "visits": 1})), sends_all=True)
    assert (found.is_held, found.patch.properties) == (False, {"_name": "Ana"})
    assert set(entries_of(found.patch.digests.properties)) == set(entries_of(column({"_name": "Ana", "visits": 1})))


def test_a_thing_that_takes_no_part_gets_all_if_anything_differs() -> None:
    things = ThingResource()
    known = Known(column({"a": 1, "b": 1}))
    assert of({"a": 1, "b": 2}, known, resource=things).patch.properties == {"a": 1, "b": 2}
    assert of({"a": 1, "b": 1}, known, resource=things).is_held


@pytest.mark.parametrize("key", [KEY, ""])
def test_of_a_line_of_an_earlier_version_the_whole_patch_decides(key: str) -> None:
    whole = patch_digest({"_name": "Ana", "visits": 1}, key=key)
    found = of({"visits": 1, "_name": "Ana"}, Known(None, whole))
    assert found.is_held
    assert set(entries_of(found.patch.digests.properties)) == set(entries_of(column({"_name": "Ana", "visits": 1})))
    found = of({"visits": 2, "_name": "Ana"}, Known(None, whole))
    assert (found.is_held, found.patch.properties) == (False, {"visits": 2, "_name": "Ana"})


@pytest.mark.parametrize("version", ["now", "before"])
def test_several_rows_that_were_refused_are_known_again(version: str) -> None:
    properties = {"_name": "Ana"}
    patch = Patch(1, KEY, properties, {})
    now = differences().of(patch, KEY, Known(), "").patch.digests
    assert now is not None
    refused = now.patch if version == "now" else patch_digest(properties, key=KEY)
    assert differences().of(patch, KEY, Known(), "", refused).is_refused
    assert not differences().of(patch, KEY, Known(), "row", refused).is_refused
    assert not differences().of(patch._replace(properties={"_name": "Bea"}), KEY, Known(), "", refused).is_refused


def test_a_column_has_at_most_twelve_bytes_a_property_and_no_value() -> None:
    properties = {f"field-{number}": "Ana" for number in range(150)}
    found = column(properties)
    assert len(found) == 12 * 150
    assert b"Ana" not in found


def test_columns_lose_and_keep_properties_by_name() -> None:
    chance = random.Random(1)
    names = [f"p{number}" for number in range(20)]
    entries = PropertyDigester("").entries(KEY, dict.fromkeys(names, 1))
    every = b"".join(entries)
    for _ in range(50):
        some = chance.sample(names, chance.randrange(20))
        assert sorted(entries_of(without(every, some)) + entries_of(only(every, some))) == sorted(entries_of(every))
        assert set(entries_of(only(every, some))) == set(PropertyDigester("").entries(KEY, dict.fromkeys(some, 1)))
        assert len(without(every, some)) == 12 * (20 - len(some))


NEWS = "_newsletterSubscriptionStatus"
ROW = {"_name": "Ana", NEWS: "subscribed"}


def standing(column_: bytes, value: str = "subscribed") -> Standing:
    found = differences().of(Patch(1, KEY, {**ROW, NEWS: value}, {}), KEY, Known(column_), "row")
    return found.patch.standings[NEWS]


@pytest.mark.parametrize(("accepted", "rank"), [("unsubscribed", 0), ("none", 1), ("subscribed", 2)])
def test_the_rank_of_the_accepted_value_is_known(accepted: str, rank: int) -> None:
    assert standing(column({NEWS: accepted})) == Standing(rank)


def test_a_consent_without_an_entry_has_no_rank() -> None:
    assert standing(column({"_name": "Ana"})) == Standing()
    whole = patch_digest(ROW, "", KEY)
    found = differences().of(Patch(1, KEY, ROW, {}), KEY, Known(None, whole), "row")
    assert (found.is_held, found.patch.standings[NEWS].rank) == (True, 2)


def test_a_kept_consent_stays_kept_and_costs_nothing() -> None:
    kept = updated(column(ROW), kept_marks([NEWS]))
    assert standing(kept) == Standing(2, is_kept=True)
    found = of(ROW, Known(kept))
    assert found.is_held
    assert standing(found.patch.digests.properties) == Standing(2, is_kept=True)


def test_while_a_consent_is_on_its_way_its_rank_of_before_is_known_and_its_value_is_not() -> None:
    before = column({NEWS: "unsubscribed", "_name": "Ana"})
    patch = of(ROW, Known(before)).patch
    assert patch.properties == {NEWS: "subscribed"}
    on_its_way = remaining(patch)
    assert on_its_way is not None
    for value in ("subscribed", "unsubscribed"):
        again = of({**ROW, NEWS: value}, Known(on_its_way))
        assert again.patch.standings[NEWS] == Standing(0, is_unseen=True)
        assert (again.is_held, {**again.patch.properties, **again.patch.later}) == (False, {NEWS: value})
    assert standing(patch.digests.properties) == Standing(2)
    # A second doubt keeps the oldest value that is known.
    assert standing(remaining(of(ROW, Known(on_its_way)).patch) or b"") == Standing(0, is_unseen=True)


def test_a_full_refresh_sends_no_consent_that_is_held() -> None:
    found = of(ROW, Known(column(ROW)), sends_all=True)
    assert (found.patch.properties, found.patch.others, found.is_held) == (
        {"_name": "Ana"},
        {NEWS: "subscribed"},
        False,
    )
    only_consent = of({NEWS: "subscribed"}, Known(column(ROW)), sends_all=True)
    assert only_consent.is_held


def test_in_another_mode_a_value_is_another_one() -> None:
    once = ContactResource(ContactMapping(), write_modes={"source": "on_create"})
    patch = Patch(1, KEY, {"source": "web"}, {}, was_delivered=True)
    held = differences(resource=once).of(patch, KEY, Known(column({"_name": "Ana"})), "row").patch.digests
    assert held is not None
    assert differences(resource=once).of(patch, KEY, Known(held.properties), "row").is_held
    assert of({"source": "web"}, Known(held.properties)).patch.properties == {"source": "web"}


def beside(column_: bytes | None, row_digest: str = "row", **arguments: Any) -> Difference | None:
    patch = Patch(1, KEY, {NEWS: "unsubscribed"}, {}, was_delivered=True)
    return differences(**arguments).beside(patch, KEY, Known(column_), row_digest)


def test_a_withdrawal_beside_its_row_goes_once() -> None:
    found = beside(column(ROW))
    assert found is not None
    assert (found.patch.properties, found.patch.looks_up, found.is_held) == ({NEWS: "unsubscribed"}, True, False)
    unknown, known = beside(None), beside(column({NEWS: "unsubscribed"}))
    assert unknown is not None
    assert not unknown.is_held
    assert known is not None
    assert known.is_held


def test_a_withdrawal_that_was_refused_alone_is_held_with_its_row() -> None:
    refused = updated(column(ROW), refused_marks([NEWS], "row"))
    assert beside(refused) is None
    assert beside(refused, "another row") is not None
    assert beside(refused, sends_all=True) is not None


ENTRIES = [bytes([name]) * 4 + bytes([value]) * 8 for name in range(1, 4) for value in (7, 8)]
A7, A8, B7, B8, C7, C8 = ENTRIES


@pytest.mark.parametrize(
    ("column", "entries"),
    [
        ([A7, B7, C7], [A7, B7, C7]),
        ([A7, B7, C7], [A8, B7, C8]),
        ([C7, A7, B7], [A7, B8]),  # another property stands before them
        ([A7, B7, C7], [A7, C8]),  # one stands between them
        ([A7, B7, C7], [C7, B8, A7]),
        ([A7], [A7, B7]),
        ([], [A7]),
        ([A7, B7], []),
    ],
)
def test_entries_are_compared_as_if_each_were_looked_for(column: list[bytes], entries: list[bytes]) -> None:
    differing, after = compared(b"".join(column), entries)
    assert differing == [place for place, entry in enumerate(entries) if entry not in column]
    assert after == updated(b"".join(column), entries)
