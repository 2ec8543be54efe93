"""The process of :class:`tests.support.strict_server.StrictServer`: its own HTTP on bare connections.

Run as ``python -m tests.support.strict_http``; prints its port, ends with its standard input.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from email.utils import formatdate
from typing import Any, ClassVar

from tests.support.strict_account import Account, judge, phrase


class Connection(asyncio.Protocol):
    """One connection: a request, its answer, the next request."""

    account: Account
    all: ClassVar[set[Connection]] = set()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.buffer = bytearray()
        self.key = ""  # of the request that is being answered
        self.asked = self.account
        self.busy = False
        self.all.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self.all.discard(self)
        self.land()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if self.busy:
            self.account.violations.append("a request was sent before the answer to the one before")
            return
        head, separator, rest = bytes(self.buffer).partition(b"\r\n\r\n")
        if not separator:
            return
        lines = head.split(b"\r\n")
        method, target, _ = lines[0].split(b" ")
        headers: dict[str, str] = {}
        for line in lines[1:]:
            name, _, value = line.decode("latin-1").partition(":")
            if name.lower() in headers:
                self.account.violations.append(f"header {name} stands twice")
            headers[name.lower()] = value.strip()
        length = int(headers.get("content-length", 0))
        if len(rest) < length:
            return
        self.buffer = bytearray(rest[length:])
        self.busy = True
        self.account.requests += 1
        self.asked = account = self.account
        entry, status, fault, content = judge(account, method, target, headers, rest[:length])
        self.key = entry.get("order_key", "")
        if self.key:
            account.in_flight[self.key] = account.in_flight.get(self.key, 0) + 1
            if account.in_flight[self.key] > 1:
                account.violations.append("two requests of one contact key were in flight together")
        delay = fault.get("delay_s", account.delay_s)
        if delay:
            asyncio.get_running_loop().call_later(delay, self.answer, status, fault, content)
        else:
            self.answer(status, fault, content)

    def answer(self, status: int, fault: dict[str, Any], content: bytes) -> None:
        if fault.get("hang"):
            return
        if fault.get("drop"):
            self.transport.abort()
            return
        headers = self.asked.rate_headers(status == 429) | fault.get("headers", {})
        if content:
            headers.setdefault("Content-Type", fault.get("content_type", "application/json; charset=utf-8"))
        if fault.get("trickle_s"):
            self.transport.write(_head(status, headers, len(content)))
            self.trickle(content, fault["trickle_s"])
        else:
            self.send(status, content, headers, half=bool(fault.get("half")))

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


def _head(status: int, headers: dict[str, str], length: int) -> bytes:
    if status != 204:
        headers = headers | {"Content-Length": str(length)}
    clock = time.time() + Connection.account.clock_ahead_s
    lines = [f"HTTP/1.1 {status} {phrase(status)}", f"Date: {formatdate(clock, usegmt=True)}"]
    return ("\r\n".join([*lines, *(f"{name}: {value}" for name, value in headers.items())]) + "\r\n\r\n").encode()


def control(command: str, settings: dict[str, Any]) -> Any:
    """``reset`` with settings, ``update`` of some, ``report`` of everything, ``count`` of little."""
    if command == "reset":
        for connection in list(Connection.all):
            connection.transport.abort()
        Connection.account = Account(settings)
    elif command == "update":
        Connection.account.__dict__.update(settings)
    elif command == "report":
        return Connection.account.report()
    account = Connection.account
    return {"requests": account.requests, "received": account.received, "in_flight": sum(account.in_flight.values())}


async def main() -> None:
    """Serve until standard input ends; a line of it is a command, and is answered by a line."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", 0)
    lines = asyncio.StreamReader(limit=2**26)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    print(server.sockets[0].getsockname()[1], flush=True)
    while line := await lines.readline():
        print(json.dumps(control(*json.loads(line))), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
