"""How a plugin ends: in which order, by whom, and with the time and the output that its clean-up needs."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import GetRequest

from plugmux import PluginError, Policies, Runtime, Timeouts
from plugmux.connect import Code, RpcError
from plugmux.exchange import Request
from plugmux.runtime import State
from support.programs import script
from support.resources import gone

PLUGIN = """
    import asyncio, os, sys, threading
    from contextlib import asynccontextmanager
    from kv.v1.kv_connect import KeyValueService
    from kv.v1.kv_pb2 import GetResponse
    from plugmux import Plugin
    from plugmux.plugin import program

    def note(line):
        with open(OPTIONS["notes"], "a") as notes:
            notes.write(line + "\\n")

    class Store(KeyValueService):
        async def get(self, request, context):
            if request.key == "exit":
                sys.exit(5)
            note("call begun")
            await plugin._connection._stopping.wait()
            await asyncio.sleep(0.1)  # What must wait for this call would come now.
            note("call ended")
            return GetResponse(value=b"whole")

        def put(self, request, context):
            sys.exit(6)

    @asynccontextmanager
    async def lifespan(plugin):
        note(f"entered by {os.getpid()}")
        try:
            yield
        finally:
            for _ in range(OPTIONS.get("lines", 0)):
                print("cleaning up", flush=True)
                print("cleaning up", file=sys.stderr, flush=True)
            await asyncio.sleep(OPTIONS.get("takes", 0))
            note("left")

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            await receive()
            scope["state"]["made"] = b"at startup"
            note("app started")
            await send({"type": "lifespan.startup.complete"})
            await receive()
            note("app ended")
            await send({"type": "lifespan.shutdown.complete"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["state"]["made"]})

    plugin = Plugin(Store(), name="kv", version="v1.0.0", lifespan=lifespan, app=app)
    plugin.run(**OPTIONS.get("run", {}))
    for timer in threading.enumerate():
        if isinstance(timer, threading.Timer) and not timer.finished.is_set():
            note("a timer still runs, which will cut off what is behind run")
    note("behind run")
"""


UNHURRIED = Policies(timeouts=Timeouts(shutdown=60, drain=60, exit=60, terminate=60, post_mortem=60))
"""What the order of an ending is; how long it may take is another matter, and a busy machine takes long."""


class Notes:
    """What a plugin has written down."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "notes"
        self.path.touch()

    @property
    def lines(self) -> list[str]:
        return self.path.read_text().splitlines()

    async def until(self, line: str) -> None:
        while line not in self.lines:
            await asyncio.sleep(0.005)

    async def pid(self) -> int:
        while not any(line.startswith("entered by ") for line in self.lines):
            await asyncio.sleep(0.005)
        return int(next(line for line in self.lines if line.startswith("entered by ")).split()[-1])

    @property
    def order(self) -> list[str]:
        return [line.partition(" by ")[0] for line in self.lines]


@pytest.fixture
def notes(tmp_path: Path) -> Notes:
    return Notes(tmp_path)


def plugin(directory: Path, **options: Any) -> str:
    return script(directory, "kv", PLUGIN, notes=str(directory / "notes"), **options)


@pytest.mark.parametrize("end", ["close", "replace", "disable", "signal"])
async def test_calls_under_way_end_before_the_lifespan_and_the_apps_ends_last(
    tmp_path: Path, notes: Notes, end: str
) -> None:
    async with Runtime([plugin(tmp_path)], policies=UNHURRIED) as runtime:
        link = runtime.plugin("kv").link
        assert link is not None
        answer = await link.transport.fetch(Request("/page", method="GET"), 100)
        assert answer.body == b"at startup"
        call = asyncio.create_task(runtime.client(KeyValueClient).get(GetRequest(key="wait")))
        await notes.until("call begun")
        if end == "replace":
            await runtime.replace("kv", drain_time=0.05)
        elif end == "disable":
            await runtime.disable("kv")
        elif end == "signal":
            os.kill(runtime.plugin("kv").pid or 0, signal.SIGTERM)
            await notes.until("behind run")
        else:
            await runtime.close()
        assert (await call).value == b"whole"
        await notes.until("behind run")
        assert [line for line in notes.order if line not in ("entered", "app started")][:5] == [
            "call begun",
            "call ended",
            "left",
            "app ended",
            "behind run",
        ]
        assert notes.order[0] == "app started"


