"""What strangers say to a port of the network."""

__all__ = ["CLIENT_HELLO", "SCAN"]

CLIENT_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
"""How a handshake begins: the record has 512 bytes."""

SCAN = [
    b"",
    b"\x00" * 64,
    b"GET / HTTP/1.1\r\nhost: x\r\n\r\n",
    b"SSH-2.0-scan\r\n",
    b"\x16\x03\x01\x00\x05hello",
    b"\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a\x21\x11\x00\x0c" + bytes(12),  # a PROXY header
    CLIENT_HELLO,
]
"""What the probes of a scan say, each before it ends the connection."""
