"""The launch configuration, which a runtime gives to each plugin that it launches.

It is JSON in an environment variable: `{"name": ..., "timeout": nanoseconds, "fd": 3}` if one inherited descriptor
carries the link, with `"r"` and `"w"` in place of `"fd"` if a pair of one-way pipes does. If no descriptor can be
inherited, as in a container, it has `"socket"` instead: the path of a unix socket. The plugin connects to it, and the
connection is the link. On another machine it has `"address"`, where the plugin gets a certificate with the `"token"`
and then dials; `"ca"` is the fingerprint of the CA. (docs/wire.md section 2 has all keys.)
"""

from __future__ import annotations

import json
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from typing import TypeGuard

from ..errors import ConfigError
from .address import is_network, parse_address
from .nesting import check_depth

__all__ = ["COMPATIBLE_VARIABLE", "LISTEN_VARIABLE", "SOCKET_VARIABLE", "VARIABLE", "LaunchConfig"]

VARIABLE = "PLUGMUX_PLUGIN_LAUNCH_CFG"
"""The variable that our SDKs read first; its JSON may have further keys."""

COMPATIBLE_VARIABLE = "DOCKER_SECRETS_ENGINE_PLUGIN_LAUNCH_CFG"
"""The variable that plugins of Docker's secrets engine read."""

SOCKET_VARIABLE = "PLUGMUX_SOCKET"
"""The variable that names the runtime's socket, for plugins that start by themselves and for the command line."""

LISTEN_VARIABLE = "PLUGMUX_LISTEN"
"""The variable that names the address at which a plugin listens for runtimes on other machines."""

NANOSECONDS = 1_000_000_000
FIRST_FREE_FD = 3
NO_FD = -1
FINGERPRINT = "sha256:"
MAX_CONFIG = 65_536
MAX_TIMEOUT = (1 << 63) - 1
"""The largest signed integer of 64 bits, in nanoseconds."""

LONGEST_TIMEOUT = (1 << 53) - 1
"""The longest time that is told, in nanoseconds: 104 days, the largest integer that JavaScript reads exactly."""


