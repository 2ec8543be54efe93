"""A sink that sends by request: what it parks, what it continues with, and when a plan is too old."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from airflow_provider_connectif.api.errors import RunFailed, error_class
from airflow_provider_connectif.api.quota import Quota
from airflow_provider_connectif.api.response import Response
from airflow_provider_connectif.contacts.mapping import ContactMapping
from airflow_provider_connectif.contacts.resource import ContactResource
from airflow_provider_connectif.delivery.patience import Patience
from airflow_provider_connectif.delivery.request_sink import RequestSink
from airflow_provider_connectif.delivery.response_policy import ResponsePolicy
from airflow_provider_connectif.delivery.sender import RequestSender
from airflow_provider_connectif.journal.confirmation import Confirmation
from airflow_provider_connectif.journal.pending import PendingChange, PendingChanges
from airflow_provider_connectif.journal.store import Journal
from airflow_provider_connectif.records.changes import Digests, Patch
from airflow_provider_connectif.records.outcomes import JournalError, Outcome, Stop, StopKind
from airflow_provider_connectif.reporting.rejects import Rejects
from airflow_provider_connectif.reporting.report import Report
from airflow_provider_connectif.reporting.verdict import End, Verdict
from tests.support.accounts import Account, accept, asks
from tests.support.clock import FakeClock
from tests.support.things import ThingResource
from tests.unit.conftest import OpenJournal

CONTACTS = ContactResource(ContactMapping())
DEFERS = Patience(longest_wait_s=60.0, defer_after_s=30.0)


class Lines:
    """The log, line by line."""

    def __init__(self) -> None:
        self.all: list[str] = []

    def info(self, message: str, /, *args: Any) -> None:
        self.all.append(message % args if args else message)

    warning = debug = info


class Delivery:
    """A process of a run that sends.

    :param after: the process before it, which was deferred until this one begins.
    :param is_open: whether the sink is open.
    """

    def __init__(
        self,
        journal: Journal | None,
        answer: Callable[[int], Response] = accept,
        *,
        after: Delivery | None = None,
        is_open: bool = True,
        window: int = 1_000,
        attempts: int = 3,
        holds_refusals_back: bool = False,
        patience: Patience = DEFERS,
        **settings: Any,
    ) -> None:
        deferral = None if after is None else after.sink.deferral
        self.clock, self.log = FakeClock() if deferral is None else FakeClock(deferral.until + 0.1), Lines()
        self.quota = Quota(1_000_000, clock=self.clock)
        self.account = Account(self.quota, self.clock, answer, window)
        self.report = Report(CONTACTS, self.quota, Rejects(None), None, self.log)
        self.journal = journal
        confirmation = None
        if journal is not None:
            confirmation = Confirmation(journal.lines, CONTACTS, holds_refusals_back=holds_refusals_back)
        sender = RequestSender(
            self.account,
            self.account,
            ResponsePolicy(),
            self.report,
            confirmation,
            max_in_flight=1,
            attempts=attempts,
            stop_when_all_rejected=False,
            patience=patience,
            clock=self.clock,
        )
        self.sink = RequestSink(
            CONTACTS, sender, self.quota, self.report, journal, confirmation, comes_back=after is not None, **settings
        )
        if is_open:
            self.sink.open(lambda: False)

    def deliver(self, count: int) -> None:
        self.report.tally.read = count
        with PendingChanges(CONTACTS) as changes:
            changes.add(PendingChange(patch(n), f"user{n:02}@example.com") for n in range(1, count + 1))
            self.sink.deliver(changes, self.account)
            self.close()

    def close(self, verdict: Verdict = Verdict.SUCCESS) -> None:
        self.sink.close(verdict, None)

    @property
    def counts(self) -> dict[str, int]:
        return {outcome.value: count for outcome, count in self.report.tally.outcomes.items() if count}

    @property
    def stop(self) -> StopKind | None:
        return self.sink.stop and self.sink.stop.kind


def patch(number: int) -> Patch:
    digests = Digests(f"row{number}", f"patch{number}", "mapping")
    return Patch(number, f"user{number:02}@example.com", {"visits": number}, {}, digests, is_new=True)


@pytest.fixture
def parked(new_journal: OpenJournal) -> Callable[..., Delivery]:
    """Of twenty changes a window took five; the plan has the others. Gives the process that comes back."""

    def come_back(
        answer: Callable[[int], Response] = accept, later: Callable[[int], Response] = accept, **more: Any
    ) -> Any:
        first = Delivery(new_journal(), answer, window=5, **more)
        first.deliver(20)
        assert first.sink.deferral is not None
        return Delivery(new_journal(), later, after=first, **more)

    return come_back


def test_without_a_window_all_is_sent_and_the_journal_is_left(new_journal: OpenJournal, path: Path) -> None:
    run = Delivery(new_journal())
    run.deliver(20)
    assert (run.stop, run.sink.deferral, run.counts) == (None, None, {"updated": 20})
    assert (rows_of(path, "plans"), rows_of(path, "claims"), rows_of(path, "pending")) == (0, 0, 0)


def test_a_window_that_opens_late_parks_what_is_left(new_journal: OpenJournal, path: Path) -> None:
    run = Delivery(new_journal(), window=5, patience=Patience(60.0, defer_after_s=30.0, time_limit_s=3600.0))
    run.deliver(20)
    deferral = run.sink.deferral
    assert (run.stop, run.counts) == (StopKind.DEFERRED, {"updated": 5})
    assert deferral is not None
    opens_at = run.clock.now() - run.clock.monotonic() + run.account.ends_at  # some time may have passed since
    assert opens_at <= deferral.until < opens_at + 2
    assert deferral.left_s is not None
    assert 3500 < deferral.left_s <= 3600
    assert (rows_of(path, "pending"), rows_of(path, "claims")) == (15, 1)
    run.sink.log_end(End("Delivered"))
    assert run.log.all[-1].startswith("Rate limit")


def test_the_process_that_comes_back_sends_what_is_left_and_counts_all(
    parked: Callable[..., Delivery], path: Path
) -> None:
    run = parked()
    assert not run.sink.summary_is_complete
    assert run.sink.resume()
    run.close()
    assert run.account.sent == list(range(6, 21))
    assert (run.stop, run.counts, run.report.tally.read) == (None, {"updated": 20}, 20)
    assert run.sink.summary_is_complete
    assert run.sink.summary() == {"deferrals": 1}
    assert run.report.effort.requests == 20
    assert run.log.all[0].startswith("Continuing after the deferral: 15 contacts pending, ")
    assert (rows_of(path, "plans"), rows_of(path, "pending")) == (0, 0)


def test_the_process_that_comes_back_knows_the_window(parked: Callable[..., Delivery]) -> None:
    run = parked()
    assert run.quota.remember(0.0)["limit"] is None
    run.sink.resume()
    assert run.quota.remember(0.0)["limit"] == 5
    run.close()


def test_the_time_left_counts_the_requests_of_each_change_over_a_deferral(
    parked: Callable[..., Delivery], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(CONTACTS), "requests", lambda *_: (1, 2))
    run = parked()
    assert run.sink.resume()
    run.close()
    assert run.report.progress.pace == (2.0, 0, 0)


def test_what_was_put_off_twice_is_not_written_twice(parked: Callable[..., Delivery], path: Path) -> None:
    run = parked(later=asks(600.0, 6))
    assert run.sink.resume()
    run.close()
    assert (run.stop, rows_of(path, "pending")) == (StopKind.DEFERRED, 1)


def test_a_plan_that_is_continued_continues_its_numbers(new_journal: OpenJournal) -> None:
    first = Delivery(new_journal()).journal
    assert first is not None
    first.plan.add([patch(1), patch(2)], str.lower)
    first.plan.save({})
    second = new_journal()
    second.plan.load()
    second.plan.add([patch(3)], str.lower)
    assert [found.place for batch in second.plan.patches() for found in batch] == [1, 2, 3]
    first.close()


def test_a_server_that_only_ever_puts_off_is_given_up_after_so_many_deferrals(new_journal: OpenJournal) -> None:
    run = Delivery(new_journal(), asks(600.0, 1), attempts=2)
    run.deliver(1)
    kinds = [run.stop]
    for _ in range(2):
        run = Delivery(new_journal(), asks(600.0, 1), attempts=2, after=run)
        assert run.sink.resume()
        kinds.append(run.stop)
        run.close()
    assert kinds == [StopKind.DEFERRED, StopKind.DEFERRED, StopKind.ASKED_AGAIN]


def test_refusals_that_were_kept_back_go_on_with_the_plan(new_journal: OpenJournal) -> None:
    def refuse(number: int) -> Response:
        raise error_class(422)(422, is_error_document=True)

    first = Delivery(new_journal(), refuse, window=1, holds_refusals_back=True)
    first.deliver(2)
    assert first.stop is StopKind.DEFERRED
    second = Delivery(new_journal(), after=first, holds_refusals_back=True)
    assert second.sink.resume()
    second.close()
    assert second.counts == {"rejected": 1, "updated": 1}
    third = new_journal("tuesday")
    third.open(lambda: False, lambda _: None)
    line = third.lines.differing({"user01@example.com": "another"})["user01@example.com"]
    assert line is not None
    assert (line.state, line.refused_digest) == ("rejected", "row1")
    third.close()


def test_a_plan_that_is_gone_is_made_again(parked: Callable[..., Delivery], path: Path) -> None:
    run = parked()
    with statements(path) as run_sql:
        run_sql("delete from connectif_journal_plans")
    assert not run.sink.resume()
    assert run.account.sent == []
    assert run.log.all == [
        "Continuing after the deferral: the stored changes cannot be used, and the source is read again"
    ]
    assert run.sink.summary_is_complete
    run.close()


def test_a_plan_of_another_kind_is_dropped_and_made_again(parked: Callable[..., Delivery], path: Path) -> None:
    run = parked()
    with statements(path) as run_sql:
        kind = "'ContactErasure by email'"
        run_sql(f"update connectif_journal_plans set state = json_set(state, '$.plan_kind', {kind})")
    assert not run.sink.resume()
    assert (run.account.sent, rows_of(path, "plans"), rows_of(path, "pending")) == ([], 0, 0)
    assert run.log.all[0].startswith("The task's operator or key has changed since its changes were stored")
    run.close()


def test_a_plan_that_was_stored_without_its_kind_is_sent(parked: Callable[..., Delivery], path: Path) -> None:
    run = parked()
    with statements(path) as run_sql:
        run_sql("update connectif_journal_plans set state = json_remove(state, '$.plan_kind')")
    assert run.sink.resume()
    assert len(run.account.sent) == 15
    run.close()


def test_a_plan_without_a_state_is_not_added_to(parked: Callable[..., Delivery], path: Path) -> None:
    run = parked()
    with statements(path) as run_sql:
        run_sql("update connectif_journal_plans set state = '{}'")  # its process died while it stored the plan
    assert not run.sink.resume()
    assert (rows_of(path, "plans"), rows_of(path, "pending")) == (0, 0)
    run.close()


def test_a_run_that_was_deferred_before_it_had_read_keeps_its_effort_and_reads(new_journal: OpenJournal) -> None:
    first = Delivery(new_journal())
    first.sink.react_to_pause(None, 600.0)  # as where the definitions have to be waited for
    first.close()
    assert first.sink.deferral is not None
    second = Delivery(new_journal(), after=first)
    assert not second.sink.resume()
    assert second.log.all == ["Continuing after the deferral: the source is read again"]
    assert second.report.effort.deferrals == 1
    second.close()


def test_a_process_that_does_not_come_back_says_nothing_of_a_plan(new_journal: OpenJournal) -> None:
    run = Delivery(new_journal())
    assert run.sink.summary_is_complete
    assert not run.sink.resume()
    assert run.log.all == []
    run.close()


def test_a_plan_that_is_too_old_is_not_sent(new_journal: OpenJournal) -> None:
    run = Delivery(new_journal(), plan_max_age_s=-1.0)
    run.deliver(20)
    assert (run.account.sent, run.stop, run.counts) == ([], StopKind.PLAN_TOO_OLD, {})


def test_the_age_of_a_plan_counts_over_its_deferrals(parked: Callable[..., Delivery], path: Path) -> None:
    run = parked(plan_max_age_s=3600.0)
    with statements(path) as run_sql:
        run_sql("update connectif_journal_plans set state = json_set(state, '$.planned_at', 1.0)")
    assert run.sink.resume()
    assert (run.account.sent, run.stop) == ([], StopKind.PLAN_TOO_OLD)
    run.close()


def test_a_kill_after_the_decision_to_defer_is_no_deferral(new_journal: OpenJournal, path: Path) -> None:
    run = Delivery(new_journal(), window=5)
    run.report.tally.read = 20
    with PendingChanges(CONTACTS) as changes:
        changes.add(PendingChange(patch(n), f"user{n:02}@example.com") for n in range(1, 21))
        run.sink.deliver(changes, run.account)
        assert run.sink.deferral is not None
        run.sink.kill()
        assert (run.sink.deferral, run.stop) == (None, StopKind.KILLED)
        run.close(Verdict.TRY_AGAIN)
    assert (rows_of(path, "plans"), rows_of(path, "claims")) == (0, 0)  # nobody comes back


def test_a_plan_that_cannot_be_parked_fails_the_run_and_leaves_the_sync(new_journal: OpenJournal, path: Path) -> None:
    run = Delivery(new_journal(), window=5)
    with statements(path) as run_sql:
        run_sql("create trigger full before insert on connectif_journal_pending begin select raise(abort, 'full'); end")
    with pytest.raises(JournalError):
        run.deliver(20)
    assert (rows_of(path, "plans"), rows_of(path, "claims")) == (0, 0)


def test_what_must_not_be_sent_twice_needs_a_journal(new_journal: OpenJournal) -> None:
    quota = Quota()
    report = Report(CONTACTS, quota, Rejects(None), None, Lines())
    things = ThingResource()
    account = Account(quota, FakeClock(), accept)
    sender = RequestSender(
        things,
        account,
        ResponsePolicy(),
        report,
        None,
        max_in_flight=1,
        attempts=1,
        stop_when_all_rejected=False,
        patience=DEFERS,
    )
    with pytest.raises(RunFailed, match="sending a thing twice is not harmless, so give journal_conn_id") as error:
        RequestSink(things, sender, quota, report, None, None).open(lambda: False)
    assert error.value.final


def test_an_end_by_the_clock_is_passed_on(new_journal: OpenJournal) -> None:
    run = Delivery(None, patience=Patience(longest_wait_s=60.0, time_limit_s=0.0))
    assert run.sink.longest_pause_s == 60.0
    run.sink.check_time_limits()
    assert run.sink.stop == Stop(StopKind.TIMED_OUT)


def test_what_counts_as_delivered_though_the_response_showed_another_is_in_the_summary() -> None:
    run = Delivery(None, lambda _: Response(200, is_own=False), patience=Patience(longest_wait_s=60.0))
    run.deliver(1)
    assert (run.counts, run.sink.summary()) == ({Outcome.UPDATED: 1}, {"unconfirmed": 1})


@contextmanager
def statements(path: Path) -> Iterator[Callable[[str], Any]]:
    """Run SQL in the journal's database."""
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        yield lambda sql: connection.exec_driver_sql(sql)
    engine.dispose()


def rows_of(path: Path, table: str) -> int:
    """How many lines a table of the journal has."""
    with statements(path) as run_sql:
        return int(run_sql(f"select count(*) from connectif_journal_{table}").scalar())
