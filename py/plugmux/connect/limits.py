"""The limits of an RPC client or service: the size of a message each way, and the threads for blocking handlers."""

from __future__ import annotations

from ..errors import ConfigError
from .code import Code
from .error import RpcError

__all__ = ["RpcLimits"]

MEBIBYTE = 1 << 20
LARGEST = (1 << 32) - 1
THREADS = 40


class RpcLimits:
    """Limits on the size of one message, before compression and after decompression, and on threads.

    Args:
        receive: the largest message that is accepted, in bytes (4 MiB by default, as in gRPC). It is checked while the
            message is read and decompressed, so that a peer cannot make this end use more memory.
        send: the largest message that is sent, in bytes (4 MiB by default, which a peer with the same default accepts).
        threads: how many plain `def` handlers of one service run at the same time (40 by default, as in anyio). A
            warning is logged when a handler waits for a thread. A handler that calls the peer back and waits for it
            occupies its thread meanwhile.

    Raises:
        ConfigError: a size is not within 1 and 4 GiB - 1, the largest length that an envelope can have, or `threads`
            is below 1.
    """

    __slots__ = ("receive", "send", "threads")

    def __init__(self, *, receive: int = 4 * MEBIBYTE, send: int = 4 * MEBIBYTE, threads: int = THREADS) -> None:
        for name, value in (("receive", receive), ("send", send)):
            if not 1 <= value <= LARGEST:
                raise ConfigError(f"RpcLimits.{name} is {value} bytes; it must be within 1 and {LARGEST}")
        if threads < 1:
            raise ConfigError(f"RpcLimits.threads is {threads}; it must be at least 1")
        self.threads = threads
        self.receive = receive
        self.send = send

    def __repr__(self) -> str:
        return f"RpcLimits(receive={self.receive}, send={self.send})"


def too_large(direction: str, size: int, limit: int) -> RpcError:
    """The error for a message over its limit; `direction` is `"receive"` or `"send"`."""
    error = RpcError(
        Code.RESOURCE_EXHAUSTED,
        f"the message has {size} bytes or more, over the limit of {limit} bytes set by RpcLimits.{direction}",
    )
    error.sent = direction != "send"
    return error
