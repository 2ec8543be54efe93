"""Connectif over HTTP: one method per endpoint, one pooled session, an exception for every failure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from airflow_provider_connectif.api.credentials import DEFAULT_BASE_URL, ApiKey
from airflow_provider_connectif.api.errors import MalformedResponseError, NotFoundError
from airflow_provider_connectif.api.imports import DEFAULT_UPLOAD_TIMEOUT_S, ImportEndpoints
from airflow_provider_connectif.api.pages import read_pages
from airflow_provider_connectif.api.quota import Quota
from airflow_provider_connectif.api.response import IsOwn, Response
from airflow_provider_connectif.api.transport import Timeouts, Transport

DEFAULT_CONNECT_TIMEOUT_S = 5.0
DEFAULT_READ_TIMEOUT_S = 30.0
DEFAULT_TRIES = 5
DEFAULT_LONGEST_WAIT_S = 120.0
_MOST_FIELD_PAGES = 100


class ConnectifClient(ImportEndpoints):
    """Sends requests to Connectif's API with one key; :class:`ImportEndpoints` adds the requests of the bulk import.

    :class:`Quota` paces the requests. A 429 raises an exception, so that the caller can put its request back; the next
    request waits until the window opens. The client never sends a request twice. Threads may share it.

    :param key: the API key; sent to ``base_url`` and nowhere else: redirects are not followed.
    :param base_url: from :func:`airflow_provider_connectif.api.credentials.base_url`.
    :param connect_timeout: seconds for opening a connection (default 5).
    :param read_timeout: seconds until the response begins, and again until it is complete (default 30).
    :param upload_timeout: seconds for sending a file, and again for the response to it (default 600).
    :param tries: attempts that a caller should make for one request (default 5); the client makes one.
    :param longest_wait: the longest pause in seconds that a caller should wait out if the server asks for one (default
        120); the client only stores it.
    :param quota: the pacing; by default 100 requests a minute until the server's headers show the account's limit.
    :param verify: ``True``, ``False``, or the path of a CA bundle.
    :param connections: connections to keep open: the number of threads that use the client at once.
    :raises ConnectifConfigError: the CA bundle, or a proxy of the environment, cannot be used.
    """

    def __init__(
        self,
        key: ApiKey,
        base_url: str = DEFAULT_BASE_URL,
        *,
        connect_timeout: float = DEFAULT_CONNECT_TIMEOUT_S,
        read_timeout: float = DEFAULT_READ_TIMEOUT_S,
        upload_timeout: float = DEFAULT_UPLOAD_TIMEOUT_S,
        tries: int = DEFAULT_TRIES,
        longest_wait: float = DEFAULT_LONGEST_WAIT_S,
        quota: Quota | None = None,
        verify: bool | str = True,
        connections: int = 8,
    ) -> None:
        self.base_url = base_url
        self.tries = tries
        self.longest_wait_s = longest_wait
        """The longest pause in seconds that a worker may wait out if the server asks for one."""
        self.quota = quota or Quota()
        transport = Transport(
            key,
            base_url,
            timeouts=Timeouts(connect_timeout, read_timeout),
            quota=self.quota,
            verify=verify,
            connections=connections,
        )
        super().__init__(transport, upload_timeout)

    def patch_contact(
        self, email: str, patch: Mapping[str, Any], *, is_own: IsOwn = lambda _: True, on_fresh_connection: bool = False
    ) -> Response:
        """``PATCH /contacts/{email}``: update a contact or create it; needs the scope "Contacts: Write".

        :param email: the contact key; it is sent percent-encoded.
        :param patch: JSON-ready values by property id. Custom fields are documented for this path only, not for the
            newer ``/contacts/email/{email}``.
        :param is_own: decides whether the body of a 2xx (``None``: no body) is the response to this request. If it is
            not, ``Response.is_own`` is ``False``, and the connection is closed. Default: every body is accepted.
        :param on_fresh_connection: use none of the pooled connections.
        :return: status 200 (updated) or 201 (created), with the current contact if the response shows it ("optionally",
            by the API reference, "patch-contact"). Any JSON object is accepted: ``is_own`` can check it.
        :raises ValueError: the key is empty, ``.`` or ``..``, or the patch has a NaN or an infinity; nothing was sent.
        :raises ConnectifHttpError: the subclass of the status.
        :raises NoResponseError: no complete response; the contact may or may not have been changed.
        :raises NotConnectifError: a 2xx with a body that is not a JSON object, or an error document: a proxy's page,
            for example.
        :raises RunStopped: the run must stop; the request waited for the window, and was not sent.
        """
        path = f"/contacts/{path_segment(email)}"
        return self.send("PATCH", path, patch, is_own=is_own, on_fresh_connection=on_fresh_connection)

    def patch_contact_by_external_id(
        self,
        external_id: str,
        patch: Mapping[str, Any],
        *,
        is_own: IsOwn = lambda _: True,
        on_fresh_connection: bool = False,
    ) -> Response:
        """``PATCH /contacts/external-id/{externalId}``: like :meth:`patch_contact`, with the store's own id as the key.

        :param external_id: at most 50 characters (API reference, resource "ContactPatchByEmail").
        :param patch: as in :meth:`patch_contact`. Whether this path takes custom fields is not documented.
        """
        path = f"/contacts/external-id/{path_segment(external_id)}"
        return self.send("PATCH", path, patch, is_own=is_own, on_fresh_connection=on_fresh_connection)

    def get_contact(self, email: str) -> Mapping[str, Any] | None:
        """``GET /contacts/{email}``: a contact with its current values; needs the scope "Contacts: Read".

        No documentation of this request is known. Its response, the resource "Contact" or a 404, is inferred from that
        resource and from the documentation of other ``GET`` requests.

        :param email: the contact key; it is sent percent-encoded.
        :return: values by property id, unchanged. The client does not check that they are of this contact. ``None``:
            Connectif's own error document (404) says that there is no such contact.
        :raises ValueError: the key is empty, ``.`` or ``..``; nothing was sent.
        :raises NotFoundError: a 404 without the error document, possibly from a proxy in between.
        :raises ConnectifHttpError: the subclass of any other status outside 2xx, such as :class:`ForbiddenError` for an
            API key that cannot read contacts.
        :raises NoResponseError: no complete response.
        :raises NotConnectifError: a 2xx without a body, or whose body is not a JSON object, or an error document.
        :raises RunStopped: the run must stop; the request waited for the window, and was not sent.
        """
        return self._get_contact(f"/contacts/{path_segment(email)}")

    def get_contact_by_external_id(self, external_id: str) -> Mapping[str, Any] | None:
        """``GET /contacts/external-id/{externalId}``: like :meth:`get_contact`, with the store's own id as the key."""
        return self._get_contact(f"/contacts/external-id/{path_segment(external_id)}")

    def _get_contact(self, path: str) -> Mapping[str, Any] | None:
        try:
            return self._transport.get_object(path)
        except NotFoundError as error:
            if not error.is_error_document:
                raise
            return None

    def delete_contact(self, email: str) -> bool:
        """``DELETE /contacts/{email}``: delete a contact for good; needs the scope "Contacts: Delete".

        No documentation of this request is known; deletes of other resources respond with 204. Deleting twice is
        harmless.

        :param email: the contact key; it is sent percent-encoded.
        :return: ``True`` after a 2xx, which does not prove that there was a contact. ``False``: Connectif's own error
            document (404) says that there is no such contact.
        :raises ValueError: the key is empty, ``.`` or ``..``; nothing was sent.
        :raises NotFoundError: a 404 without the error document, possibly from a proxy in between.
        :raises ConnectifHttpError: the subclass of any other status outside 2xx, such as :class:`ForbiddenError` for an
            API key that cannot delete contacts.
        :raises NoResponseError: no complete response; the contact may or may not have been deleted.
        :raises NotConnectifError: a 2xx with a body that is not a JSON object, or an error document.
        :raises RunStopped: the run must stop; the request waited for the window, and was not sent.
        """
        return self._delete_contact(f"/contacts/{path_segment(email)}")

    def delete_contact_by_external_id(self, external_id: str) -> bool:
        """``DELETE /contacts/external-id/{externalId}``: like :meth:`delete_contact`, with the store's own id."""
        return self._delete_contact(f"/contacts/external-id/{path_segment(external_id)}")

    def _delete_contact(self, path: str) -> bool:
        try:
            self._transport.request("DELETE", path, read_body=True, only_objects=True)
        except NotFoundError as error:
            if not error.is_error_document:
                raise
            return False
        return True

    def list_contact_fields(self) -> list[Mapping[str, Any]]:
        """``GET /contact-fields/``, all pages: the account's field definitions; needs "Contact fields: Read".

        :return: ``ContactField`` objects, unchanged.
        :raises MalformedResponseError: a response has no list ``results``, or a result is not an object. Or the next
            page is on another host, outside the base URL, a page that was read before, or the 101st.
        :raises ConnectifHttpError: the subclass of the status.
        :raises NoResponseError: no complete response.
        :raises RunStopped: the run must stop; the request was not sent.
        """
        pages = read_pages(self._transport, "/contact-fields/", _MOST_FIELD_PAGES)
        fields = [entry for page in pages for entry in page]
        if not all(isinstance(entry, Mapping) for entry in fields):
            raise MalformedResponseError("a result of GET /contact-fields/ is not a JSON object")
        return fields

    def get_store(self) -> Mapping[str, Any]:
        """``GET /store/``: data of the account, unchanged; needs the scope "Store: Read".

        The errors are those of :meth:`get_contact`, and :class:`NotFoundError` for every 404.
        """
        return self._transport.get_object("/store/")

    def close(self) -> None:
        """Close the pooled connections."""
        self._transport.close()

    def abort(self) -> None:
        """Stop for good: end the requests of other threads without a response, close the quota, and send nothing more.

        Those requests raise :class:`NoResponseError`, waiting and later ones :class:`RunStopped`. A request on a fresh
        connection, or for an error report, ends by its own timeout.
        """
        self._transport.abort()

    def send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any],
        *,
        is_own: IsOwn = lambda _: True,
        on_fresh_connection: bool = False,
    ) -> Response:
        """Send one request with a JSON object as its body; the response must have a JSON object, or no body.

        The other arguments, the result and the errors are those of :meth:`patch_contact`.

        :param method: ``PATCH``, ``POST`` or ``PUT``.
        :param path: below the base URL, with a leading slash; keys in it must be encoded by :func:`path_segment`.
        """
        content = json.dumps(body, allow_nan=False, ensure_ascii=False).encode()
        return self._transport.send_object(
            method, path, content, is_own=is_own, on_fresh_connection=on_fresh_connection
        )


def path_segment(key: str) -> str:
    """Return a key as one path segment, percent-encoded.

    :raises ValueError: the key is empty, ``.`` or ``..``. Dots are removed from a URL, even if they are encoded.
    """
    if key in ("", ".", ".."):
        raise ValueError("a key that is empty, '.' or '..' cannot be part of a URL")
    return quote(key, safe="")


def is_path_key(key: str) -> bool:
    """Return whether a key can be in a URL and in a journal: it is printable, and neither empty, ``.`` nor ``..``."""
    return key not in ("", ".", "..") and key.isprintable()
