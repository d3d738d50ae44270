"""Who else may listen, connect, and how often: the runtime's sockets among other runtimes, users and floods."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import socket
import stat
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import GetRequest

from plugmux import Launch, Runtime
from plugmux.contract.address import Address
from plugmux.http import Server
from plugmux.platform import Credentials
from plugmux.platform.posix.binding import bind_at
from plugmux.runtime import ListenError, State
from plugmux.runtime.logs.flood import FloodLog
from plugmux.runtime.socket import listener as listening
from plugmux.runtime.socket import unregistered
from plugmux.runtime.socket.listener import Listener
from support.programs import kv_program
from support.resources import ProcessResources

ASK = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
HIJACK = b"GET /hijack HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: tcp\r\n\r\n"


async def healthy(scope: object, receive: object, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


# -- among other runtimes ---------------------------------------------------------------------------------------------


def test_of_several_runtimes_at_a_stale_socket_one_listens(tmp_path: Path) -> None:
    """Each in a thread: they look, remove and bind at the same time."""
    address, rounds, contenders = Address(str(tmp_path / "s")), 60, 3
    barrier = threading.Barrier(contenders)
    won: list[int] = []

    async def contend() -> None:
        listener = Listener(address, Server(healthy, lifespan=False))
        barrier.wait(10)
        try:
            await listener.start()
        except ListenError:
            won.append(0)
        else:
            won.append(1)
        await asyncio.to_thread(barrier.wait, 10)
        await listener.close()

    for _ in range(rounds):
        won.clear()
        (tmp_path / "s").unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(tmp_path / "s"))
        threads = [threading.Thread(target=lambda: asyncio.run(contend())) for _ in range(contenders)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert sorted(won) == [0, 0, 1]


async def test_a_socket_is_made_only_by_who_holds_the_lock_of_its_directory(tmp_path: Path) -> None:
    directory = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(directory, fcntl.LOCK_EX)
    binding = asyncio.create_task(bind_at(tmp_path / "s", 1))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not (tmp_path / "s").exists()
    os.close(directory)
    (await binding).close()


async def test_a_listener_that_is_closed_while_it_waits_for_the_lock_leaves_nothing(tmp_path: Path) -> None:
    directory = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(directory, fcntl.LOCK_EX)
    listener = Listener(Address(f"{tmp_path}/s"), Server(healthy, lifespan=False))
    starting = asyncio.create_task(listener.start())
    await asyncio.sleep(0)
    await listener.close()
    os.close(directory)
    with pytest.raises(ListenError, match="has been closed"):
        await starting
    assert not list(tmp_path.iterdir())


async def test_a_look_whether_somebody_listens_is_not_taken_for_the_plugin(tmp_path: Path) -> None:
    path = tmp_path / "door.sock"
    before = ProcessResources.take()
    async with asyncio.TaskGroup() as group:
        first = Runtime([Launch.wait("kv", socket=path)])
        starting = group.create_task(first.start())
        while not path.exists():
            await asyncio.sleep(0)
        second = Runtime([Launch(["kv"], runner=Launch.wait("kv", socket=path).runner, name="kv")])
        await second.start()
        assert "listens at" in str(second.plugin("kv").error)
        await second.close()
        with socket.socket(socket.AF_UNIX) as silent:
            silent.connect(str(path))
            environ = {**os.environ, "PLUGMUX_PLUGIN_LAUNCH_CFG": _launch("kv", path)}
            process = await asyncio.create_subprocess_exec(kv_program(tmp_path), env=environ)
            await starting
        assert first.plugin("kv").state is State.RUNNING
        assert (await first.client(KeyValueClient).get(GetRequest(key="pid"))).value == str(process.pid).encode()
        await first.close()
        await process.wait()
    del first, second
    assert ProcessResources.take().descriptors == before.descriptors


def _launch(name: str, path: Path) -> str:
    return f'{{"name": "{name}", "timeout": 60000000000, "socket": "{path}"}}'


# -- among other users ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
async def test_a_socket_is_private_from_the_first_and_nothing_is_changed_afterwards(
    tmp_path: Path, umask: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **how: object) -> None:
        raise AssertionError("what stands at the path by then may be another's")

    monkeypatch.setattr(os, "chmod", refuse)
    monkeypatch.setattr(Path, "chmod", refuse)
    before = os.umask(umask)
    try:
        with await bind_at(tmp_path / "new" / "s", 1):
            assert stat.S_IMODE((tmp_path / "new" / "s").stat().st_mode) == 0o600
            assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    finally:
        os.umask(before)


@pytest.mark.parametrize("part", ["shared", "shared/inner"])
async def test_nobody_listens_where_others_can_put_a_socket_in_the_place_of_theirs(tmp_path: Path, part: str) -> None:
    (tmp_path / "shared/inner").mkdir(parents=True)
    (tmp_path / part).chmod(0o777)
    with pytest.raises(ListenError, match=r"shared.*can be written by others.*only this user can write"):
        await Runtime(listen=[f"unix:{tmp_path}/shared/inner/s"]).start()
    assert not list((tmp_path / "shared/inner").iterdir())
    (tmp_path / part).chmod(0o1777)
    async with Runtime(listen=[f"unix:{tmp_path}/shared/inner/s"]) as runtime:
        assert runtime.addresses


async def test_connections_of_other_users_are_counted_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(listening, "credentials", lambda sock: Credentials(7, 54_321))
    async with Runtime(listen=[f"unix:{tmp_path}/s"]):
        for _ in range(200):
            reader, writer = await asyncio.open_unix_connection(f"{tmp_path}/s")
            assert await reader.read() == b""
            writer.close()
    lines = [record.getMessage() for record in caplog.records]
    refused = f"refused a connection of user 54321 (process 7) at unix:{tmp_path}/s"
    assert lines == [refused, f"{refused} (the last of 199 more like it)"]


async def test_a_connection_whose_user_the_system_does_not_tell_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(listening, "credentials", lambda sock: None)
    async with Runtime(listen=[f"unix:{tmp_path}/s"]):
        reader, writer = await asyncio.open_unix_connection(f"{tmp_path}/s")
        assert await reader.read() == b""
        writer.close()
    assert "the system does not tell whose it is" in caplog.text


async def test_a_flood_in_the_log_is_counted_from_time_to_time(caplog: pytest.LogCaptureFixture) -> None:
    floods = FloodLog(logging.getLogger("plugmux.runtime"), 0.01)
    for n in range(3):
        floods.warn("a", f"a {n}")
    floods.warn("b", "b")
    while len(caplog.records) < 3:
        await asyncio.sleep(0.001)
    floods.close()
    floods.warn("a", "again")
    floods.close()
    lines = [record.getMessage() for record in caplog.records]
    assert lines == ["a 0", "b", "a 2 (the last of 2 more like it)", "again"]


# -- how often --------------------------------------------------------------------------------------------------------


async def ask(sock: socket.socket, request: bytes) -> bytes:
    """What comes back to a request, up to the end of the head."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, request)
    answer = b""
    while b"\r\n\r\n" not in answer and (part := await loop.sock_recv(sock, 4096)):
        answer += part
    return answer


