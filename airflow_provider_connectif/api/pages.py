"""Reads lists of the API, which are split into pages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

from airflow_provider_connectif.api.errors import MalformedResponseError
from airflow_provider_connectif.api.transport import Transport, origin


def read_pages(transport: Transport, path: str, most: int) -> Iterator[list[Any]]:
    """Yield the ``results`` of a list, one page at a time; a page is requested when the previous one is used up.

    ``links.next`` is followed unchanged, since the parameters of paging are not documented.

    :param transport: requests each page.
    :param path: the path of the first page, below the base URL.
    :param most: the number of pages after which the list counts as endless.
    :raises MalformedResponseError: a response has no ``results``. Or the next page is on another host, outside the base
        URL, a page that was read before, or beyond ``most``.
    """
    seen = {path}
    for _ in range(most):
        page = transport.get_object(path)
        results = page.get("results")
        if not isinstance(results, list):
            raise MalformedResponseError("the response has no list of results")
        yield results
        link = _next_link(page.get("links"))
        if link is None:
            return
        path = _next_path(transport.base_url, path, link)
        if path in seen:
            raise MalformedResponseError("the pages link back to an earlier page")
        seen.add(path)
    raise MalformedResponseError(f"more than {most} pages")


def _next_link(links: object) -> str | None:
    """Return ``links.next``; ``None`` on the last page. An unexpected value must not look like the last page."""
    if links is None or links == []:  # some serialisers write an empty object like that
        return None
    if not isinstance(links, Mapping):
        raise MalformedResponseError("the links to other pages are not a JSON object")
    link = links.get("next")
    if link is None or link == "" or link is False:
        return None
    if not isinstance(link, str):
        raise MalformedResponseError("the link to the next page is not an address")
    return link


def _next_path(base_url: str, path: str, link: str) -> str:
    """Return a page's link as a path below the base URL, so that the API key goes to no other host."""
    try:
        link.encode()  # half a surrogate pair is valid JSON, but not an address
        target = urlsplit(urljoin(base_url + path, link))
    except ValueError:
        raise MalformedResponseError("the link to the next page is not an address") from None
    base = urlsplit(base_url)
    if origin(target) != origin(base):
        raise MalformedResponseError("the next page is on another host")
    whole = target._replace(scheme="", netloc="", fragment="").geturl()
    if not whole.startswith(f"{base.path}/"):
        raise MalformedResponseError("the next page is outside the base URL")
    return whole.removeprefix(base.path)
