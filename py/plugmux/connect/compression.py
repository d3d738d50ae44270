"""Compression of messages: gzip always, br and zstd where their packages are installed.

Every decompressor stops at a limit, so that a small message cannot expand into a huge one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from ..errors import ConfigError

__all__ = ["NAMES", "Compression", "DecompressedTooLarge", "installed", "named"]


PIECE = 8192
"""Bytes that a decompressor is fed at once; what follows the end of a member or frame is fed to the next one."""
MAX_PARTS = 64
"""The most members of gzip data, or frames of zstd data. 4 MiB hold 200,000 empty ones, which take a second."""


class DecompressedTooLarge(Exception):
    """The decompressed data exceed the limit."""


class Compression(Protocol):
    """One content coding. `decompress` raises `ValueError` if the data are not in this coding."""

    @property
    def name(self) -> str: ...
    def compress(self, data: bytes, /) -> bytes: ...
    def decompress(self, data: bytes, limit: int, /) -> bytes: ...


class _Gzip:
    name = "gzip"

    def __init__(self) -> None:
        import zlib

        self._zlib = zlib

    def compress(self, data: bytes, /) -> bytes:
        # wbits 31 is the gzip format. Level 1 takes a third of the time of level 6, and saves nearly as much.
        packer = self._zlib.compressobj(1, wbits=31)
        return packer.compress(data) + packer.flush()

    def decompress(self, data: bytes, limit: int, /) -> bytes:
        unpacked, position, parts = bytearray(), 0, 0
        while position < len(data):  # gzip data may consist of several members
            parts = _one_more(parts)
            unpacker = self._zlib.decompressobj(wbits=31)
            while not unpacker.eof:
                piece = data[position : position + PIECE]
                if not piece:
                    raise ValueError("gzip data that end early")
                try:
                    unpacked += unpacker.decompress(piece, limit + 1 - len(unpacked))
                except self._zlib.error as error:
                    raise ValueError(f"not gzip data: {error}") from error
                if len(unpacked) > limit:
                    raise DecompressedTooLarge
                position += len(piece) - len(unpacker.unused_data)
        return bytes(unpacked)


class _Brotli:
    name = "br"

    def __init__(self) -> None:
        import brotli  # type: ignore[import-untyped]  # it has no types

        self._brotli = brotli

    def compress(self, data: bytes, /) -> bytes:
        compressed: bytes = self._brotli.compress(data, quality=4)
        return compressed

    def decompress(self, data: bytes, limit: int, /) -> bytes:
        unpacker = self._brotli.Decompressor()
        unpacked = b""
        try:
            while not unpacker.is_finished():
                piece: bytes = unpacker.process(data, output_buffer_limit=limit + 1 - len(unpacked))
                unpacked += piece
                if len(unpacked) > limit:
                    raise DecompressedTooLarge
                if not piece and not data and not unpacker.is_finished():
                    raise ValueError("br data that end early")
                data = b""
        except self._brotli.error as error:
            raise ValueError("not br data") from error
        return unpacked


class _Zstandard:
    name = "zstd"

    def __init__(self) -> None:
        import zstandard

        self._zstandard = zstandard

    def compress(self, data: bytes, /) -> bytes:
        return self._zstandard.ZstdCompressor(level=1).compress(data)

    def decompress(self, data: bytes, limit: int, /) -> bytes:
        # RFC 8878 asks every decoder to allow a window of 8 MiB; a limit bounds the memory that a frame can claim.
        decompressor = self._zstandard.ZstdDecompressor(max_window_size=8 << 20)
        try:
            with decompressor.stream_reader(data, read_across_frames=True) as reader:
                unpacked = b""
                while piece := reader.read(limit + 1 - len(unpacked)):
                    unpacked += piece
                    if len(unpacked) > limit:
                        raise DecompressedTooLarge
            self._check_end(decompressor, data)
        except self._zstandard.ZstdError as error:
            raise ValueError("not zstd data") from error
        return unpacked

    def _check_end(self, decompressor: Any, data: bytes) -> None:
        """Check that the last frame is complete, which the reader does not report. The size has been checked before."""
        position = parts = 0
        while position < len(data):
            parts = _one_more(parts)
            frame = decompressor.decompressobj()
            while not frame.eof:
                piece = data[position : position + PIECE]
                if not piece:
                    raise ValueError("zstd data that end early")
                frame.decompress(piece)
                position += len(piece) - len(frame.unused_data)


def _one_more(parts: int) -> int:
    if parts == MAX_PARTS:
        raise ValueError(f"compressed data that have more than {MAX_PARTS} parts")
    return parts + 1


_MAKERS: dict[str, Callable[[], Compression]] = {"gzip": _Gzip, "br": _Brotli, "zstd": _Zstandard}
NAMES = tuple(_MAKERS)
_made: dict[str, Compression | None] = {}


def installed(name: str) -> Compression | None:
    """The compression of this name; `None` if there is no such compression, or its package is not installed."""
    if name not in _made:
        maker = _MAKERS.get(name)
        if maker is None:
            return None  # The peer chose the name: remembering it would let the peer fill the memory.
        try:
            _made[name] = maker()
        except ImportError:
            _made[name] = None
    return _made[name]


def named(name: str) -> Compression:
    """The compression of this name.

    Raises:
        ConfigError: there is none, or its package is not installed.
    """
    compression = installed(name)
    if compression is None:
        if name in _MAKERS:
            raise ConfigError(f"compression {name!r} needs a package: install plugmux[compression]")
        raise ConfigError(f"compression is {name!r}; it must be one of {', '.join(NAMES)}")
    return compression
