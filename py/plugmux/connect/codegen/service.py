"""Writes one service: a constant for each method, the service class, the client and the blocking client."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from google.protobuf.descriptor_pb2 import MethodOptions

from ..spec import Kind
from .names import Taken, method_names

if TYPE_CHECKING:
    from google.protobuf.descriptor_pb2 import MethodDescriptorProto, ServiceDescriptorProto

    from .messages import Imports

__all__ = ["CLASSES", "Scope", "docstring", "service_lines"]

CLASSES = ("Service", "Client", "SyncClient")
_SERVICE_FIELD, _METHOD_FIELD = 6, 2  # field numbers in descriptor.proto, which the paths of comments consist of


@dataclass(frozen=True)
class Scope:
    """The scope that the services of one module share.

    Args:
        package: the proto package.
        imports: the modules of messages.
        taken: the names at module level.
        comments: the comments of the proto file by their elements' paths.
    """

    package: str
    imports: Imports
    taken: Taken
    comments: dict[tuple[int, ...], str]


def service_lines(scope: Scope, index: int, service: ServiceDescriptorProto, stem: str) -> list[str]:
    """The lines of the service at `index` in its file; the names of its classes begin with the stem."""
    full_name = f"{scope.package}.{service.name}" if scope.package else service.name
    names = method_names(service.method)
    seconds = "_builtins.float" if "float" in names else "float"
    methods = []
    for i, (method, name) in enumerate(zip(service.method, names, strict=True)):
        comment = scope.comments.get((_SERVICE_FIELD, index, _METHOD_FIELD, i), "")
        constant = scope.taken.add(f"_{stem}_{name}")
        methods.append(_Method(scope.imports, method, name, constant, f"/{full_name}/{method.name}", comment, seconds))
    comment = scope.comments.get((_SERVICE_FIELD, index), "")
    constants = ", ".join(method.constant for method in methods)
    classes = [
        _class_lines(
            f"{stem}Service(_connect.Service)",
            comment or f"The service {full_name}, to be subclassed and served.",
            f'spec = _connect.ServiceSpec("{full_name}", [{constants}])',
            [method.service() for method in methods],
        ),
        _class_lines(
            f"{stem}Client(_connect.Client)",
            comment or f"Calls {full_name}.",
            f"spec = {stem}Service.spec",
            [method.client() for method in methods],
        ),
        _class_lines(
            f"{stem}SyncClient(_connect.SyncClient)",
            comment or f"Calls {full_name}, and waits.",
            f"client_class = {stem}Client",
            [method.sync_client() for method in methods],
        ),
    ]
    lines = [line for method in methods for line in method.spec()]
    for class_lines in classes:
        lines += ["", "", *class_lines] if lines else class_lines
    return lines


def _class_lines(head: str, docs: str, attribute: str, methods: list[list[str]]) -> list[str]:
    lines = [f"class {head}:", *docstring(docs, " " * 4), "", f"    {attribute}"]
    for method in methods:
        lines += ["", *method]
    return lines


class _Method:
    """Writes one method for the three classes of its service."""

    def __init__(
        self,
        imports: Imports,
        method: MethodDescriptorProto,
        name: str,
        constant: str,
        path: str,
        comment: str,
        seconds: str,
    ) -> None:
        self.constant = constant
        self._name = name
        self._path = path
        self._seconds = seconds
        self._kind = Kind((method.client_streaming, method.server_streaming))
        request, response = imports.message(method.input_type), imports.message(method.output_type)
        self._request, self._response = request.expression, response.expression
        self._request_type, self._response_type = request.annotation, response.annotation
        self._is_hidden = request.is_hidden or response.is_hidden
        self._no_side_effects = method.options.idempotency_level == MethodOptions.NO_SIDE_EFFECTS
        self._docs = docstring(comment or f"Call {path}.", " " * 8)

    def spec(self) -> list[str]:
        """The constant that describes the method."""
        types = f": _connect.MethodSpec[{self._request_type}, {self._response_type}]" if self._is_hidden else ""
        return [
            f"{self.constant}{types} = _connect.MethodSpec(",
            f'    "{self._path}",',
            f'    "{self._name}",',
            f"    _connect.Kind.{self._kind.name},",
            f"    {self._request},",
            f"    {self._response},",
            *(["    no_side_effects=True,"] if self._no_side_effects else []),
            ")",
        ]

    def service(self) -> list[str]:
        """The method of the service class, which authors override."""
        if self._kind.client_streams:
            argument = f"requests: _connect.RequestStream[{self._request_type}]"
        else:
            argument = f"request: {self._request_type}"
        if self._kind.server_streams:
            result = f"_abc.AsyncIterator[{self._response_type}] | _abc.Iterator[{self._response_type}]"
        else:
            result = f"_abc.Awaitable[{self._response_type}] | {self._response_type}"
        return [
            f"    def {self._name}(",
            f"        self, {argument}, context: _connect.Context",
            f"    ) -> {result}:",
            *self._docs,
            f"        _connect.unimplemented({self.constant})",
        ]

    def client(self) -> list[str]:
        """The method of the client."""
        response = self._response_type
        argument, result, helper = {
            Kind.UNARY: (
                f"request: {self._request_type}",
                f"_abc.Coroutine[_typing.Any, _typing.Any, {response}]",
                "_unary",
            ),
            Kind.SERVER_STREAM: (
                f"request: {self._request_type}",
                f"_connect.ServerStream[{response}]",
                "_server_stream",
            ),
            Kind.CLIENT_STREAM: (
                f"requests: _abc.AsyncIterable[{self._request_type}] | _abc.Iterable[{self._request_type}]",
                f"_abc.Coroutine[_typing.Any, _typing.Any, {response}]",
                "_client_stream",
            ),
            Kind.BIDI_STREAM: ("", f"_connect.BidiStream[{self._request_type}, {response}]", "_bidi_stream"),
        }[self._kind]
        return self._calling(argument, result, f"self.{helper}", "timeout, headers, context")

    def sync_client(self) -> list[str]:
        """The method of the blocking client."""
        if self._kind.client_streams:
            argument = f"requests: _abc.Iterable[{self._request_type}]"
        else:
            argument = f"request: {self._request_type}"
        server_streams = self._kind.server_streams
        result = f"_abc.Iterator[{self._response_type}]" if server_streams else self._response_type
        return self._calling(argument, result, f"self._{self._kind.name.lower()}", "timeout, headers, context")

    def _calling(self, argument: str, result: str, function: str, rest: str) -> list[str]:
        parameter = argument.partition(":")[0]
        arguments = f"{self.constant}, {parameter}, {rest}" if parameter else f"{self.constant}, {rest}"
        return [
            f"    def {self._name}(",
            "        self,",
            *([f"        {argument},"] if argument else []),
            "        *,",
            f"        timeout: {self._seconds} | None = None,",
            "        headers: _connect.MetadataLike | None = None,",
            "        context: _connect.Context | None = None,",
            f"    ) -> {result}:",
            *self._docs,
            f"        return {function}({arguments})",
        ]


def docstring(text: str, indent: str) -> list[str]:
    """The lines of a docstring."""
    escaped = text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    if escaped.endswith('"'):
        escaped += " "
    lines = escaped.split("\n")
    if len(lines) == 1:
        return [f'{indent}"""{lines[0]}"""']
    return [f'{indent}"""{lines[0]}', *(f"{indent}{line}" if line else "" for line in lines[1:]), f'{indent}"""']
