"""Drives a plugin that a runner has started on another machine, and that dials the runtime.

running ──> unreachable ──> registering ──> running     it has dialled again
               └──────────> crashed                     its process has ended, or it has been away for too long
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ...aio.race import race
from ...errors import PluginCause, PluginError, ProtocolViolation
from ...link.link import Link, Peer
from ..state import State
from ..supervisor import Supervisor

if TYPE_CHECKING:
    from ..process.run import Run

__all__ = ["JoinedSupervisor"]


class JoinedSupervisor(Supervisor):
    """Waits for the plugin to link again when its link is lost without a word; its process goes on meanwhile."""

    async def _serve(self, process: Run, link: Link) -> PluginError | None:
        while True:
            failure = await super()._serve(process, link)
            if failure is None or self.record.state is not State.UNREACHABLE:
                return failure
            closing = asyncio.ensure_future(link.close(0))
            try:
                again = await self._link_again(process)
            finally:
                await closing
            if again is None:
                return None if self._stop.is_set() else await self._not_again(process, link, failure)
            link = again

    async def _post_mortem(self, process: Run, link: Link, when: str) -> PluginError:
        lost = self.record.state is State.RUNNING and process.running and not link.mux.peer_left
        if not lost or isinstance(link.reason, ProtocolViolation):
            return await super()._post_mortem(process, link, when)
        why = f"its link was lost: {link.reason}" if link.reason else "its link was lost"
        self.record.link = None
        self.record.move(State.UNREACHABLE, f"{why}; it has {self._timeouts.away:g} s to link again")
        return self._failure(process, PluginCause.LINK_LOST, why)

    async def _link_again(self, process: Run) -> Link | None:
        """The plugin's next link; `None` where it has ended, is to end, or has been away for too long."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._timeouts.away
        while process.running and not self._stop.is_set() and (left := until - loop.time()) > 0:
            peer = Peer(self.record.name, pid=process.pid, address=self._runner.address)
            link, handler = self._registrar.open_link(peer, self.record.policies, self._admit)
            try:
                await process.connect(link)
                waiting = (asyncio.wait([handler.registered]), link.wait_closed(), process.wait(), self._stop.wait())
                await race(*waiting, left)
                if handler.registration is not None and not link.closed:
                    self.record.registration = handler.registration
                    self.record.link, self.record.peer = link, link.peer
                    self.record.move(State.REGISTERING)
                    self.record.move(State.RUNNING)
                    return link
            finally:
                if self.record.link is not link:
                    handler.close()
                    link.abort()
                    await link.close(0)
        return None

    async def _not_again(self, process: Run, link: Link, failure: PluginError) -> PluginError:
        if process.running:
            return self._failure(
                process,
                PluginCause.LINK_LOST,
                f"{failure.detail}; it did not link again within {self._timeouts.away:g} s (Timeouts.away)",
            )
        return await super()._post_mortem(process, link, "after its link was lost")
