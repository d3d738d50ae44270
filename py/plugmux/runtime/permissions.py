"""What plugins that start by themselves may claim, who decides on access, and what the runtime's sockets serve."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from ..contract.registration import Registration, RegistrationRefused
from ..errors import ConfigError

__all__ = ["ALL_USES", "Permissions", "SocketUse"]

SocketUse: TypeAlias = Literal["plugins", "calls", "secrets", "manage", "observe"]
"""What a socket of the runtime is used for."""

ALL_USES: frozenset[SocketUse] = frozenset(get_args(SocketUse))


@dataclass(frozen=True, slots=True)
class Permissions:
    """What plugins that start by themselves, and clients of the runtime's sockets, may do.

    Args:
        access_control: names of the plugins that decide on access to secrets, whoever starts them. Each of them must
            allow a request: one that is not there, or cannot be asked, denies it.
        overlapping: names of plugins that may start by themselves and serve what a plugin of the runtime's own serves.
        overlaps: whether every plugin that starts by itself may do that, and may be an access-control module, as with
            Docker's engine.
        socket: what the runtime's sockets serve: `"plugins"` lets plugins connect that start by themselves, `"calls"`
            carries calls to plugins, `"secrets"` gives secrets, `"manage"` enables, disables and restarts plugins,
            `"observe"` lists plugins and tells their events and logs. `/health` and the version are always served.

    Raises:
        ConfigError: a setting is not a list, or a use is not known.
    """

    access_control: Collection[str] = ()
    overlapping: Collection[str] = ()
    overlaps: bool = False
    socket: Collection[SocketUse] = ALL_USES

    def __post_init__(self) -> None:
        for setting in ("access_control", "overlapping", "socket"):
            if isinstance(getattr(self, setting), str):
                raise ConfigError(f"Permissions.{setting} is a text; give a list")
            object.__setattr__(self, setting, frozenset(getattr(self, setting)))
        if unknown := sorted(self.socket - ALL_USES):  # type: ignore[operator]
            raise ConfigError(f"Permissions.socket: {unknown[0]!r} is not known (known: {', '.join(sorted(ALL_USES))})")

    def check_module(self, said: Registration) -> None:
        """See that a plugin that the host takes for an access-control module is one.

        Raises:
            RegistrationRefused: it is none.
        """
        if said.name in self.access_control and not said.access_control:
            raise RegistrationRefused("it is no access-control module, and Permissions.access_control names it")
