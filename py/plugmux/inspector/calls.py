"""The service of the page itself: schemas, and calls of every kind, with secrets masked."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING

from google.protobuf.descriptor import Descriptor, MethodDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet
from plugmux_proto.plugmux.v1 import inspector_pb2 as pb
from plugmux_proto.plugmux.v1.inspector_connect import InspectorService

from ..connect import Code, RpcError
from ..contract.nesting import parse_json
from ..dynamic.calls import call_stream, call_unary
from ..dynamic.schema import find_service
from ..errors import PlugmuxError
from ..exchange import ClientTransport, Request, Response, StreamingResponse
from .masking import Masker

if TYPE_CHECKING:
    from google.protobuf.descriptor import FileDescriptor

    from ..connect import Context

__all__ = ["Inspector", "Requests"]

MAX_CALLS = 64
"""Calls that may be under way for the page."""

MAX_WAITING = 1000
"""Messages that may wait to be sent on one call."""


class Inspector(InspectorService):
    """Calls plugins for the page.

    Args:
        transport: the way to the runtime.
        address: where the runtime listens, for commands that a person copies; empty if it is the page's own.
        commands: the plugins that were launched for the page.
    """

    def __init__(self, transport: ClientTransport, address: str, commands: Sequence[str]) -> None:
        self._transport = transport
        self._about = pb.AboutResponse(address=address, commands=commands)
        self._under_way: dict[str, Requests] = {}

    async def about(self, request: pb.AboutRequest, context: Context) -> pb.AboutResponse:
        return self._about

    async def get_schema(self, request: pb.GetSchemaRequest, context: Context) -> pb.GetSchemaResponse:
        found = await find_service(ToPlugin(self._transport, request.plugin), request.service)
        if found is None:
            raise RpcError(Code.UNIMPLEMENTED, f"plugin {request.plugin!r} does not tell what {request.service} is")
        return pb.GetSchemaResponse(file_descriptor_set=_files_of(found.file).SerializeToString())

    async def call(self, request: pb.CallRequest, context: Context) -> AsyncIterator[pb.CallResponse]:
        service, _, name = request.method.partition("/")
        if len(self._under_way) >= MAX_CALLS:
            raise RpcError(Code.RESOURCE_EXHAUSTED, f"{MAX_CALLS} calls are under way; end one first")
        transport = ToPlugin(self._transport, request.plugin)
        described = await find_service(transport, service)
        method = None if described is None else described.methods_by_name.get(name)
        masker = Masker(service, None if described is None else described.file.pool)
        call, requests = secrets.token_urlsafe(16), Requests(None if method is None else method.input_type, masker)
        for text in request.requests_json:
            requests.put(text)
        if not request.more:
            requests.end()
        self._under_way[call] = requests
        began = time.perf_counter()
        ended = pb.CallResponse.Ended()
        try:
            yield pb.CallResponse(begun=pb.CallResponse.Begun(call=call))
            async with asyncio.timeout(request.timeout or None):
                async with aclosing(_answers(transport, request.method, method, requests.waiting)) as answers:
                    async for answer in answers:
                        shown = masker.message(answer, None if method is None else method.output_type)
                        yield pb.CallResponse(message_json=json.dumps(shown, ensure_ascii=False))
        except TimeoutError:
            ended.code = Code.DEADLINE_EXCEEDED.value
            ended.message = f"it was not over within {request.timeout:g} s"
        except RpcError as error:
            ended.code, ended.message = error.code.value, masker.text(error.message)
            for detail in error.details:
                ended.details.add(type=detail.type_name, json=masker.detail(detail), bytes=len(detail.value))
        except PlugmuxError as error:
            ended.code, ended.message = Code.UNAVAILABLE.value, masker.text(str(error))
        finally:
            del self._under_way[call]
        ended.duration_us = int((time.perf_counter() - began) * 1e6)
        yield pb.CallResponse(ended=ended)

    async def send(self, request: pb.SendRequest, context: Context) -> pb.SendResponse:
        self._requests_of(request.call).put(request.message_json)
        return pb.SendResponse()

    async def end_requests(self, request: pb.EndRequestsRequest, context: Context) -> pb.EndRequestsResponse:
        self._requests_of(request.call).end()
        return pb.EndRequestsResponse()

    def _requests_of(self, call: str) -> Requests:
        found = self._under_way.get(call)
        if found is None:
            raise RpcError(Code.NOT_FOUND, "the call has ended")
        return found


class Requests:
    """The messages that the page sends on one call; what is secret in them is known to its masker from then on.

    Args:
        of: the descriptor of the messages, if the plugin tells what they are.
        masker: masks the answers of the call.

    Attributes:
        waiting: those that have not been sent; `None` is their end.
    """

    def __init__(self, of: Descriptor | None, masker: Masker) -> None:
        self.waiting = asyncio.Queue[object | None](MAX_WAITING)
        self._of = of
        self._masker = masker

    def put(self, text: str) -> None:
        """Send one more, given as JSON.

        Raises:
            RpcError: it is not a JSON object, or as many wait already as may.
        """
        message = _parsed(text)
        self._masker.message(message, self._of)
        self._put(message)

    def end(self) -> None:
        """Send no more.

        Raises:
            RpcError: as many wait already as may.
        """
        self._put(None)

    def _put(self, message: object | None) -> None:
        try:
            self.waiting.put_nowait(message)
        except asyncio.QueueFull:
            raise RpcError(Code.RESOURCE_EXHAUSTED, f"{MAX_WAITING} messages wait to be sent already") from None


async def _answers(
    transport: ClientTransport, name: str, method: MethodDescriptor | None, waiting: asyncio.Queue[object | None]
) -> AsyncGenerator[object, None]:
    """The messages of the answer, as they come.

    Raises:
        RpcError: the call failed.
    """
    streams = method is not None and (method.client_streaming or method.server_streaming)
    if not streams:
        request = await waiting.get()
        answer = await call_unary(transport, f"/{name}", {} if request is None else request)
        if answer is None:
            raise RpcError(Code.UNIMPLEMENTED, "the method takes or gives a stream, and its plugin does not tell which")
        yield answer[0]
        return
    async for message in call_stream(transport, f"/{name}", _until_none(waiting)):
        yield message


async def _until_none(waiting: asyncio.Queue[object | None]) -> AsyncIterator[object]:
    while (message := await waiting.get()) is not None:
        yield message


def _parsed(text: str) -> object:
    try:
        message = parse_json(text or "{}")
    except ValueError as error:
        raise RpcError(Code.INVALID_ARGUMENT, f"the message is not JSON: {error}") from None
    if message is None:
        raise RpcError(Code.INVALID_ARGUMENT, "the message is null; it must be a JSON object")
    return message


def _files_of(file: FileDescriptor) -> FileDescriptorSet:
    """A file and all that it imports, each behind what it imports itself."""
    ordered: dict[str, FileDescriptorProto] = {}

    def add(each: FileDescriptor) -> None:
        if each.name not in ordered:
            for imported in each.dependencies:
                add(imported)
            proto = ordered[each.name] = FileDescriptorProto()
            each.CopyToProto(proto)
            for message in proto.message_type:
                _name_fields(message)

    add(file)
    return FileDescriptorSet(file=ordered.values())


def _name_fields(message: DescriptorProto) -> None:
    """Give every field its name in JSON. Generated code leaves it out where it follows from the field's name."""
    for field in message.field:
        if not field.json_name:
            first, *words = field.name.split("_")
            field.json_name = first + "".join(word[:1].upper() + word[1:] for word in words)
    for inner in message.nested_type:
        _name_fields(inner)


class ToPlugin:
    """The transport to one plugin of a runtime that listens on a socket.

    Args:
        transport: the way to the runtime.
        plugin: the plugin's name.
    """

    def __init__(self, transport: ClientTransport, plugin: str) -> None:
        self._transport = transport
        self._header = (b"plugmux-plugin", plugin.encode())

    async def fetch(self, request: Request, limit: int) -> Response:
        return await self._transport.fetch(self._named(request), limit)

    async def send(self, request: Request) -> StreamingResponse:
        return await self._transport.send(self._named(request))

    def _named(self, request: Request) -> Request:
        return replace(request, headers=[*request.headers, self._header])
