"""gRPC's health checking protocol as a service for any app. https://github.com/grpc/grpc/blob/master/doc/health-checking.md"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from ..connect import Client, Code, Context, Kind, MethodSpec, RpcError, ServerStream, Service, ServiceSpec
from .private import message_classes

__all__ = ["HealthService", "HealthCheckRequest", "HealthCheckResponse", "HealthClient"]

_classes = message_classes(
    "grpc/health/v1/health.proto",
    "grpc.health.v1",
    {
        "HealthCheckRequest": "string service = 1",
        "HealthCheckResponse": "HealthCheckResponse.ServingStatus status = 1",
    },
    {"HealthCheckResponse.ServingStatus": "UNKNOWN SERVING NOT_SERVING SERVICE_UNKNOWN"},
    {
        "Health": """
            Check HealthCheckRequest HealthCheckResponse
            Watch HealthCheckRequest HealthCheckResponse stream
        """
    },
)
HealthCheckRequest: Any = _classes["HealthCheckRequest"]
HealthCheckResponse: Any = _classes["HealthCheckResponse"]


class HealthService(Service):
    """Reports whether services are ready: `App([Store(), health])`, and `health.set("kv.v1.KeyValueService", False)`.

    Args:
        services: full names of services that are ready from the start. The name `""` stands for the whole server, which
            is ready from the start, too.
    """

    spec = ServiceSpec(
        "grpc.health.v1.Health",
        [
            MethodSpec("/grpc.health.v1.Health/Check", "check", Kind.UNARY, HealthCheckRequest, HealthCheckResponse),
            MethodSpec(
                "/grpc.health.v1.Health/Watch", "watch", Kind.SERVER_STREAM, HealthCheckRequest, HealthCheckResponse
            ),
        ],
    )

    def __init__(self, *services: str) -> None:
        self._serving = dict.fromkeys(("", *services), True)
        self._changed = asyncio.Event()

    def set(self, service: str, serving: bool) -> None:
        """Set whether a service is ready, and notify its watchers. Must be called in the event loop's thread."""
        self._serving[service] = serving
        self._changed.set()
        self._changed = asyncio.Event()

    def _status(self, service: str, unknown: int) -> int:
        serving = self._serving.get(service)
        if serving is None:
            return unknown
        status: int = HealthCheckResponse.SERVING if serving else HealthCheckResponse.NOT_SERVING
        return status

    async def check(self, request: Any, context: Context) -> Any:
        """Return the present status of a service."""
        if request.service not in self._serving:
            raise RpcError(Code.NOT_FOUND, f"no service {request.service!r} is known here")
        return HealthCheckResponse(status=self._status(request.service, HealthCheckResponse.UNKNOWN))

    async def watch(self, request: Any, context: Context) -> AsyncIterator[Any]:
        """Yield the present status of a service, and every change."""
        told = None
        while True:
            changed = self._changed
            status = self._status(request.service, HealthCheckResponse.SERVICE_UNKNOWN)
            if status != told:
                told = status
                yield HealthCheckResponse(status=status)
            else:
                await changed.wait()


class HealthClient(Client):
    """Calls the health service of a server."""

    spec = HealthService.spec

    async def check(self, request: Any, *, timeout: float | None = None) -> Any:
        """The present status of a service."""
        return await self._unary(self.spec.methods[0], request, timeout, None, None)

    def watch(self, request: Any, *, timeout: float | None = None) -> ServerStream[Any]:
        """The present status of a service, and every change."""
        return self._server_stream(self.spec.methods[1], request, timeout, None, None)
