"""Reads the multipart body of an upload piece by piece. A large file goes to the disk."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO

from starlette.datastructures import FormData, Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.types import Receive

from airflow_provider_connectif.sandbox.errors import ClientGoneError

# Its messages about a broken body would go to the standard error, which is only for errors of the sandbox itself.
logging.getLogger("python_multipart").setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True)
class Upload:
    """The parts of an upload: ``texts`` by name, and the part ``file``; None: the part is missing or is not a file."""

    texts: dict[str, str]
    file: BinaryIO | None = None
    file_type: str = ""
    file_bytes: int = 0


async def read_upload(headers: Headers, receive: Receive) -> Upload | None:
    """Return the parts of a multipart body; None: the body cannot be read as one. Raises ClientGoneError."""
    form: FormData | None = None
    stream = _body(receive)
    with suppress(MultiPartException, KeyError):
        form = await MultiPartParser(headers, stream, max_files=1, max_fields=20).parse()
    async for _ in stream:  # read the rest of a body that could not be parsed: the response comes after its end
        pass
    if form is None:
        return None
    texts = {name: value for name, value in form.multi_items() if isinstance(value, str)}
    file = form.get("file")
    if not isinstance(file, UploadFile):
        return Upload(texts)
    kind = (file.content_type or "").partition(";")[0].strip().lower()
    return Upload(texts, file.file, kind, file.size or 0)


async def _body(receive: Receive) -> AsyncGenerator[bytes, None]:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        yield message.get("body", b"")
        if not message.get("more_body", False):
            return
