"""The resolver for programs without asyncio."""

from __future__ import annotations

from typing import Any

from ..secrets import Explanation, Pattern, Secret
from ..secrets import Resolver as AsyncResolver
from .runtime import Runtime

__all__ = ["Resolver"]


class Resolver:
    """Secrets by id or pattern, through all providers of a runtime; it is `plugmux.secrets.Resolver`, and waits.

    Args:
        runtime: the runtime whose providers are asked, of `plugmux.sync`.
        options: those of `plugmux.secrets.Resolver`.
    """

    def __init__(self, runtime: Runtime, **options: Any) -> None:
        self._runtime = runtime
        self._resolver = AsyncResolver(runtime.asynchronous, **options)

    def get(self, pattern: str | Pattern) -> Secret:
        """The one secret that is asked for, by its id as a rule.

        Raises:
            InvalidPattern: the text is not well formed.
            SecretNotFound: there is none, or the pattern matches several ids.
            ProviderOutage: a provider that had to answer did not.
        """
        return self._runtime.run(self._resolver.get(pattern))

    def get_all(self, pattern: str | Pattern) -> list[Secret]:
        """All secrets that the pattern matches, in the order of the providers' names; none is an empty list.

        Raises:
            InvalidPattern: the text is not well formed.
            ProviderOutage: a provider that had to answer did not.
        """
        return self._runtime.run(self._resolver.get_all(pattern))

    def explain(self, pattern: str | Pattern) -> Explanation:
        """What becomes of every plugin when the pattern is asked for. It asks in earnest, and keeps no value.

        Raises:
            InvalidPattern: the text is not well formed.
        """
        return self._runtime.run(self._resolver.explain(pattern))