@pytest.mark.parametrize(("method", "status"), [("get", 5), ("put", 6)])
async def test_a_handler_that_exits_ends_the_plugin_in_order(
    tmp_path: Path, notes: Notes, method: str, status: int
) -> None:
    from kv.v1.kv_pb2 import PutRequest

    async with Runtime([plugin(tmp_path)], policies=UNHURRIED) as runtime:
        kv, state = runtime.client(KeyValueClient), runtime.plugin("kv")
        with pytest.raises(RpcError) as caught:
            await (kv.get(GetRequest(key="exit")) if method == "get" else kv.put(PutRequest(key="exit")))
        assert caught.value.code is Code.INTERNAL
        while state.state is State.RUNNING:
            await state.changed()
        assert isinstance(state.error, PluginError)
        assert state.error.exit_code == status
        assert notes.order[-2:] == ["left", "app ended"]


async def test_the_lifespan_of_the_hosts_app_begins_before_the_plugins_and_ends_behind_them(
    tmp_path: Path, notes: Notes
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "lifespan"
        for _ in range(2):
            kind = (await receive())["type"]
            with notes.path.open("a") as file:
                file.write(f"{kind}\n")
            await send({"type": f"{kind}.complete"})

    async with Runtime([plugin(tmp_path)], app=app, policies=UNHURRIED):
        assert notes.order == ["lifespan.startup", "app started", "entered"]
    assert notes.order[-1] == "lifespan.shutdown"
    assert "app ended" in notes.order


HOST = """
    import asyncio, os, sys, time
    from plugmux import Runtime

    async def main():
        async with Runtime([OPTIONS["plugin"]]):
            if OPTIONS["forks"] and not os.fork():
                time.sleep(3600)
            with open(OPTIONS["notes"], "a") as notes:
                notes.write("it runs\\n")
            await asyncio.sleep(3600)

    asyncio.run(main())
"""


@pytest.mark.parametrize("forks", [False, True])
async def test_a_plugin_whose_runtime_dies_cleans_up_and_what_it_prints_goes_nowhere(
    tmp_path: Path, notes: Notes, forks: bool
) -> None:
    program = plugin(tmp_path, lines=100, takes=1.2)
    (tmp_path / "host").mkdir()
    host = subprocess.Popen(
        [script(tmp_path / "host", "host", HOST, plugin=program, forks=forks, notes=str(notes.path))],
        start_new_session=True,
    )
    try:
        pid = await notes.pid()
        await notes.until("it runs")
        host.kill()
        host.wait()
        await notes.until("behind run")
        assert notes.order[-3:] == ["left", "app ended", "behind run"]
        await gone(pid)
    finally:
        if forks:
            os.killpg(host.pid, signal.SIGKILL)


async def test_a_clean_up_has_so_much_time_as_its_author_has_set(tmp_path: Path, notes: Notes) -> None:
    program = plugin(tmp_path, takes=3600, run={"clean_up_time": 0.1})
    (tmp_path / "host").mkdir()
    with subprocess.Popen(
        [script(tmp_path / "host", "host", HOST, plugin=program, forks=False, notes=str(notes.path))]
    ) as host:
        pid = await notes.pid()
        await notes.until("it runs")
        host.kill()
    await gone(pid)
    assert "left" not in notes.order


async def test_nothing_cuts_off_the_code_behind_run(tmp_path: Path, notes: Notes) -> None:
    address = f"unix:{tmp_path}/socket"
    async with Runtime(listen=[address]) as runtime:
        process = await asyncio.create_subprocess_exec(
            sys.executable, plugin(tmp_path), env={**os.environ, "PLUGMUX_SOCKET": address}
        )
        while not runtime.plugins():
            await asyncio.sleep(0.005)
        process.terminate()
        assert await process.wait() == 0
    assert notes.order[-1] == "behind run"
