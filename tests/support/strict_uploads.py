"""A multipart body (RFC 7578) taken apart as it arrives: small parts into memory, the file onto the disk."""

from __future__ import annotations

import hashlib
import re
import tempfile
from pathlib import Path

LARGEST_FILE = 50_000_000  # "50 MB"; whether MB or MiB is not said, so the smaller
_LARGEST_SMALL_PART = 1000
_LARGEST_HEAD = 8000
_NAME = re.compile(r'form-data; name="([^"]*)"(?:; filename="([^"]*)")?')
_KNOWN = {"type", "delimiter", "overrideExisting", "updateOnlyEmptyFields", "couponSetId", "file"}


class Upload:
    """Feed it the body, then ask what there was.

    :ivar fields: the small parts by name. :ivar file_name: of the file. :ivar path: where the file is.
    :ivar wrong: what no client may send. :ivar is_form: whether the body could be read as a form so far.
    """

    def __init__(self, content_type: str, folder: Path) -> None:
        kind, _, boundary = content_type.partition("; boundary=")
        self.is_meant_as_multipart = content_type.partition(";")[0].strip().lower() == "multipart/form-data"
        self.is_multipart = kind == "multipart/form-data" and bool(
            re.fullmatch(r"[A-Za-z0-9'()+_,./:=? -]{1,70}", boundary)
        )
        self.is_form = self.is_multipart
        self.fields: dict[str, str] = {}
        self.wrong: list[str] = [] if self.is_multipart else ["content type is not multipart/form-data"]
        self.file_name = ""
        self.size = 0
        self.has_file = False
        self._digest = hashlib.sha256()
        with tempfile.NamedTemporaryFile(dir=folder, suffix=".csv", delete=False) as file:
            self.path = Path(file.name)
        self._file = self.path.open("wb")
        self._border = f"\r\n--{boundary}".encode()
        self._buffer = bytearray(b"\r\n")  # so that the first border is like all others
        self._part: str | None = None  # whose content is arriving
        self._ended = False

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def feed(self, data: bytes) -> None:
        if not self.is_multipart:
            return
        self._buffer += data
        while self._step():
            pass

    def close(self) -> None:
        self._file.close()
        if self._part is None and not self._ended and self._buffer.strip(b"\r\n"):
            self.is_form = False  # no border in the whole body
        if self.is_multipart and not self._ended:
            self.wrong.append("the multipart body has no end")
        if self.is_multipart and not self.has_file:
            self.wrong.append("there is no file")

    def _step(self) -> bool:
        """Take what can be taken from the buffer; whether there may be more."""
        if self._ended:
            if self._buffer.strip(b"\r\n"):
                self.wrong.append("something follows the end of the multipart body")
            self._buffer.clear()
            return False
        at = self._buffer.find(self._border)
        if at < 0:
            keep = len(self._border) + 2
            if len(self._buffer) > keep:
                self._take(self._buffer[:-keep])
                del self._buffer[:-keep]
            return False
        if self._part is None and self._buffer[:at].strip(b"\r\n"):
            self.is_form = False  # a form begins with a border
        after = at + len(self._border)
        if self._buffer[after : after + 2] == b"--":
            self._take(self._buffer[:at])
            del self._buffer[: after + 2]
            self._ended = True
            return True
        end = self._buffer.find(b"\r\n\r\n", after)
        if end < 0:
            return False
        self._take(self._buffer[:at])
        self._begin(self._buffer[after:end].decode("latin-1"))
        del self._buffer[: end + 4]
        return True

    def _begin(self, head: str) -> None:
        lines = [line.partition(":") for line in head.splitlines() if line]
        headers = {name.strip().lower(): value.strip() for name, _, value in lines}
        match = _NAME.fullmatch(headers.get("content-disposition", ""))
        name = match[1] if match else ""
        self.is_form &= "name=" in headers.get("content-disposition", "")
        if name not in _KNOWN or name in self.fields or (name == "file" and self.has_file) or len(head) > _LARGEST_HEAD:
            self.wrong.append(f"part {name!r} is unknown, stands twice or has a strange head")
        self._part = name
        if name == "file":
            self.has_file = match is not None and match[2] is not None  # without a file name it is a text
            self.file_name = (match and match[2]) or ""
            if headers.get("content-type", "").partition(";")[0].strip().lower() != "text/csv":
                self.wrong.append("the file is not text/csv")
        else:
            self.fields[name] = ""

    def _take(self, data: bytearray) -> None:
        if self._part == "file":
            self.size += len(data)
            self._digest.update(data)
            if self.size <= LARGEST_FILE:
                self._file.write(data)
        elif self._part is not None:
            self.fields[self._part] += data.decode("utf-8", "replace")
            if len(self.fields[self._part]) > _LARGEST_SMALL_PART:
                self.wrong.append("a part that is no file is large")
        elif data.strip(b"\r\n"):
            self.wrong.append("something stands before the first part")
