"""Errors of a resource while it processes a row: which row, and where, without the values that an error may quote."""

from __future__ import annotations

import json.encoder
import os
import sysconfig
import traceback
from types import TracebackType

from airflow_provider_connectif.api.errors import RunFailed
from airflow_provider_connectif.reporting.formats import describe_frame

_PACKAGE_FOLDER = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_LIBRARY_FOLDERS = tuple(
    os.path.abspath(path) + os.sep
    for path in {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
)


class RowFailed(RunFailed):
    """A method of the resource raised an error that says nothing about the row; nothing was sent.

    :param noun: of the resource.
    :param rows: the row, or the rows of which one failed.
    :param error: its text may quote a value and is left out; raise this error ``from`` it.
    """

    def __init__(self, noun: str, rows: range, error: Exception) -> None:
        which = f"row {rows[0]:,}" if len(rows) == 1 else f"one of rows {rows[0]:,} to {rows[-1]:,}"
        super().__init__(
            f"preparing {which} as a {noun} failed with {type(error).__name__}{_place_of(error.__traceback__)}. "
            "Its message may quote a value and is not shown; nothing was sent"
        )


def _place_of(trace: TracebackType | None) -> str:
    """Return the last place in the author's code, for the message; without any, the last place."""
    frames = traceback.extract_tb(trace)
    if not frames:
        return ""
    if frames[-1].filename == json.encoder.__file__:
        return ", since a property has a type that JSON does not have"
    theirs = [frame for frame in frames if not frame.filename.startswith((_PACKAGE_FOLDER, *_LIBRARY_FOLDERS))]
    return describe_frame((theirs or frames)[-1])
