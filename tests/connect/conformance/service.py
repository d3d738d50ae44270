"""The service that the suite calls: it answers as each request's response definition says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any
from urllib.parse import parse_qsl

from connectrpc.conformance.v1 import service_pb2 as pb
from connectrpc.conformance.v1.service_connect import ConformanceService
from google.protobuf.any_pb2 import Any as AnyMessage
from wire import from_fields, to_error, to_fields

from plugmux.connect import Context


def request_info(context: Context, requests: Sequence[Any]) -> Any:
    info = pb.ConformancePayload.RequestInfo(request_headers=from_fields(context.request_headers.raw))
    if context.time_left is not None:
        info.timeout_ms = int(context.time_left * 1000)
    for request in requests:
        info.requests.append(as_any(request))
    if context.http_method == "GET":
        params = [(name, value) for name, value in parse_qsl(context.query, keep_blank_values=True)]
        info.connect_get_info.query_params.extend(from_fields(params))
    return info


def as_any(message: Any) -> AnyMessage:
    any_message = AnyMessage()
    any_message.Pack(message)
    return any_message


async def payload_of(definition: Any, context: Context, requests: Sequence[Any]) -> Any:
    """The payload of the one response that a definition asks for; raises where it asks for an error."""
    context.response_headers.raw.extend(to_fields(definition.response_headers))
    context.response_trailers.raw.extend(to_fields(definition.response_trailers))
    info = request_info(context, requests)
    await asyncio.sleep(definition.response_delay_ms / 1000)
    if definition.HasField("error"):
        raise to_error(definition.error, [info])
    return pb.ConformancePayload(data=definition.response_data, request_info=info)


class Conformance(ConformanceService):
    async def unary(self, request: Any, context: Context) -> Any:
        return pb.UnaryResponse(payload=await payload_of(request.response_definition, context, [request]))

    async def idempotent_unary(self, request: Any, context: Context) -> Any:
        return pb.IdempotentUnaryResponse(payload=await payload_of(request.response_definition, context, [request]))

    async def server_stream(self, request: Any, context: Context) -> AsyncIterator[Any]:
        definition = request.response_definition
        info = request_info(context, [request])
        async for payload in payloads(definition, definition.response_data, context, info):
            yield pb.ServerStreamResponse(payload=payload)

    async def client_stream(self, requests: AsyncIterator[Any], context: Context) -> Any:
        received = [request async for request in requests]
        definition = received[0].response_definition if received else pb.UnaryResponseDefinition()
        return pb.ClientStreamResponse(payload=await payload_of(definition, context, received))

    async def bidi_stream(self, requests: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
        first = await anext(requests, None)
        if first is None:
            return
        definition, received, data = first.response_definition, [first], list(first.response_definition.response_data)
        if not first.full_duplex:
            received += [request async for request in requests]
            async for payload in payloads(definition, data, context, request_info(context, received)):
                yield pb.BidiStreamResponse(payload=payload)
            return
        info = request_info(context, received)
        async for payload in payloads(definition, data, context, info):
            yield pb.BidiStreamResponse(payload=payload)
            if (request := await anext(requests, None)) is not None:
                info.Clear()
                info.requests.append(as_any(request))


async def payloads(definition: Any, data: Sequence[bytes], context: Context, info: Any) -> AsyncIterator[Any]:
    """The payloads of a stream: the first tells of the request, and where there is none the error does."""
    context.response_headers.raw.extend(to_fields(definition.response_headers))
    context.response_trailers.raw.extend(to_fields(definition.response_trailers))
    for i, piece in enumerate(data):
        await asyncio.sleep(definition.response_delay_ms / 1000)
        yield pb.ConformancePayload(data=piece, request_info=info if i == 0 else None)
    if definition.HasField("error"):
        raise to_error(definition.error, [] if data else [info])
