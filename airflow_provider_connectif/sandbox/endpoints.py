"""The API's endpoints. They are called after the key and the window of a request were checked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import parse_qs

from starlette.responses import Response

from airflow_provider_connectif.sandbox.account import KeyTakenError
from airflow_provider_connectif.sandbox.import_list import ImportFate
from airflow_provider_connectif.sandbox.responses import empty_response, http_error, json_response, unprocessable
from airflow_provider_connectif.sandbox.state import SandboxState
from airflow_provider_connectif.sandbox.uploads import Upload
from airflow_provider_connectif.sandbox.validation import (
    PatchRules,
    is_email,
    is_external_id,
    validation_error,
    validation_errors,
)

# Assumption: no limit for a JSON body is documented. This one only keeps the sandbox's memory small.
MAX_BODY_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """A request for an endpoint.

    ``key``: the part of the path at the template's placeholder, percent-decoded once; None: the template has no
    placeholder, or the bytes are not UTF-8. ``body``: None: it is longer than MAX_BODY_BYTES. ``base_url``: the address
    that the client used, without a slash at the end. ``upload``: the body if the endpoint expects a file; None: it
    could not be read. ``fate``: the fate that a fault sets for a new import; None: the normal one.
    """

    method: str
    key: str | None
    query: str
    content_type: str
    body: bytes | None
    base_url: str
    upload: Upload | None = None
    fate: ImportFate | None = None


@dataclass(frozen=True, slots=True)
class ContactPath:
    """One of the three ways to name a contact.

    ``key_property``: the property in the path. ``body_key``: the key property in the endpoint's documented body; None:
    the body has none. ``legacy``: whether this is the path ``/contacts/{email}``.
    """

    key_property: str
    body_key: str | None
    legacy: bool = False

    def accepts(self, key: str | None) -> bool:
        """Return whether ``key`` has the form that the path needs."""
        if key is None:
            return False
        return is_email(key) if self.key_property == "_email" else is_external_id(key)


LEGACY = ContactPath("_email", None, legacy=True)
BY_EMAIL = ContactPath("_email", "_externalId")
BY_EXTERNAL_ID = ContactPath("_externalId", "_email")


def get_contact(path: ContactPath, state: SandboxState, request: ApiRequest) -> Response:
    """Respond 200 with the contact, 400 to an invalid key, or 404 (assumption: no documentation is known)."""
    if request.key is None or not path.accepts(request.key):
        return _bad_key(path)
    contact = state.account.find(path.key_property, request.key)
    return http_error(404, "The contact does not exist") if contact is None else json_response(200, contact)


def delete_contact(path: ContactPath, state: SandboxState, request: ApiRequest) -> Response:
    """Respond 204, even if there was no contact, or 400 to an invalid key.

    The 204 is an assumption: the deletes of other resources are documented so.
    """
    if request.key is None or not path.accepts(request.key):
        return _bad_key(path)
    state.account.delete(path.key_property, request.key)
    return empty_response(204)


def patch_contact(path: ContactPath, state: SandboxState, request: ApiRequest) -> Response:
    """Respond 201 or 200 with the contact, or 400, 413, 415 or 422 to a wrong request.

    A wrong request changes nothing. Assumption: one invalid property causes the whole patch to be rejected.
    """
    if request.content_type.partition(";")[0].strip().lower() != "application/json":
        return http_error(415, "The content type must be application/json")
    if request.body is None:
        return http_error(413, f"The body is longer than {MAX_BODY_BYTES} bytes")
    if request.key is None or not path.accepts(request.key):
        return _bad_key(path)
    try:
        patch = _json_object(request.body)
    except BadJsonError as error:
        return http_error(400, str(error))
    if errors := validation_errors(patch, _rules(path, state)):
        return unprocessable(errors)
    try:
        contact, created = state.account.upsert(path.key_property, request.key, patch)
    except KeyTakenError as taken:
        # Assumption: the documentation says that both keys are unique, but not which response a collision gets.
        return unprocessable([validation_error(taken.key_property, "belongs to another contact")])
    return json_response(201 if created else 200, contact)


def get_store(state: SandboxState, request: ApiRequest) -> Response:
    """Respond 200 with an ``id`` and a ``name`` (assumption: the resource's properties are not known)."""
    return json_response(200, {"id": f"{0:024x}", "name": "Connectif sandbox"})


def get_contact_field(state: SandboxState, request: ApiRequest) -> Response:
    """Respond 200 with the ContactField, or 404."""
    contact_field = state.settings.fields.get(request.key) if request.key is not None else None
    if contact_field is None:
        return http_error(404, "The contact field does not exist")
    return json_response(200, contact_field.definition)


def list_contact_fields(state: SandboxState, request: ApiRequest) -> Response:
    """Respond 200 with ``{links: {next?, prev?}, results: [ContactField]}``, or 400 to a wrong page number or size."""
    asked = asked_page(state, request)
    if asked is None:
        return http_error(400, "page and pageSize must be whole numbers from 1 up")
    definitions = [contact_field.definition for contact_field in state.settings.fields.values()]
    return page_of(state, request, "/contact-fields/", definitions, asked)


def asked_page(state: SandboxState, request: ApiRequest) -> tuple[int, int] | None:
    """Return the number and the size of the requested page; None: one of them is not a whole number from 1 up.

    Assumptions: the query parameters ``page`` (from 1) and ``pageSize``, and the response 400 for None.
    """
    asked = parse_qs(request.query)
    page, page_size = (
        _from_one_up(asked.get(name, [str(default)])[-1])
        for name, default in (("page", 1), ("pageSize", state.settings.page_size))
    )
    return None if page is None or page_size is None else (page, page_size)


def page_of(
    state: SandboxState, request: ApiRequest, path: str, entries: Sequence[object], asked: tuple[int, int]
) -> Response:
    """Respond 200 with one page of a list, and links to the next and the previous page."""
    page, page_size = asked
    first = (page - 1) * page_size
    base = request.base_url if state.settings.links == "absolute" else ""
    size = f"&pageSize={page_size}" if "pageSize" in parse_qs(request.query) else ""
    links = {}
    if first + page_size < len(entries):
        links["next"] = f"{base}{path}?page={page + 1}{size}"
    if page > 1:
        links["prev"] = f"{base}{path}?page={page - 1}{size}"
    return json_response(200, {"links": links, "results": entries[first : first + page_size]})


class BadJsonError(ValueError):
    """A body is not a JSON object. The message says why."""


def _json_object(body: bytes) -> dict[str, object]:
    try:
        # Decoded here: json.loads() itself would also take UTF-16 and lone surrogates, which JSON does not allow.
        text = body.decode("utf-8")
        content: object = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_unique)
    except BadJsonError:
        raise
    except RecursionError as error:
        raise BadJsonError("The body is nested too deep") from error
    except ValueError as error:
        raise BadJsonError("The body is not valid JSON") from error
    if not isinstance(content, dict):
        raise BadJsonError("The body must be a JSON object")
    return content


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    # Assumption: an object with the same name twice is refused. RFC 8259 does not say what it means, and taking one of
    # the values would hide a client's mistake.
    if len(dict(pairs)) != len(pairs):
        raise BadJsonError("The body has an object with the same name twice")
    return dict(pairs)


def _refuse_constant(name: str) -> object:
    # Python reads NaN and Infinity, which JSON does not have.
    raise BadJsonError(f"The body has {name}, which JSON does not have")


def _rules(path: ContactPath, state: SandboxState) -> PatchRules:
    settings = state.settings
    return PatchRules(
        fields=settings.fields,
        body_key=path.body_key,
        any_fields=settings.any_fields,
        custom_fields=path.legacy or settings.custom_fields == "everywhere",
        null_clears=settings.nulls == "clear",
    )


def _bad_key(path: ContactPath) -> Response:
    wanted = "an e-mail address" if path.key_property == "_email" else "an external id of 1 to 50 characters"
    return http_error(400, f"The path must hold {wanted}")


def _from_one_up(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 7 and int(text) > 0 else None
