"""The account behind :class:`tests.support.strict_server.StrictServer`: window, contacts, faults, log, judgement."""

from __future__ import annotations

import json
import math
import time
from datetime import UTC, datetime
from email.utils import formatdate
from pathlib import Path
from typing import Any

from tests.support import strict_import_endpoints as endpoints
from tests.support import strict_rules as rules
from tests.support.catalogue import is_email
from tests.support.strict_bodies import error, fault_content
from tests.support.strict_contacts import KEY_PROPERTIES, Contacts, TakenError, overwrite
from tests.support.strict_fields import FieldPages
from tests.support.strict_imports import Imports, open_folder
from tests.support.strict_stored import documented, shown, stored
from tests.support.strict_uploads import Upload

LARGEST_BODY = 1 << 20  # no document names a limit
# What a careful client of these documents has reason to send.
_KNOWN_HEADERS = {
    *("host", "user-agent", "accept", "accept-encoding", "connection"),
    *("content-type", "content-length", "authorization"),
}


class Account:
    """Settings, window, contacts, faults and the log of everything that came in."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.__dict__.update(settings)
        self.log: list[dict[str, Any]] = []
        self.violations: list[str] = []
        self._folder = open_folder()
        self.folder = Path(self._folder.name)
        self.contacts = Contacts(self.folder, self)
        self.imports = Imports(self, self.folder)
        self.field_pages = FieldPages(self)
        self.url = ""
        self.windows: list[dict[str, float]] = []
        self.requests = 0  # of any kind
        self.received = 0  # contact requests, also those that a window refuses
        self.passed = {"PATCH": 0, "GET": 0, "DELETE": 0}  # contact requests that a window let pass
        self.attempts: dict[tuple[str, str], int] = {}
        self.in_flight: dict[str, int] = {}

    def report(self) -> dict[str, Any]:
        """Return everything but the contacts, which may be too many."""
        names = ("log", "violations", "windows", "requests", "received")
        return {name: getattr(self, name) for name in names} | {"in_flight": sum(self.in_flight.values())}

    def close(self) -> None:
        self.imports.close()
        self.contacts.close()
        self._folder.cleanup()

    def count_in_window(self) -> bool:
        """Count a request; whether the window still allows it."""
        if not self.limit:
            return True
        now = time.time() + self.clock_ahead_s
        window = self.windows[-1] if self.windows else None
        if window is None or now >= window["ends"]:
            starts = now - now % self.window_s if self.window_from == "clock" else now
            window = {"starts": starts, "ends": starts + self.window_s, "allowed": 0, "refused": 0}
            self.windows.append(window)
        allowed = window["allowed"] < self.limit
        window["allowed" if allowed else "refused"] += 1
        return allowed

    def rate_headers(self, refused: bool) -> dict[str, str]:
        if not self.windows or not self.limit:
            return self.response_headers
        window = self.windows[-1]
        ends, left = window["ends"], max(0.0, window["ends"] - time.time() - self.clock_ahead_s)
        headers = {}
        if self.headers != "none" and self.requests % self.headers_every == 0:
            reset = {
                "floor": str(math.floor(left)),
                "ceil": str(math.ceil(left)),
                "fraction": f"{left:.3f}",
                "epoch": str(math.floor(ends)),
                "iso": datetime.fromtimestamp(ends, UTC).isoformat(),
                "draft7": str(math.ceil(left)),
                "draft8": str(math.ceil(left)),
            }[self.headers]
            prefix = "X-RateLimit" if self.headers in ("epoch", "iso") else "RateLimit"
            remaining = max(0, self.limit - int(window["allowed"]))
            headers = {f"{prefix}-Limit": self.limit, f"{prefix}-Remaining": remaining, f"{prefix}-Reset": reset}
            if self.headers == "draft7":
                headers = {"RateLimit": f"limit={self.limit}, remaining={remaining}, reset={reset}"}
            elif self.headers == "draft8":
                headers = {
                    "RateLimit-Policy": f'"a day, all";q=1000000;w=86400, "default";q={self.limit};w={self.window_s:g}',
                    "RateLimit": f'"a day, all";r=900000;t=40000, "default";r={remaining};t={reset}',
                }
        if refused and self.retry_after == "seconds":
            headers["Retry-After"] = math.ceil(left)
        if refused and self.retry_after == "date":
            headers["Retry-After"] = formatdate(math.ceil(ends), usegmt=True)
        return self.response_headers | {name: str(value) for name, value in headers.items()}

    def fault_for(self, method: str, key: str) -> dict[str, Any]:
        """The first fault that fits a request which the window let pass."""
        self.passed[method] += 1
        passed, nth = self.passed[method], (method, key)
        attempt = self.attempts[nth] = self.attempts.get(nth, 0) + 1
        for fault in self.faults:
            first, last = fault.get("nth") or (1, math.inf)
            if (
                fault.get("method", "PATCH") == method
                and key in fault.get("keys", (key,))
                and attempt <= fault.get("attempts", math.inf)
                and first <= passed <= (last or math.inf)
                and fault.get("times", 1) > 0
            ):
                if "times" in fault:
                    fault["times"] -= 1
                return fault
        return {}


def judge(
    account: Account,
    method: bytes,
    target: bytes,
    headers: dict[str, str],
    content: bytes,
    upload: tuple[Upload, dict[str, Any]] | None = None,
) -> tuple[dict[str, Any], int, dict[str, Any], bytes]:
    """Judge one request; return the log's entry, the status, the fault and the body of the response.

    :param upload: in place of the content, with the fault that was found for it.
    """
    entry: dict[str, Any] = {"t": time.time(), "method": method.decode(), "target": target.decode("latin-1")}
    if account.keep_log:
        account.log.append(entry)
    wrong = _header_faults(method, headers)
    if not _is_let_in(account, headers):
        status, fault, answer = 401, {}, b""
    elif not account.count_in_window():
        status, fault, answer = 429, {}, b""
    elif target.partition(b"?")[0] == b"/imports" or target.startswith(b"/imports/"):
        status, fault, answer = _about_imports(account, method, target, upload, entry, wrong)
    else:
        status, fault, answer = _decide(account, method, target, headers, content, entry, wrong)
    account.violations += [f"{text} ({entry['method']} {entry.get('by', '')})" for text in wrong]
    entry["status"] = 0 if any(fault.get(kind) for kind in ("hang", "drop", "half", "trickle_s")) else status
    account.received += "/contacts/" in entry["target"]
    return entry, status, fault, answer


def _is_let_in(account: Account, headers: dict[str, str]) -> bool:
    return headers.get("authorization") == f"apiKey {account.api_key}"


def _about_imports(
    account: Account,
    method: bytes,
    target: bytes,
    upload: tuple[Upload, dict[str, Any]] | None,
    entry: dict[str, Any],
    wrong: list[str],
) -> tuple[int, dict[str, Any], bytes]:
    if upload is None:
        status, fault, body = endpoints.judge_question(account.imports, method, target, wrong)
    else:
        status, fault, body = endpoints.judge_upload(account.imports, *upload, entry)
        wrong += entry["violations"]
    return status, fault, endpoints.body_of(status, body, fault, error)


def _decide(
    account: Account,
    method: bytes,
    target: bytes,
    headers: dict[str, str],
    content: bytes,
    entry: dict[str, Any],
    wrong: list[str],
) -> tuple[int, dict[str, Any], bytes]:
    path = target.partition(b"?")[0]
    if path.startswith(b"/contact-fields/") or path == b"/contact-fields":
        return account.field_pages.respond(method, target, wrong)
    if path in (b"/store", b"/store/"):
        return _store(method, wrong)
    by, form, segment = _contact_path(path)
    if path != target or path.endswith(b"/"):  # a reader ignores both, and no client has a reason to send them
        wrong.append("no documented endpoint")
    if not segment:
        wrong.append("no documented endpoint")
        return 404, {}, error(404)
    if method not in (b"PATCH", b"GET", b"DELETE"):
        wrong.append("no documented endpoint")
        return 405, {"headers": {"Allow": "GET, PATCH, DELETE"}}, error(405)
    key, faults = rules.decoded_segment(segment)
    wrong += faults
    entry.update(key=key, by=by, order_key=f"{by}:{rules.one_spelling(key, by)}")
    if method == b"GET":
        return _looked_up(account, key, by, content, wrong, entry)
    if method == b"DELETE":
        return _deleted(account, key, by, content, wrong, entry)
    if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        wrong.append("content type is not application/json")
        return 415, {}, error(415)
    if len(content) > LARGEST_BODY:
        wrong.append("body is larger than any contact")
        return 413, {}, error(413)
    body, faults = rules.parsed_object(content)
    wrong += faults
    entry["body"] = body
    fault = account.fault_for("PATCH", key)
    if account.log_states:
        before = account.contacts.get(key, by)
        entry.update(before=before, after=before, applied=None, is_shown=False)
    if fault.get("hang") == "before" or fault.get("drop") == "before":
        return 0, fault, b""
    if fault.get("status", 200) >= 300 or "text" in fault or "json" in fault:
        fault.setdefault("status", 200)
        return fault["status"], fault, fault_content(fault, key, content)
    if body is None or faults or not _can_be(key, by, account):
        return 400, {}, error(400)
    if account.stores == "documented":
        body = documented(body, by)
    errors = rules.property_errors(body, form, account.fields)
    if errors:
        return 422, {}, error(422, validationErrors=errors)
    created = account.contacts.get(key, by) is None
    kept = stored(account.stores, body, by)
    if account.keep_contacts:
        if created:
            kept = account.created_with | kept
        try:
            account.contacts.change([(key, kept)], overwrite, by)
        except TakenError as taken:
            errors = [{"name": str(taken), "path": f"/{taken}", "reason": "is another contact's"}]
            return 422, {}, error(422, validationErrors=errors)
        applied, kept = kept, account.contacts.get(key, by) or {}
        if account.log_states:
            lost = bool(fault.get("drop") or fault.get("hang") or fault.get("half"))
            applied = {name: value for name, value in applied.items() if name in body}
            entry.update(after=kept, applied=applied, is_shown=account.shows == "contact" and not lost)
    status = fault.get("status") or (201 if created else 200)
    if status == 204:
        return status, fault, b""
    whole = account.contacts.shown(key, by) if account.keep_contacts else {"id": "5f" + 22 * "0", **kept}
    contact = whole | {KEY_PROPERTIES[by]: fault["shows"]} if "shows" in fault or not account.keep_contacts else whole
    answer, content_type = shown("contact" if "shows" in fault else account.shows, contact, by)
    return status, {"content_type": content_type} | fault, answer


def _looked_up(
    account: Account, key: str, by: str, content: bytes, wrong: list[str], entry: dict[str, Any]
) -> tuple[int, dict[str, Any], bytes]:
    """``GET`` of a contact, which no page that is known documents: as of other resources."""
    if content:
        wrong.append("a GET has a body")
    fault = account.fault_for("GET", key)
    if account.log_states:
        held = account.contacts.get(key, by)
        entry.update(before=held, after=held, applied=None, is_shown=False)
    if fault.get("hang") or fault.get("drop"):
        return 0, fault, b""
    if fault.get("status", 200) >= 300 or "text" in fault or "json" in fault:
        fault.setdefault("status", 200)
        return fault["status"], fault, fault_content(fault, key, content)
    if not account.may_read_contacts:
        return 403, fault, error(403)
    if not _can_be(key, by, account):
        return 400, fault, error(400)
    if account.contacts.get(key, by) is None:
        return 404, fault, error(404)
    if account.log_states:
        entry["is_shown"] = True
    shown_key = {KEY_PROPERTIES[by]: fault["shows"]} if "shows" in fault else {}
    return 200, fault, json.dumps(account.contacts.shown(key, by) | shown_key).encode()


def _deleted(
    account: Account, key: str, by: str, content: bytes, wrong: list[str], entry: dict[str, Any]
) -> tuple[int, dict[str, Any], bytes]:
    """``DELETE`` of a contact, which no page that is known documents: as of other resources."""
    if content:
        wrong.append("a DELETE has a body")
    fault = account.fault_for("DELETE", key)
    before = account.contacts.get(key, by)
    entry.update(existed=before is not None)
    if account.log_states:
        entry.update(before=before, after=before, applied=None, is_shown=False)
    if fault.get("hang") == "before" or fault.get("drop") == "before":
        return 0, fault, b""
    if fault.get("status", 200) >= 300 or "text" in fault or "json" in fault:
        fault.setdefault("status", 200)
        return fault["status"], fault, fault_content(fault, key, content)
    if not account.may_delete_contacts:
        return 403, fault, error(403)
    if not _can_be(key, by, account):
        return 400, fault, error(400)
    account.contacts.delete(key, by)
    if account.log_states:
        entry["after"] = None
    if before is None and account.deletes_nobody_with == 404:
        return 404, fault, error(404)
    return fault.get("status") or 204, fault, b""


def _store(method: bytes, wrong: list[str]) -> tuple[int, dict[str, Any], bytes]:
    """``GET /store/``, whose properties no page that is known documents."""
    if method != b"GET":
        wrong.append("no documented endpoint")
        return 405, {"headers": {"Allow": "GET"}}, error(405)
    return 200, {}, json.dumps({"id": "5f" + 22 * "0", "name": "Strict store"}).encode()


def _contact_path(path: bytes) -> tuple[str, str, bytes]:
    """The kind of the key in a path, the documented body of the path, and the key as it was sent; empty: no contact."""
    segment = path.removesuffix(b"/").removeprefix(b"/contacts/")
    by = form = "email"
    if segment.startswith(b"external-id/"):
        by, form, segment = "external_id", "external_id", segment.removeprefix(b"external-id/")
    elif segment.startswith(b"email/"):
        form, segment = "newer_email", segment.removeprefix(b"email/")
    return by, form, b"" if b"/" in segment or not path.startswith(b"/contacts/") else segment


def _can_be(key: str, by: str, account: Account) -> bool:
    if by != "email":
        return rules.is_external_id(key)
    return rules.is_email(key) if account.fields is None else is_email(key)


def _header_faults(method: bytes, headers: dict[str, str]) -> list[str]:
    wrong = [f"header {name} has no place here" for name in headers if name not in _KNOWN_HEADERS]
    scheme, _, key = headers.get("authorization", "").partition(" ")
    if scheme != "apiKey" or key.count(":") < 1 or " " in key:
        wrong.append("Authorization is not of the form apiKey {keyId}:{keySecret}")
    if "host" not in headers:
        wrong.append("no Host header")
    return wrong
