"""`protoc-gen-plugmux`: generates typed Python services and clients from proto files.

protoc (or buf) writes a `CodeGeneratorRequest` on stdin and reads a `CodeGeneratorResponse` on stdout. For each
file with services, `kv/v1/kv.proto`, there is one `kv/v1/kv_connect.py`, which imports the `kv_pb2` that protoc makes
itself. The same input gives the same output, byte for byte.

Options (`opt:` in buf.gen.yaml, comma-separated):
    package=NAME    the Python package that holds the generated modules, for output below a package of one's own.
"""

from __future__ import annotations

import argparse
import keyword
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from google.protobuf.compiler import plugin_pb2
from google.protobuf.descriptor_pb2 import Edition, MethodOptions
from google.protobuf.message import DecodeError

from ..contract.version import VERSION
from .client.client import Client
from .client.sync import SyncClient
from .server.service import Service
from .spec import Kind

if TYPE_CHECKING:
    from google.protobuf.descriptor_pb2 import (
        DescriptorProto,
        FileDescriptorProto,
        MethodDescriptorProto,
        ServiceDescriptorProto,
    )

__all__ = ["generate", "main"]

TAKEN = (
    frozenset(dir(Service)) | frozenset(dir(Client)) | frozenset(dir(SyncClient)) | {"limits", "spec", "client_class"}
)
ABOUT = """\
Generate typed Python services and clients from proto files. This is a plugin of buf and protoc, which start
it and ask on its stdin. With buf, it goes into buf.gen.yaml beside protoc's own Python output, as

  - local: protoc-gen-plugmux
    out: DIRECTORY

and `buf generate` runs it; with protoc, the option --plugmux_out=DIRECTORY does.
"""
WRONG_USAGE = 2
_SERVICE_FIELD, _METHOD_FIELD = 6, 2  # numbers of the fields in descriptor.proto, of which comment paths are made


def main() -> int:
    """The console script: one request from stdin, one response to stdout."""
    parser = argparse.ArgumentParser(
        "protoc-gen-plugmux", description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    version = f"%(prog)s {VERSION.removeprefix('v')}"
    parser.add_argument("--version", action="version", version=version, help="print the version and exit")
    parser.parse_args()
    if sys.stdin.isatty():
        parser.print_help(sys.stderr)
        return WRONG_USAGE
    try:
        request = plugin_pb2.CodeGeneratorRequest.FromString(sys.stdin.buffer.read())
    except DecodeError:
        parser.exit(WRONG_USAGE, f"{parser.prog}: what stands on stdin is no request of buf or protoc; see --help\n")
    sys.stdout.buffer.write(generate(request).SerializeToString(deterministic=True))
    return 0


def generate(request: plugin_pb2.CodeGeneratorRequest) -> plugin_pb2.CodeGeneratorResponse:
    """Answer protoc's request; what is wrong with it stands in the response's `error`, as protoc wants it."""
    response = plugin_pb2.CodeGeneratorResponse(
        supported_features=plugin_pb2.CodeGeneratorResponse.FEATURE_PROTO3_OPTIONAL
        | plugin_pb2.CodeGeneratorResponse.FEATURE_SUPPORTS_EDITIONS,
        minimum_edition=Edition.EDITION_PROTO2,
        maximum_edition=Edition.EDITION_2024,
    )
    try:
        package = _package_option(request.parameter)
    except ValueError as error:
        response.error = str(error)
        return response
    files = {file.name: file for file in request.proto_file}
    types = {name: place for file in request.proto_file for name, place in _types_of(file)}
    for name in request.file_to_generate:
        if files[name].service:
            content = _Module(files[name], types, package).text()
            response.file.add(name=f"{_stem(name)}_connect.py", content=content)
    return response


def _package_option(parameter: str) -> str:
    package = ""
    for option in filter(None, parameter.split(",")):
        name, _, value = option.partition("=")
        if name != "package":
            raise ValueError(f"protoc-gen-plugmux has no option {name!r}; it has package=NAME")
        if not all(part.isidentifier() for part in value.split(".")):
            raise ValueError(f"the option package={value!r} is not the name of a Python package")
        package = value
    return package


@dataclass(frozen=True)
class _Place:
    """Where a message is defined: its file, and its name in there."""

    file: str
    name: str


def _types_of(file: FileDescriptorProto) -> Iterator[tuple[str, _Place]]:
    """Every message of a file by its full name with a leading dot, as descriptors refer to it."""

    def walk(messages: Iterable[DescriptorProto], prefix: str) -> Iterator[tuple[str, _Place]]:
        for message in messages:
            name = f"{prefix}{message.name}"
            yield f"{root}{name}", _Place(file.name, name)
            yield from walk(message.nested_type, f"{name}.")

    root = f".{file.package}." if file.package else "."
    return walk(file.message_type, "")


def _stem(file_name: str) -> str:
    """The path of a file's modules without their suffix, as protoc's own Python output has it."""
    return file_name.removesuffix(".proto").removesuffix(".protodevel").replace("-", "_")


def snake_case(name: str) -> str:
    """`"GetHTTPStatus"` as `"get_http_status"`."""
    name = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name)
    return re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower()


