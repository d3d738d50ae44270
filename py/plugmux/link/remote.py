"""An object that the peer has lent: calls to it, and its release. (proto/plugmux/v1/reference.proto.)"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from .references import PREFIX

if TYPE_CHECKING:
    from ..exchange import ClientTransport, Request, Response, StreamingResponse

__all__ = ["RemoteObject"]

RELEASE_TIMEOUT = 10.0
"""Seconds that the peer has to clean up after an object."""

AnyClient = TypeVar("AnyClient")


class RemoteObject:
    """An object that the peer has lent. As an asynchronous context manager it is released at the end of the block.

    Args:
        reference: its reference.
        peer: the transport to the peer that has lent it.

    Attributes:
        transport: the transport to the object, for clients and for any other use of HTTP.
    """

    def __init__(self, reference: str, peer: ClientTransport) -> None:
        self._reference = reference
        self._peer = peer
        self.transport: ClientTransport = PrefixTransport(PREFIX + reference, peer)

    def client(self, client_class: Callable[..., AnyClient], **options: Any) -> AnyClient:
        """A client of a service of the object.

        Args:
            client_class: a generated client class.
            options: what the class takes besides the transport.
        """
        return client_class(self.transport, **options)

    def borrow(self, reference: str) -> RemoteObject:
        """Another object of the same peer, by the reference that this object has returned."""
        return RemoteObject(reference, self._peer)

    async def release(self) -> None:
        """Release the object, and wait until the peer has cleaned up after it; no effect if it has ended before.

        Raises:
            RpcError: the clean-up failed, or took longer than 10 s.
        """
        from plugmux_proto.plugmux.v1.reference_connect import ReferenceClient
        from plugmux_proto.plugmux.v1.reference_pb2 import ReleaseRequest

        from ..connect import Code, RpcError

        try:
            await ReferenceClient(self._peer).release(
                ReleaseRequest(reference=self._reference), timeout=RELEASE_TIMEOUT
            )
        except RpcError as error:
            if error.code is not Code.UNAVAILABLE:  # The link has ended, and the object with it.
                raise

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.release()


class PrefixTransport:
    """A transport that puts a prefix before the path of every request."""

    def __init__(self, prefix: str, transport: ClientTransport) -> None:
        self._prefix = prefix
        self._transport = transport

    async def fetch(self, request: Request, limit: int) -> Response:
        return await self._transport.fetch(replace(request, path=self._prefix + request.path), limit)

    async def send(self, request: Request) -> StreamingResponse:
        return await self._transport.send(replace(request, path=self._prefix + request.path))
