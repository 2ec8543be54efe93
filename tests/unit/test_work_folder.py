"""The folder of an import's files: for its user only, and gone in the end, whatever the end is."""

from __future__ import annotations

import os
import signal
import stat
import tempfile
from pathlib import Path

import pytest

from airflow_provider_connectif.imports.work_folder import work_folder
from airflow_provider_connectif.records.outcomes import FilesError

PREFIX = "connectif-test-"


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_it_is_its_users_and_goes_with_all_that_is_in_it(temporary: Path) -> None:
    with work_folder(PREFIX) as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert folder.name.startswith(PREFIX)
        (folder / "files").mkdir()
        (folder / "files" / "1.csv").write_text("ana@example.com")
    assert list(temporary.iterdir()) == []


@pytest.mark.slow
def test_it_goes_when_its_user_fails(temporary: Path) -> None:
    with pytest.raises(ZeroDivisionError), work_folder(PREFIX):
        raise ZeroDivisionError
    assert list(temporary.iterdir()) == []


def test_what_a_killed_process_left_is_removed_by_the_next_one(temporary: Path) -> None:
    left = _left_by_a_killed_process()
    assert (left / "1.csv").exists()
    with work_folder(PREFIX) as folder:
        assert list(temporary.iterdir()) == [folder]


def test_what_is_in_use_stays(temporary: Path) -> None:
    with work_folder(PREFIX) as one:
        (one / "1.csv").touch()
        with work_folder(PREFIX) as other:
            assert (one / "1.csv").exists()
            assert other != one
        assert (one / "1.csv").exists()


def test_what_is_none_of_these_folders_stays(temporary: Path) -> None:
    elsewhere = temporary / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / ".lock").touch()
    (temporary / f"{PREFIX}link").symlink_to(elsewhere)
    (temporary / f"{PREFIX}file").touch()
    (temporary / f"{PREFIX}without-a-lock").mkdir()
    before = set(temporary.iterdir())
    with work_folder(PREFIX):
        pass
    assert set(temporary.iterdir()) == before
    assert (elsewhere / ".lock").exists()


@pytest.mark.parametrize(("nothing_sent", "words"), [(True, "; nothing was sent. Check"), (False, "). Check")])
def test_a_folder_that_cannot_be_written_to_is_named(temporary: Path, nothing_sent: bool, words: str) -> None:
    parent = temporary / "nowhere"
    with (
        pytest.raises(FilesError, match=r"cannot be stored in '.*/nowhere' \(No such file or directory\)") as error,
        work_folder(PREFIX, parent, nothing_sent=nothing_sent),
    ):
        pass
    assert words in str(error.value)
    assert not error.value.final


def _left_by_a_killed_process() -> Path:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            with work_folder(PREFIX) as folder:
                (folder / "1.csv").write_text("ana@example.com")
                os.write(writing, os.fsencode(folder))
                signal.pause()
        finally:
            os._exit(1)
    left = Path(os.fsdecode(os.read(reading, 4096)))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    for end in (reading, writing):
        os.close(end)
    return left
