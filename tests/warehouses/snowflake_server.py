"""Snowflake's REST, as far as its connector needs it: a result comes in chunks of Arrow, each at an address of its own.

By https://github.com/snowflakedb/snowflake-connector-python, ``result_batch.py`` and ``network.py``.
"""

from __future__ import annotations

import gzip
import json
from typing import Any

import pyarrow as pa

from tests.warehouses.scripted import PAGE_ROWS, ScriptedHandler


class SnowflakeHandler(ScriptedHandler):
    """Logs everybody in, and knows the statements of its server."""

    def do_POST(self) -> None:
        document = self._document()
        if self.path.startswith("/session/v1/login-request"):
            self.respond(_success({"token": "t", "masterToken": "m", "parameters": [], "sessionInfo": {}}))
        elif self.path.startswith("/queries/v1/query-request"):
            self._run(document["sqlText"])
        else:  # the end of a session, and the connector's reports of itself
            self.respond(_success(None))

    def do_GET(self) -> None:
        key, _, number = self.path.strip("/").partition("/")
        # The connector asks for four chunks at once; the server makes them in their order.
        with self.server.turn:
            self.server.turn.wait_for(lambda: self._is_next(key, int(number)), timeout=30)
            page = self.server.page(key)
            self.server.turn.notify_all()
        if page is None:
            self.die()
            return
        result, rows, _ = page
        content = _stream(result.columns, rows)
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _is_next(self, key: str, number: int) -> bool:
        result, _, page = self.server.open[key]
        return page in (number, result.dies_at)

    def _run(self, sql: str) -> None:
        key, result = self.server.begin(sql)
        if result.error is not None:
            data = {"queryId": key, "sqlState": result.error["state"]}
            said = {"code": result.error["code"], "message": result.error["message"]}
            self.respond({"data": data, "success": False, **said})
            return
        counts = [min(PAGE_ROWS, result.size - first) for first in range(0, result.size, PAGE_ROWS)]
        chunks = [
            {
                "url": f"http://127.0.0.1:{self.server.port}/{key}/{number}",
                "rowCount": count,
                "uncompressedSize": 1,
                "compressedSize": 1,
            }
            for number, count in enumerate(counts)
        ]
        columns = [column(name, kind) for name, kind in result.columns]
        data = {"queryId": key, "rowtype": columns, "total": result.size, "chunks": chunks, "parameters": []}
        select = {"statementTypeId": 0x1000, "queryResultFormat": "arrow", "rowsetBase64": ""}
        self.respond(_success(data | select))

    def _document(self) -> Any:
        content = self.body()
        if self.headers.get("Content-Encoding") == "gzip":
            content = gzip.decompress(content)
        return json.loads(content) if content else None


def _success(data: Any) -> dict[str, Any]:
    return {"data": data, "success": True, "code": None, "message": None}


def column(name: str, kind: str) -> dict[str, Any]:
    """A column of a result: ``TEXT``, or ``FIXED`` for whole numbers."""
    size = {"precision": 38, "scale": 0, "length": None} if kind == "FIXED" else {"length": 100, "byteLength": 400}
    return {"name": name, "type": kind.lower(), "nullable": True, "precision": None, "scale": None} | size


def error(code: str, state: str, message: str) -> dict[str, str]:
    """An error of a statement: ``error("001003", "42000", "SQL compilation error: ...")``."""
    return {"code": code, "state": state, "message": message}


def _stream(columns: Any, rows: list[Any]) -> bytes:
    fields = [
        pa.field(
            name,
            pa.int64() if kind == "FIXED" else pa.string(),
            metadata={"logicalType": kind, "precision": "38", "scale": "0", "charLength": "100"},
        )
        for name, kind in columns
    ]
    schema = pa.schema(fields)
    batch = pa.record_batch([list(values) for values in zip(*rows, strict=True)], schema=schema)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())
