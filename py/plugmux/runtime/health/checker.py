"""Checks a plugin at intervals while its link is open, and tells when it hangs.

A check is a yamux ping and gRPC's health check at the same time; where a plugin does not serve that, its `/health`. It
takes the place of the mux' own keepalive and write timeout, which would end the link of a plugin that is slow.
"""

from __future__ import annotations

import asyncio
import logging
import random
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from ...connect import Code, RpcError
from ...errors import PlugmuxError
from ...exchange import Request
from ...link.app import HEALTH
from ...yamux import Config
from ..logs.log import LogSource, PluginLog
from .policy import Health, HealthPolicy, Liveness
from .stacks import diagnose

if TYPE_CHECKING:
    from ...link.link import Link
    from ..plugin import PluginHandle
    from ..process.runner import Run

__all__ = ["Prober", "patient"]

LATE = 1.0
"""Seconds by which a timer of ours may be late before it tells that this process itself was held up."""

DAY = 24 * 3600.0
MAX_ANSWER = 1024
OK = 200


def patient(config: Config | None) -> Config:
    """The settings of a mux whose peer is checked here: no silence of the peer ends the link."""
    return replace(config or Config(), enable_keep_alive=False, connection_write_timeout=DAY)


class Prober:
    """Checks one plugin, from its registration to the end of its link.

    Args:
        plugin: the plugin; it is told what is found.
        link: its link.
        policy: when it is checked.
        log: takes what is said of it.
        run: its process, where the runtime has launched it.

    Attributes:
        verdict: why the plugin is to be ended; `None` while it is not.
    """

    def __init__(
        self, plugin: PluginHandle, link: Link, policy: HealthPolicy, log: PluginLog, run: Run | None = None
    ) -> None:
        self._plugin = plugin
        self._link = link
        self._policy = policy
        self._log = log
        self._process = run
        self._vitals = Liveness(policy)
        self._loop = asyncio.get_running_loop()
        self._serves_grpc = True
        self.verdict: str | None = None

    async def hung(self) -> None:
        """Check the plugin until it hangs and is to be ended; `verdict` says so then. As a rule this is cancelled."""
        if not self._policy.interval:
            await asyncio.Event().wait()
        # Plugins that were started together are not checked together.
        await self._sleep(self._policy.interval * random.random())  # noqa: S311 -- jitter, not a secret
        while True:
            asked = self._loop.time()
            self._vitals.asked(asked)
            answer = await self._ask()
            if self._loop.time() - asked > self._policy.timeout + LATE:
                self._vitals.reset(self._loop.time())
            health = self._judge(answer)
            if health is not self._plugin.health:
                if self._plugin.health is Health.HANGING:
                    self._log.write(LogSource.RUNTIME, logging.INFO, "it gives signs of life again")
                if health is Health.HANGING and await self._ends_it():
                    return
                self._plugin.found(health, _WHY[health])
            await self._sleep(self._until_next(asked))

    def _judge(self, answer: Health | None) -> Health:
        return self._vitals.judge(answer, self._link.mux.last_received, self._loop.time())

    async def _ends_it(self) -> bool:
        """Tell that the plugin hangs, find out why, and say whether it is to be ended for that."""
        why = f"it hangs: nothing has come from it for {self._policy.hung_after:g} s, though it was asked"
        self._log.write(LogSource.RUNTIME, logging.WARNING, why)
        self._plugin.found(Health.HANGING, why)
        ends = self._policy.on_hang == "restart"
        self.verdict = why if ends else None
        await diagnose(self._plugin, self._link, self._log, self._process, ends=ends)
        if self._judge(None) is not Health.HANGING:
            self.verdict = None
        return self.verdict is not None

    def _until_next(self, asked: float) -> float:
        """Seconds to the next check, or to the moment from which on silence means that it hangs."""
        now = self._loop.time()
        due = [asked + self._policy.interval - now]
        if self._plugin.health is not Health.HANGING and (silent := self._vitals.silent_for(now)):
            due.append(self._policy.hung_after - silent)
        return max(min(due), 0.0)

    async def _sleep(self, seconds: float) -> None:
        due = self._loop.time() + seconds
        await asyncio.sleep(seconds)
        if self._loop.time() - due > LATE:
            self._vitals.reset(self._loop.time())

    async def _ask(self) -> Health | None:
        """What the plugin says of itself; `None` when it has not said anything in time."""
        ping = asyncio.ensure_future(self._ping())
        try:
            async with asyncio.timeout(self._policy.timeout):
                return await self._check()
        except (TimeoutError, PlugmuxError):
            return None
        finally:
            ping.cancel()
            await asyncio.gather(ping, return_exceptions=True)

    async def _ping(self) -> None:
        with suppress(PlugmuxError):
            await self._link.ping()

    async def _check(self) -> Health:
        if self._serves_grpc:
            from ...services.health import HealthCheckRequest, HealthCheckResponse, HealthClient

            try:
                answer = await HealthClient(self._link.transport).check(HealthCheckRequest())
            except RpcError as error:
                if error.code in (Code.UNAVAILABLE, Code.CANCELED, Code.DEADLINE_EXCEEDED):
                    raise
                if error.code not in (Code.UNIMPLEMENTED, Code.NOT_FOUND):
                    return Health.NOT_SERVING
                self._serves_grpc = False
            else:
                return Health.SERVING if answer.status == HealthCheckResponse.SERVING else Health.NOT_SERVING
        response = await self._link.transport.fetch(Request(HEALTH, [], b"", "GET", None, True), MAX_ANSWER)
        return Health.SERVING if response.status == OK else Health.NOT_SERVING


_WHY = {
    Health.SERVING: "",
    Health.NOT_SERVING: "it says that it is not ready",
    Health.BUSY: "it has not answered its health check in time",
    Health.HANGING: "nothing comes from it, though it is asked",
}
