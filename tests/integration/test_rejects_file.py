"""The file of the rows that were not delivered: when it is there, and what becomes of a path that will not do."""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException

from airflow_provider_connectif.api.client import ConnectifClient
from airflow_provider_connectif.operators.contacts import ContactPatchOperator
from airflow_provider_connectif.operators.rejects_file import RejectsFile, RejectsNotWritten, RejectsPathError
from tests.support.journals import JournalDatabase, journal_database
from tests.support.strict_server import StrictServer
from tests.support.task_logs import provider_lines, provider_records
from tests.support.task_runs import Run

Runs = Callable[..., Run]
GOOD = {"email": "ana@example.com", "visits": 1}
BAD = {"email": "nobody", "visits": 1}


@pytest.mark.parametrize("path", [5, "", b"rejects.jsonl", Path("rejects.jsonl"), ["rejects.jsonl"]])
def test_what_is_no_path_is_refused_when_the_dag_is_parsed(path: Any) -> None:
    with pytest.raises(ValueError, match="rejects_path must be the path of a file, not "):
        ContactPatchOperator(task_id="patch", rows=[], rejects_path=path)


def test_without_a_refused_row_there_is_no_file(strict: StrictServer, run: Runs, tmp_path: Path) -> None:
    path = tmp_path / "rejects.jsonl"
    end = run(rows=[GOOD], rejects_path=str(path))
    assert (end.state, end.summary["rejects_path"], path.exists()) == ("success", None, False)


def test_what_an_earlier_try_has_written_does_not_stay(strict: StrictServer, run: Runs, tmp_path: Path) -> None:
    path = tmp_path / "rejects.jsonl"
    end = run(rows=[GOOD, BAD], rejects_path=str(path))
    assert (end.state, end.summary["rejects_path"]) == ("failed", str(path))
    assert len(path.read_text().splitlines()) == 1
    end = run(rows=[GOOD], rejects_path=str(path))
    assert (end.state, end.summary["rejects_path"], path.exists()) == ("success", None, False)


def test_in_an_object_store_the_earlier_file_is_emptied_and_none_is_made(
    strict: StrictServer, run: Runs, memory_store: str
) -> None:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    path = ObjectStoragePath(memory_store)
    assert run(rows=[GOOD], rejects_path=memory_store).summary["rejects_path"] is None
    assert not path.exists()
    assert run(rows=[BAD], rejects_path=memory_store).summary["rejects_path"] == memory_store
    assert path.read_text().count("\n") == 1
    assert run(rows=[GOOD], rejects_path=memory_store).summary["rejects_path"] is None
    assert path.read_text() == ""


