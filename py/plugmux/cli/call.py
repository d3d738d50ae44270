"""`plugmux call SERVICE/METHOD [JSON]`: any RPC, with JSON in and out.

Connect speaks JSON itself, so that no schema is needed: the messages pass through as they are. Whether a method streams
is found by calling it: a Connect server refuses the content type of the other kind, with 415, before the method runs.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError
from .target import Target, add_target_options, open_target

if TYPE_CHECKING:
    from ..connect import RpcError
    from ..exchange import ClientTransport

__all__ = ["add", "run"]

METHOD = re.compile(r"/?(?P<service>[A-Za-z_][\w.]*)/(?P<method>[A-Za-z_]\w*)", re.ASCII)
LIMIT = 64 << 20
"""Bytes that one message may have; the command holds one at a time."""

OK = 200
UNSUPPORTED_MEDIA_TYPE = 415
PROTOCOL = (b"connect-protocol-version", b"1")


def add(commands: Any) -> argparse.ArgumentParser:
    """Declare the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "call",
        help="call an RPC of a plugin",
        description="Call any RPC with JSON in and out. Each message of the answer is one line.",
        allow_abbrev=False,
    )
    parser.add_argument("method", metavar="SERVICE/METHOD", help="for example kv.v1.KeyValueService/Get")
    parser.add_argument(
        "json",
        metavar="JSON",
        nargs="?",
        default="{}",
        help='the request; "{}" by default, "-" reads stdin; several, one behind the other, for a method that takes a '
        "stream",
    )
    add_target_options(parser)
    parser.add_argument("--name", metavar="PLUGIN", help="the plugin to call, where several serve the service")
    return parser


async def run(options: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    from ..connect import RpcError

    named = METHOD.fullmatch(options.method)
    if named is None:
        raise ConfigError(f"{options.method!r} is not of the form SERVICE/METHOD, as kv.v1.KeyValueService/Get is")
    requests = _messages(sys.stdin.read() if options.json == "-" else options.json)
    async with open_target(options) as target:
        transport = target.transport(options.name or await _only_plugin(target, named["service"]))
        path = f"/{named['service']}/{named['method']}"
        try:
            async for message in _call(transport, path, requests):
                print(json.dumps(message, ensure_ascii=False, separators=(",", ":")), flush=True)
        except RpcError as error:
            print(f"plugmux: {path[1:]}: {error}", file=sys.stderr)
            return 1
    return 0


def _messages(text: str) -> list[object]:
    """The JSON values in a text, one behind the other."""
    decoder, messages, at = json.JSONDecoder(), [], 0
    text = text.strip()
    while at < len(text):
        try:
            message, at = decoder.raw_decode(text, at)
        except ValueError as error:
            raise ConfigError(f"the request is not JSON: {error}") from None
        messages.append(message)
        at += len(text[at:]) - len(text[at:].lstrip())
    return messages


async def _only_plugin(target: Target, service: str) -> str | None:
    """The plugin that serves a service; `None` where none does, since the runtime may serve it itself."""
    serving = [plugin.name for plugin in await target.plugins() if service in plugin.services]
    if len(serving) > 1:
        raise ConfigError(f"{', '.join(serving)} all serve {service}; choose one with --name")
    return serving[0] if serving else None


async def _call(transport: ClientTransport, path: str, requests: Sequence[object]) -> AsyncIterator[object]:
    """The messages of the answer, as they come.

    Raises:
        RpcError: the call failed.
    """
    if len(requests) == 1 and (answer := await _call_unary(transport, path, requests[0])) is not None:
        yield answer[0]
        return
    async for message in _call_stream(transport, path, requests):
        yield message


async def _call_unary(transport: ClientTransport, path: str, request: object) -> tuple[object] | None:
    """The answer of a unary method; `None` where the method is not one."""
    from ..exchange import Request

    headers = [(b"content-type", b"application/json"), PROTOCOL]
    response = await transport.fetch(Request(path, headers, json.dumps(request).encode()), LIMIT)
    if response.status == UNSUPPORTED_MEDIA_TYPE:
        return None
    if response.status != OK:
        raise _error(response.status, response.body)
    return (_parsed(response.body),)


async def _call_stream(transport: ClientTransport, path: str, requests: Iterable[object]) -> AsyncIterator[object]:
    from ..connect import Code, RpcError
    from ..connect.envelope import END_STREAM, EnvelopeReader, EnvelopeTooLarge, envelope
    from ..exchange import Request

    headers = [(b"content-type", b"application/connect+json"), PROTOCOL]
    body = b"".join(envelope(json.dumps(request).encode()) for request in requests)
    response = await transport.send(Request(path, headers, body))
    try:
        if response.status != OK:
            raise _error(response.status, b"".join([chunk async for chunk in response])[:LIMIT])
        reader = EnvelopeReader(LIMIT)
        async for chunk in response:
            for flags, data in reader.feed(chunk):
                if flags & END_STREAM:
                    _end(data)
                    return
                yield _parsed(data)
    except EnvelopeTooLarge as error:
        raise RpcError(Code.RESOURCE_EXHAUSTED, f"a message of {error.size} bytes was announced") from None
    finally:
        await response.aclose()
    raise _broken("the stream broke off before its end")


def _end(data: bytes) -> None:
    from ..connect import Code
    from ..connect.error import error_from_json

    end = _parsed(data)
    if isinstance(end, dict) and end.get("error") is not None:
        raise error_from_json(end["error"], Code.UNKNOWN)


def _error(status: int, body: bytes) -> RpcError:
    from ..connect import Code, RpcError
    from ..connect.error import error_from_json

    try:
        return error_from_json(json.loads(body), Code.from_http(status))
    except ValueError:
        text = body.decode("utf-8", "replace").strip()
        return RpcError(Code.from_http(status), text or f"HTTP status {status}")


def _parsed(data: bytes) -> object:
    try:
        return json.loads(data)
    except ValueError:
        raise _broken("the answer is not JSON") from None


def _broken(message: str) -> RpcError:
    from ..connect import Code, RpcError

    return RpcError(Code.INTERNAL, message)
