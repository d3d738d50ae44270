"""What a runtime can be given to run: a command, a `Launch`, an object of this process, or what finds plugins.

A text is read by its form alone; whether there is such a plugin shows when it is started:

    ./kv, /opt/kv, kv.py     a path: it has a separator, or the suffix of a script
    kv@^1.2                  an installed plugin, by name and versions
    kv.plugin:plugin         an object of a Python module
    kv                       a name: an entry point, or a program on PATH

An argument list and a `Launch` are commands, of which nothing is looked up but the program.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
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
from ..platform import has_directory, split_words, unsupported_limits

if TYPE_CHECKING:
    from .logs.log import PluginLog
    from .process.limits import Limits
    from .process.run import Run
    from .settings import Policies, RestartPolicy

__all__ = [
    "Found",
    "Launch",
    "Named",
    "PluginSource",
    "Runner",
    "Source",
    "as_source",
    "as_sources",
    "finds_plugins",
    "is_interpreter",
    "name_of_command",
    "read_words",
    "the_one",
]

INTERPRETERS = frozenset({"python", "python3", "node", "deno", "bun", "ruby", "perl", "sh", "bash", "env"})
SCRIPTS = (".py", ".js", ".mjs", ".cjs", ".ts", ".mts", ".cts")
"""Suffixes of files that an interpreter runs (`process/scripts.py`), whatever their first line and mode."""

SUFFIXES = (".exe", ".com", ".cmd", ".bat", *SCRIPTS)
OBJECT = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
"""`module:object`, as in an entry point."""


# -- how a plugin is started: a runner knows nothing of what crosses the link, it only brings it about ---------------


class Runner(Protocol):
    """Starts plugins: `Launch(command, runner=...)`. One runner may serve many launches at the same time.

    Attributes:
        outlives_runtime: whether what it starts lives on when the runtime closes.
        single_instance: whether it runs one process of each plugin name, and so no replicas.
        untimed: whether what it starts may stop for any time, as in a debugger: no time limit holds.
        address: where what it starts dials the runtime over a network; empty on this machine.
    """

    outlives_runtime: bool = False
    single_instance: bool = False
    untimed: bool = False
    address: str = ""

    def unsupported_limits(self) -> Mapping[str, str]:
        """The limits that it cannot hold a plugin to, by their names in `Limits`, each with the reason.

        A `Launch` with such a limit is refused. By default there is none.
        """
        return {}

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
        ConfigError: the command is one text, or empty where the runner needs one, the name is not a plugin name, or the
            runner cannot give the plugin what is asked (see `DetachedRunner`).
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
        if isinstance(self.command, str):
            raise ConfigError(f"a plugin's command is one text; give its words: Launch({self.command.split()!r})")
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
        if self.limits is not None:
            unsupported = unsupported_limits() if self.runner is None else self.runner.unsupported_limits()
            self.limits.check_supported(self.name, unsupported)
        if self.single_instance and self.replicas > 1:
            raise ConfigError(
                f"plugin {self.name!r} has a runner that runs one process of each name ({type(self.runner).__name__}): "
                "leave replicas out, and launch further ones under other names"
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
        """Split a command line as a shell splits words, and on Windows as programs do; nothing is expanded.

        Args:
            command_line: the program and its arguments.
            name: the plugin's name; by default the program's file name.

        Raises:
            ConfigError: the quotes are not closed, or there are no words.
        """
        try:
            words = split_words(command_line)
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
"""A path, a name (`kv`, `kv@^1.2`, `module:object`), an argument list, a `Launch`, a `Source`, or what is served."""


def name_of_command(command: Sequence[str]) -> str:
    """The name of a plugin that is started by a command: the file name of its program, without its suffix.

    Where the program is an interpreter (`python plugin.py`), the script's file name stands for it. The suffixes are
    those of programs on Windows (`.exe`, `.cmd`) and of scripts (`.py`, `.js`, `.ts` and the like), in whatever case.
    """
    program = Path(command[0]).name
    if is_interpreter(program):
        program = next((Path(word).name for word in command[1:] if _is_script(word)), program)
    while (suffix := os.path.splitext(program)[1]).lower() in SUFFIXES:
        program = program.removesuffix(suffix)
    return program


def is_interpreter(program: str) -> bool:
    """Whether a program of that file name is known to run the script that follows it."""
    return re.sub(r"\.(exe|com|cmd|bat)$", "", program.lower()).rstrip("0123456789.") in INTERPRETERS


def _is_script(word: str) -> bool:
    return word.lower().endswith(SUFFIXES) or (not word.startswith("-") and os.path.isfile(word))


# -- what an entry of `plugins` is ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Named:
    """A plugin that is looked up by its name alone, when it is started: an entry point, or a program on PATH.

    Args:
        word: the name to look up.
        arguments: what the plugin's program is given.
        plugin: the plugin's name; the word by default.
        prefix: where it is given, a program of the word behind this prefix is looked for before one of the word itself.
    """

    word: str
    arguments: tuple[str, ...] = ()
    plugin: str = ""
    prefix: str = ""

    watch = 0.0

    @property
    def name(self) -> str:
        """The plugin's name."""
        return self.plugin or self.word

    def find(self) -> Sequence[Found]:
        """The plugin of that name; where there is none, its start fails and tells where it was looked for."""
        # By name: discovery is above this layer, and is loaded only where it is used.
        found: Sequence[Found] = import_module("plugmux.discovery.names").find_named(self)
        return found


