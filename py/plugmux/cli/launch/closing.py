"""The end of the plugins that a command has launched, which a person at a terminal need not wait for."""

from __future__ import annotations

import signal
from contextlib import suppress
from typing import TYPE_CHECKING

from ..terminal.progress import ending, progress

if TYPE_CHECKING:
    from ...runtime import Runtime

__all__ = ["close_runtime", "kill_plugins"]


async def close_runtime(runtime: Runtime) -> None:
    """End a runtime; an interrupt meanwhile kills the plugins that have not ended."""
    from ...platform import handle_signals

    handle_signals([signal.SIGINT], lambda: kill_plugins(runtime))
    async with progress(ending(runtime)):
        await runtime.close()


def kill_plugins(runtime: Runtime) -> None:
    """Kill the plugins that do not end in order."""
    from ...platform import FAMILY, open_process

    for plugin in runtime.plugins():
        if plugin.pid is not None and not plugin.external:
            with suppress(OSError):
                process = open_process(plugin.pid)
                process.send_signal(signal.SIGKILL if FAMILY == "posix" else signal.SIGTERM)
                process.close()
