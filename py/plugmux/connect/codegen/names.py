"""Python names for what proto files name: modules, classes, methods and the constants between them.

A generated module has names of four makers: the proto file, this generator, Python itself and the base classes. The
rules here keep them apart. What the generator adds begins with one underscore, so no method may; a name of the proto
that begins with an underscore gets `rpc` before it, which also keeps it from Python's mangling of `__x` in a class.
"""

from __future__ import annotations

import inspect
import keyword
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..client.client import Client
from ..client.sync import SyncClient
from ..server.service import Service

if TYPE_CHECKING:
    from google.protobuf.descriptor_pb2 import MethodDescriptorProto, ServiceDescriptorProto

__all__ = ["Taken", "class_stems", "is_plain", "method_names", "module_stem", "snake_case"]

INHERITED = frozenset(
    name
    for kind in (Service, Client, SyncClient)
    for base in kind.__mro__
    for name in (*base.__dict__, *inspect.get_annotations(base))
)
"""What the base classes of generated classes have, which no method may hide."""


def module_stem(file_name: str) -> str:
    """The path of a file's modules without their suffix: `a/b` for `a.b.proto`, as protoc's own output has it.

    protoc takes a dot for a slash, so that the path of a module is always the one by which it is imported.
    """
    stem = file_name.removesuffix(".proto").removesuffix(".protodevel")
    return stem.replace("-", "_").replace(".", "/")


def is_plain(module: str) -> bool:
    """Whether an import statement can name the module."""
    return all(part.isidentifier() and not keyword.iskeyword(part) for part in module.split("."))


def snake_case(name: str) -> str:
    """`"GetHTTPStatus"` as `"get_http_status"`."""
    name = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name)
    return re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower()


def method_names(methods: Iterable[MethodDescriptorProto]) -> list[str]:
    """The Python names of a service's methods: no keyword, nothing inherited, none twice."""
    taken = Taken(INHERITED | frozenset(keyword.kwlist))
    return [taken.add(_public(snake_case(method.name))) for method in methods]


def class_stems(services: Iterable[ServiceDescriptorProto]) -> dict[str, str]:
    """What the names of each service's classes begin with: `KeyValue` for `KeyValueService`.

    Where two services would have a class of the same name, the one that is called `...Service` keeps it.
    """
    stems: dict[str, str] = {}
    taken: set[str] = set()
    for service in sorted(services, key=lambda service: not service.name.endswith("Service")):
        stem = _public(service.name.removesuffix("Service") or service.name)
        while taken & (classes := {f"{stem}Service", f"{stem}Client", f"{stem}SyncClient"}):
            stem += "_"
        taken |= classes
        stems[service.name] = stem
    return stems


def _public(name: str) -> str:
    return f"rpc{name}" if name.startswith("_") else name


class Taken:
    """The names that are taken in one scope."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = set(names)

    def add(self, name: str) -> str:
        """Take this name, or the same with underscores behind it where it is taken already."""
        while name in self._names:
            name += "_"
        self._names.add(name)
        return name
