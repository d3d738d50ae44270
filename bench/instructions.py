#!/usr/bin/env python3
"""Counts the processor's instructions of a unary call, layer by layer, under valgrind.

    python bench/instructions.py [--layers LIST] [--in-flight N] [--functions LAYER] [--uvloop] [--write]

Both ends run in one process and one event loop. Each layer is measured on top of those below it, on a transport in
memory; what it adds is its own share:

    session   two yamux sessions that exchange the frames of a call
    yamux     two muxes on a transport, with an echo on each stream
    http      an HTTP client and a server on the muxes
    connect   a generated client and its service on HTTP
    link      the same between two links
    runtime   the same from a runtime to a plugin in its process, over a socket pair

Beside them stands

    stream    a message of 100 bytes on a server stream, from a plugin to a runtime in one process
    socket    a JSON call to what a runtime serves on its sockets; each caller writes the bytes on its own connection
    large     a call of 64 KiB, one after the other, from a runtime to a plugin in its process

Each layer runs twice, in processes that are forked from one which has everything imported: the difference of the two
counts is that of the calls alone. Clocks stand still, addresses and hashes are the same in every run, and nothing waits
for the kernel, so a count is the same to a hundredth from run to run on one machine, whatever else the machine does.
Instructions in the kernel do not count.

`budget.json` has the budgets of layers, pure and compiled, each with all below it. They are printed beside the counts
and decide nothing: other builds of Python need other numbers of instructions. `--write` makes what was counted the
budget.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
BUDGET = HERE / "budget.json"
LAYERS = ("session", "yamux", "http", "connect", "link", "runtime", "stream", "socket", "large")
BESIDE = ("stream", "socket", "large")
"""Those that do not stand on the one before."""
CALLS = (320, 960)
"""Calls of the two runs of each layer."""
WARM_UP = 64


# What runs under valgrind


def stand_still() -> None:
    """Stop the clocks, so that no timer runs and no date changes however slow the run is."""
    now = time.time()
    time.time = lambda: now
    time.perf_counter = lambda: 0.0
    asyncio.BaseEventLoop.time = lambda self: 0.0  # type: ignore[method-assign]


class Wire(asyncio.Transport):
    """One end of a connection in memory: what is written is given to the other end in the loop's next turn."""

    def __init__(self, protocol: asyncio.BaseProtocol) -> None:
        super().__init__()
        self.protocol = protocol
        self.peer: Wire

    def write(self, data: bytes | bytearray | memoryview) -> None:
        asyncio.get_running_loop().call_soon(self.peer.receive, data)

    def receive(self, data: bytes | bytearray | memoryview) -> None:
        if isinstance(self.protocol, asyncio.BufferedProtocol):
            self.protocol.get_buffer(-1)[: len(data)] = data  # type: ignore[index]
            self.protocol.buffer_updated(len(data))
        else:
            self.protocol.data_received(data)  # type: ignore[attr-defined]

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def close(self) -> None:
        asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    abort = close


def join(near: asyncio.BaseProtocol, far: asyncio.BaseProtocol) -> None:
    """Connect two protocols."""
    ends = Wire(near), Wire(far)
    ends[0].peer, ends[1].peer = ends[1], ends[0]
    for end in ends:
        end.protocol.connection_made(end)


