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
        if method != b"GET":
            wrong.append("no documented endpoint")
            return 404, {}, error(404)
        self._served += 1
        if fault := self._next_fault():
            status = fault.get("status", 0)
            return status, fault, fault_content(fault, "", b"") if status else b""
        pages = self._pages()
        number = int((re.search(rb"page=(\d+)", target) or [b"", b"1"])[1])
        links = {} if (link := self._link_after(number, pages)) is None else {"next": link}
        return 200, {}, json.dumps({"links": links, "results": pages[number - 1]}).encode()

    def _next_fault(self) -> dict[str, Any] | None:
        fault = self._account.fields_fault
        if not isinstance(fault, list):
            return fault
        return fault[self._served - 1] if self._served <= len(fault) else None

    def _pages(self) -> list[list[dict[str, Any]]]:
        sizes = self._account.fields_a_page
        sizes = [sizes] if isinstance(sizes, int) else sizes
        left, pages = rules.FIELDS if self._account.fields is None else self._account.fields, []
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
