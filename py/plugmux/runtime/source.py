"""What a runtime can be given to run: a command, a `Launch`, an object of this process, or what finds plugins."""

from __future__ import annotations

import os
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, TypeGuard, runtime_checkable

from ..connect import Service
from ..contract.claims import ManifestClaims
from ..contract.grant import Grant
from ..contract.registration import NAME
from ..errors import ConfigError
from ..link.servable import Servable, ServiceSource

if TYPE_CHECKING:
    from ..link.link import Link
    from .logs.log import PluginLog
    from .process.limits import Limits
    from .settings import Policies, RestartPolicy

__all__ = [
    "Found",
    "Launch",
    "PluginSource",
    "Run",
    "Runner",
    "Source",
    "as_launch",
    "as_source",
    "is_interpreter",
    "name_of_command",
]

INTERPRETERS = frozenset({"python", "python3", "node", "deno", "bun", "ruby", "perl", "sh", "bash", "env"})
SCRIPT_SUFFIXES = (".exe", ".py", ".js", ".mjs")


# -- how a plugin is started: a runner knows nothing of what crosses the link, it only brings it about ---------------


class Runner(Protocol):
    """Starts plugins: `Launch(command, runner=...)`. One runner may serve many launches at the same time.

    Attributes:
        outlives_runtime: whether what it starts lives on when the runtime closes.
        single_instance: whether it runs one process of each plugin name, and so no replicas.
        untimed: whether what it starts may stop for any time, as in a debugger: no time limit holds.
    """

    outlives_runtime: bool = False
    single_instance: bool = False
    untimed: bool = False

    async def start(self, launch: Launch, timeout: float, log: PluginLog) -> Run:
        """Start a plugin.

        Args:
            launch: what to start.
            timeout: seconds for its registration, to be told to the plugin.
            log: takes what it prints.

        Raises:
            PluginError: it could not be started; nothing is left of it then.
        """
        ...


class Run(Protocol):
    """One run of a launched plugin, from its start to its end."""

    @property
    def pid(self) -> int | None:
        """The process id on this machine, `None` where there is none."""
        ...

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        ...

    @property
    def exit_code(self) -> int | None:
        """The exit status, `None` while it runs or when a signal ended it."""
        ...

    @property
    def signal_number(self) -> int | None:
        """The signal that ended it, if one did."""
        ...

    @property
    def stderr_tail(self) -> str:
        """The last lines that it wrote on stderr."""
        ...

    async def connect(self, link: Link) -> None:
        """Connect the runtime's end of the link, once. Where the plugin dials, this returns before it has done so."""
        ...

    async def wait(self) -> None:
        """Wait for it to end and for the last of its output. It may be cancelled at will."""
        ...

    def terminate(self) -> None:
        """Ask it to end; harmless when it has ended."""
        ...

    def kill(self) -> None:
        """End it at once; harmless when it has ended."""
        ...

    def diagnose(self) -> None:
        """Ask it to write on stderr where its threads stand (SIGQUIT on Unix). It may end by that."""
        ...

    @property
    def over_limit(self) -> str | None:
        """The limit of its launch that ended it, in words that tell what it did; `None` where none seems to have."""
        ...


# -- what is started --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Launch:
    """A program that the runtime starts as a plugin.

    Args:
        command: the program and its arguments.
        name: the plugin's name; by default the program's file name (`name_of_command`).
        env: environment variables to set over those that pass by themselves; `None` as a value removes one.
        cwd: directory to start it in.
        timeout: seconds for its registration; by default `Timeouts.registration` of its policies.
        stdio: `"capture"` sends its stdout and stderr to logging; `"inherit"` leaves it the terminal.
        link: `"socket"` gives it one socket as descriptor 3; `"pipes"` a pair of one-way pipes.
        restart: what happens when it ends by itself; by default `restart` of its policies.
        replicas: how many processes of it to run; calls go to the one with the fewest in flight.
        runner: starts it; by default as a process of this machine.
        limits: the most that it may use of the machine; no limits by default.
        policies: how the runtime treats it; those of the runtime by default.
        required: whether the runtime raises from its `start` where this plugin does not run.
        claims: what it must say of itself when it registers.
        serves: full names of the services that it may serve; by default any.
        secrets: a pattern, or several, of the secrets that it may provide; by default any. Where `serves` or `secrets`
            is given, what the two do not name is not granted.
        access_control: whether it decides on access to secrets: then no secret is given over a socket unless it has
            been asked, and it must register as an access-control module.

    Raises:
        ConfigError: the command is empty where the runner needs one, the name is not a plugin name, or the runner
            cannot give the plugin what is asked (see `DetachedRunner`).
    """

    command: Sequence[str]
    name: str = ""
    env: Mapping[str, str | None] = field(default_factory=dict, repr=False)
    cwd: str | os.PathLike[str] | None = None
    timeout: float | None = None
    stdio: Literal["capture", "inherit"] = "capture"
    link: Literal["socket", "pipes"] = "socket"
    restart: RestartPolicy | None = None
    replicas: int = 1
    runner: Runner | None = None
    limits: Limits | None = None
    policies: Policies | None = None
    required: bool = False
    claims: ManifestClaims = field(default_factory=ManifestClaims)
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
        if self.runner is not None:
            self._check_runner(self.runner)

    def _check_runner(self, runner: Runner) -> None:
        if runner.single_instance and self.replicas > 1:
            raise ConfigError(
                f"plugin {self.name!r} has a runner that runs one process of each name ({type(runner).__name__}): "
                "leave replicas out, and launch further ones under other names"
            )
        if runner.outlives_runtime and self.limits is not None and self.limits.processes is not None:
            raise ConfigError(
                f"plugin {self.name!r} outlives the runtime, which then cannot count its processes: "
                "leave the limit processes out; memory, cpu and files can be limited"
            )

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
        # By name: the runners are above this layer, and are loaded only where one is used.
        waited_for: Launch = import_module("plugmux.runners.manual").wait(name, command, socket=socket, **options)
        return waited_for

    @property
    def grants(self) -> tuple[Grant, ...]:
        """The most that it may claim at registration, by its launch and by its manifest."""
        return (Grant.of(self.serves, self.secrets, self.access_control, "its launch"), self.claims.grant)

    def granted_as(self, other: Launch) -> Launch:
        """The same launch, with the grants that the host has given to another one."""
        return replace(self, serves=other.serves, secrets=other.secrets, access_control=other.access_control)

    @property
    def decides_on_access(self) -> bool:
        """Whether it is launched as an access-control module."""
        return any(grant.access_control for grant in self.grants)

    @property
    def single_instance(self) -> bool:
        """Whether its runner runs one process of each name."""
        return self.runner is not None and self.runner.single_instance

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


