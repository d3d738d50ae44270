"""Secrets by pattern, from providers that are plugins.

A plugin subclasses `Provider` and yields `Secret`s. A host asks a `Resolver` over its runtime. An id names one secret,
a `Pattern` many.
"""

from .access import AccessControl, AccessModule, Verdict
from .error import InvalidPattern, ProviderOutage, SecretNotFound, SecretsError
from .explanation import Account, Explanation, Outcome
from .pattern import Pattern, SecretId
from .provider import Provider
from .resolver import Resolver
from .secret import Secret
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
