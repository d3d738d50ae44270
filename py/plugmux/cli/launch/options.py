"""The options of every command that launches plugins, and the runtime that they make."""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...contract.address import is_network
from ...contract.nesting import check_depth
from ...dynamic.suggest import did_you_mean
from ...errors import ConfigError, PlugmuxError
from .network import tls_of
from .source import parse_plugins

if TYPE_CHECKING:
    from ...runtime import Launch, Policies, Runtime, Source
    from ...runtime.source import Found

__all__ = [
    "add_launch_options",
    "add_plugin_option",
    "check_launch_options",
    "configurations",
    "in_time",
    "launch_runtime",
    "policies_of",
    "read_configuration",
    "seconds",
    "variables",
    "with_variables",
]

STARTUP_TIMEOUT = 60.0


def add_plugin_option(parser: argparse._ActionsContainer, what: str) -> None:
    """Add `--plugin`."""
    parser.add_argument(
        "--plugin",
        metavar="CMD",
        action="append",
        default=[],
        help=f"{what}: a command, a script, MODULE:OBJECT, a name, or NAME@VERSIONS; NAME=CMD names it; may be given "
        "several times",
    )


def add_launch_options(parser: argparse.ArgumentParser, *, config: str = "[NAME=]FILE", timeout: str) -> None:
    """Add what every command that launches plugins takes.

    Args:
        parser: the command's.
        config: the form of `--config`.
        timeout: what `--timeout` bounds.
    """
    group = parser.add_argument_group("plugins that the command launches")
    group.add_argument(
        "--on-path", action="store_true", help="find a name NAME as the program plugmux-NAME on PATH too"
    )
    group.add_argument(
        "--config",
        metavar=config,
        action="append",
        default=[],
        help="give a plugin the configuration in a JSON file; NAME may be left out where there is one plugin",
    )
    group.add_argument(
        "--env", metavar="NAME=VALUE", action="append", default=[], help="set a variable of every plugin's environment"
    )
    group.add_argument(
        "--startup-timeout",
        metavar="S",
        type=seconds,
        default=STARTUP_TIMEOUT,
        help=f"seconds from the start of a plugin to its registration; {STARTUP_TIMEOUT:g}",
    )
    group.add_argument("--timeout", metavar="S", type=seconds, help=timeout)


def seconds(text: str) -> float:
    """Read a number of seconds above 0."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds above 0")
    return number


def check_launch_options(options: argparse.Namespace) -> None:
    """Check that no option of launched plugins is given where none is launched.

    Raises:
        ConfigError: one is.
    """
    defaults = {"config": [], "env": [], "on_path": False, "startup_timeout": STARTUP_TIMEOUT}
    given = [name.replace("_", "-") for name, value in defaults.items() if getattr(options, name, value) != value]
    if given and not options.plugin:
        raise ConfigError(f"--{given[0]} is for plugins that the command launches: give --plugin too")


def with_variables(plugins: Sequence[Any], options: argparse.Namespace) -> list[Launch | Source]:
    """The plugins with the variables that `--env` sets."""
    from ...runtime import Launch

    env = variables(options.env)
    if not env:
        return list(plugins)
    return [_with(plugin, env) if isinstance(plugin, Launch) else WithVariables(plugin, env) for plugin in plugins]


def variables(texts: Sequence[str]) -> dict[str, str]:
    """Read what `--env` says.

    Raises:
        ConfigError: it is not of the form NAME=VALUE.
    """
    pairs = [text.partition("=") for text in texts]
    for name, equals, _ in pairs:
        if not (name and equals):
            raise ConfigError(f"--env {name!r} is not of the form NAME=VALUE")
    return {name: value for name, _, value in pairs}


class WithVariables:
    """A source whose plugins get some variables more.

    Args:
        source: finds the plugins.
        env: the variables.
    """

    def __init__(self, source: Source, env: Mapping[str, str]) -> None:
        self._source = source
        self._env = env
        self.watch = source.watch

    def find(self) -> list[Found]:
        """The plugins of the source."""
        return [Changed(each.name, _with(each.launch, self._env), each.fingerprint) for each in self._source.find()]


@dataclass(frozen=True, slots=True)
class Changed:
    """A plugin of a source, with another launch. (See `Found`.)"""

    name: str
    launch: Launch
    fingerprint: object


def _with(launch: Launch, env: Mapping[str, str]) -> Launch:
    return replace(launch, env={**launch.env, **env})


def policies_of(options: argparse.Namespace, *, request: float | None = None) -> Policies:
    """The policies that the options ask for.

    Args:
        options: what `add_launch_options` has added.
        request: seconds for every call to a plugin; no limit by default.
    """
    from ...runtime import Policies, Timeouts

    return Policies(timeouts=Timeouts(registration=options.startup_timeout, request=request or 0.0))


def configurations(texts: Sequence[str], names: Sequence[str], *, others: bool = False) -> dict[str, Any]:
    """Read what `--config` says.

    Args:
        texts: what it says.
        names: of the plugins that are launched.
        others: whether plugins of other names may come by themselves.

    Raises:
        ConfigError: a file has no JSON object, or there is no such plugin.
    """
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, file = text.partition("=")
        if len(names) == 1 and (not equals or (name not in names and os.path.exists(text))):
            name, file = names[0], text
        elif not (name and equals):
            raise ConfigError(
                f"--config {text}: write NAME=FILE, where NAME is one of {', '.join(names) or 'a plugin'}"
            )
        elif name not in names and not others:
            told = did_you_mean(name, names) or f"; there is {', '.join(names)}"
            raise ConfigError(f"--config {text}: there is no plugin {name!r}{told}")
        if name in found:
            raise ConfigError(f"--config {text}: plugin {name!r} has been given a configuration already")
        found[name] = read_configuration(file)
    return found


def read_configuration(file: str) -> dict[str, Any]:
    """Read a JSON object from a file.

    Raises:
        ConfigError: there is no such file, or it holds something else.
    """
    try:
        text = Path(file).read_text(encoding="utf-8")
        check_depth(text)
        value = json.loads(text)
    except (OSError, ValueError) as error:
        raise ConfigError(f"--config {file}: {error}") from None
    if not isinstance(value, dict):
        raise ConfigError(f"--config {file}: the file holds no JSON object")
    return value


def launch_runtime(options: argparse.Namespace) -> Runtime:
    """A runtime of the plugins that the options name.

    Raises:
        ConfigError: an option is not of its form.
    """
    from ...runtime import Host, Runtime

    plugins = parse_plugins(options.plugin, on_path=options.on_path)
    tls = tls_of(options) if any(is_network(text.rpartition("=")[2]) for text in options.plugin) else None
    return Runtime(
        with_variables(plugins, options),
        host=Host(tls=tls),
        configuration=configurations(options.config, [plugin.name for plugin in plugins]),
        policies=policies_of(options),
    )


@asynccontextmanager
async def in_time(limit: float | None) -> AsyncIterator[None]:
    """Bound how long what is asked may take, by `--timeout`.

    Raises:
        PlugmuxError: it took longer.
    """
    import asyncio

    if limit is None:
        yield
        return
    bound = asyncio.timeout(limit)
    try:
        async with bound:
            yield
    except TimeoutError:
        if not bound.expired():
            raise
        raise PlugmuxError(f"there was no answer within {limit:g} s (--timeout)") from None
