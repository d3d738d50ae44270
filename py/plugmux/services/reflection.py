"""gRPC's server reflection (v1) as a service for any app: it lists services and returns their protos."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import Default

from ..connect import Context, Kind, MethodSpec, Service, ServiceSpec
from .private import message_classes

if TYPE_CHECKING:
    from google.protobuf.descriptor import FileDescriptor

__all__ = ["ReflectionService", "ServerReflectionRequest", "ServerReflectionResponse"]

_classes = message_classes(
    "grpc/reflection/v1/reflection.proto",
    "grpc.reflection.v1",
    {
        "ServerReflectionRequest": """
            string host = 1
            message_request string file_by_filename = 3
            message_request string file_containing_symbol = 4
            message_request ExtensionRequest file_containing_extension = 5
            message_request string all_extension_numbers_of_type = 6
            message_request string list_services = 7
        """,
        "ExtensionRequest": """
            string containing_type = 1
            int32 extension_number = 2
        """,
        "ServerReflectionResponse": """
            string valid_host = 1
            ServerReflectionRequest original_request = 2
            message_response FileDescriptorResponse file_descriptor_response = 4
            message_response ExtensionNumberResponse all_extension_numbers_response = 5
            message_response ListServiceResponse list_services_response = 6
            message_response ErrorResponse error_response = 7
        """,
        "FileDescriptorResponse": "repeated bytes file_descriptor_proto = 1",
        "ExtensionNumberResponse": """
            string base_type_name = 1
            repeated int32 extension_number = 2
        """,
        "ListServiceResponse": "repeated ServiceResponse service = 1",
        "ServiceResponse": "string name = 1",
        "ErrorResponse": """
            int32 error_code = 1
            string error_message = 2
        """,
    },
    {},
    {"ServerReflection": "ServerReflectionInfo ServerReflectionRequest ServerReflectionResponse both"},
)
ServerReflectionRequest: Any = _classes["ServerReflectionRequest"]
ServerReflectionResponse: Any = _classes["ServerReflectionResponse"]
NOT_FOUND = 5  # the protocol sends the number of the code


class ReflectionService(Service):
    """Lists the services of an app, and describes their messages.

    It describes every type in the descriptor pools of the services' messages. For generated code these are all protos
    that the process has imported.

    Args:
        services: the services to list; the reflection service is listed, too.
    """

    spec = ServiceSpec(
        "grpc.reflection.v1.ServerReflection",
        [
            MethodSpec(
                "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
                "server_reflection_info",
                Kind.BIDI_STREAM,
                ServerReflectionRequest,
                ServerReflectionResponse,
            )
        ],
    )

    def __init__(self, services: Iterable[Service]) -> None:
        listed = [*services, self]
        self._names = sorted(service.spec.name for service in listed)
        methods = [method for service in listed for method in service.spec.methods]
        self._pools = list(dict.fromkeys([method.request.DESCRIPTOR.file.pool for method in methods] + [Default()]))

    async def server_reflection_info(self, requests: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
        """Answer each request with one response, in order."""
        async for request in requests:
            response = ServerReflectionResponse(valid_host=request.host, original_request=request)
            try:
                self._answer(request, response)
            except KeyError:
                response.error_response.error_code = NOT_FOUND
                response.error_response.error_message = "nothing of this name is known here"
            yield response

    def _answer(self, request: Any, response: Any) -> None:
        match request.WhichOneof("message_request"):
            case "list_services":
                for name in self._names:
                    response.list_services_response.service.add(name=name)
            case "file_by_filename":
                self._give(response, self._find("FindFileByName", request.file_by_filename))
            case "file_containing_symbol":
                self._give(response, self._containing(request.file_containing_symbol))
            case "file_containing_extension":
                wanted = request.file_containing_extension
                message = self._find("FindMessageTypeByName", wanted.containing_type)
                self._give(response, message.file.pool.FindExtensionByNumber(message, wanted.extension_number).file)
            case "all_extension_numbers_of_type":
                message = self._find("FindMessageTypeByName", request.all_extension_numbers_of_type)
                numbers = sorted(field.number for field in message.file.pool.FindAllExtensions(message))
                response.all_extension_numbers_response.base_type_name = message.full_name
                response.all_extension_numbers_response.extension_number.extend(numbers)
            case _:
                raise KeyError

    def _containing(self, symbol: str) -> Any:
        try:
            return self._find("FindFileContainingSymbol", symbol)
        except KeyError:  # perhaps a method or a field, which not every implementation of protobuf finds
            return self._find("FindFileContainingSymbol", symbol.rpartition(".")[0])

    def _find(self, method: str, name: str) -> Any:
        for pool in self._pools:
            try:
                return getattr(pool, method)(name)
            except KeyError:
                continue
        raise KeyError(name)

    def _give(self, response: Any, file: FileDescriptor) -> None:
        """Add a file and all its imports to the response, so that the caller needs no further request."""
        found: dict[str, bytes] = {}
        waiting = [file]
        while waiting:
            next_file = waiting.pop(0)
            if next_file.name not in found:
                proto = FileDescriptorProto()
                next_file.CopyToProto(proto)
                found[next_file.name] = proto.SerializeToString()
                waiting += next_file.dependencies
        response.file_descriptor_response.file_descriptor_proto.extend(found.values())