class Found(Protocol):
    """A plugin that a source has found."""

    @property
    def name(self) -> str:
        """The plugin's name."""
        ...

    @property
    def launch(self) -> Launch:
        """Starts it. The launch of one that cannot be used has a runner that raises, and so tells why."""
        ...

    @property
    def fingerprint(self) -> object:
        """Differs from the last one where the plugin's files have changed."""
        ...


@runtime_checkable
class Source(Protocol):
    """Finds plugins to launch, such as `plugmux.Directory` and `plugmux.Installed`."""

    @property
    def watch(self) -> float:
        """Seconds between two looks for plugins that were added, removed or replaced; 0 looks once."""
        ...

    def find(self) -> Sequence[Found]:
        """The plugins that there are now."""
        ...


PluginSource: TypeAlias = str | os.PathLike[str] | Sequence[str] | Launch | Source | Servable
"""A path, a name with versions (`kv@^1.2`), an argument list, a `Launch`, a `Source`, or an object of this process."""


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
    """Whether a program of that file name is known to run the script that follows it."""
    return program.removesuffix(".exe").rstrip("0123456789.") in INTERPRETERS or program in INTERPRETERS


def _is_script(word: str) -> bool:
    return word.endswith(SCRIPT_SUFFIXES) or (not word.startswith("-") and os.path.isfile(word))


def as_source(source: PluginSource) -> Launch | Source | Servable:
    """Read an entry of `plugins`.

    Raises:
        ConfigError: it is not a plugin source.
    """
    if isinstance(source, Launch | Service):
        return source
    if isinstance(source, str) and (installed := _installed(source)) is not None:
        return installed
    if isinstance(source, str | os.PathLike):
        return Launch([os.fspath(source)])
    if isinstance(source, Sequence):
        return Launch(tuple(os.fspath(word) for word in source))
    if isinstance(source, Source | ServiceSource) and not isinstance(source, type):
        return source
    raise ConfigError(
        f"{source!r} is not a plugin source: give a path, NAME@VERSIONS, an argument list, a Launch, a Directory, an "
        "Installed, or an object to serve"
    )


def _installed(text: str) -> Source | None:
    """The source for `NAME@VERSIONS`; `None` if the text has another form."""
    name, at, versions = text.strip().rpartition("@")
    if not at or not NAME.fullmatch(name) or os.sep in versions or os.path.exists(text):
        return None
    # By name: discovery is above this layer, and is loaded only where it is used.
    found: Source = import_module("plugmux.discovery").Installed(text)
    return found


def finds_plugins(source: Launch | Source | Servable) -> TypeGuard[Source]:
    """Whether a source is asked for plugins. (A service may have methods of the same names.)"""
    return isinstance(source, Source) and not isinstance(source, Launch | Service)


def goes_first(source: Launch | Servable, access_control: Collection[str]) -> bool:
    """Whether a plugin is started before the runtime listens: it may decide on access, or needs no start.

    Args:
        source: the plugin.
        access_control: the names in `Permissions.access_control`.
    """
    return not isinstance(source, Launch) or source.decides_on_access or source.name in access_control


def the_one(source: Source) -> Launch:
    """The launch of a source that must find one plugin.

    Raises:
        ConfigError: it finds none or several.
    """
    found = source.find()
    if len(found) != 1:
        names = ", ".join(plugin.name for plugin in found) or "no plugin"
        raise ConfigError(f"{source!r} finds {names}; here it must find one plugin")
    return found[0].launch


def as_launch(source: Launch | Servable, name: str) -> Launch:
    """The launch of a plugin that takes the place of another.

    Args:
        source: what the new one is.
        name: the name of the other, which it is to have.

    Raises:
        ConfigError: it is not launched.
    """
    if not isinstance(source, Launch):
        raise ConfigError(
            f"{source!r} cannot take the place of plugin {name!r}: give a path, an argument list or a Launch"
        )
    return replace(source, name=name)
