"""What `--plugin` names: an installed plugin (`NAME@VERSIONS`), a command, or a command with a name (`NAME=CMD`)."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..contract.registration import NAME
from ..errors import ConfigError

if TYPE_CHECKING:
    from ..discovery import Installed
    from ..runtime import Launch

__all__ = ["parse_command", "parse_plugins"]

UNNAMED = "plugin"


def parse_plugins(texts: Sequence[str], **options: Any) -> list[Launch | Installed]:
    """Read what all the `--plugin` options of a command say.

    Args:
        texts: what they say.
        options: of each `Installed`: where it is looked for, and how often.

    Raises:
        ConfigError: one is no plugin, or two have the same name.
    """
    plugins = [_parse(text, options) for text in texts]
    for name, count in Counter(plugin.name for plugin in plugins).items():
        if count > 1:
            raise ConfigError(f"{count} plugins are named {name!r}; give one another name: --plugin NAME=CMD")
    return plugins


def _parse(text: str, options: Mapping[str, Any]) -> Launch | Installed:
    name, at, versions = text.strip().rpartition("@")
    if at and NAME.fullmatch(name) and os.sep not in versions and not os.path.exists(text):
        from ..discovery import Installed

        return Installed(text, **options)
    return parse_command(text)


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
