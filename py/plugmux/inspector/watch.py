"""What the runtime shows to those who watch, without what an error may tell of a secret."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from google.protobuf.descriptor import Descriptor, ServiceDescriptor
from plugmux_proto.plugmux.v1 import inspect_pb2 as pb
from plugmux_proto.plugmux.v1.inspect_connect import InspectClient, InspectService

from ..dynamic.masking import is_secret
from ..dynamic.schema import find_service
from ..exchange import ClientTransport
from .calls import ToPlugin

if TYPE_CHECKING:
    from ..connect import Context

__all__ = ["Watched"]

MAX_SERVICES = 1000
ASK_AGAIN = 10.0
"""Seconds after which a plugin that did not tell what a service is may be asked again."""


class Watched(InspectService):
    """The runtime's inspect service, as the page may see it.

    The message of an error may repeat what was sent. It is shown only where the plugin tells what the method takes and
    gives, and nothing of that is secret.

    Args:
        transport: the way to the runtime.
    """

    def __init__(self, transport: ClientTransport) -> None:
        self._transport = transport
        self._runtime = InspectClient(transport)
        self._known: dict[tuple[str, str], tuple[float, ServiceDescriptor | None]] = {}

    async def watch(self, request: pb.WatchRequest, context: Context) -> AsyncIterator[pb.WatchResponse]:
        async with self._runtime.watch(request) as reports:
            async for report in reports:
                for call in report.calls:
                    if call.message and not await self._may_be_shown(call):
                        call.message = ""
                yield report

    async def get_link(self, request: pb.GetLinkRequest, context: Context) -> pb.GetLinkResponse:
        return await self._runtime.get_link(request)

    async def replace_plugin(self, request: pb.ReplacePluginRequest, context: Context) -> pb.ReplacePluginResponse:
        return await self._runtime.replace_plugin(request)

    async def _may_be_shown(self, call: pb.CallRecord) -> bool:
        name, _, method = call.method.partition("/")
        service = await self._service(call.callee, name) if call.callee else None
        described = None if service is None else service.methods_by_name.get(method)
        return described is not None and not (_has_secret(described.input_type) or _has_secret(described.output_type))

    async def _service(self, plugin: str, name: str) -> ServiceDescriptor | None:
        asked, found = self._known.get((plugin, name), (-ASK_AGAIN, None))
        now = time.monotonic()
        if found is None and now - asked >= ASK_AGAIN and len(self._known) < MAX_SERVICES:
            found = await find_service(ToPlugin(self._transport, plugin), name)
            self._known[plugin, name] = now, found
        return found


def _has_secret(message: Descriptor) -> bool:
    """Whether a message, or one within it, has a field that is secret."""
    seen, waiting = {message.full_name}, [message]
    while waiting:
        for field in waiting.pop().fields:
            if is_secret(field):
                return True
            if field.message_type is not None and field.message_type.full_name not in seen:
                seen.add(field.message_type.full_name)
                waiting.append(field.message_type)
    return False
