"""Compressed responses: read in small pieces, whole, and never half."""

from __future__ import annotations

import gzip
import io
import random
import zlib

import pytest
import requests
import urllib3

from airflow_provider_connectif.api.decoding import CHUNK, pieces_of
from airflow_provider_connectif.api.transport import Timeouts, describe_failure

_RANDOM = random.Random(1)
CONTENTS = [b"", b"x", bytes(CHUNK), bytes(5 * CHUNK + 1), _RANDOM.randbytes(CHUNK), _RANDOM.randbytes(3 * CHUNK + 7)]


def response(content: bytes, encoding: str) -> requests.Response:
    made = requests.Response()
    made.headers["Content-Encoding"] = encoding
    made.raw = urllib3.HTTPResponse(io.BytesIO(content), preload_content=False)
    return made


def without_a_header(content: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(content) + packer.flush()


@pytest.mark.parametrize("content", CONTENTS, ids=len)
def test_every_form_is_read_whole_in_small_pieces(content: bytes) -> None:
    half = len(content) // 2
    packed = {
        "identity": content,
        "gzip": gzip.compress(content),
        "x-gzip": gzip.compress(content[:half]) + gzip.compress(content[half:]) + bytes(100),
        "deflate": zlib.compress(content),
        " Deflate": without_a_header(content),
    }
    for encoding, sent in packed.items():
        pieces = list(pieces_of(response(sent, encoding)))
        assert b"".join(pieces) == content, encoding
        assert max(map(len, pieces), default=0) <= CHUNK


@pytest.mark.parametrize("content", CONTENTS[1:], ids=len)
def test_what_is_cut_off_is_never_taken_as_whole(content: bytes) -> None:
    for encoding, sent in {"gzip": gzip.compress(content), "deflate": zlib.compress(content)}.items():
        for end in (3, len(sent) // 2, len(sent) - 1):
            with pytest.raises(requests.exceptions.ConnectionError):
                list(pieces_of(response(sent[:end], encoding)))


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_what_is_not_compressed_although_it_says_so_is_an_error(encoding: str) -> None:
    with pytest.raises(urllib3.exceptions.DecodeError) as error:
        list(pieces_of(response(b'{"_email": "ana@example.com"}', encoding)))
    assert describe_failure(error.value, Timeouts(connect=5.0, read=30.0)) == "the response could not be decoded"
