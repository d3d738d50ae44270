"""What a host sets for its runtime: what it tells of itself, policies and their time limits, permissions, interceptors.

All of them are frozen: a runtime reads them once, and two runtimes may share them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from ..bounds import check_numbers
from ..contract.registration import REGISTRATION_TIMEOUT
from ..contract.version import VERSION
from ..errors import ConfigError
from ..yamux import Config
from .calls.breaker import BreakerPolicy
from .calls.retry import RetryPolicy
from .health.policy import HealthPolicy

if TYPE_CHECKING:
    from ..connect import Interceptor
    from ..network.tls import TLS

__all__ = [
    "ALL_USES",
    "Host",
    "Interceptors",
    "Permissions",
    "Policies",
    "RestartPolicy",
    "SocketUse",
    "Timeouts",
]

UNTIMED = 24 * 3600.0
"""Seconds that stand for no limit where a number is needed."""


@dataclass(frozen=True, slots=True)
class Host:
    """What a runtime tells its plugins and clients of itself.

    Args:
        name: the runtime's name.
        version: the host's version; that of plugmux by default.
        protocol_versions: the versions of the application's own protocol that the host speaks, at least one.
        tls: the certificate that it shows on links over a network, and the CAs that it trusts (docs/remote.md).
        debug: whether what a handler raises is sent to its caller with the traceback, from plugins and to them. It is
            logged in any event. A traceback may tell what the caller should not know.

    Raises:
        ConfigError: there is no protocol version.
    """

    name: str = "plugmux"
    version: str = VERSION
    protocol_versions: Collection[int] = (1,)
    tls: TLS | None = None
    debug: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "protocol_versions", tuple(self.protocol_versions))
        if not self.protocol_versions:
            raise ConfigError("Host.protocol_versions is empty; name the versions of your protocol, such as [1]")


@dataclass(frozen=True, slots=True)
class Interceptors:
    """The interceptors of both directions; the first of each is the outermost.

    Args:
        incoming: run around every RPC that a plugin calls.
        outgoing: run around every call of the clients that `Runtime.client` and `Runtime.clients` make.
    """

    incoming: Sequence[Interceptor] = ()
    outgoing: Sequence[Interceptor] = ()


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Time limits, in seconds.

    Args:
        registration: for a plugin to register after its start. Its log reports a start that takes long.
        request: for a unary call to a plugin, whatever its caller allows; plugins are told of it. 0 for no limit.
        configure: for a plugin to put a changed configuration into effect.
        replacement: for calls under way on a process that is replaced; what is left then is cut off.
        shutdown: for a plugin that is stopped to answer the call of Shutdown.
        drain: for calls under way on a link that is closed.
        exit: for a process to end by itself after its link has been closed.
        terminate: for a process to end after SIGTERM, and for its start to end where it is stopped meanwhile.
        kill: for the kernel to end a process after SIGKILL. One that it cannot end is left behind.
        post_mortem: for a process whose link has ended to end as well, so that its exit can be told.
        away: for a plugin of another machine whose link was lost to link again, before it is forgotten.

    Raises:
        ConfigError: a limit is not above 0 (`request`: not 0 or above), or is not finite.
    """

    registration: float = REGISTRATION_TIMEOUT
    request: float = 0.0
    configure: float = 10.0
    replacement: float = 30.0
    shutdown: float = 2.0
    drain: float = 2.0
    exit: float = 2.0
    terminate: float = 2.0
    kill: float = 5.0
    post_mortem: float = 1.0
    away: float = 60.0

    def __post_init__(self) -> None:
        check_numbers(self, above_zero={each.name for each in fields(self)} - {"request"}, finite=True)


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """When and how often a launched plugin that ended by itself is started again.

    Args:
        tries: starts in a row that may fail before the runtime gives up; 0 never restarts.
        delay: seconds before the first restart; it doubles with every further one.
        longest_delay: seconds that a delay grows to at most.
        time_limit: seconds of trying in a row before the runtime gives up.
        healthy_after: seconds after which a run counts as good, so that the next restart begins at `delay` again.
        jitter: the share of a delay that is drawn at random, from 0 to 1.
    """

    tries: int = 10
    delay: float = 2.0
    longest_delay: float = 30.0
    time_limit: float = 120.0
    healthy_after: float = 10.0
    jitter: float = 0.2

    def __post_init__(self) -> None:
        check_numbers(self)
        if self.longest_delay < self.delay or self.jitter > 1:
            raise ConfigError(f"{self} is not valid: longest_delay is below delay, or jitter above 1")


