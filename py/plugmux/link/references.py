"""The objects that one end of a link has lent to the other.

An object is known by its reference: a string that nobody can guess, and that a message carries like any other. It is
served under `/reference/<reference>` on the one link that it was lent on, until it is withdrawn by its owner, released
by its holder, or the link ends. (proto/plugmux/v1/reference.proto.)
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING

from ..aio.closing import end_within

if TYPE_CHECKING:
    from plugmux_proto.plugmux.v1.reference_pb2 import ReleaseRequest, ReleaseResponse

    from ..connect import Context, Service
    from ..exchange import FastPathApp

__all__ = ["PREFIX", "Loan", "References", "new_reference", "reference_service", "resolve"]

PREFIX = "/reference/"
REFERENCE_BYTES = 16
REFERENCE_CLEAN_UP_TIME = 5.0
"""Seconds for the clean-up behind all lent objects of a link that has ended."""

logger = logging.getLogger("plugmux.references")

CleanUp = Callable[[], Awaitable[None]]


def new_reference() -> str:
    """A reference that has not been there before: 128 random bits."""
    return os.urandom(REFERENCE_BYTES).hex()


class References:
    """What this end of a link has lent, by reference."""

    def __init__(self) -> None:
        self._lent: dict[str, tuple[FastPathApp, CleanUp | None]] = {}

    def __len__(self) -> int:
        return len(self._lent)

    def lend(self, reference: str, app: FastPathApp, on_release: CleanUp | None = None) -> None:
        """Serve an object.

        Args:
            reference: a new one.
            app: what is served.
            on_release: cleans up behind the object, once, however it ends.
        """
        self._lent[reference] = app, on_release

    def find(self, reference: str) -> FastPathApp | None:
        """The object of a reference; `None` where it is not known, or not any more."""
        lent = self._lent.get(reference)
        return lent and lent[0]

    async def release(self, reference: str) -> None:
        """Serve an object no longer, and clean up behind it; harmless where it is not known."""
        _, on_release = self._lent.pop(reference, (None, None))
        if on_release is not None:
            await on_release()

    async def close(self) -> None:
        """Release everything, as the link has ended; what clean-up raises is logged.

        All objects together have 5 s for their clean-up, side by side. What takes longer is cancelled; what does not
        end then is left behind. Both are logged.
        """
        lent, self._lent = self._lent, {}
        tasks = [asyncio.create_task(_clean_up(on_release)) for _, on_release in lent.values() if on_release]
        if await end_within(REFERENCE_CLEAN_UP_TIME, tasks):
            logger.error("the clean-up behind an object that was lent goes on although it was cancelled")


async def _clean_up(on_release: CleanUp) -> None:
    try:
        await on_release()
    except asyncio.CancelledError:
        logger.error("the clean-up behind an object that was lent did not end within %g s", REFERENCE_CLEAN_UP_TIME)
        raise
    except Exception:
        logger.exception("the clean-up behind an object that was lent has failed")


class Loan:
    """An object that is lent, from its owner's side. As an asynchronous context manager it gives the reference, and
    withdraws the object at the end of the block.

    Args:
        reference: the reference.
        places: the references of each link that the object is lent on.

    Attributes:
        reference: what is passed in a message. Whoever sees it can call the object, if he is on the link.
    """

    def __init__(self, reference: str, places: Iterable[References]) -> None:
        self.reference = reference
        self._places = tuple(places)

    async def withdraw(self) -> None:
        """Take the object back; harmless where it has been released. Calls under way go on to their end."""
        for place in self._places:
            await place.release(self.reference)

    async def __aenter__(self) -> str:
        return self.reference

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.withdraw()


def resolve(connection: Mapping[str, object], path: str) -> tuple[FastPathApp | None, str]:
    """The object that a path under `PREFIX` goes to, `None` where it is not known; and the path within it.

    Args:
        connection: what the host of the connection says of it; its `"references"` are looked through.
        path: the whole path.
    """
    reference, _, rest = path[len(PREFIX) :].partition("/")
    references = connection.get("references")
    return references.find(reference) if isinstance(references, References) else None, f"/{rest}"


def reference_service() -> Service:
    """The service by which the peer releases what was lent to it on the link of the call.

    Its stubs are imported here, because most links lend nothing.
    """
    from plugmux_proto.plugmux.v1.reference_connect import ReferenceService
    from plugmux_proto.plugmux.v1.reference_pb2 import ReleaseResponse

    class Release(ReferenceService):
        async def release(self, request: ReleaseRequest, context: Context) -> ReleaseResponse:
            references = context.connection.get("references")
            if isinstance(references, References):
                await references.release(request.reference)
            return ReleaseResponse()

    return Release()