@pytest.mark.parametrize(
    ("kind", "first_request"), [("ContactPatchOperator", "patch_contact"), ("ContactImportOperator", "create_import")]
)
def test_refused_rows_are_in_the_file_before_anything_is_sent(
    kind: str, first_request: str, strict: StrictServer, run: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, send, seen = tmp_path / "rejects.jsonl", getattr(ConnectifClient, first_request), []

    def look_and_send(*args: Any, **more: Any) -> Any:
        seen.append(path.read_text().count("nobody"))
        return send(*args, **more)

    monkeypatch.setattr(ConnectifClient, first_request, look_and_send)
    good = [{**GOOD, "email": f"user{number}@example.com"} for number in range(20)]
    run(kind=kind, rows=[*good, BAD], failure_budget=1, rejects_path=str(path))
    assert seen[0] == 2  # as the key and in the row


def test_an_object_store_has_the_lines_after_each_flush(memory_store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from fsspec.implementations.memory import MemoryFileSystem

    in_memory = MemoryFileSystem._open

    def open_object(store: Any, path: str, mode: str = "rb", **more: Any) -> Any:
        """Open an object as S3 does: what is written is there once it is closed."""
        if mode != "wb":
            return in_memory(store, path, mode, **more)

        class Object(io.BytesIO):
            def close(self) -> None:
                if not self.closed:
                    in_memory(store, path, "wb").write(self.getvalue())
                super().close()

        return Object()

    monkeypatch.setattr(MemoryFileSystem, "_open", open_object)
    with RejectsFile(memory_store) as file:
        for number in range(1, 4):
            file.write(f"{number}\n")
            file.flush()
            assert file._path.read_text() == "1\n2\n3\n"[: 2 * number]


@pytest.fixture
def memory_store(airflow_db: None) -> str:
    """A path in a store that is no disk."""
    from fsspec.implementations.memory import MemoryFileSystem

    try:
        from airflow.sdk.io import attach
    except ImportError:  # Airflow 2.11
        from airflow.io.store import attach

    attach("memory", fs=MemoryFileSystem())
    return f"memory://rejects-{time.time_ns()}/rejects.jsonl"


@pytest.mark.parametrize("kind", ["ContactPatchOperator", "ContactImportOperator"])
@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("{folder}/file/rejects.jsonl", "cannot be written: "),
        ("{folder}", "cannot be written: Is a directory"),
        ("{folder}/" + "x" * 300, "cannot be written: File name too long"),
        ("nosuchstore://bucket/rejects.jsonl", "cannot be used: "),
    ],
)
def test_a_path_that_cannot_be_written_is_final_and_nothing_is_sent(
    kind: str, path: str, words: str, strict: StrictServer, run: Runs, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    path = path.format(folder=tmp_path)
    end = run(kind=kind, rows=[GOOD, BAD], fields="builtin", rejects_path=path)
    assert end.state == "failed"
    assert str(end.error).startswith(f"rejects_path {path!r} {words}")
    assert "nobody" not in str(end.error)
    assert strict.received == 0


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_folder_without_the_right_to_write_is_final(strict: StrictServer, run: Runs, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    end = run(rows=[GOOD], rejects_path=str(tmp_path / "rejects.jsonl"))
    tmp_path.chmod(0o700)
    assert end.state == "failed"
    assert "cannot be written: Permission denied" in str(end.error)


def test_what_a_template_has_left_empty_is_told() -> None:
    with pytest.raises(RejectsPathError, match="must be the path of a file, not ''"):
        RejectsFile("")


@pytest.mark.parametrize("size", [10, 100_000])
def test_a_full_disk_may_pass(size: int) -> None:
    words = "rejects_path '/dev/full' cannot be written: No space left on device"
    with pytest.raises(RejectsNotWritten, match=words) as full, RejectsFile("/dev/full") as file:
        file.write("x" * size)
    assert not full.value.final


@pytest.mark.parametrize("size", [10, 20_000])
def test_a_task_on_a_full_disk_is_tried_again_and_says_why(size: int, strict: StrictServer, run: Runs) -> None:
    end = run(rows=[GOOD, {**BAD, "visits": "x" * size}], failure_budget=5, rejects_path="/dev/full")
    assert (end.state, str(end.error)) == (
        "up_for_retry",
        "rejects_path '/dev/full' cannot be written: No space left on device",
    )


def test_what_is_no_file_of_its_own_is_not_deleted(tmp_path: Path) -> None:
    target, link = tmp_path / "target.jsonl", tmp_path / "link.jsonl"
    link.symlink_to(target)
    with RejectsFile(str(link)) as file:
        file.reset()
    assert link.is_symlink()
    with RejectsFile("/dev/full") as device:
        device.reset()
    assert Path("/dev/full").is_char_device()


@pytest.fixture
def journal(request: pytest.FixtureRequest, airflow_db: None) -> JournalDatabase:
    return journal_database("sqlite", request)


@pytest.fixture
def log(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """The messages since the last call."""

    def messages() -> list[str]:
        return provider_lines("".join(capfd.readouterr())) or provider_records(caplog.records)

    return messages


def end_of(journal: JournalDatabase) -> tuple[str, str | None]:
    """The verdict and the cause that the journal has of the only run."""
    ((verdict, counts),) = journal.query("select verdict, counts from connectif_journal_runs")
    return verdict, json.loads(counts).get("cause")


INCOMPLETE = (
    "Not all refused rows are in the rejects file: rejects_path '/dev/full' cannot be written: No space left on device"
)


def test_a_guard_stays_the_end_though_the_disk_is_full(
    strict: StrictServer, run: Runs, journal: JournalDatabase, log: Callable[[], list[str]]
) -> None:
    end = run(rows=[GOOD, BAD], min_rows=500, rejects_path="/dev/full", journal_conn_id="journal")
    assert (end.state, str(end.error).startswith("The plan exceeds a guard")) == ("failed", True)
    assert end_of(journal) == ("failed", str(end.error))
    messages = [message.partition("\n")[0] for message in log()]
    assert messages.index(INCOMPLETE) < len(messages) - 1
    assert messages[-1].startswith("Failed: 2 rows read, ")


@pytest.mark.parametrize(
    ("kind", "verdict", "cause"),
    [
        (RuntimeError, "try_again", "RuntimeError"),
        (AirflowSkipException, "skipped", None),
        (AirflowFailException, "failed", "AirflowFailException"),
    ],
)
def test_an_authors_exception_stays_the_end_though_the_disk_is_full(
    kind: type[Exception],
    verdict: str,
    cause: str | None,
    strict: StrictServer,
    run: Runs,
    journal: JournalDatabase,
    log: Callable[[], list[str]],
) -> None:
    class Rows:
        def __iter__(self) -> Iterator[dict[str, Any]]:
            yield from (GOOD, BAD)
            raise kind("the author's")

    with pytest.raises(kind, match="the author's"):
        raise run(rows=Rows(), rejects_path="/dev/full", journal_conn_id="journal").error or AssertionError
    assert end_of(journal) == (verdict, cause)
    assert INCOMPLETE in [message.partition("\n")[0] for message in log()]


def test_a_failure_of_the_journal_stays_the_end_though_the_disk_is_full(
    strict: StrictServer, run: Runs, journal: JournalDatabase
) -> None:
    arguments = {"kind": "ContactImportOperator", "rejects_path": "/dev/full", "journal_conn_id": "journal"}
    run(rows=[GOOD], **arguments)
    journal.query(
        "create trigger broken before insert on connectif_journal_outcomes "
        "begin select raise(abort, 'disk I/O error'); end"
    )
    end = run(rows=[{**GOOD, "visits": 2}, BAD], **arguments)
    assert (end.state, str(end.error).startswith("the journal's database failed")) == ("up_for_retry", True)


def test_an_empty_file_that_somebody_has_removed_is_no_failure(strict: StrictServer, run: Runs, tmp_path: Path) -> None:
    path = tmp_path / "rejects.jsonl"
    with RejectsFile(str(path)) as file:
        file.reset()
        path.unlink()
    assert not path.exists()


def test_a_line_after_the_file_was_closed_follows_the_others(tmp_path: Path) -> None:
    path = tmp_path / "rejects.jsonl"
    with RejectsFile(str(path)) as file:
        file.reset()
        file.write("1\n")
        file.close()
        file.write("2\n")
    assert path.read_text() == "1\n2\n"
