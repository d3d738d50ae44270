"""Attacks on the runtime's listening socket."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import textwrap
import time
from contextlib import suppress

from plugmux.contract.address import Address
from plugmux.errors import PlugmuxError
from plugmux.exchange import Request
from plugmux.http import SocketClient
from plugmux.plugin.dial import dial

from .interface import MIB, Attack, Host

__all__ = ["ATTACKS"]

ASK = """
    import socket, sys
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect("\\0" + sys.argv[1])
        try:
            connection.sendall(b"GET /health HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
            print(connection.recv(100))
        except OSError:
            print(b"")
"""


async def stranger_asks(host: Host) -> None:
    """A process of another user connects to the runtime's abstract name and asks for something."""
    program = await host.program(ASK, host.sockaddr, stranger=True)
    said, _ = await program.communicate()
    assert program.returncode == 0, "the attacking program failed"
    assert said == b"b''\n", f"another user was answered: {said!r}"


LISTEN = """
    import socket, sys
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("\\0" + sys.argv[1])
        listener.listen(64)
        print("listening", flush=True)
        while True:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(1)
                try:
                    print(connection.recv(1000), flush=True)
                except OSError as error:
                    print(error, flush=True)
"""

PROVIDER = """
    from plugmux import Plugin
    from plugmux.secrets import Provider
    class Hunter(Provider):
        pattern = "**"
        def get_secrets(self, pattern):
            return []
    Plugin(Hunter(), name="hunter").run()
"""


async def stranger_listens(host: Host) -> None:
    """A process of another user listens at the name of a runtime, and waits for what plugins and clients send it."""
    name = f"{host.sockaddr}-impostor"
    program = await host.program(LISTEN, name, stranger=True)
    assert program.stdout is not None
    assert await program.stdout.readline() == b"listening\n", "the attacking program failed"
    address = Address.parse(f"unix:@{name}")
    commands = (["get", "a"], ["plugins"], ["call", "a.B/C"], ["logs"])
    for reach in (
        dial(address, asyncio.Protocol),
        SocketClient(str(address)).fetch(Request("/a.B/C", body=b"hunter2"), 100),
        *(_run("-m", "plugmux.cli", *command, "--connect", str(address)) for command in commands),
        _run("-c", textwrap.dedent(PROVIDER), PLUGMUX_SOCKET=str(address)),
    ):
        with suppress(PlugmuxError):
            await reach
        received = await program.stdout.readline()
        assert received == b"b''\n", f"another user received {received!r}"


async def _run(*arguments: str, **environ: str) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, env={**os.environ, **environ}, stderr=asyncio.subprocess.DEVNULL
    )
    await process.wait()


FLOOD = """
    import socket, sys, time
    end = time.monotonic() + float(sys.argv[2])
    count = 0
    held = []
    while time.monotonic() < end:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect("\\0" + sys.argv[1])
        except OSError:
            pass
        held.append(connection)
        count += 1
        if len(held) > 500:
            for connection in held:
                connection.close()
            held.clear()
    print(count)
"""

FLOOD_TIME = 5.0
MAX_LINES = 5


class _Lines(logging.Handler):
    """Counts what the runtime logs."""

    count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += 1


async def strangers_flood(host: Host) -> None:
    """Two processes of another user connect as often as they can; clients of the host's user must get through."""
    lines = _Lines()
    logging.getLogger("plugmux.runtime").addHandler(lines)
    programs = [await host.program(FLOOD, host.sockaddr, FLOOD_TIME, stranger=True) for _ in range(2)]
    flooding = asyncio.gather(*(program.communicate() for program in programs))
    worst = 0.0
    while not flooding.done():
        begun = time.perf_counter()
        answer = await SocketClient(host.address).fetch(Request("/health", method="GET", timeout=20.0), 100)
        assert answer.status == 200, f"an honest client was answered {answer.status}"
        worst = max(worst, time.perf_counter() - begun)
    made = sum(int(said) for said, _ in await flooding)
    assert made > 1000, f"the attacking programs made {made} connections only"
    allowed = 1.0 * host.slowness
    assert worst < allowed, f"an honest client waited {worst:.2f} s for its answer; {allowed:.2g} s are allowed"
    assert lines.count <= MAX_LINES, f"{made} connections wrote {lines.count} lines to the log"


HIJACK = """
    import socket, sys, time
    links = []
    for _ in range(int(sys.argv[2])):
        link = socket.socket(socket.AF_UNIX)
        link.settimeout(20)
        link.connect("\\0" + sys.argv[1])
        link.sendall(b"GET /hijack HTTP/1.1\\r\\nHost: x\\r\\nConnection: upgrade\\r\\nUpgrade: tcp\\r\\n\\r\\n")
        links.append(link)
    said = [link.recv(16)[:12] for link in links]
    print(said.count(b"HTTP/1.1 101"), flush=True)
    sys.stdin.read()
"""


async def links_that_do_not_register(host: Host) -> None:
    """A process of the host's own user opens 400 links and registers on none."""
    program = await host.program(HIJACK, host.sockaddr, 400)
    assert program.stdout is not None
    opened = int(await program.stdout.readline())
    assert opened <= 100, f"{opened} links that have not registered are open at the same time"


ATTACKS = [
    Attack("another user asks", stranger_asks, needs_root=True),
    Attack("another user listens", stranger_listens, needs_root=True),
    Attack("other users flood the socket with connections", strangers_flood, needs_root=True),
    Attack("links that do not register", links_that_do_not_register, memory=48 * MIB),
]
