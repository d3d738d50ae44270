"""Serves the page on loopback."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

from ..connect import Service
from ..errors import PlugmuxError
from ..exchange import ClientTransport
from ..http import Server
from ..platform import own_port
from .access import Access
from .calls import Inspector
from .page import Page
from .watch import Watched

__all__ = ["PageServer"]

HOST = "127.0.0.1"
END_TIME = 0.5
"""Seconds that requests under way are given when the server closes: what the page watches would never end."""


class PageServer:
    """Serves the page until it is closed.

    Args:
        transport: the way to the runtime.
        address: where the runtime listens, for commands that a person copies; empty if it is the page's own.
        commands: the plugins that were launched for the page.
    """

    def __init__(self, transport: ClientTransport, address: str = "", commands: Sequence[str] = ()) -> None:
        self._transport = transport
        self._services: list[Service] = [Inspector(transport, address, commands), Watched(transport)]
        self._server: Server | None = None
        self._listener: asyncio.Server | None = None

    async def start(self, port: int = 0) -> str:
        """Begin to serve.

        Args:
            port: the TCP port on loopback; 0 for any that is free.

        Returns:
            The address to open, which is good once.

        Raises:
            PlugmuxError: the port cannot be listened at.
        """
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        own_port(sock)
        try:
            sock.bind((HOST, port))
        except OSError as error:
            sock.close()
            raise PlugmuxError(
                f"the page cannot be served at {HOST}:{port}: {error.strerror}; give another --port, or none"
            ) from None
        bound: int = sock.getsockname()[1]
        access = Access(bound)
        self._server = server = Server(Page(access, self._transport, self._services), lifespan=False)
        self._listener = await asyncio.get_running_loop().create_server(server.protocol, sock=sock)
        return f"http://{HOST}:{bound}/{access.query}"

    async def close(self) -> None:
        """Serve no more; requests under way are given a moment."""
        if self._listener is not None:
            self._listener.close()
        if self._server is not None:
            await self._server.shutdown(END_TIME)
