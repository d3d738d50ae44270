"""The objects that a plugin can serve, or a runtime as a plugin without a process.

A servable is an RPC `Service`, or an object that provides several (`plugmux_services`). A servable with an `announce`
method adds more than the names of its services to the registration: a secrets provider adds its pattern. One with a
`plugmux_calling` method calls its host by itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from ..connect import Service
from ..errors import ConfigError

if TYPE_CHECKING:
    from plugmux_proto.plugins.v1.plugins_pb2 import RegisterPluginRequest

    from ..exchange import ClientTransport

__all__ = ["Announcer", "Caller", "Servable", "ServiceSource", "announce", "calling", "services_of"]


@runtime_checkable
class ServiceSource(Protocol):
    """An object that is served as one or more services."""

    def plugmux_services(self) -> Sequence[Service]:
        """The services, made once and the same at every call."""
        ...


@runtime_checkable
class Announcer(Protocol):
    """A servable that adds to the registration of its plugin."""

    def announce(self, request: RegisterPluginRequest) -> None:
        """Set the fields of the request that concern this object."""
        ...


@runtime_checkable
class Caller(Protocol):
    """A servable that calls its host by itself, and not only while it answers a call."""

    def plugmux_calling(self, host: ClientTransport) -> AbstractAsyncContextManager[None]:
        """A context manager that is entered when the link begins, and left before it closes."""
        ...


Servable: TypeAlias = Service | ServiceSource


def services_of(servables: Iterable[Servable]) -> list[Service]:
    """All services of all servables.

    Raises:
        ConfigError: an object is not a servable, or two of the services have the same name.
    """
    found: dict[str, Service] = {}
    for servable in servables:
        for service in _services_of(servable):
            name = service.spec.name
            if name in found:
                raise ConfigError(
                    f"two objects serve {name}: {found[name]!r} and {service!r}; only one of them can be served"
                )
            found[name] = service
    return list(found.values())


def _services_of(servable: Servable) -> Sequence[Service]:
    if isinstance(servable, Service):
        return (servable,)
    if isinstance(servable, ServiceSource) and not isinstance(servable, type):
        return servable.plugmux_services()
    what = f"the class {servable.__name__}" if isinstance(servable, type) else repr(servable)
    raise ConfigError(f"{what} cannot be served: it must be an instance of a generated service class, or a Provider")


def announce(servables: Iterable[Servable], request: RegisterPluginRequest) -> RegisterPluginRequest:
    """Set the fields of a registration that the servables determine: their services, and what each `Announcer` adds.

    The services of an `Announcer` are not listed by name, because its announcement implies them.
    """
    for servable in servables:
        if isinstance(servable, Announcer):
            servable.announce(request)
        else:
            request.services.extend(service.spec.name for service in _services_of(servable))
    return request


@asynccontextmanager
async def calling(servables: Iterable[Servable], host: ClientTransport) -> AsyncIterator[None]:
    """Let each `Caller` among the servables call its host, until this is left."""
    async with AsyncExitStack() as entered:
        for servable in servables:
            if isinstance(servable, Caller):
                await entered.enter_async_context(servable.plugmux_calling(host))
        yield
