"""The imports of the strict server: the list, the queue, what is done to each file, and the reports on them.

Sources: API reference "create-import", resources "Import" and "ImportList"; help centre 360020966799.
"""

from __future__ import annotations

import asyncio
import math
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from tests.support import strict_contacts, strict_csv
from tests.support.strict_rules import one_spelling
from tests.support.strict_uploads import Upload

QUEUE_LENGTH = 10
_BATCH = 500
_POLL_S = 0.01
_ENDED = ("finished", "error")

SETTINGS: dict[str, Any] = {
    "import_queue_s": 0.0,  # at least so long in the queue
    "import_run_s": 0.0,  # at least so long in progress
    "import_hold": None,  # imports stay in this state, "queued" or "inProgress", until it is None
    "import_workers": 10,  # imports in progress together
    "import_zero": True,  # whether 0 is an integer; the documents can be read both ways
    "import_rejects": [],  # contacts of which each row is rejected
    "import_created_with": {},  # what a row that creates a contact sets besides, as the defaults of required fields
    "import_existing": "success",  # what a row that is left alone counts as: "success", "errors" or nothing
    "import_order": "newest",  # of the list, or "oldest"
    "imports_a_page": 5,
    "foreign_imports": 0,  # imports of the app that stand in the queue
    "other_imports": [],
    "import_list_circle": False,  # the last page of the list links to the first one
    "import_faults": [],
    "import_faults_hold": True,  # when it is False, what a fault holds goes on
    "report_host": "localhost",  # in the address of a report; the API itself is at 127.0.0.1
    "report_columns": "key",  # or "line", "row" (the whole of it), "none"; a reason is in all of them
    "report_first_line": 2,  # the line number of the first row
    "report_dead_addresses": 0,  # so many addresses of each import have expired before they are used
}
"""Settings about imports. ``import_faults`` is like ``faults``, with these differences.

Which requests: ``on`` ``POST`` (the default), ``GET``, ``LIST``, ``DELETE`` or ``REPORT``; ``nth`` and ``times``,
counted over the requests of that kind. What happens to an upload besides: ``drop: "during"`` (after ``at_bytes`` of
the body, by default one); ``bytes_per_s``; and, where it is accepted: ``end`` (the last state, instead of
``finished``: ``error``, ``cancelled`` or any word), ``at_rows`` (where it ends, by default after all rows), ``hold``
(with ``from_import``, imports before this number are not held, however many uploads came before).
An upload makes no import where the ``status`` is 300 or more, unless ``exists`` is true; nor with ``no_import``.
``same_id``: the response shows the first import instead. ``json`` stands over what a ``GET`` shows, ``text`` instead
of a ``REPORT``.

``other_imports``: what other systems have in the list, mappings over a finished import from the API with as many rows
as the last upload. ``from_upload``: not there before so many uploads have come; dated then.
"""


