"""BigQuery's REST, as far as its client needs it: https://cloud.google.com/bigquery/docs/reference/rest."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

from tests.warehouses.scripted import ScriptedHandler


class BigQueryHandler(ScriptedHandler):
    """``jobs.query`` and ``jobs.getQueryResults``, with rows page by page."""

    def do_POST(self) -> None:
        content = self.body()
        if self.path.partition("?")[0].endswith("/cancel"):
            self.respond({"kind": "bigquery#jobCancelResponse"})
            return
        request = json.loads(content)
        assert request["useLegacySql"] is False, request
        key, result = self.server.begin(request["query"])
        if result.error is not None:
            self.respond({"error": result.error}, status=int(result.error["code"]))
        else:
            self._respond_with_page(key)

    def do_GET(self) -> None:
        path = urlsplit(self.path)
        key = path.path.rpartition("/")[2]
        if "/jobs/" in path.path:
            self.respond(
                {
                    "jobReference": {"projectId": "shop", "jobId": key, "location": "EU"},
                    "status": {"state": "DONE"},
                    "configuration": {"query": {"query": ""}, "jobType": "QUERY"},
                }
            )
        else:
            self._respond_with_page(key)

    def _respond_with_page(self, key: str) -> None:
        page = self.server.page(key)
        if page is None:
            self.die()
            return
        result, rows, has_more = page
        self.respond(
            {
                "kind": "bigquery#queryResponse",
                "jobReference": {"projectId": "shop", "jobId": key, "location": "EU"},
                "jobComplete": True,
                "schema": {"fields": list(result.columns)},
                "totalRows": str(result.size),
                "rows": rows,
                **({"pageToken": "more"} if has_more else {}),
            }
        )


def column(name: str, kind: str, mode: str = "NULLABLE", fields: Any = None) -> dict[str, Any]:
    """A column of a schema."""
    return {"name": name, "type": kind, "mode": mode, **({"fields": fields} if fields else {})}


def row(*values: Any) -> dict[str, Any]:
    """A row, of values in REST's own form."""
    return {"f": [{"v": value} for value in values]}


def error(message: str, reason: str = "invalidQuery", code: int = 400) -> dict[str, Any]:
    """An error, in the form of all of Google's."""
    return {"code": code, "message": message, "errors": [{"message": message, "reason": reason, "domain": "global"}]}
