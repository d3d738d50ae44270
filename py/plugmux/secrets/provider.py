"""Providers of secrets: a plugin subclasses `Provider`, sets a pattern, and yields secrets."""

from __future__ import annotations

import inspect
import logging
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

from plugmux_proto.resolver.v1.resolver_connect import ResolverService
from plugmux_proto.resolver.v1.resolver_pb2 import GetSecretsRequest, GetSecretsResponse

from ..connect import Code, RpcError
from ..connect.server.workers import workers_of
from ..errors import ConfigError
from .error import InvalidPattern, SecretNotFound
from .pattern import Pattern
from .secret import Secret

if TYPE_CHECKING:
    from plugmux_proto.plugins.v1.plugins_pb2 import RegisterPluginRequest

    from ..connect import Context, Service

__all__ = ["Provider", "Secrets"]

logger = logging.getLogger("plugmux.secrets")

Secrets: TypeAlias = AsyncIterable[Secret] | Iterable[Secret] | Awaitable[Iterable[Secret]]
"""The results that `Provider.get_secrets` may return."""


class Provider:
    """A source of secrets, to be passed to `Plugin(...)`, or to a `Runtime` as a plugin without a process.

    A subclass sets `pattern`, as a class attribute or per instance, and defines `get_secrets`.

    Raises:
        InvalidPattern: (by the `class` statement) the class attribute is not a valid pattern.
    """

    pattern: str
    """The pattern of the ids that the provider can answer for. It is asked for no others."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        own = vars(cls).get("pattern")
        if isinstance(own, str):
            Pattern(own)

    def get_secrets(self, pattern: Pattern) -> Secrets:
        """Return the secrets that a pattern matches. Others in the result are left out before it is sent.

        The method may be an asynchronous generator, an `async def` that returns an iterable, or a plain `def` that
        returns an iterable or is a generator. A plain `def` runs in a worker thread. A provider without a matching
        secret returns nothing.

        Args:
            pattern: the pattern that is requested; an id is a pattern without wildcards (`pattern.is_id`).

        Raises:
            RpcError: to fail with a code of the provider's choice, for example `unavailable`.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define get_secrets")

    def plugmux_services(self) -> Sequence[Service]:
        """The service that a provider serves, for `Plugin` and `Runtime`."""
        return self._services

    def announce(self, request: RegisterPluginRequest) -> None:
        """Announce at registration that the plugin provides secrets, and their pattern."""
        request.secrets_provider.pattern = self._own_pattern().text

    @cached_property
    def _services(self) -> tuple[Service, ...]:
        return (_ProviderService(self, self._own_pattern()),)

    def _own_pattern(self) -> Pattern:
        pattern = getattr(self, "pattern", None)
        if pattern is None:
            raise ConfigError(f'{type(self).__name__} has no pattern; set one, for example pattern = "vault/**"')
        return Pattern.of(pattern)


class _ProviderService(ResolverService):
    """The service of a provider."""

    def __init__(self, provider: Provider, pattern: Pattern) -> None:
        self._provider = provider
        self._pattern = pattern

    async def get_secrets(self, request: GetSecretsRequest, context: Context) -> GetSecretsResponse:
        try:
            asked = Pattern(request.pattern)
            given = await _collect(self._provider.get_secrets, asked, workers_of(self, "secrets").run)
        except InvalidPattern as error:
            raise RpcError(Code.INVALID_ARGUMENT, str(error)) from None
        except SecretNotFound:
            given = []
        found = [secret for secret in given if asked.match(secret.id) and self._pattern.match(secret.id)]
        if len(found) < len(given):
            logger.warning(
                "%s gave %d secrets that %s, asked for, or %s, its own pattern, does not match; they are left out",
                type(self._provider).__name__,
                len(given) - len(found),
                asked,
                self._pattern,
            )
        if not found:
            raise RpcError(Code.NOT_FOUND, f"no secret matches {asked}")
        return GetSecretsResponse(envelopes=[secret.to_envelope() for secret in found])


async def _collect(
    get_secrets: Callable[[Pattern], Secrets], pattern: Pattern, run: Callable[..., Awaitable[Secrets]]
) -> list[Secret]:
    is_async = inspect.isasyncgenfunction(get_secrets) or inspect.iscoroutinefunction(get_secrets)
    given = get_secrets(pattern) if is_async else await run(_call, get_secrets, pattern)
    if isinstance(given, Awaitable):
        given = await given
    secrets = [secret async for secret in given] if isinstance(given, AsyncIterable) else list(given)
    for secret in secrets:
        if not isinstance(secret, Secret):
            raise TypeError(f"get_secrets must give Secret objects, not {type(secret).__name__}")
    return secrets


def _call(get_secrets: Callable[[Pattern], Secrets], pattern: Pattern) -> Secrets:
    """Call a plain method in a worker thread; iterate over its result there, because that is when a generator runs."""
    given = get_secrets(pattern)
    return given if isinstance(given, AsyncIterable | Awaitable) else list(given)