def as_sources(plugins: Iterable[PluginSource]) -> list[Launch | Source | Servable]:
    """Read all entries of `plugins`.

    Raises:
        ConfigError: it is no list of them, or one of them is not a plugin source.
    """
    if isinstance(plugins, str | bytes | os.PathLike | Launch):
        shown = plugins if isinstance(plugins, Launch) else os.fspath(plugins)
        raise ConfigError(f"plugins is one plugin source and not a list of them: write Runtime([{shown!r}])")
    return [as_source(source) for source in plugins]


def as_source(source: PluginSource) -> Launch | Source | Servable:
    """Read an entry of `plugins`.

    Raises:
        ConfigError: it is not a plugin source.
    """
    if isinstance(source, Launch | Service):
        return source
    if isinstance(source, str):
        return _installed(source) or read_words([source])
    if isinstance(source, os.PathLike):
        return Launch([os.fspath(source)])
    if isinstance(source, Sequence):
        return Launch(tuple(os.fspath(word) for word in source))
    if isinstance(source, Source | ServiceSource) and not isinstance(source, type):
        return source
    raise ConfigError(
        f"{source!r} is not a plugin source: give a path, a name, NAME@VERSIONS, 'module:object', an argument list, a "
        "Launch, a Directory or another source, or an object to serve"
    )


def read_words(words: Sequence[str], name: str = "", prefix: str = "") -> Launch | Named:
    """Read the words of a command line, of which the first may name a plugin in place of a program.

    Args:
        words: the first names what is run, by the forms above; the others are its arguments.
        name: the plugin's name; by default as what is run is called.
        prefix: see `Named`.

    Raises:
        ConfigError: there are no words, or the name is not a plugin's.
    """
    word, *arguments = words or ("",)
    if OBJECT.fullmatch(word) and not os.path.exists(word):
        launch: Launch = import_module("plugmux.discovery.python").launch_object(word, *arguments, name=name)
        return launch
    if NAME.fullmatch(word) and not word.endswith(SCRIPTS) and not is_interpreter(word):
        return Named(word, tuple(arguments), name, prefix)
    return Launch([*words], name)


def _installed(text: str) -> Source | None:
    """The source for `NAME@VERSIONS`; `None` if the text has another form."""
    name, at, versions = text.strip().rpartition("@")
    if not at or not NAME.fullmatch(name) or has_directory(versions) or os.path.exists(text):
        return None
    found: Source = import_module("plugmux.discovery").Installed(text)
    return found


def finds_plugins(source: Launch | Source | Servable) -> TypeGuard[Source]:
    """Whether a source is asked for plugins. (A service may have methods of the same names.)"""
    return isinstance(source, Source) and not isinstance(source, Launch | Service)


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
