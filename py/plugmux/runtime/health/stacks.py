"""What a plugin that hangs is doing: its stacks, asked for over the link and then by a signal, for its log."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from plugmux_proto.plugmux.v1.diagnostics_connect import DiagnosticsClient
from plugmux_proto.plugmux.v1.diagnostics_pb2 import DumpRequest

from ...errors import PlugmuxError
from ...platform import is_stopped
from ..logs.log import LogSource, PluginLog

if TYPE_CHECKING:
    from ...link.link import Link
    from ..plugin import PluginRecord
    from ..process.run import Run

__all__ = ["diagnose"]

DUMP_TIME = 1.0
PRINT_TIME = 0.5
"""Seconds that stacks are given to arrive from a process that was signalled to print them."""

MAX_LOGGED_DUMP = 64 * 1024


async def diagnose(plugin: PluginRecord, link: Link, log: PluginLog, run: Run | None, *, ends: bool) -> None:
    """Bring the stacks of a plugin's threads and tasks into its log, as far as it can still tell.

    Args:
        plugin: the plugin.
        link: its link.
        log: its log.
        run: its process, where this runtime has launched it: no other is ever signalled.
        ends: whether the plugin is about to be ended, so that a signal may do it no more harm.
    """
    if run is not None and run.pid is not None and is_stopped(run.pid):
        text = "it is stopped, as by SIGSTOP or a debugger, and cannot tell its stacks; SIGCONT lets it go on"
    elif (answer := await _asked(link)) is not None:
        text = f"its stacks:\n{answer}"
    elif run is not None and (ends or (plugin.registration is not None and plugin.registration.prints_stacks)):
        run.diagnose()
        with suppress(TimeoutError):
            async with asyncio.timeout(PRINT_TIME):
                await run.wait()
        return
    else:
        text = "it does not answer the question for its stacks either"
    log.write(LogSource.RUNTIME, logging.WARNING, text)


async def _asked(link: Link) -> str | None:
    with suppress(PlugmuxError, TimeoutError):
        async with asyncio.timeout(DUMP_TIME):
            return (await link.client(DiagnosticsClient).dump(DumpRequest())).text[:MAX_LOGGED_DUMP]
    return None
