"""Metrics of calls, by OpenTelemetry's conventions for RPC. Needs `opentelemetry-api` (`plugmux[opentelemetry]`).

    rpc.server.call.duration, rpc.client.call.duration   histogram, s   how long calls took; its count is their number
    plugmux.server.active_calls, plugmux.client.active_calls            calls under way, which the conventions lack

The attributes are `rpc.system.name`, `rpc.method` and, where the call failed, `rpc.response.status_code` and
`error.type`: names and codes alone. A program without these interceptors pays nothing for them; with them and without a
configured SDK, the API's own do-nothing instruments are called.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry import metrics
from opentelemetry.metrics import Meter

from . import Code, Context, Interceptor, RpcError, StreamNext, UnaryNext
from .server.service import close

__all__ = ["ClientMetrics", "ServerMetrics"]

BUCKET_BOUNDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds: those that the conventions advise, and shorter ones, since a call to a plugin takes about 0.1 ms."""

FAULTS_OF_SERVERS = frozenset(
    {
        Code.UNKNOWN,
        Code.DEADLINE_EXCEEDED,
        Code.UNIMPLEMENTED,
        Code.INTERNAL,
        Code.UNAVAILABLE,
        Code.DATA_LOSS,
    }
)
"""The codes that are errors of a server; of a client all are. (The conventions for Connect RPC.)"""


class _Metrics(Interceptor):
    end: str

    def __init__(self, meter: Meter | None = None, *, clock: Callable[[], float] = time.perf_counter) -> None:
        meter = meter or metrics.get_meter("plugmux.connect")
        self._clock = clock
        self._duration = meter.create_histogram(
            f"rpc.{self.end}.call.duration",
            unit="s",
            description=f"How long a call took, at its {self.end}.",
            explicit_bucket_boundaries_advisory=BUCKET_BOUNDS,
        )
        self._active = meter.create_up_down_counter(
            f"plugmux.{self.end}.active_calls", unit="{call}", description=f"Calls under way, at their {self.end}."
        )

    def _is_error(self, code: Code) -> bool:
        return True

    def _failed(self, code: Code) -> dict[str, str]:
        return {"rpc.response.status_code": code.value} | ({"error.type": code.value} if self._is_error(code) else {})

    @contextmanager
    def _measured(self, context: Context) -> Iterator[None]:
        told = {"rpc.system.name": "connectrpc", "rpc.method": context.method.path[1:]}
        began = self._clock()
        self._active.add(1, told)
        outcome: dict[str, str] = {}
        try:
            yield
        except RpcError as error:
            outcome = self._failed(error.code)
            raise
        except (GeneratorExit, asyncio.CancelledError):
            outcome = self._failed(Code.CANCELED)
            raise
        except BaseException as error:
            outcome = {"error.type": type(error).__qualname__}
            raise
        finally:
            self._active.add(-1, told)
            self._duration.record(self._clock() - began, told | outcome)

    async def unary(self, request: Any, context: Context, next: UnaryNext) -> Any:
        with self._measured(context):
            return await next(request, context)

    async def stream(self, requests: AsyncIterator[Any], context: Context, next: StreamNext) -> AsyncIterator[Any]:
        with self._measured(context):
            replies = next(requests, context)
            try:
                async for reply in replies:
                    yield reply
            finally:
                await close(replies)


class ServerMetrics(_Metrics):
    """An interceptor for an `App`, a plugin or `Runtime(interceptors=...)` that measures the calls that it serves.

    Args:
        meter: makes the instruments; by default the meter of the global provider.
        clock: gives seconds.
    """

    end = "server"

    def _is_error(self, code: Code) -> bool:
        return code in FAULTS_OF_SERVERS


class ClientMetrics(_Metrics):
    """An interceptor for a client, or `Interceptors(outgoing=...)`, that measures the calls that it makes.

    Args:
        meter: makes the instruments; by default the meter of the global provider.
        clock: gives seconds.
    """

    end = "client"
