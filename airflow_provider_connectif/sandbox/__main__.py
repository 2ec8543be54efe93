"""The sandbox's command line: ``python -m airflow_provider_connectif.sandbox``."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

from airflow_provider_connectif.sandbox.catalogue import CatalogueError, catalogue_of, read_definitions
from airflow_provider_connectif.sandbox.default_fields import CUSTOM_FIELDS, SYSTEM_FIELDS
from airflow_provider_connectif.sandbox.keys import SCOPES, ApiKey
from airflow_provider_connectif.sandbox.server import NotLoopbackError, listen, serve
from airflow_provider_connectif.sandbox.settings import (
    CUSTOM_FIELD_CHOICES,
    DEFAULT_API_KEY,
    DEFAULT_PAGE_SIZE,
    DEFAULT_QUEUE_SECONDS,
    DEFAULT_REPORT_SECONDS,
    DEFAULT_ROWS_PER_SECOND,
    LINK_CHOICES,
    NULL_CHOICES,
    Settings,
)
from airflow_provider_connectif.sandbox.window import HEADER_STYLES

_DESCRIPTION = """A local server that behaves like the Connectif API as far as it is known, to develop and
test DAGs against without touching the contacts of a real account. Listens on the loopback interface only."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a sandbox until SIGINT or SIGTERM. The process ends with status 2 if an option cannot be used."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        settings = _settings(options)
        listener = listen(options.host, options.port)
    except (CatalogueError, NotLoopbackError, OSError) as error:
        parser.error(str(error))
    serve(settings, listener)


def _settings(options: argparse.Namespace) -> Settings:
    custom = CUSTOM_FIELDS if options.fields is None else read_definitions(options.fields)
    return Settings(
        api_keys=tuple(options.api_key or [ApiKey(DEFAULT_API_KEY)]),
        requests_per_window=options.requests_per_minute,
        window_seconds=options.window_seconds,
        header_style=options.headers,
        blocked=options.blocked,
        nulls=options.nulls,
        fields=catalogue_of(SYSTEM_FIELDS, custom),
        any_fields=options.any_fields,
        custom_fields=options.custom_fields,
        page_size=options.page_size,
        links=options.links,
        import_rows_per_second=options.import_rows_per_second,
        import_queue_seconds=options.import_queue_seconds,
        report_seconds=options.report_seconds,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_connectif.sandbox",
        description=_DESCRIPTION,
    )
    parser.add_argument("--host", default="127.0.0.1", help="loopback address to listen on (%(default)s)")
    parser.add_argument("--port", type=_port, default=8765, help="port to listen on; 0 picks a free one (%(default)s)")
    _add_account_options(parser.add_argument_group("account"))
    _add_contact_options(parser.add_argument_group("contacts and fields"))
    _add_import_options(parser.add_argument_group("imports"))
    return parser


def _add_account_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--api-key",
        action="append",
        type=_api_key,
        metavar="ID:SECRET[=SCOPES]",
        help="a key, with the named scopes or all scopes; repeat the option for several keys. "
        f"Scopes: {', '.join(sorted(SCOPES))}; without the option: {DEFAULT_API_KEY}",
    )
    group.add_argument("--blocked", action="store_true", help="respond 403 to every request with a valid key")
    group.add_argument(
        "--requests-per-minute",
        type=_whole_number,
        default=100,
        help="requests in a window; 0: no limit and no rate-limit headers. Without headers a task keeps to 100 "
        "requests a minute, so give a large number instead (%(default)s)",
    )
    group.add_argument(
        "--window-seconds", type=_seconds, default=60.0, help="length of a window in seconds (%(default)g)"
    )
    group.add_argument(
        "--headers",
        choices=sorted(HEADER_STYLES),
        default="x-epoch",
        help="rate-limit headers of responses (%(default)s)",
    )


def _add_contact_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--fields",
        type=Path,
        metavar="FILE",
        help="JSON list of ContactField objects, which replace the default custom fields",
    )
    strictness = group.add_mutually_exclusive_group()
    strictness.add_argument(
        "--strict-fields",
        dest="any_fields",
        action="store_false",
        help="refuse undefined custom fields (this is the default)",
    )
    strictness.add_argument(
        "--any-fields", dest="any_fields", action="store_true", help="accept undefined custom fields"
    )
    group.set_defaults(any_fields=False)
    group.add_argument(
        "--custom-fields",
        choices=CUSTOM_FIELD_CHOICES,
        default="everywhere",
        help="endpoints that accept custom fields (%(default)s)",
    )
    group.add_argument(
        "--nulls", choices=NULL_CHOICES, default="clear", help="effect of null on a property (%(default)s)"
    )
    group.add_argument(
        "--page-size",
        type=_page_size,
        default=DEFAULT_PAGE_SIZE,
        help="contact fields on a page (%(default)s)",
    )
    group.add_argument(
        "--links",
        choices=LINK_CHOICES,
        default="absolute",
        help="form of links.next and links.prev (%(default)s)",
    )


def _add_import_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--import-rows-per-second",
        type=_whole_number,
        default=DEFAULT_ROWS_PER_SECOND,
        help="rows of imports per second; 0: as fast as possible (%(default)s)",
    )
    group.add_argument(
        "--import-queue-seconds",
        type=_seconds_or_none,
        default=DEFAULT_QUEUE_SECONDS,
        help="least seconds for which an import is queued (%(default)g)",
    )
    group.add_argument(
        "--report-seconds",
        type=_seconds,
        default=DEFAULT_REPORT_SECONDS,
        help="seconds for which the address of an error report is valid (%(default)g)",
    )


def _api_key(text: str) -> ApiKey:
    try:
        return ApiKey.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _port(text: str) -> int:
    return _whole_number(text, most=65535)


def _page_size(text: str) -> int:
    return _whole_number(text, least=1)


def _whole_number(text: str, least: int = 0, most: int = 1_000_000_000) -> int:
    if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} to {most}")
    return int(text)


def _seconds_or_none(text: str) -> float:
    return 0.0 if text in ("0", "0.0") else _seconds(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= 86_400:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0, at most a day")
    return seconds


if __name__ == "__main__":
    main()
