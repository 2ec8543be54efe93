"""The process of :class:`tests.support.strict_server.StrictServer`: its own HTTP on bare connections.

Run as ``python -m tests.support.strict_http``; prints its port, ends with its standard input.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from email.utils import formatdate
from pathlib import Path
from typing import Any, ClassVar

from tests.support.strict_account import Account, judge
from tests.support.strict_bodies import phrase
from tests.support.strict_import_endpoints import judge_report
from tests.support.strict_uploads import Upload

Head = tuple[bytes, bytes, dict[str, str]]
"""Method, target and headers."""


class Connection(asyncio.Protocol):
    """One connection: a request, its response, the next request."""

    account: Account
    all: ClassVar[set[Connection]] = set()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.buffer = bytearray()  # a head that is arriving, or a body
        self.head: Head | None = None
        self.chunks: bytearray | None = None  # as they arrive
        self.left = 0  # bytes of the body that are still to come
        self.upload: Upload | None = None  # which takes the body
        self.upload_fault: dict[str, Any] = {}
        self.key = ""  # of the request that is being processed
        self.asked = self.account
        self.busy = False
        self.all.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self.all.discard(self)
        if self.upload is not None:
            self.break_off(self.upload)
        self.land()

    def data_received(self, data: bytes) -> None:
        if self.busy:
            self.buffer += data
            self.account.violations.append("a request was sent before the answer to the one before")
            return
        if self.chunks is not None:
            self.add_chunks(self.chunks, data)
            return
        if self.head is None:
            self.buffer += data
            head, separator, rest = bytes(self.buffer).partition(b"\r\n\r\n")
            if not separator:
                return
            data = rest
            self.buffer.clear()
            self.head = self.read_head(head)
            length = self.head[2].get("content-length", "0")
            if "host" not in self.head[2] or not (length.isascii() and length.isdigit()):  # RFC 9112: it is a 400
                self.account.violations.append("no Host header, or a Content-Length that is no number")
                self.send(400, b"")
                self.transport.close()
                return
            if self.head[2].get("transfer-encoding", "").lower() == "chunked":
                self.chunks = bytearray()
                self.add_chunks(self.chunks, data)
                return
            self.left = int(length)
            self.begin_body()
        part, over = data[: self.left], data[self.left :]
        self.left -= len(part)
        if self.upload is None:
            self.buffer += part
        elif not self.feed(self.upload, part):
            return
        if not self.left:
            content, self.buffer = bytes(self.buffer), bytearray(over)
            self.respond(content)

    def add_chunks(self, chunks: bytearray, data: bytes) -> None:
        """A body in chunks (RFC 9112); no upload, since the package sends none this way."""
        chunks += data
        content, at = b"", 0
        while (end := chunks.find(b"\r\n", at)) >= 0:
            size = int(chunks[at:end].partition(b";")[0], 16)
            at = end + 2 + size + 2
            if len(chunks) < at:
                return
            if not size:
                self.chunks = None
                self.respond(content)
                return
            content += chunks[end + 2 : end + 2 + size]

    def read_head(self, head: bytes) -> Head:
        lines = head.split(b"\r\n")
        method, target, _ = lines[0].split(b" ")
        headers: dict[str, str] = {}
        for line in lines[1:]:
            name, _, value = line.decode("latin-1").partition(":")
            if name.lower() in headers:
                self.account.violations.append(f"header {name} stands twice")
            headers[name.lower()] = value.strip()
        return method, target, headers

    def begin_body(self) -> None:
        assert self.head
        method, target, headers = self.head
        if method == b"POST" and target.partition(b"?")[0].removesuffix(b"/") == b"/imports":
            self.upload = Upload(headers.get("content-type", ""), self.account.folder)
            self.upload_fault = self.account.imports.fault_for("POST")
            self.asked = self.account

    def feed(self, upload: Upload, part: bytes) -> bool:
        """Whether the upload goes on: it may be meant to break, or to be slow."""
        assert self.head
        fault, sent = self.upload_fault, int(self.head[2].get("content-length", 0)) - self.left
        if fault.get("drop") == "during" and sent >= fault.get("at_bytes", 1):
            self.transport.abort()
            return False
        upload.feed(part)
        if "bytes_per_s" in fault and self.left:
            self.transport.pause_reading()
            loop = asyncio.get_running_loop()
            loop.call_later(len(part) / fault["bytes_per_s"], self.transport.resume_reading)
        return True

    def break_off(self, upload: Upload) -> None:
        """Log an upload that never came whole; not where it would look like one of the test that came after."""
        upload.close()
        self.upload = None
        entry = {"t": time.time(), "method": "POST", "target": "/imports/", "status": 0, "received": upload.size}
        self.asked.log.append(entry)

    def respond(self, content: bytes) -> None:
        assert self.head
        self.busy = True
        self.asked = account = self.account
        status, fault, answer = self.judge(*self.head, content)
        self.head = self.upload = None
        delay = fault.get("delay_s", account.delay_s)
        if delay:
            asyncio.get_running_loop().call_later(delay, self.answer, status, fault, answer)
        else:
            self.answer(status, fault, answer)

    def judge(
        self, method: bytes, target: bytes, headers: dict[str, str], content: bytes
    ) -> tuple[int, dict[str, Any], bytes]:
        account = self.account
        account.requests += 1
        upload = None if self.upload is None else (self.upload, self.upload_fault)
        entry, status, fault, answer = judge(account, method, target, headers, content, upload)
        self.key = entry.get("order_key", "")
        if self.key:
            account.in_flight[self.key] = account.in_flight.get(self.key, 0) + 1
            if account.in_flight[self.key] > 1:
                account.violations.append("two requests of one contact key were in flight together")
        return status, fault, answer

    def answer(self, status: int, fault: dict[str, Any], content: bytes) -> None:
        gate = fault.get("gate", self.asked.gate) if self.key else ""
        if gate and Path(gate).exists():
            asyncio.get_running_loop().call_later(0.01, self.answer, status, fault, content)
            return
        if fault.get("hang"):
            return
        if fault.get("drop"):
            self.transport.abort()
            return
        headers = self.asked.rate_headers(status == 429) | fault.get("headers", {})
        if content:
            headers.setdefault("Content-Type", fault.get("content_type", "application/json; charset=utf-8"))
        interim = fault.get("interim", [])
        if interim:
            self.send_interim(status, fault, headers, content, list(interim))
        elif fault.get("trickle_s"):
            self.transport.write(_head(status, headers, len(content)))
            self.trickle(content, fault["trickle_s"])
        else:
            self.send(status, content, headers, half=bool(fault.get("half")))

    def send_interim(
        self, status: int, fault: dict[str, Any], headers: dict[str, str], content: bytes, interim: list[int]
    ) -> None:
        """The interim responses, one after the other, and then the final one."""
        if not interim:
            self.send(status, content, headers, half=bool(fault.get("half")))
            return
        if not self.transport.is_closing():
            self.transport.write(f"HTTP/1.1 {interim[0]} Interim\r\nLink: </a>; rel=preload\r\n\r\n".encode())
        loop = asyncio.get_running_loop()
        loop.call_later(0.03, self.send_interim, status, fault, headers, content, interim[1:])

    def send(self, status: int, content: bytes, headers: dict[str, str] | None = None, half: bool = False) -> None:
        self.land()
        if self.transport.is_closing():
            return
        whole = _head(status, headers or {}, len(content)) + content
        self.transport.write(whole[: len(whole) - (len(content) + 1) // 2] if half else whole)
        if half:
            self.transport.close()

    def trickle(self, content: bytes, every_s: float) -> None:
        """The body a byte at a time: each one in time, the whole of it never."""
        if not content or self.transport.is_closing():
            self.land()
            return
        self.transport.write(content[:1])
        asyncio.get_running_loop().call_later(every_s, self.trickle, content[1:], every_s)

    def land(self) -> None:
        self.busy = False
        if self.key:
            self.asked.in_flight[self.key] -= 1
            self.key = ""


class ReportConnection(Connection):
    """A connection to the host of error reports, which is another one than the API's."""

    def begin_body(self) -> None:
        """There is none."""

    def judge(
        self, method: bytes, target: bytes, headers: dict[str, str], content: bytes
    ) -> tuple[int, dict[str, Any], bytes]:
        wrong: list[str] = []
        status, fault, answer = judge_report(self.account.imports, method, target, headers, wrong)
        self.account.violations += wrong
        return status, fault, answer


