"""Instances: any number of objects in the one process of a plugin, each with a configuration of its own.

    class Region(StorageService):
        def __init__(self, settings: Settings) -> None: ...

    Plugin(Instances(Region, Settings), version="v1.0.0").run()

An instance is lent to the runtime that asked for it (`plugmux.link.references`): it ends when that releases it, or with
the link. (proto/plugmux/v1/instance.proto.)
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from plugmux_proto.plugmux.v1.instance_connect import InstanceService
from plugmux_proto.plugmux.v1.instance_pb2 import OpenRequest, OpenResponse

from ..connect import Code, RpcError, Service
from ..contract.redact import describe_fault
from ..errors import ConfigError
from ..link.link import Link
from ..link.servable import Servable
from .configuration import Configured

if TYPE_CHECKING:
    from plugmux_proto.plugins.v1.plugins_pb2 import RegisterPluginRequest

    from ..connect import Context

__all__ = ["Instances"]

MAX_INSTANCES = 10_000

Value = TypeVar("Value")
Made: TypeAlias = Servable | Sequence[Servable]
Opened: TypeAlias = Made | AbstractAsyncContextManager[Made]


class Instances(Generic[Value]):
    """What makes a plugin give instances; it is given to `Plugin` like a service.

    Args:
        open: makes an instance of its configuration: a subclass of a generated service class, or a function, which may
            be `async`, that gives one or more services. Where what it gives is an asynchronous context manager, that is
            entered, and left when the instance ends, both in one task; what it gives then is the instance.
        configuration: what an instance is configured with, as for `Configured`.
        serves: the generated classes of the services that every instance serves; `open` itself where it is one.
        limit: how many may be open at the same time.

    Raises:
        ConfigError: it cannot be told what the instances serve.
    """

    def __init__(
        self,
        open: Callable[[Value], Opened | Awaitable[Opened]],
        configuration: Callable[..., Value] | Configured[Value],
        *,
        serves: Sequence[type[Service]] = (),
        limit: int = MAX_INSTANCES,
    ) -> None:
        if not serves and isinstance(open, type) and issubclass(open, Service):
            serves = [open]
        if not serves:
            raise ConfigError(f"what do the instances serve that {open!r} opens? Instances(..., serves=[...]) says it")
        self._kind = configuration if isinstance(configuration, Configured) else Configured(configuration)
        self._serves = tuple(service.spec.name for service in serves)
        self._handler = InstanceHandler(open, self._kind, limit)

    def plugmux_services(self) -> Sequence[Service]:
        """The service that opens them."""
        return (self._handler,)

    def announce(self, request: RegisterPluginRequest) -> None:
        """Say at registration what they are."""
        request.instances.services.extend(self._serves)
        self._kind.declared.to_schema(request.instances.configuration)


class InstanceHandler(InstanceService):
    """Opens instances.

    Args:
        open: makes one.
        kind: reads its configuration.
        limit: how many may be open.
    """

    def __init__(self, open: Callable[[Any], Any], kind: Configured[Any], limit: int) -> None:
        self._open = open
        self._kind = kind
        self._limit = limit
        self._alive: set[_Instance] = set()

    async def open(self, request: OpenRequest, context: Context) -> OpenResponse:
        if len(self._alive) >= self._limit:
            raise RpcError(
                Code.RESOURCE_EXHAUSTED,
                f"{self._limit} instances are open, and no more may be: release some, or raise Instances(limit=...)",
            )
        instance = _Instance(lambda: self._open(self._kind.load(request.configuration_json)), self._alive)
        try:
            loan = Link.of(context).lend(*await instance.begun(), on_release=instance.end)
        except ValueError as error:
            await instance.end()
            told = describe_fault(error, request.configuration_json)
            raise RpcError(Code.INVALID_ARGUMENT, told) from None
        except BaseException:
            await instance.end()
            raise
        return OpenResponse(reference=loan.reference)


class _Instance:
    """One instance, in a task of its own from its beginning to its end.

    Args:
        make: makes it.
        alive: has it until it has ended.
    """

    def __init__(self, make: Callable[[], Any], alive: set[_Instance]) -> None:
        self._released = asyncio.Event()
        self._services: asyncio.Future[Sequence[Servable]] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._live(make), name="plugmux: an instance")
        alive.add(self)
        self._task.add_done_callback(lambda task: alive.discard(self))

    async def begun(self) -> Sequence[Servable]:
        """What it serves, as soon as it is there; raises what opening it has raised."""
        waiting: list[asyncio.Future[Any]] = [self._services, self._task]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if not self._services.done():
            await self._task
        return self._services.result()

    async def end(self) -> None:
        """Let it end; returns when it has. What its end raises is raised here, what its beginning has raised is not."""
        self._released.set()
        if self._services.done():
            await self._task
        else:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _live(self, make: Callable[[], Any]) -> None:
        async with AsyncExitStack() as stack:
            made = make()
            if inspect.isawaitable(made):
                made = await made
            if isinstance(made, AbstractAsyncContextManager):
                made = await stack.enter_async_context(made)
            self._services.set_result(made if isinstance(made, Sequence) else [made])
            await self._released.wait()
