"""What a runtime can be given as a plugin: a path, an argument list, a `Launch`, or an object of this process."""

from __future__ import annotations

import math
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ..connect import Service
from ..contract.grant import Grant
from ..contract.registration import NAME
from ..discovery.requirement import ManifestClaims, Requirement
from ..errors import ConfigError
from ..link.servable import Servable, ServiceSource
from .permissions import Permissions
from .process.limits import Limits

if TYPE_CHECKING:
    from .process.runner import Runner

__all__ = ["Launch", "PluginSource", "RestartPolicy", "name_of_command", "parse_source"]

INTERPRETERS = frozenset({"python", "python3", "node", "deno", "bun", "ruby", "perl", "sh", "bash", "env"})
SCRIPT_SUFFIXES = (".exe", ".py", ".js", ".mjs")


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
        if self.tries < 0 or self.delay < 0 or self.longest_delay < self.delay or not 0 <= self.jitter <= 1:
            raise ConfigError(
                f"{self} is not valid: tries and delay from 0, longest_delay >= delay, jitter from 0 to 1"
            )


@dataclass(frozen=True, slots=True)
class Launch:
    """A program that the runtime starts as a plugin.

    Args:
        command: the program and its arguments.
        name: the plugin's name; by default the program's file name (`name_of_command`).
        env: environment variables to set over those that pass by themselves; `None` as a value removes one.
        cwd: directory to start it in.
        timeout: seconds for its registration; the runtime's own setting by default.
        stdio: `"capture"` sends its stdout and stderr to logging; `"inherit"` leaves it the terminal.
        link: `"socket"` gives it one socket as descriptor 3; `"pipes"` a pair of one-way pipes.
        restart: what happens when it ends by itself.
        replicas: how many processes of it to run; calls go to the one with the fewest in flight.
        runner: starts it; by default as a process of this machine.
        limits: the most that it may use of the machine.
        promise: what it must say of itself when it registers.
        serves: full names of the services that it may serve; by default any.
        secrets: a pattern, or several, of the secrets that it may provide; by default any. Where `serves` or `secrets`
            is given, what the two do not name is not granted.
        access_control: whether it decides on access to secrets: then nobody is given any over a socket unless it has
            been asked, and it must register as an access-control module.

    Raises:
        ConfigError: the command is empty where the runner needs one, the name is not a plugin name, or a detached
            plugin is to have what it cannot (see `DetachedRunner`).
    """

    command: Sequence[str]
    name: str = ""
    env: Mapping[str, str | None] = field(default_factory=dict, repr=False)
    cwd: str | os.PathLike[str] | None = None
    timeout: float | None = None
    stdio: Literal["capture", "inherit"] = "capture"
    link: Literal["socket", "pipes"] = "socket"
    restart: RestartPolicy = field(default_factory=RestartPolicy)
    replicas: int = 1
    runner: Runner | None = None
    limits: Limits = field(default_factory=Limits)
    promise: ManifestClaims = field(default_factory=ManifestClaims)
    serves: Sequence[str] | None = None
    secrets: str | Sequence[str] | None = None
    access_control: bool = False

    def __post_init__(self) -> None:
        Grant.of(self.serves, self.secrets, self.access_control, "its launch")
        if self.replicas < 1:
            raise ConfigError(f"the number of replicas of {self.command} is {self.replicas}; it must be 1 or more")
        if not any(self.command[:1]) and (self.runner is None or self.command):
            raise ConfigError("a plugin's command is empty")
        if not self.name and self.command:
            object.__setattr__(self, "name", name_of_command(self.command))
        if not NAME.fullmatch(self.name):
            raise ConfigError(
                f"{self.name!r} cannot be a plugin's name; give one: Launch({list(self.command)!r}, name=...)"
            )
        if self.timeout is not None and not self.timeout > 0:
            raise ConfigError(f"the timeout of plugin {self.name!r} is {self.timeout} s; it must be above 0")
        if self.runner is not None and self.detached:
            self._check_detached()

    def _check_detached(self) -> None:
        if self.replicas > 1:
            raise ConfigError(
                f"plugin {self.name!r} is detached, and there is one process of each name: "
                "leave replicas out, and launch further ones under other names"
            )
        if self.limits.processes is not None:
            raise ConfigError(
                f"plugin {self.name!r} is detached, and nobody counts its processes when the runtime has gone: "
                "leave the limit processes out; memory, cpu and files can be limited"
            )

    @classmethod
    def installed(cls, requirement: str, **options: Any) -> Requirement:
        """A plugin that is found by name and versions (`kv@^1.2`), and launched with options of your own.

        Args:
            requirement: the name and the range of versions.
            options: any of the other fields but `runner` and `promise`, which come with the plugin. Of `env` those that
                its manifest sets stay, where this sets no others.

        Raises:
            ConfigError: that is no requirement, or an option is out of its range.
        """
        found = Requirement.parse(requirement)
        if found is None:
            raise ConfigError(f"{requirement!r} names no installed plugin: write NAME@VERSIONS, such as 'kv@^1.2'")
        if taken := options.keys() & {"command", "name", "runner", "promise"}:
            raise ConfigError(f"{', '.join(sorted(taken))} of {requirement} come with the plugin that is found")
        cls([found.name], found.name, **options)
        return replace(found, options=options)

    @classmethod
    def wait(
        cls, name: str, command: Sequence[str] = (), *, socket: str | os.PathLike[str] | None = None, **options: Any
    ) -> Launch:
        """A plugin that its author starts by hand, under a debugger as a rule: the runtime says how, and waits for it.

        Nothing is started, no time limit holds, and when the plugin has ended the runtime waits for it again.

        Args:
            name: the plugin's name.
            command: how it would be started, to be shown.
            socket: path of the socket that it is to connect to; by default another one each time.
            options: the other fields.
        """
        from ..runners.manual import DAY, ByHandRunner

        again = RestartPolicy(tries=sys.maxsize, delay=0.2, longest_delay=5.0, time_limit=math.inf)
        return cls(command, name, runner=ByHandRunner(socket), timeout=DAY, restart=again, **options)

    @property
    def grants(self) -> tuple[Grant, ...]:
        """The most that it may claim at registration, by its launch and by its manifest."""
        return (Grant.of(self.serves, self.secrets, self.access_control, "its launch"), self.promise.grant)

    def granted_as(self, other: Launch) -> Launch:
        """The same launch, with the grants that the host has given to another one."""
        return replace(self, serves=other.serves, secrets=other.secrets, access_control=other.access_control)

    @property
    def decides_on_access(self) -> bool:
        """Whether it is launched as an access-control module."""
        return any(grant.access_control for grant in self.grants)

    @property
    def by_hand(self) -> bool:
        """Whether the plugin is waited for, and not started."""
        from ..runners.manual import ByHandRunner

        return isinstance(self.runner, ByHandRunner)

    @property
    def detached(self) -> bool:
        """Whether the plugin lives on when the runtime closes."""
        from ..runners.detached import DetachedRunner

        return isinstance(self.runner, DetachedRunner)

    @classmethod
    def parse(cls, command_line: str, name: str = "") -> Launch:
        """Split a command line as a shell splits words; nothing is expanded.

        Args:
            command_line: the program and its arguments.
            name: the plugin's name; by default the program's file name.

        Raises:
            ConfigError: the quotes are not closed, or there are no words.
        """
        try:
            words = shlex.split(command_line)
        except ValueError as error:
            raise ConfigError(f"the command line {command_line!r} cannot be split: {error}") from None
        return cls(words, name)


