"""What is asked of a plugin before it is started: by who wants it (`kv@^1.2`), and by what its manifest promises."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..contract.grant import Grant
from ..contract.registration import NAME, Configuration, Registration, RegistrationRefused
from ..contract.semver import Range, Version

__all__ = ["ManifestClaims", "Requirement"]


@dataclass(frozen=True, slots=True)
class Requirement:
    """A plugin that is wanted by name and version: `kv@^1.2`, `kv@1.4.0`, `kv@*`.

    Args:
        name: the plugin's name.
        range: the versions that will do.
        options: fields of the `Launch` that it becomes, over those of its manifest.
    """

    name: str
    range: Range
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def parse(cls, text: str) -> Requirement | None:
        """Read a requirement; `None` where the text is none, but a path or a command.

        Raises:
            ConfigError: what stands behind the "@" is no range of versions.
        """
        name, at, versions = text.strip().rpartition("@")
        if not at or not NAME.fullmatch(name) or os.path.exists(text):
            return None
        return cls(name, Range.parse(versions))

    def __str__(self) -> str:
        return f"{self.name}@{self.range}"


@dataclass(frozen=True, slots=True)
class ManifestClaims:
    """What is known of a plugin before it registers, and held against what it then says.

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
        """Hold a registration against the promise.

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
