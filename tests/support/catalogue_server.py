"""An account with 150 fields behind HTTP: what its definitions say is held against every value that comes in.

Its pages are linked in every way that the resource "ContactFieldList" leaves open, and in some that it does not. Run
as ``python -m tests.support.catalogue_server``; prints its two addresses, ends with its standard input.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tests.support.catalogue import catalogue, is_email, refusal

API_KEY = "catalogue-key:catalogue-secret"
STYLES = {
    "absolute": "{url}/contact-fields/?page={n}",
    "from the root": "/contact-fields/?page={n}",
    "of the parent": "../contact-fields/?page={n}",
    "query only": "?page={n}",
    "without the slash": "/contact-fields?cursor=a%2Fb%3D%3D&page={n}",
    "shouting": "{URL}/contact-fields/?page={n}#next",
}
TRAPS = {
    "a loop": "/contact-fields/?page=2",
    "another host": "{foreign}/contact-fields/?page=3",
    "another host without a scheme": "//{foreign_host}/contact-fields/?page=3",
    "another name of the host": "http://localhost:{port}/contact-fields/?page=3",
    "a host in front of an @": "http://127.0.0.1:{port}@{foreign_host}/contact-fields/?page=3",
    "no link but a number": 3,
    "no end": "/contact-fields/?page=2&again={served}",
}
"""What ``links.next`` of the second page may be."""
PAGE_SIZES = (13, 1, 0, 29)
"""By turns; a page may be empty and yet have a next one."""


class _Account:
    """What one test sees: settings, what was asked for, what arrived, what was refused."""

    def __init__(self, fields: int = 150, sizes: Any = PAGE_SIZES, style: str = "from the root", **more: Any) -> None:
        self.by_id = {field["id"]: field for field in (*catalogue(fields), *more.get("add", ()))}
        self.trap = more.get("trap")
        self.faults = list(more.get("faults", ()))  # [status, body] of the first requests for fields
        self.always = more.get("always")  # [status, body] of all of them
        self.headers = more.get("headers", {})
        self.keep = more.get("keep", True)
        self.style = STYLES[style]
        left, self.pages = list(self.by_id.values()), []
        while left:
            size = sizes[len(self.pages) % len(sizes)]
            self.pages.append(left[:size])
            left = left[size:]
        self.report: dict[str, Any] = {"pages": [], "contacts": {}, "refused": [], "patches": 0, "foreign": 0}
        self.statuses: Counter[int] = Counter()

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes, url: str, foreign: str) -> Any:
        if headers.get("authorization") != f"apiKey {API_KEY}":
            return 401, None
        path, _, query = target.partition("?")
        if method == "GET" and path.rstrip("/") == "/contact-fields":
            self.report["pages"].append(target)
            fault = self.faults.pop(0) if self.faults else self.always
            return fault if fault else self._page(int((re.search(r"page=(\d+)", query) or [0, 1])[1]), url, foreign)
        if method == "GET" and path.startswith("/contacts/"):
            contact = self.report["contacts"].get(unquote(path.removeprefix("/contacts/"), errors="strict"))
            return (200, contact) if contact is not None else (404, {"status": 404, "title": "Not Found"})
        if method != "PATCH" or not path.startswith("/contacts/"):
            return 404, None
        self.report["patches"] += 1
        key, patch = unquote(path.removeprefix("/contacts/"), errors="strict"), json.loads(body)
        by_email = not key.startswith("external-id/")
        wrong = {name: why for name in patch if (why := self._refusal(name, patch[name], by_email))}
        if by_email and not is_email(key):
            wrong["_email"] = "the key is no e-mail address"
        if wrong:
            if len(self.report["refused"]) < 20:
                self.report["refused"].append([key, patch, wrong])
            errors = [{"name": name, "path": f"/{name}", "reason": why} for name, why in wrong.items()]
            return 422, {"status": 422, "title": "Unprocessable entity", "validationErrors": errors}
        new = key not in self.report["contacts"]
        if self.keep:
            self.report["contacts"].setdefault(key, {}).update(patch)
        return 201 if new else 200, {"id": "5f0000000000000000000000"}

    def _refusal(self, name: str, value: Any, by_email: bool) -> str | None:
        if name == "_email" and not by_email:  # writable there, whatever the list of fields says
            return None if is_email(value) else "no e-mail address"
        return refusal(self.by_id.get(name), value)

    def _page(self, n: int, url: str, foreign: str) -> Any:
        links: dict[str, Any] = {"prev": "/contact-fields/?page=1"} if n > 1 else {}
        places = {"url": url, "URL": url.upper(), "n": n + 1, "foreign": foreign, "served": len(self.report["pages"])}
        places |= {"foreign_host": foreign.partition("//")[2], "port": url.rpartition(":")[2]}
        link = TRAPS[self.trap] if self.trap and n == 2 else self.style if n < len(self.pages) else None
        if link is not None:
            links["next"] = link.format(**places) if isinstance(link, str) else link
        return 200, {"links": links, "results": self.pages[n - 1]}


class _Connection(asyncio.Protocol):
    account = _Account()
    urls = ("", "")

    def __init__(self, foreign: bool) -> None:
        self.foreign = foreign
        self.buffer = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, separator, body = self.buffer.partition(b"\r\n\r\n")
        start, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if not separator or len(body) < int(headers.get("content-length", 0)):
            return
        self.buffer, account = b"", self.account
        account.report["foreign"] += self.foreign
        method, target, _ = start.split(" ")
        status, answer = account.answer(method, target, headers, body, *self.urls)
        account.statuses[status] += 1
        content = b"" if answer is None else answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
        told = "".join(f"{name}: {value}\r\n" for name, value in account.headers.items())
        self.transport.write(f"HTTP/1.1 {status} x\r\n{told}Content-Length: {len(content)}\r\n\r\n".encode() + content)


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(lambda f=f: _Connection(f), "127.0.0.1", 0) for f in (False, True)]
    _Connection.urls = tuple(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}" for server in servers)
    print(json.dumps(_Connection.urls), flush=True)
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        if line.strip():
            _Connection.account = _Account(**json.loads(line))
        account = _Connection.account
        print(json.dumps(account.report | {"statuses": account.statuses}), flush=True)


class CatalogueServer:
    """The server in a process of its own; a context manager."""

    def __enter__(self) -> CatalogueServer:
        command = [sys.executable, "-m", "tests.support.catalogue_server"]
        pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._process = subprocess.Popen(command, cwd=Path(__file__).parents[2], **pipes)
        self.url = json.loads(self._process.stdout.readline())[0]
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait(10)

    def reset(self, **settings: Any) -> None:
        """Start with an empty account: arguments of ``_Account``."""
        self._ask(json.dumps(settings))

    def report(self) -> dict[str, Any]:
        """``pages``, ``patches``, ``contacts``, ``refused`` (the first 20), ``foreign``, ``statuses``."""
        return self._ask("")

    def _ask(self, line: str) -> Any:
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


if __name__ == "__main__":
    asyncio.run(_serve())
