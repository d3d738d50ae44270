"""HTTP/1.1 and Connect by hand: requests in, answers out."""

from __future__ import annotations

import asyncio
import json
import os
import sys

from peer import FAULT, JSON, LONGEST, PROTO, STATUSES, CallError, parse, read_fields

END = 2
CHUNK = 65536


class Server:
    """Serves the streams of a link.

    Args:
        unary: handlers by path: from a dictionary to protobuf and to JSON.
        streams: handlers by path: from the messages to the messages.
        names: the names of the fields of requests, by path and number.
    """

    def __init__(self, unary, streams, names):
        self.unary, self.streams, self.names = unary, streams, names
        self.registered = asyncio.Event()
        self.active = 0
        self.shut_down = 0

    async def __call__(self, stream):
        self.active += 1
        try:
            await self.serve(stream)
        except ValueError:
            if FAULT == "load.bad-http":
                stream.link.fail()
            await respond(stream, 400, "text/plain", b"this is not HTTP")
        except ConnectionError:
            stream.close()
        finally:
            self.active -= 1

    async def serve(self, stream):
        if FAULT == "load.slow-body" and self.registered.is_set() and b"\r\n\r\n" not in stream.data:
            await respond(stream, 400, "text/plain", b"in a hurry")
            return
        words = (await stream.read_line()).decode("latin-1").split(" ")
        if len(words) != 3 or words[2] != "HTTP/1.1":
            raise ValueError("no request line")
        _, fields = await read_fields(stream)
        method, path, _ = words
        kind = fields.get("content-type", "").partition(";")[0]
        await self.pass_gate(path)
        if path == "/health":
            if FAULT == "health.under-load" and self.active > 1:
                await asyncio.Event().wait()
            await respond(stream, 200, "text/plain", b"fine" if FAULT == "health.get" else b"ok")
        elif path in self.streams and kind.startswith("application/connect+"):
            await self.stream(stream, path, fields, kind)
        else:
            await self.call(stream, method, path, fields, kind)

    async def pass_gate(self, path):
        if path == "/health" and FAULT != "gate.health":
            return
        if path.endswith("/Shutdown") and FAULT != "gate.shutdown":
            return
        if FAULT != "gate.holds":
            await self.registered.wait()

    async def call(self, stream, method, path, fields, kind):
        try:
            if path not in self.unary:
                own = path.startswith("/resolver.v1")
                if ("calls.unknown-method" if own else "calls.unknown-service") == FAULT:
                    await respond(stream, 200, PROTO, b"")
                    return
                raise CallError("unimplemented", "there is no such method")
            if method != "POST" and FAULT != "calls.http-method":
                await respond(stream, 405, "text/plain", b"")
                return
            if kind not in (PROTO, JSON) and FAULT != "calls.content-type":
                await respond(stream, 415, "text/plain", b"")
                return
            if kind == JSON and FAULT == "calls.json":
                await respond(stream, 415, "text/plain", b"")
                return
            limit = None if FAULT == "load.deadline" else fields.get("connect-timeout-ms")
            async with asyncio.timeout(int(limit) / 1000 if limit else None):
                body = await read_body(stream, fields)
                request = self.read(path, body, kind)
                proto, said = await self.unary[path](request)
            answer = json.dumps(said).encode() if kind == JSON else proto
            wrong = FAULT == "calls.unary" and path.startswith("/echo.")
            await respond(stream, 200, "text/html" if wrong else kind, answer)
        except TimeoutError:
            await self.fail(stream, CallError("deadline_exceeded"))
        except CallError as error:
            await self.fail(stream, error)

    async def fail(self, stream, error):
        plain = error.code == "invalid_argument" and FAULT in ("calls.bad-message", "calls.bad-json")
        await respond(stream, STATUSES[error.code], "text/plain" if plain else JSON, error.body)

    def read(self, path, body, kind):
        """A request as a dictionary."""
        try:
            if kind == JSON:
                request = json.loads(body)
                if isinstance(request, dict):
                    return request
                raise ValueError("no object")
            names, found = self.names[path], parse(body)
            if FAULT == "calls.unknown-fields" and found.keys() - names.keys():
                raise CallError("invalid_argument", "unknown fields")
            request = {names[number]: values[-1] for number, values in found.items() if number in names}
            return {name: v.decode("utf-8") if name != "data" else v for name, v in request.items()}
        except (ValueError, CallError, AttributeError):
            if FAULT == "hygiene.requests":
                print("cannot read", body, file=sys.stderr, flush=True)
            code = "internal" if FAULT == "calls.bad-message-code" else "invalid_argument"
            raise CallError(code, "the request cannot be read") from None

    async def stream(self, stream, path, fields, kind):
        if FAULT == "calls.bidi" and path.endswith("/Chat"):
            await respond(stream, 505, "text/plain", b"")
            return
        head = f"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nContent-Type: {kind}\r\n\r\n"
        await stream.write(head.encode())
        end, limit = {}, fields.get("connect-timeout-ms")
        try:
            async with asyncio.timeout(int(limit) / 1000 if limit else None):
                async for message in self.streams[path](read_messages(stream, fields)):
                    await write_chunk(stream, b"\0" + len(message).to_bytes(4, "big") + message)
        except TimeoutError:
            end = {"error": {"code": "deadline_exceeded"}}
        except CallError as error:
            end = {"error": json.loads(error.body)}
        if not (FAULT == "calls.server-stream" and path.endswith("/Repeat")):
            data = json.dumps(end).encode()
            await write_chunk(stream, bytes([END]) + len(data).to_bytes(4, "big") + data)
        await stream.write(b"0\r\n\r\n")
        stream.close()


async def respond(stream, status, kind, body):
    if FAULT == "hygiene.descriptors":
        os.dup(2)
    head = f"HTTP/1.1 {status} Some\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    await stream.write(head.encode() + body)
    stream.close()


async def write_chunk(stream, data):
    await stream.write(b"%x\r\n%s\r\n" % (len(data), data))


async def read_pieces(stream, fields):
    """The body of a request, as it comes."""
    if fields.get("transfer-encoding", "").lower() == "chunked":
        if FAULT == "calls.chunked":
            raise CallError("internal", "no length")
        while size := int((await stream.read_line()).partition(b";")[0], 16):
            yield await stream.read(size)
            await stream.read(2)
        await read_fields(stream)
        return
    left = int(fields.get("content-length", 0))
    if left > LONGEST and FAULT != "load.limit":
        raise CallError("resource_exhausted", f"{LONGEST} bytes are the most")
    while left:
        size = min(left, CHUNK)
        yield await stream.read(size)
        left -= size


async def read_body(stream, fields):
    body = bytearray()
    async for piece in read_pieces(stream, fields):
        body += piece
        if len(body) > LONGEST and FAULT != "load.limit":
            raise CallError("resource_exhausted", f"{LONGEST} bytes are the most")
    return bytes(body)


async def read_messages(stream, fields):
    """The messages in the envelopes of a body."""
    held = bytearray()
    async for piece in read_pieces(stream, fields):
        held += piece
        while len(held) >= 5 and len(held) >= 5 + (size := int.from_bytes(held[1:5], "big")):
            yield bytes(held[5 : 5 + size])
            del held[: 5 + size]
