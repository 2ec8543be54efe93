"""How long an import waits, and that it ends.

The kinds of fault: a deadline that does not hold while the rate limit is waited out; a delay that Connectif asks for
and that is ignored, or that holds a worker for an hour; a thread that ends and leaves its run hanging; a report that
is fetched again though another address cannot help.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.import_runs import account, as_contacts, event_of, import_over_deferral, import_rows, rows, uploaded
from tests.support.journals import Process
from tests.support.strict_server import StrictServer
from tests.support.task_runs import run_in_airflow, run_operator

LONG = timedelta(seconds=40)
SHORT = timedelta(seconds=1)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


def times(strict: StrictServer, method: str, target: str) -> list[float]:
    return [e["t"] for e in strict.log if e["method"] == method and e["target"].startswith(target)]


# The rate limit is used up and does not open before the timeout: for the upload of the first file, for a look at the
# list, for a poll.
@pytest.mark.sampled(1)
@pytest.mark.parametrize("on", ["POST", "LIST", "GET"])
def test_the_timeout_holds_while_429_is_waited_out(strict: StrictServer, airflow_db: None, on: str) -> None:
    used_up = {"on": on, "status": 429, "headers": {"Retry-After": "30"}}
    strict.update(import_faults=[*([{"times": 1, "status": 502}] if on == "LIST" else []), used_up])
    with within(25):
        run = import_rows(rows=rows(10), timeout=timedelta(seconds=2))
    assert run.state == "up_for_retry"
    assert "The imports did not finish within timeout (2.0 s)" in str(run.error)
    assert (run.summary["undelivered"], account(run.summary)) == (10, 10)


# The field definitions come before the first upload; they have as long.
@pytest.mark.sampled(1)
@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize(
    "fault",
    [
        {"status": 429, "headers": {"Retry-After": "30"}},
        {"status": 503, "headers": {"Retry-After": "30"}},
        {"hang": "before"},
    ],
    ids=["429", "503", "no response"],
)
def test_the_timeout_holds_for_the_field_definitions(
    strict: StrictServer, airflow_db: None, fault: dict[str, Any], deferrable: bool
) -> None:
    strict.update(fields_fault=fault)
    with within(8):
        run = import_rows(rows=rows(10), fields="live", deferrable=deferrable, timeout=timedelta(seconds=2))
    assert run.state == "up_for_retry"
    assert "The field definitions cannot be read (the timeout of 2.0 s has passed" in str(run.error)
    assert ("the rate limit is used up" in str(run.error)) is (fault.get("status") == 429)
    assert (run.summary["read"], strict.uploads) == (0, [])


@pytest.mark.parametrize("deferrable", [False, True])
def test_an_hour_for_the_field_definitions_ends_the_attempt(
    strict: StrictServer, airflow_db: None, deferrable: bool
) -> None:
    strict.update(fields_fault={"status": 429, "headers": {"Retry-After": "3600"}})
    with within(8):
        run = import_rows(rows=rows(10), fields="live", deferrable=deferrable, timeout=LONG)
    assert run.state == "up_for_retry"
    assert "longest_wait of the connection, 2 min" in str(run.error)
    assert "set a retry_delay of" in str(run.error)


@pytest.mark.slow
def test_in_airflow_the_timeout_holds_for_the_first_upload(strict: StrictServer, run_dag: Callable[..., Any]) -> None:
    strict.update(import_faults=[{"status": 429, "headers": {"Retry-After": "120"}}])
    arguments: dict[str, Any] = {"timeout": SHORT, "poll_interval": 0.1, "fields": "live"}
    with within(110):
        run = run_in_airflow(run_dag, rows=rows(10), kind="ContactImportOperator", **arguments)
    assert run.state == "up_for_retry"
    assert run.summary["undelivered"] == 10


# An hour: no worker is held for that. Everything is uploaded and the task can defer, or the attempt ends and says what
# would outlast the delay.
@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("on", ["POST", "LIST", "GET"])
def test_an_hour_ends_the_attempt_with_a_message(strict: StrictServer, airflow_db: None, on: str, status: int) -> None:
    asked = {"on": on, "status": status, "headers": {"Retry-After": "3600"}}
    strict.update(import_faults=[*([{"times": 1, "status": 502}] if on == "LIST" else []), asked])
    with within(60):
        run = import_rows(rows=rows(10))
    assert run.state == "up_for_retry"
    assert "longer than longest_wait of the connection, 120 s" in str(run.error)
    assert "set a retry_delay of 3,600 s or more" in str(run.error)
    assert (run.summary["undelivered"], account(run.summary)) == (10, 10)


def test_an_hour_is_waited_out_without_a_worker_once_all_is_uploaded(strict: StrictServer, airflow_db: None) -> None:
    first = import_rows(rows=rows(10), deferrable=True)
    assert first.state == "deferred"
    event = event_of(first)
    strict.update(import_faults=[{"on": "GET", "times": 1, "status": 503, "headers": {"Retry-After": "3600"}}])
    arguments = {"deferrable": True, "method": "execute_complete", "event": event}
    with within(60):
        second = import_rows(rows=iter(()), **arguments)
    assert second.state == "deferred"
    assert second.summary["undelivered"] == 10
    run = import_rows(rows=iter(()), **(arguments | {"event": event_of(second)}))
    assert (run.state, run.summary["imported"], len(strict.uploads)) == ("success", 10, 1)


# A shorter delay is kept to, by every request of an import, also without a worker.
@pytest.mark.sampled(1)
@pytest.mark.parametrize("status", [503, 500])
def test_retry_after_of_an_upload(strict: StrictServer, airflow_db: None, status: int) -> None:
    strict.update(import_faults=[{"times": 1, "status": status, "headers": {"Retry-After": "3"}}])
    assert import_rows(rows=rows(10), timeout=LONG).state == "success"
    first, second = times(strict, "POST", "/imports/")
    assert second - first >= 2.9


@pytest.mark.slow
def test_retry_after_of_a_full_queue(strict: StrictServer, airflow_db: None) -> None:
    full = {"times": 1, "status": 400, "json": {"code": "E0401"}, "headers": {"Retry-After": "3"}}
    strict.update(import_faults=[full])
    assert import_rows(rows=rows(10), timeout=LONG).state == "success"
    first, second = times(strict, "POST", "/imports/")
    assert second - first >= 2.9


@pytest.mark.sampled(1)
@pytest.mark.parametrize("on", ["GET", "LIST"])
def test_retry_after_of_a_question(strict: StrictServer, airflow_db: None, on: str) -> None:
    asked = {"on": on, "times": 1, "status": 503, "headers": {"Retry-After": "3"}}
    strict.update(import_faults=[asked, *([{"times": 1, "drop": "before"}] if on == "LIST" else [])])
    assert import_rows(rows=rows(10), timeout=LONG).state == "success"
    asked_at = times(strict, "GET", "/imports/")
    assert asked_at[1] - asked_at[0] >= 2.9


@pytest.mark.slow
def test_retry_after_while_the_triggerer_polls(strict: StrictServer, airflow_db: None) -> None:
    strict.update(import_faults=[{"on": "GET", "times": 1, "status": 503, "headers": {"Retry-After": "3"}}])
    assert import_over_deferral(rows=rows(10))[-1].state == "success"
    first, second, *_ = times(strict, "GET", "/imports/0")
    assert second - first >= 2.9


# Polls that fail one after the other come at growing distances, whatever poll_interval is.
@pytest.mark.sampled(1)
@pytest.mark.usefixtures("usual_delays")
@pytest.mark.parametrize("way", [import_rows, lambda **arguments: import_over_deferral(**arguments)[-1]])
def test_polls_that_fail_come_at_growing_distances(
    strict: StrictServer, airflow_db: None, way: Callable[..., Any]
) -> None:
    strict.update(import_faults=[{"on": "GET", "times": 3, "status": 500}])
    assert way(rows=rows(10), timeout=LONG).state == "success"
    asked_at = times(strict, "GET", "/imports/0")
    assert asked_at[3] - asked_at[0] >= 0.5 * (0.5 + 1 + 2)


# Leftovers by PATCH are newer than an import of an earlier attempt that is still open: they come after it.
@pytest.mark.slow
def test_leftovers_come_after_the_imports_of_an_earlier_attempt(
    strict: StrictServer, airflow_db: None, tmp_path: Path
) -> None:
    columns = ("_name", "_surname", "visits", "spent")
    flags = [[bool(n & 1 << bit) for bit in range(4)] for n in range(1, 16)]

    def source(value: int) -> list[dict[str, Any]]:
        chosen = [dict(zip(columns, (str(value), str(value), value, value), strict=True)) for _ in flags]
        return [
            {
                "email": f"u{n}@example.com",
                **{name: made[name] for name, has in zip(columns, filled, strict=True) if has},
            }
            for n, (made, filled) in enumerate(zip(chosen, flags, strict=True))
        ]

    strict.update(import_run_s=1.0)
    process = Process(tmp_path, "night", import_rows, rows=source(1), file_layout="shape", patch_leftovers=False)
    process.wait_until_it_says("Uploaded 15 files")
    process.kill()
    run = import_rows("night", rows=source(2), tries_before=1, patch_leftovers=True, file_layout="shape", timeout=LONG)
    assert run.state == "success", run.error
    assert strict.contacts == as_contacts(source(2))


# A source whose thread ends by what is no ordinary error.
@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit, MemoryError])
@pytest.mark.parametrize("kind", ["ContactPatchOperator", "ContactImportOperator"])
@pytest.mark.parametrize("when", ["connect", "execute", "fetch"])
def test_a_source_whose_thread_is_ended(
    strict: StrictServer,
    airflow_db: None,
    monkeypatch: pytest.MonkeyPatch,
    error: type[BaseException],
    kind: str,
    when: str,
) -> None:
    hook = _Hook(error, when)
    monkeypatch.setattr("airflow_provider_connectif.databases.hooks.sql_hook", lambda *_: hook)
    seen: list[Any] = []

    def deliver() -> Any:
        return run_operator(kind=kind, before=seen.append, sql="select 1", sql_conn_id="warehouse", fields="builtin")

    with within(60):
        if error is MemoryError:
            with pytest.raises(MemoryError):
                deliver()
        else:
            run = deliver()
            assert run.state == "up_for_retry"
            assert error.__name__ in str(run.error)
    summary = seen[0]._run.summary
    assert summary["read"] == account(summary) == 0  # the rows of a batch that broke off are read again


class _Hook:
    """A database whose driver ends its thread."""

    def __init__(self, error: type[BaseException], when: str) -> None:
        self.error, self.when = error, when
        self.description = [("email",), ("_name",)]
        self.fetched = 0

    def get_records(self) -> None:
        """So that it is one."""

    def get_conn(self) -> Any:
        self._end("connect")
        return self

    def cursor(self) -> Any:
        return self

    def execute(self, *_: Any) -> None:
        self._end("execute")

    def fetchmany(self, _: int) -> list[tuple[str, str]]:
        self.fetched += 1
        if self.fetched > 1:
            self._end("fetch")
        return [("a@example.com", "A"), ("b@example.com", "B")]

    def close(self) -> None:
        """Nothing to close."""

    def _end(self, when: str) -> None:
        if when == self.when:
            raise self.error


# The thread that reads field definitions: the run must not go on without them, nor hang.
@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit])
@pytest.mark.parametrize("kind", ["ContactPatchOperator", "ContactImportOperator"])
def test_a_thread_that_reads_definitions_is_ended(
    strict: StrictServer, airflow_db: None, monkeypatch: pytest.MonkeyPatch, error: type[BaseException], kind: str
) -> None:
    from airflow_provider_connectif.api.client import ConnectifClient

    def end(_: Any) -> Any:
        raise error

    monkeypatch.setattr(ConnectifClient, "list_contact_fields", end)
    with within(60), pytest.raises(RuntimeError, match=error.__name__):
        run_operator(kind=kind, rows=rows(3), fields="live")
    assert strict.contacts == {}


# A report of which another address changes nothing is fetched once; of one that was refused, or broke, a fresh one.
@pytest.mark.parametrize(
    ("settings", "fetched"),
    [
        ({"largest": 40}, 1),
        ({"report_host": "example.invalid"}, 0),  # plain http to another machine
        ({"import_faults": [{"on": "REPORT", "status": 403}]}, 3),
        ({"import_faults": [{"on": "REPORT", "status": 503}]}, 3),
    ],
)
def test_how_often_a_report_is_fetched(
    strict: StrictServer, airflow_db: None, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], fetched: int
) -> None:
    from airflow_provider_connectif.api import error_reports, imports

    fetch, asked = error_reports.fetch_error_report, []

    def counted(*arguments: Any, **named: Any) -> int:
        asked.append(named)
        return fetch(*arguments, **(named | {"max_bytes": settings.get("largest", 10**6)}))

    monkeypatch.setattr(imports, "fetch_error_report", counted)
    strict.update(import_zero=False, **{name: value for name, value in settings.items() if name != "largest"})
    source = [*rows(9, begin=1), {**rows(1)[0], "visits": 0}]
    run = import_rows(rows=source, failure_budget=1)
    assert (run.state, run.summary["rejected"], len(uploaded(strict))) == ("success", 1, 1)
    assert len(asked) == (fetched or 1)
