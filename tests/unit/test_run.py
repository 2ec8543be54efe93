"""The error paths of a run, from its begin to its end: with the sink by request, an account without HTTP, a journal."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_connectif.api.credentials import DEFAULT_BASE_URL
from airflow_provider_connectif.api.errors import RunFailed, RunStopped, UnauthorizedError, error_class
from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.contacts.resource import ContactResource
from airflow_provider_connectif.databases.sources import RowsError
from airflow_provider_connectif.delivery.patience import Patience
from airflow_provider_connectif.journal.store import Journal
from airflow_provider_connectif.records.outcomes import SourceError
from airflow_provider_connectif.reporting.failure_budget import FailureBudget
from airflow_provider_connectif.reporting.verdict import ImportFailed, Verdict
from airflow_provider_connectif.runs.run import Run
from airflow_provider_connectif.runs.settings import RunSettings
from tests.unit.conftest import OpenJournal
from tests.unit.test_request_sink import DEFERS, Delivery, rows_of, statements

MAPPING = ContactMapping(properties={"_name": "name"})
Batch = list[dict[str, Any]]


def batch(first: int, count: int = 5) -> Batch:
    return [{"email": f"user{n:02}@example.com", "name": "Ana"} for n in range(first, first + count)]


class Rows:
    """A source of two batches; between them happens what the test says."""

    def __init__(self, *batches: Batch, between: Callable[[], None] = lambda: None) -> None:
        self.columns = None if not batches else list(batches[0][0])
        self.size: int | None = None
        self._batches, self._between = batches, between
        self.opened = 0

    def open(self) -> Rows:
        self.opened += 1
        return self

    def __iter__(self) -> Iterator[Batch]:
        for number, rows in enumerate(self._batches):
            if number:
                self._between()
            yield rows


class Night:
    """A run, its account and its source."""

    def __init__(
        self,
        journal: Journal | None,
        source: Rows | None = None,
        *,
        mapping: ContactMapping = MAPPING,
        earlier: Any = None,
        fields: Callable[[], Any] | None = None,
        read_timeout_s: float = 3600.0,
        time_limit_s: float | None = None,
        **delivery: Any,
    ) -> None:
        self.delivery = Delivery(journal, is_open=False, **delivery)
        self.source = Rows(batch(1), batch(6)) if source is None else source
        client: Any = self.delivery.account
        client.base_url = DEFAULT_BASE_URL
        client.tries, client.list_contact_fields = 3, fields
        self.ends = 0
        self.run_of: Run[ContactResource] = Run(
            client,
            ContactResource(mapping),
            self.delivery.sink,
            self.delivery.report,
            journal,
            RunSettings(
                FailureBudget(0),
                live_definitions=fields is not None,
                read_timeout_s=read_timeout_s,
                time_limit_s=time_limit_s,
            ),
            earlier=earlier,
            clock=self.delivery.clock.monotonic,
        )

    def run(self) -> Night:
        def count() -> None:
            self.ends += 1

        self.run_of.run(self.source.open, count)
        assert (self.ends, self.run_of.is_over) == (1, True)
        return self

    @property
    def sent(self) -> int:
        return len(self.delivery.account.sent)

    @property
    def undelivered(self) -> int:
        return int(self.run_of.summary["undelivered"])

    @property
    def log(self) -> list[str]:
        return self.delivery.log.all


def verdicts(path: Path) -> list[str]:
    """How the journal says that attempts ended."""
    with statements(path) as run_sql:
        return [verdict for (verdict,) in run_sql("select verdict from connectif_journal_runs order by generation")]


def test_all_rows_are_read_before_the_first_is_sent(new_journal: OpenJournal, path: Path) -> None:
    sent_before: list[int] = []
    night = Night(new_journal(), Rows(batch(1), batch(6), between=lambda: sent_before.append(night.sent)))
    night.run()
    assert (sent_before, night.sent, night.undelivered) == ([0], 10, 0)
    assert night.run_of.verdict() == (Verdict.SUCCESS, "")
    assert (verdicts(path), rows_of(path, "claims")) == (["success"], 0)


def test_a_source_without_rows_is_warned_about() -> None:
    night = Night(None, Rows()).run()
    assert [line for line in night.log if line.startswith("The source had no rows: if that is unexpected, check the")]
    assert night.run_of.verdict() == (Verdict.SUCCESS, "")


# Read


def test_a_source_that_does_not_end_in_time_ends_the_run_and_nothing_is_sent(
    new_journal: OpenJournal, path: Path
) -> None:
    night = Night(
        new_journal(),
        Rows(batch(1), batch(6), batch(11), between=lambda: night.delivery.clock.advance(40.0)),
        read_timeout_s=60.0,
    )
    with pytest.raises(SourceError, match=r"within read_timeout, 60 s \(15 rows read\); nothing was sent"):
        night.run()
    assert (night.sent, night.undelivered, night.ends) == (0, 15, 1)
    assert (verdicts(path), rows_of(path, "claims")) == (["try_again"], 0)


@pytest.mark.parametrize(
    ("error", "verdict"), [(RowsError("row 6 is no mapping"), "failed"), (ConnectionError("gone"), "try_again")]
)
def test_a_source_that_breaks_ends_the_run_and_nothing_is_sent(
    error: Exception, verdict: str, new_journal: OpenJournal, path: Path
) -> None:
    def break_off() -> None:
        raise error

    night = Night(new_journal(), Rows(batch(1), batch(6), between=break_off))
    with pytest.raises(type(error)):
        night.run()
    assert (night.sent, night.undelivered, night.ends) == (0, 5, 1)
    assert (verdicts(path), rows_of(path, "claims")) == ([verdict], 0)
    assert night.log[-1].startswith("Failed: ")


def test_a_retry_says_at_its_beginning_that_it_is_one(new_journal: OpenJournal) -> None:
    told = (
        "Attempt 2 of this run: what the journal has as delivered is not sent again\n"
        "  The last changes before a kill may be sent twice: their responses were not recorded"
    )
    stops: list[str] = []
    first = Night(new_journal(), Rows(batch(1), batch(6), between=lambda: stops.append(first.run_of.kill())))
    assert told not in first.run().log
    second = Night(new_journal(), Rows(batch(1), batch(6))).run()
    assert [line.split(" ")[0] for line in second.log][:2] == ["Attempt", "Plan:"]
    assert second.log[0] == told
    assert "\n  Attempts: 2; the counts include earlier attempts" in second.log[-1]


def test_a_kill_while_rows_are_read_ends_the_run_after_the_batch(new_journal: OpenJournal, path: Path) -> None:
    told: list[str] = []
    night = Night(new_journal(), Rows(batch(1), batch(6), batch(11), between=lambda: told.append(night.run_of.kill())))
    night.run()
    (words,) = told
    assert words.startswith("5 rows read, 0 delivered")
    assert (night.sent, night.undelivered) == (0, 10)
    assert night.run_of.verdict()[0] is Verdict.TRY_AGAIN
    assert (verdicts(path), rows_of(path, "claims")) == (["try_again"], 0)


def test_a_time_limit_ends_the_reading() -> None:
    night = Night(None, patience=Patience(longest_wait_s=60.0, time_limit_s=0.0)).run()
    assert night.run_of.verdict()[0] is Verdict.TRY_AGAIN
    assert (night.sent, night.undelivered) == (0, 5)  # of the first batch


@pytest.mark.parametrize("ends", [False, True])
def test_python_collects_garbage_less_often_while_rows_are_read(ends: bool) -> None:
    usual, seen = gc.get_threshold(), []

    def look() -> None:
        seen.append(gc.get_threshold())
        if ends:
            raise SourceError(60.0, 5)

    with pytest.raises(SourceError) if ends else nullcontext():
        Night(None, Rows(batch(1), batch(6), between=look)).run()
    assert seen == [(20_000, *usual[1:])]
    assert gc.get_threshold() == usual


def test_a_column_that_is_missing_ends_the_run_with_the_first_batch() -> None:
    night = Night(None, mapping=ContactMapping(properties={"_name": "first_name"}))
    with pytest.raises(RunFailed, match="first_name") as error:
        night.run()
    assert error.value.final
    assert (night.sent, night.undelivered) == (0, 0)


def test_a_mapping_is_checked_though_there_is_no_row() -> None:
    night = Night(None, Rows(), mapping=ContactMapping(properties={"_createdAt": "name"}))
    with pytest.raises(RunFailed, match="_createdAt"):
        night.run()


# Begin: other runs, what they have left, definitions


def test_another_run_is_waited_for_without_a_worker_and_without_a_look_at_the_source(
    new_journal: OpenJournal, open_journal: OpenJournal
) -> None:
    other = open_journal("monday")
    night = Night(new_journal("tuesday", may_defer=True), time_limit_s=3600.0).run()
    deferral = night.run_of.deferral
    assert deferral is not None
    assert deferral.left_s is not None
    assert 3500 < deferral.left_s <= 3600
    assert night.run_of.waits_for_another
    assert (night.source.opened, night.sent) == (0, 0)
    assert "monday" in night.log[-1]
    other.close()


def test_a_time_limit_counts_for_the_wait_for_another_run(new_journal: OpenJournal, open_journal: OpenJournal) -> None:
    other = open_journal("monday")
    night = Night(new_journal("tuesday", may_defer=True), time_limit_s=0.0).run()
    assert (night.run_of.deferral, night.run_of.waits_for_another) == (None, False)
    assert night.run_of.verdict()[0] is Verdict.TRY_AGAIN
    assert "execution_timeout has passed" in night.run_of.verdict()[1]
    other.close()


class Earlier:
    """Imports of earlier runs whose wait ends as the test says."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error

    def settle_earlier(self, is_to_stop: Callable[[], bool]) -> None:
        assert not is_to_stop()
        if self.error is not None:
            raise self.error


