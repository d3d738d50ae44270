"""Starts plugins of this process, on links in memory: to the runtime they are launched plugins like any other."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ..errors import PlugmuxError
from ..plugin import Plugin
from ..runtime.process.limits import LIMITS
from .faults import LinkFaults
from .memory import connect_in_memory

if TYPE_CHECKING:
    from ..link.link import Link
    from ..runtime import Launch
    from ..runtime.logs.log import PluginLog

__all__ = ["MemoryRun", "MemoryRunner"]

FAILED = 1


class MemoryRunner:
    """Starts a `Plugin` object in this process: `Launch((), "kv", runner=MemoryRunner(plugin))`.

    Args:
        plugin: the plugin, or what makes a new one for every run.
        faults: what is injected into its links.
    """

    outlives_runtime = False
    single_instance = False
    untimed = False
    address = ""

    def __init__(self, plugin: Plugin | Callable[[], Plugin], faults: LinkFaults | None = None) -> None:
        self._plugin = plugin
        self._faults = faults

    def unsupported_limits(self) -> Mapping[str, str]:
        """All limits. (See `Runner`.)"""
        return dict.fromkeys(LIMITS, "it runs in the process of the test")

    async def start(self, launch: Launch, timeout: float, log: PluginLog) -> MemoryRun:
        """Begin a run; the plugin is served from `connect` on."""
        plugin = self._plugin if isinstance(self._plugin, Plugin) else self._plugin()
        return MemoryRun(plugin, launch.name, timeout, log, self._faults)


class MemoryRun:
    """One run of a plugin in this process. (See `Run`.)

    Args:
        plugin: the plugin.
        name: its name.
        timeout: seconds for its registration.
        log: takes the traceback that it ends with.
        faults: what is injected into its link.
    """

    pid = None
    outlives = False
    signal_number = None
    over_limit = None

    def __init__(
        self, plugin: Plugin, name: str, timeout: float, log: PluginLog, faults: LinkFaults | None = None
    ) -> None:
        self.stderr_tail = ""
        self._plugin = plugin
        self._name = name
        self._timeout = timeout
        self._log = log
        self._faults = faults
        self._ended = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.exit_code: int | None = None

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return not self._ended.is_set()

    async def connect(self, link: Link) -> None:
        """Connect the runtime's end of the link with the plugin's, and serve."""
        self._task = asyncio.create_task(self._serve(link), name=f"plugmux: plugin {self._name} in this process")

    async def _serve(self, link: Link) -> None:
        async def connect(plugin: Link) -> None:
            connect_in_memory(link.mux, plugin.mux, self._faults)

        try:
            await self._plugin.serve_link(connect, self._name, self._timeout)
            self.exit_code = 0
        except PlugmuxError as error:
            self._fail(str(error))
        except Exception:
            self._fail(traceback.format_exc())
        finally:
            if self.exit_code is None:
                self.exit_code = FAILED
            self._ended.set()

    def _fail(self, text: str) -> None:
        from ..runtime import LogSource

        self.exit_code, self.stderr_tail = FAILED, text
        for line in text.splitlines():
            self._log.write(LogSource.STDERR, logging.ERROR, line)

    async def wait(self) -> None:
        """Wait for its end."""
        await self._ended.wait()

    def terminate(self) -> None:
        """Ask it to end."""
        self._plugin.stop()
        if self._task is None:
            self._ended.set()

    def kill(self) -> None:
        """End it at once."""
        self._ended.set() if self._task is None else self._task.cancel()

    def diagnose(self) -> None:
        """Do nothing: its stack is that of this process."""
