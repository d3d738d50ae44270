"""Attacks on the runtime's listening socket."""

from __future__ import annotations

import asyncio
import os
import sys
import textwrap
from contextlib import suppress

from plugmux.contract.address import Address
from plugmux.errors import PlugmuxError
from plugmux.exchange import Request
from plugmux.http import SocketClient
from plugmux.plugin.dial import dial

from .interface import Attack, Host

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


ATTACKS = [
    Attack("another user asks", stranger_asks, needs_root=True),
    Attack("another user listens", stranger_listens, needs_root=True),
]
