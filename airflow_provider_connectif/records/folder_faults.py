"""Descriptions of faults of the folder for temporary files, for the errors that end a run."""

from __future__ import annotations

import errno

NOTHING_SENT = "; nothing was sent"
SPACE_ADVICE = "Free space there, or set [connectif] work_folder to a folder on another disk"
FOLDER_ADVICE = "Check that the folder of [connectif] work_folder exists, and that the task may write to it"

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def is_full(error: OSError) -> bool:
    """Whether the disk is full, or the user's quota or limit of it is used up."""
    return error.errno in _FULL


def cause_of(error: BaseException) -> str:
    """Return the system's words for an error, without a path."""
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
