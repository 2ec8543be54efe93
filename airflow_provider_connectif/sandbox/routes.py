"""Finds the endpoint of a path.

Routing uses the path as the client sent it. A server framework would decode it first, and the ``%2F`` in an e-mail or
external id would then look like a separator.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from urllib.parse import unquote_to_bytes

from starlette.responses import Response

from airflow_provider_connectif.sandbox.endpoints import (
    BY_EMAIL,
    BY_EXTERNAL_ID,
    LEGACY,
    ApiRequest,
    ContactPath,
    delete_contact,
    get_contact,
    get_contact_field,
    get_store,
    list_contact_fields,
    patch_contact,
)
from airflow_provider_connectif.sandbox.import_endpoints import (
    REPORT_PATH,
    create_import,
    delete_import,
    get_import,
    list_imports,
)
from airflow_provider_connectif.sandbox.state import SandboxState

Endpoint = Callable[[SandboxState, ApiRequest], Response]

UNKNOWN_PATH = "(unknown path)"
"""The template under which a request is logged if there is no endpoint for its path."""

SCOPE_ACTIONS: Mapping[str, str] = {"GET": "read", "PATCH": "write", "POST": "write", "DELETE": "delete"}
"""The second part of the scope that a method needs: the action."""


@dataclass(frozen=True, slots=True)
class Route:
    """A path template, the first part of the scopes that it needs (the resource), and an endpoint for each method."""

    template: str
    resource: str
    endpoints: Mapping[str, Endpoint]

    def scope_for(self, method: str) -> str:
        """Return the scope that ``method`` needs here, such as ``contacts:write``."""
        return f"{self.resource}:{SCOPE_ACTIONS[method]}"


def _contact_endpoints(path: ContactPath) -> Mapping[str, Endpoint]:
    return {
        "GET": partial(get_contact, path),
        "PATCH": partial(patch_contact, path),
        "DELETE": partial(delete_contact, path),
    }


ROUTES: tuple[Route, ...] = (
    Route("/contacts/{email}", "contacts", _contact_endpoints(LEGACY)),
    Route("/contacts/email/{email}", "contacts", _contact_endpoints(BY_EMAIL)),
    Route("/contacts/external-id/{externalId}", "contacts", _contact_endpoints(BY_EXTERNAL_ID)),
    Route("/contact-fields/", "contact-fields", {"GET": list_contact_fields}),
    Route("/contact-fields/{id}", "contact-fields", {"GET": get_contact_field}),
    Route("/imports/", "imports", {"GET": list_imports, "POST": create_import}),
    Route("/imports/{id}", "imports", {"GET": get_import, "DELETE": delete_import}),
    Route("/store/", "store", {"GET": get_store}),
)
"""All endpoints; a path ends with one slash or none."""

# Templates with a placeholder, by the path before it; and templates without one, by the whole path.
_WITH_KEY = {route.template.rpartition("/")[0]: route for route in ROUTES if route.template.endswith("}")}
_WITHOUT_KEY = {route.template.rstrip("/"): route for route in ROUTES if route.template.endswith("/")}


# Error reports are no endpoint of the API, so they are not in ROUTES. But :func:`resolve` must find them, too.
_REPORTS = Route(REPORT_PATH, "error-reports", {})
_WITH_KEY[REPORT_PATH.rpartition("/")[0]] = _REPORTS


def resolve(raw_path: bytes) -> tuple[Route | None, str | None]:
    """Return the route of a path, and the key in the path, percent-decoded exactly once.

    The route is None if there is no such endpoint. The key is None if the template has no placeholder, or if the bytes
    are not UTF-8. ``+`` stays a plus, as everywhere in a path.

    ``raw_path``: the path as the client sent it.
    """
    path = raw_path.decode("latin-1").removesuffix("/")
    if (plain := _WITHOUT_KEY.get(path)) is not None:
        return plain, None
    parent, _, segment = path.rpartition("/")
    route = _WITH_KEY.get(parent) if segment else None
    return route, None if route is None else _decoded(segment)


def _decoded(segment: str) -> str | None:
    try:
        return unquote_to_bytes(segment).decode("utf-8")
    except UnicodeDecodeError:
        return None
