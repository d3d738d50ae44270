"""What is Windows' own: named pipes, jobs, batch files, programs by their suffixes. Run by `make windows` alone."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path

import pytest
from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import GetRequest, PutRequest

from plugmux import Launch, PluginError, Runtime
from plugmux.aio.pipes.streams import open_pipes
from plugmux.contract.address import Address
from plugmux.discovery import OnPath
from plugmux.errors import ConfigError, PlugmuxError
from plugmux.platform import (
    ListenError,
    adopt_pipes,
    check_directory,
    close_stream,
    credentials,
    current_user,
    describe_user,
    find_user,
    link_ends,
    open_process,
    open_trusted_file,
    probe_stream,
    start_time,
)
from plugmux.runners import ContainerRunner, DetachedRunner
from plugmux.runtime import Limits, State
from support.programs import KV_PLUGIN, script
from support.tools import ROOT, go_plugin, ts_plugin

PYTHON_PLUGIN = [sys.executable, str(ROOT / "examples/python-plugin/python-plugin")]


def pipe_address(tmp_path: Path) -> str:
    return f"pipe:plugmux-tests-{os.getpid()}-{tmp_path.name}"


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.05)


@asynccontextmanager
async def started_by_itself(runtime: Runtime, command: list[str], address: str) -> AsyncIterator[None]:
    """Start a plugin that comes by a named pipe, again where a busy machine let it wait too long; then kill it."""
    others = len(runtime.plugins())
    environ = {**os.environ, "PLUGMUX_SOCKET": address}
    plugin = subprocess.Popen(command, env=environ)
    try:
        while [there.state for there in runtime.plugins()] != [State.RUNNING] * (others + 1):
            if plugin.poll() is not None:
                plugin = subprocess.Popen(command, env=environ)
            await asyncio.sleep(0.05)
        yield
    finally:
        plugin.kill()
        plugin.wait()


@pytest.mark.parametrize("command", [go_plugin(), PYTHON_PLUGIN], ids=["go", "python"])
async def test_a_plugin_that_starts_by_itself_comes_by_a_named_pipe(command: list[str], tmp_path: Path) -> None:
    address = pipe_address(tmp_path)
    async with Runtime([], listen=[address]) as runtime, started_by_itself(runtime, command, address):
        secrets = "go" if command == go_plugin() else "python"
        assert runtime.plugins()[0].name == f"{secrets}-plugin"


async def test_the_command_line_reaches_a_runtime_by_its_pipe(tmp_path: Path) -> None:
    address = pipe_address(tmp_path)
    async with Runtime([Launch(PYTHON_PLUGIN, timeout=60)], listen=[address]):
        asked = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "plugmux.cli", "plugins", "--connect", address),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await asked.communicate()
    assert asked.returncode == 0, said
    assert b"python-plugin" in said


async def test_a_pipe_has_one_runtime(tmp_path: Path) -> None:
    address = pipe_address(tmp_path)
    async with Runtime([], listen=[address]):
        with pytest.raises(ListenError, match="already"):
            async with Runtime([], listen=[address]):
                pass


class Recorder(asyncio.Protocol):
    """Keeps what it receives."""

    def __init__(self) -> None:
        self.received = b""
        self.lost = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self.received += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(exc)


async def test_a_peer_that_stops_reading_loses_its_link_after_what_it_has_written_is_read() -> None:
    ends = link_ends("pipes")
    their_read, their_write = ends.numbers
    protocol = Recorder()
    await open_pipes(lambda: protocol, *ends.take())
    peer = adopt_pipes(their_read, their_write)
    assert not isinstance(peer, tuple)
    peer.write(b"the last words")
    close_stream(their_read)
    await protocol.lost
    close_stream(their_write)
    assert protocol.received == b"the last words"


async def test_the_server_of_a_pipe_is_known(tmp_path: Path) -> None:
    address = pipe_address(tmp_path)
    async with Runtime([], listen=[address]):
        stream = probe_stream(Address.parse(address).sockaddr, 5)
        peer = credentials(stream)
        stream.close()
    assert peer is not None
    assert (peer.pid, peer.uid) == (os.getpid(), current_user())
    with pytest.raises(OSError, match=r"not found|cannot find"):
        probe_stream(Address.parse(address).sockaddr, 0)


def test_this_user_has_a_name_and_is_found_by_it() -> None:
    user = current_user()
    assert str(user).startswith("S-1-")
    assert find_user(str(user)) == user
    assert str(user) in describe_user(user)
    with pytest.raises(KeyError):
        find_user("nobody of that name")


HOST = """
    import asyncio, sys
    from plugmux import Launch, Runtime

    async def main():
        async with Runtime([Launch(sys.argv[1:], name="kv", timeout=60)]) as runtime:
            print(runtime.plugins()[0].pid, flush=True)
            await asyncio.sleep(600)

    asyncio.run(main())
