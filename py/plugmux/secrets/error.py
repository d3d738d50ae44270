"""The errors of the secrets layer; `plugmux.errors` shows the tree of all errors."""

from __future__ import annotations

from ..errors import PlugmuxError

__all__ = ["InvalidPattern", "ProviderOutage", "SecretNotFound", "SecretsError"]


class SecretsError(PlugmuxError):
    """The base class of all errors of the secrets layer. Their messages never contain the value of a secret."""


class InvalidPattern(SecretsError, ValueError):
    """An id or a pattern is not well formed, or does not have the form that the operation needs."""


class SecretNotFound(SecretsError, LookupError):
    """No provider has the secret, or the pattern matches more than one.

    Args:
        message: the request and its outcome.
        pattern: the pattern that was requested.
    """

    def __init__(self, message: str, *, pattern: str) -> None:
        super().__init__(message)
        self.pattern = pattern


class ProviderOutage(SecretsError):
    """A provider that had to answer did not.

    Args:
        outages: the reason of each outage, by the plugin's name.
        pattern: the pattern that was requested.
    """

    def __init__(self, outages: dict[str, str], *, pattern: str) -> None:
        told = "; ".join(f"{plugin}: {reason}" for plugin, reason in outages.items())
        super().__init__(f"{pattern!r} cannot be resolved, because a provider that must answer did not: {told}")
        self.outages = outages
        self.pattern = pattern
