"""Reading one message: whole, byte by byte, and with bytes behind it."""

from __future__ import annotations

from dataclasses import dataclass

import h11
import pytest

from plugmux.http.body import RemoteProtocolError
from plugmux.http.heads import MAX_CACHED_BYTES, MAX_CACHED_HEADS, MAX_INTERIM, STEP, HeadCache, HeadReader

LIMIT = 16 * 1024


@dataclass
class Message:
    """What a reader should make of some bytes."""

    data: bytes
    body: bytes
    complete: bool = True


POST = b"POST /a?b=1 HTTP/1.1\r\nHost: unix\r\n"
OK = b"HTTP/1.1 200 OK\r\n"

REQUESTS = {
    "no body": Message(b"GET / HTTP/1.1\r\nHost: unix\r\n\r\n", b""),
    "counted": Message(POST + b"Content-Length: 5\r\n\r\nhello", b"hello"),
    "counted, empty": Message(POST + b"Content-Length: 0\r\n\r\n", b""),
    "counted, large": Message(POST + b"Content-Length: 100000\r\n\r\n" + b"x" * 100_000, b"x" * 100_000),
    "long head": Message(POST + b"Filler: " + b"f" * 10_000 + b"\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
    "chunked": Message(POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n", b"hello"),
    "chunked, empty": Message(POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b""),
    "chunked, trailers": Message(POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nT: v\r\n\r\n", b"a"),
    "chunked, large": Message(
        POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"4\r\nabcd\r\n" * 9_000 + b"0\r\n\r\n", b"abcd" * 9_000
    ),
    "chunked beats counted": Message(
        POST + b"Content-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", b"a"
    ),
}

RESPONSES = {
    "counted": Message(OK + b"Content-Length: 5\r\n\r\nhello", b"hello"),
    "chunked": Message(OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", b"hello"),
    "after interim ones": Message(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 E\r\nLink: x\r\n\r\n" + OK + b"Content-Length: 1\r\n\r\na", b"a"
    ),
    "to the end": Message(OK + b"\r\nhello", b"hello", complete=False),
}

CASES = [
    *((h11.SERVER, name, message) for name, message in REQUESTS.items()),
    *((h11.CLIENT, name, message) for name, message in RESPONSES.items()),
]
case = pytest.mark.parametrize(("role", "name", "message"), CASES, ids=[f"{r.__name__}-{n}" for r, n, _ in CASES])


def read(role: type, data: bytes, step: int) -> tuple[bytes, bool, bytes]:
    """The body that a reader gives for data fed in steps, whether it is complete, and what is left over."""
    reader = HeadReader(role, LIMIT)
    body = None
    got, rest = b"", b""
    for start in range(0, len(data), step):
        piece = data[start : start + step]
        if body is None:
            head = reader.feed(piece)
            if head is None:
                continue
            body, pieces = reader.body(head, until_eof=role is h11.CLIENT)
            for early in pieces:
                got += body.feed(early)
        else:
            got += body.feed(piece)
    assert body is not None
    rest = body.rest
    return got, body.complete, rest


@case
@pytest.mark.parametrize("step", [1, 7, STEP, 1 << 20])
def test_a_message_reads_the_same_in_pieces_of_any_size(role: type, name: str, message: Message, step: int) -> None:
    assert read(role, message.data, step) == (message.body, message.complete, b"")


@case
@pytest.mark.parametrize("step", [1, 1 << 20])
def test_bytes_behind_a_message_are_kept_as_they_are(role: type, name: str, message: Message, step: int) -> None:
    if message.complete:
        behind = b"\x00\x01GET / HTTP/1.1\r\n" * 300
        assert read(role, message.data + behind, step) == (message.body, True, behind)


@case
def test_a_body_that_ends_early_is_an_error(role: type, name: str, message: Message) -> None:
    if not message.complete or (not message.body and b"chunked" not in message.data):
        return
    reader = HeadReader(role, LIMIT)
    body = None
    for byte in message.data[:-1]:
        if body is None:
            head = reader.feed(bytes([byte]))
            if head:
                body, _ = reader.body(head)
        else:
            body.feed(bytes([byte]))
    assert body is not None
    with pytest.raises(RemoteProtocolError, match="ended"):
        body.feed_eof()
    body.feed(message.data[-1:])
    body.feed_eof()


def test_a_body_without_framing_ends_with_the_connection() -> None:
    reader = HeadReader(h11.CLIENT, LIMIT)
    head = reader.feed(OK + b"\r\nhel")
    assert head is not None
    body, pieces = reader.body(head, until_eof=True)
    assert b"".join(map(body.feed, pieces)) + body.feed(b"lo") == b"hello"
    assert not body.complete
    body.feed_eof()
    assert body.complete


@pytest.mark.parametrize("framing", [b"Content-Length: 5", b"Transfer-Encoding: chunked"])
def test_a_response_that_has_no_body_ends_with_its_head(framing: bytes) -> None:
    reader = HeadReader(h11.CLIENT, LIMIT)
    head = reader.feed(OK + framing + b"\r\n\r\nnext")
    assert head is not None
    body, pieces = reader.body(head, empty=True, until_eof=True)
    assert [body.feed(piece) for piece in pieces] == [b""]
    assert body.complete
    assert body.rest == b"next"


@pytest.mark.parametrize("step", [1, 1000, 1 << 20])
def test_a_head_over_the_limit_is_refused_with_431(step: int) -> None:
    reader = HeadReader(h11.SERVER, 1000)
    data = POST + b"Filler: " + b"f" * 10_000

    def feed() -> None:
        for start in range(0, len(data), step):
            reader.feed(data[start : start + step])

    with pytest.raises(RemoteProtocolError) as caught:
        feed()
    assert caught.value.error_status_hint == 431


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"\x16\x03\x01", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (POST + b"Content-Length: -1\r\n\r\n", 400),
        (POST + b"Transfer-Encoding: gzip\r\n\r\n", 501),
        (POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n", 501),
        (POST + b"Content-Length : 1\r\n\r\n", 400),
        (POST + b"A: b\x00c\r\n\r\n", 400),
        (b"\r\n\r\n", 400),
    ],
)
def test_a_head_that_breaks_the_rules_is_refused(head: bytes, status: int) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        HeadReader(h11.SERVER, LIMIT).feed(head)
    assert caught.value.error_status_hint == status


@pytest.mark.parametrize("chunks", [b"xyz\r\n", b"3\r\nabcd\r\n0\r\n\r\n", b"0\r\nbad\r\n\r\n", b"f" * 20_000])
def test_chunks_that_break_the_rules_are_refused(chunks: bytes) -> None:
    reader = HeadReader(h11.SERVER, LIMIT)
    head = reader.feed(POST + b"Transfer-Encoding: chunked\r\n\r\n")
    assert head is not None
    body, _ = reader.body(head)
    with pytest.raises(RemoteProtocolError):
        body.feed(chunks)


def test_more_interim_responses_than_allowed_are_refused() -> None:
    reader = HeadReader(h11.CLIENT, LIMIT)
    assert reader.feed(b"HTTP/1.1 102 Processing\r\n\r\n" * MAX_INTERIM) is None
    with pytest.raises(RemoteProtocolError, match="interim"):
        reader.feed(b"HTTP/1.1 102 Processing\r\n\r\n")


def test_switching_protocols_is_refused_unless_it_was_asked_for() -> None:
    switching = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: tcp\r\n\r\nraw"
    with pytest.raises(RemoteProtocolError):
        HeadReader(h11.CLIENT, LIMIT).feed(switching)
    reader = HeadReader(h11.CLIENT, LIMIT, upgrade=True)
    head = reader.feed(switching)
    assert head is not None
    assert (head.status, head.upgrade, reader.rest) == (101, b"tcp", b"raw")


@pytest.mark.parametrize(
    ("head", "close", "upgrade"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", False, None),
        (b"GET / HTTP/1.0\r\n\r\n", True, None),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", True, None),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: foo, CLOSE\r\n\r\n", True, None),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", False, None),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n", False, b"tcp"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: tcp\r\n\r\n", False, None),
        (b"GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: tcp\r\n\r\n", True, None),
    ],
)
def test_a_head_says_what_becomes_of_the_connection(head: bytes, close: bool, upgrade: bytes | None) -> None:
    found = HeadReader(h11.SERVER, LIMIT).feed(head)
    assert found is not None
    assert (found.close, found.upgrade) == (close, upgrade)


@case
def test_a_head_that_is_cached_reads_as_it_did_before(role: type, name: str, message: Message) -> None:
    memory = HeadCache()
    for _ in range(3):
        reader = HeadReader(role, LIMIT, cache=memory)
        head = reader.feed(message.data + b"behind")
        assert head == HeadReader(role, LIMIT).feed(message.data)
        if head is not None and message.complete:
            body, pieces = reader.body(head)
            assert b"".join([body.feed(piece) for piece in pieces]) == message.body
            assert body.rest == b"behind"


@pytest.mark.parametrize(
    ("field", "kept"),
    [
        (b"X: y", True),
        (b"Expect: 100-continue", True),
        (b"Authorization: secret", False),
        (b"Cookie: secret", False),
        (b"X-Api-Key: secret", False),
        (b"X-Vault-Token: secret", False),
        (b"Transfer-Encoding: chunked", True),
        (b"Connection: upgrade\r\nUpgrade: tcp", False),
        (b"Filler: " + b"f" * MAX_CACHED_BYTES, False),
    ],
)
def test_heads_that_are_secret_or_long_or_not_all_are_not_cached(field: bytes, kept: bool) -> None:
    memory = HeadCache()
    data = POST + field + b"\r\n\r\n"
    assert HeadReader(h11.SERVER, LIMIT, cache=memory).feed(data) is not None
    assert (memory.get(data) is not None) is kept


def test_only_the_last_heads_are_cached() -> None:
    memory = HeadCache()
    heads = [POST + b"X: %d\r\n\r\n" % n for n in range(MAX_CACHED_HEADS + 1)]
    for data in heads:
        HeadReader(h11.SERVER, LIMIT, cache=memory).feed(data)
    assert [memory.get(data) is None for data in heads] == [True] + [False] * MAX_CACHED_HEADS


def test_what_is_no_head_is_not_cached() -> None:
    memory = HeadCache()
    for _ in range(2):
        with pytest.raises(RemoteProtocolError):
            HeadReader(h11.SERVER, LIMIT, cache=memory).feed(b"GET / HTTP/1.1\r\n\r\n")
