"""The file of refused rows, at any path that Airflow's object storage takes."""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import Any, cast

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

    def flush(self) -> None:
        """Hand on what was written, as far as the kind of file allows before it is closed."""
        if self._file is not None:
            self._file.flush()

    def truncate(self, size: int, /) -> None:
        """Empty the file (size 0), before anything is written: what an earlier process has written is not kept.

        :raises ValueError: another size, or text was written.
        """
        if size or self._file is not None:
            raise ValueError("only an unopened file, and only as a whole")
        self._goes_on = False
        self._open()

    def _open(self) -> None:
        path = cast(Any, self._path)
        if self._is_local:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path.path, os.O_CREAT | os.O_WRONLY, 0o600))
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
