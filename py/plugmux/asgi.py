"""The gateway for an ASGI server: `PLUGMUX_CONFIG=plugmux.toml uvicorn plugmux.asgi:app` (docs/remote.md)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .errors import ConfigError

if TYPE_CHECKING:
    from .gateway.app import Gateway

    app: Gateway

__all__ = ["app"]


def __getattr__(name: str) -> object:
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .gateway.app import Gateway
    from .gateway.config import CONFIG_VARIABLE, GatewayConfig

    path = os.environ.get(CONFIG_VARIABLE)
    if not path:
        raise ConfigError(f"plugmux.asgi reads the TOML file that {CONFIG_VARIABLE} names, and it names none")
    globals()["app"] = made = Gateway(GatewayConfig.read(path))
    return made
