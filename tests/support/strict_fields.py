"""The account's fields, in pages that are linked as a test wants them."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from tests.support import strict_rules as rules
from tests.support.strict_bodies import error, fault_content

if TYPE_CHECKING:
    from tests.support.strict_account import Account


class FieldPages:
    """``GET /contact-fields/``; how a page is named is nobody's business but the server's.

    :param account: whose settings say what is done: see :data:`tests.support.strict_server.DEFAULTS`.
    """

    def __init__(self, account: Account) -> None:
        self._account = account
        self._served = 0

    def respond(self, method: bytes, target: bytes, wrong: list[str]) -> tuple[int, dict[str, Any], bytes]:
        field_id = target.partition(b"?")[0].removesuffix(b"/").removeprefix(b"/contact-fields").removeprefix(b"/")
        if b"/" in field_id or target.startswith(b"/contact-fields//"):
            wrong.append("no documented endpoint")
            return 404, {}, error(404)
        if method != b"GET":
            wrong.append("no documented endpoint")
            return 405, {"headers": {"Allow": "GET"}}, error(405)
        if field_id:
            return self._single(field_id)
        self._served += 1
        if fault := self._next_fault():
            status = fault.get("status", 0)
            return status, fault, fault_content(fault, "", b"") if status else b""
        pages = self._pages()
        asked = re.search(rb"page=([^&]*)", target)
        number = asked[1] if asked and asked[1] else b"1"
        if not re.fullmatch(rb"0*[1-9][0-9]{0,5}", number):
            return 400, {}, error(400)
        number = int(number)
        links = {} if (link := self._link_after(number, pages)) is None else {"next": link}
        return (
            200,
            {},
            json.dumps({"links": links, "results": pages[number - 1] if number <= len(pages) else []}).encode(),
        )

    def _single(self, segment: bytes) -> tuple[int, dict[str, Any], bytes]:
        field_id = rules.decoded_segment(segment)[0]
        found = [field for field in self._all() if field["id"] == field_id]
        return (200, {}, json.dumps(found[0]).encode()) if found else (404, {}, error(404))

    def _all(self) -> list[dict[str, Any]]:
        return rules.FIELDS if self._account.fields is None else self._account.fields

    def _next_fault(self) -> dict[str, Any] | None:
        fault = self._account.fields_fault
        if not isinstance(fault, list):
            return fault
        return fault[self._served - 1] if self._served <= len(fault) else None

    def _pages(self) -> list[list[dict[str, Any]]]:
        sizes = self._account.fields_a_page
        sizes = [sizes] if isinstance(sizes, int) else sizes
        left, pages = self._all(), []
        while left:
            size = sizes[len(pages) % len(sizes)]
            pages.append(left[:size])
            left = left[size:]
        return pages

    def _link_after(self, number: int, pages: list[Any]) -> Any:
        if number == 2 and self._account.fields_second_link is not None:
            link = self._account.fields_second_link
            return link.replace("{served}", str(self._served)) if isinstance(link, str) else link
        if number >= len(pages):
            return None
        url = self._account.url
        return self._account.fields_link.format(n=number + 1, url=url, URL=url.upper())
