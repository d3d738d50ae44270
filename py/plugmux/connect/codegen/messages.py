"""Finds messages: the module that protoc writes for a file, and the expression for a class in it."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from posixpath import dirname
from typing import TYPE_CHECKING

from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.message import Message

from .names import Taken, is_plain, module_stem

if TYPE_CHECKING:
    from google.protobuf.descriptor_pb2 import DescriptorProto

__all__ = ["Imports", "Location", "MessageClass", "Module", "find_messages", "find_modules"]

INHERITED = frozenset(dir(Message)) | {"DESCRIPTOR", "Extensions"}
"""The attributes of every message class, which hide a nested message of the same name."""


@dataclass(frozen=True)
class Module:
    """The module that protoc writes for the messages of a file.

    Args:
        name: its full name, `kv.v1.kv_pb2`.
        stem: its path without the suffix, `kv/v1/kv`.
        is_static: whether an import statement can name it and a type checker can read its `.pyi`. A type checker cannot
            if a message, an enum or an enum's value has the name of a keyword.
    """

    name: str
    stem: str
    is_static: bool


def find_modules(files: Iterable[FileDescriptorProto], package: str, generated: Iterable[str]) -> dict[str, Module]:
    """The module of each file of a request, by the file's name.

    Args:
        files: all files of the request.
        package: the Python package that holds the modules of this run, or an empty string.
        generated: the files of this run. Other files in the same directories belong to the package, too. All other
            files are imported from where they are installed.
    """
    directories = {dirname(name) for name in generated} if package else set()
    modules = {}
    for file in files:
        stem = module_stem(file.name)
        name = f"{stem.replace('/', '.')}_pb2"
        if dirname(file.name) in directories:
            name = f"{package}.{name}"
        modules[file.name] = Module(name, stem, is_plain(name) and not any(map(keyword.iskeyword, _declared(file))))
    return modules


def _declared(scope: FileDescriptorProto | DescriptorProto) -> Iterator[str]:
    """The names of all messages, enums and enums' values in a file or a message."""
    for enum in scope.enum_type:
        yield enum.name
        yield from (value.name for value in enum.value)
    for message in scope.message_type if isinstance(scope, FileDescriptorProto) else scope.nested_type:
        yield message.name
        yield from _declared(message)


@dataclass(frozen=True)
class MessageClass:
    """How generated source names a message class.

    Args:
        expression: evaluates to the class at run time.
        annotation: names the class for a type checker; `Any` for a class that Python cannot name.
        is_hidden: whether a type checker knows the class by its annotation, but not by the expression.
    """

    expression: str
    annotation: str
    is_hidden: bool


@dataclass(frozen=True)
class Location:
    """The module of a message, and the message's name in it: `Outer.Inner`."""

    module: Module
    name: str


def find_messages(files: Iterable[FileDescriptorProto], modules: Mapping[str, Module]) -> dict[str, Location]:
    """Every message of a request, by its full name with a leading dot, the form in which descriptors refer to it."""
    messages = {}
    for file in files:
        root = f".{file.package}." if file.package else "."
        for name in _names(file.message_type, ""):
            messages[root + name] = Location(modules[file.name], name)
    return messages


def _names(messages: Iterable[DescriptorProto], prefix: str) -> Iterator[str]:
    for message in messages:
        yield f"{prefix}{message.name}"
        yield from _names(message.nested_type, f"{prefix}{message.name}.")


class Imports:
    """The modules of messages that one generated module imports, each under a unique name."""

    def __init__(self, messages: Mapping[str, Location], taken: Taken) -> None:
        self._messages = messages
        self._taken = taken
        self._names: dict[Module, str] = {}

    def message(self, type_name: str) -> MessageClass:
        """The names of a message class in the source; its module is added to the imports."""
        location = self._messages[type_name]
        module = location.module
        if module not in self._names:
            stem = re.sub(r"\W", "_", module.stem).lstrip("_")
            self._names[module] = self._taken.add(f"_{stem}_pb2")
        expression = self._names[module]
        annotation = f"{expression}.{location.name}" if module.is_static else "_typing.Any"
        for depth, part in enumerate(location.name.split(".")):
            if depth > 0 and part in INHERITED:
                nested = f'{expression}.DESCRIPTOR.nested_types_by_name["{part}"]'
                expression = f'getattr({nested}, "_concrete_class")'
            elif keyword.iskeyword(part):
                expression = f'getattr({expression}, "{part}")'
            else:
                expression = f"{expression}.{part}"
        return MessageClass(expression, annotation, module.is_static and "getattr(" in expression)

    @property
    def are_static(self) -> bool:
        """Whether import statements import all of the modules."""
        return all(module.is_static for module in self._names)

    def lines(self) -> list[str]:
        """The lines that import the modules."""
        modules = sorted(self._names.items(), key=lambda item: item[0].name)
        return [_import(module, name) for module, name in modules]


def _import(module: Module, name: str) -> str:
    if not module.is_static:
        return f'{name} = _importlib.import_module("{module.name}")'
    parent, _, leaf = module.name.rpartition(".")
    return f"from {parent} import {leaf} as {name}" if parent else f"import {leaf} as {name}"
