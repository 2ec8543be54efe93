"""Where an import's files lie while they are made: a folder that goes in any case, also when its process was killed."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MADE = "connectif-made-"  # before it is locked; nothing is in it
_LOCK = ".lock"


@contextmanager
def work_folder(prefix: str, parent: Path | None = None) -> Iterator[Path]:
    """A new folder that only its user can read, removed at the end.

    A process that is killed cannot remove its own. So each folder is locked while its process lives, which the
    operating system sees to, and whoever makes one first removes those of the same user that nobody holds.

    :param prefix: of its name, and of those that are removed.
    :param parent: where it lies. Default: the system's folder for temporary files.
    :raises OSError: the parent cannot be written to.
    """
    parent = Path(tempfile.gettempdir()) if parent is None else parent
    _remove_abandoned(prefix, parent)
    made = Path(tempfile.mkdtemp(prefix=_MADE, dir=parent))
    with (made / _LOCK).open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # It gets the name by which others find it once it is locked, and so never seems abandoned.
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
            continue  # somebody else has removed it meanwhile, or it is none of these folders


def _is_abandoned(folder: Path) -> bool:
    with (folder / _LOCK).open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
