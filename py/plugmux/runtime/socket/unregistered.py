"""Links whose plugin has not registered: of one user or identity there are only so many, and the next wait their turn.

    waiting ──> open ──> registered, or ended
       └──> refused

Each such link takes memory of the runtime, before it is known whether a plugin is behind it. Many plugins may come at
once when their runtime has started anew: these are served one after the other, and not sent away.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from ...errors import PlugmuxError
from ...link.link import Peer
from ...platform import UserId

__all__ = ["TooManyLinks", "UnregisteredLinks"]

MAX_UNREGISTERED = 64
"""Links of one user or identity that may be open and have not registered."""

MAX_WAITING = 512
"""Connections of one user or identity that may wait to become a link."""

WAIT_TIME = 3.0
"""Seconds that they may wait; who dials over a network gives up after five."""


class TooManyLinks(PlugmuxError):
    """A plugin may not connect now: as many links of its user as there may be have not registered."""


class UnregisteredLinks:
    """Bounds the links that are open and have not registered, for each user and each identity."""

    def __init__(self) -> None:
        self._turns: dict[UserId | str | None, _Turns] = {}

    async def begin(self, peer: Peer) -> Callable[[], None]:
        """Count a link; waits while there are as many as there may be. Cancelling it counts nothing.

        Args:
            peer: who connects.

        Returns:
            What counts it no longer; harmless if called again.

        Raises:
            TooManyLinks: none of them has registered or ended in time, or too many wait.
        """
        who = peer.identity or peer.uid
        turns = self._turns.setdefault(who, _Turns())
        try:
            await turns.take()
        except TimeoutError:
            shown = peer.identity or f"user {who}"
            raise TooManyLinks(
                f"{MAX_UNREGISTERED} links of {shown} have not registered yet, and there may be no more; try again"
            ) from None
        finally:
            self._tidy(who)
        ended = False

        def end() -> None:
            nonlocal ended
            if not ended:
                ended = True
                turns.give_back()
                self._tidy(who)

        return end

    def _tidy(self, who: UserId | str | None) -> None:
        """Forget a peer that has none."""
        if who in self._turns and not self._turns[who].open:
            del self._turns[who]


class _Turns:
    """The links of one peer that have not registered, and those that wait to be opened.

    Attributes:
        open: how many are open; while any wait, as many as there may be.
    """

    def __init__(self) -> None:
        self.open = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def take(self) -> None:
        """Count one more.

        Raises:
            TimeoutError: there is no room for it.
        """
        if self.open < MAX_UNREGISTERED:
            self.open += 1
            return
        if len(self._waiting) >= MAX_WAITING:
            raise TimeoutError
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(WAIT_TIME):
                await turn
        except BaseException:
            if turn in self._waiting:
                self._waiting.remove(turn)
            elif not turn.cancelled():  # Its turn has come meanwhile.
                self.give_back()
            raise

    def give_back(self) -> None:
        """Count one less, or let the one that has waited longest take its place."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():  # One that is cancelled has not been told yet.
                turn.set_result(None)
                return
        self.open -= 1
