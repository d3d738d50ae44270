"""Plugins that their author starts by hand, as a rule under a debugger: the runtime says how, and waits.

A plugin at a breakpoint does not answer, and is not dead: its link has no time limits. When it ends,
the runtime waits for it again.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import shlex
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..aio.race import race
from ..contract.claims import ManifestClaims
from ..contract.launch import VARIABLE, LaunchConfig
from ..errors import PluginCause, PluginError
from ..platform import ListenError, join_words
from ..runtime.process.limits import LIMITS
from ..runtime.settings import UNTIMED, RestartPolicy
from ..runtime.socket.linksocket import LinkSocket
from ..runtime.source import Launch, Runner

if TYPE_CHECKING:
    from ..link.link import Link
    from ..runtime.logs.log import PluginLog
    from ..runtime.source import Found, Source

__all__ = ["Manual", "ManualRunner", "by_hand", "wait", "waited_for"]

logger = logging.getLogger("plugmux.runtime")


class ManualRunner(Runner):
    """Waits for a plugin in place of starting it: `Launch.wait("kv")`.

    How to start it is logged as a warning of `plugmux.runtime`: Python prints that on stderr where nothing else is set.

    Args:
        socket: path of the socket that the plugin is to connect to, for environments that are set up once, as in an
            editor; by default another one for each run, in a directory of its own.
    """

    untimed = True

    def __init__(self, socket: str | os.PathLike[str] | None = None) -> None:
        self._path = None if socket is None else Path(socket)

    def unsupported_limits(self) -> Mapping[str, str]:
        """All limits. (See `Runner`.)"""
        return dict.fromkeys(LIMITS, "its author starts it, not the runtime")

    async def start(self, launch: Launch, timeout: float, log: PluginLog) -> ManualRun:
        """Say how the plugin is started, and begin to wait for it. (See `Runner`.)"""
        try:
            link_socket = await LinkSocket.open(self._path)
        except (OSError, ListenError) as error:
            raise PluginError(launch.name, PluginCause.NOT_STARTED, f"it cannot be waited for: {error}") from error
        config = LaunchConfig(launch.name, timeout, socket=str(link_socket.path))
        command = join_words(launch.command) if launch.command else "COMMAND"
        logger.warning(
            "waiting for plugin %s: start it by hand, also under a debugger, with%s\n  %s=%s %s",
            launch.name,
            _also_set(launch),
            VARIABLE,
            shlex.quote(config.to_json()),
            command,
        )
        return ManualRun(link_socket)


class ManualRun:
    """One run of a plugin that was started by hand: it ends with its link. (See `Run`.)

    Args:
        link_socket: the socket that the plugin connects to.
    """

    pid = None
    exit_code = None
    signal_number = None
    over_limit = None
    stderr_tail = ""

    def __init__(self, link_socket: LinkSocket) -> None:
        self._link_socket = link_socket
        self._link: Link | None = None
        self._given_up = asyncio.Event()

    @property
    def running(self) -> bool:
        """Whether its link is open, or still expected."""
        return not self._given_up.is_set() and not (self._link is not None and self._link.closed)

    async def connect(self, link: Link) -> None:
        """Begin to wait for the plugin's connection."""
        self._link = link
        self._link_socket.accept(link)

    async def wait(self) -> None:
        """Wait for its end."""
        given_up = self._given_up.wait()
        await (given_up if self._link is None else race(given_up, self._link.wait_closed()))
        await self._link_socket.close()

    def terminate(self) -> None:
        """Wait for it no longer. Its process is not ours to end: it ends by itself when its link has gone."""
        self._given_up.set()

    def kill(self) -> None:
        """Wait for it no longer."""
        self._given_up.set()

    def diagnose(self) -> None:
        """Leave it to the debugger."""


def wait(
    name: str, command: Sequence[str] = (), *, socket: str | os.PathLike[str] | None = None, **options: Any
) -> Launch:
    """A launch that waits for a plugin whose author starts it. (`Launch.wait`)"""
    again = RestartPolicy(tries=sys.maxsize, delay=0.2, longest_delay=5.0, time_limit=math.inf)
    return Launch(command, name, runner=ManualRunner(socket), timeout=UNTIMED, restart=again, **options)


def by_hand(sources: Iterable[Launch | Source], names: Collection[str]) -> list[Launch | Source]:
    """Let the plugins of some names be waited for in place of being started. (`plugmux run --wait NAME`)

    Args:
        sources: all plugins.
        names: which to wait for; one that no source finds is one more plugin.
    """
    waiting: list[Launch | Source] = []
    known: set[str] = set()
    for source in sources:
        if isinstance(source, Launch):
            known.add(source.name)
            waiting.append(waited_for(source) if source.name in names else source)
        else:
            known.update(plugin.name for plugin in source.find())
            waiting.append(Manual(source, names))
    return [*waiting, *(wait(name) for name in names if name not in known)]


class Manual:
    """A source of which some plugins are waited for in place of being started.

    Args:
        source: finds the plugins.
        names: which to wait for.
    """

    def __init__(self, source: Source, names: Collection[str]) -> None:
        self._source = source
        self._names = names
        self.watch = source.watch

    def find(self) -> list[Found]:
        """The plugins of the source, those of the names to be started by hand."""
        return [ManualPlugin(found) if found.name in self._names else found for found in self._source.find()]


class ManualPlugin:
    """A plugin that a source has found and that is waited for.

    Args:
        found: the plugin.
    """

    def __init__(self, found: Found) -> None:
        self.name = found.name
        self.launch = waited_for(found.launch)
        self.fingerprint = found.fingerprint


def waited_for(launch: Launch) -> Launch:
    """The launch of a plugin that is started by hand; it may claim what it might before."""
    claims = ManifestClaims(grant=launch.claims.grant)
    return wait(launch.name, launch.command, env=launch.env, claims=claims).granted_as(launch)


def _also_set(launch: Launch) -> str:
    """The names of the variables that the launch sets. Their values may be secrets."""
    names = ", ".join(sorted(name for name, value in launch.env.items() if value is not None))
    return f" {names} set as the launch sets them, and" if names else ""