def _method_names(methods: Iterable[MethodDescriptorProto]) -> list[str]:
    """The Python names of a service's methods: no keyword, nothing inherited, none twice."""
    names: list[str] = []
    for method in methods:
        name = snake_case(method.name)
        if name.startswith("__"):
            name = f"rpc{name}"  # or Python would mangle it
        while keyword.iskeyword(name) or name in TAKEN or name in names:
            name += "_"
        names.append(name)
    return names


def _class_stems(services: Iterable[ServiceDescriptorProto]) -> dict[str, str]:
    """What the names of each service's classes begin with: `KeyValue` for `KeyValueService`.

    Where two services would have a class of the same name, the one that is called `...Service` keeps it.
    """
    stems: dict[str, str] = {}
    taken: set[str] = set()
    for service in sorted(services, key=lambda service: not service.name.endswith("Service")):
        stem = service.name.removesuffix("Service") or service.name
        while taken & (classes := {f"{stem}Service", f"{stem}Client", f"{stem}SyncClient"}):
            stem += "_"
        taken |= classes
        stems[service.name] = stem
    return stems


@dataclass
class _Imports:
    """The pb2 modules that a generated module needs, each under a name of its own."""

    package: str
    names: dict[str, str] = field(default_factory=dict)

    def name(self, file: str) -> str:
        """The name under which the messages of a file are at hand."""
        module = self._module(file)
        if module not in self.names:
            name = "_" + re.sub(r"\W", "_", _stem(file)) + "_pb2"
            while name in self.names.values():
                name += "_"
            self.names[module] = name
        return self.names[module]

    def lines(self) -> list[str]:
        """The import statements."""
        return [self._line(module, name) for module, name in sorted(self.names.items())]

    def _module(self, file: str) -> str:
        module = _stem(file).replace("/", ".") + "_pb2"
        own = self.package and not file.startswith("google/protobuf/")
        return f"{self.package}.{module}" if own else module

    def _line(self, module: str, name: str) -> str:
        parent, _, leaf = module.rpartition(".")
        if any(not part.isidentifier() or keyword.iskeyword(part) for part in module.split(".")):
            return f'{name} = __import__("importlib").import_module("{module}")'
        return f"from {parent} import {leaf} as {name}" if parent else f"import {leaf} as {name}"


