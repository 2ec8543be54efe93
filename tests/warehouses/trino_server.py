"""Trino's protocol, as far as its client needs it: https://trino.io/docs/current/develop/client-protocol.html."""

from __future__ import annotations

from typing import Any

from tests.warehouses.scripted import ScriptedHandler


class TrinoHandler(ScriptedHandler):
    """Speaks the direct protocol: a page with each ``nextUri``."""

    def do_POST(self) -> None:
        sql = self.body().decode()
        key, result = self.server.begin(sql)
        if result.error is not None:
            self.respond(self._document(key, "FAILED", error=result.error))
        else:
            self.respond(self._document(key, "RUNNING", nextUri=self._next(key)))

    def do_GET(self) -> None:
        key = self.path.rpartition("/")[2]
        page = self.server.page(key)
        if page is None:
            self.die()
            return
        result, rows, has_more = page
        more: dict[str, Any] = {"columns": [_column(name, kind) for name, kind in result.columns], "data": rows}
        if has_more:
            more["nextUri"] = self._next(key)
        self.respond(self._document(key, "RUNNING" if has_more else "FINISHED", **more))

    def do_DELETE(self) -> None:
        self.send_response(204)
        self.end_headers()

    def _next(self, key: str) -> str:
        return f"http://127.0.0.1:{self.server.port}/v1/statement/executing/{key}"

    def _document(self, key: str, state: str, **more: Any) -> dict[str, Any]:
        stats = {"state": state, "queued": False, "scheduled": True}
        return {"id": key, "infoUri": f"http://127.0.0.1:{self.server.port}/ui/{key}", "stats": stats, **more}


def _column(name: str, kind: Any) -> dict[str, Any]:
    """A column; its kind is a name, or the signature of a type with arguments."""
    signature = of(kind) if isinstance(kind, str) else kind
    return {"name": name, "type": signature["rawType"], "typeSignature": signature}


def of(kind: str, *arguments: Any) -> dict[str, Any]:
    """The signature of a type with arguments: numbers, or types."""
    if kind == "varchar" and not arguments:
        arguments = (2**31 - 1,)
    return {
        "rawType": kind,
        "arguments": [
            {"kind": "LONG", "value": argument}
            if isinstance(argument, int)
            else {"kind": "TYPE", "value": of(argument)}
            for argument in arguments
        ],
    }


def error(name: str, message: str) -> dict[str, Any]:
    """An error of the user's."""
    return {"message": message, "errorCode": 1, "errorName": name, "errorType": "USER_ERROR", "failureInfo": {}}
