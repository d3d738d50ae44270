"""Attacks on the runtime's listening socket."""

from __future__ import annotations

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


ATTACKS = [Attack("another user asks", stranger_asks, needs_root=True)]
