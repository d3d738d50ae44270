"""The plugin of tests of `plugmux.testing`: a key-value store that reports to its host."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from kv.v1.kv_connect import AuditClient, AuditService, KeyValueService
from kv.v1.kv_pb2 import (
    GetRequest,
    GetResponse,
    PutRequest,
    PutResponse,
    RecordRequest,
    RecordResponse,
    WatchRequest,
    WatchResponse,
)

from plugmux import Plugin
from plugmux.connect import Code, Context, RpcError
from plugmux.link.link import Link


class Store(KeyValueService):
    def __init__(self, **values: bytes) -> None:
        self.values = dict(values)
        self.slow = 0.0

    async def get(self, request: GetRequest, context: Context) -> GetResponse:
        await asyncio.sleep(self.slow)
        if request.key not in self.values:
            raise RpcError(Code.NOT_FOUND, f"no key {request.key}")
        return GetResponse(value=self.values[request.key])

    async def put(self, request: PutRequest, context: Context) -> PutResponse:
        self.values[request.key] = request.value
        audit = Link.of(context).client(AuditClient)
        await audit.record(RecordRequest(plugin="kv", event=f"put {request.key}"))
        return PutResponse()

    async def watch(self, request: WatchRequest, context: Context) -> AsyncIterator[WatchResponse]:
        for value in (b"1", b"2", b"3"):
            yield WatchResponse(value=value)


class Audit(AuditService):
    async def record(self, request: RecordRequest, context: Context) -> RecordResponse:
        return RecordResponse()


def kv_plugin(**values: bytes) -> Plugin:
    return Plugin(Store(**values), name="kv", version="v1.0.0")
