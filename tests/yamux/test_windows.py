"""How fast one stream is on a long line: two sessions, and a line that has a rate and a delay, in a time of its own."""

from __future__ import annotations

from collections import deque

import pytest

from plugmux.yamux import DataReceived, Session, Stream, StreamOpened

MIB = 1024 * 1024
KIB64 = 64 * 1024
BULK = 64 * MIB
STEP = 0.001


def fetch(client: Session, server: Session, rate: float, rtt: float) -> float:
    """Ask for a bulk on a new stream, which a program reads at once; gives its share of the line's rate."""
    begin = now = client.now
    budget, left, got = 0.0, 0, 0
    there: deque[tuple[float, bytes]] = deque()
    back: deque[tuple[float, bytes]] = deque()
    stream = client.open()
    client.send(stream, b"give")
    asked: Stream | None = None
    while got < BULK:
        now += STEP
        while there and there[0][0] <= now:
            for event in server.receive_data(there.popleft()[1], now):
                if isinstance(event, StreamOpened):
                    server.accept(event.stream)
                    asked, left = event.stream, BULK
        budget = min(budget, 0.0) + rate * STEP
        while budget > 0:
            if asked and left and asked.pending_size < KIB64:
                server.send(asked, bytes(KIB64))
                left -= KIB64
            frames = b"".join(server.data_to_send(1))
            if not frames:
                break
            budget -= len(frames)
            back.append((now + rtt / 2, frames))
        while back and back[0][0] <= now:
            for event in client.receive_data(back.popleft()[1], now):
                if isinstance(event, DataReceived):
                    got += len(event.data)
                    client.consume(event.stream, len(event.data))
        if sent := b"".join(client.data_to_send()):
            there.append((now + rtt / 2, sent))
    client.reset(stream)
    server.receive_data(b"".join(client.data_to_send()), now)
    return (BULK / rate + rtt) / (now - begin)


def move(client: Session, server: Session, rate: float, rtt: float) -> float:
    """Move a bulk on a new stream to a program that reads at once; gives its share of the line's rate."""
    begin = client.now
    now, budget, left = begin, 0.0, BULK
    there: deque[tuple[float, bytes]] = deque()
    back: deque[tuple[float, bytes]] = deque()
    stream = client.open()
    while server.now < begin or not done(server, stream):
        now += STEP
        client.now = now
        while back and back[0][0] <= now:
            client.receive_data(back.popleft()[1], now)
        budget = min(budget, 0.0) + rate * STEP
        while budget > 0:
            if left and stream.pending_size < KIB64:
                client.send(stream, bytes(KIB64))
                left -= KIB64
                if not left:
                    client.end(stream)
            frames = b"".join(client.data_to_send(1))
            if not frames:
                break
            budget -= len(frames)
            there.append((now + rtt / 2, frames))
        while there and there[0][0] <= now:
            read(server, there.popleft()[1], now)
        if credit := b"".join(server.data_to_send()):
            back.append((now + rtt / 2, credit))
    return (BULK / rate + rtt / 2) / (now - begin)


def done(server: Session, stream: Stream) -> bool:
    """Whether all has come; the stream is ended at both ends then."""
    return stream.sending.name == "ENDED" and stream.id not in server.streams


def read(server: Session, data: bytes, now: float) -> None:
    for event in server.receive_data(data, now):
        if isinstance(event, StreamOpened):
            server.accept(event.stream)
            server.end(event.stream)
        elif isinstance(event, DataReceived):
            server.consume(event.stream, len(event.data))


@pytest.mark.parametrize(
    ("rate", "rtt", "first", "later"),
    [
        (540 * MIB, 0.02, 0.6, 0.82),
        (270 * MIB, 0.02, 0.75, 0.85),
        (120 * MIB, 0.02, 0.85, 0.9),
        (120 * MIB, 0.1, 0.58, 0.8),
    ],
)
def test_a_stream_gets_most_of_a_long_line(rate: float, rtt: float, first: float, later: float) -> None:
    """The first stream of a link finds out how large its window has to be; the later ones are told."""
    client, server = Session(client=True), Session(client=False)
    shares = [move(client, server, rate, rtt) for _ in range(3)]
    assert shares[0] >= first
    assert min(shares[1:]) >= later


@pytest.mark.parametrize(
    ("rate", "rtt", "least"), [(540 * MIB, 0.02, 0.82), (270 * MIB, 0.02, 0.85), (120 * MIB, 0.1, 0.8)]
)
def test_a_stream_that_is_answered_with_a_bulk_gets_most_of_a_long_line(rate: float, rtt: float, least: float) -> None:
    client, server = Session(client=True), Session(client=False)
    shares = [fetch(client, server, rate, rtt) for _ in range(3)]
    print(shares)
    assert min(shares[1:]) >= least
