"""One plugin, through all its runs: the record of what is known of it, and the handle that shows it to the host.

Its owner alone, a supervisor as a rule, writes the record. The registry observes every change.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from ..aio.race import race
from ..contract.claims import ManifestClaims
from ..errors import BodyTooLarge, ExchangeError, PluginCause, PluginError, PlugmuxError
from .calls.breaker import Breaker, Circuit
from .health.policy import Health
from .logs.log import plugin_logger
from .state import NEXT, ON_THE_WAY, State

if TYPE_CHECKING:
    from ..contract.grant import Grant
    from ..contract.registration import Configuration, Registration
    from ..link.link import Link, Peer
    from .settings import Policies

__all__ = ["Control", "Owner", "PluginHandle", "PluginRecord"]

SETTLE_TIME = 0.25
"""Seconds that a call whose stream was cut off waits to see whether its plugin ends."""

POST_MORTEM_TIME = 2.0
"""Seconds that a broken call waits for word of how its plugin ended, before it tells what it knows itself."""


class Owner(Protocol):
    """Drives the life of one plugin, and writes its record."""

    async def stop(self) -> None:
        """End the plugin's work for this runtime; harmless where it has ended."""
        ...

    async def leave(self) -> None:
        """End its part in a runtime that closes; the process of a detached plugin lives on."""
        ...


