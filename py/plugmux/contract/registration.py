"""The registration of a plugin, and the grammar of the names in it.

The plugin fills in its request by it, and the runtime checks the request by it. (docs/wire.md sections 4 and 5.)
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from ..errors import ConfigError, PlugmuxError
from .semver import Version

if TYPE_CHECKING:
    from plugmux_proto.plugins.v1 import plugins_pb2

__all__ = [
    "DIAGNOSTICS_SERVICE",
    "HEALTH_SERVICE",
    "ID",
    "NAME",
    "ON_EVERY_PLUGIN",
    "PATTERN",
    "REGISTRATION_TIMEOUT",
    "SAID_NAME",
    "SERVICE",
    "BadPattern",
    "Configuration",
    "InstanceKind",
    "Registration",
    "RegistrationRefused",
]

_COMPONENT = r"[A-Za-z0-9._:-]+"
ID = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*", re.ASCII)
"""A secret's id: components of letters, digits and `._:-`, joined by slashes. Use with `fullmatch`."""

_PATTERN_COMPONENT = rf"(?:\*\*|\*|{_COMPONENT})"
PATTERN = re.compile(rf"{_PATTERN_COMPONENT}(?:/{_PATTERN_COMPONENT})*", re.ASCII)
"""An id in which a component may be `*` (exactly one) or `**` (zero or more). Use with `fullmatch`."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+@-]{0,127}", re.ASCII)
"""The name of a plugin that the runtime finds or launches: a file name without white space or slashes, at most 128
characters. Use with `fullmatch`."""

MAX_PROCESS_ID = 64
MAX_NAME = 256
SAID_NAME = re.compile(rf"[^\x00-\x1f\x7f-\x9f]{{1,{MAX_NAME}}}")
"""The name that a plugin registers under: any text of at most 256 characters without control characters. Use with
`fullmatch`."""

SERVICE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*", re.ASCII)
"""The full name of a proto service. Use with `fullmatch`."""

HEALTH_SERVICE = "grpc.health.v1.Health"
DIAGNOSTICS_SERVICE = "plugmux.v1.DiagnosticsService"
REFLECTION_SERVICE = "grpc.reflection.v1.ServerReflection"
ON_EVERY_PLUGIN = frozenset({HEALTH_SERVICE, DIAGNOSTICS_SERVICE, REFLECTION_SERVICE})
"""The services that every plugin serves without naming them."""

UNREGISTERED_VERSION = "v0.0.0-unregistered"
"""The version in a list of plugins of one that has never registered: Docker's client drops plugins without one."""

REGISTRATION_TIMEOUT = 60.0
"""The default time limit of a registration, in seconds. It is long because a busy machine starts programs slowly."""

MAX_PATTERN = 4096
MAX_VERSION = 128
MAX_SERVICES = 1024
MAX_PROTOCOL_VERSIONS = 256
MAX_SCHEMA = 262_144
MAX_MESSAGE_TYPE = 512
MAX_LIST = 65_536
"""The most characters of all services, and of all capabilities and labels, of one plugin."""
DEFAULT_PROTOCOL_VERSIONS = (1,)


class RegistrationRefused(PlugmuxError):
    """A registration cannot be accepted; the message names the value at fault, and what it must be."""


class ConfigurationRefused(RegistrationRefused):
    """The configuration that the host has for a plugin is not what the plugin takes: the host's mistake, as a rule."""


class BadPattern(RegistrationRefused):
    """The pattern in a registration is not well formed."""


class Configuration(NamedTuple):
    """The configuration that a plugin takes: its JSON schema, its message type, and whether it can be reloaded."""

    json_schema: str = ""
    message_type: str = ""
    reloadable: bool = False

    @classmethod
    def from_schema(cls, declared: plugins_pb2.ConfigurationSchema) -> Configuration:
        """Read it from a message."""
        return cls(declared.json_schema, declared.message_type, declared.reloadable)

    def to_schema(self, declared: plugins_pb2.ConfigurationSchema) -> None:
        """Write it to a message."""
        declared.json_schema = self.json_schema
        declared.message_type = self.message_type
        declared.reloadable = self.reloadable


class InstanceKind(NamedTuple):
    """The kind of instances that a plugin has: the services and the configuration of each."""

    services: tuple[str, ...] = ()
    configuration: Configuration | None = None


