"""A server that knows Connectif from the API's documents only: the tests' second opinion.

It shares no code with the package and none with the sandbox, takes nothing on trust, and remembers everything:
what came in, in which order, and what should never have come in at all.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.support.strict_imports import SETTINGS as IMPORT_SETTINGS

API_KEY = "strict-key-id:strict-key-secret"
ROOT = Path(__file__).parents[2]

DEFAULTS: dict[str, Any] = {
    "api_key": API_KEY,
    "limit": 0,  # requests a window allows; 0 for no limit, and then no headers either
    "window_s": 60.0,
    "window_from": "first",  # a window begins with its first request, or on the "clock"
    # Whole seconds "floor" or "ceil", "fraction", "epoch" or "iso" (X-RateLimit-*), "draft7" or "draft8" (one combined
    # header), or "none".
    "headers": "floor",
    "headers_every": 1,  # 2: on every second response only
    "retry_after": None,  # on a 429: "seconds", HTTP "date", or nothing
    "clock_ahead_s": 0.0,  # of the server, against the client
    "delay_s": 0.0,
    "gate": "",  # path of a file: while it is there, no request for a contact is responded to
    # What a PATCH responds with: the "contact", its "id" only, "nothing", "empty" ({}), a "page", "another" contact.
    "shows": "contact",
    "stores": "as sent",  # or otherwise: a name in strict_stored.STORES
    "email_case": False,  # whether e-mails in other case are other contacts, as no document rules out
    "created_with": {},  # what a PATCH that creates a contact sets beside its body: no document says that it is nothing
    "may_read_contacts": True,  # whether the key has the scope "Contacts: Read"
    "may_delete_contacts": True,  # likewise "Contacts: Delete"
    "deletes_nobody_with": 204,  # what a DELETE of a contact that is not there responds with; or 404
    # Definitions of the account's fields, each with its own limits (tests.support.catalogue judges values); None: those
    # of strict_rules.
    "fields": None,
    "fields_a_page": 7,  # or several numbers, by turns; a page may be empty and yet have a next one
    "fields_link": "/contact-fields/?page={n}",  # to the next page; {url} and {URL} stand for this server
    # In place of the link of the second page, and whatever JSON; {served} stands for the number of pages so far.
    "fields_second_link": None,
    "fields_fault": None,  # what is done to every GET /contact-fields/; a list: to one request after the other
    "response_headers": {},  # of every response
    "faults": [],
    "keep_log": True,
    "log_states": False,  # also what a contact held before and after each request or row of an import, see `take_log`
    "keep_contacts": True,
    **IMPORT_SETTINGS,
}
"""Settings; those about imports are explained where they are.

``faults`` is a list of mappings, of which the first that fits a request is carried out.