class Imports:
    """All imports of an account."""

    def __init__(self, account: Any, folder: Path) -> None:
        self.account = account
        self.folder = folder
        self.all: dict[str, Import] = {}
        self.counts: Counter[str] = Counter()
        self.last_total = 0
        self.dates: dict[int, str] = {}  # of the imports of other systems
        self.report_port = 0

    def fault_for(self, on: str) -> dict[str, Any]:
        """The first fault that fits a request of this kind."""
        self.counts[on] += 1
        for fault in self.account.import_faults:
            first, last = fault.get("nth") or (1, None)
            if (
                fault.get("on", "POST") == on
                and first <= self.counts[on] <= (last or math.inf)
                and fault.get("times", 1) > 0
            ):
                if "times" in fault:
                    fault["times"] -= 1
                return dict(fault)
        return {}

    def is_full(self) -> bool:
        return self._foreign() + sum(one.status == "queued" for one in self.all.values()) >= QUEUE_LENGTH

    def add(self, upload: Upload, fault: dict[str, Any]) -> Import:
        number = len(self.all) + 1
        if number < fault.get("from_import", 1):
            fault = {name: value for name, value in fault.items() if name != "hold"}
        one = Import(self, f"{number:024x}", upload, fault)
        self.all[one.id] = one
        # Kept in the import: the event loop itself remembers tasks weakly only.
        one.task = asyncio.get_running_loop().create_task(one.run())
        one.task.add_done_callback(self._look_at)
        return one

    def _look_at(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.account.violations.append(f"the strict server failed itself: {error!r}")
            raise error

    def page(self, first: int) -> dict[str, Any]:
        shown = [one.shown() for one in self.all.values()] + list(self.others().values())
        shown += [
            {"id": f"{0xA00 + n:024x}", "type": "contacts", "origin": "app", "status": "queued", "total": 1}
            for n in range(self._foreign())
        ]
        if self.account.import_order == "newest":
            shown.reverse()
        last = first + self.account.imports_a_page
        links = {"next": f"/imports/?after={last}"} if last < len(shown) else {}
        if not links and self.account.import_list_circle:
            links = {"next": "/imports/?after=0"}
        return {"links": links, "results": shown[first:last]}

    def others(self) -> dict[str, dict[str, Any]]:
        """The imports of other systems that are there by now, by id."""
        shown = {}
        for place, other in enumerate(self.account.other_imports):
            if self.counts["POST"] < other.get("from_upload", 0):
                continue
            one = {"id": f"{0xB00 + place:024x}", "type": "contacts", "origin": "api", "status": "finished"}
            one |= {"total": self.last_total, "success": self.last_total, "errors": 0}
            one |= {"createdAt": self.dates.setdefault(place, _now())}
            one |= {name: value for name, value in other.items() if name != "from_upload"}
            shown[str(one["id"])] = one
        return shown

    def _foreign(self) -> int:
        return int(self.account.foreign_imports)

    def close(self) -> None:
        for one in self.all.values():
            if one.task is not None:
                one.task.cancel()


class Import:
    """One import, on its way or at its end."""

    def __init__(self, imports: Imports, import_id: str, upload: Upload, fault: dict[str, Any]) -> None:
        self.imports = imports
        self.id = import_id
        self.status = "queued"
        self.fields = upload.fields
        self.path = upload.path
        self.end: str = fault.get("end", "finished")
        self.at_rows: float = fault.get("at_rows", math.inf)
        self.hold: str | None = fault.get("hold")
        self.total = strict_csv.count_rows(self.path, self.fields["delimiter"])
        self.success = self.errors = 0
        self.times = {"createdAt": _now()}
        self.tokens = 0  # addresses of the report that were given away
        self.task: asyncio.Task[None] | None = None

    @property
    def options(self) -> dict[str, Any]:
        return {
            "delimiter": self.fields["delimiter"],
            "overrideExisting": self.fields["overrideExisting"] == "true",
            "updateOnlyEmptyFields": self.fields["updateOnlyEmptyFields"] == "true",
        }

    @property
    def report(self) -> Path:
        return self.path.with_suffix(".report")

    def shown(self, detail: bool = False) -> dict[str, Any]:
        """The resource; each time it is asked for by its id, the report gets a new address."""
        shown = {"id": self.id, "type": "contacts", "origin": "api", "status": self.status, "options": self.options}
        shown |= {"total": self.total, "success": self.success, "errors": self.errors, **self.times}
        if detail and self.status == "finished" and self.errors:
            self.tokens += 1
            host, port = self.imports.account.report_host, self.imports.report_port
            shown["errorReportFileUrl"] = f"http://{host}:{port}/reports/{self.id}.csv?sig={self.tokens}"
        return shown

    def is_readable_with(self, token: str) -> bool:
        """Whether this address of the report is good: the newest, and not one of those that are born dead."""
        return token == str(self.tokens) and self.tokens > self.imports.account.report_dead_addresses

    async def run(self) -> None:
        account = self.imports.account
        await self._while(lambda: "queued" in (self._hold, account.import_hold), account.import_queue_s)
        others = self.imports.all.values()
        while sum(one.status == "inProgress" for one in others) >= account.import_workers:
            await asyncio.sleep(_POLL_S)
        self.status = "inProgress"
        self.times["startedAt"] = _now()
        began = time.monotonic()
        try:
            await self._apply()
        except strict_csv.FileFault as fault:
            account.violations.append(f"{fault} (an import's file)")
            self.end = "error"
        left = account.import_run_s - (time.monotonic() - began)
        await self._while(lambda: "inProgress" in (self._hold, account.import_hold), left)
        if self.end in _ENDED:
            self.times["finishedAt"] = _now()
        elif self.end == "cancelled":
            self.times["cancelledAt"] = _now()
        self.status = self.end

    @property
    def _hold(self) -> str | None:
        return self.hold if self.imports.account.import_faults_hold else None

    async def _while(self, held: Any, at_least_s: float) -> None:
        await asyncio.sleep(max(0.0, at_least_s))
        while held():
            await asyncio.sleep(_POLL_S)

    async def _apply(self) -> None:
        rows = strict_csv.records(self.path, self.fields["delimiter"])
        header = strict_csv.Header(next(rows, []), self.imports.account.import_zero)
        if header.faults:
            raise strict_csv.FileFault("; ".join(header.faults))
        left, line, seen = self.at_rows, 0, set[str]()
        with self.report.open("w", encoding="utf-8", newline="") as report:
            report.write(_report_head(self, header))
            # With a second key in the file each row is changed alone, since it may be another contact's.
            size = 1 if header.has_both_keys else _BATCH
            while left > 0 and (batch := list(islice(rows, int(min(size, left))))):
                left -= len(batch)
                self._apply_batch(header, batch, line, seen, report)
                line += len(batch)
                await asyncio.sleep(0)  # let the requests in between get their responses
        if not line and self.at_rows:
            raise strict_csv.FileFault("there is no row")

    def _apply_batch(
        self, header: strict_csv.Header, batch: list[list[str]], line: int, seen: set[str], report: Any
    ) -> None:
        good = []
        for at, cells in enumerate(batch, start=line):
            try:
                key, properties = header.read(cells)
                if key in self.imports.account.import_rejects:
                    raise strict_csv.CellError("is refused")
            except strict_csv.CellError as error:
                self.errors += 1
                report.write(_report_line(self, header, cells, at, str(error)))
                continue
            same = one_spelling(key, "email" if header.key == "_email" else "external_id")
            if same in seen:
                raise strict_csv.FileFault("a contact key stands twice in a file")
            seen.add(same)
            good.append((key, properties))
        account = self.imports.account
        by = "email" if header.key == "_email" else "external_id"
        held = [account.contacts.get(key, by) for key, _ in good] if account.log_states else []
        try:
            existed = account.contacts.change(good, self._change_or_create, by)
        except strict_contacts.TakenError as taken:
            self.errors += 1
            report.write(_report_line(self, header, batch[0], line, f"{taken}: is another contact's"))
            return
        if account.log_states:
            account.log += [self._entry(by, *row, before) for row, before in zip(good, held, strict=True)]
        left_alone = sum(existed) if self._change() is strict_contacts.keep else 0
        self.success += len(good) - left_alone
        counter = account.import_existing
        if left_alone and counter:
            setattr(self, counter, getattr(self, counter) + left_alone)

    def _entry(self, by: str, key: str, properties: dict[str, Any], before: dict[str, Any] | None) -> dict[str, Any]:
        """The log's entry of a row, as of :meth:`StrictServer.take_log`."""
        after = self.imports.account.contacts.get(key, by) or {}
        applied = {name: value for name, value in properties.items() if after.get(name, ...) == value}
        entry = {"t": time.time(), "method": "IMPORT", "target": "", "key": key, "status": 200, "body": properties}
        return entry | {"before": before, "after": after, "applied": applied, "is_shown": False}

    def _change_or_create(
        self, before: strict_contacts.Properties | None, properties: strict_contacts.Properties
    ) -> strict_contacts.Properties | None:
        after = self._change()(before, properties)
        return after if before is not None or after is None else self.imports.account.import_created_with | after

    def _change(self) -> strict_contacts.Change:
        if not self.options["overrideExisting"]:
            return strict_contacts.keep
        return strict_contacts.fill if self.options["updateOnlyEmptyFields"] else strict_contacts.overwrite


def _report_head(one: Import, header: strict_csv.Header) -> str:
    columns = {"key": [header.key], "line": ["line"], "row": header.columns, "none": []}
    return _line(one, [*columns[one.imports.account.report_columns], "reason"])


def _report_line(one: Import, header: strict_csv.Header, cells: list[str], at: int, reason: str) -> str:
    account = one.imports.account
    columns = {
        "key": [cells[header.key_at]],
        "line": [str(at + account.report_first_line)],
        "row": cells,
        "none": [],
    }
    return _line(one, [*columns[account.report_columns], reason])


def _line(one: Import, cells: list[str]) -> str:
    return one.fields["delimiter"].join('"' + cell.replace('"', '""') + '"' for cell in cells) + "\r\n"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def open_folder() -> tempfile.TemporaryDirectory[str]:
    """Where an account keeps its files."""
    return tempfile.TemporaryDirectory(prefix="strict-server-")
