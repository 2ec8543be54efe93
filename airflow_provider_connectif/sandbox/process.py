"""A sandbox in a process of its own, for tests and demonstrations. That process needs uvicorn and starlette."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from airflow_provider_connectif.sandbox.keys import ApiKey

_PACKAGE = "airflow_provider_connectif.sandbox"
_IMPORT_ROOT = Path(__file__).resolve().parents[2]
_STOP_DEADLINE_S = 5.0
_CONTROL_TIMEOUT_S = 30.0


class SandboxError(RuntimeError):
    """The sandbox did not start, or refused a request of a method. The message quotes the sandbox."""


class SandboxProcess:
    """A sandbox that runs from ``with`` to the end of the block, on a free loopback port.

    The arguments are the options of the command line: see ``python -m airflow_provider_connectif.sandbox --help``. The
    defaults are the same, except those of imports: here, imports are processed at once. Requests go to ``url``, with
    ``api_key``: the first key without its scopes, ``id:secret``.

    :param requests_per_minute: requests in a window of ``window_seconds``; 0: no limit and no rate-limit headers.
        Without headers a task keeps to 100 requests a minute, so give a large number instead.
    :param window_seconds: the length of a window.
    :param api_key: one key or several, each ``id:secret`` or ``id:secret=scope,scope``.
    :param headers: the rate-limit headers of responses.
    :param nulls: the effect of null on a property.
    :param fields: a JSON file of contact fields, which replace the default custom fields.
    :param any_fields: accept undefined custom fields.
    :param custom_fields: the endpoints that accept custom fields.
    :param page_size: contact fields on a page.
    :param links: the form of ``links.next`` and ``links.prev``.
    :param blocked: respond 403 to every request with a valid key.
    :param import_rows_per_second: rows of imports that are processed per second; 0 (default): as fast as possible.
    :param import_queue_seconds: least seconds for which an import is queued. Default 0.
    :param report_seconds: seconds for which the address of an error report is valid.
    :param start_deadline_s: time limit for the start, in seconds.
    :raises ValueError: the first API key is not valid.
    :raises SandboxError: the sandbox does not start, for example with another invalid option, or refuses the request of
        a method.
    """

    def __init__(
        self,
        *,
        requests_per_minute: int = 100,
        window_seconds: float = 60.0,
        api_key: str | Sequence[str] = "sandbox-id:sandbox-secret",
        headers: str = "x-epoch",
        nulls: str = "clear",
        fields: str | Path | None = None,
        any_fields: bool = False,
        custom_fields: str = "everywhere",
        page_size: int = 50,
        links: str = "absolute",
        blocked: bool = False,
        import_rows_per_second: int = 0,
        import_queue_seconds: float = 0.0,
        report_seconds: float = 6000.0,
        start_deadline_s: float = 30.0,
    ) -> None:
        keys = [api_key] if isinstance(api_key, str) else list(api_key)
        self.api_key = ApiKey.parse(keys[0]).pair
        self.url = ""
        self._start_deadline_s = start_deadline_s
        self._options = [
            *("--port", "0", "--requests-per-minute", str(requests_per_minute)),
            *("--window-seconds", str(window_seconds), "--headers", headers, "--nulls", nulls),
            *("--custom-fields", custom_fields, "--page-size", str(page_size), "--links", links),
            *("--import-rows-per-second", str(import_rows_per_second)),
            *("--import-queue-seconds", str(import_queue_seconds), "--report-seconds", str(report_seconds)),
            *(f"--api-key={key}" for key in keys),
            *(() if fields is None else ("--fields", str(fields))),
            *(("--any-fields",) if any_fields else ()),
            *(("--blocked",) if blocked else ()),
        ]
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] | None = None
        self._last_log = ""
        # The address is on this machine, so no proxy from the environment is used.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def __enter__(self) -> SandboxProcess:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the process and wait until it accepts requests.

        Afterwards ``url`` is its address, without a slash at the end.
        """
        # A file instead of a pipe: nothing reads it while the server runs, and a full pipe would stop the server.
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        with contextlib.ExitStack() as if_it_fails:
            if_it_fails.callback(self.stop)
            self._process = subprocess.Popen(  # noqa: S603 - this interpreter and this package
                [sys.executable, "-m", _PACKAGE, *self._options],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env={**os.environ, "PYTHONPATH": _python_path()},
            )
            line = _first_line(self._process, time.monotonic() + self._start_deadline_s)
            if " on http://" not in line:
                raise SandboxError(f"the sandbox did not start: {line}{self.log_text()}".rstrip())
            if_it_fails.pop_all()
        self.url = line.partition(" on ")[2].split()[0].rstrip("/")

    def stop(self) -> int | None:
        """End the process and return its exit status; ``None``: it was not started, or is stopped already."""
        if self._process is None:
            return None
        process, self._process = self._process, None
        process.terminate()
        try:
            status = process.wait(_STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait()
        if process.stdout is not None:
            process.stdout.close()
        self._last_log = self.log_text()
        if self._errors is not None:
            self._errors.close()
        return status

    def log_text(self) -> str:
        """Return the text that the server has written to its standard error; empty: the server had no error."""
        if self._errors is None or self._errors.closed:
            return self._last_log
        # ``pread`` does not move the offset, which the server shares.
        return os.pread(self._errors.fileno(), 1_000_000, 0).decode("utf-8", "replace")

    def contacts(self) -> dict[str, dict[str, Any]]:
        """Return every contact by its e-mail, or by its external id if it has no e-mail."""
        found = self._control("GET", "contacts")["contacts"]
        return {str(contact.get("_email") or contact["_externalId"]): contact for contact in found}

    def requests(self) -> dict[str, Any]:
        """Return ``{total, by_status: {"200": n}, by_endpoint: {"GET /store/": n}, recent: [...]}``.

        The numbers are those since the last reset. ``recent``: ``{time, method, path, status}`` of the last 200
        requests, the oldest first. ``path`` is a template, such as ``/contacts/{email}``. If the connection was closed
        without a response, ``status`` is ``None``, and ``by_status`` counts the request as ``dropped``.
        """
        return self._control("GET", "requests")

    def window(self) -> dict[str, Any]:
        """Return ``{limit, remaining, reset_in_s}``, without using up a request.

        ``limit`` 0: no limit. ``reset_in_s`` 0: no window is open.
        """
        return self._control("GET", "window")

    def add_fault(
        self,
        action: Mapping[str, object],
        *,
        match: Mapping[str, str] | None = None,
        times: int | None = None,
        after: int = 0,
        probability: float = 1.0,
        seed: int | None = None,
    ) -> None:
        """Make matching requests fail, or wait. A request gets the first fault that strikes it.

        A request that gets 401 or 429 meets no fault.

        :param action: ``{"status": 503, "body": "", "headers": {}}``, ``{"delay_s": 2.0}`` or ``{"drop": True}``. With
            ``"apply": True`` the request takes effect all the same. For ``POST /imports/`` the action may also be about
            the new import: ``{"import": {"stuck": "queued"}}`` keeps it ``queued`` (or ``inProgress``) until
            :meth:`release_imports`; ``{"import": {"end": "error", "after_rows": 10}}`` ends it after 10 rows with the
            status ``error`` (or ``cancelled``, or any other word).
        :param match: ``method``, ``path`` (a template such as ``/contacts/{email}``) and ``key`` (a regular expression
            that is searched for in the decoded key or id of the path). Default: every request matches.
        :param times: the most requests that the fault strikes; ``None``: no limit.
        :param after: the number of matching requests that get a normal response first.
        :param probability: the probability, from 0 to 1, that the fault strikes a matching request.
        :param seed: the seed of the random numbers for ``probability``; ``None``: a random one.
        """
        description = {"action": action, "match": match, "times": times, "after": after}
        self._control("POST", "faults", {**description, "probability": probability, "seed": seed})

    def faults(self) -> list[dict[str, int]]:
        """Return ``[{seen, struck}]`` in the order of :meth:`add_fault`: numbers of matching and of struck requests.

        A request that an earlier fault struck does not count, nor does one after the fault struck ``times`` requests.
        """
        faults: list[dict[str, int]] = self._control("GET", "faults")["faults"]
        return faults

    def clear_faults(self) -> None:
        """Remove all faults."""
        self._control("DELETE", "faults")

    def imports(self) -> list[dict[str, Any]]:
        """Return every import as in the API's list, without the address of its error report; the latest first."""
        imports: list[dict[str, Any]] = self._control("GET", "imports")["imports"]
        return imports

    def queue_imports(self, count: int) -> None:
        """Queue 1 to 10 imports as if the app had started them. They stay queued until :meth:`release_imports`."""
        self._control("POST", "imports", {"queued": count})

    def release_imports(self) -> None:
        """Release the imports of :meth:`queue_imports`, and those that a fault keeps in a state."""
        self._control("POST", "imports/release")

    def set_blocked(self, blocked: bool) -> None:
        """Block the account, or unblock it."""
        self._control("POST", "account", {"blocked": blocked})

    def reset(self) -> None:
        """Remove all contacts, imports and logged requests, and begin a new window. Faults and ``blocked`` stay."""
        self._control("POST", "reset")

    def _control(self, method: str, name: str, content: object = None) -> dict[str, Any]:
        body = None if content is None else json.dumps(content).encode()
        address = f"{self.url}/_sandbox/{name}"
        request = urllib.request.Request(address, body, method=method)  # noqa: S310 - our own http address
        try:
            with self._opener.open(request, timeout=_CONTROL_TIMEOUT_S) as response:
                response = response.read()
        except urllib.error.HTTPError as error:
            words = error.read().decode("utf-8", "replace")
            raise SandboxError(f"the sandbox refused {method} /_sandbox/{name} ({error.code}): {words}") from error
        result: dict[str, Any] = json.loads(response) if response else {}
        return result


def _python_path() -> str:
    inherited = os.environ.get("PYTHONPATH")
    return str(_IMPORT_ROOT) if not inherited else f"{_IMPORT_ROOT}{os.pathsep}{inherited}"


def _first_line(process: subprocess.Popen[bytes], deadline: float) -> str:
    """Return the first line that the process writes; less if the process ends earlier.

    After the deadline, return a message and the text so far.
    """
    if process.stdout is None:
        return ""
    line = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while not line.endswith(b"\n"):
            if not selector.select(max(0.0, deadline - time.monotonic())):
                return f"no response in time. {line.decode('utf-8', 'replace')}"
            chunk = os.read(process.stdout.fileno(), 4096)
            if not chunk:
                process.wait()
                break
            line += chunk
    return line.decode("utf-8", "replace")
