"""Instances: any number of objects in one plugin process, each with its own configuration.

    class Region(StorageService):
        def __init__(self, settings: Settings) -> None: ...

    Plugin(Instances(Region, Settings), version="v1.0.0").run()

An instance is lent to the runtime that requested it (`plugmux.link.references`). It ends when the runtime releases it,
or with the link. (proto/plugmux/v1/instance.proto.)
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
    """Makes instances for the runtime; it is passed to `Plugin` like a service.

    Args:
        open: makes an instance from its configuration: a subclass of a generated service class, or a function, possibly
            `async`, that returns one or more services. If the result is an asynchronous context manager, it is entered,
            and left when the instance ends, both in the same task; its value is the instance.
        configuration: the configuration of an instance, in the forms that `Configured` accepts.
        serves: the generated classes of the services that every instance serves; by default `open` itself, if it is
            such a class.
        limit: the most instances that may be open at the same time (10,000).

    Raises:
        ConfigError: the services of the instances are not known.
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
            raise ConfigError(
                f"the services of the instances that {open!r} makes are not known: name them in Instances(serves=[...])"
            )
        self._kind = configuration if isinstance(configuration, Configured) else Configured(configuration)
        self._serves = tuple(service.spec.name for service in serves)
        self._handler = InstanceHandler(open, self._kind, limit)

    def plugmux_services(self) -> Sequence[Service]:
        """The service that opens instances."""
        return (self._handler,)

    def announce(self, request: RegisterPluginRequest) -> None:
        """Announce at registration which instances the plugin has."""
        request.instances.services.extend(self._serves)
        self._kind.declared.to_schema(request.instances.configuration)


class InstanceHandler(InstanceService):
    """Opens instances.

    Args:
        open: makes an instance.
        kind: converts its configuration.
        limit: the most instances that may be open.
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
    """One instance, which lives in its own task.

    Args:
        make: makes the instance.
        alive: holds the instance until it has ended.
    """

    def __init__(self, make: Callable[[], Any], alive: set[_Instance]) -> None:
        self._released = asyncio.Event()
        self._services: asyncio.Future[Sequence[Servable]] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._live(make), name="plugmux: an instance")
        alive.add(self)
        self._task.add_done_callback(lambda task: alive.discard(self))

    async def begun(self) -> Sequence[Servable]:
        """Wait until the instance is open, and return its services; raise the error if opening it has failed."""
        waiting: list[asyncio.Future[Any]] = [self._services, self._task]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if not self._services.done():
            await self._task
        return self._services.result()

    async def end(self) -> None:
        """End the instance and wait until it has ended; raise an error of its end, but not one of its opening."""
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
