"""What the secrets layer raises; `plugmux.errors` shows where it stands in the tree."""

from __future__ import annotations

from ..errors import PlugmuxError

__all__ = ["InvalidPattern", "ProviderOutage", "SecretNotFound", "SecretsError"]


class SecretsError(PlugmuxError):
    """Whatever the secrets layer raises on purpose. No message of it ever holds a secret's value."""


class InvalidPattern(SecretsError, ValueError):
    """An id or a pattern is not well formed, or is not of the form that the operation needs."""


class SecretNotFound(SecretsError, LookupError):
    """No provider has the secret, or what was asked for names more than one.

    Args:
        message: what was asked for and what came of it.
        pattern: the pattern that was asked for.
    """

    def __init__(self, message: str, *, pattern: str) -> None:
        super().__init__(message)
        self.pattern = pattern


class ProviderOutage(SecretsError):
    """A provider that had to answer did not.

    Args:
        outages: the reason of each outage, by the plugin's name.
        pattern: the pattern that was asked for.
    """

    def __init__(self, outages: dict[str, str], *, pattern: str) -> None:
        told = "; ".join(f"{plugin}: {reason}" for plugin, reason in outages.items())
        super().__init__(f"{pattern!r} cannot be resolved, because a provider that must answer did not: {told}")
        self.outages = outages
        self.pattern = pattern
