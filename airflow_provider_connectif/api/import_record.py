"""An import as the API describes it. A DAG file needs this class, so the module loads no HTTP library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from airflow_provider_connectif.api.errors import MalformedResponseError

OPEN_STATUSES = frozenset({"queued", "inProgress"})
"""The documented states of an import that has not finished."""
FINAL_STATUSES = frozenset({"finished", "error", "cancelled"})
"""The documented states of an import that has finished. ``cancelled`` comes from the app; the API cannot cancel."""

_LONGEST_ID = 200


@dataclass(frozen=True)
class Import:
    """An import in the API. Source: API reference, resource "Import".

    Everything except ``id`` is ``None`` (``options``: empty) if the response does not have it, or if its type is not
    the documented one.

    :param id: identifies the import in every other request.
    :param type: ``contacts``, ``products`` or ``coupons``.
    :param origin: ``api`` or ``app``: both share one list and one queue.
    :param status: one of :data:`OPEN_STATUSES` or :data:`FINAL_STATUSES`, or an undocumented word.
    :param total: rows in the file.
    :param success: rows accepted so far.
    :param errors: rows rejected so far.
    :param options: ``delimiter``, ``overrideExisting``, ``updateOnlyEmptyFields``, ``couponSetId``, unchanged.
    :param created_at: has a time zone, like the other times. A time without an offset is ``None``, since its time zone
        is not documented.
    :param error_report_url: address of the report on rejected rows; useful when ``errors`` is above 0. It may be signed
        and expire, so it is in no ``repr``; each response may have another one.
    """

    id: str
    type: str | None = None
    origin: str | None = None
    status: str | None = None
    total: int | None = None
    success: int | None = None
    errors: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    cancelled_at: datetime | None = None
    error_report_url: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, body: object, asked_for: str | None = None) -> Import:
        """Read the JSON of an import.

        :param asked_for: the id that was requested; the returned ``id`` has its spelling. ``None``: any import.
        :raises MalformedResponseError: it is not an object, it is an error document, or its ``id`` is missing or
            another import's.
        """
        if not isinstance(body, Mapping):
            raise MalformedResponseError("the response is not a JSON object")
        import_id = _text(body.get("id"))
        if import_id is None or len(import_id) > _LONGEST_ID or import_id in (".", ".."):
            raise MalformedResponseError("the response has no import id")
        if isinstance(body.get("status"), int) and (_text(body.get("title")) or _text(body.get("detail"))):
            raise MalformedResponseError("the response is an error document")
        if asked_for is not None and import_id.lower() != asked_for.lower():
            raise MalformedResponseError("the response is about another import")
        options = body.get("options")
        return cls(
            id=asked_for or import_id,
            type=_text(body.get("type")),
            origin=_text(body.get("origin")),
            status=_text(body.get("status")),
            total=_count(body.get("total")),
            success=_count(body.get("success")),
            errors=_count(body.get("errors")),
            options=dict(options) if isinstance(options, Mapping) else {},
            created_at=_moment(body.get("createdAt")),
            started_at=_moment(body.get("startedAt")),
            finished_at=_moment(body.get("finishedAt")),
            cancelled_at=_moment(body.get("cancelledAt")),
            error_report_url=_text(body.get("errorReportFileUrl")),
        )


def _text(value: object) -> str | None:
    """Return a text that is safe in a log line and in an address, else ``None``: a line break could forge either."""
    return value if isinstance(value, str) and value and value.isprintable() else None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _moment(value: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return moment if moment is None or moment.tzinfo else None
