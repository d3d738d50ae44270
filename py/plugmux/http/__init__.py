"""HTTP/1.1 on any asyncio transport: an ASGI server, client transports, upgrades.

`MuxTransport`, for `httpx.AsyncClient`, is imported when it is first asked for, and httpx with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..lazy import import_name
from .client import SocketClient, StreamClient
from .server import Server
from .serving import HttpLimits
from .upgrade import upgrade

if TYPE_CHECKING:
    from .httpx import MuxTransport

__all__ = ["HttpLimits", "MuxTransport", "Server", "SocketClient", "StreamClient", "upgrade"]


def __getattr__(name: str) -> Any:
    return import_name(__name__, {"MuxTransport": ".httpx"}, name)
