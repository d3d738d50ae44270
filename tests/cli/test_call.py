"""`plugmux call`: JSON in, JSON out, without a schema."""

from __future__ import annotations

import base64
import io
import json
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from plugmux.cli.commands.call import _call
from plugmux.connect import RpcError
from plugmux.exchange import Headers, Request, Response, StreamingResponse

GET = "kv.v1.KeyValueService/Get"
WATCH = "kv.v1.KeyValueService/Watch"


def value(text: str) -> str:
    return json.dumps({"value": base64.b64encode(text.encode()).decode()}, separators=(",", ":"))


def test_a_unary_answer_is_one_line(plugmux: Any, plugin: Any) -> None:
    ran = plugmux("call", "--plugin", plugin("store"), GET, '{"key": "a"}')
    assert (ran.status, ran.lines, ran.stderr) == (0, [value("a of store")], "")


def test_a_stream_is_a_line_for_each_message(plugmux: Any, store: Any) -> None:
    ran = plugmux("call", *store, WATCH, '{"key": "a"}')
    assert (ran.status, ran.lines, ran.stderr) == (0, [value("0"), value("1"), value("2")], "")


def test_a_stream_that_fails_prints_what_came_before(plugmux: Any, store: Any) -> None:
    ran = plugmux("call", *store, WATCH, '{"key": "broken"}')
    assert (ran.status, len(ran.lines)) == (1, 3)
    assert ran.stderr == f"plugmux: {WATCH}: data_loss: no more\n"