def _head(status: int, headers: dict[str, str], length: int) -> bytes:
    if status != 204:
        headers = headers | {"Content-Length": str(length)}
    clock = time.time() + Connection.account.clock_ahead_s
    lines = [f"HTTP/1.1 {status} {phrase(status)}", f"Date: {formatdate(clock, usegmt=True)}"]
    return ("\r\n".join([*lines, *(f"{name}: {value}" for name, value in headers.items())]) + "\r\n\r\n").encode()


def control(command: str, settings: dict[str, Any], port: int, report_port: int) -> Any:
    """``reset`` with settings, ``update`` of some, ``change`` of contacts, ``report``, ``take log``, ``contacts``,
    ``dump`` to a file, or ``count``.
    """
    if command == "reset":
        for connection in list(Connection.all):
            connection.transport.abort()
        if hasattr(Connection, "account"):
            Connection.account.close()
        Connection.account = Account(settings)
        Connection.account.url = f"http://127.0.0.1:{port}"
        Connection.account.imports.report_port = report_port
    account = Connection.account
    if command == "update":
        account.__dict__.update(settings)
    elif command == "change":
        account.contacts.replace(settings["contacts"])
    elif command == "report":
        return account.report()
    elif command == "take log":
        taken, account.log = account.log, []
        return taken
    elif command == "contacts":
        return dict(account.contacts.items())
    elif command == "dump":
        return account.contacts.dump(Path(settings["path"]))
    counts = {
        "requests": account.requests,
        "received": account.received,
        "uploads_begun": account.imports.counts["POST"],
    }
    return counts | {"in_flight": sum(account.in_flight.values())}


async def accept_all(port: int) -> None:
    """Accept every waiting connection: requests of the previous test, whose client is gone, must not count for the
    next.

    Connections are accepted in the order of their coming, so that a last one says when all are there to be closed.
    """
    _, last = await asyncio.open_connection("127.0.0.1", port)
    name = last.get_extra_info("sockname")
    while not any(connection.transport.get_extra_info("peername") == name for connection in Connection.all):
        await asyncio.sleep(0)
    last.close()


async def main() -> None:
    """Serve until standard input ends; each line of it is a command, and gets a line in return."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", 0)
    reports = await loop.create_server(ReportConnection, "127.0.0.1", 0)
    report_port = reports.sockets[0].getsockname()[1]
    lines = asyncio.StreamReader(limit=2**26)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    port = server.sockets[0].getsockname()[1]
    print(port, flush=True)
    while line := await lines.readline():
        command, settings = json.loads(line)
        if command == "reset" and hasattr(Connection, "account"):
            await accept_all(port)
        print(json.dumps(control(command, settings, port, report_port)), flush=True)
    Connection.account.close()


if __name__ == "__main__":
    asyncio.run(main())
