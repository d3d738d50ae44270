"""The shared vectors (tests/vectors/README.md), run by the session."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from plugmux.errors import ProtocolViolation, SessionClosed
from plugmux.yamux import (
    Config,
    DataReceived,
    GoAwayReceived,
    Session,
    SessionEnded,
    SessionEvent,
    StreamAcknowledged,
    StreamEnded,
    StreamOpened,
    StreamWasReset,
)
from plugmux.yamux.frame import ACK, FIN, RST, SYN, pack_header, unpack_header
from plugmux.yamux.outbox import MAX_LONE_FRAME

VECTORS = Path(__file__).parent.parent / "vectors" / "yamux"
FRAMES = json.loads((VECTORS / "frames.json").read_text())
SESSIONS = json.loads((VECTORS / "sessions.json").read_text())

TYPES = {"data": 0, "window_update": 1, "ping": 2, "go_away": 3}
FLAGS = {"SYN": SYN, "ACK": ACK, "FIN": FIN, "RST": RST}
NAMES = {StreamOpened: "opened", StreamAcknowledged: "acknowledged", StreamEnded: "ended", StreamWasReset: "reset"}


def payload(value: str | dict[str, Any]) -> bytes:
    if isinstance(value, str):
        return value.encode()
    return bytes(value["repeat"].encode() * value["count"])


def encode(frame: dict[str, Any]) -> bytes:
    body = payload(frame.get("payload", ""))
    flags = sum(FLAGS[name] for name in frame.get("flags", ()))
    length = len(body) if frame["type"] == "data" else frame.get("length", 0)
    return pack_header(TYPES[frame["type"]], flags, frame["stream"], length) + body


def normal_form(data: bytes) -> tuple[dict[int, Any], list[int], list[int]]:
    """What the comparison of `send` steps looks at; the hard rules are checked on the way."""
    streams: dict[int, Any] = {}
    pings: list[int] = []
    go_aways: list[int] = []
    while data:
        _, kind, flags, stream_id, length = unpack_header(data)
        data = data[12:]
        if kind == TYPES["ping"]:
            pings.append(length)
        elif kind == TYPES["go_away"]:
            go_aways.append(length)
        else:
            stream = streams.setdefault(
                stream_id, {"flags": set(), "data": b"", "credit": 0, "largest": 0, "fin": False}
            )
            assert not flags & (SYN | ACK) or not stream["data"], "SYN and ACK come first"
            assert kind != TYPES["data"] or FIN not in stream["flags"], "FIN comes last"
            stream["flags"] |= {bit for bit in FLAGS.values() if flags & bit}
            if kind == TYPES["data"]:
                stream["largest"] = max(stream["largest"], length)
                stream["fin"] |= bool(flags & FIN and length)
                stream["data"] += data[:length]
                data = data[length:]
            else:
                stream["credit"] += length
    return streams, pings, go_aways


CUT_BYTES = 8192
"""At each end of what is fed, that many bytes are cut into pieces."""


class Driver:
    """Runs the steps of a trace on a session."""

    def __init__(self, trace: dict[str, Any], cut: int | None) -> None:
        config = {"max_stream_window_size": 262144} | trace.get("config", {})
        self.session = Session(client=trace["role"] == "client", config=Config(**config))
        self.cut = cut
        self.streams: dict[int, Any] = {}
        self.told: list[dict[str, Any]] = []

    def run(self, step: dict[str, Any]) -> None:
        action = next(iter(step))
        getattr(self, action)(step[action], step)
        self.note(self.session.take_events())

    def note(self, events: list[SessionEvent]) -> None:
        for event in events:
            match event:
                case StreamOpened():
                    self.streams[event.stream.id] = event.stream
                    self.told.append({"opened": event.stream.id})
                case DataReceived():
                    last = self.told[-1] if self.told else {}
                    if last.get("data") == event.stream.id:
                        last["payload"] += event.data
                    else:
                        self.told.append({"data": event.stream.id, "payload": bytearray(event.data)})
                case StreamAcknowledged() | StreamEnded() | StreamWasReset():
                    self.told.append({NAMES[type(event)]: event.stream.id})
                case GoAwayReceived():
                    self.told.append({"go_away": event.code})
                case SessionEnded():
                    broken = isinstance(event.error, ProtocolViolation)
                    self.told.append({"session_ended": "violation" if broken else "closed"})

    def feed(self, data: bytes) -> None:
        """Feed bytes in pieces; of a payload that takes long so, the middle as a whole."""
        size = self.cut or len(data)
        start = 0
        while start < len(data):
            end = max(start + size, len(data) - CUT_BYTES) if start >= CUT_BYTES else start + size
            self.note(self.session.receive_data(data[start:end]))
            start = end

    def receive(self, frames: list[dict[str, Any]], _: object) -> None:
        self.feed(b"".join(map(encode, frames)))

    def receive_hex(self, text: str, _: object) -> None:
        self.feed(bytes.fromhex(text))

    def receive_eof(self, *_: object) -> None:
        self.note(self.session.receive_eof())

    def open(self, stream_id: int, _: object) -> None:
        stream = self.session.open()
        assert stream.id == stream_id
        self.streams[stream_id] = stream

    def open_fails(self, *_: object) -> None:
        with pytest.raises(SessionClosed):
            self.session.open()

    def accept(self, stream_id: int, _: object) -> None:
        self.session.accept(self.streams[stream_id])

    def write(self, stream_id: int, step: dict[str, Any]) -> None:
        self.session.send(self.streams[stream_id], payload(step["payload"]))

    def end(self, stream_id: int, _: object) -> None:
        self.session.end(self.streams[stream_id])

    def reset(self, stream_id: int, _: object) -> None:
        self.session.reset(self.streams[stream_id])

    def read(self, stream_id: int, step: dict[str, Any]) -> None:
        self.session.consume(self.streams[stream_id], step["bytes"])

    def go_away(self, *_: object) -> None:
        self.session.go_away()

    def events(self, expected: list[dict[str, Any]], _: object) -> None:
        told, self.told = self.told, []
        assert told == [
            event | {"payload": payload(event["payload"])} if "payload" in event else event for event in expected
        ]

    def send(self, frames: list[dict[str, Any]], _: object) -> None:
        self.session.flush_deferred()
        sent = b"".join(self.session.data_to_send(2**32))
        streams, *control = normal_form(sent)
        expected, *expected_control = normal_form(b"".join(map(encode, frames)))
        assert all(stream.pop("largest") <= MAX_LONE_FRAME for stream in streams.values())
        assert not any(stream.pop("fin") for stream in streams.values())
        for stream in expected.values():
            del stream["largest"], stream["fin"]
        assert (streams, control) == (expected, expected_control)


@pytest.mark.parametrize("frame", FRAMES, ids=lambda frame: frame["name"])
def test_header(frame: dict[str, Any]) -> None:
    fields = tuple(frame[name] for name in ("version", "type", "flags", "stream", "length"))
    assert unpack_header(bytes.fromhex(frame["hex"])) == fields
    if frame.get("error"):
        events = Session(client=False).receive_data(bytes.fromhex(frame["hex"]))
        assert [type(event) for event in events] == [SessionEnded]
    else:
        assert pack_header(*fields[1:]).hex() == frame["hex"]


@pytest.mark.parametrize("cut", [None, 1, 7], ids=["whole", "byte by byte", "in sevens"])
@pytest.mark.parametrize("trace", SESSIONS, ids=lambda trace: trace["name"])
def test_session(trace: dict[str, Any], cut: int | None) -> None:
    driver = Driver(trace, cut)
    for step in trace["steps"]:
        driver.run(step)
