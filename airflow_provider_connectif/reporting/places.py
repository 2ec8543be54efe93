"""Names the place of an error in the code, for a message without the error's own text, which may quote a value."""

from __future__ import annotations

import json.encoder
import os
import sys
import sysconfig
import traceback
from types import TracebackType

from airflow_provider_connectif.reporting.formats import describe_frame

_PACKAGE = __name__.partition(".")[0]
_PACKAGE_FOLDER = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_LIBRARY_FOLDERS = tuple(
    os.path.abspath(path) + os.sep
    for path in {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
)


def is_of_this_package(author: type) -> bool:
    """Whether a class belongs to this package."""
    return author.__module__.partition(".")[0] == _PACKAGE


def place_of(trace: TracebackType | None, author: type | None = None) -> str:
    """Return the last place of a traceback that is in the author's code, as the end of a message.

    If no place is in the author's code, it is the last place of all. Empty without a traceback.

    :param author: a class of the author; its module is the author's code even if it is installed as a library.
    """
    frames = traceback.extract_tb(trace)
    if not frames:
        return ""
    if frames[-1].filename == json.encoder.__file__:
        return ", since a property has a type that JSON does not have"
    own = None if author is None else getattr(sys.modules.get(author.__module__), "__file__", None)
    others = (_PACKAGE_FOLDER, *_LIBRARY_FOLDERS)
    theirs = [frame for frame in frames if frame.filename == own or not frame.filename.startswith(others)]
    return describe_frame((theirs or frames)[-1])
