"""Which plugin a name stands for: `Runtime(["kv"])`.

It is, in this order,

1. the entry point of that name in the group `plugmux.plugins` of an installed distribution;
2. a program `plugmux-kv` on PATH, where the host has asked for these;
3. a program `kv` on PATH.

Two distributions with an entry point of one name are an error: nobody should have to guess which of them runs.
"""

from __future__ import annotations

import difflib
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..errors import ConfigError, PluginCause
from ..runtime.source import Found, Launch, Named
from .found import FoundByName, failed, missing
from .on_path import place_of, programs
from .python import GROUP, PythonPlugin, entry_points

__all__ = ["EntryPoint", "find_named"]


class EntryPoint:
    """A plugin of an installed distribution: `EntryPoint("kv", env={"LEVEL": "debug"})`.

    Args:
        entry_point: its name in the group `plugmux.plugins`, which is the plugin's name unless `name=` gives another.
        distribution: the distribution, where several have an entry point of that name.
        options: fields of the `Launch` that it becomes, except `command`.

    Raises:
        ConfigError: an option is out of its range.
    """

    watch = 0.0

    def __init__(self, entry_point: str, /, *, distribution: str = "", **options: Any) -> None:
        if "command" in options:
            raise ConfigError(f"the command of the entry point {entry_point!r} comes with it")
        self.entry_point = entry_point
        self.distribution = distribution
        self.options = options
        self.name = Launch(["entry-point"], **{"name": entry_point, **options}).name

    def find(self) -> list[Found]:
        """The plugin; where there is none, its start fails and tells which there are."""
        return [_find(self)]

    def __repr__(self) -> str:
        return f"EntryPoint({self.entry_point!r})"


def find_named(named: Named) -> Sequence[Found]:
    """The plugin that a name stands for; where there is none, its start fails and tells where it was looked for."""
    known = entry_points()
    found = [plugin for plugin in known if plugin.name == named.word]
    if len(found) > 1:
        return [_ambiguous(named.name, found)]
    if found:
        return [_named(named, found[0].launch)]
    places = [_no_entry_point(named.word, known)]
    if named.prefix:
        if program := programs(named.prefix).get(named.word):
            return [_named(named, program.launch)]
        places.append(place_of(named.prefix, named.word))
    if shutil.which(named.word) is not None:
        return [_named(named, Launch([named.word], named.name))]
    places.append(f"no program {named.word} on PATH ({os.environ.get('PATH', os.defpath)})")
    return [missing(named.name, places, named.word)]


def _find(source: EntryPoint) -> Found:
    """The plugin of an `EntryPoint`; where there is none, its start fails and tells which there are."""
    known = entry_points()
    of_name = [plugin for plugin in known if plugin.name == source.entry_point]
    found = [plugin for plugin in of_name if source.distribution in ("", plugin.distribution)]
    if len(found) > 1:
        return _ambiguous(source.name, found)
    if not found:
        elsewhere = "".join(f"; there is {plugin}" for plugin in of_name)
        return missing(source.name, [_no_entry_point(source.entry_point, known) + elsewhere])
    launch = found[0].launch
    options = {"name": source.name, **source.options}
    return FoundByName(source.name, replace(launch, **{**options, "env": {**launch.env, **options.get("env", {})}}))


def _named(named: Named, launch: Launch) -> Found:
    return FoundByName(named.name, replace(launch, name=named.name, command=(*launch.command, *named.arguments)))


def _no_entry_point(name: str, known: Sequence[PythonPlugin]) -> str:
    names = sorted({plugin.name for plugin in known})
    near = difflib.get_close_matches(name, names, n=3) or names[:10]
    there_is = f" (there is {', '.join(near)})" if near else " (there is none in that group)"
    return f"no entry point {name} in the group {GROUP} of what is installed for {sys.executable}{there_is}"


def _ambiguous(name: str, found: Sequence[PythonPlugin]) -> Found:
    which = " and ".join(map(str, found))
    return failed(
        name,
        PluginCause.AMBIGUOUS,
        f"the entry point {found[0].name!r} is that of several distributions: {which}. Give the object itself, "
        f"{found[0].target!r}, or EntryPoint({found[0].name!r}, distribution={found[0].distribution!r})",
    )
