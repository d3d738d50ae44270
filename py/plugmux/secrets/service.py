"""The services by which clients of the runtime's socket resolve secrets: `ResolverService` and `AuthorizerService`.

    runtime = Runtime(plugins, listen=["unix:/path"])
    for service in secrets_services(runtime, Resolver(runtime)):
        runtime.mount(service)

Access control does not apply to the host, which holds the links and calls its `Resolver` directly.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from plugmux_proto.resolver.v1.resolver_connect import AuthorizerService, ResolverService
from plugmux_proto.resolver.v1.resolver_pb2 import (
    AuthorizeRequest,
    AuthorizeResponse,
    Decision,
    GetSecretsRequest,
    GetSecretsResponse,
)

from ..connect import Code, RpcError
from ..contract.patterns import covers
from .access import AccessControl, requester
from .error import InvalidPattern, ProviderOutage
from .pattern import Pattern
from .resolver import Resolver
from .times import write_time

if TYPE_CHECKING:
    from plugmux_proto.accesscontrol.v1.accesscontrol_pb2 import Requester

    from ..connect import Context, Service
    from .runtime import SecretsRuntime

__all__ = ["AuthorizerEndpoint", "ResolverEndpoint", "secrets_services"]

MAX_PATTERNS = 256


def secrets_services(runtime: SecretsRuntime, resolver: Resolver) -> list[Service]:
    """The services by which clients of a runtime's socket resolve secrets, for `Runtime.mount`.

    Args:
        runtime: the runtime, whose access-control plugins are asked first.
        resolver: resolves the patterns.
    """
    access = AccessControl(runtime)
    return [ResolverEndpoint(resolver, access), AuthorizerEndpoint(access)]


class ResolverEndpoint(ResolverService):
    """Answers `GetSecrets` with a resolver, if access control allows the request.

    Args:
        resolver: resolves the patterns.
        access: asks the access-control plugins.
    """

    def __init__(self, resolver: Resolver, access: AccessControl) -> None:
        self._resolver = resolver
        self._access = access

    async def get_secrets(self, request: GetSecretsRequest, context: Context) -> GetSecretsResponse:
        asked = _pattern(request.pattern)
        _check_granted(context, [asked])
        verdict = await self._access.check(asked, _caller(context))
        if not verdict.allowed:
            raise RpcError(Code.PERMISSION_DENIED, f"access to {asked} is denied; {verdict.reason}")
        if request.explain:
            return GetSecretsResponse(accounts=(await self._resolver.explain(asked)).to_accounts())
        try:
            secrets = await self._resolver.get_all(asked)
        except ProviderOutage as error:
            raise RpcError(Code.UNAVAILABLE, str(error)) from None
        if not secrets:
            raise RpcError(Code.NOT_FOUND, f"no secret matches {asked}")
        return GetSecretsResponse(envelopes=[secret.to_envelope() for secret in secrets])


class AuthorizerEndpoint(AuthorizerService):
    """Answers `Authorize` with the access-control plugins.

    Args:
        access: asks the access-control plugins.
    """

    def __init__(self, access: AccessControl) -> None:
        self._access = access

    async def authorize(self, request: AuthorizeRequest, context: Context) -> AuthorizeResponse:
        if len(request.patterns) > MAX_PATTERNS:
            raise RpcError(
                Code.INVALID_ARGUMENT, f"{len(request.patterns)} patterns at once, over the limit of {MAX_PATTERNS}"
            )
        if not request.patterns:
            raise RpcError(Code.INVALID_ARGUMENT, "there is no pattern: name the patterns that will be requested")
        asked = [_pattern(text) for text in request.patterns]
        _check_granted(context, asked)
        verdict = await self._access.authorize(asked, _caller(context))
        if not verdict.allowed:
            return AuthorizeResponse(decision=Decision.DECISION_DENY)
        response = AuthorizeResponse(decision=Decision.DECISION_ALLOW)
        if verdict.expires_at is not None:
            response.expires_at.CopyFrom(write_time(verdict.expires_at))
        return response


def _caller(context: Context) -> Requester | None:
    return requester(getattr(context.peer, "pid", None), getattr(context.peer, "identity", ""))


def _check_granted(context: Context, patterns: Iterable[Pattern]) -> None:
    """Check that a caller from another machine asks for nothing but what the host has granted to it."""
    granted = context.connection.get("secrets")
    if not isinstance(granted, tuple):
        return  # It is on this machine.
    for pattern in patterns:
        if not any(covers(text, pattern.text) for text in granted):
            told = f"the host has not granted {pattern} to who asks (Permissions.allow: secrets:...)"
            raise RpcError(Code.PERMISSION_DENIED, told)


def _pattern(text: str) -> Pattern:
    try:
        return Pattern(text)
    except InvalidPattern as error:
        raise RpcError(Code.INVALID_ARGUMENT, str(error)) from None