def test_the_request_is_empty_by_default_and_can_come_from_stdin(
    plugmux: Any, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert plugmux("call", *store, GET).lines == [value(" of store")]
    monkeypatch.setattr(sys, "stdin", io.StringIO('{"key":\n "a"}\n'))
    assert plugmux("call", *store, GET, "-").lines == [value("a of store")]


@pytest.mark.parametrize(
    ("method", "request_json", "told"),
    [
        (GET, '{"key": "missing"}', f"plugmux: {GET}: not_found: no such key\n"),
        ("kv.v1.Nope/Get", "{}", "no plugin serves kv.v1.Nope"),
    ],
)
def test_a_call_that_fails_says_its_code_and_message(
    plugmux: Any, store: Any, method: str, request_json: str, told: str
) -> None:
    ran = plugmux("call", *store, method, request_json)
    assert (ran.status, ran.stdout) == (1, b"")
    assert told in ran.stderr


@pytest.mark.parametrize(
    ("request_json", "given"),
    [("", "the request is empty"), ("-", "the request is empty"), ("{}{}", "2 were given"), ("1 2 3", "3 were given")],
)
def test_a_wrong_number_of_messages_is_wrong_usage(
    plugmux: Any, store: Any, monkeypatch: pytest.MonkeyPatch, request_json: str, given: str
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    ran = plugmux("call", *store, GET, request_json)
    assert (ran.status, ran.stdout) == (2, b"")
    assert ran.told == f"plugmux: {GET} takes exactly one message, and {given}"


DEEP = "[" * 100_000


@pytest.mark.parametrize(
    ("stdin", "told"),
    [
        (io.StringIO(DEEP), "the request cannot be sent: it is nested more than 100 levels deep"),
        (io.TextIOWrapper(io.BytesIO(b"\xff"), "utf-8"), "the request on stdin is not JSON"),
    ],
)
def test_a_request_that_cannot_be_read_is_wrong_usage(
    plugmux: Any, monkeypatch: pytest.MonkeyPatch, stdin: Any, told: str
) -> None:
    monkeypatch.setattr(sys, "stdin", stdin)
    ran = plugmux("call", GET, "-")
    assert (ran.status, ran.stdout) == (2, b"")
    assert told in ran.stderr


def test_an_interrupt_ends_an_endless_stream_quietly(store: Any) -> None:
    command = [sys.executable, "-m", "plugmux.cli", "call", *store, WATCH, '{"key": "endless"}']
    ran = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert ran.stdout is not None
    assert [ran.stdout.readline() for _ in range(3)] == [value(number) + "\n" for number in "012"]
    ran.send_signal(signal.SIGINT)
    stdout, stderr = ran.communicate()
    told = [line for line in stderr.splitlines() if "is still starting" not in line]  # as on a busy machine
    assert (stdout, told) == ("", [])
    assert ran.returncode == 130


class Scripted:
    """A peer that refuses a unary request, and answers a stream with these bytes."""

    def __init__(self, chunks: list[bytes], status: int = 200, *, refusal: int = 415) -> None:
        self.status = status
        self.refusal = refusal
        self.headers: Headers = ()
        self.closed = False
        self._chunks = chunks

    async def fetch(self, request: Request, limit: int) -> Response:
        return Response(self.refusal)

    async def send(self, request: Request) -> StreamingResponse:
        assert (b"content-type", b"application/connect+json") in request.headers
        return self

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            yield chunk

    async def aclose(self) -> None:
        self.closed = True


def framed(flags: int, data: bytes) -> bytes:
    return bytes([flags]) + len(data).to_bytes(4, "big") + data


@pytest.mark.parametrize(
    ("peer", "messages", "told"),
    [
        (Scripted([framed(0, b"1") + framed(2, b"{}")]), [1], None),
        (Scripted([bytes([each]) for each in framed(0, b"1") + framed(2, b"{}")]), [1], None),
        (Scripted([framed(0, b"1")]), [1], "internal: the stream broke off before its end"),
        (Scripted([framed(0, b"{")]), [], "internal: the answer is not JSON"),
        (
            Scripted([framed(0, DEEP.encode())]),
            [],
            "internal: the answer cannot be read: it is nested more than 100 levels deep",
        ),
        (Scripted([DEEP.encode()], 500), [], f"unknown: {DEEP}"),
        (Scripted([], 415), [], "unknown: the server refused the content type of a stream, with HTTP status 415"),
        (Scripted([framed(2, b'{"error": {"code": "aborted", "message": "no"}}')]), [], "aborted: no"),
        (Scripted([b"try ", b"later"], 503), [], "unavailable: try later"),
        (Scripted([], 502), [], "unavailable: HTTP status 502"),
        (Scripted([], 505), [], "unimplemented: the method streams both ways, and its server does not over HTTP/1.1"),
        (Scripted([framed(0, b"1") + framed(2, b"{}")], refusal=505), [1], None),
        (Scripted([b'{"code": "not_found"}'], 404), [], "not_found"),
        (Scripted([framed(0, b"x")[:3]]), [], "internal: the stream broke off before its end"),
        (Scripted([b"\0\xff\xff\xff\xff"]), [], "resource_exhausted: a message of 4294967295 bytes was announced"),
    ],
)
async def test_what_a_peer_may_answer_to_a_stream(peer: Scripted, messages: list[object], told: str | None) -> None:
    received = []

    async def collect() -> None:
        async for message in _call(peer, "a.B", "C", [{}], reflects=False):
            received.append(message)  # noqa: PERF401 -- what came before an error counts

    if told is None:
        await collect()
    else:
        with pytest.raises(RpcError) as caught:
            await collect()
        assert str(caught.value) == told
    assert received == messages
    assert peer.closed


@pytest.mark.parametrize("method", [GET, WATCH])
def test_a_plugin_that_reflects_is_called_by_its_schema(plugmux: Any, store: Any, method: str) -> None:
    ran = plugmux("call", *store, method, '{"key": "a"}')
    assert (ran.status, ran.lines[0], ran.stderr) == (0, value("a of store" if method is GET else "0"), "")


@pytest.mark.parametrize(
    ("method", "request_json", "told"),
    [
        (GET, '{"kye": "a"}', 'the request is no kv.v1.GetRequest: Message type "kv.v1.GetRequest" has no field named'),
        (GET, '{"key": 1}', "the request is no kv.v1.GetRequest: "),
        (GET, "[]", "the request is no kv.v1.GetRequest: it is not a JSON object"),
        (GET, "{} {}", "kv.v1.KeyValueService/Get takes exactly one message, and 2 were given"),
        (WATCH, '""', "the request is no kv.v1.WatchRequest: it is not a JSON object"),
        (WATCH, "", "takes exactly one message, and the request is empty"),
        ("kv.v1.KeyValueService/Nope", "{}", "kv.v1.KeyValueService has no method Nope; it has Get, Put, Watch\n"),
        ("kv.v1.KeyValueService/get", "{}", "kv.v1.KeyValueService has no method get; did you mean Get?\n"),
        (GET, '{"kye": "a"}', "; did you mean key?\n"),
    ],
)
def test_a_request_that_does_not_fit_the_schema_is_wrong_usage(
    plugmux: Any, store: Any, method: str, request_json: str, told: str
) -> None:
    ran = plugmux("call", *store, method, request_json)
    assert (ran.status, ran.stdout) == (2, b"")
    assert told in ran.stderr


@pytest.mark.parametrize("listens", [False, True])
def test_a_service_that_nobody_serves_is_likened_to_those_there_are(
    plugmux: Any, plugin: Any, store: Any, listens: bool
) -> None:
    target = store if listens else ("--plugin", plugin("store"))
    ran = plugmux("call", *target, "kv.v1.KeyValueServce/Get")
    assert (ran.status, ran.stdout) == (1, b"")
    assert ran.stderr.endswith("; did you mean kv.v1.KeyValueService?\n")


def test_what_every_plugin_serves_is_called_by_the_plugins_name(plugmux: Any, store: Any) -> None:
    to = (*store, "--name", "store")
    assert plugmux("call", "grpc.health.v1.Health/Check", *to).lines == ['{"status":"SERVING"}']
    dump = json.loads(plugmux("call", "plugmux.v1.DiagnosticsService/Dump", *to).stdout)["text"]
    assert re.search("goroutine|thread MainThread", dump)


def test_a_plugin_that_is_disabled_is_not_chosen(start: Any, plugmux: Any, plugin: Any, tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/s"
    process = start("--plugin", plugin("one"), "--plugin", plugin("two"), "--plugin=./such", "--listen", address)
    "".join(iter(process.stderr.readline, f"listening on {address}\n"))
    assert plugmux("plugins", "disable", "one", "--connect", address).status == 0
    assert plugmux("call", GET, "--connect", address).lines == [value(" of two")]
    assert plugmux("plugins", "disable", "two", "--connect", address).status == 0
    for options, told in [
        ((), "plugin 'one' does not run: it is disabled; plugin 'two' does not run: it is disabled"),
        (("--name", "two"), "plugin 'two' does not run: it is disabled"),
        (("--name", "such"), f"plugin 'such' does not run: there is no program './such': no file {Path.cwd()}/such"),
    ]:
        ran = plugmux("call", GET, "--connect", address, *options)
        assert (ran.status, ran.stdout, ran.told) == (1, b"", f"plugmux: {told}")


def test_one_of_several_plugins_is_chosen_by_name(plugmux: Any, plugin: Any, serving: Any) -> None:
    launched = ["--plugin", plugin("one"), "--plugin", plugin("two")]
    plugins = ["--connect", serving("one", "two")]
    ran = plugmux("call", *launched, GET, '{"key": "a"}')
    assert (ran.status, ran.stdout) == (2, b"")
    assert ran.told == "plugmux: one, two all serve kv.v1.KeyValueService; choose one with --name"
    assert plugmux("call", *plugins, "--name", "two", GET, '{"key": "a"}').lines == [value("a of two")]
    assert plugmux("call", *plugins, "--name", "three", GET, '{"key": "a"}').status == 1


DETAILED = """\
from google.protobuf.wrappers_pb2 import StringValue
from kv.v1.kv_connect import KeyValueService
from kv.v1.kv_pb2 import GetResponse, WatchRequest
from plugmux import Plugin
from plugmux.connect import Code, RpcError
from plugmux.connect.error import ErrorDetail

class Store(KeyValueService):
    async def get(self, request, context):
        if request.key == "time":
            return GetResponse(value=b"%.1f" % context.time_left)
        details = [StringValue(value="why"), WatchRequest(key="k"), ErrorDetail("no.such.Type", b"1")]
        raise RpcError(Code.NOT_FOUND, "no such key", details=details)

Plugin(Store(), version="v1.0.0").run()
"""


def test_the_details_of_an_error_are_printed(plugmux: Any, program: Any) -> None:
    ran = plugmux("call", GET, "--plugin", program("detailed", DETAILED))
    assert (ran.status, ran.stdout) == (1, b"")
    assert ran.stderr.splitlines()[:4] == [
        f"plugmux: {GET}: not_found: no such key",
        '  google.protobuf.StringValue: "why"',
        '  kv.v1.WatchRequest: {"key": "k"}',
        "  no.such.Type: MQ==",
    ]


def test_the_plugin_is_told_the_time_that_the_caller_waits(plugmux: Any, program: Any) -> None:
    ran = plugmux("call", GET, '{"key": "time"}', "--timeout", "50", "--plugin", program("detailed", DETAILED))
    assert 0 < float(base64.b64decode(json.loads(ran.stdout)["value"])) <= 50


FAILS = "raise RuntimeError('no ' + 'database')"


@pytest.mark.parametrize("command", [("call", GET), ("get", "a/b"), ("describe", "kv.v1.KeyValueService")])
def test_the_traceback_of_a_plugin_that_does_not_start_is_shown_once(
    plugmux: Any, tmp_path: Path, command: tuple[str, str]
) -> None:
    (tmp_path / "bad.py").write_text(FAILS)
    ran = plugmux(*command, "--plugin", str(tmp_path / "bad.py"))
    assert (ran.status, ran.stderr.count("RuntimeError: no database")) == (1, 1)
    assert ran.stderr.count("\nplugmux: ") == 1
