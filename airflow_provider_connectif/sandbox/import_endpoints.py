"""The endpoints of the bulk import, and the download of error reports."""

from __future__ import annotations

import time
from dataclasses import dataclass
from urllib.parse import parse_qs

from starlette.responses import Response

from airflow_provider_connectif.sandbox.endpoints import ApiRequest, asked_page, page_of
from airflow_provider_connectif.sandbox.import_list import ERROR, FINISHED, Import, ImportFate, ImportOptions
from airflow_provider_connectif.sandbox.responses import empty_response, http_error, json_response, unprocessable
from airflow_provider_connectif.sandbox.state import SandboxState
from airflow_provider_connectif.sandbox.uploads import Upload
from airflow_provider_connectif.sandbox.validation import validation_error

LARGEST_FILE_BYTES = 50_000_000
"""Documented as 50 MB. Assumption: a megabyte has a million bytes, which is the stricter reading."""

REPORT_PATH = "/error-reports/{id}"
"""The path of error reports in the sandbox. Connectif has them on another host, at a signed address."""

_FLAGS = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class _Form:
    """The options of an upload, and the errors in them."""

    errors: list[dict[str, str]]
    options: ImportOptions


def create_import(state: SandboxState, request: ApiRequest) -> Response:
    """Respond 201 with the Import; 400 with E0401 if ten imports are queued; or 400, 413, 415 or 422 to a wrong
    request.
    """
    if request.content_type.partition(";")[0].strip().lower() != "multipart/form-data":
        return http_error(415, "The content type must be multipart/form-data")
    upload = request.upload
    if upload is None:
        return http_error(400, "The body is not multipart/form-data")
    if upload.file_bytes > LARGEST_FILE_BYTES:
        return http_error(413, f"The file is longer than {LARGEST_FILE_BYTES} bytes")
    form = _read_form(upload)
    if form.errors or upload.file is None:
        return unprocessable(form.errors)
    if state.imports.is_full:
        return http_error(400, "Ten imports are queued already", code="E0401")
    one = state.imports.add(upload.file, form.options, request.fate or ImportFate())
    return json_response(201, one.as_json())


def _read_form(upload: Upload) -> _Form:
    """Read the options of an upload. Assumptions: a missing switch is ``false``, a missing delimiter is a comma, and
    unknown options are ignored.
    """
    texts, errors = upload.texts, []
    delimiter = texts.get("delimiter", ",")
    if texts.get("type") != "contacts":
        # Products and coupons are documented too; the sandbox has none.
        errors.append(validation_error("type", "must be contacts"))
    if len(delimiter) != 1 or delimiter == '"' or not (delimiter.isprintable() or delimiter == "\t"):
        errors.append(validation_error("delimiter", "must be one character"))
    for name in ("overrideExisting", "updateOnlyEmptyFields"):
        if texts.get(name, "false") not in _FLAGS:
            errors.append(validation_error(name, "must be true or false"))
    override = texts.get("overrideExisting") == "true"
    only_empty = texts.get("updateOnlyEmptyFields") == "true"
    if only_empty and not override:
        errors.append(validation_error("updateOnlyEmptyFields", "requires overrideExisting"))
    if upload.file is None:
        errors.append(validation_error("file", "is missing"))
    elif upload.file_type != "text/csv":
        errors.append(validation_error("file", "must be text/csv"))
    return _Form(errors, ImportOptions(delimiter, override, only_empty))


def list_imports(state: SandboxState, request: ApiRequest) -> Response:
    """Respond 200 with ``{links: {next?, prev?}, results: [Import]}``, in pages like those of contact fields."""
    asked = asked_page(state, request)
    if asked is None:
        return http_error(400, "page and pageSize must be whole numbers from 1 up")
    shown = [one.as_json() for one in state.imports.latest_first()]
    return page_of(state, request, "/imports/", shown, asked)


def get_import(state: SandboxState, request: ApiRequest) -> Response:
    """Respond 200 with the Import, or 404. If rows were rejected, it has a new address of its error report."""
    one = state.imports.find(request.key)
    if one is None:
        return _missing()
    shown = one.as_json()
    signature = one.new_report_address(state.settings.report_seconds)
    if signature is not None:
        path = REPORT_PATH.replace("{id}", one.id)
        shown["errorReportFileUrl"] = f"{request.base_url}{path}?sig={signature}"
    return json_response(200, shown)


def delete_import(state: SandboxState, request: ApiRequest) -> Response:
    """Respond 204, 404, or 400 in states other than finished and error.

    Assumption: the status 400. Only the refusal is documented.
    """
    one = state.imports.find(request.key)
    if one is None:
        return _missing()
    if one.status not in (FINISHED, ERROR):
        return http_error(400, "Only an import that is finished or in error can be deleted")
    state.imports.remove(one)
    return empty_response(204)


def get_error_report(state: SandboxState, request: ApiRequest, authorization: bytes | None) -> Response:
    """Respond 200 with the CSV file, or 403 to an address that has expired, as object stores do.

    No API key is needed. A request with a key gets 400, so that a test notices a client that sends it.
    """
    if authorization is not None:
        return http_error(400, "An error report is fetched by its address alone; the API key does not belong here")
    one = state.imports.find(request.key)
    signature = parse_qs(request.query).get("sig", [""])[-1]
    if one is None or not _is_valid(one, signature) or one.report is None:
        return empty_response(403)
    one.report.seek(0)
    content = one.report.read()
    return Response(content, media_type="text/csv")


def _is_valid(one: Import, signature: str) -> bool:
    return one.report_addresses.get(signature, 0.0) > time.monotonic()


def _missing() -> Response:
    return http_error(404, "The import does not exist")