@dataclass(frozen=True, slots=True)
class Policies:
    """How a runtime treats its plugins. `Launch(policies=...)` takes the place of all of these for one plugin.

    Args:
        restart: when a launched plugin that ended by itself is started again.
        retry: when a call that failed may be made again. The budget is the runtime's.
        methods: the same for single methods, by path (`"/kv.v1.KeyValueService/Put"`).
        breaker: when calls are kept from a plugin that fails them all.
        health: when plugins are checked, and what is done about one that hangs.
        timeouts: every time limit. `Timeouts.request` is the runtime's.
        parallel_starts: how many plugins start at the same time; twice the processors by default. It is the runtime's.
        mux: settings of the links' mux; `plugmux.yamux.Config()` by default.

    Raises:
        ConfigError: `parallel_starts` is below 1.
    """

    restart: RestartPolicy = field(default_factory=RestartPolicy)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    methods: Mapping[str, RetryPolicy] = field(default_factory=dict)
    breaker: BreakerPolicy = field(default_factory=BreakerPolicy)
    health: HealthPolicy = field(default_factory=HealthPolicy)
    timeouts: Timeouts = field(default_factory=Timeouts)
    parallel_starts: int | None = None
    mux: Config | None = None
    link_config: Config | None = field(init=False, repr=False, compare=False)
    """The settings of a link's mux. Where health checks watch the peer, its silence does not end the link."""

    def __post_init__(self) -> None:
        check_numbers(self, {"parallel_starts": 1})
        without_keepalive = replace(self.mux or Config(), enable_keep_alive=False, connection_write_timeout=UNTIMED)
        object.__setattr__(self, "link_config", without_keepalive if self.health.interval else self.mux)

    def untimed(self) -> Policies:
        """The same policies for a plugin that may stop for any time, as in a debugger."""
        mux = replace(
            self.mux or Config(),
            enable_keep_alive=False,
            connection_write_timeout=UNTIMED,
            stream_open_timeout=0,
            stream_close_timeout=0,
        )
        return replace(self, mux=mux, health=HealthPolicy(interval=0))


SocketUse: TypeAlias = Literal["plugins", "calls", "secrets", "manage", "observe"]
"""What a socket of the runtime is used for."""

ALL_USES: frozenset[SocketUse] = frozenset(get_args(SocketUse))


@dataclass(frozen=True, slots=True)
class Permissions:
    """What plugins that start by themselves, and clients of the runtime's sockets, may do.

    Args:
        replicated: names of plugins that may connect by themselves more than once, where they ask for it.
        access_control: names of the plugins that decide on access to secrets, whoever starts them. Each of them must
            allow a request: one that is not there, or cannot be asked, denies it.
        overlapping: names of plugins that may start by themselves and serve what a plugin of the runtime's own serves.
        overlaps: whether every plugin that starts by itself may do that, and may be an access-control module, as with
            Docker's engine.
        socket: what the runtime's sockets serve: `"plugins"` lets plugins connect that start by themselves, `"calls"`
            carries calls to plugins, `"secrets"` gives secrets, `"manage"` enables, disables and restarts plugins,
            `"observe"` lists plugins, tells their events and logs, and gives metrics. `/health` and the version are
            always served.
        identities: patterns of the identities that may register a name, by the name. Where it is given, it alone
            decides; by default a plugin on another machine registers under the name of its certificate.
        allow: what who calls over a network may have, by patterns of identities: services (`"kv.v1.KeyValueService"`,
            `"kv.v1.*"`, `"*"`), methods (`"/kv.v1.KeyValueService/Get"`), secrets (`"secrets:team/**"`), `"manage"` and
            `"observe"`. By default nobody may call anything.
        insecure_tcp: whether `tcp://` may leave this machine: for tests.
        proxies: addresses and networks of proxies (`"10.0.0.5"`, `"10.1.0.0/16"`) that pass connections on to listeners
            in the network and begin each with a header of the PROXY protocol, version 2. By default there is none.

    Raises:
        ConfigError: a setting is not a list, a use is not known, or a pattern or a proxy is not one.
    """

    replicated: Collection[str] = ()
    access_control: Collection[str] = ()
    overlapping: Collection[str] = ()
    overlaps: bool = False
    socket: Collection[SocketUse] = ALL_USES
    identities: Mapping[str, str | Collection[str]] | None = None
    allow: Mapping[str, Collection[str]] = field(default_factory=dict)
    insecure_tcp: bool = False
    proxies: Collection[str] = ()

    def __post_init__(self) -> None:
        if self.identities is not None or self.allow:
            from ..network.identity import check_pattern, patterns_of

            object.__setattr__(self, "identities", patterns_of(self.identities))
            allow: dict[str, tuple[str, ...]] = {}
            for who, what in self.allow.items():
                if isinstance(what, str):
                    raise ConfigError(f"Permissions.allow gives {who!r} one string; give a list of strings")
                pattern = check_pattern(who)
                allow[pattern] = (*allow.get(pattern, ()), *what)
            object.__setattr__(self, "allow", allow)
        for setting in ("replicated", "access_control", "overlapping", "socket", "proxies"):
            if isinstance(getattr(self, setting), str):
                raise ConfigError(f"Permissions.{setting} is one string; give a list of strings")
            object.__setattr__(self, setting, frozenset(getattr(self, setting)))
        if self.proxies:
            from ..network.proxy_header import networks

            networks(self.proxies)
        if unknown := sorted(self.socket - ALL_USES):  # type: ignore[operator]  # every element is a text
            raise ConfigError(f"Permissions.socket: {unknown[0]!r} is not known (known: {', '.join(sorted(ALL_USES))})")
