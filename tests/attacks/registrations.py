"""Plugins that start by themselves and register with more than is theirs, or with what is dear to check."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from kv.v1.kv_connect import KeyValueClient
from kv.v1.kv_pb2 import GetRequest
from plugmux_proto.resolver.v1.resolver_connect import ResolverClient
from plugmux_proto.resolver.v1.resolver_pb2 import GetSecretsRequest

from plugmux import Launch
from plugmux.connect import Code, RpcError
from plugmux.http import SocketClient
from plugmux.runtime import Permissions, Policies, Timeouts
from plugmux.secrets import Pattern, Provider, Resolver, Secret, secrets_services
from support.programs import script

from .interface import MIB, Attack, Host

__all__ = ["ATTACKS"]

REGISTER = """
    import socket, struct, sys
    address, body, late = "\\0" + sys.argv[1], open(sys.argv[2], "rb").read(), sys.argv[3] == "1"
    DATA, CREDIT, SYN, FIN, RST = 0, 1, 1, 4, 8

    def read(count):
        data = b""
        while len(data) < count:
            piece = link.recv(count - len(data))
            if not piece:
                raise EOFError
            data += piece
        return data

    def send(data, flags=0):
        link.sendall(struct.pack(">BBHII", 0, DATA, flags, 1, len(data)) + data)

    def take():
        # One frame of the runtime's: the bytes of our stream, the credit that it gives, and whether it has ended.
        _, kind, flags, stream, length = struct.unpack(">BBHII", read(12))
        data = read(length) if kind == DATA else b""
        return (data, length if kind == CREDIT else 0, flags & (FIN | RST)) if stream == 1 else (b"", 0, 0)

    link = socket.socket(socket.AF_UNIX)
    link.connect(address)
    link.sendall(b"GET /hijack HTTP/1.1\\r\\nHost: x\\r\\nConnection: upgrade\\r\\nUpgrade: tcp\\r\\n\\r\\n")
    while not read(1) == b"\\n" or not read(2) == b"\\r\\n":
        pass
    head = "POST /plugins.v1.RegisterService/RegisterPlugin HTTP/1.1\\r\\nHost: unix\\r\\nConnection: close\\r\\n"
    message = (head + f"Content-Type: application/json\\r\\nContent-Length: {len(body)}\\r\\n\\r\\n").encode() + body
    answer, over, credit = b"", False, 256 * 1024
    try:
        begin, rest = (message[:-1], message[-1:]) if late else (message, b"")
        flags = SYN
        while begin and not over:
            if not credit:
                data, more, over = take()
                answer, credit = answer + data, credit + more
                continue
            piece, begin = begin[:min(credit, 65536)], begin[min(credit, 65536):]
            send(piece, flags)
            flags, credit = 0, credit - len(piece)
        if late:
            sys.stdin.readline()
            send(rest)
        while not over:
            data, _, over = take()
            answer += data
    except (OSError, EOFError):
        pass  # The runtime has ended the link.
    print(answer.partition(b"\\r\\n")[0].decode(), flush=True)
    sys.stdin.readline()
"""
"""Registers with the JSON in a file, prints the status line of the answer, and stays until its stdin ends. With a 1 as
its last argument it holds the last byte back until a line comes in."""


class Vault(Provider):
    pattern = "vault/**"

    async def get_secrets(self, pattern: Pattern) -> AsyncIterator[Secret]:
        yield Secret("vault/a", b"true")


async def claims(host: Host, claim: Mapping[str, Any], late: bool = False) -> asyncio.subprocess.Process:
    """Start an attacker that registers with a claim."""
    path = host.directory / f"claim-{len(list(host.directory.iterdir()))}"
    path.write_text(json.dumps({"version": "v1.0.0", **claim}))
    return await host.program(REGISTER, host.sockaddr, path, int(late))


async def answer_of(program: asyncio.subprocess.Process) -> str:
    assert program.stdout is not None
    return (await program.stdout.readline()).decode().strip()


async def is_refused(program: asyncio.subprocess.Process, what: str) -> None:
    answer = await answer_of(program)
    assert not answer.startswith("HTTP/1.1 200"), f"{what} was accepted: {answer}"


def mount_secrets(host: Host) -> ResolverClient:
    for service in secrets_services(host.runtime, Resolver(host.runtime)):
        host.runtime.mount(service)
    return ResolverClient(SocketClient(host.address))


async def service_takeover(host: Host) -> None:
    """It serves what the honest plugin serves, at the top priority."""
    innocent = await answer_of(await claims(host, {"name": "innocent", "services": ["other.v1.Service"]}))
    assert innocent.startswith("HTTP/1.1 200"), f"a plugin that takes nothing of others was refused: {innocent}"
    claim = {"name": "intruder", "services": ["kv.v1.KeyValueService"], "priority": 2**31 - 1}
    await is_refused(await claims(host, claim), "the service of another plugin")
    answer = await host.runtime.client(KeyValueClient).get(GetRequest(key="pid"), timeout=10)
    assert answer.value == str(host.runtime.plugin("honest").pid).encode(), "the intruder has answered"


async def secrets_takeover(host: Host) -> None:
    """It provides the pattern `**`, under a name that comes before the provider's."""
    resolver = mount_secrets(host)
    for pattern in ("**", "vault/**", "*/a", "vault/a"):
        claim = {"name": "A", "secretsProvider": {"pattern": pattern}}
        await is_refused(await claims(host, claim), f"the pattern {pattern}")
    found = await resolver.get_secrets(GetSecretsRequest(pattern="vault/a"), timeout=10)
    assert [(each.provider, each.value) for each in found.envelopes] == [("Vault", b"true")], (
        "the intruder has answered"
    )


