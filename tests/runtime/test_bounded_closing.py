"""What is closed is closed to its end: whoever is cancelled meanwhile, and whatever does not end by itself."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from kv.v1.kv_connect import AuditService, KeyValueClient, KeyValueService
from kv.v1.kv_pb2 import GetRequest, GetResponse

from plugmux import Launch, Policies, Runtime, Timeouts
from plugmux.aio import closing
from plugmux.connect import Context, RpcError
from plugmux.errors import StateError
from plugmux.http import Server
from plugmux.link import references
from plugmux.link.app import LinkApp
from plugmux.link.link import Link, Peer
from plugmux.runtime import State
from plugmux.runtime.logs.log import PluginLog
from plugmux.runtime.process.local import LocalRun, LocalRunner
from support.injection import Interrupter
from support.programs import kv_program, script
from support.resources import ProcessResources, alive, gone
from support.timeouts import shorten_timeouts
from support.tools import faulty_plugin


class Slow(KeyValueService):
    """Answers nobody, and takes some turns of the loop to end."""

    def __init__(self) -> None:
        self.ended = 0

    async def get(self, request: GetRequest, context: Context) -> GetResponse:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            self.ended += 1
        raise AssertionError


async def nothing_beyond(before: ProcessResources) -> None:
    while ProcessResources.take() != before:
        await asyncio.sleep(0)


@asynccontextmanager
async def linked(*services: Any) -> AsyncIterator[tuple[Link, Link]]:
    """Two links that are connected with each other; both serve the services."""
    near, far = (Link(LinkApp(services), initiator=side, peer=Peer("other")) for side in (True, False))
    here, there = socket.socketpair()
    await near.over_socket(here)
    await far.over_socket(there)
    try:
        yield near, far
    finally:
        await near.close(0)
        await far.close(0)


async def under_way(call: Awaitable[object], begun: Callable[[], bool]) -> asyncio.Task[object]:
    task = asyncio.ensure_future(call)
    while not begun():
        await asyncio.sleep(0)
    return task


async def close_a_link(interrupter: Interrupter) -> None:
    service, released = Slow(), []

    async def on_release() -> None:
        await asyncio.sleep(0)
        released.append(True)

    async with linked(service) as (near, far):
        near.lend(Slow(), on_release=on_release)
        call = await under_way(far.client(KeyValueClient).get(GetRequest()), lambda: len(near.mux.streams) > 0)
        await interrupter.run(lambda: near.close(0.01))
        assert near.closed
        assert released == [True]
        assert len(near.references) == 0
        await asyncio.wait([call])
        assert isinstance(call.exception(), RpcError)


async def close_a_server(interrupter: Interrupter) -> None:
    told: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for _ in range(2):
                kind = (await receive())["type"]
                told.append(kind)
                await send({"type": f"{kind}.complete"})
            return
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            told.append("the handler has ended")

    server = Server(app)
    await server.startup()
    here, there = socket.socketpair()
    there.setblocking(False)
    loop = asyncio.get_running_loop()
    here.setblocking(False)
    await loop.connect_accepted_socket(server.protocol, here)
    await loop.sock_sendall(there, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    while not server.tasks:
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    await interrupter.run(lambda: server.shutdown(0.01))
    there.close()
    assert told == ["lifespan.startup", "the handler has ended", "lifespan.shutdown"]
    assert not server.connections


async def close_a_runtime(interrupter: Interrupter) -> None:
    runtime = Runtime([Launch(faulty_plugin("go"), name="go"), AuditService()], listen=[f"unix:@closing-{os.getpid()}"])
    await runtime.start()
    pid = runtime.plugin("go").pid
    assert pid is not None
    await interrupter.run(runtime.close)
    assert {plugin.state for plugin in runtime.plugins()} == {State.STOPPED}
    assert not alive(pid)


@pytest.mark.parametrize("close", [close_a_link, close_a_server, close_a_runtime])
@pytest.mark.timeout(120)
async def test_a_close_that_is_cancelled_at_any_of_its_waits_is_done_to_the_end(
    close: Callable[[Interrupter], Awaitable[None]],
) -> None:
    await close(Interrupter(0))
    before = ProcessResources.take()
    for at in count(1):
        interrupter = Interrupter(at)
        await close(interrupter)
        await nothing_beyond(before)
        if not interrupter.struck:
            break
    assert at > 4


@pytest.fixture
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the limits short: what they are for never ends here."""
    shorten_timeouts(monkeypatch, 0.1)
    for limit in ("CLEAN_UP_TIME", "LAST_TIME"):
        monkeypatch.setattr(closing, limit, 0.1)
    monkeypatch.setattr(references, "REFERENCE_CLEAN_UP_TIME", 0.1)


