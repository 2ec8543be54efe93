"""Reads the content of a response piece by piece, and decompresses it.

urllib3 can decompress too, but it does not notice when compressed content is cut off. A response that is cut off near
its beginning then looks like one without a body.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import requests
import urllib3.exceptions

CHUNK = 64 * 1024
"""The most bytes of a response that are read at once."""
_GZIP, _RAW = 16 + zlib.MAX_WBITS, -zlib.MAX_WBITS
_GZIP_BEGINS = b"\x1f\x8b"
_ZLIB_BEGINS = b"\x78"  # with the usual window of 32 KB


def pieces_of(response: requests.Response) -> Iterator[bytes]:
    """Yield the content as it arrives, decompressed.

    :param response: with one of the encodings of :func:`airflow_provider_connectif.api.transport.check_encoding`.
    :raises urllib3.exceptions.DecodeError: the content is not compressed as its header says.
    :raises requests.exceptions.ConnectionError: the compressed content is cut off.
    """
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    is_packed = encoding not in ("", "identity")
    decoder: Any = None
    while packed := response.raw.read1(CHUNK, decode_content=False):
        if not is_packed:
            yield packed
            continue
        piece = b""
        while packed or len(piece) == CHUNK:  # a whole piece: the decoder may have more
            if decoder is None:
                decoder = zlib.decompressobj(_GZIP if "gzip" in encoding else _bits_of_deflated(packed))
            try:
                piece = decoder.decompress(packed, CHUNK)  # a small response may unpack to a huge one
            except zlib.error:
                raise urllib3.exceptions.DecodeError("not compressed as its header says") from None
            packed = b"" if decoder.eof else decoder.unconsumed_tail
            if decoder.eof and decoder.unused_data.startswith(_GZIP_BEGINS):
                packed, decoder = decoder.unused_data, None
            if piece:
                yield piece
    if decoder is not None and not decoder.eof:
        raise requests.exceptions.ConnectionError("the compressed content is cut off")


def _bits_of_deflated(packed: bytes) -> int:
    """Return zlib's ``wbits`` for the encoding ``deflate``: some servers send its content without the zlib header."""
    return zlib.MAX_WBITS if packed.startswith(_ZLIB_BEGINS) else _RAW