async def answered(sock: socket.socket) -> bool:
    """Whether a connection was not refused."""
    try:
        return (await ask(sock, ASK)).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def connected(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.setblocking(False)
    sock.connect(str(path))
    return sock


async def test_the_hosts_own_loop_makes_500_connections_in_one_turn(tmp_path: Path) -> None:
    async with Runtime(listen=[f"unix:{tmp_path}/s"]):
        connections = [connected(tmp_path / "s") for _ in range(500)]
        answers = await asyncio.gather(*(ask(connection, ASK) for connection in connections))
        assert {answer.split(b"\r\n")[0] for answer in answers} == {b"HTTP/1.1 200 OK"}
        for connection in connections:
            connection.close()


async def test_a_user_has_a_bounded_number_of_connections(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    listener = Listener(Address(f"{tmp_path}/s"), Server(healthy, lifespan=False), most_connections=2)
    await listener.start()
    first, second, third = (connected(tmp_path / "s") for _ in range(3))
    assert not await answered(third)
    assert "which is as many as one user may have" in caplog.text
    first.close()
    while True:  # Until the listener has seen the end of the first.
        fourth = connected(tmp_path / "s")
        if await answered(fourth):
            break
        fourth.close()
    for connection in (second, third, fourth):
        connection.close()
    await listener.close()


async def test_a_user_has_a_bounded_number_of_links_that_have_not_registered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unregistered, "WAIT_TIME", 0.05)
    async with Runtime(listen=[f"unix:{tmp_path}/s"]):
        links = [connected(tmp_path / "s") for _ in range(64)]
        for link in links:
            assert (await ask(link, HIJACK)).startswith(b"HTTP/1.1 101")
        refused = connected(tmp_path / "s")
        answer = await ask(refused, HIJACK)
        assert answer.startswith(b"HTTP/1.1 503")
        refused.close()
        links.pop().close()
        while True:
            link = connected(tmp_path / "s")
            if (await ask(link, HIJACK)).startswith(b"HTTP/1.1 101"):
                break
            link.close()
        for left in (*links, link):
            left.close()
