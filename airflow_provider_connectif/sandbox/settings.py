"""The settings of a sandbox."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from airflow_provider_connectif.sandbox.catalogue import ContactField, catalogue_of
from airflow_provider_connectif.sandbox.default_fields import CUSTOM_FIELDS, SYSTEM_FIELDS
from airflow_provider_connectif.sandbox.keys import ApiKey

DEFAULT_API_KEY = "sandbox-id:sandbox-secret"
DEFAULT_PAGE_SIZE = 50
DEFAULT_ROWS_PER_SECOND = 20_000
DEFAULT_QUEUE_SECONDS = 1.0
DEFAULT_REPORT_SECONDS = 6000.0

NULL_CHOICES = ("clear", "reject")
LINK_CHOICES = ("absolute", "relative")
CUSTOM_FIELD_CHOICES = ("everywhere", "legacy-only")


def _default_fields() -> Mapping[str, ContactField]:
    return catalogue_of(SYSTEM_FIELDS, CUSTOM_FIELDS)


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one sandbox. Each default is the documented value or, if nothing is documented, the likeliest.

    requests_per_window, window_seconds: the account's rate limit, documented as 100 a minute; 0 requests: no limit.
    header_style: a name in ``window.HEADER_STYLES``.
    blocked: the account is blocked, and every response is 403.
    nulls: the effect of null in a PATCH, ``clear`` or ``reject`` (undocumented).
    fields: the definitions by id.
    any_fields: accept custom ids that have no definition (undocumented).
    custom_fields: ``legacy-only``: custom fields are refused on ``/contacts/email/`` and ``/contacts/external-id/``,
    because the documented bodies of these paths do not list them.
    page_size, links: the page size of lists, and whether ``links.next`` is absolute or relative (undocumented).
    import_rows_per_second: rows of imports that are processed per second; 0: as fast as possible.
    import_queue_seconds: least seconds for which an import is queued.
    report_seconds: seconds for which the address of an error report is valid (undocumented; the address of an export is
    valid for 100 minutes).
    """

    api_keys: tuple[ApiKey, ...] = (ApiKey(DEFAULT_API_KEY),)
    requests_per_window: int = 100
    window_seconds: float = 60.0
    header_style: str = "x-epoch"
    blocked: bool = False
    nulls: str = "clear"
    fields: Mapping[str, ContactField] = field(default_factory=_default_fields)
    any_fields: bool = False
    custom_fields: str = "everywhere"
    page_size: int = DEFAULT_PAGE_SIZE
    links: str = "absolute"
    import_rows_per_second: int = DEFAULT_ROWS_PER_SECOND
    import_queue_seconds: float = DEFAULT_QUEUE_SECONDS
    report_seconds: float = DEFAULT_REPORT_SECONDS
