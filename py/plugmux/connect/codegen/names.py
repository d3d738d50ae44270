"""Chooses the Python names of modules, classes, methods and constants.

The names in a generated module come from four sources: the proto file, this generator, Python itself and the base
classes. The rules here keep them apart. Names that the generator adds begin with an underscore. A name in the proto
that begins with an underscore gets the prefix `rpc`, which also prevents Python's mangling of `__x` in a class.
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
"""The attributes of the base classes of generated classes, which no method may hide."""


def module_stem(file_name: str) -> str:
    """The path of a file's modules without their suffix, as in protoc's own output: `a/b` for `a.b.proto`.

    protoc treats a dot as a slash, so that the path of a module always matches its import.
    """
    stem = file_name.removesuffix(".proto").removesuffix(".protodevel")
    return stem.replace("-", "_").replace(".", "/")


def is_plain(module: str) -> bool:
    """Whether an import statement can name the module."""
    return all(part.isidentifier() and not keyword.iskeyword(part) for part in module.split("."))


def snake_case(name: str) -> str:
    """Convert a name to snake case: `"GetHTTPStatus"` to `"get_http_status"`."""
    name = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name)
    return re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower()


def method_names(methods: Iterable[MethodDescriptorProto]) -> list[str]:
    """The Python names of a service's methods: unique, not keywords, and not inherited attributes."""
    taken = Taken(INHERITED | frozenset(keyword.kwlist))
    return [taken.add(_public(snake_case(method.name))) for method in methods]


def class_stems(services: Iterable[ServiceDescriptorProto]) -> dict[str, str]:
    """The stem of the names of each service's classes: `KeyValue` for `KeyValueService`.

    If two services would have classes of the same name, the one that is named `...Service` keeps it.
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
    """The names that are used in one scope."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = set(names)

    def add(self, name: str) -> str:
        """Use this name; append underscores if it is used already."""
        while name in self._names:
            name += "_"
        self._names.add(name)
        return name
