"""Bodies in chunks: read as they were written, and never more freely than h11 reads them."""

from __future__ import annotations

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugmux.http.body import MAX_EXTENSION, ChunkedBody, RemoteProtocolError

HEAD = b"POST / HTTP/1.1\r\nHost: unix\r\nTransfer-Encoding: chunked\r\n\r\n"
LIMIT = 16 * 1024
FRAGMENTS = [b"3\r\nabc\r\n", b"A;x=y \t\r\n0123456789\r\n", b"0\r\n\r\n", b"0\r\nT: v\r\n\r\n", b"+3\r\nabc\r\n"]
FRAGMENTS += [b"3 ;x\r\nabc\r\n", b"0x3\r\n", b"-1\r\n", b"2\r\n", b"ab", b"\r\n", b"\x00"]
FRAGMENTS += [bytes([byte]) for byte in b"\r\n; 0f"]

Outcome = tuple[bytes, bool, bytes]


def ours(data: bytes, step: int) -> Outcome:
    body, got = ChunkedBody(LIMIT), b""
    for start in range(0, len(data), step):
        got += body.feed(data[start : start + step])
    return got, body.complete, body.rest


def theirs(data: bytes) -> Outcome:
    parser, got = h11.Connection(h11.SERVER, LIMIT), b""
    parser.receive_data(HEAD + data)
    parser.next_event()
    while type(event := parser.next_event()) is h11.Data:
        got += event.data
    return got, event is not h11.NEED_DATA, b"" if event is h11.NEED_DATA else parser.trailing_data[0]


@given(st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.binary(max_size=4)), max_size=12), st.integers(1, 40))
def test_nothing_is_taken_that_h11_refuses_and_the_rest_is_read_alike(fragments: list[bytes], step: int) -> None:
    data = b"".join(fragments)
    try:
        outcome = ours(data, step)
    except RemoteProtocolError:
        return
    assert outcome == theirs(data)


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=8), st.sampled_from([b"", b";a=b"]), st.integers(1, 500))
def test_what_was_written_in_chunks_is_read_as_it_was(pieces: list[bytes], extension: bytes, step: int) -> None:
    data = b"".join(b"%x%b\r\n%b\r\n" % (len(piece), extension, piece) for piece in pieces) + b"0\r\n\r\nnext"
    assert ours(data, step) == (b"".join(pieces), True, b"next")


@pytest.mark.parametrize(
    "chunks",
    [
        b"1" + b"0" * 16 + b"\r\n",
        b"3;\x01\r\nabc\r\n",
        b"3;a\rb\r\nabc\r\n",
        b"3;" + b"x" * MAX_EXTENSION + b"x\r\nabc",
        b"3" + b" " * 2 * MAX_EXTENSION,
        b"0\r\n" + b"T: v\r\n" * LIMIT,
    ],
    ids=["length", "control", "return", "line", "line without end", "trailer"],
)
@pytest.mark.parametrize("step", [1, 1 << 20])
def test_lengths_lines_and_trailers_are_bounded(chunks: bytes, step: int) -> None:
    with pytest.raises(RemoteProtocolError):
        ours(chunks, step)


def test_what_came_in_one_piece_is_not_copied() -> None:
    data = b"%x\r\n" % 1000 + b"x" * 500
    piece = ChunkedBody(LIMIT).feed(data)
    assert isinstance(piece, memoryview)
    assert piece.obj is data
