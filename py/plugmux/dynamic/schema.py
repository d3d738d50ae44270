"""What a method looks like, asked of its server by gRPC's server reflection (v1) over Connect."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sized

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from ..connect import RpcError
from ..contract.registration import REFLECTION_SERVICE
from ..errors import ConfigError
from ..exchange import ClientTransport
from .calls import call_stream
from .suggest import did_you_mean

__all__ = ["check_requests", "find_service", "method_of", "wrong_number"]

PATH = f"/{REFLECTION_SERVICE}/ServerReflectionInfo"
NO_SUCH_FIELD = re.compile(r'Message type "(?P<message>[^"]*)" has no field named "(?P<field>[^"]*)"')
"""What protobuf says of JSON with a field that the message does not have."""


async def find_service(transport: ClientTransport, service: str) -> ServiceDescriptor | None:
    """The service's descriptor; `None` where the server does not tell, or tells nothing of use.

    Args:
        transport: the way to the server.
        service: full name of the service.
    """
    files: dict[str, FileDescriptorProto] = {}
    try:
        await _fetch(transport, {"fileContainingSymbol": service}, files)
        while missing := {name for file in files.values() for name in file.dependency} - files.keys():
            for name in missing:
                await _fetch(transport, {"fileByFilename": name}, files)
        pool = DescriptorPool()
        for file in _dependencies_first(files):
            pool.AddSerializedFile(file.SerializeToString())
        return pool.FindServiceByName(service)
    except (RpcError, KeyError, TypeError, ValueError, DecodeError, StopAsyncIteration):
        return None


def method_of(service: ServiceDescriptor, name: str) -> MethodDescriptor:
    """The method of this name.

    Raises:
        ConfigError: the service has none; the message names those that it has.
    """
    method: MethodDescriptor | None = service.methods_by_name.get(name)
    if method is None:
        known = list(service.methods_by_name)
        meant = did_you_mean(name, known) or f"; it has {', '.join(known)}"
        raise ConfigError(f"{service.full_name} has no method {name}{meant}")
    return method


def check_requests(method: MethodDescriptor, requests: Iterable[object]) -> None:
    """See that requests are what the method takes.

    Raises:
        ConfigError: one of them does not fit its message, or there is not exactly one where there must be.
    """
    requests = list(requests)
    if not method.client_streaming and len(requests) != 1:
        raise wrong_number(f"{method.containing_service.full_name}/{method.name}", requests)
    for request in requests:
        try:
            if not isinstance(request, dict):
                raise ParseError("it is not a JSON object")
            ParseDict(request, GetMessageClass(method.input_type)(), descriptor_pool=method.input_type.file.pool)
        except ParseError as error:
            meant = _meant_field(method, str(error))
            raise ConfigError(f"the request is no {method.input_type.full_name}: {error}{meant}") from None


def _meant_field(method: MethodDescriptor, error: str) -> str:
    if (said := NO_SUCH_FIELD.search(error)) is None:
        return ""
    message = method.input_type.file.pool.FindMessageTypeByName(said["message"])
    return did_you_mean(said["field"], [field.json_name for field in message.fields])


def wrong_number(method: str, requests: Sized) -> ConfigError:
    """The error of a method that takes one message, and was to be called with none or several."""
    given = f"{len(requests)} were given" if requests else "the request is empty"
    return ConfigError(f"{method} takes exactly one message, and {given}")


async def _fetch(transport: ClientTransport, question: dict[str, str], files: dict[str, FileDescriptorProto]) -> None:
    """Add the files of one answer.

    Raises:
        KeyError: the answer has none that were not there already, so that asking on would not end.
    """
    before = len(files)
    async for answer in call_stream(transport, PATH, [question]):
        if isinstance(answer, dict):
            for encoded in answer["fileDescriptorResponse"]["fileDescriptorProto"]:
                file = FileDescriptorProto.FromString(base64.b64decode(encoded))
                files[file.name] = file
    if len(files) == before:
        raise KeyError(PATH)


def _dependencies_first(files: dict[str, FileDescriptorProto]) -> list[FileDescriptorProto]:
    ordered: dict[str, FileDescriptorProto] = {}
    entered: set[str] = set()

    def visit(name: str) -> None:
        if name not in entered:
            entered.add(name)
            for dependency in files[name].dependency:
                visit(dependency)
            ordered[name] = files[name]

    for name in files:
        visit(name)
    return list(ordered.values())
