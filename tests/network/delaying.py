"""A line that is long, and that stalls: a TCP proxy of the test's own. This kernel has no netem."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

__all__ = ["Delaying"]


class Delaying:
    """A TCP proxy that delays what passes, and may hold back what goes to one side.

    Args:
        delay: seconds for each direction.

    Attributes:
        flows: whether bytes pass, to the runtime and to the plugin.
    """

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self.flows = (asyncio.Event(), asyncio.Event())
        self.go_on()

    def hold(self) -> None:
        """Let nothing pass, either way."""
        for flow in self.flows:
            flow.clear()

    def go_on(self) -> None:
        """Let everything pass."""
        for flow in self.flows:
            flow.set()

    @asynccontextmanager
    async def between(self, listen: tuple[str, int], connect: tuple[str, int]) -> AsyncIterator[None]:
        serving: set[asyncio.Task[None]] = set()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            serving.add(task)
            far_reader, far_writer = await asyncio.open_connection(*connect)
            try:
                await asyncio.gather(
                    self._pass(reader, far_writer, self.flows[0]), self._pass(far_reader, writer, self.flows[1])
                )
            except (ConnectionError, asyncio.CancelledError):
                pass  # One end has gone.
            finally:
                writer.transport.abort()
                far_writer.transport.abort()
                serving.discard(task)

        server = await asyncio.start_server(serve, *listen)
        try:
            yield
        finally:
            server.close()
            for task in tuple(serving):
                task.cancel()
            await asyncio.gather(*serving, return_exceptions=True)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flows: asyncio.Event) -> None:
        while data := await reader.read(65536):
            await asyncio.sleep(self._delay)
            await flows.wait()
            writer.write(data)
            await writer.drain()
        writer.transport.abort()
