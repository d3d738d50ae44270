"""A plugin that tells its host what becomes of its handlers, by the host's AuditService; see probe.go and probe.ts.

Get     "alive" answers; "time" gives the milliseconds left; "wait" waits to be cancelled; "forward" waits for the host,
        in a call of its own; "open NAME" sends "hello" on a raw stream of the host and gives what comes back.
Watch   "wait" gives one value and waits to be cancelled, "flood" gives values of 64 KiB until it is.
Sum     and Running: "refuse" fails at once, "wait" waits to be cancelled, "forward" lets the host answer.
Streams "echo" gives back what comes, "sha256" the digest of it all, and "reset" resets the stream at the first byte.
"""

import asyncio
import hashlib

from kv.v1.kv_connect import AuditClient, KeyValueService
from kv.v1.kv_pb2 import GetResponse, RecordRequest, WatchResponse
from sum.v1.sum_connect import SumClient, SumService
from sum.v1.sum_pb2 import RunningResponse, SumResponse

from plugmux import Plugin
from plugmux.connect import Code, RpcError
from plugmux.errors import ExchangeError


class Probe(KeyValueService):
    async def get(self, request, context):
        match request.key.split():
            case ["wait"]:
                await told("get", asyncio.Event().wait)
            case ["forward"]:
                await audit.record(RecordRequest(plugin="probe", event="forward"))
            case ["time"]:
                left = context.time_left
                return GetResponse(value=b"none" if left is None else b"%d" % (left * 1000))
            case ["open", name]:
                return GetResponse(value=await say_hello(context.connection["link"], name))
        return GetResponse(value=request.key.encode())

    async def watch(self, request, context):
        yield WatchResponse(value=b"first")
        if request.key == "wait":
            await told("watch", asyncio.Event().wait)
        try:
            while True:
                yield WatchResponse(value=bytes(65536))
        finally:
            await audit.record(RecordRequest(plugin="probe", event="flood ends"))


class Adder(SumService):
    async def sum(self, requests, context):
        came = [request async for request in obeyed("sum", requests)]
        if came and came[0].order == "forward":
            return await host.sum(each(came))
        return SumResponse(sum=sum(r.number for r in came), ballast=sum(len(r.ballast) for r in came))

    async def running(self, requests, context):
        total, sums = 0, None
        async for request in obeyed("running", requests):
            if request.order == "forward":
                sums = sums or host.running()
                await sums.send(request)
                yield await anext(sums)
            else:
                total += request.number
                yield RunningResponse(sum=total)
        if sums:
            await sums.close_send()


async def obeyed(what, requests):
    async for request in requests:
        if request.order == "refuse":
            raise RpcError(Code.FAILED_PRECONDITION, "as it was told")
        if request.order == "wait":
            await told(what, asyncio.Event().wait)
        yield request


async def each(requests):
    for request in requests:
        yield request


async def told(what, work):
    try:
        await audit.record(RecordRequest(plugin="probe", event=f"{what} begins"))
        await work()
    finally:
        await audit.record(RecordRequest(plugin="probe", event=f"{what} ends"))


async def say_hello(link, name):
    try:
        reader, writer = await link.open_stream(name)
    except ExchangeError as error:
        return f"refused: {error}".encode()
    writer.write(b"hello")
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    return answer


async def echo(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def sha256(reader, writer):
    digest = hashlib.sha256()
    while data := await reader.read(65536):
        digest.update(data)
    writer.write(digest.hexdigest().encode())


async def reset(reader, writer):
    await reader.read(1)
    writer.transport.abort()


plugin = Plugin(Probe(), Adder(), version="v1.0.0", streams={"echo": echo, "sha256": sha256, "reset": reset})
audit = plugin.client(AuditClient)
host = plugin.client(SumClient)
plugin.run()
