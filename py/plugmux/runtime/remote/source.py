"""A plugin that listens on another machine, as a source: `Runtime([Remote("tls://kv.example:7444")])`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...contract.address import NetworkAddress, parse_address
from ...contract.registration import NAME
from ...errors import ConfigError, PluginCause, PluginError
from ...network.identity import check_pattern
from ...network.places import Place
from ..settings import RestartPolicy
from ..source import Launch, Runner

if TYPE_CHECKING:
    from ...network.tls import TLS
    from ..logs.log import PluginLog
    from ..process.run import Run
    from ..settings import Policies

__all__ = ["RECONNECT", "Dialer", "Remote"]

RECONNECT = RestartPolicy(
    tries=1 << 31, delay=0.2, longest_delay=30.0, time_limit=float("inf"), healthy_after=10.0, jitter=0.3
)
"""How a plugin that cannot be reached is dialled again: without end."""


@dataclass(frozen=True, slots=True)
class Remote:
    """A plugin on another machine that the runtime dials.

    Args:
        address: where it listens: `tls://host:port`; or `tls+dns://name:port` and `tls+srv://_service._tcp.name`, of
            which every address is a replica; or a list of addresses, likewise. `tcp://127.0.0.1:port` has no TLS.
        name: the plugin's name; by default the first label of the host.
        identity: a pattern, or several, of the identities that it may have. By default those that the name is granted
            to: `Permissions.identities`, or an identity of that name.
        tls: the certificate of this end; by default `Host.tls`.
        serves: as in `Launch`.
        secrets: as in `Launch`.
        access_control: as in `Launch`.
        required: whether the runtime raises from its `start` where it cannot be reached.
        policies: how the runtime treats it; those of the runtime by default. How it is dialled again is not one of
            them: without end, after 0.2 to 30 seconds.

    Raises:
        ConfigError: an address or a pattern is not valid, or the name cannot be told from the address.
    """

    address: str | Sequence[str]
    name: str = ""
    identity: str | Sequence[str] = ()
    tls: TLS | None = None
    serves: Sequence[str] | None = None
    secrets: str | Sequence[str] | None = None
    access_control: bool = False
    required: bool = False
    policies: Policies | None = None
    addresses: tuple[NetworkAddress, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        texts = [self.address] if isinstance(self.address, str) else list(self.address)
        if not texts:
            raise ConfigError("Remote has no address; give one, such as tls://kv.example:7444")
        addresses = tuple(map(_dialled, texts))
        identity = [self.identity] if isinstance(self.identity, str) else self.identity
        name = self.name or _name(addresses[0])
        if not NAME.fullmatch(name):
            raise ConfigError(f"the plugin at {texts[0]} needs a name: Remote({texts[0]!r}, name=...)")
        object.__setattr__(self, "addresses", addresses)
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "identity", tuple(map(check_pattern, identity)))

    @property
    def watch(self) -> float:
        """It is a source whose look-ups are its own."""
        return 0.0

    def find(self) -> Sequence[Remote]:
        """Itself: the one plugin that it stands for."""
        return [self]

    @property
    def fingerprint(self) -> object:
        """Which addresses it names."""
        return self.addresses

    @property
    def launch(self) -> Launch:
        """The launch whose runner dials."""
        return Launch(
            (),
            name=self.name,
            runner=Dialer(self.addresses, tuple(self.identity), self.tls),
            restart=RECONNECT,
            serves=self.serves,
            secrets=self.secrets,
            access_control=self.access_control,
            required=self.required,
            policies=self.policies,
        )


@dataclass(frozen=True, slots=True)
class Dialer(Runner):
    """Links to a plugin that runs elsewhere; `remote.supervisor` does it.

    Args:
        addresses: where the plugin listens.
        identity: patterns of the identities that it may have; empty for those that its name is granted to.
        tls: the certificate of this end; `None` for that of the host.
        place: the one place that is dialled; `None` where it is the one address.
    """

    addresses: tuple[NetworkAddress, ...]
    identity: tuple[str, ...] = ()
    tls: TLS | None = None
    place: Place | None = None
    outlives_runtime = True
    elsewhere = True

    @property
    def follows(self) -> bool:
        """Whether it has replicas that come and go."""
        return self.place is None and (len(self.addresses) > 1 or self.addresses[0].is_looked_up)

    @property
    def target(self) -> Place:
        """What is dialled."""
        return self.place or Place(self.addresses[0], self.addresses[0].host)

    async def start(self, launch: Launch, timeout: float, log: PluginLog) -> Run:
        """Not used: the supervisor of such a plugin dials."""
        raise PluginError(launch.name, PluginCause.RUNNER_FAILED, "a Dialer belongs to a Remote")


def _dialled(text: str) -> NetworkAddress:
    address = parse_address(os.fspath(text))
    if not isinstance(address, NetworkAddress):
        raise ConfigError(f"{text!r} is no address in the network: write tls://host:port")
    if not address.port and not address.scheme == "tls+srv":
        raise ConfigError(f"{text!r} cannot be dialled: port 0 is for listening alone")
    return address


def _name(address: NetworkAddress) -> str:
    return "" if address.ip is not None else address.server_name.partition(".")[0]
