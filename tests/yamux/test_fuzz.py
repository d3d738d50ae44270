"""Whatever bytes come: a session never raises, and tells the same however the bytes are cut."""

from __future__ import annotations

import os
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from plugmux.yamux import DataReceived, Session, SessionEnded, StreamOpened
from plugmux.yamux.frame import DATA, pack_header

EXAMPLES = int(os.environ.get("PLUGMUX_MODEL_EXAMPLES", "150"))

flags = st.one_of(st.integers(0, 15), st.sampled_from([0, 1, 2, 4, 8]))
ids = st.one_of(st.integers(0, 9), st.integers(0, 2**32 - 1))
lengths = st.one_of(st.integers(0, 40), st.sampled_from([262_144, 262_145, 2**32 - 1]))


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    """One frame, more often sound than not."""
    kind = draw(st.sampled_from([0, 0, 0, 1, 1, 2, 3, 4]))
    length = draw(st.integers(0, 40) if kind == DATA else lengths)
    header = pack_header(kind, draw(flags), draw(ids), length)
    return header + bytes(length) if kind == DATA else header


wire = st.one_of(st.binary(max_size=200), st.lists(frames(), max_size=30).map(b"".join))


def tell(data: bytes, cuts: list[int], *, client: bool) -> tuple[list[str], bytes]:
    """What a session tells of bytes that come in pieces, and what it puts out."""
    session = Session(client=client)
    for _ in range(2):
        session.open()
    session.data_to_send()
    told: list[str] = []
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    for start, end in pairwise(edges):
        for event in session.receive_data(data[start:end]):
            if isinstance(event, StreamOpened):
                session.accept(event.stream)
            if isinstance(event, DataReceived):
                session.consume(event.stream, len(event.data))
                told.extend(f"byte on {event.stream.id}" for _ in event.data)
            else:
                told.append(str(event.error) if isinstance(event, SessionEnded) else type(event).__name__)
    session.receive_eof()
    return told, b"".join(session.data_to_send(2**20))


@settings(max_examples=EXAMPLES)
@given(data=wire, client=st.booleans())
def test_a_session_never_raises_and_ends_at_the_end(data: bytes, client: bool) -> None:
    session = Session(client=client)
    session.receive_data(data)
    session.receive_eof()
    assert session.error is not None
    session.data_to_send()


@settings(max_examples=EXAMPLES)
@given(data=wire, client=st.booleans(), cuts=st.lists(st.integers(0, 2**16), max_size=6))
def test_the_cutting_of_bytes_changes_nothing(data: bytes, client: bool, cuts: list[int]) -> None:
    one_by_one = list(range(len(data)))
    assert tell(data, cuts, client=client) == tell(data, one_by_one, client=client)
