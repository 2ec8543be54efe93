"""The catalogue of contact fields: section 4 of the notes (resources/contactfield, contactfieldlist)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_connectif.sandbox import SandboxProcess
from tests.support.sandboxes import ask


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxProcess]:
    with SandboxProcess(requests_per_minute=0) as process:
        yield process
        assert process.log_text() == ""


def all_pages(sandbox: SandboxProcess, first: str) -> list[dict[str, Any]]:
    path, pages = first, []
    while True:
        page = ask(sandbox, "GET", path).json()
        pages.append(page)
        following = page["links"].get("next")
        if following is None:
            return pages
        path = following.removeprefix(sandbox.url)


def test_the_catalogue_describes_fields_of_every_type(sandbox: SandboxProcess) -> None:
    """Section 4.2: the properties that are always there; options, limits and defaults where they belong."""
    fields = {field["id"]: field for page in all_pages(sandbox, "/contact-fields/") for field in page["results"]}
    assert {field["type"] for field in fields.values()} == {
        *("text", "email", "phone", "integer", "decimal", "boolean", "date", "radio", "checkbox")
    }
    for field in fields.values():
        assert field.keys() >= {"id", "name", "type", "custom", "readOnly", "required"}
        assert field["custom"] is not field["id"].startswith("_")
        assert ("defaultValue" in field) is field["required"]
    assert fields["loyalty_tier"]["options"][0] == {"id": "bronze", "label": "Bronze"}
    assert (fields["city"]["maxLength"], fields["order_count"]["minValue"]) == (80, 0)
    assert fields["landline"]["defaultCountryCode"] == "34"
    assert fields["_rfm"]["readOnly"] is True
    assert ask(sandbox, "GET", "/contact-fields/vip/").json() == fields["vip"]


@pytest.mark.slow
@pytest.mark.parametrize("links", ["absolute", "relative"])
def test_pages_are_linked_until_the_last(links: str) -> None:
    """Section 4.1: `links.next` and `links.prev`; both forms, as the documents do not say which."""
    with SandboxProcess(requests_per_minute=0, page_size=7, links=links) as sandbox:
        pages = all_pages(sandbox, "/contact-fields")
        ids = [field["id"] for page in pages for field in page["results"]]
        start = f"{sandbox.url}/contact-fields/?page=" if links == "absolute" else "/contact-fields/?page="
        assert pages[0]["links"] == {"next": f"{start}2"}
        assert pages[1]["links"] == {"next": f"{start}3", "prev": f"{start}1"}
        assert pages[-1]["links"].keys() == {"prev"}
        assert len(ids) == len(set(ids)) > 7 * (len(pages) - 1)


def test_the_page_size_of_a_request_goes_on_in_its_links(sandbox: SandboxProcess) -> None:
    """Section 4.1: `page` and `pageSize` are what a client of a sibling list sends (assumption)."""
    pages = all_pages(sandbox, "/contact-fields/?pageSize=20")
    assert [len(page["results"]) for page in pages[:-1]] == [20] * (len(pages) - 1)
    assert len(pages) > 1
    assert ask(sandbox, "GET", "/contact-fields/?page=0").status_code == 400
    assert ask(sandbox, "GET", "/contact-fields/?pageSize=many").status_code == 400


@pytest.mark.slow
def test_a_file_replaces_the_custom_fields(tmp_path: Path) -> None:
    """Section 4.2: the file holds ContactField objects; system fields are there in any case."""
    catalogue = tmp_path / "fields.json"
    shoe_size = {
        "id": "shoe_size",
        "type": "integer",
        "custom": True,
        "minValue": 30,
        "maxValue": 50,
        "status": "?",
    }
    catalogue.write_text(json.dumps([shoe_size]))
    with SandboxProcess(requests_per_minute=0, fields=catalogue) as sandbox:
        assert ask(sandbox, "GET", "/contact-fields/shoe_size").json() == shoe_size
        statuses = [
            ask(sandbox, "PATCH", "/contacts/ana@example.com", json=body).status_code
            for body in ({"shoe_size": 38}, {"shoe_size": 51}, {"city": "Vigo"}, {"_name": "Ana"})
        ]
        assert statuses == [201, 422, 422, 200]
