# ruff: noqa: E402 -- one line comes before the imports
"""A plugin by hand: secrets under vault/, an echo, and the fault that its first argument names, if any."""

from __future__ import annotations

import sys

sys.modules["ssl"] = None  # asyncio does without it, and is imported in three quarters of the time.

import asyncio
import json
import os
import re
import signal
import socket

from peer import FAULT, CallError, Link, field, parse
from serve import Server

VALUES = {"vault/a": "the value of a", "vault/b": "the value of b"}
ECHO = "/echo.v1.EchoService/"
REFLECTION = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
WELL_FORMED = re.compile(r"(?:\*\*?|[A-Za-z0-9._:-]+)(?:/(?:\*\*?|[A-Za-z0-9._:-]+))*")


def matches(pattern, name):
    """Whether a pattern matches an id, both as lists of components."""
    states = {0}
    for part in [*name, None]:
        while more := {s + 1 for s in states if s < len(pattern) and pattern[s] == "**"} - states:
            states |= more
        if part is None:
            return len(pattern) in states
        stay = {s for s in states if s < len(pattern) and pattern[s] == "**"}
        states = stay | {s + 1 for s in states if s < len(pattern) and pattern[s] in ("*", part)}
    return False


async def get_secrets(request):
    pattern = request.get("pattern", "")
    if FAULT == "secrets.get":
        raise CallError("internal", "broken")
    if FAULT == "secrets.attack" and pattern.count("**") > 5:
        await asyncio.Event().wait()
    if not WELL_FORMED.fullmatch(pattern) and FAULT != "secrets.bad-pattern":
        if request:
            raise CallError("invalid_argument", "the pattern is not well formed")
        return b"", {}
    if FAULT == "load.thousand":
        await asyncio.sleep(0.05)
        if server.active > 100:
            await asyncio.Event().wait()
    found = [name for name in VALUES if matches(pattern.split("/"), name.split("/"))]
    if FAULT == "secrets.exact" or FAULT == "secrets.bad-pattern":
        found = list(VALUES)
    if FAULT == "secrets.foreign" and not found:
        found = ["vault/a"]
    if FAULT == "secrets.ids":
        found = ["other/a"]
    if not found:
        raise CallError("unknown" if FAULT == "secrets.missing" else "not_found", "there is no such secret")
    if FAULT == "hygiene.values":
        print("gave", VALUES["vault/a"], flush=True)
    time = field(5, b"") if FAULT == "secrets.unset-times" else b""
    values = {name: VALUES.get(name, "another value") for name in found}
    proto = b"".join(field(1, field(1, name) + field(2, value) + time) for name, value in values.items())
    return proto, {"envelopes": [{"id": name} for name in found]}


async def check_health(request):
    if request.get("service") and FAULT != "health.unknown-service":
        raise CallError("not_found", "the service is not known")
    return (b"\x08\x02" if FAULT == "health.service" else b"\x08\x01"), {"status": "SERVING"}


async def shut_down(request):
    server.shut_down += 1
    if FAULT == "ending.shutdown":
        raise CallError("unimplemented", "this one stays")
    if FAULT == "ending.shutdown-twice" and server.shut_down > 1:
        raise CallError("internal", "again?")
    if FAULT == "ending.calls-under-way":
        for stream in sorted(link.streams.values(), key=lambda stream: stream.number)[:-1]:
            stream.abort()
    return b"", {}


async def echo(request):
    if FAULT == "calls.empty-request" and not request:
        raise CallError("unknown", "'text'")
    return field(1, request.get("text", "")), {"text": request.get("text", "")}


async def collect(requests):
    last = b""
    async for message in requests:
        last = message[:100]
    yield field(1, "done")
    if FAULT == "calls.client-stream":
        yield last


async def repeat(requests):
    async for message in requests:
        for _ in range(3):
            yield message


async def chat(requests):
    async for message in requests:
        yield message


async def reflect(requests):
    async for _ in requests:
        if FAULT == "calls.reflection":
            yield field(7, field(1, 5))
        else:
            yield field(4, field(1, described()))


def described():
    """The proto of the echo, as reflection tells it: a FileDescriptorProto."""
    text = field(1, "text") + field(3, 1) + field(4, 1) + field(5, 9)
    data = field(1, "data") + field(3, 2) + field(4, 1) + field(5, 12)
    message = field(1, "EchoMessage") + field(2, text) + field(2, data)
    both = field(2, ".echo.v1.EchoMessage") + field(3, ".echo.v1.EchoMessage")
    kinds = {"Echo": (0, 0), "Collect": (1, 0), "Repeat": (0, 1), "Chat": (1, 1)}
    methods = (field(2, field(1, n) + both + field(5, takes) + field(6, gives)) for n, (takes, gives) in kinds.items())
    service = field(1, "EchoService") + b"".join(methods)
    head = field(1, "echo/v1/echo.proto") + field(2, "echo.v1")
    return head + field(4, message) + field(6, service) + field(12, "proto3")


