"""Connects to BigQuery with Google's own client: the connection of Airflow's hook returns a timestamp as a number."""

from __future__ import annotations

from contextlib import closing
from typing import Any

_PAGE_ROWS = 5_000  # of one response, which BigQuery itself bounds to about 20 MB


def connect_to_bigquery(hook: Any) -> Any:
    """Return a connection (PEP 249) of Google's client, with the hook's project, location, credentials and job
    settings.

    Rows are read in pages over REST: the Storage API needs another right, and holds more of the result in memory.

    :param hook: Airflow's ``BigQueryHook``.
    """
    from google.cloud.bigquery import QueryJobConfig
    from google.cloud.bigquery.dbapi import Connection

    class OwnClientConnection(Connection):  # type: ignore[misc]  # the package may be missing, and has no types
        """Also closes its client when it is closed."""

        def close(self) -> None:
            with closing(self._client):
                super().close()

    client = hook.get_client(project_id=hook.project_id, location=hook.location)
    settings = dict(getattr(hook, "api_resource_configs", None) or {})
    settings["query"] = {"useLegacySql": bool(hook.use_legacy_sql), **settings.get("query", {})}
    # Set only if it is not BigQuery's default: with a priority, a small result takes more than one request.
    if (priority := getattr(hook, "priority", None)) not in (None, "INTERACTIVE"):
        settings["query"]["priority"] = priority
    if labels := getattr(hook, "labels", None):
        settings["labels"] = labels
    client.default_query_job_config = QueryJobConfig.from_api_repr(settings)
    return OwnClientConnection(client, prefer_bqstorage_client=False)


def paged_cursor(connection: Any) -> Any:
    """Return a cursor that reads its rows page by page."""
    cursor = connection.cursor()
    cursor.arraysize = _PAGE_ROWS
    return cursor
