"""Requests about imports, judged: what the log gets, which violations there are, the status and the body."""

from __future__ import annotations

import json
from typing import Any

from tests.support import strict_csv
from tests.support.strict_imports import Import, Imports
from tests.support.strict_uploads import LARGEST_FILE, Upload

Judgement = tuple[int, dict[str, Any], Any]
"""Status, fault and body of the response (a mapping, or ``None`` for none)."""


def judge_upload(imports: Imports, upload: Upload, fault: dict[str, Any], entry: dict[str, Any]) -> Judgement:
    """``POST /imports/``, once the body has come."""
    upload.close()
    wrong = [*upload.wrong, *_faulty_fields(upload)]
    entry.update(sha256=upload.sha256, size=upload.size, file_name=upload.file_name, violations=wrong)
    entry["options"] = {name: value for name, value in upload.fields.items() if name != "type"}
    if not upload.is_form:
        entry["violations"] = upload.wrong
        return 400 if upload.is_meant_as_multipart else 415, fault, {}
    imports.last_total = strict_csv.count_rows(upload.path, upload.fields.get("delimiter", ","))
    if fault.get("drop") == "before" or fault.get("hang") == "before":
        return 0, fault, None
    if fault.get("no_import") or (fault.get("status", 200) >= 300 and not fault.get("exists")):
        return fault.get("status", 201), fault, {}
    if upload.size > LARGEST_FILE:
        return 413, fault, {}
    if wrong:
        named = dict.fromkeys(_field_of(words) for words in wrong)
        errors = [{"name": name, "path": f"/{name}", "reason": "is not as documented"} for name in named]
        return 422, fault, {"validationErrors": errors}
    if imports.is_full():
        return 400, fault, {"code": "E0401"}
    if fault.get("same_id"):
        return 201, fault, next(iter(imports.all.values())).shown()
    one = imports.add(upload, fault)
    entry.update(import_id=one.id, total=one.total)
    status = fault.get("status", 201)
    return status, fault, one.shown() if status < 300 else {}


def _faulty_fields(upload: Upload) -> list[str]:
    fields, wrong = upload.fields, []
    if fields.get("type") != "contacts":
        wrong.append("type is not contacts")
    for name in ("overrideExisting", "updateOnlyEmptyFields"):
        if fields.get(name) not in ("true", "false"):
            wrong.append(f"{name} is neither true nor false")
    if fields.get("updateOnlyEmptyFields") == "true" and fields.get("overrideExisting") != "true":
        wrong.append("updateOnlyEmptyFields requires overrideExisting")
    if len(fields.get("delimiter", "")) != 1 or fields["delimiter"] in '"\r\n':
        wrong.append("delimiter is not one character")
    return wrong


def _field_of(words: str) -> str:
    """The part of the form that a fault is about; the file, where it is about no other one."""
    first = words.partition(" ")[0]
    return first if first in ("type", "delimiter", "overrideExisting", "updateOnlyEmptyFields") else "file"


def judge_question(imports: Imports, method: bytes, target: bytes, wrong: list[str]) -> Judgement:
    """``GET /imports/``, ``GET`` and ``DELETE /imports/{id}``."""
    path, _, query = target.decode("latin-1").partition("?")
    import_id = path.removesuffix("/").removeprefix("/imports").removeprefix("/")
    kinds = {b"GET": "GET", b"DELETE": "DELETE"} if import_id else {b"GET": "LIST", b"POST": "POST"}
    kind = kinds.get(method)
    is_none = "/" in import_id or path.endswith("//")
    if kind is None or is_none or (query and kind != "LIST"):
        wrong.append("no documented endpoint")
        if is_none:
            return 404, {}, {}
    if kind is None:
        return 405, {"headers": {"Allow": ", ".join(name.decode() for name in kinds)}}, {}
    fault = imports.fault_for(kind)
    if "drop" in fault or "hang" in fault:
        return 0, fault, None
    if fault.get("status", 200) >= 300:
        return fault["status"], fault, {}
    if kind == "LIST":
        return 200, fault, imports.page(int(query.partition("after=")[2] or 0))
    others = imports.others()
    if import_id in others and kind == "GET":
        return 200, fault, others[import_id]
    one = imports.all.get(import_id)
    if one is None:
        return 404, fault, {}
    if kind == "GET":
        return 200, fault, one.shown(detail=True) | fault.get("json", {})
    return _deleted(imports, one, fault, wrong)


def _deleted(imports: Imports, one: Import, fault: dict[str, Any], wrong: list[str]) -> Judgement:
    if one.status not in ("finished", "error"):
        wrong.append("an import that is neither finished nor in error was to be deleted")
        return 400, fault, {}
    del imports.all[one.id]
    return 204, fault, None


def judge_report(
    imports: Imports, method: bytes, target: bytes, headers: dict[str, str], wrong: list[str]
) -> tuple[int, dict[str, Any], bytes]:
    """A download of an error report: no key, no cookie, an address that is still good."""
    for name in ("authorization", "cookie"):
        if name in headers:
            wrong.append(f"header {name} went to the host of error reports")
    fault = imports.fault_for("REPORT")
    if fault.get("status", 200) >= 300:
        return fault["status"], fault, fault.get("text", "").encode()
    path, _, query = target.decode("latin-1").partition("?")
    one = imports.all.get(path.removeprefix("/reports/").removesuffix(".csv"))
    if method != b"GET" or one is None:
        return 404, fault, b""
    if not one.is_readable_with(query.removeprefix("sig=")):
        return 403, fault, b"<Error>AuthenticationFailed</Error>"
    report = fault["text"].encode() if "text" in fault else one.report.read_bytes()
    return 200, {"content_type": "text/csv"} | fault, report


def body_of(status: int, body: Any, fault: dict[str, Any], error: Any) -> bytes:
    """Return a response's JSON; ``error`` makes the documented shape of a refusal."""
    if "text" in fault and fault.get("status") == status:
        return str(fault["text"]).encode()
    if status >= 400:
        if status in (401, 429) or status >= 500:
            return b""
        return error(status, **body, **(fault.get("json", {}) if fault.get("status") == status else {}))
    return b"" if body is None else json.dumps(body).encode()
