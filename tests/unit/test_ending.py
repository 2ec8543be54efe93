"""How a run ends: the verdict, its words and the rows that are left, by what was counted and what ended it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from airflow_provider_connectif.api.errors import RunFailed, UnauthorizedError
from airflow_provider_connectif.api.quota import Quota
from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.contacts.resource import ContactResource
from airflow_provider_connectif.databases.sources import RowsError
from airflow_provider_connectif.records.outcomes import Outcome, Stop, StopKind
from airflow_provider_connectif.reporting.failure_budget import FailureBudget
from airflow_provider_connectif.reporting.rejects import Rejects
from airflow_provider_connectif.reporting.report import Report
from airflow_provider_connectif.reporting.verdict import Account, ImportFailed, Verdict
from airflow_provider_connectif.runs.ending import Ending

TIMED_OUT = Stop(StopKind.TIMED_OUT)


@dataclass
class FakeSink:
    """What an ending asks of a sink."""

    scope: str = "Contacts: Write"
    stop: Stop | None = None
    failures: list[ImportFailed] = field(default_factory=list)
    checked_only: int = 0
    unaccounted: int = 0
    is_early: bool = False


class NoLog:
    def debug(self, message: str, /, *args: Any) -> None: ...

    def info(self, message: str, /, *args: Any) -> None: ...

    def warning(self, message: str, /, *args: Any) -> None: ...


class Skip(Exception): ...


class Fail(Exception): ...


def ending(
    read: int = 0,
    sink: FakeSink | None = None,
    budget: float = 0,
    is_broken: bool = False,
    removals: dict[Outcome, int] | None = None,
    **outcomes: int,
) -> Ending:
    report = Report(ContactResource(ContactMapping()), Quota(), Rejects(None), None, NoLog())
    report.tally.read = read
    report.tally.removals.update(removals or {})
    for name, count in outcomes.items():
        report.tally.count_many(Outcome(name), count, f"reason of {name}")
    verdicts = {Skip: Verdict.SKIPPED, Fail: Verdict.FAILED}
    made = Ending(sink or FakeSink(), report, FailureBudget(budget), Account("conn", "https://host"), verdicts)
    if not is_broken:
        made.come_to_its_end()
    return made


@pytest.mark.parametrize(
    ("made", "verdict", "words"),
    [
        (ending(3, updated=3), Verdict.SUCCESS, ""),
        (ending(3, updated=2, rejected=1), Verdict.FAILED, "1 of 3 rows was refused"),
        (ending(3, budget=1, updated=2, rejected=1), Verdict.SUCCESS, ""),
        (ending(3, updated=2, undelivered=1), Verdict.TRY_AGAIN, "1 row not delivered after all attempts"),
        (ending(3, updated=1, undelivered=1, invalid=1), Verdict.TRY_AGAIN, "; besides, 1 of 3 rows was refused"),
        (ending(3, updated=2), Verdict.TRY_AGAIN, "1 of 3 rows cannot be accounted for"),
        (ending(3, updated=4), Verdict.TRY_AGAIN, "1 too many"),
        (ending(3, FakeSink(checked_only=2), invalid=1), Verdict.FAILED, "1 of 3 rows was refused"),
        (ending(3, FakeSink(stop=TIMED_OUT), updated=1), Verdict.TRY_AGAIN, "execution_timeout has passed"),
        (ending(3, FakeSink(failures=[ImportFailed(Verdict.FAILED, "gone")]), updated=1), Verdict.FAILED, "gone"),
        (
            ending(3, FakeSink(failures=[ImportFailed(Verdict.TRY_AGAIN, "later")]), updated=1),
            Verdict.TRY_AGAIN,
            "later",
        ),
        (
            ending(3, FakeSink(stop=Stop(StopKind.FAIL, UnauthorizedError(401))), updated=1),
            Verdict.FAILED,
            "refused the API key (401) of connection 'conn' at https://host",
        ),
    ],
)
def test_a_verdict_follows_from_what_was_counted_and_what_stopped_it(
    made: Ending, verdict: Verdict, words: str
) -> None:
    found, told = made.verdict()
    assert found is verdict
    assert words in told
    assert made.recorded is verdict


@pytest.mark.parametrize(
    ("undelivered", "removals", "verdict", "words"),
    [
        (1, {Outcome.REJECTED: 1}, Verdict.TRY_AGAIN, "; besides, on_removed failed for 1 of 1 contacts that left"),
        (0, {Outcome.REJECTED: 1}, Verdict.FAILED, "; besides, 1 of 3 rows was refused; failure_budget allows 0"),
        (0, {Outcome.UNDELIVERED: 1, Outcome.REJECTED: 1}, Verdict.TRY_AGAIN, "; besides, 1 of 3 rows was refused; "),
    ],
)
def test_a_refused_removal_takes_no_retry_from_rows_that_were_not_delivered(
    undelivered: int, removals: dict[Outcome, int], verdict: Verdict, words: str
) -> None:
    made = ending(3, removals=removals, updated=2 - undelivered, undelivered=undelivered, invalid=1)
    assert made.recorded is verdict
    assert words in made.cause


def test_each_failure_of_an_import_is_a_sentence_once() -> None:
    words = ["import 7 has ended", "the imports did not finish", "import 7 has ended"]
    made = ending(3, FakeSink(failures=[ImportFailed(Verdict.TRY_AGAIN, each) for each in words]), updated=1)
    assert made.verdict()[1] == "import 7 has ended. The imports did not finish"


REFUSED_KEY = Stop(StopKind.FAIL, UnauthorizedError(401))


@pytest.mark.parametrize(
    ("stop", "import_ends_as", "verdict"),
    [
        (TIMED_OUT, Verdict.FAILED, Verdict.FAILED),
        (TIMED_OUT, Verdict.TRY_AGAIN, Verdict.TRY_AGAIN),
        (REFUSED_KEY, Verdict.TRY_AGAIN, Verdict.FAILED),
        (Stop(StopKind.SKIP_TASK), Verdict.TRY_AGAIN, Verdict.TRY_AGAIN),
        (Stop(StopKind.SKIP_TASK), Verdict.FAILED, Verdict.FAILED),
    ],
)
def test_an_early_end_hides_no_failed_import(stop: Stop, import_ends_as: Verdict, verdict: Verdict) -> None:
    made = ending(3, FakeSink(stop=stop, failures=[ImportFailed(import_ends_as, "import 7 was cancelled")]), updated=1)
    found, words = made.verdict()
    assert (found, made.recorded) == (verdict, verdict)
    assert words.endswith(". Import 7 was cancelled")
    assert made.cause == words


def test_the_verdict_is_one_sentence_without_the_reasons_of_rows() -> None:
    _, words = ending(4, budget=1, updated=2, undelivered=1, invalid=1).verdict()
    assert words == "1 row not delivered after all attempts of its request; a retry or the next run sends it again"


def test_budget_and_attempts_are_notes_of_their_own() -> None:
    assert ending(3, updated=3).end(1).notes == ["", "", ""]
    notes = ending(3, budget=2, updated=2, rejected=1).end(3).notes
    assert notes == ["Failure budget: 1 refused, 2 allowed", "", "Attempts: 3; the counts include earlier attempts"]


@pytest.mark.parametrize(
    ("made", "is_failure"),
    [
        (ending(3, updated=3), False),
        (ending(3, budget=1, updated=2, rejected=1), False),
        (ending(3, updated=2, rejected=1), True),
        (ending(3, updated=2, undelivered=1), True),
        (ending(3, FakeSink(stop=TIMED_OUT), updated=2), True),
        (ending(3, FakeSink(stop=Stop(StopKind.SKIP_TASK)), updated=2), False),
        (ending(3, is_broken=True, updated=2), True),
    ],
)
def test_the_end_of_a_task_that_fails_is_a_warning(made: Ending, is_failure: bool) -> None:
    assert made.end(1).is_failure is is_failure


@pytest.mark.parametrize(
    ("made", "left"),
    [
        (ending(5, updated=2), 0),
        (ending(5, FakeSink(stop=TIMED_OUT), updated=2), 3),
        (ending(5, FakeSink(is_early=True), updated=2), 3),
        (ending(5, FakeSink(is_early=True, unaccounted=1), updated=2), 2),
        (ending(5, is_broken=True, updated=2), 3),
    ],
)
def test_what_an_early_end_leaves_is_undelivered(made: Ending, left: int) -> None:
    assert made.left_behind == left


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (RunFailed("the mapping is wrong", final=True), Verdict.FAILED),
        (RunFailed("the database is gone"), Verdict.TRY_AGAIN),
        (ZeroDivisionError(), Verdict.TRY_AGAIN),
        (KeyboardInterrupt(), Verdict.TRY_AGAIN),
    ],
)
def test_an_exception_says_itself_whether_another_attempt_may_help(error: BaseException, verdict: Verdict) -> None:
    made = ending(1, updated=1)
    made.break_off(error)
    assert (made.recorded, made.end(1).how) == (verdict, "Failed")


# Otherwise one invalid row would take the retry from a task whose database did not respond.
@pytest.mark.parametrize(
    ("sink", "error", "verdict", "words"),
    [
        (
            FakeSink(),
            RunFailed("the database is gone"),
            Verdict.TRY_AGAIN,
            "the database is gone. 1 of 3 rows was refu",
        ),
        (FakeSink(), RunFailed("the mapping is wrong", final=True), Verdict.FAILED, "the mapping is wrong"),
        (FakeSink(), ValueError("ana@example.com"), Verdict.TRY_AGAIN, "ValueError"),
        (
            FakeSink(stop=Stop(StopKind.FAIL, UnauthorizedError(401))),
            RunFailed("the disk is full"),
            Verdict.FAILED,
            "the disk is full. Connectif refused the API key (401)",
        ),
        (
            FakeSink(stop=Stop(StopKind.SKIP_TASK)),
            RunFailed("the disk is full"),
            Verdict.TRY_AGAIN,
            "the disk is full. on_response says to skip the task",
        ),
        (
            FakeSink(failures=[ImportFailed(Verdict.FAILED, "import 7 was cancelled")]),
            RunFailed("the disk is full"),
            Verdict.FAILED,
            "the disk is full. Import 7 was cancelled",
        ),
    ],
)
def test_an_exception_comes_before_refused_rows_and_not_before_a_refused_key(
    sink: FakeSink, error: BaseException, verdict: Verdict, words: str
) -> None:
    made = ending(3, sink, updated=1, invalid=1)
    made.break_off(error)
    assert (made.recorded, made.verdict()[0]) == (verdict, verdict)
    assert made.cause == made.verdict()[1]
    assert made.cause.startswith(words)


def test_a_failure_is_final_only_where_it_says_so() -> None:
    assert not RunFailed("the database is gone").final
    assert RunFailed("the mapping is wrong", final=True).final
    assert RowsError("rows is None").final  # by its class
    assert not RowsError("rows is None", final=False).final


def test_a_kill_wins_over_every_other_end() -> None:
    made = ending(1, FakeSink(stop=TIMED_OUT))
    made.kill()
    assert made.stop == Stop(StopKind.KILLED)


def test_what_earlier_runs_left_fails_by_its_own_scope() -> None:
    made = ending(0)
    made.fail_by(ImportFailed(Verdict.FAILED, "no key", UnauthorizedError(401)), "Imports: Read")
    assert made.stop is not None
    assert made.stop.kind is StopKind.FAIL
    assert not made.may_continue
    made = ending(0)
    made.fail_by(ImportFailed(Verdict.TRY_AGAIN, "still running"))
    assert (made.stop, made.may_continue) == (None, False)
    assert made.verdict() == (Verdict.TRY_AGAIN, "still running")


@pytest.mark.parametrize(
    ("error", "verdict", "words", "reason"),
    [
        (Skip("no rows today"), Verdict.SKIPPED, "Skipped", "the run ended early"),
        (Fail("no use"), Verdict.FAILED, "Failed", "the run failed"),
        (ValueError("may go away"), Verdict.TRY_AGAIN, "Failed", "the run failed"),
        (RunFailed("wrong", final=True), Verdict.FAILED, "Failed", "the run failed"),
    ],
)
def test_an_exception_of_the_author_decides_on_the_end(
    error: BaseException, verdict: Verdict, words: str, reason: str
) -> None:
    made = ending(3, is_broken=True)
    made.break_off(error)
    assert (made.recorded, made.end(1).how, made.reason_of_early_end) == (verdict, words, reason)


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (RunFailed("the mapping is wrong", final=True), "the mapping is wrong"),
        (ValueError("ana@example.com"), "ValueError"),  # its text may quote values
        (Fail("ana@example.com"), "Fail"),
        (Skip("no rows today"), ""),
        (None, ""),
    ],
)
def test_a_cause_of_failure_has_no_text_that_may_quote_values(error: BaseException | None, cause: str) -> None:
    made = ending(1, updated=1, is_broken=error is not None)
    if error is not None:
        made.break_off(error)
    assert made.cause == cause


def test_the_cause_of_a_failed_run_is_the_reason_of_its_verdict() -> None:
    made = ending(2, updated=1, rejected=1)
    assert made.cause == made.verdict()[1] != ""
