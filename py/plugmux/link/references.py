"""The objects that one end of a link has lent to the other.

An object is identified by its reference, a string that cannot be guessed and is sent in a message. It is served under
`/reference/<reference>` on the link on which it was lent, until its owner withdraws it, its holder releases it, or the
link ends. (proto/plugmux/v1/reference.proto.)
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
"""Seconds for the clean-up of all lent objects of a link that has ended."""

logger = logging.getLogger("plugmux.references")

CleanUp = Callable[[], Awaitable[None]]


def new_reference() -> str:
    """A new reference: 128 random bits."""
    return os.urandom(REFERENCE_BYTES).hex()


class References:
    """The objects that this end of a link has lent, by reference."""

    def __init__(self) -> None:
        self._lent: dict[str, tuple[FastPathApp, CleanUp | None]] = {}

    def __len__(self) -> int:
        return len(self._lent)

    def lend(self, reference: str, app: FastPathApp, on_release: CleanUp | None = None) -> None:
        """Serve an object.

        Args:
            reference: a new reference.
            app: serves the object.
            on_release: cleans up after the object, once, however the loan ends.
        """
        self._lent[reference] = app, on_release

    def find(self, reference: str) -> FastPathApp | None:
        """The object of a reference; `None` if it is not lent."""
        lent = self._lent.get(reference)
        return lent and lent[0]

    async def release(self, reference: str) -> None:
        """Stop serving an object, and clean up after it; no effect if it is not lent."""
        _, on_release = self._lent.pop(reference, (None, None))
        if on_release is not None:
            await on_release()

    async def close(self) -> None:
        """Release all objects, because the link has ended. Errors of their clean-up are logged.

        The clean-up of all objects runs concurrently, for at most 5 s. Then what still runs is cancelled, and what does
        not end even so is abandoned. Both are logged.
        """
        lent, self._lent = self._lent, {}
        tasks = [asyncio.create_task(_clean_up(on_release)) for _, on_release in lent.values() if on_release]
        if await end_within(REFERENCE_CLEAN_UP_TIME, tasks):
            logger.error("the clean-up of a lent object did not end although it was cancelled")


async def _clean_up(on_release: CleanUp) -> None:
    try:
        await on_release()
    except asyncio.CancelledError:
        logger.error("the clean-up of a lent object did not end within %g s", REFERENCE_CLEAN_UP_TIME)
        raise
    except Exception:
        logger.exception("the clean-up of a lent object failed")


class Loan:
    """An object that its owner has lent. As an asynchronous context manager it gives the reference, and withdraws the
    object at the end of the block.

    Args:
        reference: the reference.
        links: the references of each link on which the object is lent.

    Attributes:
        reference: the reference to send in a message. The peers of these links can call
            the object by it.
    """

    def __init__(self, reference: str, links: Iterable[References]) -> None:
        self.reference = reference
        self._links = tuple(links)

    async def withdraw(self) -> None:
        """Stop lending the object; no effect if it has been released. Calls under way run to their end."""
        for references in self._links:
            await references.release(self.reference)

    async def __aenter__(self) -> str:
        return self.reference

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.withdraw()


def resolve(connection: Mapping[str, object], path: str) -> tuple[FastPathApp | None, str]:
    """Find the object that a path under `PREFIX` names.

    Args:
        connection: what the owner of the connection knows of it; `"references"` holds the lent objects.
        path: the whole path.

    Returns:
        The object, `None` if it is not lent; and the path within it.
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
