"""Secrets by pattern, from providers that are plugins.

A plugin subclasses `Provider` and yields `Secret`s. A host asks a `Resolver` over its runtime. An id names one secret,
a `Pattern` many.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import import_name
from .error import InvalidPattern, ProviderOutage, SecretNotFound, SecretsError
from .pattern import Pattern, SecretId
from .provider import Provider
from .secret import Secret

if TYPE_CHECKING:
    from .access import AccessControl, AccessModule, Verdict
    from .explanation import Account, Explanation, Outcome
    from .resolver import Resolver
    from .service import AuthorizerEndpoint, ResolverEndpoint, secrets_services

__all__ = [
    "AccessControl",
    "AccessModule",
    "Account",
    "AuthorizerEndpoint",
    "Explanation",
    "InvalidPattern",
    "Outcome",
    "Pattern",
    "Provider",
    "ProviderOutage",
    "Resolver",
    "ResolverEndpoint",
    "Secret",
    "SecretId",
    "SecretNotFound",
    "SecretsError",
    "Verdict",
    "secrets_services",
]

_OF_HOSTS = {
    "access": ("AccessControl", "AccessModule", "Verdict"),
    "explanation": ("Account", "Explanation", "Outcome"),
    "resolver": ("Resolver",),
    "service": ("AuthorizerEndpoint", "ResolverEndpoint", "secrets_services"),
}
"""The modules that a host alone needs, imported on first use: a plugin with a provider starts without them."""
_HOME = {name: f".{home}" for home, names in _OF_HOSTS.items() for name in names}


def __getattr__(name: str) -> object:
    return import_name(__name__, _HOME, name)
