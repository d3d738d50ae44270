"""Attacks by what lies in a plugin directory: files that are slow to read, deep, or without an end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plugmux import Directory, PluginCause, PluginError
from plugmux.runtime import State

from .interface import MIB, Attack, Host

__all__ = ["ATTACKS"]

BOMBS = {
    "dots": "a." * 30_000 + "a = 1",
    "quoted": '"=".' * 15_000 + "a = 1",
    "header": "[" + "a." * 250 + "a]\n" + "\n".join(f"k{n}.b.c.d = 1" for n in range(4_000)),
    "arrays": "services = " + "[" * 60_000,
    "tables": "env = " + "{a=" * 15_000 + "1" + "}" * 15_000,
    "digits": "a = " + "9" * 60_000,
    "word": f'command = ["{"w" * 300}"]',
    "zero": 'command = ["zero", "\\u0000"]',
    "long": "#" * 20 * MIB,
}


def _watched(directory: Path) -> Mapping[str, Any]:
    (directory / "plugins").mkdir()
    return {"plugins": [Directory(directory / "plugins", watch=0.05)]}


async def bombs(host: Host) -> None:
    """Manifests that harm come into a directory that is watched; then a good plugin, which must still be found."""
    directory = host.directory / "plugins"
    for name, text in BOMBS.items():
        (host.directory / name).write_text(text)
        (host.directory / name).rename(directory / f"{name}.plugmux.toml")
    os.mkfifo(directory / "pipe.plugmux.toml")
    (directory / "circle.plugmux.toml").symlink_to("circle.plugmux.toml")
    names = {*BOMBS, "pipe", "circle"}
    seen: dict[str, PluginError] = {}
    async for event in host.runtime.events(present=True):
        error = host.runtime.plugin(event.plugin).error if event.state is State.GAVE_UP else None
        if error is not None:
            seen[event.plugin] = error
        if seen.keys() >= names:
            break
    for name in names:
        assert seen[name].cause is PluginCause.BAD_MANIFEST, f"{name}: {seen[name]}"
    (directory / "late").write_text("#!/bin/sh\nexit 3\n")
    (directory / "late").chmod(0o755)
    while not any(plugin.name == "late" for plugin in host.runtime.plugins()):
        await asyncio.sleep(0.01)


ATTACKS = [Attack("files in a watched directory", bombs, memory=32 * MIB, options=_watched)]
