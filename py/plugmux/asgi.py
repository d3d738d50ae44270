"""The gateway for an ASGI server: `PLUGMUX_CONFIG=plugmux.toml uvicorn plugmux.asgi:app` (docs/remote.md)."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, MutableMapping
from functools import cache
from typing import TYPE_CHECKING, Any

from .errors import ConfigError

if TYPE_CHECKING:
    from .gateway.app import Gateway

__all__ = ["app"]


async def app(
    scope: MutableMapping[str, Any],
    receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
    send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
) -> None:
    """The gateway of the file that `PLUGMUX_CONFIG` names; what is wrong with it fails the server's start."""
    try:
        gateway = _gateway()
    except ConfigError as error:
        if scope["type"] != "lifespan":
            raise
        await receive()
        await send({"type": "lifespan.startup.failed", "message": str(error)})
        return
    await gateway(scope, receive, send)


@cache
def _gateway() -> Gateway:
    from .gateway.app import Gateway
    from .gateway.config import CONFIG_VARIABLE, GatewayConfig

    path = os.environ.get(CONFIG_VARIABLE)
    if not path:
        raise ConfigError(f"plugmux.asgi reads the TOML file that {CONFIG_VARIABLE} names, and it names none")
    return Gateway(GatewayConfig.read(path))
