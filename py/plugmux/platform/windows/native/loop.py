"""What only asyncio's own event loop on Windows can wait for, by a completion port; in another one threads wait."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import _winapi

__all__ = ["completion", "waits_for_pipes"]


def waits_for_pipes() -> bool:
    """Whether the running event loop can wait for pipes: asyncio's own can, others leave that to threads."""
    return hasattr(asyncio.get_running_loop(), "_proactor")


async def completion(operation: _winapi.Overlapped) -> None:
    """Wait in a thread for an operation that has begun; where this is cancelled, the operation is as well.

    Raises:
        OSError: it failed.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def wait() -> None:
        try:
            operation.GetOverlappedResult(True)
        except OSError as error:
            tell(error)
        else:
            tell(None)

    def tell(error: OSError | None) -> None:
        with suppress(RuntimeError):  # The loop has been closed.
            loop.call_soon_threadsafe(end, error)

    def end(error: OSError | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    threading.Thread(target=wait, name="plugmux: waits for a client", daemon=True).start()
    try:
        await done
    except BaseException:
        operation.cancel()
        raise