@dataclass(frozen=True, slots=True)
class LaunchConfig:
    """The launch configuration of one plugin.

    Args:
        name: the name under which the plugin must register.
        timeout: seconds within which the plugin must register.
        read_fd: descriptor (on Windows: handle) to read the link from; above 2.
        write_fd: descriptor to write the link to; the same as `read_fd` when one socket serves both.
        socket: path of the unix socket to connect to; empty if there are descriptors.
        terminal: whether the plugin shares the terminal of its runtime, so that Ctrl-C reaches both.
        detached: whether the plugin must reconnect to the socket whenever its runtime has gone away.
        runtime_pid: process id of the runtime, 0 if the plugin cannot use it.
        address: where in the network the plugin joins its runtime; empty on this machine.
        token: lets it get a certificate there, once.
        ca: the fingerprint of the CA that signs it: `sha256:` and 64 hexadecimal digits.

    Raises:
        ConfigError: a value is out of its range.
    """

    name: str
    timeout: float
    read_fd: int = NO_FD
    write_fd: int = NO_FD
    socket: str = ""
    terminal: bool = False
    detached: bool = False
    runtime_pid: int = 0
    address: str = ""
    token: str = field(default="", repr=False)
    ca: str = ""

    def __post_init__(self) -> None:
        if not self.name:
            raise ConfigError("the launch configuration has no plugin name")
        if not self.timeout > 0:
            raise ConfigError(f"the launch configuration's timeout is {self.timeout} s; it must be above 0")
        if self.address and not (is_network(self.address) and self.token and self.ca.startswith(FINGERPRINT)):
            raise ConfigError(
                'the launch configuration\'s "address" needs tls://host:port, a "token" and the fingerprint of a "ca"'
            )
        if self.address:
            try:
                parse_address(self.address, insecure_tcp=True)  # who dials it looks at that
            except ConfigError as error:
                raise ConfigError(f"the launch configuration cannot be used: {error}") from None
        for descriptor in self.descriptors:
            if descriptor < FIRST_FREE_FD:
                raise ConfigError(f"the launch configuration names descriptor {descriptor}; it must be above 2")

    @property
    def descriptors(self) -> frozenset[int]:
        """The inherited descriptors: one, two, or none if there is something to connect to."""
        return frozenset() if self.socket or self.address else frozenset({self.read_fd, self.write_fd})

    @property
    def is_pipe_pair(self) -> bool:
        """Whether the link runs over two one-way pipes."""
        return self.read_fd != self.write_fd

    def to_json(self) -> str:
        """The configuration as JSON."""
        head: dict[str, object] = {"name": self.name, "timeout": int(min(self.timeout * NANOSECONDS, LONGEST_TIMEOUT))}
        if self.terminal:
            head["terminal"] = True
        if self.detached:
            head["detached"] = True
        if self.runtime_pid:
            head["pid"] = self.runtime_pid
        if self.address:
            return json.dumps(head | {"address": self.address, "token": self.token, "ca": self.ca})
        if self.socket:
            return json.dumps(head | {"socket": self.socket})
        ends = {"r": self.read_fd, "w": self.write_fd} if self.is_pipe_pair else {"fd": self.read_fd}
        return json.dumps(head | ends)

    def to_environ(self) -> dict[str, str]:
        """The environment variables to set for the plugin: both, unless only our SDKs know the form of the link."""
        if not self.descriptors:
            return {VARIABLE: self.to_json()}
        return {VARIABLE: self.to_json(), COMPATIBLE_VARIABLE: replace(self, terminal=False, runtime_pid=0).to_json()}

    @classmethod
    def from_json(cls, text: str) -> LaunchConfig:
        """Parse a configuration; unknown keys are ignored.

        Raises:
            ConfigError: the text is not a JSON object of this form, or a value is out of its range.
        """
        if len(text) > MAX_CONFIG:
            raise ConfigError(f"the launch configuration has {len(text)} characters, over the limit of {MAX_CONFIG}")
        try:
            check_depth(text)
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"the launch configuration is not JSON: {error}") from None
        if not isinstance(values, dict):
            raise ConfigError(f"the launch configuration is a JSON {type(values).__name__}, not an object")
        name, timeout = values.get("name"), values.get("timeout")
        if not isinstance(name, str) or not _is_whole(timeout):
            raise ConfigError('the launch configuration needs "name" (text) and "timeout" (whole nanoseconds)')
        if timeout > MAX_TIMEOUT:
            raise ConfigError(f"the launch configuration's timeout is over the limit of {MAX_TIMEOUT} nanoseconds")
        terminal, pid = values.get("terminal") is True, values.get("pid")
        runtime_pid = pid if _is_whole(pid) and pid > 0 else 0
        if isinstance(address := values.get("address"), str) and address:
            token, ca = (_text(values.get(key)) for key in ("token", "ca"))
            return cls(name, timeout / NANOSECONDS, address=address, token=token, ca=ca)
        if isinstance(path := values.get("socket"), str) and path:
            return cls(
                name,
                timeout / NANOSECONDS,
                socket=path,
                terminal=terminal,
                detached=values.get("detached") is True,
                runtime_pid=runtime_pid,
            )
        read_fd, write_fd = (values.get(key) for key in (("fd", "fd") if "fd" in values else ("r", "w")))
        if not _is_whole(read_fd) or not _is_whole(write_fd):
            raise ConfigError('the launch configuration needs "fd", or "r" and "w", as whole numbers')
        return cls(name, timeout / NANOSECONDS, read_fd, write_fd, terminal=terminal, runtime_pid=runtime_pid)

    @classmethod
    def take_from(cls, environ: MutableMapping[str, str]) -> LaunchConfig | None:
        """Parse the configuration and remove it from the environment, so that no child of the plugin uses it.

        Args:
            environ: the environment, as a rule `os.environ`.

        Returns:
            The configuration, or `None` when the process was not launched by a runtime.

        Raises:
            ConfigError: there is a configuration, but it is not well formed.
        """
        text = configuration_text(environ)
        for variable in (VARIABLE, COMPATIBLE_VARIABLE):
            environ.pop(variable, None)
        return None if text is None else cls.from_json(text)


def configuration_text(environ: Mapping[str, str]) -> str | None:
    """The raw configuration in the environment: our variable first, then the compatible one."""
    return environ.get(VARIABLE) or environ.get(COMPATIBLE_VARIABLE) or None


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
