"""Errors of the rejects file and of XCom at the end of a task: the error that has ended the run comes before them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, AirflowSkipException

from airflow_provider_connectif.api.errors import RunFailed
from airflow_provider_connectif.operators import rejects_file
from airflow_provider_connectif.operators.contacts import ContactPatchOperator
from airflow_provider_connectif.operators.parts import Start
from airflow_provider_connectif.operators.rejects_file import RejectsFile, RejectsNotWritten
from airflow_provider_connectif.reporting.verdict import Verdict
from tests.unit.test_run import Night


class Lines:
    """A log that keeps its warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warning(self, message: str, /, *args: Any) -> None:
        self.warnings.append(message % args)


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Lines:
    """The log of the rejects file."""
    lines = Lines()
    monkeypatch.setattr(rejects_file, "_LOG", lines)
    return lines


FULL = "rejects_path '/dev/full' cannot be written: No space left on device"


def fail() -> None:
    raise RunFailed("the key is refused", final=True)


def write_and_fail() -> None:
    with RejectsFile("/dev/full") as file:
        file.write("x")
        fail()


def lose_the_store_and_fail() -> None:
    with RejectsFile("rejects.jsonl") as file:
        file._file = SimpleNamespace(close=lambda: {}["ana@example.com"])
        fail()


def test_an_error_of_the_block_comes_before_one_of_closing_the_file(log: Lines) -> None:
    with pytest.raises(RunFailed, match="the key is refused"):
        write_and_fail()
    assert [line.split("\n")[0] for line in log.warnings] == [f"Not all refused rows are in the rejects file: {FULL}"]


def test_an_error_of_closing_the_file_alone_is_raised(log: Lines) -> None:
    with pytest.raises(RejectsNotWritten, match=FULL), RejectsFile("/dev/full") as file:
        file.write("x")
    assert log.warnings == []


def test_an_error_of_a_store_is_named_by_its_type(log: Lines) -> None:
    with pytest.raises(RunFailed, match="the key is refused"):
        lose_the_store_and_fail()
    assert log.warnings[0].startswith(
        "Not all refused rows are in the rejects file: rejects_path 'rejects.jsonl' cannot be written: KeyError\n"
    )


class FullSink:
    """A rejects file on a full disk."""

    def write(self, text: str, /) -> None: ...

    def flush(self) -> None: ...

    def reset(self) -> None: ...

    def close(self) -> None:
        raise RejectsNotWritten(FULL)


def test_the_warning_about_the_file_comes_before_the_end_of_the_run() -> None:
    def open_source() -> Any:
        raise ConnectionError("gone")

    night = Night(None)
    night.delivery.report.rejects._sink = FullSink()
    with pytest.raises(ConnectionError):
        night.run_of.run(open_source, lambda: None)
    assert night.run_of.verdict() == (Verdict.TRY_AGAIN, "ConnectionError")
    first, *_, last = night.log
    assert (first.split("\n")[0], last[:8]) == (f"Not all refused rows are in the rejects file: {FULL}", "Failed: ")


def test_a_file_that_cannot_be_closed_ends_a_run_without_another_error() -> None:
    night = Night(None)
    night.delivery.report.rejects._sink = FullSink()
    with pytest.raises(RejectsNotWritten):
        night.run()
    assert night.run_of.verdict() == (Verdict.TRY_AGAIN, FULL)


class BrokenXCom:
    """A task instance whose XComs cannot be pushed."""

    task_id, map_index, try_number, max_tries = "patch", -1, 1, 0

    def xcom_push(self, key: str, value: Any) -> None:
        raise ConnectionError("no XCom for ana@example.com")


class Operator(ContactPatchOperator):
    """An operator whose run has ended in some way."""

    failure: RunFailed | None = None
    verdict: tuple[Verdict, str] | None = None

    def _carry_out(self, *_: Any, **__: Any) -> RunFailed | None:
        if self.verdict is not None:
            self._run = Night(None).run_of
            self._run.verdict = lambda: self.verdict  # type: ignore[method-assign,assignment]
        return self.failure


@pytest.mark.parametrize(
    ("failure", "verdict", "raised"),
    [
        (RunFailed("the key is refused", final=True), None, AirflowFailException),
        (RunFailed("the disk is full"), None, AirflowException),
        (None, (Verdict.FAILED, "1 row refused"), AirflowFailException),
        (None, (Verdict.TRY_AGAIN, "1 row not delivered"), AirflowException),
        (None, (Verdict.SKIPPED, "on_response says so"), AirflowSkipException),
        (None, (Verdict.SUCCESS, ""), ConnectionError),
        (None, None, ConnectionError),
    ],
)
def test_the_failure_of_a_run_comes_before_a_summary_that_cannot_be_pushed(
    failure: RunFailed | None, verdict: Any, raised: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Lines()
    monkeypatch.setattr(Operator, "log", log)
    operator = Operator(task_id="patch", rows=[])
    operator.failure, operator.verdict = failure, verdict
    with pytest.raises(raised) as caught:
        operator._run_and_report(Start({"ti": BrokenXCom()}), check_only=None)
    assert type(caught.value) is raised
    if raised is not ConnectionError:
        assert str(caught.value) == (str(failure) if verdict is None else verdict[1])
    expected = [] if raised is ConnectionError else ["The summary cannot be pushed to XCom (ConnectionError)"]
    assert [line.split("\n")[0] for line in log.warnings] == expected