"""
PARENT = """
    import subprocess, sys
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    open(sys.argv[1], "w").write(str(child.pid))
"""


async def test_a_host_that_is_killed_leaves_neither_the_plugin_nor_what_it_has_started(tmp_path: Path) -> None:
    note = tmp_path / "child"
    plugin = script(tmp_path, "store.py", textwrap.dedent(PARENT) + textwrap.dedent(KV_PLUGIN))
    (tmp_path / "host.py").write_text(textwrap.dedent(HOST))
    host = await asyncio.create_subprocess_exec(
        sys.executable, str(tmp_path / "host.py"), sys.executable, plugin, str(note), stdout=asyncio.subprocess.PIPE
    )
    assert host.stdout is not None
    pids = [int(await host.stdout.readline()), int(note.read_text())]
    handles = [open_process(pid) for pid in pids]
    host.kill()
    await host.wait()
    for handle in handles:
        await asyncio.to_thread(handle.wait)
        handle.close()
    assert [start_time(pid) for pid in pids] == [None, None]


async def test_a_plugin_that_crashes_is_told_by_its_exit_status_and_started_again(tmp_path: Path) -> None:
    launch = Launch([sys.executable, script(tmp_path, "store.py", KV_PLUGIN)], name="kv", timeout=60)
    async with Runtime([launch]) as runtime:
        kv, first = runtime.client(KeyValueClient), runtime.plugins()[0].pid
        with pytest.raises(PlugmuxError):
            await kv.get(GetRequest(key="exit"))
        await until(lambda: runtime.plugins()[0].pid not in (None, first))
        await until(lambda: runtime.plugins()[0].state is State.RUNNING)
        assert int((await kv.get(GetRequest(key="pid"))).value) == runtime.plugins()[0].pid


@pytest.mark.parametrize("name", ["store.py", "a name with spaces.py", "ünï-日本.py"])
async def test_a_script_is_run_by_the_hosts_own_python(name: str, tmp_path: Path) -> None:
    program = script(tmp_path, name, KV_PLUGIN)
    async with Runtime([Launch([program], name="kv", timeout=60)]) as runtime:
        assert int((await runtime.client(KeyValueClient).get(GetRequest(key="pid"))).value) > 0


async def test_a_batch_file_is_found_by_its_name_alone_and_what_it_cannot_take_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "my tools"
    folder.mkdir()
    program = script(folder, "store.py", KV_PLUGIN)
    (folder / "starter.cmd").write_text(f'@"{sys.executable}" "{program}" %*\n')
    path = f"{folder};{os.environ['PATH']}"
    async with Runtime([Launch(["starter"], name="kv", env={"PATH": path}, timeout=60)]) as runtime:
        assert int((await runtime.client(KeyValueClient).get(GetRequest(key="pid"))).value) > 0
    refused = Launch(["starter", "%PATH%"], name="kv", env={"Path": path}, required=True)
    with pytest.raises(PluginError, match="command prompt would interpret"):
        async with Runtime([refused]):
            pass


def test_programs_on_path_are_found_by_every_suffix_and_pathext_chooses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("plugmux-a.cmd", "plugmux-b.bat", "plugmux-b.exe", "plugmux-c.txt", "plugmux-d.EXE"):
        (tmp_path / name).touch()
    monkeypatch.setenv("PATHEXT", ".COM;.EXE;.BAT;.CMD")
    found = {plugin.name: Path(plugin.launch.command[0]).name.lower() for plugin in OnPath(path=str(tmp_path)).find()}
    assert found == {"a": "plugmux-a.cmd", "b": "plugmux-b.exe", "d": "plugmux-d.exe"}
    monkeypatch.setenv("PATHEXT", ".BAT;.EXE")
    assert [Path(plugin.launch.command[0]).name for plugin in OnPath("b", path=str(tmp_path)).find()] == [
        "plugmux-b.bat"
    ]


async def test_a_path_over_260_characters_is_a_program(tmp_path: Path) -> None:
    folder = tmp_path.joinpath(*["a" * 60] * 5)
    os.makedirs(f"\\\\?\\{folder}")
    program = Path(f"\\\\?\\{folder}", "store.py")
    program.write_text(f"OPTIONS = {{}}\n{textwrap.dedent(KV_PLUGIN)}")
    async with Runtime([Launch([sys.executable, str(program)], name="kv", timeout=60)]) as runtime:
        assert int((await runtime.client(KeyValueClient).get(GetRequest(key="pid"))).value) > 0


@pytest.mark.parametrize("command", [go_plugin(), PYTHON_PLUGIN], ids=["go", "python"])
@pytest.mark.parametrize("name", ["asyncio.SelectorEventLoop", "winloop.new_event_loop"])
def test_a_host_on_another_event_loop_launches_plugins_which_threads_serve(name: str, command: list[str]) -> None:
    module, _, factory = name.partition(".")

    async def run() -> None:
        launch = Launch(command, name="kv", timeout=60, required=True)
        async with Runtime([launch]) as runtime:
            kv = runtime.client(KeyValueClient)
            await kv.put(PutRequest(key="a", value=bytes(1 << 20)))
            assert (await kv.get(GetRequest(key="a"))).value == bytes(1 << 20)
            plugin = runtime.plugins()[0]
        assert plugin.state is State.STOPPED

    with asyncio.Runner(loop_factory=getattr(import_module(module), factory)) as runner:
        runner.run(run())


@pytest.mark.parametrize("name", ["asyncio.SelectorEventLoop", "winloop.new_event_loop"])
def test_a_host_on_another_event_loop_has_named_pipes_which_threads_serve(name: str, tmp_path: Path) -> None:
    module, _, factory = name.partition(".")
    address = pipe_address(tmp_path)

    async def run() -> None:
        async with Runtime([], listen=[address]) as runtime:
            async with (
                started_by_itself(runtime, go_plugin(), address),
                started_by_itself(runtime, PYTHON_PLUGIN, address),
            ):
                for _, kv in runtime.clients(KeyValueClient):
                    await kv.put(PutRequest(key="a", value=bytes(1 << 20)))
                    assert (await kv.get(GetRequest(key="a"))).value == bytes(1 << 20)
                command = (sys.executable, "-m", "plugmux.cli", "plugins", "--connect", address)
                asked = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=True)
                assert {b"python-plugin", b"go-plugin"} <= set(asked.stdout.split())
            await until(lambda: all(left.state is not State.RUNNING for left in runtime.plugins()))

    with asyncio.Runner(loop_factory=getattr(import_module(module), factory)) as runner:
        runner.run(run())


def test_a_plugin_in_typescript_runs_with_a_host_on_winloop() -> None:
    async def run() -> None:
        async with Runtime([Launch(ts_plugin(), name="kv", timeout=60, required=True)]) as runtime:
            kv = runtime.client(KeyValueClient)
            await kv.put(PutRequest(key="a", value=bytes(1 << 20)))
            assert (await kv.get(GetRequest(key="a"))).value == bytes(1 << 20)

    with asyncio.Runner(loop_factory=import_module("winloop").new_event_loop) as runner:
        runner.run(run())


async def test_a_plugin_on_winloop_comes_by_a_named_pipe(tmp_path: Path) -> None:
    address = pipe_address(tmp_path)
    on_winloop = KV_PLUGIN.replace("plugin.run()", "import winloop; winloop.install(); plugin.run()")
    program = script(tmp_path, "store", on_winloop)
    async with Runtime([], listen=[address]) as runtime, started_by_itself(runtime, [sys.executable, program], address):
        kv = runtime.client(KeyValueClient)
        await kv.put(PutRequest(key="a", value=bytes(1 << 20)))
        assert (await kv.get(GetRequest(key="a"))).value == bytes(1 << 20)


@pytest.mark.parametrize("limit", ["memory", "cpu", "files", "processes"])
def test_limits_are_refused_before_anything_starts(limit: str) -> None:
    with pytest.raises(ConfigError, match=limit):
        Launch(PYTHON_PLUGIN, limits=Limits(**{limit: 2**30}))


def test_detached_plugins_and_containers_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="detached plugins are not supported on Windows"):
        DetachedRunner(tmp_path)
    with pytest.raises(ConfigError, match="ContainerRunner cannot be used here"):
        ContainerRunner("image")


def test_the_list_of_a_path_is_walked(tmp_path: Path) -> None:
    check_directory(tmp_path)
    file = tmp_path / "plugin.exe"
    file.write_bytes(b"MZ")
    found = open_trusted_file(file)
    os.close(found.fd)
    assert Path(found.path) == file
    with pytest.raises(PlugmuxError, match="not on a drive"):
        check_directory(r"\\server\share\plugins")
    with pytest.raises(OSError, match="no directory"):
        check_directory(file)


def test_an_unknown_process_is_told_as_such() -> None:
    ended = subprocess.Popen([sys.executable, "-c", "pass"])
    ended.wait()
    pid = ended.pid
    del ended
    assert start_time(pid) is None
    with pytest.raises(ProcessLookupError):
        open_process(0x7FFF_FFF0)
