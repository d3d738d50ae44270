"""What `--plugin` names: an installed plugin (`NAME@VERSIONS`), a command, or a command with a name (`NAME=CMD`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..contract.registration import NAME
from ..errors import ConfigError

if TYPE_CHECKING:
    from ..runtime import Launch, Requirement

__all__ = ["parse_command", "parse_plugins"]

UNNAMED = "plugin"


def parse_plugins(texts: Sequence[str]) -> list[Launch | Requirement]:
    """Read what all the `--plugin` options of a command say.

    Raises:
        ConfigError: one is no plugin, or two have the same name.
    """
    from ..runtime import Requirement

    plugins = [Requirement.parse(text) or parse_command(text) for text in texts]
    for name, count in Counter(plugin.name for plugin in plugins).items():
        if count > 1:
            raise ConfigError(f"{count} plugins are named {name!r}; give one another name: --plugin NAME=CMD")
    return plugins


def parse_command(text: str) -> Launch:
    """Read a command line, or one that begins with a name for the plugin: `NAME=CMD`.

    Raises:
        ConfigError: it cannot be split into words, or the file name of its program is no name for a plugin.
    """
    from ..runtime import Launch, name_of_command

    name, equals, command_line = text.partition("=")
    if equals and NAME.fullmatch(name):
        return Launch.parse(command_line, name)
    command = Launch.parse(text, UNNAMED).command
    name = name_of_command(command)
    if not NAME.fullmatch(name):
        raise ConfigError(f"{name!r} cannot be a plugin's name; give it another: NAME=CMD")
    return Launch(command, name)
