"""The protocols that a run depends on: a source of rows and a client of the API."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, Literal, Protocol

from airflow_provider_connectif.api.import_record import Import
from airflow_provider_connectif.api.quota import Quota
from airflow_provider_connectif.api.response import IsOwn, Response
from airflow_provider_connectif.records.rows import Row

FieldsMode = Literal["live", "builtin"]


class Source(Protocol):
    """Rows in batches, of which some may be empty. Iteration raises an error if the rows cannot be read to their end.

    ``columns`` are known from the first batch on; ``None`` if each row may have its own. ``size``: the number of rows;
    ``None`` if it is not known before reading.
    """

    columns: Sequence[str] | None
    size: int | None

    def __iter__(self) -> Iterator[Sequence[Row]]: ...


class Client(Protocol):
    """The methods that a run needs of :class:`airflow_provider_connectif.api.client.ConnectifClient`.

    Arguments, results and errors are those of that class. ``tries`` and ``longest_wait_s`` are limits for the caller:
    no method repeats a request.
    """

    base_url: str
    quota: Quota
    tries: int
    longest_wait_s: float

    def send(
        self, method: str, path: str, body: Mapping[str, Any], *, is_own: IsOwn = ..., on_fresh_connection: bool = ...
    ) -> Response:
        """Send one request with a JSON object as its body."""

    def list_contact_fields(self) -> list[Mapping[str, Any]]:
        """Return all field definitions."""

    def create_import(
        self, file: str | os.PathLike[str], *, override_existing: bool, update_only_empty_fields: bool, delimiter: str
    ) -> Import:
        """Upload a CSV file, and return the import that this begins. Each call that arrives begins another import."""

    def get_import(self, import_id: str) -> Import:
        """Return one import."""

    def abort(self) -> None:
        """Stop for good: end the requests of other threads without a response, and send nothing more."""

    def list_imports(self) -> Iterable[Import]:
        """Return all imports of the account."""

    def download_error_report(self, url: str, sink: BinaryIO) -> int:
        """Write the error report of an import to a sink, and return the number of bytes.

        :param url: the report's address, from a new :meth:`get_import`.
        :param sink: after an error it may have a part of the report.
        :raises ErrorReportError: the report could not be fetched.
        """

    def patch_contact(self, email: str, patch: Any, *, is_own: IsOwn, on_fresh_connection: bool) -> Response:
        """Create or update one contact; ``patch`` has its properties by id."""

    def patch_contact_by_external_id(
        self, external_id: str, patch: Any, *, is_own: IsOwn, on_fresh_connection: bool
    ) -> Response:
        """Create or update one contact; ``patch`` has its properties by id."""

    def get_contact(self, email: str) -> Mapping[str, Any] | None:
        """Return one contact; ``None`` if Connectif has none."""

    def get_contact_by_external_id(self, external_id: str) -> Mapping[str, Any] | None:
        """Return one contact; ``None`` if Connectif has none."""

    def delete_contact(self, email: str) -> bool:
        """Delete one contact; return ``False`` if Connectif has none."""

    def delete_contact_by_external_id(self, external_id: str) -> bool:
        """Delete one contact; return ``False`` if Connectif has none."""
