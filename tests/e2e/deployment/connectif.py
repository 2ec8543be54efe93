"""The sandbox as the Connectif of a deployment."""

from __future__ import annotations

from typing import Any

from airflow_provider_connectif.sandbox import SandboxProcess


class Connectif(SandboxProcess):
    """A sandbox and the Airflow connection to it.

    :param conn_id: the connection's id.
    :param options: as for :class:`SandboxProcess`; ``requests_per_minute`` is 0, no limit, by default.
    """

    def __init__(self, conn_id: str, **options: Any) -> None:
        options.setdefault("requests_per_minute", 0)
        super().__init__(**options)
        self.conn_id = conn_id
        # Without a limit there are no headers either, and the client would assume 100 a minute.
        self._extra = {} if options["requests_per_minute"] else {"requests_per_minute": 1_000_000}

    def airflow_connection(self) -> dict[str, Any]:
        """The fields of the Airflow connection."""
        return {"conn_type": "connectif", "host": self.url, "password": self.api_key, "extra": self._extra}

    def answers(self) -> dict[str, int]:
        """Return the number of responses with each status since the last reset, ``{"201": 4, "429": 1}``.

        The sandbox counts all paths together. A mapping of system fields only asks for no definitions, and then
        every one of these is a PATCH.
        """
        return dict(self.requests()["by_status"])

    def reads_of_definitions(self) -> int:
        """Return the number of requests for field definitions since the last reset, whatever their status."""
        return int(self.requests()["by_endpoint"].get("GET /contact-fields/", 0))
