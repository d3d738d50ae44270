"""What the attackers of a link begin with: a yamux client by hand, of the standard library alone."""

from __future__ import annotations

__all__ = ["PEER"]

PEER = r'''
import json, socket, struct, sys, threading, time

DATA, CREDIT, PING = 0, 1, 2
SYN, ACK, FIN, RST = 1, 2, 4, 8
PLUGIN = "/plugins.v1.RegisterService/RegisterPlugin"


def frame(kind, flags, stream, length, payload=b""):
    return struct.pack(">xBHII", kind, flags, stream, length) + payload


def data(stream, payload, flags=0):
    return frame(DATA, flags, stream, len(payload), payload)


def connect():
    """Open a link to the runtime, as a plugin does that starts by itself."""
    return answered(ask())


def ask():
    """A connection that has asked to become a link."""
    link = socket.socket(socket.AF_UNIX)
    link.connect("\0" + sys.argv[1])
    link.sendall(b"GET /hijack HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: tcp\r\n\r\n")
    return link


def answered(link):
    """The same connection, when the runtime has answered."""
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        byte = link.recv(1)
        if not byte:
            raise ConnectionError("the runtime has hung up")
        answer += byte
    return link


def request(path, length, kind=b"application/proto"):
    head = b"POST %s HTTP/1.1\r\nhost: unix\r\nconnect-protocol-version: 1\r\ncontent-type: %s\r\n"
    return head % (path.encode(), kind) + b"content-length: %d\r\n\r\n" % length


def register(link, name="attacker"):
    """Register as a plugin that serves the secrets of its own name, on stream 1."""
    claim = {"name": name, "version": "v1.0.0", "secretsProvider": {"pattern": name + "/**"}}
    body = json.dumps(claim).encode()
    link.sendall(data(1, request(PLUGIN, len(body), b"application/json") + body, SYN))
    answer = b""
    while b"engineName" not in answer:
        piece = link.recv(65536)
        if not piece or b"HTTP/1.1 4" in answer or b"HTTP/1.1 5" in answer:
            raise ConnectionError("not registered: %r" % answer)
        answer += piece


def read_on(link):
    """Read and forget what the runtime says, so that it can go on."""

    def run():
        try:
            while link.recv(1 << 16):
                pass
        except OSError:
            pass

    threading.Thread(target=run, daemon=True).start()


def send_all(link, pieces):
    """Send as long as the runtime takes it; tells whether it has cut the link off."""
    try:
        for piece in pieces:
            link.sendall(piece)
    except OSError:
        return True
    return False


def tell(*words):
    """Tell the host, and wait until it is done."""
    print(*words, flush=True)
    sys.stdin.read()
'''
"""It connects to the socket that `sys.argv[1]` names; an attack's program follows it."""