class PluginRecord:
    """What a runtime knows of one plugin.

    Args:
        name: the plugin's name; empty until a plugin that starts by itself has registered.
        state: the state it begins in.
        owner: drives it.
        policies: how the runtime treats it.
        grants: the most that it may claim, by its launch and by its manifest.
        claims: what its manifest says of it.
        external: whether it started by itself.

    Attributes:
        status: why it is in its state, for a person.
        registration: what it registered with last; `None` before its first registration.
        given: the configuration that its process has, as JSON; `None` until its registration is accepted.
        error: what went wrong last; `None` while nothing has, and again once it runs.
        link: the open link, `None` when there is none.
        pid: the process id, `None` where there is no process or it is not known.
        restarts: how often it has been started again.
        in_flight: calls that are under way.
        calls: calls that it has been sent, repeated ones included.
        comes_back: whether it is being ended in order to be started again.
        breaker: keeps calls from it while it fails every one; `None` until a call fails, and again after any answer.
        answered: calls that it has answered.
        health: its health while it runs.
        since: when it came into its state (seconds since the epoch).
        peer: who it is in the network; `None` on this machine, and before it has linked.
        handle: shows it to the host; made when it is first asked for.
        observer: called at each change with the state before it; the registry sets it when it takes the record in.
    """

    def __init__(
        self,
        name: str,
        state: State,
        owner: Owner,
        policies: Policies,
        *,
        grants: tuple[Grant, ...] = (),
        claims: ManifestClaims | None = None,
        external: bool = False,
    ) -> None:
        self.name = name
        self.state = state
        self.owner = owner
        self.policies = policies
        self.grants = grants
        self.claims = claims
        self.external = external
        self.status = ""
        self.registration: Registration | None = None
        self.given: str | None = None
        self.error: PluginError | None = None
        self.link: Link | None = None
        self.pid: int | None = None
        self.restarts = self.in_flight = self.calls = self.answered = 0
        self.comes_back = False
        self.breaker: Breaker | None = None
        self.health = Health.UNKNOWN
        self.since = time.time()
        self.peer: Peer | None = None
        self.priority, self.weight = 0, 1  # as SRV records tell (RFC 2782)
        self.handle: PluginHandle | None = None
        self.observer: Callable[[PluginRecord, State], None] | None = None
        self._idle: asyncio.Event | None = None
        self._waiters: set[asyncio.Future[None]] = set()

    @property
    def version(self) -> str:
        """The version that the plugin registered with; empty before."""
        return self.registration.version if self.registration else ""

    @property
    def decides_on_access(self) -> bool:
        """Whether it is an access-control module: it has registered as one, or was launched as one."""
        said = self.registration
        return (said is not None and said.access_control) or any(grant.access_control for grant in self.grants)

    @property
    def configuration(self) -> Configuration | None:
        """The configuration that it takes, by its registration or by its manifest; `None` where neither tells."""
        if self.registration is not None and self.registration.configuration is not None:
            return self.registration.configuration
        return self.claims.configuration if self.claims is not None else None

    def move(self, state: State, status: str = "", error: PluginError | None = None) -> None:
        """Bring the plugin into another state, and wake the tasks that wait for a change.

        Args:
            state: the new state; the table in `state` must have an arrow to it.
            status: why, for a person.
            error: what went wrong, if something did.
        """
        if state is self.state:
            return
        assert state in NEXT[self.state], f"plugin {self.name} cannot go from {self.state} to {state}"
        before, self.state, self.status, self.since = self.state, state, status, time.time()
        self.health = Health.SERVING if state is State.RUNNING else Health.UNKNOWN
        if state is State.STARTING:
            self.given = None
        if error is not None:
            self.error = error
        elif state is State.RUNNING:
            self.error = None
            self.breaker = None
        plugin_logger(self.name).debug("%s -> %s %s", before.value, state.value, status)
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._observed(before)

    def take_over(self, old: PluginRecord) -> None:
        """Report that the plugin has replaced another, which calls no longer find."""
        self.status = f"in the place of {old.version}" if old.version else ""
        self._observed(old.state)

    def set_health(self, health: Health, status: str = "") -> None:
        """Note what a health check found, and report it to the observer if it is new.

        Args:
            health: the health that the check found.
            status: why, for a person.
        """
        if health is not self.health and self.state is State.RUNNING:
            self.health, self.status = health, status
            self._observed(self.state)

    def _observed(self, before: State) -> None:
        if self.observer is not None:
            self.observer(self, before)

    async def changed(self) -> None:
        """Wait for the next change of state."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)

    def call_failed(self, now: float, identity: Hashable) -> None:
        """Note for the breaker that a call was not answered."""
        if self.breaker is None:
            self.breaker = Breaker(self.policies.breaker)
        self.breaker.failed(now, identity)

    def call_answered(self) -> None:
        """Note an answer, whatever it says. It closes the breaker: what has failed before counts no more."""
        self.answered += 1
        self.breaker = None

    def call_ended(self) -> None:
        """Count one call less as under way."""
        self.in_flight -= 1
        if self._idle is not None and not self.in_flight:
            self._idle.set()

    async def wait_idle(self) -> None:
        """Wait until no call is under way."""
        self._idle = self._idle or asyncio.Event()
        while self.in_flight:
            self._idle.clear()
            await self._idle.wait()

    @property
    def ready(self) -> bool:
        """Whether it can be called right now."""
        return self.state is State.RUNNING and self.link is not None and not self.link.closed

    @property
    def will_run(self) -> bool:
        """Whether a call is worth waiting for it: it runs, or is about to."""
        return self.comes_back or self.state in ON_THE_WAY

    def not_running(self) -> PluginError:
        """Why it does not run."""
        if self.state is State.DISABLED:
            return PluginError(self.name, PluginCause.DISABLED, "it is disabled")
        if self.error is not None:
            return self.error
        cause = PluginCause.LINK_LOST if self.state in ON_THE_WAY else PluginCause.STOPPED
        return PluginError(self.name, cause, f"it is {self.state.value}")

    async def settle(self, link: Link, error: BaseException) -> None:
        """Wait a moment for word of its end, where an exchange broke that may have ended it.

        The stream's reset may come before the end of the link and of the process, and then no call is to be made again.

        Args:
            link: the link that the exchange was on.
            error: what the exchange itself knows.
        """
        broken = isinstance(error, ExchangeError) and error.sent and not isinstance(error, BodyTooLarge)
        if broken and not link.closed and self.link is link:
            await race(link.wait_closed(), self.changed(), SETTLE_TIME)

    async def explain(self, link: Link, error: PlugmuxError) -> ExchangeError:
        """The error of a broken exchange, with what has become of the plugin.

        Args:
            link: the link that the exchange was on.
            error: what the exchange itself knows.
        """
        sent = error.sent if isinstance(error, ExchangeError) else False
        if not link.closed and self.link is link:
            return ExchangeError(f"plugin {self.name!r}: {error}", sent=sent)
        with suppress(TimeoutError):
            async with asyncio.timeout(POST_MORTEM_TIME):
                while self.link is link:
                    await self.changed()
        return ExchangeError(str(self.error or f"plugin {self.name!r}: {error}"), sent=sent)

    def __repr__(self) -> str:
        return f"<Plugin {self.name} {self.version} {self.state.value}>"


class Control(Protocol):
    """What a handle can ask of the runtime, by the plugin's name. (See `Runtime`.)"""

    async def disable(self, name: str) -> None: ...
    async def enable(self, name: str) -> None: ...
    async def restart(self, name: str) -> None: ...


