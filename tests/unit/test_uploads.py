"""Uploads of an import's files: with which switches, in which order, and what becomes of those that fail."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_connectif.api.errors import NoResponseError, TooManyRequestsError, error_class
from airflow_provider_connectif.api.import_record import Import
from airflow_provider_connectif.api.quota import Quota
from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.contacts.resource import ContactResource
from airflow_provider_connectif.imports.context import ImportContext
from airflow_provider_connectif.imports.rules import ImportRules
from airflow_provider_connectif.imports.uploads import Uploads
from airflow_provider_connectif.imports.watch import Watch
from airflow_provider_connectif.journal.import_state import ImportState, SentFile
from airflow_provider_connectif.reporting.rejects import Rejects
from airflow_provider_connectif.reporting.report import Report
from airflow_provider_connectif.reporting.verdict import ImportFailed, Verdict
from tests.support.clock import FakeClock
from tests.unit.test_settlement import Lines

FULL = error_class(400)(400, code="E0401", is_error_document=True)


class Connectif:
    """Responds to uploads in turn, and lists imports as the test says.

    :param responses: an id, an import, or an error.
    """

    tries, longest_wait_s = 3, 300.0

    def __init__(self, clock: FakeClock, responses: list[Any]) -> None:
        self.quota = Quota(clock=clock)
        self.responses = responses
        self.uploads: list[tuple[str, bool, bool]] = []
        self.listed: list[list[Import]] = []
        self.lists = 0
        self.status = "finished"

    def create_import(
        self, file: Path, *, override_existing: bool, update_only_empty_fields: bool, delimiter: str
    ) -> Import:
        self.uploads.append((file.name, override_existing, update_only_empty_fields))
        response = self.responses.pop(0)
        if isinstance(response, Exception):
            raise response
        return response if isinstance(response, Import) else Import(response, status="queued")

    def list_imports(self) -> list[Import]:
        self.lists += 1
        return self.listed.pop(0) if self.listed else []

    def get_import(self, import_id: str) -> Import:
        return Import(import_id, status=self.status)


class Evening:
    """Two files that are to be uploaded; the first fills only what is empty.

    :param responses: to their uploads.
    """

    def __init__(self, *responses: Any, **rules: Any) -> None:
        self.clock, self.log = FakeClock(), Lines()
        self.connectif = Connectif(self.clock, list(responses))
        self.state = ImportState([SentFile(7, 1, ["city"], only_empty=True), SentFile(8, 1, ["_name"])])
        client: Any = self.connectif
        report = Report(ContactResource(ContactMapping()), client.quota, Rejects(None), None, self.log)
        context = ImportContext(client, ImportRules(**rules), report)
        self.watch = watch = Watch(context, self.clock)
        watch.waiting.begin()
        self.polled: list[str] = []
        self.saved: list[list[tuple[float | None, str | None]]] = []
        self.uploads = Uploads(context, watch, self._save)
        self.settled = 0

    def upload(self, planned_at: float = 1e12, *, may_give_back: bool = False) -> bool:
        files: Any = {number: SimpleNamespace(path=Path(f"{number}.csv"), size=10, columns=("x",)) for number in (7, 8)}
        settlement: Any = SimpleNamespace(settle_due=self._settle, settle_next=self._settle_next)
        return self.uploads.upload(self.state, files, settlement, planned_at, lambda: may_give_back, lambda *_: None)

    @property
    def names(self) -> list[str]:
        return [name for name, *_ in self.connectif.uploads]

    def _settle(self) -> None:
        self.settled += 1

    def _settle_next(self, import_ids: Sequence[str]) -> bool:
        """As of :class:`Settlement`, but for what becomes of contacts."""
        self.settled += 1
        [sent] = [sent for sent in self.state.files if sent.import_id == self.watch.next_of(import_ids)]
        self.connectif.status = self.polled.pop(0)
        self.watch.look(str(sent.import_id))
        sent.is_settled = self.connectif.status == "finished"
        return sent.is_settled

    def _save(self) -> None:
        self.saved.append([(sent.since, sent.import_id) for sent in self.state.files])


def test_each_file_has_its_switches_and_its_import() -> None:
    evening = Evening("a", "b")
    assert evening.upload()
    assert evening.connectif.uploads == [("7.csv", True, True), ("8.csv", True, False)]
    assert [sent.import_id for sent in evening.state.files] == ["a", "b"]
    assert (evening.state.is_all_sent, evening.settled) == (True, 2)
    assert any("columns: x, only where they are empty" in line for line in evening.log.all)


def test_an_upload_is_written_down_before_it_begins_and_when_it_has_an_import() -> None:
    evening = Evening("a", "b")
    evening.upload()
    (begun, nobody), has_import = evening.saved[0][0], evening.saved[1][0]
    assert begun is not None
    assert (nobody, has_import[1]) == (None, "a")


def test_what_is_uploaded_is_not_uploaded_again() -> None:
    evening = Evening("b")
    evening.state.files[0].import_id = "a"
    assert evening.upload()
    assert evening.names == ["8.csv"]


def test_after_a_lost_response_the_file_comes_again_after_whatever_that_upload_began() -> None:
    evening = Evening(NoResponseError("none"), "a", "b")
    evening.connectif.listed = [[Import("x", status="queued")]]
    assert evening.upload()
    assert (evening.names, evening.connectif.lists) == (["7.csv", "7.csv", "8.csv"], 3)
    assert evening.state.files[0].import_id == "a"


def test_a_response_that_names_an_earlier_import_is_none_to_this_upload() -> None:
    evening = Evening("a", "a", "b")
    assert evening.upload()
    assert [sent.import_id for sent in evening.state.files] == ["a", "b"]


@pytest.mark.parametrize(("hours_before", "is_its_own"), [(5, True), (7, False)])
def test_a_response_with_an_import_that_was_created_long_before_is_none(hours_before: int, is_its_own: bool) -> None:
    """A wrong clock must not make every response useless."""
    created_at = datetime.now(UTC) - timedelta(hours=hours_before)
    evening = Evening(Import("old", created_at=created_at), *([] if is_its_own else ["a"]), "b")
    assert evening.upload()
    assert [sent.import_id for sent in evening.state.files] == ["old" if is_its_own else "a", "b"]


def test_uploads_are_given_up_after_the_tries_of_the_connection() -> None:
    evening = Evening(*[NoResponseError("none")] * 3)
    with pytest.raises(ImportFailed) as failure:
        evening.upload()
    assert (failure.value.verdict, len(evening.names)) == (Verdict.TRY_AGAIN, 3)
    assert evening.state.lost_since is not None  # there may be an import


def test_a_file_that_connectif_does_not_take_fails_the_task_and_has_begun_nothing() -> None:
    evening = Evening(error_class(413)(413, is_error_document=True))
    with pytest.raises(ImportFailed) as failure:
        evening.upload()
    assert failure.value.verdict is Verdict.FAILED
    assert failure.value.words.startswith("Connectif rejected file 1 of 2: HTTP 413 ")
    assert evening.state.lost_since is None


def test_a_full_window_is_no_attempt() -> None:
    evening = Evening(*[TooManyRequestsError(429)] * 5, "a", "b")
    assert evening.upload()
    assert evening.connectif.lists == 0


@pytest.mark.parametrize("may_give_back", [False, True])
def test_a_full_queue_is_waited_for_or_left_to_another_process(may_give_back: bool) -> None:
    evening = Evening("a", FULL, "b", poll_interval_s=20.0)
    began = evening.clock.monotonic()
    assert evening.upload(may_give_back=may_give_back) == (not may_give_back)
    assert evening.names == (["7.csv", "8.csv"] if may_give_back else ["7.csv", "8.csv", "8.csv"])
    assert evening.state.lost_since is None
    assert evening.clock.monotonic() - began >= (0 if may_give_back else 20.0)


def crowded(*responses: Any, **rules: Any) -> Evening:
    """Ten imports of this run are on their way, and one file is left."""
    evening = Evening(*responses, **rules)
    evening.state.files = [SentFile(n, 1, since=1.0, import_id=f"import-{n}") for n in range(10)]
    evening.state.files.append(SentFile(8, 1, ["_name"]))
    return evening


def test_no_file_is_uploaded_into_a_queue_that_this_run_fills() -> None:
    evening = crowded("b")
    evening.polled = ["queued"]
    assert not evening.upload(may_give_back=True)
    assert (evening.names, evening.settled) == ([], 2)


def test_a_file_that_is_settled_without_an_import_makes_no_room() -> None:
    evening = crowded("b")
    evening.state.files.insert(10, SentFile(7, 0, is_settled=True, is_finished=True))
    evening.polled = ["queued"]
    assert not evening.upload(may_give_back=True)
    assert evening.names == []


@pytest.mark.parametrize("status", ["inProgress", "finished"])
def test_one_poll_that_shows_room_is_enough(status: str) -> None:
    evening = crowded("b")
    evening.polled = [status]
    assert evening.upload(may_give_back=True)
    assert evening.names == ["8.csv"]


def test_room_is_waited_for_by_polls_and_not_by_uploads_in_vain() -> None:
    evening = crowded("b", poll_interval_s=20.0)
    evening.polled = ["queued"] * 7 + ["inProgress"]
    began = evening.clock.monotonic()
    assert evening.upload()
    assert evening.names == ["8.csv"]
    assert evening.clock.monotonic() - began >= 7 * 20.0


def test_many_files_take_a_poll_for_every_six_where_the_queue_is_quick() -> None:
    evening = Evening(*map(str, range(30)))
    evening.state.files = [SentFile(8, 1, ["_name"]) for _ in range(30)]
    evening.polled = ["finished"] * 4
    assert evening.upload(may_give_back=True)
    assert (len(evening.names), evening.polled) == (30, [])


def test_no_file_of_an_old_plan_is_uploaded() -> None:
    evening = Evening("a", "b", plan_max_age_s=60.0)
    with pytest.raises(ImportFailed) as failure:
        evening.upload(planned_at=0.0)
    assert (failure.value.verdict, evening.names) == (Verdict.TRY_AGAIN, [])
