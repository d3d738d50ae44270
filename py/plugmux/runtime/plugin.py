"""One plugin as its runtime sees it, through all its runs: state, registration, link, and why it is where it is."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..aio.race import race
from ..errors import BodyTooLarge, ExchangeError, PlugmuxError
from .calls.breaker import Breaker, BreakerPolicy
from .error import PluginCause, PluginError
from .health.policy import Health
from .logs.log import plugin_logger
from .state import State

if TYPE_CHECKING:
    from ..contract.grant import Grant
    from ..contract.registration import Registration
    from ..link.link import Link

__all__ = ["PluginHandle"]

SETTLE_TIME = 0.25
"""Seconds that a call whose stream was cut off waits to see whether its plugin ends."""

POST_MORTEM_TIME = 2.0
"""Seconds that a broken call waits for word of how its plugin ended, before it tells what it knows itself."""


class PluginHandle(ABC):
    """A plugin in a runtime.

    Attributes:
        name: the plugin's name, unique in the runtime.
        state: where it stands.
        status: why, in words for a person.
        registration: what it said of itself last; `None` before its first registration.
        error: what went wrong last; `None` while nothing has, and again once it runs.
        link: the open link, `None` when there is none.
        pid: the process id, `None` where there is no process or it is not known.
        external: whether it started by itself.
        restarts: how often it has been started again.
        in_flight: calls that are under way.
        comes_back: whether it is being ended in order to be started again.
        breaker: keeps calls from it while it fails every one.
        health: how it does while it runs.
        since: when it came into its state (seconds since the epoch).
    """

    def __init__(
        self,
        name: str,
        state: State,
        on_change: Callable[[PluginHandle, State], None],
        *,
        external: bool = False,
        breaker: BreakerPolicy = BreakerPolicy(),  # noqa: B008 -- it is frozen
    ) -> None:
        self.name = name
        self.state = state
        self.status = ""
        self.registration: Registration | None = None
        self.error: PluginError | None = None
        self.link: Link | None = None
        self.pid: int | None = None
        self.external = external
        self.restarts = 0
        self.in_flight = 0
        self.comes_back = False
        self.breaker = Breaker(breaker)
        self.health = Health.UNKNOWN
        self.since = time.time()
        self._on_change = on_change
        self._idle: asyncio.Event | None = None
        self._waiters: set[asyncio.Future[None]] = set()

    @property
    def version(self) -> str:
        """The version that the plugin registered with; empty before."""
        return self.registration.version if self.registration else ""

    @property
    def grants(self) -> tuple[Grant, ...]:
        """The most that it may claim at registration, as the host and its manifest say; empty where nobody says."""
        return ()

    @property
    def decides_on_access(self) -> bool:
        """Whether it is an access-control module: it has registered as one, or was launched as one."""
        said = self.registration
        return (said is not None and said.access_control) or any(grant.access_control for grant in self.grants)

    def move(self, state: State, status: str = "", error: PluginError | None = None) -> None:
        """Bring the plugin into another state, and tell everybody who waits for that.

        Args:
            state: the new state; the table in `state` must have an arrow to it.
            status: why, for a person.
            error: what went wrong, if something did.
        """
        if state is self.state:
            return
        assert self.state.may_become(state), f"plugin {self.name} cannot go from {self.state} to {state}"
        before, self.state, self.status, self.since = self.state, state, status, time.time()
        self.health = Health.SERVING if state is State.RUNNING else Health.UNKNOWN
        if error is not None:
            self.error = error
        elif state is State.RUNNING:
            self.error = None
            self.breaker.reset()
        plugin_logger(self.name).debug("%s -> %s %s", before.value, state.value, status)
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._on_change(self, before)

    def takes_over(self, old: PluginHandle) -> None:
        """Tell that it stands in the place of another from now on.

        Args:
            old: the other one, which calls do not find any more.
        """
        self.status = f"in the place of {old.version}" if old.version else ""
        self._on_change(self, old.state)

    def found(self, health: Health, status: str = "") -> None:
        """Take note of how the plugin does, and tell of it if that is new.

        Args:
            health: what a check found.
            status: why, for a person.
        """
        if health is not self.health and self.state is State.RUNNING:
            self.health, self.status = health, status
            self._on_change(self, self.state)

    async def changed(self) -> None:
        """Wait for the next change of state."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)

    def call_ended(self) -> None:
        """Count one call less as under way."""
        self.in_flight -= 1
        if self._idle is not None and not self.in_flight:
            self._idle.set()

    async def wait_idle(self) -> None:
        """Wait until no call is under way."""
        if self._idle is None:
            self._idle = asyncio.Event()
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
        return self.state.will_run or self.comes_back

    def not_running(self) -> PluginError:
        """Why it does not run."""
        if self.state is State.DISABLED:
            return PluginError(self.name, PluginCause.DISABLED, "it is disabled")
        if self.error is not None:
            return self.error
        cause = PluginCause.LINK_LOST if self.state.will_run else PluginCause.STOPPED
        return PluginError(self.name, cause, f"it is {self.state.value}")

    @abstractmethod
    async def stop(self) -> None:
        """End its work for this runtime; harmless where it has ended."""

    async def leave(self) -> None:
        """End its stay with a runtime that closes; the process of a detached plugin lives on."""
        await self.stop()

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
        """Say of a broken exchange what has become of the plugin.

        Args:
            link: the link that the exchange was on.
            error: what the exchange itself knows.
        """
        sent = error.sent if isinstance(error, ExchangeError) else False
        if not link.closed and self.link is link:
            return ExchangeError(f"plugin {self.name!r}: {error}", sent=sent)
        try:
            async with asyncio.timeout(POST_MORTEM_TIME):
                while self.link is link:
                    await self.changed()
        except TimeoutError:
            pass
        reason = self.error if self.error is not None else error
        return ExchangeError(str(reason), sent=sent)

    def __repr__(self) -> str:
        return f"<HostedPlugin {self.name} {self.version} {self.state.value}>"
