"""The methods that a plugin serves: what reflection tells of them, and the requests to call them with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import MessageToJson, ParseDict, ParseError
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from ..connect import Kind
from ..connect.envelope import envelope
from ..errors import ConfigError
from ..services.reflection import ReflectionService, ServerReflectionRequest, ServerReflectionResponse
from .outcome import Failed, NotApplicable

if TYPE_CHECKING:
    from .host import RuntimeEnd

__all__ = ["GET_SECRETS", "HEALTH_CHECK", "REFLECTION_PATH", "Method", "Methods", "padded"]

REFLECTION_PATH = ReflectionService.spec.methods[0].path
HEALTH_CHECK = "/grpc.health.v1.Health/Check"
GET_SECRETS = "/resolver.v1.ResolverService/GetSecrets"
CHECK_ACCESS = "/accesscontrol.v1.AccessControlService/CheckAccess"
PADDING_KEY = b"\xba\xfa\xff\x0f"
"""Of field 4,194,215, which holds bytes."""

ROUNDS = 32
"""How often reflection is asked for what files import."""

KINDS = {
    (False, False): Kind.UNARY,
    (False, True): Kind.SERVER_STREAM,
    (True, False): Kind.CLIENT_STREAM,
    (True, True): Kind.BIDI_STREAM,
}


@dataclass(frozen=True, slots=True)
class Method:
    """A method and the requests to call it with.

    Args:
        path: its path.
        requests: the requests, serialized.
        codec: `proto` or `json`, of the requests.
        kind: unary or streaming; `None` where it is not known.
        descriptor: what reflection tells; `None` where it does not.
        given: whether the requests were given, and are not just empty messages.
    """

    path: str
    requests: tuple[bytes, ...]
    codec: str = "proto"
    kind: Kind | None = Kind.UNARY
    descriptor: MethodDescriptor | None = None
    given: bool = False

    @property
    def body(self) -> bytes:
        """The body of a unary call."""
        return self.requests[0]

    @property
    def content_type(self) -> str:
        """The content type of a unary call."""
        return f"application/{self.codec}"

    @property
    def enveloped(self) -> bytes:
        """The body of a streaming call."""
        return b"".join(map(envelope, self.requests))

    def as_json(self) -> bytes:
        """The request of a unary call in JSON; without a description of its message, one without fields."""
        if self.codec == "json":
            return self.body
        kind = None if self.descriptor is None else GetMessageClass(self.descriptor.input_type)
        return b"{}" if kind is None else MessageToJson(kind.FromString(self.body)).encode()


def padded(method: Method, size: int) -> bytes:
    """A request with `size` bytes more, in a field that no message has.

    Raises:
        NotApplicable: the request is JSON, where such fields are refused.
    """
    if method.codec != "proto":
        raise NotApplicable(f"reflection does not describe {method.path}, so that it is called with JSON")
    return method.requests[0] + PADDING_KEY + _varint(size) + b"x" * size


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


class Methods:
    """What a plugin serves, as far as it is known.

    Args:
        found: methods that reflection tells of or that requests were given for.
        always: a unary method that every plugin of its kind has, `None` for a plugin of none.
    """

    def __init__(self, found: Sequence[Method], always: Method | None) -> None:
        self.found = found
        self._always = always

    @classmethod
    async def of(cls, host: RuntimeEnd, services: Sequence[str], requests: Mapping[str, Sequence[object]]) -> Methods:
        """Ask a plugin.

        Args:
            host: the link to it.
            services: the services that are meant; by default all that it has registered.
            requests: JSON values to call methods with, by `SERVICE/METHOD`.

        Raises:
            ConfigError: a request is not what its method takes.
        """
        found: dict[str, Method] = {}
        for service in services or host.registration.services:
            for method in await describe(host, service):
                path = f"/{service}/{method.name}"
                kind = KINDS[method.client_streaming, method.server_streaming]
                found[path] = Method(path, (b"",), kind=kind, descriptor=method)
        for name, values in requests.items():
            path = f"/{name}"
            found[path] = _with_requests(path, values, found.get(path))
        return cls(list(found.values()), await _always(host))

    def of_kind(self, kind: Kind) -> list[Method]:
        """The methods of a kind.

        Raises:
            NotApplicable: none is known.
        """
        methods = [method for method in self.found if method.kind is kind]
        if not methods:
            raise NotApplicable(f"no {kind.name.lower().replace('_', ' ')} method is known (--request names one)")
        return methods

    def unary(self) -> Method:
        """A unary method, for checks that need any: first one that a request was given for.

        Raises:
            NotApplicable: none is known.
        """
        unary = [method for method in self.found if method.kind in (Kind.UNARY, None)]
        given = [method for method in unary if method.given]
        for method in (*given, *([self._always] if self._always else []), *unary):
            return method
        raise NotApplicable("no unary method is known (--request names one)")


async def describe(host: RuntimeEnd, service: str) -> list[MethodDescriptor]:
    """The methods of a service, as reflection tells; none where it does not."""
    try:
        files = await fetch_files(host, ServerReflectionRequest(file_containing_symbol=service))
        for _ in range(ROUNDS):
            missing = {name for file in files.values() for name in file.dependency} - files.keys()
            if not missing:
                break
            for name in missing:
                files |= await fetch_files(host, ServerReflectionRequest(file_by_filename=name))
        pool, added = DescriptorPool(), set[str]()
        while ready := [f for name, f in files.items() if name not in added and added.issuperset(f.dependency)]:
            for file in ready:
                pool.AddSerializedFile(file.SerializeToString())
                added.add(file.name)
        return list(pool.FindServiceByName(service).methods)
    except (Failed, KeyError, TypeError, ValueError, DecodeError):
        return []


async def fetch_files(host: RuntimeEnd, question: Message) -> dict[str, FileDescriptorProto]:
    """Ask reflection one question that it answers with files.

    Raises:
        Failed: it gave no answer.
        KeyError: it knows no such files.
    """
    answer = await host.stream(REFLECTION_PATH, envelope(question.SerializeToString()))
    answer.end_code()
    if not answer.messages:
        raise KeyError(REFLECTION_PATH)
    response = ServerReflectionResponse.FromString(answer.messages[0])
    files = map(FileDescriptorProto.FromString, response.file_descriptor_response.file_descriptor_proto)
    found = {file.name: file for file in files}
    if not found:
        raise KeyError(REFLECTION_PATH)
    return found


async def _always(host: RuntimeEnd) -> Method | None:
    kind = host.registration.WhichOneof("metadata")
    if kind == "secrets_provider":
        from plugmux_proto.resolver.v1.resolver_pb2 import GetSecretsRequest

        pattern = host.registration.secrets_provider.pattern
        return Method(GET_SECRETS, (GetSecretsRequest(pattern=pattern).SerializeToString(),))
    if kind == "access_control_module":
        from plugmux_proto.accesscontrol.v1.accesscontrol_pb2 import CheckAccessRequest

        return Method(CHECK_ACCESS, (CheckAccessRequest(pattern="a/b").SerializeToString(),))
    served = (await host.fetch(HEALTH_CHECK)).status == 200
    return Method(HEALTH_CHECK, (b"",)) if served else None


def _with_requests(path: str, values: Sequence[object], described: Method | None) -> Method:
    if described is None or described.descriptor is None:
        return Method(path, tuple(json.dumps(value).encode() for value in values), "json", None, given=True)
    kind = described.descriptor.input_type
    requests = []
    for value in values:
        try:
            if not isinstance(value, dict):
                raise ParseError("it is not a JSON object")
            message = ParseDict(value, GetMessageClass(kind)(), descriptor_pool=kind.file.pool)
        except ParseError as error:
            raise ConfigError(f"--request {path[1:]}: it is no {kind.full_name}: {error}") from None
        requests.append(message.SerializeToString())
    return Method(path, tuple(requests), "proto", described.kind, described.descriptor, given=True)
