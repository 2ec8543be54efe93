"""What of a change an import's files carry, what goes by PATCH, and what is kept where no response decides."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_connectif.api.errors import ConnectifHttpError, NoResponseError, error_class
from airflow_provider_connectif.api.response import Response
from airflow_provider_connectif.contacts.by_import import LOOK_UPS_AT_MOST, Ways, is_without_effect
from airflow_provider_connectif.contacts.first_patch import FirstPatch
from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.contacts.resource import ContactResource
from airflow_provider_connectif.imports.files import ImportFiles, write_again
from airflow_provider_connectif.imports.rules import ImportRules
from airflow_provider_connectif.imports.shapes import Shapes, Survey
from airflow_provider_connectif.imports.writing import Split
from airflow_provider_connectif.journal.import_state import Group, ImportState, SentFile
from airflow_provider_connectif.journal.pending import PendingChange, PendingChanges, Rank
from airflow_provider_connectif.records.changes import Patch, Standing
from tests.support.import_files import read

NEWS, SMS, MAIL = "_newsletterSubscriptionStatus", "_smsSubscriptionStatus", "_emailStatus"
MAPPING = ContactMapping(properties={name: name for name in ("_name", "_surname", NEWS, SMS, MAIL)})
UPDATE = {"may_patch": True, "sets_empty": True}


def change(number: int = 1, *, first: Any = None, later: Any = None, **more: Any) -> Patch:
    return Patch(number, f"user{number}@example.com", first or {}, {}, later=later or {}, **more)


def known(rank: int | None, *, is_kept: bool = False, name: str = NEWS) -> dict[str, Any]:
    return {"was_delivered": True, "standings": {name: Standing(rank, is_kept)}}


RISE = change(first={"_name": "x", NEWS: "subscribed"}, **known(0))
FALL = change(first={"_name": "x"}, later={NEWS: "none"}, **known(2))
WITHDRAWAL = change(first={"_name": "x", NEWS: "unsubscribed"}, looks_up=True, **known(2))
UNKNOWN = change(first={"_name": "x"}, later={NEWS: "subscribed"})


def routed(patch: Patch, change_ways: Callable[[Ways], None] = lambda ways: None, **ways: bool) -> list[Patch]:
    made = Ways(**(UPDATE | ways))
    change_ways(made)
    return list(made.of([patch]))


def forbid(ways: Ways) -> None:
    ways.may_patch = False


def look_at_none(ways: Ways) -> None:
    ways.looks_up = False


@pytest.mark.parametrize(
    ("patch", "by_patch", "is_looked_up"),
    [(RISE, True, False), (FALL, True, True), (WITHDRAWAL, True, True), (UNKNOWN, False, False)],
)
def test_what_only_a_response_can_decide_goes_by_patch(patch: Patch, by_patch: bool, is_looked_up: bool) -> None:
    ways = Ways(**UPDATE)
    assert list(ways.of([patch])) == [patch]
    assert (ways.needs_patch(patch), ways.needs_look_up(patch)) == (by_patch, is_looked_up)


@pytest.mark.parametrize(
    ("patch", "properties", "kept"),
    [
        (RISE, {"_name": "x"}, {NEWS}),
        (FALL, {"_name": "x"}, {NEWS}),
        (WITHDRAWAL, {"_name": "x", NEWS: "unsubscribed"}, {NEWS}),
        (UNKNOWN, {"_name": "x"}, set()),
    ],
)
def test_where_the_key_may_not_write_contacts_nothing_is_raised(
    patch: Patch, properties: dict[str, Any], kept: set[str]
) -> None:
    (found,) = routed(patch, forbid)
    assert (found.properties, found.kept, found.looks_up) == (properties, kept, False)
    assert found.whole == patch.whole
    ways = Ways(**UPDATE)
    forbid(ways)
    assert not ways.needs_patch(found)


@pytest.mark.parametrize(("patch", "by_patch"), [(RISE, True), (FALL, False), (WITHDRAWAL, False)])
def test_where_too_many_would_be_looked_up_only_raises_go_by_patch(patch: Patch, by_patch: bool) -> None:
    (found,) = routed(patch, look_at_none)
    assert Ways(**UPDATE).needs_patch(found) == by_patch
    assert found.kept == (set() if by_patch else {NEWS})


def test_a_consent_that_is_kept_already_is_not_kept_once_more() -> None:
    (found,) = routed(change(first={NEWS: "subscribed"}, **known(0, is_kept=True)), forbid)
    assert (found.properties, found.kept) == ({}, set())


def test_files_need_no_value_that_says_nothing_and_none_that_is_kept() -> None:
    later = {NEWS: "none", SMS: "subscribed", MAIL: "active", "city": "Lugo"}
    standings = {SMS: Standing(0, is_kept=True), MAIL: Standing()}
    found = Ways(**UPDATE).in_files(change(later=later, standings=standings))
    assert (found.later, found.kept) == ({MAIL: "active", "city": "Lugo"}, set())
    assert found.others == {NEWS: "none", SMS: "subscribed"}


def test_files_that_leave_contacts_alone_carry_all_at_once() -> None:
    both = {"_name": "x", NEWS: "subscribed"}
    (found,) = routed(UNKNOWN, may_patch=False)
    assert (found.properties, found.later) == (both, {})
    (lowered,) = routed(WITHDRAWAL, may_patch=False)
    assert (lowered.looks_up, lowered.kept) == (False, set())


@pytest.mark.parametrize("sets_empty", [True, False])
def test_files_that_leave_contacts_alone_have_no_kept_consent(sets_empty: bool) -> None:
    """A contact may have been deleted at Connectif, and its file creates it again."""
    standings = {NEWS: Standing(2, is_kept=True), SMS: Standing(2, is_kept=True), MAIL: Standing(2)}
    patch = change(first={"_name": "x", SMS: "unsubscribed"}, later={NEWS: "subscribed", MAIL: "active"})
    (found,) = routed(patch._replace(standings=standings), may_patch=False, sets_empty=sets_empty)
    assert found.properties == {"_name": "x", SMS: "unsubscribed", MAIL: "active"}
    assert (found.later, found.others, found.kept) == ({}, {NEWS: "subscribed"}, set())


def test_a_refused_row_makes_no_contact_that_would_never_get_the_rest_of_it() -> None:
    alone = change(first={NEWS: "unsubscribed"}, counted_as="invalid")
    assert routed(alone, may_patch=False, sets_empty=False) == []
    assert routed(alone, may_patch=False) == [alone]


@pytest.mark.parametrize(
    ("patch", "is_nothing"),
    [
        (change(was_delivered=True), True),
        (change(), False),  # the contact has to be made
        (change(later={"city": "Lugo"}, was_delivered=True), False),
        (change(first={"_name": "x"}, was_delivered=True), False),
    ],
)
def test_a_contact_that_is_there_needs_no_empty_line(patch: Patch, is_nothing: bool) -> None:
    assert is_without_effect(patch) == is_nothing


def split_of(patches: list[Patch], **rules: Any) -> Split:
    pending = PendingChanges(ContactResource(MAPPING))
    ranks = [Rank.NEW if patch.counted_as is None else Rank.BESIDE for patch in patches]
    pending.add(PendingChange(patch, patch.key, rank) for patch, rank in zip(patches, ranks, strict=True))
    return Split(pending, MAPPING, ImportRules(**({"patch_leftovers": False} | rules)))


def ways_of(split: Split) -> tuple[set[int], set[int]]:
    """The numbers of the rows that go by PATCH, and in files."""
    return {patch.number for patch in split.by_patch()}, {patch.number for batch in split.by_file() for patch in batch}


def test_a_plan_is_split_by_what_each_contact_needs() -> None:
    split = split_of([patch._replace(number=n, key=f"{n}@x.com") for n, patch in enumerate((RISE, FALL, UNKNOWN))])
    assert ways_of(split) == ({0, 1}, {2})
    assert (split.patches, split.looked_up, split.kept) == (2, 1, 0)
    split.patch_nothing()
    assert ways_of(split) == (set(), {0, 1, 2})
    assert (split.patches, split.kept) == (0, 2)


@pytest.mark.sampled(1)
@pytest.mark.parametrize(("more", "looked_up"), [(0, True), (1, False)])
def test_a_thousand_contacts_are_looked_up_and_not_one_more(more: int, looked_up: bool) -> None:
    count = LOOK_UPS_AT_MOST + more
    split = split_of([WITHDRAWAL._replace(number=n, key=f"{n}@x.com") for n in range(count)])
    assert (split.patches, split.kept) == ((count, 0) if looked_up else (0, count))


def test_so_few_contacts_that_their_files_take_more_requests_go_by_patch() -> None:
    patches = [UNKNOWN._replace(number=n, key=f"{n}@x.com") for n in range(2)]
    # Two files are uploaded and polled; each contact takes two requests at most.
    assert ways_of(split_of(patches[:1], patch_leftovers=None)) == ({0}, set())
    assert ways_of(split_of(patches, patch_leftovers=None)) == (set(), {0, 1})


def test_files_that_fill_count_for_the_queue() -> None:
    names = [f"c{n:02}" for n in range(9)]
    patches = [change(10 * n + m, first={name: "x"}) for n, name in enumerate(names) for m in range(n + 2)]
    later = [change(1000 + n, later={NEWS: "subscribed", SMS: "subscribed"}) for n in range(5)]
    survey = Survey.of([patches + later], Shapes())
    layout = ImportRules(file_layout="shape", patch_leftovers=True).layout(survey)
    assert (layout.files, layout.patched) == (10, {(names[0],)})
    assert (survey.contacts, survey.filled, survey.filled_only) == (len(patches) + 5, 5, 5)


def test_files_in_the_order_of_their_uploads(tmp_path: Path) -> None:
    patches = [
        change(1, first={"_name": "a"}, later={NEWS: "subscribed", SMS: "subscribed"}),
        change(2, first={"_name": "b"}, later={NEWS: "subscribed"}, kept=frozenset({SMS})),
        change(3, first={NEWS: "unsubscribed"}, counted_as="invalid"),
        change(4, first={"_name": "d"}),
        change(5, first={NEWS: "unsubscribed"}, counted_as="held"),
        change(6, later={NEWS: "subscribed"}),
    ]
    with ImportFiles(tmp_path / "x", MAPPING) as files:
        for patch in patches:
            files.add(patch)
        made = files.close()
        assert [(file.columns, file.rows, file.only_empty) for file in made] == [
            ((NEWS,), 2, False),  # of rows that are refused
            ((NEWS,), 3, True),
            ((SMS,), 1, True),
            (("_name",), 3, False),
        ]
        assert [row[NEWS] for row in read(made[0])] == ["unsubscribed"] * 2
        groups = [(group.rows, group.filled, group.kept, group.counted_as) for group in files.groups]
        own = [(1, 1, 0, None), (1, 1, 1, None), (1, 0, 0, "invalid"), (1, 0, 0, None), (1, 0, 0, "held")]
        assert groups == [*own, (1, 1, 0, None)]

        sent = [SentFile(file.number, file.rows, list(file.columns), only_empty=file.only_empty) for file in made]
        contacts = [(files.groups[files.group_of(patch.number)], patch) for patch in patches]
        again = write_again(tmp_path / "y", MAPPING, ",", files.types, sent, [contacts])
        assert [again[file.number].path.read_bytes() for file in made] == [file.path.read_bytes() for file in made]


def test_what_groups_are_outlives_the_process() -> None:
    group = Group([1, 2], 5, 1, filled=4, kept=2, counted_as="held")
    state = ImportState([SentFile(1, 5, [NEWS], only_empty=True)], [group])
    found = ImportState.from_json(state.as_json())
    assert found is not None
    assert (found.groups, found.files[0].only_empty) == ([group], True)


class Connectif:
    """Responds to requests about contacts in turn, and notes which they were."""

    def __init__(self, *responses: Any) -> None:
        self.responses = list(responses)
        self.requests: list[str] = []

    def _respond(self, method: str) -> Any:
        self.requests.append(method)
        response = self.responses.pop(0)
        if isinstance(response, Exception):
            raise response
        return response

    def get_contact(self, key: str) -> Any:
        return self._respond("GET")

    def patch_contact(self, key: str, properties: Any, **more: Any) -> Any:
        return self._respond("PATCH")


def error(status: int, *, document: bool = True) -> ConnectifHttpError:
    return error_class(status)(status, is_error_document=document)


THERE = {"_email": "user1@example.com"}


@pytest.mark.parametrize(
    ("patch", "responses", "is_allowed"),
    [
        (RISE, [Response(200, THERE)], True),
        (RISE, [error(403)], False),
        (RISE, [error(403, document=False)], True),  # of somebody in between
        (RISE, [error(401)], True),
        (RISE, [NoResponseError("none")], True),
        (WITHDRAWAL, [THERE, error(403)], False),
        (WITHDRAWAL, [error(403), error(403)], False),  # it may neither read nor write
        (WITHDRAWAL, [error(403), Response(200, THERE)], True),
        (WITHDRAWAL, [error(401)], True),
    ],
)
def test_the_first_patch_shows_whether_the_key_may_write_contacts(
    patch: Patch, responses: list[Any], is_allowed: bool
) -> None:
    client: Any = Connectif(*responses)
    first = FirstPatch(client, MAPPING)
    assert first.is_allowed(patch) == is_allowed
    assert client.responses == []


def test_the_sender_gets_the_responses_to_the_first_requests_once() -> None:
    client: Any = Connectif(THERE, Response(200, THERE), Response(201, THERE))
    first = FirstPatch(client, MAPPING)
    assert first.is_allowed(WITHDRAWAL)
    look_up = first.next_request(WITHDRAWAL, 0.0)
    step = first.step(look_up, first.send(client, look_up))
    assert step is not None
    assert first.send(client, step.patch).status == 200
    assert client.requests == ["GET", "PATCH"]
    assert first.send(client, step.patch).status == 201  # a retry is a request of its own


def test_a_response_to_a_look_up_is_none_to_a_patch() -> None:
    """Another contact's look-up was forbidden meanwhile, so that the first one is not looked up any more."""
    client: Any = Connectif(error(403), Response(200, THERE))
    first = FirstPatch(client, MAPPING)
    assert first.is_allowed(WITHDRAWAL)
    assert first.send(client, WITHDRAWAL._replace(looks_up=False)).status == 200
