"""The rejects file: the file of refused rows, at any path that Airflow's object storage supports."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from datetime import UTC
from typing import Any, BinaryIO, cast

from airflow.providers.common.compat.sdk import AirflowNotFoundException, ObjectStoragePath

from airflow_provider_connectif.api.errors import RunFailed
from airflow_provider_connectif.reporting.folding import FoldedLog
from airflow_provider_connectif.reporting.rejects import only_logged

_LOG = FoldedLog(logging.getLogger(__name__))
_IN_MEMORY = 1024 * 1024
_LONGEST_RUN_S = 86_400.0
# The store is unknown, or its connection or package is missing.
_NO_SUCH_STORE = (AirflowNotFoundException, ImportError, ValueError)
# Errors of this machine's disk that another attempt would meet again; a full disk, for example, may be temporary.
_FINAL_ON_DISK = (FileExistsError, FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)
_FINAL_NUMBERS = (errno.ELOOP, errno.ENAMETOOLONG, errno.EROFS)


class RejectsPathError(RunFailed, ValueError):
    """The rejects file cannot be at this path. Another attempt would end the same way."""

    final = True


class RejectsNotWritten(RunFailed):
    """The rejects file cannot be written now, for example because the disk is full. Another attempt may succeed."""


class RejectsFile:
    """The rejects file of a run, as a context manager. A new local file is personal data: only its owner can read it.

    Until :meth:`reset` is called, new lines follow the lines of earlier processes of the run. :meth:`reset` removes
    these lines. If nothing is written after that, no local file is left. In an object store an existing file is left
    empty, because the store may not allow deletion.

    :param path: the path of the file, with its protocol (``s3://...``) if the file is not local.
    :raises RejectsPathError: the path contains ``..``, or its store cannot be opened. :meth:`reset` and the first line
        raise it if the path cannot be written, in this attempt or another one.
    """

    def __init__(self, path: str) -> None:
        if not isinstance(path, str) or not path or "\0" in path:  # a template may render to that
            raise RejectsPathError(f"rejects_path must be the path of a file, not {path!r}")
        if ".." in path.replace("\\", "/").split("/"):
            raise RejectsPathError("rejects_path has a '..' in it: write out the folder that is meant")
        self._name = path
        try:
            self._path = ObjectStoragePath(path)
            cast(Any, self._path).fs  # noqa: B018 - made at its first use
        except _NO_SUCH_STORE as error:
            raise RejectsPathError(
                f"rejects_path {path!r} cannot be used: its store cannot be opened ({error}). Check the protocol, the "
                "connection in the path, and that the provider package of the store is installed"
            ) from None
        self._is_local = self._path.protocol in ("", "file")
        self._appends = True
        self.note: Callable[[str], None] = lambda _: None
        """It is called with the path before the first line is written."""
        self._is_noted = False
        self._file: Any = None
        self._is_empty = False  # whether the local file is empty, and may be removed at the end

    def __enter__(self) -> RejectsFile:
        return self

    def __exit__(self, kind: object, error: BaseException | None, *_: object) -> None:
        """Close the file. An error in the block comes before one of closing, which is then only logged.

        :raises RejectsNotWritten: as :meth:`close`.
        """
        with nullcontext() if error is None else only_logged(_LOG, self._name):
            self.close()

    def close(self) -> None:
        """Close the file, and remove it if it is local and empty after :meth:`reset`. The next line opens it again.

        :raises RejectsNotWritten: the lines that were still in memory cannot be written.
        """
        file, self._file = self._file, None
        if file is not None:
            self._appends = True
            with _errors_of_the_disk(self._name):
                file.close()
        if self._is_empty and self._is_local:
            self._is_empty = False
            with suppress(FileNotFoundError):  # somebody else has removed it
                _delete(cast(Any, self._path).path)

    def write(self, text: str, /) -> None:
        """Append text.

        :raises RejectsNotWritten: the disk failed.
        :raises RejectsPathError: the path cannot be written.
        """
        if not self._is_noted:
            self.note(self._name)
            self._is_noted = True
        if self._file is None:
            self._open()
        with self._or_give_up():
            self._file.write(text)
        self._is_empty = False

    def reset(self) -> None:
        """Remove everything that an earlier attempt or process has written. It is called before the first row is sent.

        :raises RejectsPathError: the path cannot be written.
        """
        self.close()
        self._appends = False
        self._empty()

    def flush(self) -> None:
        """Write text from memory to the file, so that it survives a kill of the process.

        An object store has the text only once the file is closed. The next line opens it again.

        :raises RejectsNotWritten: the disk failed.
        """
        if self._file is None:
            return
        with self._or_give_up():
            if self._is_local:
                self._file.flush()
            else:
                self._file.close()
                self._file, self._appends = None, True

    @contextmanager
    def _or_give_up(self) -> Iterator[None]:
        """Close the file if the disk fails, and ignore that the text in memory then fails again."""
        try:
            with _errors_of_the_disk(self._name):
                yield
        except RunFailed:
            file, self._file = self._file, None
            with suppress(OSError):
                file.close()
            raise

    def _empty(self) -> None:
        if self._is_local:
            self._open()
            self._is_empty = True
            return
        path = cast(Any, self._path)
        if path.exists():
            path.write_text("")

    def _open(self) -> None:
        path = cast(Any, self._path)
        if self._is_local:
            with _errors_of_the_disk(self._name):
                _make_private(path)
                self._file = path.open("a" if self._appends else "w", encoding="utf-8")
            return
        # Most object stores cannot append: the existing text is written again.
        with tempfile.SpooledTemporaryFile(_IN_MEMORY, "w+", encoding="utf-8") as earlier:
            if self._appends and path.exists():
                with path.open("r", encoding="utf-8") as file:
                    shutil.copyfileobj(file, earlier)
                earlier.seek(0)
            self._file = path.open("w", encoding="utf-8")
            shutil.copyfileobj(earlier, self._file)


@contextmanager
def report_file(rejects_path: str, import_id: str, *, note: Callable[[str], None]) -> Iterator[BinaryIO]:
    """Open the file for the error report of an import, beside the rejects file: ``<rejects_path>.import-<id>.csv``.

    :param rejects_path: the path of the rejects file.
    :param import_id: the import's id from Connectif; all characters but ASCII letters and digits are replaced.
    :param note: it is called with the path before the file is written.
    """
    name = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in import_id)
    path = cast(Any, ObjectStoragePath(f"{rejects_path}.import-{name}.csv"))
    note(f"{rejects_path}.import-{name}.csv")
    if path.protocol in ("", "file"):
        with _errors_of_the_disk(rejects_path):
            _make_private(path)
    with path.open("wb") as file:
        yield file


@contextmanager
def _errors_of_the_disk(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        is_final = isinstance(error, _FINAL_ON_DISK) or error.errno in _FINAL_NUMBERS
        kind = RejectsPathError if is_final else RejectsNotWritten
        raise kind(f"rejects_path {path!r} cannot be written: {error.strerror or type(error).__name__}") from None


def remove_file(path: str, begun_at: float, changed_before: float) -> bool | None:
    """Remove an old rejects file.

    A file that was changed more than a day after this task began it has been written by somebody else, and stays. If
    the store does not say when the file was changed, the file is removed.

    :param path: as passed to :class:`RejectsFile`.
    :param begun_at: the time when the task began the file, in seconds since the epoch.
    :param changed_before: in seconds since the epoch. A file that was changed later stays for now: a task may be
        writing it.
    :return: ``True``: the file is removed. ``False``: there is no file, or it is somebody else's. ``None``: the file
        stays for now.
    """
    try:
        found = cast(Any, ObjectStoragePath(path))
        is_local = found.protocol in ("", "file")
        changed_at = os.lstat(found.path).st_mtime if is_local else _changed_at(found)
        if changed_at is not None and changed_at > begun_at + _LONGEST_RUN_S:
            return False
        if changed_at is not None and changed_at > changed_before:
            return None
        if is_local:
            return _delete(found.path)
        found.unlink()
    except FileNotFoundError:
        return False
    except (*_NO_SUCH_STORE, OSError):
        return None
    return True


def _changed_at(found: Any) -> float | None:
    """Return the time when an object was written, in seconds since the epoch; ``None``: the store does not say.

    :raises FileNotFoundError: the object is not there.
    """
    if not found.exists():
        raise FileNotFoundError
    try:
        moment = found.fs.modified(found.path)
    except (AttributeError, KeyError, NotImplementedError):
        return None
    return float((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def _delete(path: str) -> bool:
    """Remove a path if it is a regular file, and return whether it is one. A device or a link, for example, stays."""
    is_file = stat.S_ISREG(os.lstat(path).st_mode)
    if is_file:
        os.unlink(path)
    return is_file


def _make_private(path: Any) -> None:
    """Create a local file that only its owner can read, if it does not exist yet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path.path, os.O_CREAT | os.O_WRONLY, 0o600))
