"""The file of refused rows, at any path that Airflow's object storage takes."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

from airflow.providers.common.compat.sdk import ObjectStoragePath

_IN_MEMORY = 1024 * 1024


class RejectsPathError(ValueError):
    """The path cannot be used; another try would find the same."""


class RejectsFile:
    """An open text file; a context manager. A local one that is new may be read by its owner only: it is personal data.

    :param path: where it is, with its protocol (``s3://...``), if it is not a local one.
    :param goes_on: keep what an earlier process of the same try has written, instead of writing it anew.
    :raises RejectsPathError: it climbs by ``..``, which only a value in a template would want.
    """

    def __init__(self, path: str, *, goes_on: bool = False) -> None:
        if ".." in path.replace("\\", "/").split("/"):
            raise RejectsPathError("rejects_path has a '..' in it: write out the folder that is meant")
        self._path = ObjectStoragePath(path)
        self._is_local = self._path.protocol in ("", "file")
        self._goes_on = goes_on
        self._file: Any = None

    def __enter__(self) -> RejectsFile:
        if not self._goes_on:
            self._open()
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, text: str, /) -> None:
        """Append text."""
        if self._file is None:
            self._open()
        self._file.write(text)

    def begin_anew(self) -> None:
        """Empty it, whatever an earlier process has written."""
        self.__exit__()
        self._goes_on = False
        self._open()

    def flush(self) -> None:
        """Hand on what was written, as far as the kind of file allows before it is closed."""
        if self._file is not None:
            self._file.flush()

    def _open(self) -> None:
        path = cast(Any, self._path)
        if self._is_local:
            _make_private(path)
            self._file = path.open("a" if self._goes_on else "w", encoding="utf-8")
            return
        # Most object stores cannot append: what is there is written once more.
        with tempfile.SpooledTemporaryFile(_IN_MEMORY, "w+", encoding="utf-8") as earlier:
            if self._goes_on and path.exists():
                with path.open("r", encoding="utf-8") as file:
                    shutil.copyfileobj(file, earlier)
                earlier.seek(0)
            self._file = path.open("w", encoding="utf-8")
            shutil.copyfileobj(earlier, self._file)


@contextmanager
def report_file(rejects_path: str, import_id: str) -> Iterator[BinaryIO]:
    """The file beside the rejects in which the error report of an import is kept: ``<rejects_path>.import-<id>.csv``.

    :param import_id: as Connectif gave it; what may not stand in a file's name is replaced.
    """
    name = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in import_id)
    path = cast(Any, ObjectStoragePath(f"{rejects_path}.import-{name}.csv"))
    if path.protocol in ("", "file"):
        _make_private(path)
    with path.open("wb") as file:
        yield file


def _make_private(path: Any) -> None:
    """A local file, if it is not there yet, that only its owner may read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path.path, os.O_CREAT | os.O_WRONLY, 0o600))
