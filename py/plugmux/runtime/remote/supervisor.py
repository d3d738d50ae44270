"""Drives a plugin that listens on another machine: dials it, and dials it again when the link has ended.

starting ──> registering ──> running
   │              │             │
   └──────────> unreachable <───┘     dialled again without end
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from ...aio.race import race
from ...errors import ConfigError, PluginCause, PluginError, PlugmuxError
from ...link.hijack import dial_link
from ...network.identity import UntrustedIdentity, grants, matches
from ...network.remote_end import RemoteEnd
from ..logs.log import LogSource
from ..plugin import PluginRecord
from ..source import Runner
from ..state import State
from ..supervisor import Supervisor

if TYPE_CHECKING:
    from ...link.link import Link
    from ..logs.log import PluginLog
    from ..process.run import Run
    from ..registrar import Registrar
    from ..settings import Policies
    from ..source import Launch
    from .source import Dialer

__all__ = ["RemoteSupervisor", "tell"]


class RemoteSupervisor(Supervisor):
    """Keeps a link to one plugin that listens.

    Args:
        launch: its launch, whose runner is a `Dialer`.
        registrar: what the runtime offers it.
        policies: how the runtime treats it.
    """

    def __init__(self, launch: Launch, registrar: Registrar, policies: Policies) -> None:
        super().__init__(launch, registrar, policies, asyncio.Semaphore())
        self._runner = _Dialing(launch, registrar, self.record, self._stop)

    def _begin(self) -> None:
        if self.record.state is not State.UNREACHABLE:  # It stays that until it is linked.
            super()._begin()

    async def _run_once(self) -> PluginError | None:
        try:
            return await super()._run_once()
        except (PlugmuxError, TimeoutError) as error:
            if self._stop.is_set():
                return None
            cause = PluginCause.REFUSED if isinstance(error, ConfigError) else PluginCause.UNREACHABLE
            return self._crashed(PluginError(self.record.name, cause, str(error)))

    def _crashed(self, error: PluginError) -> PluginError:
        if self.record.state is not State.UNREACHABLE:
            self._log.write(LogSource.RUNTIME, logging.WARNING, str(error))
            self.record.move(State.UNREACHABLE, error.detail, error)
        return error

    def _worth_a_try(self, error: PluginError, failures: int, failing_for: float) -> bool:
        return True

    def _back_off(self, error: PluginError, failures: int, pause: float) -> None:
        times = "once" if failures == 1 else f"{failures} times"
        tell(self.record, f"tried {times}, next in {pause:.1f} s: {error.detail}", error)

    async def _post_mortem(self, process: Run, link: Link, when: str) -> PluginError:
        why = f": {link.reason}" if link.reason is not None else ""
        return PluginError(self.record.name, PluginCause.LINK_LOST, f"its link ended {when}{why}")


def tell(record: PluginRecord, status: str, error: PluginError | None = None) -> None:
    """Have a plugin be unreachable, and tell why; again where it is that already."""
    if record.state is not State.UNREACHABLE:
        record.move(State.UNREACHABLE, status, error)
        return
    record.status = status
    record.error = error or record.error
    if record.observer is not None:
        record.observer(record, record.state)


class _Dialing(Runner):
    """The runner of one plugin that listens: what it starts is a link."""

    outlives_runtime = True

    def __init__(self, launch: Launch, registrar: Registrar, record: PluginRecord, stop: asyncio.Event) -> None:
        dialer: Dialer = launch.runner  # type: ignore[assignment]  # its caller has seen a `Dialer`
        self._dialer = dialer
        self._name = launch.name
        self._registrar = registrar
        self._record = record
        self._stop = stop

    async def start(self, launch: Launch, timeout: float, log: PluginLog) -> Run:
        return _Dialled(self)

    async def connect(self, link: Link) -> None:
        place = self._dialer.target
        tls = self._dialer.tls or self._registrar.host.tls
        link.peer = link.peer._replace(address=str(place.address))
        dialling = dial_link(link, place.address, tls, self._expect, host_name=place.host_name)
        await race(dialling, self._stop.wait())
        self._record.peer = link.peer

    def _expect(self, end: RemoteEnd) -> None:
        """Check that a peer is the plugin.

        Raises:
            UntrustedIdentity: it is not.
        """
        if not end.identity:
            raise UntrustedIdentity(f"{end.why}; expected plugin {self._name!r}")
        if not self._dialer.identity:
            grants(end.identity, self._name, self._registrar.permissions.identities)
        elif not any(matches(pattern, end.identity) for pattern in self._dialer.identity):
            raise UntrustedIdentity(f"its certificate is {end.identity}; expected {' or '.join(self._dialer.identity)}")


class _Dialled:
    """A link to a plugin elsewhere, as the run of a launched plugin: its process is not ours."""

    pid = None
    exit_code = None
    signal_number = None
    stderr_tail = ""
    over_limit = None

    def __init__(self, dialing: _Dialing) -> None:
        self._dialing = dialing
        self._link: Link | None = None  # It is connected.

    @property
    def running(self) -> bool:
        return self._link is not None and not self._link.closed

    async def connect(self, link: Link) -> None:
        await self._dialing.connect(link)
        self._link = link

    async def wait(self) -> None:
        if self._link is not None:
            await self._link.wait_closed()

    def terminate(self) -> None:
        if self._link is not None:
            self._link.abort()

    def kill(self) -> None:
        self.terminate()

    def diagnose(self) -> None: ...
