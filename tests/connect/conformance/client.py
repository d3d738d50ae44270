"""The client under test: our client over `httpx.AsyncClient`, or with `--socket` over our own `SocketClient`."""

from __future__ import annotations

import asyncio
import ssl
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from connectrpc.conformance.v1 import client_compat_pb2 as compat
from connectrpc.conformance.v1 import config_pb2 as config
from connectrpc.conformance.v1 import service_pb2 as pb
from connectrpc.conformance.v1.service_connect import ConformanceClient
from wire import from_error, from_fields, read, stdin, to_fields, write

from plugmux.connect import Context, Kind, Metadata, RpcError, RpcLimits
from plugmux.errors import StreamClosed

PARALLEL = 8
COMPRESSIONS = {
    config.COMPRESSION_GZIP: "gzip",
    config.COMPRESSION_BR: "br",
    config.COMPRESSION_ZSTD: "zstd",
}


def tls(request: Any) -> ssl.SSLContext | None:
    if not request.server_tls_cert:
        return None
    context = ssl.create_default_context(cadata=request.server_tls_cert.decode())
    if request.HasField("client_tls_creds"):
        with tempfile.TemporaryDirectory() as folder:
            cert, key = Path(folder, "cert.pem"), Path(folder, "key.pem")
            cert.write_bytes(request.client_tls_creds.cert)
            key.write_bytes(request.client_tls_creds.key)
            context.load_cert_chain(cert, key)
    return context


class Transports:
    """One transport for each server that the suite runs."""

    def __init__(self) -> None:
        self._made: dict[Any, Any] = {}

    def get(self, request: Any) -> Any:
        key = (request.host, request.port, request.client_tls_creds.cert)
        if key not in self._made:
            context = tls(request)
            url = f"{'http' if context is None else 'https'}://{request.host}:{request.port}"
            if "--socket" in sys.argv:
                from plugmux.http import SocketClient

                self._made[key] = SocketClient(url, ssl_context=context)
            else:
                import httpx

                self._made[key] = httpx.AsyncClient(base_url=url, verify=context or False)
        return self._made[key]


class Case:
    """One call that the suite asks for."""

    def __init__(self, request: Any, transport: Any) -> None:
        self.request = request
        self.context = Context()
        self.result = compat.ClientResponseResult()
        compression = COMPRESSIONS.get(request.compression)
        self.client = ConformanceClient(
            transport,
            codec="json" if request.codec == config.CODEC_JSON else "proto",
            compression=compression,
            accept=[compression] if compression else [],
            compress_min=0,
            limits=RpcLimits(receive=request.message_receive_limit) if request.message_receive_limit else None,
            get=request.use_get_http_method,
        )
        self.method = next(m for m in self.client.spec.methods if m.name == request.method)
        self.messages = [self.method.request.FromString(message.value) for message in request.request_messages]
        headers = Metadata()
        headers.raw.extend(to_fields(request.request_headers))
        timeout = request.timeout_ms / 1000 if request.HasField("timeout_ms") else None
        self.options: dict[str, Any] = {"timeout": timeout, "headers": headers, "context": self.context}

    @property
    def cancel_after(self) -> float | None:
        """Seconds from the end of the requests to the cancellation, where time tells when to cancel."""
        cancel = self.request.cancel
        if not self.request.HasField("cancel") or cancel.WhichOneof("cancel_timing") in {
            "before_close_send",
            "after_num_responses",
        }:
            return None
        return cancel.after_close_send_ms / 1000

    @property
    def before_close(self) -> bool:
        return self.request.cancel.WhichOneof("cancel_timing") == "before_close_send"

    async def run(self) -> Any:
        function = getattr(self.client, self.method.attribute)
        calls = {
            Kind.UNARY: self.unary,
            Kind.SERVER_STREAM: self.server_stream,
            Kind.CLIENT_STREAM: self.client_stream,
            Kind.BIDI_STREAM: self.bidi_stream,
        }
        try:
            await calls[self.method.kind](function)
        except RpcError as error:
            self.result.error.CopyFrom(from_error(error))
        except asyncio.CancelledError:
            self.result.error.CopyFrom(pb.Error(code=config.CODE_CANCELED, message="cancelled by the client"))
        self.result.response_headers.extend(from_fields(self.context.response_headers.raw))
        self.result.response_trailers.extend(from_fields(self.context.response_trailers.raw))
        return self.result

    def cancel_later(self, seconds: float | None) -> None:
        if seconds is not None:
            task = asyncio.current_task()
            assert task is not None
            asyncio.get_running_loop().call_later(seconds, task.cancel)

    async def unary(self, function: Any) -> None:
        self.cancel_later(self.cancel_after)
        reply = await function(self.messages[0], **self.options)
        if hasattr(reply, "payload"):
            self.result.payloads.append(reply.payload)

    async def server_stream(self, function: Any) -> None:
        async with function(self.messages[0], **self.options) as stream:
            self.cancel_later(self.cancel_after)
            await self.read(stream)

    async def client_stream(self, function: Any) -> None:
        sent = 0

        task = asyncio.current_task()
        assert task is not None

        async def requests() -> AsyncIterator[Any]:
            nonlocal sent
            for message in self.messages:
                await asyncio.sleep(self.request.request_delay_ms / 1000)
                yield message
                sent += 1
            if self.before_close:
                task.cancel()
                await asyncio.Event().wait()
            if self.cancel_after is not None:
                asyncio.get_running_loop().call_later(self.cancel_after, task.cancel)

        try:
            reply = await function(requests(), **self.options)
            self.result.payloads.append(reply.payload)
        finally:
            self.result.num_unsent_requests = len(self.messages) - sent

    async def bidi_stream(self, function: Any) -> None:
        full_duplex = self.request.stream_type == config.STREAM_TYPE_FULL_DUPLEX_BIDI_STREAM
        async with function(**self.options) as call:
            for i, message in enumerate(self.messages):
                await asyncio.sleep(self.request.request_delay_ms / 1000)
                try:
                    await call.send(message)
                except StreamClosed:
                    self.result.num_unsent_requests = len(self.messages) - i
                    break
                if full_duplex:
                    await self.read(call, 1)
            if self.before_close:
                raise asyncio.CancelledError
            await call.close_send()
            self.cancel_later(self.cancel_after)
            await self.read(call)

    async def read(self, stream: Any, count: int | None = None) -> None:
        limit = self.request.cancel.after_num_responses
        while count is None or count > 0:
            reply = await anext(stream, None)
            if reply is None:
                return
            self.result.payloads.append(reply.payload)
            if limit and len(self.result.payloads) == limit:
                raise asyncio.CancelledError
            count = None if count is None else count - 1


async def answer(request: Any, transports: Transports, places: asyncio.Semaphore) -> None:
    response = compat.ClientCompatResponse(test_name=request.test_name)
    async with places:
        try:
            case = asyncio.ensure_future(Case(request, transports.get(request)).run())
            response.response.CopyFrom(await case)
        except Exception as error:
            import traceback

            traceback.print_exc()
            response.error.message = f"{type(error).__name__}: {error}"
    write(response)


async def main() -> None:
    reader, transports, places = await stdin(), Transports(), asyncio.Semaphore(PARALLEL)
    async with asyncio.TaskGroup() as tasks:
        while (request := await read(reader, compat.ClientCompatRequest)) is not None:
            tasks.create_task(answer(request, transports, places))


asyncio.run(main())