PluginSource: TypeAlias = str | os.PathLike[str] | Sequence[str] | Launch | Requirement | Servable
"""A path, a name with versions (`kv@^1.2`), an argument list, a `Launch`, or an object to serve in this process."""


def name_of_command(command: Sequence[str]) -> str:
    """The name of a plugin that is started by a command: the file name of its program, without `.exe`.

    Where the program is an interpreter (`python plugin.py`), the script's file name stands for it. A script's own
    suffix (`.py`, `.js`, `.mjs`) is left out as `.exe` is.
    """
    program = Path(command[0]).name
    if is_interpreter(program):
        program = next((Path(word).name for word in command[1:] if _is_script(word)), program)
    for suffix in SCRIPT_SUFFIXES:
        program = program.removesuffix(suffix)
    return program


def is_interpreter(program: str) -> bool:
    """Whether a program of that file name is known to run the script that stands behind it."""
    return program.removesuffix(".exe").rstrip("0123456789.") in INTERPRETERS or program in INTERPRETERS


def _is_script(word: str) -> bool:
    return word.endswith(SCRIPT_SUFFIXES) or (not word.startswith("-") and os.path.isfile(word))


def as_source(source: PluginSource) -> Launch | Requirement | Servable:
    """Bring whatever a user gave into one of three forms.

    Raises:
        ConfigError: it is neither a command nor a requirement nor something that can be served.
    """
    if isinstance(source, Requirement):
        return source
    requirement = Requirement.parse(source) if isinstance(source, str) else None
    return requirement or as_launch_or_servable(source)


def goes_first(source: Launch | Servable, permissions: Permissions) -> bool:
    """Whether a plugin is started before the runtime listens: it may decide on access, or needs no start."""
    if not isinstance(source, Launch):
        return True
    return source.decides_on_access or source.name in permissions.access_control


def parse_source(text: str) -> Launch | Requirement:
    """Read a plugin as a command line names it: `kv@^1.2`, or a command.

    Raises:
        ConfigError: it is neither.
    """
    return Requirement.parse(text) or Launch.parse(text)


def as_launch_or_servable(source: PluginSource) -> Launch | Servable:
    """Bring whatever a user gave into one of two forms.

    Raises:
        ConfigError: it is neither a command nor something that can be served.
    """
    if isinstance(source, Launch | Service):
        return source
    if isinstance(source, str | os.PathLike):
        return Launch([os.fspath(source)])
    if isinstance(source, Sequence):
        return Launch(tuple(os.fspath(word) for word in source))
    if isinstance(source, ServiceSource) and not isinstance(source, type):
        return source
    raise ConfigError(f"{source!r} is no plugin: give a path, an argument list, a Launch, or an object to serve")


def as_launch(source: PluginSource, name: str) -> Launch:
    """Bring what a user gave into the form of a launch under a name.

    Raises:
        ConfigError: it is no command.
    """
    launch = as_launch_or_servable(source)
    if not isinstance(launch, Launch):
        raise ConfigError(
            f"{source!r} cannot take the place of plugin {name!r}: give a path, an argument list or a Launch"
        )
    return replace(launch, name=name)
