"""What is known of a plugin before it registers, by its manifest or by who asked for it."""

from __future__ import annotations

from dataclasses import dataclass, field

from .grant import Grant
from .registration import Configuration, Registration, RegistrationRefused
from .semver import Range, Version

__all__ = ["ManifestClaims"]


@dataclass(frozen=True, slots=True)
class ManifestClaims:
    """What is known of a plugin before it registers, and its registration must agree with it.

    Args:
        version: its version; `None` where that is not known.
        range: the versions that will do; `None` where any will.
        services: services that it must serve.
        protocol_versions: versions of the application's protocol that it speaks; empty where that is not known.
        configuration: the configuration that it takes; `None` where that is not known.
        grant: the most that it may claim.
    """

    version: Version | None = None
    range: Range | None = None
    services: tuple[str, ...] = ()
    protocol_versions: tuple[int, ...] = ()
    configuration: Configuration | None = None
    grant: Grant = field(default_factory=Grant)

    def check(self, said: Registration) -> None:
        """Check that a registration agrees with the claims.

        Raises:
            RegistrationRefused: they do not agree.
        """
        version = Version.parse(said.version)
        if self.version is not None and version != self.version:
            raise RegistrationRefused(f"it says that it is version {version}, and was installed as {self.version}")
        if self.range is not None and not self.range.includes(version):
            raise RegistrationRefused(f"it is version {version}, and {self.range} was asked for")
        if missing := [service for service in self.services if service not in said.services]:
            raise RegistrationRefused(f"it does not serve {', '.join(missing)}, as its manifest says")
