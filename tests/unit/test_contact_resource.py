"""Contacts as a resource: what the stages of a run ask of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from airflow_provider_connectif.api.errors import MalformedResponseError
from airflow_provider_connectif.api.response import IsOwn, Response
from airflow_provider_connectif.contacts.fields import KeyKind
from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.contacts.resource import ContactResource
from airflow_provider_connectif.records.changes import Patch

MAPPED = ContactMapping(properties={"_name": "first_name", "_newsletterSubscriptionStatus": "news"})


class Client:
    """Takes one call and says what it was."""

    def __init__(self, shown: Any = None, definitions: Any = ()) -> None:
        self.shown = shown
        self.definitions = definitions
        self.calls: list[tuple[str, str, Mapping[str, Any], bool]] = []

    def patch_contact(self, email: str, patch: Any, *, is_own: IsOwn, on_fresh_connection: bool) -> Response:
        self.calls.append(("email", email, patch, on_fresh_connection))
        return Response(200, self.shown, is_own(self.shown))

    def patch_contact_by_external_id(
        self, key: str, patch: Any, *, is_own: IsOwn, on_fresh_connection: bool
    ) -> Response:
        self.calls.append(("external_id", key, patch, on_fresh_connection))
        return Response(200, self.shown, is_own(self.shown))

    def list_contact_fields(self) -> Any:
        return self.definitions


@pytest.mark.parametrize("kind", ["email", "external_id"])
@pytest.mark.parametrize("on_fresh_connection", [True, False])
def test_a_change_is_sent_to_the_path_of_its_key(kind: Any, on_fresh_connection: bool) -> None:
    client = Client()
    change = Patch(1, "Ana@example.com", {"_name": "Ana"}, {})
    resource = ContactResource(ContactMapping(kind))
    assert resource.send(client, change, on_fresh_connection=on_fresh_connection).is_own
    assert client.calls == [(kind, "Ana@example.com", {"_name": "Ana"}, on_fresh_connection)]


@pytest.mark.parametrize(("shown", "is_own"), [("ANA@example.com", True), ("eva@example.com", False), (None, True)])
def test_a_response_with_another_key_is_not_the_changes_own(shown: str | None, is_own: bool) -> None:
    client = Client({"_email": shown})
    answer = ContactResource(ContactMapping()).send(client, Patch(1, "ana@example.com", {}, {}))
    assert answer.is_own is is_own


def test_a_glance_gives_the_form_of_a_closer_look_or_nothing() -> None:
    values = ["Ana@Example.com", "plain", None, 7, "línea@example.com", "a\0b@example.com", "e\u0301@example.com"]
    resource = ContactResource(ContactMapping())
    glanced = resource.unconverted_keys(values)
    assert glanced == ["ana@example.com", "plain", None, None, None, None, None]
    assert resource.key_of({"email": values[0]}) == glanced[0]
    assert resource.key_of({"email": "plain"}) is None
    assert ContactResource(ContactMapping("external_id")).unconverted_keys(["Ñ-1"]) == ["Ñ-1"]


@pytest.mark.parametrize("odd", ["", "ANA@Example.com", "línea@example.com", "a\0b@example.com", "a\nb", "e\u0301"])
@pytest.mark.parametrize("kind", ["email", "external_id"])
def test_a_glance_at_texts_alone_gives_what_a_glance_at_any_values_gives(kind: KeyKind, odd: str) -> None:
    resource, values = ContactResource(ContactMapping(kind)), ["Bea@example.com", odd, "plain"]
    assert resource.unconverted_keys(values) == resource.unconverted_keys([*values, None])[:3]
    assert resource.unconverted_keys([odd]) == resource.unconverted_keys([odd, None])[:1]


def test_a_consent_keeps_its_lowest_rank_when_rows_are_merged() -> None:
    consent = "_newsletterSubscriptionStatus"
    merged = ContactResource(MAPPED).merged(
        {"_name": "A", consent: "unsubscribed"}, {"_name": "B", consent: "subscribed"}
    )
    assert merged == {"_name": "B", consent: "unsubscribed"}


def test_the_warning_names_the_consent_that_is_always_raised() -> None:
    assert ContactResource(MAPPED).warning_about(["_newsletterSubscriptionStatus"]) is None
    resource = ContactResource(MAPPED, resubscribe="always")
    assert resource.written_columns == ["_name", "_newsletterSubscriptionStatus"]
    words = resource.warning_about(resource.written_columns)
    assert words is not None
    assert "Properties: _newsletterSubscriptionStatus." in words
    assert resource.warning_about(["_name", 7, None]) is None
    assert ContactResource(ContactMapping()).written_columns is None


def test_definitions_are_checked_before_they_are_believed() -> None:
    resource = ContactResource(ContactMapping())
    known = {"id": "tier", "type": "text", "name": "Tier"}
    assert resource.with_definitions(Client(definitions=[known])).mapping.fields.get("tier") is not None
    with pytest.raises(MalformedResponseError, match="no field at all"):
        resource.with_definitions(Client(definitions=[]))
    with pytest.raises(MalformedResponseError):
        resource.with_definitions(Client(definitions=[{"id": 7}]))


def test_an_address_that_another_contact_had_while_keys_were_folded_is_known() -> None:
    resource = ContactResource(ContactMapping())
    assert resource.is_of_another_before("gross@example.com")
    assert not resource.is_of_another_before("kim@example.com")
    assert resource.key_of({"email": "\u017fam@example.com"}) is not None  # a long s, which folding made an s
    assert resource.is_of_another_before("sam@example.com")
    assert not ContactResource(ContactMapping("external_id")).is_of_another_before("gross")
