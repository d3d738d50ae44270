"""A response under way through the runtime, and what the start of a stream tells about its plugin."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

from ...connect import Code
from ...connect.client.wire import MAX_END_MESSAGE, lone_end
from ...connect.envelope import END_STREAM
from ...errors import ExchangeError, LinkError
from ...exchange import Headers, StreamingResponse

if TYPE_CHECKING:
    from ...link.link import Link
    from ..plugin import PluginRecord

__all__ = ["RoutedResponse", "answers_stream"]


def answers_stream(incoming: StreamingResponse) -> bool:
    """Whether a response is that of a streaming call, whose status is 200 whatever becomes of the call."""
    kind = next((value for name, value in incoming.headers if name == b"content-type"), b"")
    return incoming.status == 200 and kind.startswith(b"application/connect+")


class RoutedResponse:
    """A response under way, which counts as in flight until it is closed.

    Args:
        incoming: the plugin's response.
        plugin: the plugin.
        link: the link that it comes on.
        ended: is told once how the call of a stream went: `None` from its first message on, or the code of the error
            that it has failed with before any.
    """

    def __init__(
        self,
        incoming: StreamingResponse,
        plugin: PluginRecord,
        link: Link,
        ended: Callable[[PluginRecord, Code | None], None] | None = None,
    ) -> None:
        self._incoming = incoming
        self._plugin = plugin
        self._link = link
        self._ended = ended
        self._end = b""
        self._open = True

    @property
    def status(self) -> int:
        return self._incoming.status

    @property
    def headers(self) -> Headers:
        return self._incoming.headers

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._incoming:
                if self._ended is not None:
                    self._look_at(chunk)
                yield chunk
            self._tell(lone_end(self._end, self.headers))
        except (ExchangeError, LinkError) as error:
            self._tell(Code.UNAVAILABLE)
            await self._plugin.settle(self._link, error)
            raise await self._plugin.explain(self._link, error) from error
        except TimeoutError:
            self._tell(Code.DEADLINE_EXCEEDED)
            raise
        finally:
            self._close()

    async def aclose(self) -> None:
        self._close()
        await self._incoming.aclose()

    def _look_at(self, chunk: bytes) -> None:
        """Look at what begins a stream: it is an answer, unless it is its end."""
        self._end += chunk
        if self._end and (not self._end[0] & END_STREAM or len(self._end) > MAX_END_MESSAGE):
            self._tell(None)

    def _tell(self, code: Code | None) -> None:
        ended, self._ended = self._ended, None
        if ended is not None:
            ended(self._plugin, code)

    def _close(self) -> None:
        if self._open:
            self._open = False
            self._tell(Code.CANCELED)
            self._plugin.call_ended()