Which requests: ``method`` (``GET``, ``DELETE`` of a contact; by default ``PATCH``; those of other kinds do not count),
``keys`` (contact keys), ``attempts`` (the first n requests of each key), ``nth`` (first and last,
counted over the requests that the window let pass; ``None`` for no end), ``times`` (how often in all).
What happens: ``status`` with ``json`` (over the documented body) or ``text`` and ``content_type``, ``headers``: below
300 with one of these two nothing is changed, since somebody in between has responded; ``shows`` (the key of the contact
that the response shows); ``interim`` (statuses before the final response, each in a packet of its own);
``drop`` or ``hang``, each ``"before"`` or ``"after"`` the contact is changed; ``half`` a response; ``trickle_s``
between the bytes of a body; ``delay_s``; ``gate``, as the setting of that name. ``KEY`` and ``BODY`` in a body stand
for what was sent.
"""


class StrictServer:
    """The server in a process of its own; a context manager whose end fails on violations.

    :param settings: changes to :data:`DEFAULTS`.
    """

    def __init__(self, **settings: Any) -> None:
        self._settings = settings

    def __enter__(self) -> StrictServer:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.strict_http"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.url = f"http://127.0.0.1:{int(self._line())}"
        self.reset(**self._settings)
        return self

    def __exit__(self, exc_type: object, *_: object) -> None:
        try:
            if exc_type is None:
                self.check()
        finally:
            assert self._process.stdin
            self._process.stdin.close()
            self._process.wait(10)

    def reset(self, **settings: Any) -> None:
        """Start with an empty account, with these changes to the defaults."""
        unknown = settings.keys() - DEFAULTS.keys()
        if unknown:
            raise TypeError(f"no settings of the strict server: {sorted(unknown)}")
        self._ask("reset", DEFAULTS | settings)

    def update(self, **settings: Any) -> None:
        """Change settings and keep everything else."""
        self._ask("update", settings)

    def change_contacts(self, changes: Mapping[str, Mapping[str, Any] | None]) -> None:
        """Somebody else changes contacts: a person, the app, a shop.

        :param changes: properties by contact key, of which ``None`` takes one away; ``None`` deletes the contact. A
            contact that is not there is created.
        """
        self._ask("change", {"contacts": dict(changes)})

    def take_log(self) -> list[dict[str, Any]]:
        """What :attr:`log` has, and forget it.

        With ``log_states`` each ``PATCH`` and ``GET`` that was judged as valid has ``before`` and ``after``: all
        properties of the contact (``None``: there was none) as they were when it came and when it was through;
        ``applied``, the properties of a ``PATCH`` as they were stored (``None``: it was not carried out);
        ``is_shown``: the response that was sent shows the contact. A valid row of an import stands there likewise,
        with the method ``IMPORT`` and the status 200; ``applied`` has what the contact holds of it afterwards.
        """
        return self._ask("take log")

    def check(self) -> None:
        """Fail on what no client may send."""
        assert self.violations == []

    def connection(self, **extra: Any) -> dict[str, Any]:
        """The fields of an Airflow connection to this server."""
        return {"conn_type": "connectif", "host": self.url, "password": API_KEY, "extra": extra}

    @property
    def violations(self) -> list[str]:
        """What was against the documents, once each."""
        return sorted(set(self._ask("report")["violations"]))

    @property
    def contacts(self) -> dict[str, dict[str, Any]]:
        """The end state: properties by contact key."""
        return self._ask("contacts")

    def dump_contacts(self, path: Path) -> int:
        """Write the end state to a file, a JSON line ``[key, properties]`` a contact, sorted by key; how many."""
        return self._ask("dump", {"path": str(path)})

    @property
    def uploads(self) -> list[dict[str, Any]]:
        """All uploads of files to import, from the log.

        ``t``, ``status`` (0: no response), ``received`` bytes of a file that never came whole; once the body had come
        ``sha256``, ``size``, ``file_name``, ``options`` (as words); where it was accepted ``import_id``, ``total``.
        """
        return [entry for entry in self.log if (entry["method"], entry["target"]) == ("POST", "/imports/")]

    @property
    def uploads_begun(self) -> int:
        """Uploads of which at least the head has come."""
        return self._ask("count")["uploads_begun"]

    @property
    def log(self) -> list[dict[str, Any]]:
        """All requests in the order of their coming.

        ``t``, ``method``, ``key``, ``by``, ``body`` (of a PATCH), ``status`` (0: no response).
        """
        return self._ask("report")["log"]

    @property
    def windows(self) -> list[dict[str, Any]]:
        """All windows: ``starts``, ``ends`` (on the server's clock), ``allowed`` and ``refused`` requests."""
        return self._ask("report")["windows"]

    @property
    def requests(self) -> int:
        """Requests of any kind so far."""
        return self._ask("count")["requests"]

    @property
    def received(self) -> int:
        """Contact requests so far, also those that a window refused."""
        return self._ask("count")["received"]

    @property
    def in_flight(self) -> int:
        """Return the number of requests that have no response yet and whose connection is open."""
        return self._ask("count")["in_flight"]

    def _ask(self, command: str, settings: dict[str, Any] | None = None) -> Any:
        assert self._process.stdin
        self._process.stdin.write(json.dumps([command, settings or {}]) + "\n")
        self._process.stdin.flush()
        return json.loads(self._line())

    def _line(self) -> str:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the strict server ended; its traceback is in the output above")
        return line


def until(condition: Callable[[], Any], within_s: float = 30.0) -> Any:
    """Poll until a condition is true and return what it gave; fail when it is not in time."""
    deadline = time.monotonic() + within_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {within_s} s"
        time.sleep(0.01)
    return value
