"""Checks a plugin at intervals while its link is open, and tells when it hangs.

A check is a yamux ping and gRPC's health check at the same time; where a plugin does not serve that, its `/health`. It
takes the place of the mux' own keepalive and write timeout, which would end the link of a plugin that is slow.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from ...connect import Code, RpcError
from ...errors import PlugmuxError
from ...exchange import Request
from ...link.app import HEALTH
from ..logs.log import LogSource, PluginLog
from .policy import Health, HealthPolicy, Liveness
from .stacks import diagnose

if TYPE_CHECKING:
    from ...link.link import Link
    from ..plugin import PluginRecord
    from ..process.run import Run

__all__ = ["HealthChecker"]

LATE = 1.0
"""Seconds by which a timer of ours may be late before it tells that this process itself was held up."""

MAX_ANSWER = 1024
OK = 200


class HealthChecker:
    """Checks one plugin while it runs.

    Args:
        plugin: the plugin; it is told what is found.
        link: its link.
        policy: when it is checked.
        log: takes the reports.
        run: its process, where the runtime has launched it.
    """

    def __init__(
        self, plugin: PluginRecord, link: Link, policy: HealthPolicy, log: PluginLog, run: Run | None = None
    ) -> None:
        self._plugin = plugin
        self._link = link
        self._policy = policy
        self._log = log
        self._process = run
        self._liveness = Liveness(policy)
        self._loop = asyncio.get_running_loop()
        self._serves_grpc = True

    async def hung(self) -> str:
        """Check the plugin at once and at intervals until it hangs and is to be ended, and return why."""
        while True:
            asked = self._loop.time()
            self._liveness.asked(asked)
            answer = await self._ask()
            if self._loop.time() - asked > self._policy.timeout + LATE:
                self._liveness.reset(self._loop.time())
            health = self._judge(answer)
            if health is not self._plugin.health:
                if self._plugin.health is Health.HANGING:
                    self._log.write(LogSource.RUNTIME, logging.INFO, "it gives signs of life again")
                if health is Health.HANGING and (why := await self._ends_it()):
                    return why
                self._plugin.set_health(health, _WHY[health])
            await self._sleep(self._until_next(asked))

    def _judge(self, answer: Health | None) -> Health:
        return self._liveness.status(answer, self._link.mux.last_received, self._loop.time())

    async def _ends_it(self) -> str:
        """Tell that the plugin hangs, find out what it does, and say why it is to be ended; empty where it is not."""
        why = f"it hangs: nothing has come from it for {self._policy.hung_after:g} s, though it was asked"
        self._log.write(LogSource.RUNTIME, logging.WARNING, why)
        self._plugin.set_health(Health.HANGING, why)
        ends = self._policy.on_hang == "restart"
        await diagnose(self._plugin, self._link, self._log, self._process, ends=ends)
        return why if ends and self._judge(None) is Health.HANGING else ""

    def _until_next(self, asked: float) -> float:
        """Seconds to the next check, or to the moment from which on silence means that it hangs."""
        now = self._loop.time()
        due = [asked + self._policy.interval - now]
        if self._plugin.health is not Health.HANGING and (silent := self._liveness.silent_for(now)):
            due.append(self._policy.hung_after - silent)
        return max(min(due), 0.0)

    async def _sleep(self, seconds: float) -> None:
        due = self._loop.time() + seconds
        await asyncio.sleep(seconds)
        if self._loop.time() - due > LATE:
            self._liveness.reset(self._loop.time())

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
