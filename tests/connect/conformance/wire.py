"""How the suite's runner and the programs under test talk: messages behind their length, on stdin and stdout."""

from __future__ import annotations

import asyncio
import struct
import sys
from collections.abc import Iterable
from typing import Any

from connectrpc.conformance.v1 import service_pb2 as pb

from plugmux.connect import Code, ErrorDetail, RpcError
from plugmux.exchange import Headers

CODES = list(Code)  # in the order of their numbers, from 1


async def stdin() -> asyncio.StreamReader:
    reader = asyncio.StreamReader(limit=1 << 24)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


async def read(reader: asyncio.StreamReader, message_type: Any) -> Any:
    """The next message, or `None` at the end."""
    try:
        (length,) = struct.unpack(">I", await reader.readexactly(4))
    except asyncio.IncompleteReadError:
        return None
    return message_type.FromString(await reader.readexactly(length))


def write(message: Any) -> None:
    data = message.SerializeToString()
    sys.stdout.buffer.write(struct.pack(">I", len(data)) + data)
    sys.stdout.buffer.flush()


def to_fields(headers: Iterable[Any]) -> list[tuple[bytes, bytes]]:
    return [(header.name.lower().encode(), value.encode()) for header in headers for value in header.value]


def from_fields(fields: Headers) -> list[Any]:
    grouped: dict[str, list[str]] = {}
    for name, value in fields:
        grouped.setdefault(name.decode(), []).append(value.decode("latin-1"))
    return [pb.Header(name=name, value=values) for name, values in grouped.items()]


def to_error(error: Any, extra: Iterable[Any] = ()) -> RpcError:
    details = [ErrorDetail.pack(detail) for detail in (*error.details, *extra)]
    return RpcError(CODES[error.code - 1], error.message, details)


def from_error(error: RpcError) -> Any:
    return pb.Error(
        code=CODES.index(error.code) + 1, message=error.message, details=[detail.to_any() for detail in error.details]
    )