@pytest.mark.parametrize(
    ("error", "opened", "verdict", "words"),
    [
        (None, 1, Verdict.SUCCESS, ""),
        (
            ImportFailed(Verdict.TRY_AGAIN, "import 7 is still running"),
            0,
            Verdict.TRY_AGAIN,
            "import 7 is still running",
        ),
        (ImportFailed(Verdict.FAILED, "no", UnauthorizedError(401)), 0, Verdict.FAILED, "refused the API key (401)"),
        (RunStopped("asked to stop"), 0, Verdict.TRY_AGAIN, ""),
    ],
)
def test_what_earlier_runs_left_is_settled_before_the_source_is_opened(
    error: Exception | None, opened: int, verdict: Verdict, words: str
) -> None:
    night = Night(None, earlier=Earlier(error)).run()
    found, told = night.run_of.verdict()
    assert (night.source.opened, found) == (opened, verdict)
    assert words in told


@pytest.mark.parametrize(
    ("error", "verdict", "is_deferred"),
    [
        (error_class(401)(401, is_error_document=True), Verdict.FAILED, False),
        (error_class(503)(503, retry_after=600.0), Verdict.TRY_AGAIN, True),
        (RunStopped("asked to stop"), Verdict.TRY_AGAIN, False),
    ],
)
def test_a_run_whose_definitions_cannot_be_had_reads_nothing(
    error: Exception, verdict: Verdict, is_deferred: bool
) -> None:
    def fields() -> Any:
        if isinstance(error, RunStopped):
            night.run_of.kill()
        raise error

    night = Night(None, mapping=ContactMapping(properties={"tier": "name"}), fields=fields, patience=DEFERS)
    night.run()
    assert (night.source.opened, night.sent) == (0, 0)
    assert (night.run_of.deferral is not None) is is_deferred
    assert is_deferred or night.run_of.verdict()[0] is verdict


