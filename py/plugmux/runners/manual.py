"""Plugins that their author starts by hand, as a rule under a debugger: the runtime says how, and waits.

A plugin that stands at a breakpoint answers nothing, and is not dead: on its link no time limit holds. When it ends,
the runtime waits for it again.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shlex
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..contract.launch import VARIABLE, LaunchConfig
from ..discovery.requirement import ManifestClaims
from ..runtime.error import PluginCause, PluginError
from ..runtime.health.policy import HealthPolicy
from ..runtime.logs.log import PluginLog
from ..runtime.socket.binding import ListenError
from ..runtime.socket.linksocket import LinkSocket
from ..yamux import Config

if TYPE_CHECKING:
    from ..link.link import Link
    from ..link.servable import Servable
    from ..runtime.registrar import Registrar
    from ..runtime.source import Launch

__all__ = ["DAY", "ByHandRunner", "by_hand", "patient"]

logger = logging.getLogger("plugmux.runtime")

DAY = 86_400.0
"""Seconds that stand for no limit where a number has to be told: SDKs have timers that take no more than 24 days."""


class ByHandRunner:
    """Waits for a plugin in place of starting it: `Launch.wait("kv")`.

    How to start it is logged as a warning of `plugmux.runtime`: Python prints that on stderr where nothing else is set.

    Args:
        socket: path of the socket that the plugin is to connect to, for environments that are set up once, as in an
            editor; by default another one for each run, in a directory of its own.
    """

    def __init__(self, socket: str | os.PathLike[str] | None = None) -> None:
        self._path = None if socket is None else Path(socket)

    async def start(self, launch: Launch, timeout: float, log: PluginLog) -> ByHandRun:
        """Say how the plugin is started, and begin to wait for it. (See `Runner`.)"""
        try:
            door = await LinkSocket.open(self._path)
        except (OSError, ListenError) as error:
            raise PluginError(launch.name, PluginCause.NOT_STARTED, f"it cannot be waited for: {error}") from error
        config = LaunchConfig(launch.name, timeout, socket=str(door.path))
        command = shlex.join(launch.command) if launch.command else "COMMAND"
        logger.warning(
            "waiting for plugin %s: start it by hand, also under a debugger, with%s\n  %s=%s %s",
            launch.name,
            _also_set(launch),
            VARIABLE,
            shlex.quote(config.to_json()),
            command,
        )
        return ByHandRun(door)


class ByHandRun:
    """One run of a plugin that was started by hand: it ends with its link. (See `Run`.)

    Args:
        door: the socket that the plugin connects to.
    """

    pid = None
    outlives = False
    exit_code = None
    signal_number = None
    over_limit = None
    stderr_tail = ""

    def __init__(self, door: LinkSocket) -> None:
        self._door = door
        self._link: Link | None = None
        self._given_up = asyncio.Event()

    @property
    def running(self) -> bool:
        """Whether its link is open, or still expected."""
        return not self._given_up.is_set() and not (self._link is not None and self._link.closed)

    async def connect(self, link: Link) -> None:
        """Begin to wait for the plugin's connection."""
        self._link = link
        self._door.accept(link)

    async def wait(self) -> None:
        """Wait for its end."""
        waiting: list[asyncio.Future[Any]] = [asyncio.ensure_future(self._given_up.wait())]
        if self._link is not None:
            waiting.append(asyncio.ensure_future(self._link.wait_closed()))
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        await self._door.close()

    def terminate(self) -> None:
        """Wait for it no longer. Its process is not ours to end: it ends by itself when its link has gone."""
        self._given_up.set()

    def kill(self) -> None:
        """Wait for it no longer."""
        self._given_up.set()

    def diagnose(self) -> None:
        """Leave it to the debugger."""


def patient(reception: Registrar) -> Registrar:
    """The same reception, for a plugin that may stand still for as long as it likes."""
    mux = replace(
        reception.mux or Config(),
        enable_keep_alive=False,
        connection_write_timeout=DAY,
        stream_open_timeout=0,
        stream_close_timeout=0,
    )
    return replace(reception, mux=mux, health=HealthPolicy(interval=0))


def by_hand(sources: Sequence[Launch | Servable], names: Collection[str]) -> list[Launch | Servable]:
    """Let the plugins of some names be waited for in place of being started.

    Args:
        sources: all plugins.
        names: which to wait for; one that is not among the sources is one more plugin.
    """
    from ..runtime.source import Launch

    launches = {source.name: source for source in sources if isinstance(source, Launch)}
    others = [source for source in sources if not isinstance(source, Launch) or source.name not in names]
    known = {name: launches.get(name, Launch.wait(name)) for name in names}
    return [*others, *(_by_hand(launch) for launch in known.values())]


def _by_hand(launch: Launch) -> Launch:
    """The launch, to be made by hand; it may claim what it might before."""
    from ..runtime.source import Launch

    promise = ManifestClaims(grant=launch.promise.grant)
    return Launch.wait(launch.name, launch.command, env=launch.env, promise=promise).granted_as(launch)


def _also_set(launch: Launch) -> str:
    """The names of the variables that the launch sets. Their values may be secrets."""
    names = ", ".join(sorted(name for name, value in launch.env.items() if value is not None))
    return f" {names} set as the launch sets them, and" if names else ""
