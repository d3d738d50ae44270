"""HTTP/1.1 on any asyncio transport: an ASGI server, client transports, upgrades.

`MuxTransport`, for `httpx.AsyncClient`, is imported when it is first asked for, and httpx with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .client import SocketClient, StreamClient
from .server import Server
from .serving import HttpLimits
from .upgrade import upgrade

if TYPE_CHECKING:
    from .httpx import MuxTransport

__all__ = ["HttpLimits", "MuxTransport", "Server", "SocketClient", "StreamClient", "upgrade"]


def __getattr__(name: str) -> Any:
    if name == "MuxTransport":
        from .httpx import MuxTransport

        return MuxTransport
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
