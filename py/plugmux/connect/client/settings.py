"""What all calls of one client have in common: its transport, its codec, its compression and its limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...errors import ConfigError
from ...exchange import ClientTransport
from ..codec import Codec, compress_if_worthwhile
from ..compression import Compression
from ..interceptor import Interceptor
from ..limits import RpcLimits

if TYPE_CHECKING:
    from google.protobuf.message import Message

__all__ = ["ClientSettings", "transport_of"]


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """The settings of one client, resolved from the arguments of its constructor.

    Args:
        transport: carries the calls.
        codec: encodes and decodes the messages.
        compression: how requests are compressed; `None` for not at all.
        compress_min: requests of fewer bytes are sent uncompressed.
        accept: the value of the field that offers compressions for the response; empty to offer none.
        limits: bounds on the size of messages.
        interceptors: run around every call, the first outermost.
        headers: the header fields of every call.
    """

    transport: ClientTransport
    codec: Codec
    compression: Compression | None
    compress_min: int
    accept: bytes
    limits: RpcLimits
    interceptors: tuple[Interceptor, ...]
    headers: Sequence[tuple[bytes, bytes]]

    def encode(self, message: Message) -> tuple[bytes, Compression | None]:
        """Encode a request.

        Returns:
            Its bytes, and the compression that was applied to them.

        Raises:
            RpcError: the message is over the limit.
        """
        return compress_if_worthwhile(self.codec.encode(message), self.limits, self.compression, self.compress_min)


def transport_of(target: Any) -> ClientTransport:
    """The client transport of any object that a client can be made with.

    Raises:
        ConfigError: the object has none.
    """
    candidate: Any
    for candidate in (target, getattr(target, "transport", None)):
        if callable(getattr(candidate, "fetch", None)) and callable(getattr(candidate, "send", None)):
            found: ClientTransport = candidate
            return found
    from .httpx import HttpxTransport, package_of

    if hasattr(target, "aclose") and package_of(type(target)) is not None:
        return HttpxTransport(target)
    raise ConfigError(
        f"{target!r} cannot carry calls: give a ClientTransport, an object with a `transport`, or an httpx client"
    )