# Come back


def test_who_comes_back_to_a_whole_plan_reads_nothing(new_journal: OpenJournal, path: Path) -> None:
    first = Night(new_journal(), window=5).run()
    assert first.run_of.deferral is not None
    assert (first.sent, rows_of(path, "pending")) == (5, 5)
    second = Night(new_journal(), after=first.delivery).run()
    assert (second.source.opened, second.sent, second.undelivered) == (0, 5, 0)
    assert second.run_of.verdict() == (Verdict.SUCCESS, "")


def causes(path: Path) -> list[str]:
    """Why the attempts failed, as the journal has it."""
    with statements(path) as run_sql:
        found = run_sql("select counts from connectif_journal_runs order by generation")
        return [json.loads(counts).get("cause", "") for (counts,) in found]


def test_a_deferral_that_does_not_follow_is_recorded_with_its_cause(new_journal: OpenJournal, path: Path) -> None:
    night = Night(new_journal(), window=5).run()
    assert night.run_of.deferral is not None
    assert causes(path) == [""]
    night.run_of.end_parked(ConnectionError("no XCom for ana@example.com"))
    assert (verdicts(path), causes(path)) == (["try_again"], ["ConnectionError"])
    assert rows_of(path, "pending") == 0


def test_who_comes_back_to_a_plan_that_is_gone_reads_the_source_and_sends_what_is_left(
    new_journal: OpenJournal, path: Path
) -> None:
    first = Night(new_journal(), window=5).run()
    with statements(path) as run_sql:
        run_sql("delete from connectif_journal_plans")
    second = Night(new_journal(), after=first.delivery).run()
    assert (second.source.opened, second.sent) == (1, 5)
    assert second.run_of.verdict() == (Verdict.SUCCESS, "")


def test_a_process_that_is_killed_before_it_could_look_back_says_so(new_journal: OpenJournal) -> None:
    first = Night(new_journal(), window=5).run()
    second = Night(new_journal(), after=first.delivery)
    second.run_of.kill()
    second.run()
    assert second.log[-1] == "Stopped before this process had loaded the counts; the log before the deferral has them"
    assert second.sent == 0
