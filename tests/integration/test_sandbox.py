"""The sandbox against what is known of the Connectif API: keys, paths, contacts.

Sections are those of the notes on the API, with the vendor's page where one is known. Where a test says
*assumption* the documents are silent, and the sandbox's choice is only pinned down so that it does not change
unnoticed.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import pytest

from airflow_provider_connectif.sandbox import SandboxProcess
from tests.support.sandboxes import ask

KEY = "test-id:test-secret"

PATHS = {
    "legacy": "/contacts/",
    "by e-mail": "/contacts/email/",
    "by external id": "/contacts/external-id/",
}


@pytest.fixture(scope="module")
def running() -> Iterator[SandboxProcess]:
    with SandboxProcess(requests_per_minute=0, api_key=KEY) as process:
        yield process
        assert process.log_text() == ""


@pytest.fixture
def sandbox(running: SandboxProcess) -> SandboxProcess:
    running.reset()
    return running


# Keys and scopes: sections 1.1 and 1.2 (guides/authentication), 2.1


@pytest.mark.slow
def test_each_scope_opens_its_own_endpoints_and_403_says_what_is_missing() -> None:
    """Section 1.2: scopes are chosen per key and resource. Section 2.1: 403 carries an HttpError."""
    keys = {
        "contacts:read": ("GET", "/contacts/nobody@example.com", 404),
        "contacts:write": ("PATCH", "/contacts/ana@example.com", 201),
        "contacts:delete": ("DELETE", "/contacts/nobody@example.com", 204),
        "contact-fields:read": ("GET", "/contact-fields/", 200),
        "store:read": ("GET", "/store/", 200),
    }
    named = {scope: f"key{number}:secret" for number, scope in enumerate(keys)}
    with SandboxProcess(
        requests_per_minute=0, api_key=["all:secret", *(f"{key}={scope}" for scope, key in named.items())]
    ) as sandbox:
        for scope, (method, path, status) in keys.items():
            for key_scope, key in named.items():
                response = ask(sandbox, method, path, key=key, json={} if method == "PATCH" else None)
                assert response.status_code == (status if key_scope == scope else 403), (scope, key_scope)
                if key_scope != scope:
                    assert response.json().keys() == {"status", "title", "detail"}
                    assert scope in response.json()["detail"]


@pytest.mark.slow
def test_a_key_may_have_several_scopes() -> None:
    """Section 1.2."""
    with SandboxProcess(requests_per_minute=0, api_key="k:s=contacts:write,contact-fields:read") as sandbox:
        assert sandbox.api_key == "k:s"
        assert ask(sandbox, "PATCH", "/contacts/ana@example.com", json={}).status_code == 201
        assert ask(sandbox, "GET", "/contact-fields/").status_code == 200
        assert ask(sandbox, "GET", "/store/").status_code == 403


def test_a_blocked_account_is_403_everywhere(sandbox: SandboxProcess) -> None:
    """Section 1.2: 403 is a missing scope or a blocked account."""
    sandbox.set_blocked(True)
    try:
        for method, path in [
            ("GET", "/store/"),
            ("GET", "/contact-fields/"),
            ("PATCH", "/contacts/a@example.com"),
        ]:
            response = ask(sandbox, method, path, json={})
            assert (response.status_code, response.json()["title"]) == (403, "Forbidden")
    finally:
        sandbox.set_blocked(False)
    assert ask(sandbox, "GET", "/store/").status_code == 200


# Paths: sections 1.1 and 3.1


@pytest.mark.parametrize(
    "path", ["/store", "/contact-fields", "/contact-fields/city", "/contacts/email/ana@example.com"]
)
def test_a_trailing_slash_makes_no_difference(sandbox: SandboxProcess, path: str) -> None:
    """Section 1.1: documents write it, clients leave it out, both work."""
    without, with_slash = ask(sandbox, "GET", path), ask(sandbox, "GET", path + "/")
    assert without.status_code == with_slash.status_code != 401
    assert without.json().keys() == with_slash.json().keys()


ODD_EMAILS = [
    "ana+news@example.com",
    "sales/emea@example.com",
    "o'brien@example.com",
    '"ana b"@example.com',
    '"a\\"b"@example.com',
    "josé@exámple.com",
    "用户@例子.广告",
    "50%25off@example.com",
    "a%2Fb@example.com",
    "what?#&=@example.com",
]


@pytest.mark.parametrize("prefix", [PATHS["legacy"], PATHS["by e-mail"]])
@pytest.mark.parametrize("email", ODD_EMAILS)
def test_an_encoded_email_is_decoded_exactly_once(sandbox: SandboxProcess, prefix: str, email: str) -> None:
    """Section 1.1: path parameters are percent-encoded fully."""
    path = prefix + quote(email, safe="")
    created = ask(sandbox, "PATCH", path, json={"_name": "Ana"})
    assert (created.status_code, created.json()["_email"]) == (201, email)
    assert ask(sandbox, "GET", path).json()["_name"] == "Ana"
    assert list(sandbox.contacts()) == [email]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("PATCH", "/contacts/a/b@example.com", 404),
        ("PATCH", "/contacts/email/a/b@example.com", 404),
        ("GET", "/contacts", 404),
        ("GET", "/contact-fields/no_such_field", 404),
        ("POST", "/contacts/ana@example.com", 405),
        ("PATCH", "/store/", 405),
    ],
)
def test_what_is_no_endpoint_gets_an_http_error(sandbox: SandboxProcess, method: str, path: str, status: int) -> None:
    """Section 2.1 for the shape; section 3.1 for there being no list of contacts; 405 is an assumption."""
    response = ask(sandbox, method, path, json={})
    assert response.status_code == status
    assert response.json().keys() == {"status", "title", "detail"}
    assert response.json()["status"] == status


# Contacts: section 3 (reference/contacts/patch-contact, patch-contact-by-email; resources/contact)


@pytest.mark.parametrize(
    ("prefix", "key", "key_property"),
    [
        (PATHS["legacy"], "ana@example.com", "_email"),
        (PATHS["by e-mail"], "ana@example.com", "_email"),
        (PATHS["by external id"], "crm-7", "_externalId"),
    ],
    ids=list(PATHS),
)
def test_a_contact_is_created_updated_read_and_deleted(
    sandbox: SandboxProcess, prefix: str, key: str, key_property: str
) -> None:
    """Section 3.1: 201, then 200; 404 after a delete and 204 for deleting twice are assumptions."""
    path = prefix + key
    created = ask(sandbox, "PATCH", path, json={"_name": "Ana", "city": "Jaén", "interests": ["music", "food"]})
    updated = ask(sandbox, "PATCH", path, json={"_name": "Anna"})
    read = ask(sandbox, "GET", path)
    assert [created.status_code, updated.status_code, read.status_code] == [201, 200, 200]
    assert updated.json() == read.json()
    assert read.json()[key_property] == key
    assert read.json()["id"] == created.json()["id"]
    assert (read.json()["_name"], read.json()["city"], read.json()["interests"]) == (
        "Anna",
        "Jaén",
        ["music", "food"],
    )
    assert sandbox.contacts() == {key: read.json()}
    assert [ask(sandbox, "DELETE", path).status_code for _ in range(2)] == [204, 204]
    assert ask(sandbox, "GET", path).status_code == 404
    assert sandbox.contacts() == {}


def test_an_empty_patch_creates_a_contact(sandbox: SandboxProcess) -> None:
    """Section 3.2: all properties are optional; 4.2: a required field has a default (its use: assumption)."""
    response = ask(sandbox, "PATCH", "/contacts/ana@example.com", json={})
    assert response.status_code == 201
    assert (response.json()["vip"], response.json()["interests"]) == (False, [])


def test_the_same_email_in_other_case_is_the_same_contact(sandbox: SandboxProcess) -> None:
    """Section 10: unknown, assumption."""
    assert ask(sandbox, "PATCH", "/contacts/Ana@Example.com", json={}).status_code == 201
    assert ask(sandbox, "PATCH", "/contacts/email/ana@example.COM", json={}).status_code == 200
    assert list(sandbox.contacts()) == ["Ana@Example.com"]


def test_one_contact_is_found_by_both_keys(sandbox: SandboxProcess) -> None:
    """Section 3.4: e-mail and external id are both primary keys."""
    ask(sandbox, "PATCH", "/contacts/email/ana@example.com", json={"_externalId": "crm-7"})
    response = ask(sandbox, "PATCH", "/contacts/external-id/crm-7", json={"_email": "anna@example.com", "city": "Vigo"})
    assert response.status_code == 200
    assert ask(sandbox, "GET", "/contacts/anna@example.com").json()["city"] == "Vigo"
    assert ask(sandbox, "GET", "/contacts/ana@example.com").status_code == 404


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/contacts/email/second@example.com", {"_externalId": "crm-1"}),
        ("/contacts/external-id/crm-2", {"_email": "FIRST@example.com"}),
    ],
)
def test_a_key_of_another_contact_is_refused(sandbox: SandboxProcess, path: str, body: dict[str, str]) -> None:
    """Section 3.4: unique per store; that it is a 422 is an assumption."""
    ask(sandbox, "PATCH", "/contacts/email/first@example.com", json={"_externalId": "crm-1"})
    response = ask(sandbox, "PATCH", path, json=body)
    assert response.status_code == 422
    assert [error["name"] for error in response.json()["validationErrors"]] == list(body)
    assert list(sandbox.contacts()) == ["first@example.com"]


@pytest.mark.slow
def test_the_store_can_be_read(sandbox: SandboxProcess) -> None:
    """Section 1.2: `GET /store/` is what a connection test asks; its body is an assumption."""
    response = ask(sandbox, "GET", "/store/")
    assert (response.status_code, response.headers["Content-Type"]) == (200, "application/json")
