"""How large a message may be, each way, and how many blocking handlers run at the same time."""

from __future__ import annotations

from ..errors import ConfigError
from .code import Code
from .error import RpcError

__all__ = ["RpcLimits"]

MEBIBYTE = 1 << 20
LARGEST = (1 << 32) - 1
THREADS = 40


class RpcLimits:
    """Bounds on the size of one message, in bytes, before compression and after decompression; and on threads.

    Args:
        receive: the largest message that is taken from the peer (4 MiB by default, as in gRPC). It is held while the
            message is being read and decompressed, so that a peer cannot make this end take more memory.
        send: the largest message that is sent (4 MiB by default, what a peer with the same default takes).
        threads: how many handlers of one service that are plain `def` run at the same time (40 by default, as in
            anyio). The log says when one waits for its turn; handlers that call back and wait need one each.

    Raises:
        ConfigError: a limit is not within 1 and 4 GiB - 1, the largest length that an envelope can tell; or there are
            to be no threads.
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
