"""Calls every method of generated modules over a link: `python every_method.py DIRECTORY [MODULE...]`.

Without modules named, all of the directory. Each request and response is filled, and compared at the other end, once in
protobuf's binary form and once as JSON. Prints the counts and a line for each failure, as JSON.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import importlib
import json
import sys
import traceback
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from google.protobuf.empty_pb2 import Empty

from links import linked
from plugmux.connect import App, Client, Context, Kind, MethodSpec, Service

STREAMED = 2
DEPTH = 3


def filled(kind: Any, depth: int = DEPTH) -> Any:
    """A message with a value in each of its fields, and in those of the messages within, to a depth.

    It is the same object each time: nobody changes it.
    """
    return _filled(kind, depth)


@functools.lru_cache(maxsize=4096)
def _filled(kind: Any, depth: int) -> Any:
    message = kind()
    if kind.DESCRIPTOR.full_name == "google.protobuf.Any":
        message.Pack(Empty())
        return message
    for field in kind.DESCRIPTOR.fields:
        chosen = field.containing_oneof
        if chosen is not None and chosen.fields[0] is not field:
            continue
        if field.message_type is None:
            value = value_of(field)
            getattr(message, field.name).append(value) if is_repeated(field) else setattr(message, field.name, value)
        elif field.message_type.GetOptions().map_entry:
            fill_map(message, field, depth)
        elif depth > 0 and (is_required(field) or not field.message_type.full_name.startswith("google.protobuf.")):
            within = getattr(message, field.name)
            target = within.add() if is_repeated(field) else within
            target.SetInParent()
            target.CopyFrom(filled(type(target), depth - 1))
    return message


def is_repeated(field: Any) -> bool:
    return bool(field.is_repeated) if hasattr(field, "is_repeated") else bool(field.label == field.LABEL_REPEATED)


def is_required(field: Any) -> bool:
    return bool(field.is_required) if hasattr(field, "is_required") else bool(field.label == field.LABEL_REQUIRED)


def value_of(field: Any) -> Any:
    if field.enum_type is not None:
        return field.enum_type.values[-1].number
    if field.cpp_type == field.CPPTYPE_STRING:
        return b"\x00\xff" if field.type == field.TYPE_BYTES else f"é {field.name}"
    return True if field.cpp_type == field.CPPTYPE_BOOL else 7


def fill_map(message: Any, field: Any, depth: int) -> None:
    key, value = field.message_type.fields_by_name["key"], field.message_type.fields_by_name["value"]
    entries = getattr(message, field.name)
    if value.message_type is None:
        entries[value_of(key)] = value_of(value)
    elif depth > 0 and not value.message_type.full_name.startswith("google.protobuf."):
        entries[value_of(key)].CopyFrom(filled(type(entries[value_of(key)]), depth - 1))


class Mismatch(Exception):
    """A message is not the one that was sent."""


def expect(message: Any, kind: Any) -> None:
    if type(message) is not kind or message != filled(kind):
        raise Mismatch(f"{message!r} is not the {kind.DESCRIPTOR.full_name} that was sent")


def serving(generated: type[Service]) -> Service:
    """An object of the service that overrides each method with one that expects and gives filled messages."""
    overriding = {method.attribute: handler(method) for method in generated.spec.methods}
    kind = type("Serving", (generated,), overriding)
    service: Service = kind()
    return service


def handler(method: MethodSpec[Any, Any]) -> Any:
    async def one(self: Any, request: Any, context: Context) -> Any:
        await checked_requests(request)
        return filled(method.response)

    async def many(self: Any, request: Any, context: Context) -> AsyncIterator[Any]:
        await checked_requests(request)
        for _ in range(STREAMED):
            yield filled(method.response)

    async def checked_requests(request: Any) -> None:
        requests = [one async for one in request] if method.kind.client_streams else [request]
        if len(requests) != (STREAMED if method.kind.client_streams else 1):
            raise Mismatch(f"{len(requests)} requests came")
        for each in requests:
            expect(each, method.request)

    return many if method.kind.server_streams else one


async def call(client: Client, method: MethodSpec[Any, Any]) -> None:
    """Call the method once, and check what comes."""
    function = getattr(client, method.attribute)
    requests = [filled(method.request) for _ in range(STREAMED)]
    if method.kind is Kind.UNARY:
        replies = [await function(requests[0])]
    elif method.kind is Kind.CLIENT_STREAM:
        replies = [await function(requests)]
    elif method.kind is Kind.SERVER_STREAM:
        async with function(requests[0]) as stream:
            replies = [reply async for reply in stream]
    else:
        async with function() as bidi:
            for request in requests:
                await bidi.send(request)
            await bidi.close_send()
            replies = [reply async for reply in bidi]
    if len(replies) != (STREAMED if method.kind.server_streams else 1):
        raise Mismatch(f"{len(replies)} responses came")
    for reply in replies:
        expect(reply, method.response)


def services(module: ModuleType) -> Iterator[tuple[type[Service], type[Client]]]:
    """The pairs of a service and its client that a generated module has."""
    for name in module.__all__:
        kind = getattr(module, name)
        if issubclass(kind, Service):
            stem = name.removesuffix("Service")
            yield kind, getattr(module, f"{stem}Client")
            for generated in (kind, getattr(module, f"{stem}Client"), getattr(module, f"{stem}SyncClient")):
                for method in kind.spec.methods:
                    if not callable(generated.__dict__[method.attribute]):
                        raise Mismatch(f"{generated.__name__}.{method.attribute} is no method")


def modules_in(directory: Path) -> list[str]:
    """The modules of services below a directory, by the names under which they are imported."""
    paths = sorted(directory.rglob("*_connect.py"))
    return [".".join(path.relative_to(directory).with_suffix("").parts) for path in paths]


@dataclasses.dataclass
class Outcome:
    """What was called, and what failed."""

    modules: int = 0
    services: int = 0
    methods: int = 0
    called: int = 0
    failures: list[str] = dataclasses.field(default_factory=list)

    def fail(self, what: str, error: Exception) -> None:
        self.failures.append(f"{what}: {''.join(traceback.format_exception_only(error)).strip()}")


async def run(names: list[str]) -> Outcome:
    """Import each module, and call what is in it."""
    outcome = Outcome()
    for name in names:
        outcome.modules += 1
        try:
            found = list(services(importlib.import_module(name)))
        except Exception as error:
            outcome.fail(name, error)
            continue
        for service, client_type in found:
            outcome.services += 1
            outcome.methods += len(service.spec.methods)
            async with linked(App([serving(service)])) as transport:
                for method in service.spec.methods:
                    try:
                        for codec in ("proto", "json"):
                            await call(client_type(transport, codec=codec), method)
                        outcome.called += 1
                    except Exception as error:
                        outcome.fail(method.path, error)
    return outcome


if __name__ == "__main__":
    directory, *names = sys.argv[1:]
    sys.path.insert(0, directory)
    print(json.dumps(dataclasses.asdict(asyncio.run(run(names or modules_in(Path(directory)))))))