class PluginHandle:
    """A plugin of a runtime: a view of its present state that only the runtime changes, and the verbs of its life.

    Args:
        record: what the runtime knows of the plugin.
        control: does what the verbs say.
    """

    __slots__ = ("_control", "_record")

    def __init__(self, record: PluginRecord, control: Control) -> None:
        self._record = record
        self._control = control

    def __repr__(self) -> str:
        return repr(self._record)

    @property
    def name(self) -> str:
        """The plugin's name, unique in the runtime but for replicas."""
        return self._record.name

    @property
    def version(self) -> str:
        """The version that the plugin registered with; empty before."""
        return self._record.version

    @property
    def state(self) -> State:
        """Its present state."""
        return self._record.state

    @property
    def status(self) -> str:
        """Why it is in its state, for a person."""
        return self._record.status

    @property
    def since(self) -> float:
        """When it came into its state (seconds since the epoch)."""
        return self._record.since

    @property
    def health(self) -> Health:
        """Its health while it runs."""
        return self._record.health

    @property
    def error(self) -> PluginError | None:
        """What went wrong last; `None` while nothing has, and again once it runs."""
        return self._record.error

    @property
    def registration(self) -> Registration | None:
        """What it registered with last; `None` before its first registration."""
        return self._record.registration

    @property
    def decides_on_access(self) -> bool:
        """Whether it is an access-control module: it has registered as one, or was launched as one."""
        return self._record.decides_on_access

    @property
    def link(self) -> Link | None:
        """The open link, `None` when there is none."""
        return self._record.link

    @property
    def pid(self) -> int | None:
        """The process id, `None` where there is no process or it is not known."""
        return self._record.pid

    @property
    def peer(self) -> Peer | None:
        """Who it is in the network, by its certificate; `None` on this machine, and before it has linked."""
        return self._record.peer

    @property
    def external(self) -> bool:
        """Whether it started by itself."""
        return self._record.external

    @property
    def restarts(self) -> int:
        """How often it has been started again."""
        return self._record.restarts

    @property
    def in_flight(self) -> int:
        """Calls that are under way."""
        return self._record.in_flight

    @property
    def circuit(self) -> Circuit:
        """Whether its breaker lets calls through."""
        return self._record.breaker.circuit if self._record.breaker is not None else Circuit.CLOSED

    @property
    def ready(self) -> bool:
        """Whether it can be called right now."""
        return self._record.ready

    @property
    def will_run(self) -> bool:
        """Whether a call waits for it: it runs, or is about to."""
        return self._record.will_run

    async def changed(self) -> None:
        """Wait for the next change of its state."""
        await self._record.changed()

    async def stop(self) -> None:
        """End it in order. A plugin that started by itself may connect again."""
        await self._record.owner.stop()

    async def restart(self) -> None:
        """End it and start it anew, with its replicas. (See `Runtime.restart`.)"""
        await self._control.restart(self.name)

    async def disable(self) -> None:
        """End it and keep it from being started again, with its replicas. (See `Runtime.disable`.)"""
        await self._control.disable(self.name)

    async def enable(self) -> None:
        """Start it where it does not run, with its replicas. (See `Runtime.enable`.)"""
        await self._control.enable(self.name)
