"""The most that a plugin may claim when it registers.

A registration is a claim of the plugin. The host (`Launch`) and the plugin's manifest decide what it may claim.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import ConfigError
from .patterns import covers
from .registration import MAX_PATTERN, ON_EVERY_PLUGIN, PATTERN, SERVICE, Registration, RegistrationRefused

__all__ = ["Grant"]


@dataclass(frozen=True, slots=True)
class Grant:
    """The most that a plugin may claim.

    Args:
        services: full names of the proto services that it may serve; `None` for any.
        secrets: patterns, one of which must cover the pattern of a secrets provider; `None` for any pattern.
        access_control: whether it must be an access-control module; `None` if it may be one.
        by: who grants it, for messages.

    Raises:
        ConfigError: a service or a pattern is not well formed.
    """

    services: tuple[str, ...] | None = None
    secrets: tuple[str, ...] | None = None
    access_control: bool | None = None
    by: str = "its launch"

    def __post_init__(self) -> None:
        for service in self.services or ():
            if not SERVICE.fullmatch(service):
                raise ConfigError(f"{service[:140]!r} is not the full name of a proto service")
        for pattern in self.secrets or ():
            if len(pattern) > MAX_PATTERN or not PATTERN.fullmatch(pattern):
                raise ConfigError(f"{pattern[:140]!r} is not a pattern of secrets")

    @classmethod
    def of(
        cls, serves: Sequence[str] | None, secrets: str | Sequence[str] | None, access_control: bool, by: str
    ) -> Grant:
        """The grant of two lists. If either is given, what neither contains is not granted.

        Raises:
            ConfigError: a service or a pattern is not well formed.
        """
        if isinstance(serves, str):
            raise ConfigError(f"the services {serves[:140]!r} are a text; give a list")
        if serves is None and secrets is None:
            return cls(access_control=True if access_control else None, by=by)
        patterns = (secrets,) if isinstance(secrets, str) else tuple(secrets or ())
        return cls(tuple(serves or ()), patterns, access_control, by)

    def check(self, said: Registration) -> None:
        """Check a registration against the grant.

        Raises:
            RegistrationRefused: it claims more, or is not an access-control module although it must be one.
        """
        allowed = said.services if self.services is None else self.services
        for service in said.services:
            if service not in allowed and service not in ON_EVERY_PLUGIN:
                raise RegistrationRefused(f"it serves {service}, which {self.by} does not grant (serves)")
        pattern = said.secrets_pattern
        if pattern is not None and self.secrets is not None and not any(covers(own, pattern) for own in self.secrets):
            raise RegistrationRefused(f"it provides {pattern[:140]!r}, which {self.by} does not grant (secrets)")
        if said.access_control and self.access_control is False:
            raise RegistrationRefused(f"it decides on access, which {self.by} does not grant (access_control)")
        if self.access_control and not said.access_control:
            raise RegistrationRefused(f"it is no access-control module, and {self.by} says that it is one")
