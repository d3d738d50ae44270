"""What a method looks like, asked of its server by gRPC's server reflection (v1) over Connect."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sized

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from ..connect import RpcError
from ..errors import ConfigError
from ..exchange import ClientTransport
from .json_call import call_stream

__all__ = ["REFLECTION", "check_requests", "find_method", "wrong_number"]

REFLECTION = "grpc.reflection.v1.ServerReflection"
PATH = f"/{REFLECTION}/ServerReflectionInfo"


async def find_method(transport: ClientTransport, service: str, method: str) -> MethodDescriptor | None:
    """The method's descriptor; `None` where the server does not tell, or tells nothing of use.

    Args:
        transport: the way to the server.
        service: full name of the service.
        method: name of the method.
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
        return pool.FindMethodByName(f"{service}.{method}")
    except (RpcError, KeyError, TypeError, ValueError, DecodeError, StopAsyncIteration):
        return None


def check_requests(method: MethodDescriptor, requests: Iterable[object]) -> None:
    """See that requests are what the method takes.

    Raises:
        ConfigError: one of them does not fit its message, or there is not exactly one where there must be.
    """
    requests = list(requests)
    if not method.client_streaming and len(requests) != 1:
        raise wrong_number(method.full_name, requests)
    for request in requests:
        try:
            if not isinstance(request, dict):
                raise ParseError("it is not a JSON object")
            ParseDict(request, GetMessageClass(method.input_type)(), descriptor_pool=method.input_type.file.pool)
        except ParseError as error:
            raise ConfigError(f"the request is no {method.input_type.full_name}: {error}") from None


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
