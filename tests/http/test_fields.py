"""What our own heads are made of."""

from __future__ import annotations

import asyncio
import sys
import time
from email.utils import formatdate

import pytest

from plugmux.errors import ConfigError
from plugmux.http.fields import (
    MAX_CACHED_FIELDS,
    WHOLE_CHUNK,
    ChunkWriter,
    _cached,
    encode_fields,
    http_date,
    response_head,
)

NOW = pytest.param(int(time.time()), id="now")


@pytest.mark.parametrize("second", [0, 951_782_400, 1_709_164_799, 1_735_689_599, 4_102_444_800, NOW])
def test_a_date_is_written_as_the_standard_library_writes_it(second: int) -> None:
    assert http_date(second) == formatdate(second, usegmt=True)


@pytest.mark.parametrize(
    ("status", "line"),
    [(200, b"HTTP/1.1 200 OK\r\n"), (418, b"HTTP/1.1 418 I'm a Teapot\r\n"), (599, b"HTTP/1.1 599 \r\n")],
)
def test_a_head_begins_with_its_status(status: int, line: bytes) -> None:
    for _ in range(2):
        assert response_head(status, b"", b"", close=False, dated=True) == line + b"\r\n"


@pytest.mark.parametrize("status", [0, 99, 600, 200.5, "200", None])
def test_what_is_no_status_is_refused(status: int) -> None:
    with pytest.raises(ConfigError, match="not an HTTP status"):
        response_head(status, b"", b"", close=False)


@pytest.mark.parametrize(
    ("name", "kept"), [(b"content-type", True), (b"Authorization", False), (b"x-api-key", False), (b"cookie", False)]
)
def test_no_memory_keeps_what_may_be_a_credential(name: bytes, kept: bool) -> None:
    value = b"value of " + name
    references = sys.getrefcount(value)
    assert encode_fields(((name, value),)) == b"%b: %b\r\n" % (name, value)
    assert (sys.getrefcount(value) > references) is kept


def test_only_the_last_fields_are_cached() -> None:
    for number in range(MAX_CACHED_FIELDS + 1):
        assert encode_fields(((b"content-type", b"%d" % number),)) == b"content-type: %d\r\n" % number
    assert len(_cached) == MAX_CACHED_FIELDS


async def test_the_first_piece_of_a_turn_is_written_at_once_and_the_others_as_one_chunk() -> None:
    written: list[bytes] = []
    chunks = ChunkWriter(written.append)
    chunks.write(b"", b"HEAD")
    for turn in (b"abc", b"def"):
        for piece in turn:
            chunks.write(bytes([piece]))
        await asyncio.sleep(0)
    chunks.write(b"last")
    chunks.end(b"!")
    assert written == [
        b"HEAD",
        b"3\r\nabc\r\n",
        b"1\r\nd\r\n",
        b"2\r\nef\r\n",
        b"4\r\nlast\r\n",
        b"1\r\n!\r\n0\r\n\r\n",
    ]


async def test_pieces_do_not_wait_beyond_a_size_and_a_large_one_is_not_joined() -> None:
    written: list[bytes] = []
    chunks = ChunkWriter(written.append)
    small, large = bytes(WHOLE_CHUNK // 4), bytes(WHOLE_CHUNK)
    for piece in (small, small, small, small, small, small, large, small):
        chunks.write(piece)
    sizes = [len(chunk) - chunk.index(b"\n") - 3 for chunk in written]
    assert sizes == [len(small), 4 * len(small), len(small), len(large)]
    chunks.drop()
    await asyncio.sleep(0)
    assert len(written) == len(sizes)
