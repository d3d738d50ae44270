"""The probe: the same plugin in three languages, and the host that hears what becomes of its handlers."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kv.v1.kv_connect import AuditService, KeyValueClient
from kv.v1.kv_pb2 import GetRequest, RecordRequest, RecordResponse
from sum.v1.sum_connect import SumClient, SumService
from sum.v1.sum_pb2 import RunningRequest, RunningResponse, SumRequest, SumResponse

from plugmux import Launch, Runtime
from plugmux.connect import Context, RequestStream
from plugmux.link.link import Link

from .tools import ROOT, go_build, tool, ts_program


def probe_command(language: str) -> list[str]:
    """The probe of a language, built."""
    if language == "python":
        return [sys.executable, str(ROOT / "tests/interop/probe/probe.py")]
    if language == "go":
        return [go_build("tests/interop/go", "./probe", "probe")]
    return [tool("node"), ts_program("probe", "ts", "tests/interop/ts")]


class Audit(AuditService):
    """Hears what the probe reports; an event called "forward" is answered never."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[str] = asyncio.Queue()

    async def record(self, request: RecordRequest, context: Context) -> RecordResponse:
        if request.event == "forward":
            await self.events.put("forward begins")
            try:
                await asyncio.Event().wait()
            finally:
                await self.events.put("forward ends")
        await self.events.put(request.event)
        return RecordResponse()


class Host(SumService):
    """Adds up like the probe, and lets it be known who has: a sum of the host's is below zero."""

    async def sum(self, requests: RequestStream[SumRequest], context: Context) -> SumResponse:
        came = [request async for request in requests]
        return SumResponse(sum=-sum(request.number for request in came), ballast=sum(len(r.ballast) for r in came))

    async def running(
        self, requests: RequestStream[RunningRequest], context: Context
    ) -> AsyncIterator[RunningResponse]:
        total = 0
        async for request in requests:
            total += request.number
            yield RunningResponse(sum=-total)


class Probe:
    """A running probe."""

    def __init__(self, runtime: Runtime, audit: Audit, language: str) -> None:
        self.runtime = runtime
        self.kv = runtime.client(KeyValueClient)
        self.sums = runtime.client(SumClient)
        self.events = audit.events
        self.language = language

    @property
    def link(self) -> Link:
        link = self.runtime.plugin("probe").link
        assert link is not None
        return link

    async def heard(self) -> str:
        """What the probe tells next of its handlers."""
        async with asyncio.timeout(30):
            return await self.events.get()

    @asynccontextmanager
    async def unhurt(self) -> AsyncIterator[None]:
        """Behind the block the same link still carries calls, and nothing is under way on it or still to be heard."""
        link = self.link
        yield
        assert (await self.kv.get(GetRequest(key="alive"), timeout=30)).value == b"alive"
        async with asyncio.timeout(30):
            await link.mux.wait_idle()
        assert self.link is link
        assert self.events.empty()


@asynccontextmanager
async def running(language: str) -> AsyncIterator[Probe]:
    """Run the probe of a language."""
    audit = Audit()

    async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.read()).upper())

    launch = Launch(probe_command(language), name="probe", timeout=20)
    async with Runtime([launch], services=[audit, Host()], streams={"shout": shout}) as runtime:
        yield Probe(runtime, audit, language)
