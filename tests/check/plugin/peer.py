"""The wire by hand, of the standard library alone: yamux, HTTP/1.1, and the little of protobuf that a plugin needs.

It has no line in common with what it is to try. `FAULT` is the id of the one check that the plugin does not pass.
"""

from __future__ import annotations

import asyncio
import json
import struct
import sys

FAULT = sys.argv[1] if len(sys.argv) > 1 else ""
DATA, CREDIT, PING, GO_AWAY = range(4)
SYN, ACK, FIN, RST = 1, 2, 4, 8
WINDOW = 256 * 1024
LONGEST = 16 * 1024 * 1024
HEAD = struct.Struct(">BBHII")
PROTO, JSON = "application/proto", "application/json"
STATUSES = {"invalid_argument": 400, "not_found": 404, "unimplemented": 404, "deadline_exceeded": 504, "unknown": 500}
STATUSES |= {"resource_exhausted": 429, "unavailable": 503, "internal": 500}


class CallError(Exception):
    """A call fails."""

    def __init__(self, code, message=""):
        super().__init__(message)
        self.code = code
        if FAULT == "hygiene.error-text":
            message = f'Traceback (most recent call last):\n  File "{__file__}", line 1\n{message}'
        self.body = json.dumps({"code": code, "message": message}).encode()


class Stream:
    def __init__(self, link, number):
        self.link, self.number = link, number
        self.data, self.finished, self.reset = bytearray(), False, False
        self.window, self.received, self.total = WINDOW, 0, 0
        self.changed = asyncio.Event()

    async def more(self):
        """Wait for something to come; raises where nothing can."""
        if self.reset or (self.finished and FAULT != "yamux.half-close"):
            raise ConnectionError("the stream has ended")
        self.changed.clear()
        await self.changed.wait()
        if self.reset:
            raise ConnectionError("the stream was reset")

    async def read(self, size):
        while len(self.data) < size:
            await self.more()
            self.credit()
        piece = bytes(self.data[:size])
        del self.data[:size]
        self.credit()
        return piece

    async def read_line(self):
        while (end := self.data.find(b"\r\n")) < 0:
            if FAULT == "load.long-head":
                self.credit()
            elif len(self.data) > 65536:
                raise ValueError("a long line")
            await self.more()
        return (await self.read(end + 2))[:-2]

    def credit(self):
        self.total += self.received
        stops = FAULT == "yamux.credit" or (FAULT == "load.large" and self.total > 32 << 20)
        if self.received and not stops:
            self.link.send(CREDIT, 0, self.number, self.received)
            self.received = 0

    async def write(self, data):
        view = memoryview(data)
        while view:
            while not self.window and FAULT != "yamux.send-window":
                await self.more_window()
            piece = view[: (self.window if FAULT != "yamux.send-window" else len(view))][:65536]
            view = view[len(piece) :]
            self.window = max(0, self.window - len(piece))
            self.link.send(DATA, 0, self.number, len(piece), bytes(piece))
            await self.link.drained.wait()

    async def more_window(self):
        self.changed.clear()
        await self.changed.wait()
        if self.reset:
            raise ConnectionError("the stream was reset")

    def close(self):
        if FAULT in ("load.ends-stream", "registration.ends-stream"):
            return
        self.link.send(CREDIT, FIN, self.number, 0)
        if self.finished:
            self.link.streams.pop(self.number, None)

    def abort(self):
        self.link.send(CREDIT, RST, self.number, 0)
        self.link.streams.pop(self.number, None)


