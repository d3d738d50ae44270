"""The frames of streams, without I/O."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugmux.connect.envelope import COMPRESSED, END_STREAM, EnvelopeReader, EnvelopeTooLarge, envelope

EXAMPLES = [(0, b""), (COMPRESSED, b"one"), (0, b"x" * 300), (END_STREAM, b"{}")]
WIRE = b"".join(envelope(data, flags) for flags, data in EXAMPLES)


def read(pieces: list[bytes], limit: int = 1000) -> tuple[list[tuple[int, bytes]], int]:
    reader = EnvelopeReader(limit)
    return [found for piece in pieces for found in reader.feed(piece)], reader.pending


def test_an_envelope_is_a_byte_of_flags_four_of_length_and_the_data() -> None:
    assert envelope(b"ab", 1) == b"\x01\x00\x00\x00\x02ab"


def test_envelopes_are_read_whole_and_byte_by_byte() -> None:
    assert read([WIRE]) == (EXAMPLES, 0)
    assert read([bytes([byte]) for byte in WIRE]) == (EXAMPLES, 0)


@given(st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=50))), st.lists(st.integers(1, 30)))
def test_envelopes_are_the_same_however_the_bytes_arrive(envelopes: list[tuple[int, bytes]], cuts: list[int]) -> None:
    wire = b"".join(envelope(data, flags) for flags, data in envelopes)
    pieces = []
    for cut in cuts:
        pieces.append(wire[:cut])
        wire = wire[cut:]
    assert read([*pieces, wire]) == (envelopes, 0)


@given(st.lists(st.binary(max_size=40)))
def test_arbitrary_bytes_give_envelopes_or_one_error_and_never_hold_more_than_the_limit(pieces: list[bytes]) -> None:
    reader = EnvelopeReader(64)
    for piece in pieces:
        try:
            reader.feed(piece)
        except EnvelopeTooLarge:
            return
        assert reader.pending < 64 + 5


def test_what_is_cut_off_is_pending() -> None:
    assert read([WIRE[:-1]])[1] == 6
    assert read([WIRE[:3]])[1] == 3


def test_a_prefix_over_the_limit_is_refused_before_the_data_come() -> None:
    reader = EnvelopeReader(10)
    assert reader.feed(b"\x00\x00\x00\x00") == []
    with pytest.raises(EnvelopeTooLarge) as caught:
        reader.feed(b"\x0b")
    assert caught.value.size == 11
    assert read([envelope(b"x" * 10)], limit=10) == ([(0, b"x" * 10)], 0)