async def deaf_module(host: Host) -> None:
    """It registers as an access-control module, and answers nothing: so all secrets would be denied."""
    resolver = mount_secrets(host)
    await is_refused(await claims(host, {"name": "guard", "accessControlModule": {}}), "an access-control module")
    found = await resolver.get_secrets(GetSecretsRequest(pattern="vault/a"), timeout=10)
    assert found.envelopes[0].value == b"true", "the deaf module has denied"


async def open_door(host: Host) -> None:
    """The guard never comes up, and secrets are asked for meanwhile."""
    resolver = mount_secrets(host)
    for _ in range(20):
        try:
            await resolver.get_secrets(GetSecretsRequest(pattern="vault/a"), timeout=10)
        except RpcError as error:
            if error.code is not Code.PERMISSION_DENIED:
                raise
        else:
            raise AssertionError("a secret was given without the guard")


async def ghost(host: Host) -> None:
    """It sends the last byte of its registration when its time is over, so as to hold a name for ever."""
    program = await claims(host, {"name": "slow"}, late=True)
    assert program.stdin is not None
    await asyncio.sleep(
        2.0
    )  # As an attacker would, it waits until the 1 s of this host are over, and its link is open.
    program.stdin.write(b"\n")
    await is_refused(program, "a late registration")
    assert [plugin.name for plugin in host.runtime.plugins()] == ["honest"], "a ghost has registered"


async def dear_schema(host: Host) -> None:
    """Its configuration schema has a long enum and many references to it."""
    schema = {"$defs": {"e": {"enum": list(range(20_000))}}, "anyOf": [{"$ref": "#/$defs/e"}] * 2000}
    claim = {"name": "dear", "configuration": {"jsonSchema": json.dumps(schema)}}
    await is_refused(await claims(host, claim), "a schema that is dear to check")


async def long_labels(host: Host) -> None:
    """Two plugins register with labels of 3.9 MB each."""
    for name in ("a", "b"):
        await is_refused(await claims(host, {"name": name, "labels": {"a": "x" * 3_900_000}}), "labels of 3.9 MB")


def with_vault(directory: Path) -> Mapping[str, Any]:
    return {"plugins": [Vault()]}


def with_absent_guards(directory: Path) -> Mapping[str, Any]:
    guard = Launch([script(directory, "guard", "raise SystemExit(1)")], access_control=True)
    return {"plugins": [Vault(), guard], "permissions": Permissions(access_control=["another"])}


IMPATIENT = Policies(timeouts=Timeouts(registration=1.0))

ATTACKS = [
    Attack("takeover of a service", service_takeover),
    Attack("takeover of secrets", secrets_takeover, options=with_vault),
    Attack("deaf access-control module", deaf_module, options=with_vault),
    Attack("guard that never comes up", open_door, options=with_absent_guards),
    Attack(
        "ghost registration",
        ghost,
        options=lambda directory: {"policies": Policies(timeouts=Timeouts(registration=1.0))},
    ),
    Attack("schema that is dear to check", dear_schema, memory=32 * MIB, latency=0.5),
    Attack("labels of megabytes", long_labels, memory=64 * MIB, latency=0.5),
]
