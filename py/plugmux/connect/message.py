"""The bytes of a message within their limits: compressed where it is worth while, and unpacked."""

from __future__ import annotations

from .code import Code
from .compression import Compression, DecompressedTooLarge
from .error import RpcError
from .limits import Limits, too_large

__all__ = ["decompressed", "compress_if_worthwhile"]


def compress_if_worthwhile(
    data: bytes, limits: Limits, compression: Compression | None, compress_min: int
) -> tuple[bytes, Compression | None]:
    """The data of a message to be sent, and how they are compressed now, if they are.

    Raises:
        RpcError: the message is over the limit.
    """
    if len(data) > limits.send:
        raise too_large("send", len(data), limits.send)
    if compression is None or len(data) < compress_min:
        return data, None
    return compression.compress(data), compression


def decompressed(data: bytes, compression: Compression, limit: int, fault: Code) -> bytes:
    """The data, decompressed; no data are none, as the protocol has it, though no compression makes none of none.

    Raises:
        RpcError: they unpack into more than the limit; or, with the code `fault`, they are not of this compression.
    """
    if not data:
        return data
    try:
        return compression.decompress(data, limit)
    except DecompressedTooLarge:
        raise too_large("receive", limit + 1, limit) from None
    except ValueError as error:
        raise RpcError(fault, f"the message cannot be decompressed: {error}") from error
