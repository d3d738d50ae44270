"""Any bytes as a header of the PROXY protocol: read alike whole and byte by byte, or refused; within its bound."""

from __future__ import annotations

from plugmux.network.proxy_header import FIXED, MAX_LENGTH, ProxyHeader, ProxyHeaderError


def check(data: bytes) -> None:
    assert _read(data, len(data)) == _read(data, 1)


def _read(data: bytes, at_once: int) -> object:
    """What is read, where it is fed so many bytes at once at most."""
    header, used = ProxyHeader(), 0
    try:
        while header.wanted and used < len(data):
            piece = data[used : used + min(header.wanted, at_once)]
            header.feed(piece)
            used += len(piece)
            assert used + header.wanted <= FIXED + MAX_LENGTH
    except ProxyHeaderError:
        return "refused"
    return header.wanted, header.source, used