@pytest.mark.usefixtures("impatience")
async def test_a_clean_up_that_hangs_does_not_keep_a_link_open(caplog: pytest.LogCaptureFixture) -> None:
    going_on, released = asyncio.Event(), []

    async def hangs() -> None:
        while not going_on.is_set():
            try:
                await going_on.wait()
            except asyncio.CancelledError:
                continue

    async def releases() -> None:
        released.append(True)

    async with linked(Slow()) as (near, _):
        near.lend(Slow(), on_release=hangs)
        near.lend(Slow(), on_release=releases)
        await near.close()
        assert near.closed
        assert released == [True]
    going_on.set()
    assert "did not end although it was cancelled" in caplog.text


@pytest.mark.usefixtures("impatience")
async def test_a_handler_that_cannot_be_cancelled_does_not_keep_a_link_open(caplog: pytest.LogCaptureFixture) -> None:
    going_on, begun = asyncio.Event(), asyncio.Event()

    class Stubborn(KeyValueService):
        async def get(self, request: GetRequest, context: Context) -> GetResponse:
            begun.set()
            while not going_on.is_set():
                try:
                    await going_on.wait()
                except asyncio.CancelledError:
                    continue
            return GetResponse()

    async with linked(Stubborn()) as (near, far):
        call = await under_way(far.client(KeyValueClient).get(GetRequest()), begun.is_set)
        await near.close(0)
        assert near.closed
        await asyncio.wait([call])
    going_on.set()
    assert "is left behind" in caplog.text


@pytest.fixture
def no_sigchld() -> Iterator[None]:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGCHLD, before)


@pytest.mark.usefixtures("no_sigchld")
async def test_a_host_that_ignores_sigchld_closes_and_sees_its_plugin_end(tmp_path: Path) -> None:
    async with Runtime([kv_program(tmp_path)]) as runtime:
        plugin = runtime.plugin("kv")
        pid = plugin.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        while plugin.state is State.RUNNING:
            await plugin.changed()
        await runtime.restart("kv")
        assert plugin.pid not in (pid, None)
    assert plugin.state is State.STOPPED


async def test_a_host_that_reaps_its_children_elsewhere_closes(tmp_path: Path) -> None:
    async with Runtime([kv_program(tmp_path)]) as runtime:
        pid = runtime.plugin("kv").pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)  # before the loop, and so the runtime, can hear of its end
    assert runtime.plugin("kv").state is State.STOPPED


LEAVES_ITS_GROUP = """
    import os, signal, time
    from kv.v1.kv_connect import KeyValueService
    from kv.v1.kv_pb2 import GetResponse
    from plugmux import Plugin

    class Store(KeyValueService):
        async def get(self, request, context):
            os.setpgid(0, os.getpgid(os.getppid()))
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            open(OPTIONS["mark"], "x").close()
            while True:
                time.sleep(3600)

    Plugin(Store(), version="v1.0.0").run()
"""


@pytest.mark.usefixtures("impatience")
async def test_a_plugin_that_has_left_its_group_and_blocks_is_ended(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    async with Runtime([script(tmp_path, "kv", LEAVES_ITS_GROUP, mark=str(mark))]) as runtime:
        pid = runtime.plugin("kv").pid
        assert pid is not None
        call = await under_way(runtime.client(KeyValueClient).get(GetRequest()), mark.exists)
    await asyncio.wait([call])
    await gone(pid)


async def test_a_runtime_cannot_be_closed_in_another_event_loop_and_says_so() -> None:
    async with Runtime() as runtime:

        def elsewhere() -> None:
            asyncio.run(runtime.close())

        with pytest.raises(RuntimeError, match="another event loop"):
            await asyncio.to_thread(elsewhere)


class Stuck(LocalRunner):
    """A runner whose start never returns."""

    async def start(self, launch: Launch, timeout: float, log: PluginLog) -> LocalRun:
        self.begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    def __init__(self) -> None:
        self.begun = asyncio.Event()


async def test_a_runtime_closes_while_a_runner_does_not_start_its_plugin() -> None:
    runner = Stuck()
    runtime = Runtime([Launch(["kv"], runner=runner)], policies=Policies(timeouts=Timeouts(terminate=0.05)))
    starting = asyncio.create_task(runtime.start())
    await runner.begun.wait()
    await asyncio.wait_for(runtime._lifecycle.close(), 60)
    await runtime.close()
    await asyncio.wait([starting])
    assert isinstance(starting.exception(), StateError)