UNARY = {
    "/resolver.v1.ResolverService/GetSecrets": (get_secrets, {1: "pattern"}),
    "/plugins.v1.PluginService/Shutdown": (shut_down, {}),
    "/grpc.health.v1.Health/Check": (check_health, {1: "service"}),
    ECHO + "Echo": (echo, {1: "text", 2: "data"}),
}
STREAMS = {ECHO + "Collect": collect, ECHO + "Repeat": repeat, ECHO + "Chat": chat, REFLECTION: reflect}
server = Server({p: f for p, (f, _) in UNARY.items()}, STREAMS, {p: names for p, (_, names) in UNARY.items()})
link = Link(server)


def end(status, message):
    if message and FAULT != "registration.refused-reason":
        print(f"faulty: {message}", file=sys.stderr, flush=True)
    os._exit(status)


def configuration():
    ours = os.environ.get("PLUGMUX_PLUGIN_LAUNCH_CFG") if FAULT != "launch.own-variable" else None
    theirs = (
        os.environ.get("DOCKER_SECRETS_ENGINE_PLUGIN_LAUNCH_CFG") if FAULT != "launch.compatible-variable" else None
    )
    text = ours or theirs
    if text is None:
        end(0 if FAULT == "launch.by-hand" else 1, "this is a plugin: a runtime launches it")
    try:
        config = json.loads(text)
    except ValueError:
        end(0 if FAULT == "launch.bad-configuration" else 1, "the launch configuration is no JSON")
    if FAULT == "launch.unknown-keys" and config.keys() - {"name", "timeout", "fd", "r", "w"}:
        end(1, "unknown keys")
    return config


async def connect(config):
    loop = asyncio.get_running_loop()
    if "fd" in config:
        os.set_inheritable(config["fd"], FAULT == "launch.close-on-exec")
        sock = socket.socket(fileno=config["fd"])
        if FAULT == "launch.noise":
            sock.send(b"hello, I am starting\n")
        await loop.create_unix_connection(lambda: link, sock=sock)
        return
    if FAULT == "launch.pipes":
        end(1, "no pipes")
    await loop.connect_read_pipe(lambda: link, os.fdopen(config["r"], "rb", 0))
    await loop.connect_write_pipe(lambda: link, os.fdopen(config["w"], "wb", 0))


def registration(name):
    version = "1.0" if FAULT == "registration.version" else "v1.0.0"
    request = field(1, "other" if FAULT == "registration.name" else name) + field(2, version)
    if FAULT == "registration.offer":
        return request
    pattern = "a**b" if FAULT == "registration.pattern" else "vault/**"
    service = "not a name!" if FAULT == "registration.values" else "echo.v1.EchoService"
    return request + field(3, field(1, pattern)) + field(100, service)


async def register(config):
    path, request = "/plugins.v1.RegisterService/RegisterPlugin", registration(config["name"])
    if FAULT == "registration.first":
        await link.call("/kv.v1.AuditService/Record", b"")
    if FAULT == "registration.once":
        link.run(link.call(path, request))
    seconds = 0.2 if FAULT == "launch.slow-runtime" else config["timeout"] / 1e9
    try:
        async with asyncio.timeout(None if FAULT == "gate.gives-up" else seconds):
            status, answer = await link.call(path, request)
    except TimeoutError:
        end(1, "the registration was not answered")
    if status != 200:
        if FAULT == "registration.refused":
            await asyncio.Event().wait()
        end(1, f"refused: {answer.decode('utf-8', 'replace')}")
    said = parse(answer)
    if FAULT == "registration.unknown-fields" and said.keys() - {1, 2, 3, 100, 101}:
        end(1, "what is this?")
    if FAULT == "registration.request-timeout" and 3 in said:
        end(1, "no limits")
    if FAULT == "hygiene.configuration":
        print("configured with", said.get(101), flush=True)
    server.registered.set()


async def main():
    config = configuration()
    if FAULT == "launch.socket":
        end(3, "not today")
    if FAULT == "launch.environment" and "HOME" not in os.environ:
        end(1, "no home")
    if FAULT == "launch.closed-stdout":
        print("hello", flush=True)
    if FAULT == "ending.sigterm":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if FAULT == "ending.no-orphan":
        os.posix_spawn("/bin/sleep", ["sleep", "600"], {})
    await connect(config)
    registering = asyncio.ensure_future(register(config))
    await link.ended.wait()
    stays = {
        "ending.eof": not server.shut_down,
        "ending.eof-early": not server.registered.is_set(),
        "ending.eof-in-calls": server.active > 0,
    }
    if stays.get(FAULT):
        await asyncio.Event().wait()
    registering.cancel()
    if FAULT == "hygiene.quiet-end":
        print("Traceback (most recent call last):", file=sys.stderr, flush=True)
    os._exit(3 if FAULT == "ending.status" else 0)


asyncio.run(main())
