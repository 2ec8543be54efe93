"""The endpoints of the bulk import: one file of up to 50 MB in each request, which Connectif processes later."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import BinaryIO
from urllib.parse import quote

from requests_toolbelt.multipart.encoder import MultipartEncoder

from airflow_provider_connectif.api.error_reports import (
    DEFAULT_REPORT_TIMEOUT_S,
    LARGEST_REPORT_BYTES,
    fetch_error_report,
)
from airflow_provider_connectif.api.errors import RunStopped
from airflow_provider_connectif.api.import_record import Import
from airflow_provider_connectif.api.pages import read_pages
from airflow_provider_connectif.api.transport import Timeouts, Transport

DEFAULT_UPLOAD_TIMEOUT_S = 600.0
STALL_S = 30.0
"""Time limit in seconds for opening the connection, and then for sending each part of a file, about 16 KB."""

_MOST_IMPORT_PAGES = 1000


class ImportEndpoints:
    """The endpoints for imports of :class:`airflow_provider_connectif.api.client.ConnectifClient`."""

    def __init__(self, transport: Transport, upload_timeout: float) -> None:
        self._transport = transport
        self._upload_timeout = upload_timeout

    def create_import(
        self,
        file: str | os.PathLike[str],
        *,
        override_existing: bool,
        update_only_empty_fields: bool,
        delimiter: str = ",",
        type: str = "contacts",
    ) -> Import:
        """``POST /imports/``: upload a file, read from disk while it is sent; needs "Imports: Write".

        Source: API reference, "create-import". Do not simply repeat it: each call that arrives begins an import.
        Closing the client's quota ends the sending at once, or within 30 seconds if the other side has stopped reading.
        Once the whole file is sent, the call still waits for the response, which names the import.

        :param file: path of a CSV file in UTF-8, at most 50 MB. Its name is not sent.
        :param override_existing: also change contacts that exist.
        :param update_only_empty_fields: change only their empty properties. Documented to require
            ``override_existing``.
        :param delimiter: the character between cells.
        :param type: ``contacts``; the API also knows ``products`` and ``coupons``.
        :raises BadRequestError: with code ``E0401`` if ten imports are already queued.
        :raises ConnectifHttpError: the subclass of any other status; 413 means that the file is too large.
        :raises NoResponseError: no complete response; the import may exist, see :meth:`list_imports`.
        :raises MalformedResponseError: a 2xx that does not name the import. The import exists, unless the error is a
            :class:`NotConnectifError`: then a proxy in between responded, and the import may or may not exist.
        :raises RunStopped: the run must stop, and the whole file was not sent; there is no import.
        :raises OSError: the file cannot be opened; nothing was sent.
        """
        if update_only_empty_fields and not override_existing:
            raise ValueError("update_only_empty_fields requires override_existing")
        with open(file, "rb") as content:
            parts = MultipartEncoder(
                {
                    "type": type,
                    "delimiter": delimiter,
                    "overrideExisting": _flag(override_existing),
                    "updateOnlyEmptyFields": _flag(update_only_empty_fields),
                    "file": (f"{type}.csv", content, "text/csv"),
                }
            )
            response = self._transport.request(
                "POST",
                "/imports/",
                body=_Upload(parts, self._upload_timeout, lambda: self._transport.quota.closed),
                content_type=parts.content_type,
                read_body=True,
                only_objects=True,
                timeouts=Timeouts(connect=STALL_S, read=self._upload_timeout),
            )
        return Import.parse(response.body)

    def get_import(self, import_id: str) -> Import:
        """``GET /imports/{id}``: the current state of one import; :class:`NotFoundError` if there is none.

        Needs "Imports: Read", as :meth:`list_imports` does.
        """
        return Import.parse(self._transport.get_object(import_path(import_id)), import_id)

    def list_imports(self) -> Iterator[Import]:
        """``GET /imports/``: the account's imports, including those of the app, one by one.

        Each page is a request, sent when the previous page is used up, so stop early if possible. The order is not
        documented.

        :raises MalformedResponseError: as in :meth:`ConnectifClient.list_contact_fields`, with at most 1,000 pages; or
            an entry without an id.
        """
        for page in read_pages(self._transport, "/imports/", _MOST_IMPORT_PAGES):
            for entry in page:
                yield Import.parse(entry)

    def delete_import(self, import_id: str) -> None:
        """``DELETE /imports/{id}``: remove an import from the list; any 2xx is a success. Needs "Imports: Delete".

        Allowed only in the states ``finished`` and ``error`` (help centre 360020966799); other states are not
        documented.
        """
        self._transport.request("DELETE", import_path(import_id))

    def download_error_report(
        self,
        url: str,
        sink: BinaryIO,
        *,
        max_bytes: int = LARGEST_REPORT_BYTES,
        timeout: float = DEFAULT_REPORT_TIMEOUT_S,
    ) -> int:
        """Write the error report of an import to ``sink``, in parts; see :func:`fetch_error_report`.

        :param url: :attr:`Import.error_report_url`, from a new :meth:`get_import`.
        :param sink: receives the report unchanged; after an error it may have a part of it.
        :param max_bytes: a larger report is an error (default 256 MB).
        :param timeout: seconds for the whole report (default 300).
        :return: bytes written.
        :raises ErrorReportError: with ``is_refused`` if a new address may help.
        :raises RunStopped: the run must stop.
        """
        return fetch_error_report(self._transport, url, sink, max_bytes=max_bytes, timeout=timeout)


class _Upload:
    """A multipart body that is read while it is sent, checks whether to stop, and has a time limit."""

    def __init__(self, parts: MultipartEncoder, within_s: float, stopped: Callable[[], bool]) -> None:
        self.len: int = parts.len
        self._left = self.len
        self._parts = parts
        self._within_s = within_s
        self._deadline: float | None = None
        self._stopped = stopped

    def read(self, size: int = -1) -> bytes:
        # Once everything is sent, the upload is not ended: the import exists then, and only the response names it.
        if self._left > 0:
            now = time.monotonic()
            self._deadline = self._deadline or now + self._within_s
            if self._stopped():
                raise RunStopped("the run was asked to stop")
            if now > self._deadline:
                raise TimeoutError("the file was not sent in time")
        part: bytes = self._parts.read(size)
        self._left -= len(part)
        return part


def import_path(import_id: str) -> str:
    """Return the path of one import, below the base URL."""
    if import_id in ("", ".", ".."):
        raise ValueError("an import's id that is empty, '.' or '..' cannot be part of a URL")
    return f"/imports/{quote(import_id, safe='')}"


def _flag(value: bool) -> str:
    return "true" if value else "false"