class _Module:
    """One generated module."""

    def __init__(self, file: FileDescriptorProto, types: dict[str, _Place], package: str) -> None:
        self._file = file
        self._types = types
        self._imports = _Imports(package)
        self._comments = {
            tuple(place.path): place.leading_comments or place.trailing_comments
            for place in file.source_code_info.location
        }

    def text(self) -> str:
        """The module's source."""
        stems = _class_stems(self._file.service)
        bodies = [self._service(i, service, stems[service.name]) for i, service in enumerate(self._file.service)]
        exported = sorted(
            f"{stem}{suffix}" for stem in stems.values() for suffix in ("Client", "Service", "SyncClient")
        )
        lines = [
            f"# Generated by protoc-gen-plugmux from {self._file.name}. DO NOT EDIT.",
            '"""Services and clients of ' + self._file.name + '."""',
            "",
            "from __future__ import annotations",
            "",
            "import typing as _typing",
            "",
            "import plugmux.connect as _connect",
            "",
            *self._imports.lines(),
            "",
            "if _typing.TYPE_CHECKING:",
            "    import collections.abc as _abc",
            "",
            "__all__ = [",
            *(f'    "{name}",' for name in exported),
            "]",
        ]
        for body in bodies:
            lines += ["", "", *body]
        return "\n".join(lines) + "\n"

    def _service(self, index: int, service: ServiceDescriptorProto, stem: str) -> list[str]:
        full_name = f"{self._file.package}.{service.name}" if self._file.package else service.name
        names = _method_names(service.method)
        methods = [
            _Method(self, method, name, f"_{stem}_{name}", f"/{full_name}/{method.name}", (index, i))
            for i, (method, name) in enumerate(zip(service.method, names, strict=True))
        ]
        comment = self.comment(_SERVICE_FIELD, index)
        lines = [line for method in methods for line in method.spec()]
        classes = (
            ("Service", "_connect.Service", comment or f"The service {full_name}, to be subclassed and served."),
            ("Client", "_connect.Client", comment or f"Calls {full_name}."),
            ("SyncClient", "_connect.SyncClient", comment or f"Calls {full_name}, and waits."),
        )
        for suffix, base, docs in classes:
            lines += ["", "", f"class {stem}{suffix}({base}):", *_docstring(docs, 4), ""]
            if suffix == "Service":
                lines += [f'    spec = _connect.ServiceSpec("{full_name}", [{", ".join(m.constant for m in methods)}])']
            elif suffix == "Client":
                lines += [f"    spec = {stem}Service.spec"]
            else:
                lines += [f"    client_class = {stem}Client"]
            for method in methods:
                lines += ["", *getattr(method, suffix.lower())()]
        return lines[2:] if not methods else lines

    def comment(self, *path: int) -> str:
        """The comment before the element at this path, or else the one behind it."""
        lines = [line.removeprefix(" ").rstrip() for line in self._comments.get(path, "").strip("\n").split("\n")]
        return "\n".join(lines).strip()

    def reference(self, type_name: str) -> str:
        """The expression for a message class."""
        place = self._types[type_name]
        expression = self._imports.name(place.file)
        for part in place.name.split("."):
            expression = f'getattr({expression}, "{part}")' if keyword.iskeyword(part) else f"{expression}.{part}"
        return expression

    def annotation(self, type_name: str) -> str:
        """The annotation for a message class; one that cannot be written, for a keyword is in it, is `Any`."""
        expression = self.reference(type_name)
        return "_typing.Any" if expression.startswith("getattr(") or "__import__" in expression else expression


class _Method:
    """One method of one service, as the three classes have it."""

    def __init__(
        self,
        module: _Module,
        method: MethodDescriptorProto,
        name: str,
        constant: str,
        path: str,
        place: tuple[int, int],
    ) -> None:
        self.constant = constant
        self._name = name
        self._path = path
        self._kind = Kind((method.client_streaming, method.server_streaming))
        self._request, self._response = module.reference(method.input_type), module.reference(method.output_type)
        self._request_type = module.annotation(method.input_type)
        self._response_type = module.annotation(method.output_type)
        self._no_side_effects = method.options.idempotency_level == MethodOptions.NO_SIDE_EFFECTS
        comment = module.comment(_SERVICE_FIELD, place[0], _METHOD_FIELD, place[1])
        self._docs = _docstring(comment or f"Call {path}.", 8)

    def spec(self) -> list[str]:
        """The constant that describes the method."""
        return [
            f"{self.constant} = _connect.MethodSpec(",
            f'    "{self._path}",',
            f'    "{self._name}",',
            f"    _connect.Kind.{self._kind.name},",
            f"    {self._request},",
            f"    {self._response},",
            *(["    no_side_effects=True,"] if self._no_side_effects else []),
            ")",
        ]

    def service(self) -> list[str]:
        """The method to be overridden."""
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
        """The method that calls."""
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

    def syncclient(self) -> list[str]:
        """The method that calls and waits."""
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
            "        timeout: float | None = None,",
            "        headers: _connect.MetadataLike | None = None,",
            "        context: _connect.Context | None = None,",
            f"    ) -> {result}:",
            *self._docs,
            f"        return {function}({arguments})",
        ]


def _docstring(text: str, indent: int) -> list[str]:
    space = " " * indent
    escaped = text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    if escaped.endswith('"'):
        escaped += " "
    lines = escaped.split("\n")
    if len(lines) == 1:
        return [f'{space}"""{lines[0]}"""']
    return [f'{space}"""{lines[0]}', *(f"{space}{line}" if line else "" for line in lines[1:]), f'{space}"""']