@dataclass(frozen=True, slots=True)
class Registration:
    """A valid registration of a plugin.

    Args:
        name: the plugin's name (`SAID_NAME`).
        version: its version, with a leading "v" (`semver.Version`).
        services: full names of the proto services that it serves, except those of the next two.
        secrets_pattern: the pattern of a secrets provider, `None` for any other plugin.
        access_control: whether the plugin decides on access.
        protocol_versions: the versions of the application's protocol that it speaks.
        configuration: the configuration that it takes, `None` if it takes none.
        priority: rank among several plugins that serve the same; the higher is asked first.
        replica: whether it asks to be one of several plugins with its name.
        capabilities: names of the application's own, for programs that choose among plugins.
        labels: metadata of the application's own.
        protocol_version: the protocol version that the runtime has chosen; 0 before.
        prints_stacks: whether it prints the stacks of its threads on stderr at SIGQUIT, and continues.
        instances: the kind of its instances, `None` if it has none.
        process_id: tells its process from others of its name; empty where it does not say.
    """

    name: str
    version: str
    services: tuple[str, ...] = ()
    secrets_pattern: str | None = None
    access_control: bool = False
    protocol_versions: tuple[int, ...] = DEFAULT_PROTOCOL_VERSIONS
    configuration: Configuration | None = None
    priority: int = 0
    replica: bool = False
    capabilities: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    protocol_version: int = 0
    prints_stacks: bool = False
    instances: InstanceKind | None = None
    process_id: str = ""

    def __post_init__(self) -> None:
        if not SAID_NAME.fullmatch(self.name):
            raise RegistrationRefused(
                f"the plugin name {self.name[:140]!r} is not valid: it must have 1 to {MAX_NAME} characters, "
                "and no control character"
            )
        self._check_version()
        self._check_pattern()
        self._check_services()
        self._check_sizes()
        if not self.protocol_versions or min(self.protocol_versions) < 1:
            raise RegistrationRefused(f"plugin {self.name!r} names protocol version 0; the lowest is 1")

    def _check_version(self) -> None:
        try:
            if len(self.version) <= MAX_VERSION and self.version.startswith("v"):
                Version.parse(self.version)
                return
        except ConfigError:
            pass
        raise RegistrationRefused(
            f"the version {self.version[:140]!r} of plugin {self.name!r} is not valid: "
            'it must be a semantic version with a leading "v", such as "v1.2.3"'
        )

    def _check_pattern(self) -> None:
        pattern = self.secrets_pattern
        if pattern is not None and (len(pattern) > MAX_PATTERN or not PATTERN.fullmatch(pattern)):
            raise BadPattern(
                f"the pattern {pattern[:140]!r} of plugin {self.name!r} is not valid: components are joined by "
                'slashes, and each is "*", "**" or made of letters, digits and ._:-'
            )

    def _check_services(self) -> None:
        services = self.services + (self.instances.services if self.instances else ())
        if len(services) > MAX_SERVICES:
            raise RegistrationRefused(f"plugin {self.name!r} names over {MAX_SERVICES} services")
        for service in services:
            if not SERVICE.fullmatch(service):
                raise RegistrationRefused(f"plugin {self.name!r} names a service {service[:140]!r}: not a proto name")

    def _check_sizes(self) -> None:
        """Check the sizes that a list of plugins, or the check of a configuration, multiplies."""
        kinds = [self.configuration, self.instances.configuration if self.instances else None]
        labels = (*self.labels, *self.labels.values())
        services = self.services + (self.instances.services if self.instances else ())
        sizes = (
            ("protocol versions", len(self.protocol_versions), MAX_PROTOCOL_VERSIONS),
            ("characters of names of services", _length(services), MAX_LIST),
            ("characters of capabilities and labels", _length((*self.capabilities, *labels)), MAX_LIST),
            *(("characters of a JSON schema", len(kind.json_schema), MAX_SCHEMA) for kind in kinds if kind),
            *(("characters of a message type", len(kind.message_type), MAX_MESSAGE_TYPE) for kind in kinds if kind),
        )
        for what, size, most in sizes:
            if size > most:
                raise RegistrationRefused(f"plugin {self.name!r} registers with {size} {what}; the limit is {most}")

    @classmethod
    def from_request(cls, request: plugins_pb2.RegisterPluginRequest) -> Registration:
        """Check the request of a plugin.

        Raises:
            BadPattern: the pattern is not well formed.
            RegistrationRefused: another value is not.
        """
        kind = request.WhichOneof("metadata")
        return cls(
            name=request.name,
            version=request.version,
            services=tuple(sorted(set(request.services))),
            secrets_pattern=request.secrets_provider.pattern if kind == "secrets_provider" else None,
            access_control=kind == "access_control_module",
            protocol_versions=tuple(request.protocol_versions) or DEFAULT_PROTOCOL_VERSIONS,
            configuration=_configuration(request),
            priority=request.priority,
            replica=request.replica,
            capabilities=tuple(request.capabilities),
            labels=dict(request.labels),
            prints_stacks=request.prints_stacks,
            instances=InstanceKind(tuple(sorted(set(request.instances.services))), _configuration(request.instances))
            if request.HasField("instances")
            else None,
            process_id=request.process_id[:MAX_PROCESS_ID],
        )


def _length(texts: Iterable[str]) -> int:
    """The characters of some texts, with a separator for each."""
    return sum(len(text) + 1 for text in texts)


def _configuration(said: plugins_pb2.RegisterPluginRequest | plugins_pb2.InstanceKind) -> Configuration | None:
    return Configuration.from_schema(said.configuration) if said.HasField("configuration") else None


def common_protocol_version(ours: Collection[int], theirs: Collection[int]) -> int | None:
    """The highest version that both sides support, or `None` if there is none."""
    return max(set(ours) & set(theirs), default=None)
