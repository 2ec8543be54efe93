"""The folder for an import's files. If its process is killed, a later process removes it."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from airflow_provider_connectif.records.folder_faults import (
    FOLDER_ADVICE,
    NOTHING_SENT,
    SPACE_ADVICE,
    cause_of,
    is_full,
)
from airflow_provider_connectif.records.outcomes import FilesError
from airflow_provider_connectif.reporting.formats import describe_bytes

IMPORT_PREFIX, CHECK_PREFIX = "connectif-import-", "connectif-check-"
_MADE = "connectif-made-"  # the prefix of a folder that is not locked yet; it is empty
_LOCK = ".lock"
_PREFIXES = (IMPORT_PREFIX, CHECK_PREFIX)


@contextmanager
def work_folder(prefix: str, parent: Path | None = None, *, nothing_sent: bool = False) -> Iterator[Path]:
    """Create a folder that only its user can read, and remove it at the end.

    A killed process cannot remove its folder. So each folder is locked by the operating system while its process lives,
    and each call first removes the user's folders that no process has locked.

    :param prefix: the beginning of the folder's name, and of the names of the folders to remove.
    :param parent: contains the folder. Default: the system's folder for temporary files.
    :param nothing_sent: whether nothing was sent yet. An error then says so.
    :raises FilesError: the parent cannot be written to.
    """
    parent = Path(tempfile.gettempdir()) if parent is None else parent
    with guarded_files(parent, nothing_sent=nothing_sent):
        _remove_abandoned(prefix, parent)
        folder, lock = _made_in(parent, prefix)
    with lock:
        try:
            yield folder
        finally:
            _remove(folder)


@contextmanager
def guarded_files(
    folder: Path, size_bytes: Callable[[], int] | None = None, *, nothing_sent: bool = False
) -> Iterator[None]:
    """Describe an error of the system that occurs while files of an import are written.

    :param folder: contains the files. The error names the folder in which :func:`work_folder` has created it.
    :param size_bytes: returns the size of all files in bytes, if it is known.
    :param nothing_sent: as in :func:`work_folder`.
    :raises FilesError: the disk is full, or the folder cannot be written to.
    """
    try:
        yield
    except FileExistsError:  # a fault of the caller, and not of the folder
        raise
    except OSError as error:
        named = repr(str(_parent_of(folder)))
        end = f"{NOTHING_SENT if nothing_sent else ''}. {SPACE_ADVICE if is_full(error) else FOLDER_ADVICE}"
        if is_full(error) and size_bytes is not None:
            take = describe_bytes(size_bytes())
            raise FilesError(f"the disk is full: the import's files take {take} in {named} so far{end}") from None
        raise FilesError(f"the import's files cannot be stored in {named} ({cause_of(error)}){end}") from None


def _parent_of(folder: Path) -> Path:
    """Return the folder that the settings name: the one inside it is removed at the end of the run."""
    return next((part.parent for part in (folder, *folder.parents) if part.name.startswith(_PREFIXES)), folder)


def _made_in(parent: Path, prefix: str) -> tuple[Path, IO[bytes]]:
    """Create a folder, and return it with its locked file."""
    # Named beforehand, and not by tempfile: the task's time limit may interrupt any line, also the one that creates the
    # folder.
    made = parent / f"{_MADE}{uuid.uuid4().hex}"
    try:
        made.mkdir(0o700)
        lock = (made / _LOCK).open("wb")
        fcntl.flock(lock, fcntl.LOCK_EX)
        # The folder gets its final name only after it is locked, so no other process takes it for an abandoned one.
        return made.rename(made.with_name(prefix + made.name.removeprefix(_MADE))), lock
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)  # no later process looks for a folder of this name
        raise


def _remove_abandoned(prefix: str, parent: Path) -> None:
    for folder in parent.glob(f"{prefix}*"):
        try:
            is_ours = not folder.is_symlink() and folder.stat().st_uid == os.geteuid()
            if is_ours and _is_abandoned(folder):
                _remove(folder)
        except OSError:
            continue  # another process has removed the folder in the meantime, or it is another kind of folder


def _remove(folder: Path) -> None:
    """Remove a folder. If that is interrupted, a later process removes the rest, since the lock's file goes last."""
    for entry in list(folder.iterdir()):
        if entry.is_dir():
            shutil.rmtree(entry)
        elif entry.name != _LOCK:
            entry.unlink(missing_ok=True)
    lock, name = str(folder / _LOCK), str(folder)  # a Path would be converted in Python, which can be interrupted
    try:
        os.unlink(lock)
    finally:
        os.rmdir(name)


def _is_abandoned(folder: Path) -> bool:
    with (folder / _LOCK).open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