class Link(asyncio.Protocol):
    """The plugin's end: `serve(stream)` is run for each stream that the runtime opens."""

    def __init__(self, serve):
        self.serve = serve
        self.streams, self.tasks = {}, set()
        self.buffer = bytearray()
        self.next_id = 2 if FAULT == "yamux.odd-streams" else 1
        self.ended = asyncio.Event()
        self.drained = asyncio.Event()
        self.drained.set()
        self.transport = None

    def connection_made(self, transport):
        if self.transport is None or hasattr(transport, "write"):
            self.transport = transport

    def connection_lost(self, error):
        self.ended.set()
        for stream in list(self.streams.values()):
            stream.reset = True
            stream.changed.set()

    def eof_received(self):
        self.ended.set()

    def pause_writing(self):
        self.drained.clear()

    def resume_writing(self):
        self.drained.set()

    def send(self, kind, flags, stream, length, payload=b""):
        if not self.transport.is_closing():
            self.transport.write(HEAD.pack(0, kind, flags, stream, length) + payload)

    def fail(self):
        self.send(GO_AWAY, 0, 0, 1)
        self.transport.close()

    def data_received(self, data):
        if FAULT == "yamux.split-frames" and len(data) < 12:
            self.fail()
        self.buffer += data
        while len(self.buffer) >= HEAD.size and not self.transport.is_closing():
            version, kind, flags, number, length = HEAD.unpack_from(self.buffer)
            if version != 0 and FAULT != "yamux.bad-version":
                self.fail()
                return
            size = length if kind == DATA else 0
            if kind == DATA and self.over_window(flags, number, length):
                self.fail()
                return
            if len(self.buffer) < HEAD.size + size:
                return
            payload = bytes(self.buffer[HEAD.size : HEAD.size + size])
            del self.buffer[: HEAD.size + size]
            self.take(kind, flags, number, length, payload)

    def over_window(self, flags, number, length):
        stream = self.streams.get(number)
        return (stream.received if stream else 0) + length > WINDOW and FAULT != "yamux.over-window"

    def take(self, kind, flags, number, length, payload):
        if kind == PING:
            if flags & SYN and FAULT != "yamux.ping":
                self.send(PING, ACK, 0, length)
        elif kind == GO_AWAY:
            if FAULT == "yamux.go-away":
                self.transport.close()
        elif kind > GO_AWAY:
            if FAULT != "yamux.bad-type":
                self.fail()
        else:
            self.take_stream(kind, flags, number, length, payload)

    def take_stream(self, kind, flags, number, length, payload):
        if flags & SYN:
            if (number % 2 and FAULT != "yamux.wrong-side") or (
                number in self.streams and FAULT != "yamux.twice-opened"
            ):
                self.fail()
                return
            if FAULT == "yamux.backlog" and len(self.streams) > 100:
                self.send(CREDIT, RST, number, 0)
                return
            stream = self.streams[number] = Stream(self, number)
            if FAULT == "yamux.syn-on-data" and kind == DATA:
                self.fail()
            if FAULT == "yamux.first-window" and kind == CREDIT and length:
                self.fail()
            if FAULT != "yamux.ack":
                self.send(CREDIT, ACK, number, 0)
            self.run(self.serve(stream))
        stream = self.streams.get(number)
        if stream is None:
            if FAULT == "yamux.ended-stream" and not flags & (FIN | RST):
                self.fail()
            return
        if kind == CREDIT:
            stream.window += length
        stream.data += payload
        stream.received += len(payload)
        stream.finished |= bool(flags & FIN)
        if flags & RST:
            stream.reset = True
            self.streams.pop(number, None)
            if FAULT in ("yamux.reset", "load.cancel", "load.cancel-stream"):
                self.fail()
        stream.changed.set()

    def run(self, work):
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def open(self):
        stream = self.streams[self.next_id] = Stream(self, self.next_id)
        self.next_id += 2
        self.send(CREDIT, SYN, stream.number, 0)
        return stream

    async def call(self, path, body, method="POST"):
        """Make a unary call and return the status and the body of its answer."""
        stream = self.open()
        kind = "text/plain" if FAULT == "registration.request" else PROTO
        head = f"{method} {path} HTTP/1.1\r\nHost: unix\r\nConnection: close\r\nContent-Type: {kind}\r\n"
        await stream.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        status = int((await stream.read_line()).split()[1])
        _, fields = await read_fields(stream)
        answer = await stream.read(int(fields.get("content-length", 0)))
        stream.close()
        return status, answer


async def read_fields(stream):
    fields, size = {}, 0
    while line := await stream.read_line():
        size += len(line)
        if size > 1 << 20:
            raise ValueError("a long head")
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon:
            raise ValueError("no header field")
        fields[name.strip().lower()] = value.strip()
    return size, fields


def varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def field(number, value):
    """One field: bytes or text with its length, or a whole number."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def parse(data):
    """The fields of a message, as lists by number."""
    found, at = {}, 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            if at >= len(data) or shift > 63:
                raise CallError("invalid_argument", "this is no message")
            byte, at = data[at], at + 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        key = number()
        if key & 7 == 0:
            value = number()
        elif key & 7 in (1, 2, 5):
            size = {1: 8, 5: 4}.get(key & 7) or (number() if key & 7 == 2 else 0)
            value, at = data[at : at + size], at + size
            if at > len(data):
                raise CallError("invalid_argument", "this is no message")
        else:
            raise CallError("invalid_argument", "this is no message")
        if not key >> 3:
            raise CallError("invalid_argument", "this is no message")
        found.setdefault(key >> 3, []).append(value)
    return found