async def in_turn(count: int, in_flight: int, call: Callable[[], Awaitable[object]]) -> None:
    """Make a number of calls, several at a time."""

    async def caller() -> None:
        for _ in range(count // in_flight):
            await call()

    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(caller())


HEAD = 180
"""Bytes of head and body that a request or a response has in the layers below HTTP."""


async def run_session(count: int, in_flight: int) -> None:
    from plugmux.yamux.session import Session
    from plugmux.yamux.state import DataReceived, StreamEnded

    near, far = Session(client=True), Session(client=False)
    far.accepting = True
    payload = bytes(HEAD)
    for _ in range(count // in_flight):
        for stream in [near.open() for _ in range(in_flight)]:
            near.send(stream, payload)
        for event in far.receive_data(b"".join(near.data_to_send(1 << 20))):
            if isinstance(event, DataReceived):
                far.consume(event.stream, len(event.data))
                far.send(event.stream, payload)
                far.end(event.stream)
        for event in near.receive_data(b"".join(far.data_to_send(1 << 20))):
            if isinstance(event, DataReceived):
                near.consume(event.stream, len(event.data))
            elif isinstance(event, StreamEnded):
                near.end(event.stream)
        far.take_events()
        near.take_events()


class Echo(asyncio.Protocol):
    """Answers what comes on a stream with as much, and ends it."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)  # type: ignore[attr-defined]
        self.transport.close()


class Asking(asyncio.Protocol):
    """Waits for the answer on a stream, and closes it."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.close()
        self.answer.set_result(data)


def muxes() -> tuple[Any, Any]:
    from plugmux.yamux import Config, Mux

    return Mux(client=True, config=Config(busy_poll=0)), Mux(client=False, config=Config(busy_poll=0))


async def run_yamux(count: int, in_flight: int) -> None:
    near, far = muxes()
    far.listen(Echo)
    join(near, far)
    payload = bytes(HEAD)

    async def call() -> None:
        asking = Asking()
        near.open(asking).write(payload)
        await asking.answer

    await in_turn(count, in_flight, call)


class Fixed:
    """A fast path that gives one answer to everything."""

    limit = 1 << 20
    deadline = None

    def __init__(self) -> None:
        from plugmux.exchange import Response

        self.response = Response(200, ((b"content-type", b"application/proto"),), bytes(104))

    def fast_path(self, head: object) -> Fixed:
        return self

    async def complete(self, body: bytes) -> object:
        return self.response

    async def __call__(self, scope: object, receive: object, send: object) -> None:
        raise NotImplementedError


async def run_http(count: int, in_flight: int) -> None:
    from plugmux.exchange import Request
    from plugmux.http import Server, StreamClient

    near, far = muxes()
    far.listen(Server(Fixed()).protocol)
    join(near, far)
    client = StreamClient(near.open)
    headers = ((b"content-type", b"application/proto"), (b"connect-protocol-version", b"1"))

    async def call() -> None:
        await client.fetch(Request("/bench.v1.Bench/Echo", headers, bytes(104)), 1 << 20)

    await in_turn(count, in_flight, call)


async def echoing(count: int, in_flight: int, transport: object) -> None:
    from bench.v1.bench_connect import BenchClient
    from bench.v1.bench_pb2 import EchoRequest

    client, request = BenchClient(transport), EchoRequest(payload=bytes(100))
    await in_turn(count, in_flight, lambda: client.echo(request))


async def run_connect(count: int, in_flight: int) -> None:
    from plugin import Service
    from plugmux.connect import App
    from plugmux.http import Server, StreamClient

    near, far = muxes()
    far.listen(Server(App([Service()])).protocol)
    join(near, far)
    await echoing(count, in_flight, StreamClient(near.open))


async def run_link(count: int, in_flight: int) -> None:
    from plugin import Service
    from plugmux.link.app import LinkApp
    from plugmux.link.link import Link, Peer
    from plugmux.yamux import Config

    config = Config(busy_poll=0)
    near = Link(LinkApp(), initiator=True, peer=Peer("far"), config=config)
    far = Link(LinkApp([Service()]), initiator=False, peer=Peer("near"), config=config)
    join(near.mux, far.mux)
    await echoing(count, in_flight, near.transport)


async def run_runtime(count: int, in_flight: int) -> None:
    from bench.v1.bench_connect import BenchClient
    from bench.v1.bench_pb2 import EchoRequest

    from plugin import Service
    from plugmux import Runtime

    async with Runtime([Service()]) as runtime:
        client, request = runtime.client(BenchClient), EchoRequest(payload=bytes(100))
        await in_turn(count, in_flight, lambda: client.echo(request))


async def run_large(count: int, in_flight: int) -> None:
    from bench.v1.bench_connect import BenchClient
    from bench.v1.bench_pb2 import EchoRequest

    from measure import KIB64
    from plugin import Service
    from plugmux import Runtime

    async with Runtime([Service()]) as runtime:
        client, request = runtime.client(BenchClient), EchoRequest(payload=bytes(KIB64))
        await in_turn(count, 1, lambda: client.echo(request))


async def run_stream(count: int, in_flight: int) -> None:
    from bench.v1.bench_connect import BenchClient
    from bench.v1.bench_pb2 import DownloadRequest

    from plugin import Service
    from plugmux import Runtime

    async with Runtime([Service()]) as runtime:
        client = runtime.client(BenchClient)
        async for _ in client.download(DownloadRequest(count=count, size=100)):
            pass


class JsonCaller(asyncio.Protocol):
    """Writes one request again and again, and waits for each response."""

    BODY = b'{"payload":"%s"}' % (b"AAAA" * 34)
    REQUEST = b"POST /bench.v1.BenchService/Echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    REQUEST += b"Content-Length: %d\r\n\r\n%s" % (len(BODY), BODY)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        assert data.startswith(b"HTTP/1.1 200")
        self.answer.set_result(None)

    async def call(self) -> None:
        self.answer = asyncio.get_running_loop().create_future()
        self.transport.write(self.REQUEST)  # type: ignore[attr-defined]
        await self.answer


async def run_socket(count: int, in_flight: int) -> None:
    from plugin import Service
    from plugmux import Permissions
    from plugmux.http import Server
    from plugmux.runtime.socket.app import SocketApp

    async def refused(scope: object) -> None:
        raise NotImplementedError

    router: Any = None  # which carries to plugins; the service is the runtime's own
    app = SocketApp(router, refused, Permissions(), bytes)
    app.mount(Service())
    server = Server(app, lifespan=False)
    callers = [JsonCaller() for _ in range(in_flight)]
    for caller in callers:
        join(caller, server.protocol())
    idle = list(callers)

    async def call() -> None:
        caller = idle.pop()
        await caller.call()
        idle.append(caller)

    await in_turn(count, in_flight, call)


RUNS = {
    "session": run_session,
    "yamux": run_yamux,
    "http": run_http,
    "connect": run_connect,
    "link": run_link,
    "runtime": run_runtime,
    "stream": run_stream,
    "socket": run_socket,
    "large": run_large,
}


def loop_factory(uvloop: bool) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """What makes the event loop to run in; `None` for that of asyncio."""
    if not uvloop:
        return None
    from uvloop import new_event_loop

    return new_event_loop


def run_all(layers: list[str], in_flight: int, uvloop: bool) -> None:
    """Run each layer for each number of calls, in a forked process that prints nothing and never returns."""
    factory = loop_factory(uvloop)
    stand_still()
    for layer in layers:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(RUNS[layer](WARM_UP, in_flight))
        for count in CALLS:
            pid = os.fork()
            if not pid:
                asyncio.Runner(loop_factory=factory).run(RUNS[layer](count, in_flight))
                os._exit(0)
            os.waitpid(pid, 0)
            print(layer, pid, flush=True)


# What starts it, and reads what it has counted


def count(layers: list[str], in_flight: int, uvloop: bool, folder: Path) -> dict[str, list[Path]]:
    """Run the layers under callgrind; gives the two profiles of each."""
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise SystemExit("there is no valgrind: apt-get install valgrind")
    fixed = ["setarch", "--addr-no-randomize"] if shutil.which("setarch") else []
    command = [valgrind, "--quiet", "--tool=callgrind", f"--callgrind-out-file={folder}/%p"]
    program = [sys.executable, __file__, "--run", "--layers", ",".join(layers), "--in-flight", str(in_flight)]
    program += ["--uvloop"] if uvloop else []
    done = subprocess.run(
        [*fixed, *command, *program],
        env={**os.environ, "PYTHONHASHSEED": "0"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    profiles: dict[str, list[Path]] = {}
    for line in done.stdout.splitlines():
        layer, pid = line.split()
        profiles.setdefault(layer, []).append(folder / pid)
    return profiles


def total(profile: Path) -> int:
    """The instructions of a profile."""
    found = re.search(r"^(?:summary|totals): (\d+)", profile.read_text(errors="replace"), re.MULTILINE)
    assert found is not None, f"{profile} has no total"
    return int(found[1])


def functions(profile: Path) -> dict[tuple[str, str], int]:
    """The instructions of each C function of a profile, by its library and its name."""
    names: dict[tuple[str, str], str] = {}
    found: dict[tuple[str, str], int] = {}
    library = function = ""
    lines = iter(profile.read_text(errors="replace").splitlines())
    for line in lines:
        if named := re.fullmatch(r"c?(ob|fn)=\((\d+)\)(?: (.*))?", line):
            kind, number, name = named.groups()
            if name is not None:
                names[kind, number] = name.rpartition("/")[2] if kind == "ob" else name.partition("'")[0]
            if line[0] != "c":
                library, function = (names["ob", number], function) if kind == "ob" else (library, names["fn", number])
        elif line.startswith("calls="):
            next(lines)  # what the called function has taken is its own
        elif cost := re.fullmatch(r"[+\-*\d]\S* (\d+)", line):
            found[library, function] = found.get((library, function), 0) + int(cost[1])
    return found


def print_functions(layer: str, profiles: list[Path]) -> None:
    few, many = (functions(profile) for profile in profiles)
    calls = CALLS[1] - CALLS[0]
    costs = {key: (many.get(key, 0) - few.get(key, 0)) / calls for key in {*few, *many}}
    libraries: dict[str, float] = {}
    for (library, _), cost in costs.items():
        libraries[library] = libraries.get(library, 0) + cost
    print(f"\n{layer}: the libraries with the most instructions of a call")
    for name in sorted(libraries, key=lambda name: -libraries[name])[:10]:
        print(f"  {libraries[name]:10,.0f}  {name}")
    print(f"\n{layer}: the C functions with the most instructions of a call")
    for library, name in sorted(costs, key=lambda key: -costs[key])[:40]:
        print(f"  {costs[library, name]:10,.0f}  {name} ({library})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", default=",".join(LAYERS), help="which layers, separated by commas")
    parser.add_argument("--in-flight", type=int, default=16, help="calls at a time (16)")
    parser.add_argument("--functions", metavar="LAYER", help="print the C functions of a layer, too")
    parser.add_argument("--uvloop", action="store_true", help="run on uvloop; the layers in memory need asyncio's loop")
    parser.add_argument("--write", action="store_true", help="make what was counted the budget")
    parser.add_argument("--run", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    layers = given.layers.split(",")
    if unknown := {*layers, given.functions or LAYERS[0]} - set(LAYERS):
        parser.error(f"there is no layer {', '.join(sorted(unknown))}")
    if given.run:
        run_all(layers, given.in_flight, given.uvloop)
        return

    import plugmux

    build = "compiled" if plugmux.COMPILED else "pure"
    budget = json.loads(BUDGET.read_text())
    with tempfile.TemporaryDirectory() as folder:
        profiles = count(layers, given.in_flight, given.uvloop, Path(folder))
        counts = {
            layer: round((total(many) - total(few)) / (CALLS[1] - CALLS[0])) for layer, (few, many) in profiles.items()
        }
        print(f"instructions of a unary call, {given.in_flight} in flight, both ends, {build}, python", end=" ")
        print(f"{platform.python_version()}\n\nlayer         own       all below   budget")
        below = 0
        for layer, all_below in counts.items():
            allowed = budget[build].get(layer)
            over = "" if allowed is None or all_below <= allowed else f"  {all_below / allowed - 1:+.1%}"
            shown = "none" if allowed is None else f"{allowed:,}"
            if layer in BESIDE:
                below = 0
            print(f"{layer:8} {all_below - below:9,} {all_below:13,} {shown:>11}{over}")
            below = all_below
        if given.functions:
            print_functions(given.functions, profiles[given.functions])
    if given.write:
        budget[build].update(counts)
        BUDGET.write_text(json.dumps(budget, indent=1) + "\n")


if __name__ == "__main__":
    main()
