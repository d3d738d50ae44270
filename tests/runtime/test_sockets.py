"""The runtime's listening sockets, and plugins that connect by themselves."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import sys
from pathlib import Path

import pytest
from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import GetRequest, WatchRequest
from plugmux_proto.health.v1.health_connect import VersionClient
from plugmux_proto.health.v1.health_pb2 import GetVersionRequest
from plugmux_proto.plugins.v1 import plugins_pb2 as pb
from plugmux_proto.plugins.v1.plugins_connect import PluginManagementClient

from plugmux import Runtime
from plugmux.exchange import Request
from plugmux.http import SocketClient
from plugmux.runtime import ListenError, State
from support.programs import KV_PLUGIN, kv_program, script


@pytest.fixture
def address(tmp_path: Path) -> str:
    return f"unix:{tmp_path}/private/runtime.sock"


async def start(program: str, address: str) -> asyncio.subprocess.Process:
    environ = {**os.environ, "PLUGMUX_SOCKET": address}
    return await asyncio.create_subprocess_exec(program, env=environ, stderr=asyncio.subprocess.PIPE)


async def registered(runtime: Runtime, name: str) -> None:
    while not any(plugin.name == name and plugin.state is State.RUNNING for plugin in runtime.plugins()):
        await asyncio.sleep(0.01)


async def test_the_socket_is_private_and_goes_with_the_runtime(address: str, tmp_path: Path) -> None:
    path = tmp_path / "private" / "runtime.sock"
    async with Runtime(listen=[address]) as runtime:
        assert runtime.addresses == [address]
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert not path.exists()


async def test_the_socket_of_a_dead_runtime_is_replaced(address: str, tmp_path: Path) -> None:
    (tmp_path / "private").mkdir()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "private" / "runtime.sock"))
    async with Runtime(listen=[address]):
        assert (await version(address)).startswith("v")


async def test_the_socket_of_a_live_runtime_is_not_replaced(address: str) -> None:
    async with Runtime(listen=[address]):
        with pytest.raises(ListenError, match="listens at"):
            await Runtime(listen=[address]).start()
        assert (await version(address)).startswith("v")


async def test_the_socket_of_a_later_runtime_is_left_alone(address: str, tmp_path: Path) -> None:
    async with Runtime(listen=[address]) as earlier:
        (tmp_path / "private" / "runtime.sock").unlink()
        async with Runtime(listen=[address]):
            await earlier.close()
            assert (await version(address)).startswith("v")


async def test_a_file_that_is_no_socket_is_left_alone(address: str, tmp_path: Path) -> None:
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "runtime.sock").write_text("precious")
    with pytest.raises(ListenError, match="no socket"):
        await Runtime(listen=[address]).start()
    assert (tmp_path / "private" / "runtime.sock").read_text() == "precious"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has abstract sockets")
async def test_an_abstract_socket_works_alike() -> None:
    address = f"unix:@plugmux-test-{os.getpid()}"
    async with Runtime(listen=[address]):
        assert (await version(address)).startswith("v")
        with pytest.raises(ListenError, match="listens at"):
            await Runtime(listen=[address]).start()


async def version(address: str) -> str:
    return (await VersionClient(SocketClient(address)).get_version(GetVersionRequest())).version


async def test_a_client_lists_switches_and_calls_plugins_through_the_socket(address: str, tmp_path: Path) -> None:
    async with Runtime([kv_program(tmp_path)], listen=[address]):
        management = PluginManagementClient(SocketClient(address))
        (listed,) = (await management.list_plugins(pb.ListPluginsRequest())).plugins
        assert (listed.name, listed.version, listed.run_status) == ("kv", "v1.2.3", pb.RUN_STATUS_RUNNING)
        assert list(listed.services) == ["kv.v1.KeyValueService"]
        kv = KeyValueClient(SocketClient(address))
        assert (await kv.get(GetRequest(key="pid"))).value == str(listed.pid).encode()
        async with kv.watch(WatchRequest(key="a")) as values:
            assert [value.value async for value in values] == [b"0", b"1", b"2"]
        await management.disable_plugin(pb.DisablePluginRequest(name="kv"))
        (listed,) = (await management.list_plugins(pb.ListPluginsRequest())).plugins
        assert listed.disabled


async def test_a_plugin_that_never_registered_is_listed_with_a_version(address: str, tmp_path: Path) -> None:
    async with Runtime([script(tmp_path, "kv", "raise SystemExit(1)")], listen=[address]):
        management = PluginManagementClient(SocketClient(address))
        (listed,) = (await management.list_plugins(pb.ListPluginsRequest())).plugins
        assert (listed.version, listed.run_status) == ("v0.0.0-unregistered", pb.RUN_STATUS_RETRIES_EXCEEDED)


async def test_a_plugin_connects_by_itself_and_comes_back_when_the_runtime_does(address: str, tmp_path: Path) -> None:
    program = script(tmp_path, "kv", KV_PLUGIN, name="chosen")
    async with Runtime(listen=[address]) as runtime:
        process = await start(program, address)
        await registered(runtime, "chosen")
        (plugin,) = runtime.plugins()
        assert plugin.external
        assert plugin.pid == process.pid
        assert (await runtime.client(KeyValueClient).get(GetRequest(key="pid"))).value == str(process.pid).encode()
        assert plugin.link is not None
        plugin.link.abort()
        while plugin in runtime.plugins():
            await plugin.changed()
        await registered(runtime, "chosen")
        assert (await runtime.client(KeyValueClient).get(GetRequest(key="pid"))).value == str(process.pid).encode()
    assert process.returncode is None
    process.terminate()
    assert await process.wait() == 0


async def test_a_second_plugin_of_a_name_is_refused(address: str, tmp_path: Path) -> None:
    program = kv_program(tmp_path)
    async with Runtime(listen=[address]) as runtime:
        first = await start(program, address)
        await registered(runtime, "kv")
        second = await start(program, address)
        _, said = await second.communicate()
        assert second.returncode == 1
        assert b"named 'kv' already" in said
        assert first.returncode is None
    first.terminate()
    await first.wait()


@pytest.mark.parametrize("said", [b"", b"no plugin says this" * 10])
async def test_who_connects_and_does_not_register_is_logged(
    address: str, said: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with Runtime(listen=[address]):
        reader, writer = await asyncio.open_unix_connection(address.removeprefix("unix:"))
        writer.write(b"GET /hijack HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: tcp\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
        writer.write(said)
        writer.write_eof()
        await reader.read()
        writer.close()
    (record,) = (record for record in caplog.records if "has not registered" in record.getMessage())
    assert f"process {os.getpid()} connected as a plugin" in record.getMessage()


async def test_what_is_no_rpc_is_not_found(address: str) -> None:
    client = SocketClient(address)
    async with Runtime(listen=[address]):
        answers = [(await client.fetch(Request(path, method="GET"), 1000)).status for path in ("/", "/nope", "/a/b")]
    assert answers == [404, 404, 503]


async def test_a_plugin_that_finds_no_runtime_says_so(address: str, tmp_path: Path) -> None:
    process = await start(kv_program(tmp_path), address)
    _, said = await process.communicate()
    assert process.returncode == 1
    assert address.encode() in said
