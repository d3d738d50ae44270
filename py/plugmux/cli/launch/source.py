"""What `--plugin` and `CMD` name: a plugin by name, by name and versions, or a command; each may be given a name.

kv, kv@^1.2, kv.plugin:plugin, ./kv -v, kv.py, second=./kv, tls://kv.example:7444
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...contract.address import is_network
from ...contract.registration import NAME
from ...errors import ConfigError
from ...platform import has_directory, split_words

if TYPE_CHECKING:
    from ...discovery import Installed
    from ...runtime import Launch
    from ...runtime.remote.source import Remote
    from ...runtime.source import Named

__all__ = ["parse_command", "parse_one", "parse_plugins"]

PREFIX = "plugmux-"
"""What the programs on PATH begin with that `--on-path` finds."""


def parse_plugins(
    texts: Sequence[str], *, on_path: bool = False, **options: Any
) -> list[Launch | Named | Installed | Remote]:
    """Read what all the `--plugin` options of a command say.

    Args:
        texts: what they say.
        on_path: whether a name may be that of a program on PATH behind the prefix `plugmux-`.
        options: of each `Installed`: where it is looked for, and how often.

    Raises:
        ConfigError: one is no plugin, or two have the same name.
    """
    plugins = [_parse(text, on_path, options) for text in texts]
    for name, count in Counter(plugin.name for plugin in plugins).items():
        if count > 1:
            raise ConfigError(f"{count} plugins are named {name!r}; give one another name: --plugin NAME=CMD")
    return plugins


def parse_one(text: str, *, on_path: bool = False) -> Launch:
    """Read what names one plugin that is to be started, and look it up; where there is none, its start fails and tells
    why.

    Raises:
        ConfigError: it is no plugin, or one that runs elsewhere.
    """
    from ...runtime import Launch
    from ...runtime.remote.source import Remote
    from ...runtime.source import the_one

    plugin = _parse(text, on_path, {})
    if isinstance(plugin, Remote):
        raise ConfigError(
            f"{text!r} is a plugin that runs already: this command starts its plugin, so give its command"
        )
    return plugin if isinstance(plugin, Launch) else the_one(plugin)


def _parse(text: str, on_path: bool, options: Mapping[str, Any]) -> Launch | Named | Installed | Remote:
    name, equals, address = text.strip().partition("=")
    if not (equals and NAME.fullmatch(name)):
        name, address = "", text.strip()
    if is_network(address):
        from ...runtime.remote.source import Remote

        return Remote(address, name)
    name, at, versions = text.strip().rpartition("@")
    if at and NAME.fullmatch(name) and not has_directory(versions) and not os.path.exists(text):
        from ...discovery import Installed

        return Installed(text, **options)
    return parse_command(text, on_path=on_path)


def parse_command(text: str, *, on_path: bool = False) -> Launch | Named:
    """Read a command line, or one that begins with a name for the plugin: `NAME=CMD`.

    Raises:
        ConfigError: it cannot be split into words, or the file name of its program is no name for a plugin.
    """
    from ...runtime import name_of_command
    from ...runtime.source import read_words

    name, equals, command_line = text.partition("=")
    if not (equals and NAME.fullmatch(name)):
        name, command_line = "", text
    words = _words(command_line)
    if not name and words and words[0]:
        known = words[0].partition(":")[0]
        default = known if known != words[0] else name_of_command(words)
        if not NAME.fullmatch(default):
            raise ConfigError(f"{default!r} cannot be a plugin's name; give it another: NAME=CMD")
    return read_words(words, name, PREFIX if on_path else "")


def _words(command_line: str) -> list[str]:
    try:
        return split_words(command_line)
    except ValueError as error:
        raise ConfigError(f"the command line {command_line!r} cannot be split: {error}") from None
