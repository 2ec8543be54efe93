"""The folder for an import's files. If its process is killed, a later process removes it."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MADE = "connectif-made-"  # the prefix of a folder that is not locked yet; it is empty
_LOCK = ".lock"


@contextmanager
def work_folder(prefix: str, parent: Path | None = None) -> Iterator[Path]:
    """Create a folder that only its user can read, and remove it at the end.

    A killed process cannot remove its folder. So each folder is locked by the operating system while its process lives,
    and each call first removes the user's folders that no process has locked.

    :param prefix: the beginning of the folder's name, and of the names of the folders to remove.
    :param parent: contains the folder. Default: the system's folder for temporary files.
    :raises OSError: the parent cannot be written to.
    """
    parent = Path(tempfile.gettempdir()) if parent is None else parent
    _remove_abandoned(prefix, parent)
    made = Path(tempfile.mkdtemp(prefix=_MADE, dir=parent))
    with (made / _LOCK).open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # The folder gets its final name only after it is locked, so no other process takes it for an abandoned one.
        folder = made.rename(made.with_name(prefix + made.name.removeprefix(_MADE)))
        try:
            yield folder
        finally:
            shutil.rmtree(folder)


def _remove_abandoned(prefix: str, parent: Path) -> None:
    for folder in parent.glob(f"{prefix}*"):
        try:
            is_ours = not folder.is_symlink() and folder.stat().st_uid == os.geteuid()
            if is_ours and _is_abandoned(folder):
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue  # another process has removed the folder in the meantime, or it is another kind of folder


def _is_abandoned(folder: Path) -> bool:
    with (folder / _LOCK).open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
